//! The namespaces of a run, their cables and the routes that no daemon has to find out.
//!
//! What comes for a core's external addresses follows the router's main table, as any packet does.
//! What its subscribers send must go to the same core, and is told apart by source: a rule leads it
//! to a table of the shard's own that holds a default route and nothing else. Where that is empty
//! the packets end; they must not leave untranslated.

use crate::layout::Layout;
use crate::peer::namespace::{self, Namespace};
use anyhow::Context;
use format::plan::Target;
use ipnet::Ipv4Net;
use std::collections::HashMap;
use std::fmt::Write;
use std::net::Ipv4Addr;

/// Both ends of the generator's cable.
pub(super) const GENERATOR: &str = "gen0";

/// Tables of the shards, from this one on; the kernel's own are below.
const TABLES: usize = 1000;

/// A server's end of the cable of a core.
pub(super) fn inner(core: usize) -> String {
    format!("nat{core}")
}

/// The router's end of the cable of a core counted over all servers.
pub(super) fn outer(index: u32) -> String {
    format!("core{index}")
}

/// Table of the default route for what the subscribers of a shard send.
pub(super) fn table(shard: usize) -> usize {
    TABLES + shard
}

/// All namespaces, joined; gone when dropped.
pub(super) struct Network {
    pub(super) generator: Namespace,
    pub(super) router: Namespace,
    pub(super) servers: Vec<Namespace>,
    /// Cores of each server.
    cores: u32,
}

/// What a router's kernel has to be told before there are interfaces: they inherit. It never
/// redirects, since a packet that leaves by the interface it came from has been translated, takes
/// packets on any interface, since answers do not come the way the questions went, and has no next
/// hop behind a cable that is dead.
const FORWARDS: [&str; 7] = [
    "net.ipv4.ip_forward=1",
    "net.ipv4.conf.all.send_redirects=0",
    "net.ipv4.conf.default.send_redirects=0",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv4.conf.all.ignore_routes_with_linkdown=1",
    "net.ipv4.conf.default.ignore_routes_with_linkdown=1",
];

impl Network {
    /// Makes it, without the routes to the cores.
    pub(super) fn build(layout: &Layout<'_>) -> anyhow::Result<Network> {
        let servers = (0..layout.suts()).map(|index| layout.sut_place(index).0).max();
        let servers = 0..=servers.context("no server")?;
        let made = servers.map(|number| Namespace::create(&format!("sut{number}")));
        let servers = made.collect::<anyhow::Result<Vec<_>>>()?;
        let cores = layout.suts() / servers.len() as u32;
        let (generator, router) = (Namespace::create("gen")?, Namespace::create("router")?);
        router.sysctl(&FORWARDS)?;
        let network = Network { generator, router, servers, cores };
        network.join(&network.generator, GENERATOR, GENERATOR)?;
        let hop = layout.router();
        let mut script = String::new();
        for index in 0..layout.suts() {
            let (server, core) = layout.sut_place(index);
            let (inner, outer) = (inner(core.into()), outer(index));
            network.join(&network.servers[usize::from(server)], &inner, &outer)?;
            let (server, core) = layout.sut_of(index);
            let core = server.cores[core].identity;
            let _ = writeln!(script, "link set {outer} address {}", hop.mac);
            // One address towards all: a core knows its router by it wherever it is.
            let _ = writeln!(script, "address add {} peer {}/32 dev {outer}", hop.ip, core.ip);
        }
        let _ = writeln!(script, "link set {GENERATOR} address {}", hop.mac);
        for (prefix, core) in layout.routes_to_generators() {
            let (ip, mac) = (core.ip, core.mac);
            let _ = writeln!(
                script,
                "neighbour replace {ip} lladdr {mac} nud permanent dev {GENERATOR}\n\
                 route add {prefix} via {ip} dev {GENERATOR} onlink"
            );
        }
        for (shard, steered) in layout.steered().iter().enumerate() {
            for from in &steered.subscribers {
                let _ = writeln!(
                    script,
                    "rule add from {from} pref 1000 lookup {}\n\
                     rule add from {from} pref 1001 blackhole",
                    table(shard)
                );
            }
        }
        network.batch(&script)?;
        network.set_stations(layout)?;
        Ok(network)
    }

    fn batch(&self, script: &str) -> anyhow::Result<()> {
        self.router.must_with("ip -batch -", script).map(drop)
    }

    /// Joins a namespace with the router. A veth leaves checksums and segmentation to a NIC that
    /// never comes; a packet socket would see sums that are not there yet, and segments no wire
    /// carries.
    fn join(&self, namespace: &Namespace, inner: &str, outer: &str) -> anyhow::Result<()> {
        let router = self.router.name();
        let pair = format!("ip link add {inner} type veth peer name {outer} netns {router}");
        namespace.must(&pair)?;
        for (namespace, end) in [(namespace, inner), (&self.router, outer)] {
            namespace.must(&format!("ethtool -K {end} tx off sg off tso off gso off gro off"))?;
            namespace.must(&format!("ip link set {end} up"))?;
        }
        Ok(())
    }

    /// Ethernet addresses of the processes. Their kernels have no addresses, so they say nothing.
    fn set_stations(&self, layout: &Layout<'_>) -> anyhow::Result<()> {
        let generator = layout.generator(0).cores[0].identity.mac;
        self.generator.must(&format!("ip link set {GENERATOR} address {generator}"))?;
        for index in 0..layout.suts() {
            let (server, core) = layout.sut_of(index);
            let line =
                format!("ip link set {} address {}", inner(core), server.cores[core].identity.mac);
            self.servers[usize::from(server.server.0)].must(&line)?;
        }
        Ok(())
    }

    /// Leads everything to the core that serves it, once and for all.
    pub(super) fn route_statically(&self, layout: &Layout<'_>) -> anyhow::Result<()> {
        let mut script = String::new();
        for (shard, steered) in layout.steered().iter().enumerate() {
            for &index in steered.cores.iter().take(1) {
                let (server, core) = layout.sut_of(index);
                let hop = format!("via {} dev {}", server.cores[core].identity.ip, outer(index));
                let (external, table) = (steered.external, table(shard));
                let _ = writeln!(
                    script,
                    "route add {external} {hop}\nroute add default {hop} table {table}"
                );
            }
        }
        self.batch(&script).context("fixed routes")
    }

    /// The core to which the router's kernel sends each shard's packets, where both ways lead to
    /// one.
    pub(super) fn steers(&self, layout: &Layout<'_>) -> anyhow::Result<Vec<Option<u32>>> {
        let routes = self.router.must("ip -o -4 route show table all")?;
        let routes: HashMap<(Ipv4Net, usize), Ipv4Addr> = routes
            .lines()
            .filter_map(Route::parse)
            .filter_map(|route| Some(((route.to, route.table), route.via?)))
            .collect();
        let default = Ipv4Net::default();
        let core = |(shard, steered): (usize, &crate::layout::Steered)| {
            let inward = routes.get(&(steered.external, MAIN))?;
            let outward = routes.get(&(default, table(shard)))?;
            let is_it = |index: &u32| {
                let (server, core) = layout.sut_of(*index);
                let ip = server.cores[core].identity.ip;
                *inward == ip && *outward == ip
            };
            (0..layout.suts()).find(is_it)
        };
        Ok(layout.steered().iter().enumerate().map(core).collect())
    }

    /// Frames that have come to the router from a server.
    pub(super) fn frames_from(&self, server: u16) -> anyhow::Result<u64> {
        let read = || std::fs::read_to_string("/proc/thread-self/net/dev");
        let text = self.router.enter(read)?.context("/proc/thread-self/net/dev")?;
        let first = u32::from(server) * self.cores;
        let names: Vec<String> = (first..first + self.cores).map(outer).collect();
        // INTERFACE: bytes packets …
        let received = |line: &str| -> Option<u64> {
            let (name, counters) = line.split_once(':')?;
            let is_its = names.iter().any(|its| its == name.trim());
            counters.split_whitespace().nth(1).filter(|_| is_its)?.parse().ok()
        };
        Ok(text.lines().filter_map(received).sum())
    }

    /// Takes the cables of a server or core out, or puts them in again.
    pub(super) fn set_link(&self, target: Target, up: bool) -> anyhow::Result<()> {
        let server = &self.servers[usize::from(target.server)];
        let cores = target.core.map_or(0..self.cores, |core| core.into()..u32::from(core) + 1);
        let state = if up { "up" } else { "down" };
        cores.map(|core| inner(core as usize)).try_for_each(|end| {
            // Sooner than a program that is started in there.
            let line = format!("ip -n {} link set {end} {state}", server.name());
            namespace::must(&line).map(drop)
        })
    }
}

/// The kernel's main table.
pub(super) const MAIN: usize = 254;

/// A route as `ip route` and `ip monitor route` write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) to: Ipv4Net,
    pub(super) table: usize,
    pub(super) via: Option<Ipv4Addr>,
}

impl Route {
    /// Reads a line; `None` for a route to somewhere else than a prefix of packets.
    pub(super) fn parse(line: &str) -> Option<Route> {
        let mut words = line.split_whitespace();
        let to = match words.next()? {
            "default" => Ipv4Net::default(),
            text => {
                text.parse().ok().or_else(|| text.parse().ok().map(|ip: Ipv4Addr| ip.into()))?
            }
        };
        let words: Vec<&str> = words.collect();
        let after = |name: &str| {
            let at = words.iter().position(|word| *word == name)?;
            words.get(at + 1).copied()
        };
        let table = after("table").map_or(Ok(MAIN), str::parse).ok()?;
        Some(Route { to, table, via: after("via").and_then(|via| via.parse().ok()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_read_as_ip_writes_it() {
        let read = |line| Route::parse(line).map(|it| (it.to.to_string(), it.table, it.via));
        let via = |text: &str| text.parse().ok();
        let host = "198.18.0.0 via 10.1.0.0 dev core0 proto bird metric 32";
        assert_eq!(read(host), Some(("198.18.0.0/32".to_owned(), 254, via("10.1.0.0"))));
        let default = "default via 10.1.1.0 dev core1 table 1000 proto bird metric 32";
        assert_eq!(read(default), Some(("0.0.0.0/0".to_owned(), 1000, via("10.1.1.0"))));
        let link = "10.1.0.0 dev core0 proto kernel scope link src 10.254.0.1";
        assert_eq!(read(link), Some(("10.1.0.0/32".to_owned(), 254, None)));
        assert_eq!(read("local 10.254.0.1 dev core0 table local proto kernel"), None);
    }
}
