//! Open vSwitch: its userspace datapath on DPDK with conntrack and NAT of its own, on one port.
//!
//! The port is a packet socket on a veth whose other end is the generator's. memif would be faster,
//! but Open vSwitch wants a transmit queue for its main thread too, sends on the other one, and a
//! memif of the generator has one queue. Switch and database are started in a network namespace of
//! their own, on files in a folder that goes with them: nothing of an Open vSwitch that runs here
//! already is touched.
//!
//! Set as favourably as it can be without changing what it does: TCP sequence numbers are not
//! checked, and the exact-match cache is off, which a thousand times more connections than it has
//! entries would only thrash. No huge pages, as on the generator's side.

use super::namespace::{Namespace, lacking, must, must_with, must_words};
use super::service::Service;
use super::{Facts, Peer, nftables};
use crate::layout::Layout;
use crate::testbed::{Observation, Outcome, device};
use anyhow::{Context, bail};
use dataplane::identity::Identity;
use dataplane::port::dpdk::PortKind;
use dataplane::run::Stop;
use dataplane::thread::allowed_cpus;
use format::Plan;
use format::plan::Polling;
use std::path::Path;

/// The switch that knows DPDK, where Debian keeps it.
const SWITCH: &str = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk";

/// What its database looks like.
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// Programs, and the packages they come in.
const PROGRAMS: [(&str, &str); 5] = [
    (SWITCH, "openvswitch-switch-dpdk"),
    ("ovsdb-server", "openvswitch-switch-dpdk"),
    ("ip", "iproute2"),
    ("tee", "coreutils"),
    ("setpriv", "util-linux"),
];

/// Memory for DPDK, in MiB.
const MEMORY_MB: u32 = 512;

/// Longest sleep of its polling thread where cores are shared, in µs.
const SLEEP_US: u32 = 500;

/// Open vSwitch with DPDK.
pub(super) struct Ovs;

impl Peer for Ovs {
    fn lacking(&self, plan: &Plan) -> Option<String> {
        lacking(&PROGRAMS).or_else(|| device::lacking(plan))
    }

    fn facts(&self, _: &Plan) -> Facts {
        let version = must(&format!("{SWITCH} --version")).unwrap_or_default();
        [
            ("version", version.lines().collect::<Vec<_>>().join(", ")),
            ("what", "userspace conntrack and NAT, one polling thread".to_owned()),
            ("carrier", "veth and two packet sockets, no huge pages".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    fn measure(
        &self,
        plan: &Plan,
        stop: &Stop,
        observe: &mut dyn FnMut(Observation),
    ) -> anyhow::Result<Outcome> {
        let layout = Layout::new(plan);
        let folder = tempfile::tempdir().context("a folder for the switch")?;
        let (generator, namespace) = (Namespace::create("gen")?, Namespace::create("ovs")?);
        nftables::join(&layout, &generator, &namespace).context("the cable")?;
        let switch = Switch::start(plan, folder.path(), &namespace).context("Open vSwitch")?;
        switch.forward(&layout, plan).context("its flows")?;
        switch.connect().context("its port")?;
        let port = PortKind::AfPacket { interface: nftables::GENERATOR.to_owned() };
        device::run(plan, port, device::Place::In(&generator), stop, observe)
    }
}

/// The switch and its database. Ends before its folder goes.
struct Switch<'a> {
    folder: &'a Path,
    control: String,
    _switch: Service,
    _database: Service,
}

impl<'a> Switch<'a> {
    fn start(plan: &Plan, folder: &'a Path, namespace: &Namespace) -> anyhow::Result<Switch<'a>> {
        let [data, socket] = ["conf.db", "db.sock"].map(|name| folder.join(name));
        must(&format!("ovsdb-tool create {} {SCHEMA}", data.display()))?;
        let arguments =
            [data.display().to_string(), format!("--remote=punix:{}", socket.display())];
        let mut database = Service::start("ovsdb-server", &arguments, folder, Some(namespace))?;
        database.wait(|| socket.exists())?;
        configure(folder, "--no-wait init")?;
        let cpus = allowed_cpus();
        let cpu = cpus.get(1).or(cpus.first()).copied().unwrap_or(0);
        let mask = format!("0x{:x}", 1u128 << cpu.min(127));
        let sleep_us = if plan.topology.polling == Polling::Adaptive { SLEEP_US } else { 0 };
        // Open vSwitch adds `--in-memory`, which needs huge pages, unless memory is said to be of
        // the old kind.
        let memory = format!("--no-huge --legacy-mem -m {MEMORY_MB} --no-pci --no-shconf");
        let settings = [
            "dpdk-init=true".to_owned(),
            format!("dpdk-extra={memory} --file-prefix=krono-ovs-{}", std::process::id()),
            format!("dpdk-lcore-mask={mask}"),
            format!("pmd-cpu-mask={mask}"),
            format!("pmd-maxsleep={sleep_us}"),
            "per-port-memory=true".to_owned(),
            "emc-insert-inv-prob=0".to_owned(),
        ];
        for setting in settings {
            // Values hold spaces: handed over as one word.
            let setting = format!("other_config:{setting}");
            let words = ["--no-wait", "set", "Open_vSwitch", ".", &setting];
            must_words("ovs-vsctl", &with_database(folder, &words), "")?;
        }
        let control = folder.join("control");
        let arguments =
            [format!("unix:{}", socket.display()), format!("--unixctl={}", control.display())];
        let mut switch = Service::start(SWITCH, &arguments, folder, Some(namespace))?;
        switch.wait(|| control.exists())?;
        configure(folder, "--timeout=30 add-br br0 -- set bridge br0 datapath_type=netdev")?;
        let control = control.display().to_string();
        Ok(Switch { folder, control, _switch: switch, _database: database })
    }

    /// Translates as Krononat does: subscribers to the external addresses, and what belongs to no
    /// connection ends here. All on one port.
    fn forward(&self, layout: &Layout<'_>, plan: &Plan) -> anyhow::Result<()> {
        let server = layout.sut(0);
        let core = &server.cores[0];
        let external = core.external.context("a core without external addresses")?;
        let range = format!("{}-{}", external.network(), external.broadcast());
        let Identity { mac, .. } = core.identity;
        let gateway = layout.generator(0).cores[0].identity.mac;
        let out = format!("dec_ttl,mod_dl_src:{mac},mod_dl_dst:{gateway},in_port");
        let mut flows = vec![
            "table=0,priority=0,actions=drop".to_owned(),
            format!("table=0,priority=20,ip,nw_src={external},actions=drop"),
            format!("table=0,priority=10,ip,nw_dst={external},actions=ct(table=1,zone=1,nat)"),
            "table=1,priority=0,actions=drop".to_owned(),
            format!("table=1,priority=10,ip,ct_state=+trk+est,actions={out}"),
            // UDP of which no answer was seen is still new, though translated already.
            format!("table=1,priority=10,ip,ct_state=+trk+new,nw_src={external},actions={out}"),
        ];
        for subscribers in &core.subscribers {
            flows.push(format!(
                "table=0,priority=10,ip,nw_src={subscribers},actions=ct(table=1,zone=1,nat)"
            ));
            flows.push(format!(
                "table=1,priority=10,ip,ct_state=+trk+new,nw_src={subscribers},\
                 actions=ct(commit,zone=1,nat(src={range}),table=2)"
            ));
        }
        // What found no room among the connections comes out of `ct` as it went in.
        flows.push(format!("table=2,priority=10,ip,nw_src={external},actions={out}"));
        flows.push("table=2,priority=0,actions=drop".to_owned());
        let management = self.folder.join("br0.mgmt");
        must_with(&format!("ovs-ofctl del-flows unix:{}", management.display()), "")?;
        let add = format!("ovs-ofctl add-flows unix:{} -", management.display());
        must_with(&add, &(flows.join("\n") + "\n"))?;
        // As many as Krononat would have room for: closed ones stay until their timers end.
        self.order(&format!("dpctl/ct-set-maxconns {}", plan.sut.table_entries))?;
        self.order("dpctl/ct-disable-tcp-seq-chk")?;
        self.set_timers(plan)
    }

    fn set_timers(&self, plan: &Plan) -> anyhow::Result<()> {
        let seconds = |ns: u64| ns.div_ceil(1_000_000_000);
        let timers = &plan.sut.timers;
        let (udp, tcp) = (seconds(timers.udp_ns), seconds(timers.tcp_established_ns));
        configure(
            self.folder,
            "--timeout=30 -- --id=@m create Datapath datapath_version=1 -- set Open_vSwitch . \
             datapaths:netdev=@m",
        )?;
        let policy = format!(
            "--timeout=30 add-zone-tp netdev zone=1 udp_first={udp} udp_single={udp} \
             udp_multiple={udp} tcp_established={tcp}"
        );
        configure(self.folder, &policy).map(drop)
    }

    /// Adds the port.
    fn connect(&self) -> anyhow::Result<()> {
        let port = format!(
            "--timeout=30 add-port br0 port0 -- set Interface port0 type=dpdk \
             options:dpdk-devargs=net_af_packet0,iface={},qpairs=1",
            nftables::DEVICE
        );
        configure(self.folder, &port)?;
        let error = configure(self.folder, "get Interface port0 error")?;
        if error.trim() != "[]" {
            bail!("{}", error.trim());
        }
        Ok(())
    }

    fn order(&self, what: &str) -> anyhow::Result<String> {
        must(&format!("ovs-appctl -t {} {what}", self.control))
    }
}

/// Has the database changed or asked.
fn configure(folder: &Path, what: &str) -> anyhow::Result<String> {
    let words: Vec<&str> = what.split_whitespace().collect();
    must_words("ovs-vsctl", &with_database(folder, &words), "")
}

fn with_database(folder: &Path, words: &[&str]) -> Vec<String> {
    let database = format!("--db=unix:{}", folder.join("db.sock").display());
    [database].into_iter().chain(words.iter().map(|&word| word.to_owned())).collect()
}
