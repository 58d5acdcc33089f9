//! What the servers, the router and the routes of a world are made of: as `krono` would write it for a
//! testbed of so many servers with one core each.

use crate::net::{Net, Wire};
use dataplane::bfd;
use dataplane::clock::Nanos;
use dataplane::identity::{Identity, Mac};
use dataplane::router::Router;
use dataplane::switch::{Fib, NextHop, NextHopId, PortId};
use dataplane::worker::{CoreId, ServerId};
use krononat::config::{self, Config, CoreConfig, Duty, ShardConfig, Timers};
use krononat::placement::Assignment;
use rtrb::RingBuffer;
use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::num::NonZeroU8;
use std::rc::Rc;
use std::sync::Arc;

pub(crate) const KEY: [u8; 16] = [0x5a; 16];
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);

pub(crate) fn core_address(server: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, server as u8, 0)
}

pub(crate) fn subscriber_base(shard: usize) -> u32 {
    u32::from(Ipv4Addr::new(100, 64, shard as u8, 0))
}

/// The shard of a user's packet.
pub(crate) fn shard_of(source: u32, destination: u32) -> Option<usize> {
    let of = |address: u32, net: [u8; 2]| {
        let [a, b, shard, _] = address.to_be_bytes();
        ([a, b] == net).then_some(usize::from(shard))
    };
    of(source, [100, 64]).or_else(|| of(destination, [198, 18]))
}

fn identity(role: u8, server: usize, ip: Ipv4Addr) -> Identity {
    let mac = Mac::of(role, server as u16, 0);
    Identity { mac, vlan: None, ip, asn: None, gateway: Mac::of(9, 0, 0) }
}

fn part(id: usize, it: &Assignment, server: usize) -> Option<ShardConfig> {
    let slave = it.slave.expect("more than one server");
    let (master, slave) = (usize::from(it.master.server), usize::from(slave.server));
    let (duty, other) = match server {
        _ if server == master => (Duty::Master, slave),
        _ if server == slave => (Duty::Slave, master),
        _ => return None,
    };
    Some(ShardConfig {
        id: id as u32,
        subscribers: vec![format!("100.64.{id}.0/28").parse().expect("a prefix")],
        external: format!("198.18.{id}.0/32").parse().expect("a prefix"),
        duty,
        peer: core_address(other),
    })
}

pub(super) fn config(server: usize, shards: &[Assignment]) -> Config {
    Config {
        server: ServerId(server as u16),
        seed: 7,
        kind: config::Kind::Krononat,
        store: None,
        port_block: 64,
        connections_max: 2048,
        shared_sessions_max: None,
        subscriber_connections_max: None,
        half_open_max: None,
        filtering: config::Filtering::default(),
        connections6_max: 0,
        setups_per_s_max: None,
        cluster: Some(config::Cluster {
            key: config::Key(KEY),
            router: Some(ROUTER),
            bgp: None,
            bfd_interval_us: 3_300,
            bfd_multiplier: 3,
            beat_us: 1_000,
            drain_ms: 20,
        }),
        timers: Timers::default(),
        cores: vec![CoreConfig {
            core: CoreId(0),
            cpu: None,
            identity: identity(1, server, core_address(server)),
            subscribers: Vec::new(),
            external: None,
            shards: shards.iter().enumerate().filter_map(|(id, it)| part(id, it, server)).collect(),
            subscribers6: Vec::new(),
            ip6: None,
            ports: Vec::new(),
        }],
    }
}

/// Where users' packets go: to a shard's master, or its slave while that is down.
pub(super) fn fib(shards: &[Assignment], servers: usize) -> Arc<Fib> {
    let macs: Vec<Mac> = (0..servers + 2).map(|server| Mac::of(1, server as u16, 0)).collect();
    let port = |place: krononat::placement::Place| PortId(place.server);
    let hops: Vec<NextHop> =
        shards.iter().map(|it| NextHop::via(port(it.master), it.slave.map(port))).collect();
    let net = |text: String| text.parse().expect("a prefix");
    let routes = |of: &dyn Fn(usize) -> String| -> Vec<_> {
        (0..shards.len()).map(|id| (net(of(id)), NextHopId(id as u16))).collect()
    };
    let to = routes(&|id| format!("198.18.{id}.0/32"));
    let from = routes(&|id| format!("100.64.{id}.0/28"));
    Arc::new(Fib::new(&macs, &hops, &to, &from))
}

pub(super) fn router(net: &Rc<RefCell<Net>>, fib: &Arc<Fib>, servers: usize) -> Router<Wire> {
    let station = net.borrow().router();
    let port = Wire { net: net.clone(), station };
    let watched: Vec<_> =
        (0..servers).map(|server| (PortId(server as u16), core_address(server))).collect();
    let interval = Nanos(3_300_000);
    let multiplier = NonZeroU8::new(3).expect("three");
    let timing = bfd::Settings { min_tx: interval, min_rx: interval, multiplier };
    // Nobody reads what it has noticed: the checkers look at its table.
    let (events, _) = RingBuffer::new(1);
    Router::new(port, identity(9, 0, ROUTER), fib.clone(), &watched, timing, Nanos(0), events)
}
