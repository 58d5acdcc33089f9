//! Two servers, each on a cable of its own to a router that is Linux, and clients on both sides.
//!
//! ```text
//! home0  100.64.0.2 ─┐          ┌─ nat0  10.1.0.1  master of shard 0, slave of shard 1
//! home1  100.64.1.2 ─┤  router  ├─ nat1  10.1.1.1  the reverse
//!                    └────┬─────┘
//!                       server  203.0.113.2
//! ```
//!
//! What comes for a shard's external addresses follows the router's main table, as any packet does.
//! What its subscribers send must go to the same core, and is told apart by source: a rule leads it
//! to a table of the shard's own that holds a default route and nothing else. The routing daemon
//! fills both. Where the table is empty the packets end; they must not leave untranslated.

use crate::namespace::Namespace;
use crate::process;
use crate::topology::{forward, join};
use anyhow::Context;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Servers of the cluster, and shards: each is the master of one.
pub(crate) const SERVERS: usize = 2;

/// Where the clients' servers are.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);

/// How long a look at the router may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Address of a server's core.
pub(crate) fn core(server: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, server as u8, 1)
}

/// The router's address on the cable to a server.
pub(crate) fn gateway(server: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, server as u8, 0)
}

/// Ethernet address of a server's core.
pub(crate) fn core_mac(server: usize) -> String {
    format!("02:01:00:00:00:0{server}")
}

/// Ethernet address of the router on the cable to a server.
pub(crate) fn gateway_mac(server: usize) -> String {
    format!("02:09:00:00:00:0{server}")
}

/// A shard's external prefix.
pub(crate) fn external(shard: usize) -> String {
    format!("198.18.0.{}/30", 4 * shard)
}

/// A shard's subscribers.
pub(crate) fn subscribers(shard: usize) -> String {
    format!("100.64.{shard}.0/24")
}

/// Table of the default route for what a shard's subscribers send.
pub(crate) fn table(shard: usize) -> usize {
    100 + shard
}

/// All namespaces, joined; gone when dropped.
pub(crate) struct Network {
    /// A subscriber of each shard.
    pub(crate) homes: Vec<Namespace>,
    /// Where the servers of the cluster run, on the interface `nat0`, which has no address.
    pub(crate) nats: Vec<Namespace>,
    /// Between all others; its cables to the cluster are `core0` and `core1`.
    pub(crate) router: Namespace,
    /// [`SERVER`].
    pub(crate) server: Namespace,
}

impl Network {
    /// Makes it, without the routes that a routing daemon is to make.
    pub(crate) fn build() -> anyhow::Result<Network> {
        let [router, server] = ["router", "server"].map(silent_namespace);
        let (router, server) = (router?, server?);
        let some = |name: &str| -> anyhow::Result<Vec<_>> {
            (0..SERVERS).map(|number| silent_namespace(&format!("{name}{number}"))).collect()
        };
        let network = Network { homes: some("home")?, nats: some("nat")?, router, server };
        let Network { homes, nats, router, server } = &network;
        forward(router)?;
        // A next hop behind a cable that is dead is none.
        router.sysctl(&["conf.all.ignore_routes_with_linkdown=1"])?;
        router.sysctl(&["conf.default.ignore_routes_with_linkdown=1"])?;
        for (number, (home, nat)) in homes.iter().zip(nats).enumerate() {
            let inner = format!("up0 100.64.{number}.2/30");
            join((home, &inner), (router, &format!("home{number} 100.64.{number}.1/30")), 1500)?;
            home.ip(&format!("route add default via 100.64.{number}.1"))?;
            let outer = format!("core{number} {}/31", gateway(number));
            join((nat, "nat0"), (router, &outer), 1500)?;
            nat.ip(&format!("link set nat0 address {}", core_mac(number)))?;
            router.ip(&format!("link set core{number} address {}", gateway_mac(number)))?;
            let from = subscribers(number);
            router.ip(&format!("rule add from {from} pref 1000 lookup {}", table(number)))?;
            router.ip(&format!("rule add from {from} pref 1001 blackhole"))?;
        }
        join((server, &format!("up0 {SERVER}/24")), (router, "server0 203.0.113.1/24"), 1500)?;
        server.ip("route add default via 203.0.113.1")?;
        Ok(network)
    }

    /// Server to which the router's kernel sends a shard's packets, if both ways lead to one.
    pub(crate) fn steers_to(&self, shard: usize) -> Option<usize> {
        let inward = self.next_hop(&external(shard))?;
        let outward = self.next_hop(&format!("default table {}", table(shard)))?;
        (0..SERVERS).find(|&server| inward == core(server) && outward == core(server))
    }

    fn next_hop(&self, route: &str) -> Option<Ipv4Addr> {
        let mut command = self.router.command("ip");
        command.args(["route", "show"]).args(route.split(' '));
        let text = process::run(&mut command, PATIENCE).ok()?.text();
        let mut words = text.split_whitespace().skip_while(|word| *word != "via");
        words.nth(1)?.parse().ok()
    }

    /// Frames that have come to the router by the cable of a server.
    pub(crate) fn frames_from(&self, server: usize) -> anyhow::Result<u64> {
        self.cable(server, "statistics/rx_packets")
    }

    /// Whether the router's end of that cable has a link.
    pub(crate) fn has_link(&self, server: usize) -> anyhow::Result<bool> {
        Ok(self.cable(server, "carrier")? == 1)
    }

    fn cable(&self, server: usize, what: &str) -> anyhow::Result<u64> {
        let path = format!("/sys/class/net/core{server}/{what}");
        let text = process::run(self.router.command("cat").arg(&path), PATIENCE)?.ok()?.text();
        text.trim().parse().with_context(|| format!("{path}: {text}"))
    }
}

/// A namespace in which the kernel says nothing by itself: IPv6 would look for neighbours.
fn silent_namespace(name: &str) -> anyhow::Result<Namespace> {
    let namespace = Namespace::create(name)?;
    for of in ["all", "default"] {
        namespace.must(&format!("sysctl -eqw net.ipv6.conf.{of}.disable_ipv6=1"))?;
    }
    Ok(namespace)
}
