//! The router's routing daemon: BIRD 2, or FRR.
//!
//! Both speak BGP with each core, watch it by BFD, and install the better route of two for each
//! shard's external prefix. Both have a static default route for what the subscribers of a shard
//! send, in the shard's own table, whose next hop is recursive: it follows a route that the cores
//! announce, so that both ways move with one decision.
//!
//! BIRD takes the subscribers' prefixes, which come with a community, into a table that no packet is
//! looked up in, and the default routes follow those. FRR resolves next hops in its main table alone,
//! where subscribers' prefixes must not be; its default routes follow the external prefixes.

use super::network::{Network, SERVERS, core, external, gateway, subscribers, table};
use crate::process::{self, Service, wait_for};
use crate::setting::is_installed;
use anyhow::Context;
use serde_json::Value;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The AS of the cores, which is one, so that their MEDs are compared.
pub(crate) const ASN: u32 = 65_001;
/// The router's.
pub(crate) const ROUTER_ASN: u32 = 65_000;
/// With which subscribers' prefixes are announced.
pub(crate) const SUBSCRIBERS: (u32, u32) = (ASN, 2);

/// How long the daemon may take to begin, and to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where FRR has its daemons, which are in no path.
const FRR: [&str; 2] = ["/usr/lib/frr", "/usr/libexec/frr"];

/// Where FRR's daemons find each other; they run as a user of their own.
const FRR_STATE: &str = "/run/frr";

/// Time between two packets of BFD, and how many of them may be missing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bfd {
    /// In milliseconds.
    pub(crate) interval_ms: u64,
    /// See [`Bfd`].
    pub(crate) multiplier: u64,
}

impl Bfd {
    /// Silence after which a core is missed.
    pub(crate) fn detection(self) -> Duration {
        Duration::from_millis(self.interval_ms * self.multiplier)
    }
}

impl fmt::Display for Bfd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BFD {} ms x {}", self.interval_ms, self.multiplier)
    }
}

/// Which daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// BIRD 2.
    Bird,
    /// FRR: zebra, staticd, bfdd and bgpd.
    Frr,
}

impl Kind {
    /// What is not there, and how to get it.
    pub(crate) fn missing(self) -> Option<&'static str> {
        let (is_there, remedy) = match self {
            Kind::Bird => (
                is_installed("bird") && is_installed("birdc"),
                "BIRD is not installed: apt-get install bird2",
            ),
            Kind::Frr => (
                frr_folder().is_some() && is_installed("vtysh"),
                "FRR is not installed: apt-get install frr",
            ),
        };
        (!is_there).then_some(remedy)
    }
}

fn frr_folder() -> Option<&'static Path> {
    FRR.into_iter().map(Path::new).find(|folder| folder.join("bgpd").is_file())
}

/// The daemon, until dropped.
pub(crate) struct Router {
    kind: Kind,
    folder: PathBuf,
    _daemons: Vec<Service>,
}

impl Router {
    /// Starts it in the router's namespace.
    pub(crate) fn start(
        kind: Kind,
        network: &Network,
        folder: &Path,
        bfd: Bfd,
    ) -> anyhow::Result<Router> {
        let daemons = match kind {
            Kind::Bird => vec![start_bird(network, folder, bfd)?],
            Kind::Frr => start_frr(network, bfd)?,
        };
        Ok(Router { kind, folder: folder.to_owned(), _daemons: daemons })
    }

    /// Whether subscribers' packets may still go one way when the answers already come the other.
    pub(crate) fn moves_in_two_steps(&self) -> bool {
        matches!(self.kind, Kind::Frr)
    }

    /// Routes to a shard that it has from the cores, the best one and others.
    pub(crate) fn paths(&self, shard: usize) -> usize {
        let question = match self.kind {
            Kind::Bird => format!("show route table cores for {}", external(shard)),
            Kind::Frr => format!("show bgp ipv4 unicast {} json", external(shard)),
        };
        let mut command = match self.kind {
            Kind::Bird => Command::new("birdc"),
            Kind::Frr => Command::new("vtysh"),
        };
        match self.kind {
            Kind::Bird => {
                command.arg("-s").arg(self.folder.join("bird.ctl")).args(question.split(' '))
            }
            Kind::Frr => command.args(["--vty_socket", FRR_STATE, "-c", &question]),
        };
        let Ok(answer) = process::run(&mut command, PATIENCE) else { return 0 };
        match self.kind {
            Kind::Bird => answer.text().matches("via ").count(),
            Kind::Frr => {
                let answer: Value = serde_json::from_str(&answer.text()).unwrap_or_default();
                answer.pointer("/paths").and_then(Value::as_array).map_or(0, Vec::len)
            }
        }
    }
}

/// What a router does to be told in time: its daemon does not wait for programs that compute. Nothing
/// where the system does not allow it.
fn in_real_time() -> &'static [&'static str] {
    const PREFIX: &[&str] = &["chrt", "--fifo", "2"];
    let trial = Command::new(PREFIX[0]).args(&PREFIX[1..]).arg("true").output();
    if trial.is_ok_and(|trial| trial.status.success()) { PREFIX } else { &[] }
}

fn start_bird(network: &Network, folder: &Path, bfd: Bfd) -> anyhow::Result<Service> {
    let (file, socket) = (folder.join("bird.conf"), folder.join("bird.ctl"));
    std::fs::write(&file, bird_config(bfd))?;
    let mut command = network.router.command("env");
    command.args(in_real_time()).args(["bird", "-f", "-c"]).arg(&file);
    command.arg("-s").arg(&socket).arg("-P").arg(folder.join("bird.pid"));
    let service = Service::start(&mut command).context("bird")?;
    wait_for("bird", PATIENCE, || socket.exists())?;
    Ok(service)
}

fn bird_config(bfd: Bfd) -> String {
    let Bfd { interval_ms, multiplier } = bfd;
    let (high, low) = SUBSCRIBERS;
    let is_inside = format!("({high},{low}) ~ bgp_community");
    let mut text = format!(
        "log stderr {{ error, fatal, bug }};\nrouter id {};\n\
         ipv4 table cores;\n\
         protocol device {{}}\n\
         protocol kernel {{ ipv4 {{ import none; export all; }}; }}\n\
         protocol pipe {{ table cores; peer table master4; import none; \
         export where !({is_inside}); }}\n\
         protocol bfd {{ interface \"core*\" {{ interval {interval_ms} ms; \
         multiplier {multiplier}; }}; }}\n",
        gateway(0)
    );
    for number in 0..SERVERS {
        let (kernel, inside) = (table(number), subscribers(number).replace("/24", ""));
        text += &format!(
            "ipv4 table by{number};\n\
             protocol kernel {{ kernel table {kernel}; \
             ipv4 {{ table by{number}; import none; export all; }}; }}\n\
             protocol static {{ ipv4 {{ table by{number}; }}; igp table cores; \
             route 0.0.0.0/0 recursive {inside}; }}\n\
             protocol bgp nat{number} {{ local {} as {ROUTER_ASN}; neighbor {} as {ASN}; \
             passive on; bfd on; error wait time 1, 2; \
             ipv4 {{ table cores; import all; export none; }}; }}\n",
            gateway(number),
            core(number),
        );
    }
    text
}

fn start_frr(network: &Network, bfd: Bfd) -> anyhow::Result<Vec<Service>> {
    let folder = frr_folder().context("no daemons of FRR")?;
    std::fs::create_dir_all(FRR_STATE)?;
    network.router.must(&format!("chown frr:frr {FRR_STATE}"))?;
    let start = |name: &str, text: String, options: &[&str]| -> anyhow::Result<Service> {
        let file = format!("{FRR_STATE}/{name}.conf");
        std::fs::write(&file, text)?;
        // It writes to /var/tmp what it would say in a crash.
        let mut command = network.router.command("sh");
        command.args(["-c", "mount -t tmpfs tmpfs /var/tmp && exec \"$@\"", "sh", "env"]);
        command.args(in_real_time()).arg(folder.join(name)).args(["-f", &file]);
        command.args(["-z", &format!("{FRR_STATE}/zserv.api")]);
        command.args(["-i", &format!("{FRR_STATE}/{name}.pid"), "--vty_socket", FRR_STATE]);
        let service = Service::start(command.args(options)).context(name.to_owned())?;
        let socket = Path::new(FRR_STATE).join(format!("{name}.vty"));
        wait_for(name, PATIENCE, || socket.exists())?;
        Ok(service)
    };
    let control = format!("{FRR_STATE}/bfdd.sock");
    Ok(vec![
        start("zebra", String::new(), &[])?,
        start("staticd", frr_static_routes(), &[])?,
        start("bfdd", frr_profile(bfd), &["--bfdctl", &control])?,
        start("bgpd", frr_bgp(), &[])?,
    ])
}

fn frr_static_routes() -> String {
    let route = |shard: usize| {
        // Any of the shard's addresses but the first, which FRR takes for the network's.
        let via =
            external(shard).replace(&format!("{}/30", 4 * shard), &(4 * shard + 1).to_string());
        format!("ip route 0.0.0.0/0 {via} table {}\n", table(shard))
    };
    (0..SERVERS).map(route).collect()
}

fn frr_profile(Bfd { interval_ms, multiplier }: Bfd) -> String {
    format!(
        "bfd\n profile cores\n  detect-multiplier {multiplier}\n  \
         receive-interval {interval_ms}\n  transmit-interval {interval_ms}\n"
    )
}

/// The route map comes first: what FRR hears before it has one that a neighbour asks for, it denies,
/// and does not hear again from a speaker without route refresh.
fn frr_bgp() -> String {
    let (high, low) = SUBSCRIBERS;
    let mut text = format!(
        "bgp community-list standard subscribers permit {high}:{low}\n\
         route-map external deny 1\n match community subscribers\n\
         route-map external permit 2\n\
         router bgp {ROUTER_ASN}\n bgp router-id {}\n no bgp ebgp-requires-policy\n",
        gateway(0)
    );
    for number in 0..SERVERS {
        let it = core(number);
        text += &format!(
            " neighbor {it} remote-as {ASN}\n neighbor {it} passive\n \
             neighbor {it} bfd profile cores\n"
        );
    }
    text += " address-family ipv4 unicast\n";
    for number in 0..SERVERS {
        text += &format!("  neighbor {} route-map external in\n", core(number));
    }
    text
}
