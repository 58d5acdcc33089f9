//! What the peers that are Linux' own NAT have in common: the cable to the generator, routes,
//! translation and timers, in namespaces that are made for them.

use super::Facts;
use super::namespace::{Namespace, must};
use crate::layout::Layout;
use anyhow::Context;
use dataplane::thread::allowed_cpus;
use format::Plan;
use std::fs;

/// Programs, and the packages they come in.
const PROGRAMS: [(&str, &str); 4] =
    [("ip", "iproute2"), ("nft", "nftables"), ("sysctl", "procps"), ("tee", "coreutils")];

/// The generator's end of the cable, and the other.
pub(super) const GENERATOR: &str = "gen0";
pub(super) const DEVICE: &str = "nat0";

/// What this machine lacks to translate the connections of `plan`.
pub(super) fn lacking(plan: &Plan) -> Option<String> {
    super::namespace::lacking(&PROGRAMS).or_else(|| too_small(plan))
}

/// What a reader must know.
pub(super) fn facts(what: &str, carrier: &str) -> Facts {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let nft = must("nft --version").unwrap_or_default();
    let [max, buckets] = [limit("max"), limit("buckets")].map(|it| it.unwrap_or(0));
    [
        ("version", format!("Linux {}, {}", release.trim(), nft.trim())),
        ("what", what.to_owned()),
        ("carrier", carrier.to_owned()),
        ("nf_conntrack_max", max.to_string()),
        ("nf_conntrack_buckets", buckets.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn limit(name: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/sys/net/netfilter/nf_conntrack_{name}")).ok()?;
    text.trim().parse().ok()
}

/// Whether connection tracking has room for the plan's connections, each with two entries in the
/// hash table. Only the host can change that, for all namespaces.
fn too_small(plan: &Plan) -> Option<String> {
    let wanted = plan.traffic.connections + plan.traffic.connections / 8;
    let (Some(max), Some(buckets)) = (limit("max"), limit("buckets")) else {
        return Some("connection tracking is not loaded: modprobe nf_conntrack".to_owned());
    };
    let enough = max >= wanted && buckets >= plan.traffic.connections;
    (!enough).then(|| {
        format!(
            "connection tracking has room for {max} connections in {buckets} buckets: sysctl -w \
             net.netfilter.nf_conntrack_buckets={wanted} net.netfilter.nf_conntrack_max={wanted}"
        )
    })
}

/// Joins both with a veth pair: the stations of generator and SUT core, and no ARP. What arrives at
/// the device is the second processor's work.
pub(super) fn join(
    layout: &Layout<'_>,
    generator: &Namespace,
    device: &Namespace,
) -> anyhow::Result<()> {
    let (station, core) = (layout.generator(0).cores[0].identity, layout.sut(0).cores[0].identity);
    generator.must(&format!(
        "ip link add {GENERATOR} type veth peer name {DEVICE} netns {}",
        device.name()
    ))?;
    generator.must(&format!("ip link set {GENERATOR} address {} arp off up", station.mac))?;
    device.must(&format!("ip link set {DEVICE} address {} up", core.mac))?;
    let Some(&cpu) = allowed_cpus().get(1) else { return Ok(()) };
    // Words of 32 processors, the highest first.
    let mut mask = format!("{:x}", 1u32 << (cpu % 32));
    mask.extend(std::iter::repeat_n(",00000000", cpu / 32));
    let steer = format!("tee /sys/class/net/{DEVICE}/queues/rx-0/rps_cpus");
    device.must_with(&steer, &mask).map(drop)
}

/// Makes a namespace whose one interface is `interface` the router that the SUT core is: what comes
/// goes back there, `rule` says how it is translated, and what belongs to no connection ends here.
pub(super) fn translate(
    namespace: &Namespace,
    interface: &str,
    layout: &Layout<'_>,
    plan: &Plan,
    rule: &str,
) -> anyhow::Result<()> {
    let (station, server) = (layout.generator(0).cores[0].identity, layout.sut(0));
    let core = &server.cores[0];
    let external = core.external.context("a core without external addresses")?;
    let (router, mac) = (station.ip, station.mac);
    let network = format!(
        "address add {}/32 dev {interface}\n\
         neighbour add {router} lladdr {mac} nud permanent dev {interface}\n\
         route add default via {router} dev {interface} onlink\n\
         route add blackhole {external}\n",
        core.identity.ip
    );
    must_in(namespace, "ip -batch -", &network)?;
    let chain = "type nat hook postrouting priority srcnat";
    let rules = format!("table ip krono {{\n chain post {{\n  {chain}\n  {rule}\n }}\n}}\n");
    must_in(namespace, "nft -f -", &rules)?;
    let timers = &plan.sut.timers;
    let seconds = |ns: u64| ns.div_ceil(1_000_000_000);
    let mut settings: Vec<String> = ["all", "default", interface]
        .iter()
        .flat_map(|of| {
            ["rp_filter", "send_redirects"].map(|name| format!("net.ipv4.conf.{of}.{name}=0"))
        })
        .collect();
    let conntrack = [
        ("udp_timeout", seconds(timers.udp_ns)),
        ("udp_timeout_stream", seconds(timers.udp_ns)),
        ("tcp_timeout_established", seconds(timers.tcp_established_ns)),
        ("tcp_be_liberal", 1),
        ("checksum", 0),
    ];
    let named = |(key, value)| format!("net.netfilter.nf_conntrack_{key}={value}");
    settings.extend(conntrack.map(named));
    settings.push("net.ipv4.ip_forward=1".to_owned());
    namespace.must(&format!("sysctl -qw {}", settings.join(" "))).map(drop)
}

fn must_in(namespace: &Namespace, line: &str, input: &str) -> anyhow::Result<()> {
    namespace.must_with(line, input).map(drop)
}
