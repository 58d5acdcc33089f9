//! A network of cores, a router that watches them, and a host that is all subscribers and all of the
//! Internet. One thread, one virtual clock; what fails is a plug, and nobody is told.

#[expect(dead_code, reason = "these tests need a few of the packets")]
#[path = "../nat/rig/packet.rs"]
mod packet;

pub(crate) use packet::{Packet, tcp, udp};

use dataplane::bfd;
use dataplane::burst::Burst;
use dataplane::clock::Nanos;
use dataplane::frame::{Arena, Buffer, Frame};
use dataplane::identity::{Identity, Mac};
use dataplane::port::Port;
use dataplane::port::link::{Link, Network};
use dataplane::port::plug::{Plug, Socket};
use dataplane::router::{Event, Router, What};
use dataplane::run::Load;
use dataplane::switch::{Fib, NextHop, NextHopId, PortId, Switch};
use dataplane::worker::{CoreId, ServerId, Worker};
use krononat::cluster::Cluster;
use krononat::config::{self, Config, CoreConfig, Duty, ShardConfig, Timers};
use krononat::worker::{Counters, Krononat, pipeline};
use rtrb::{Consumer, RingBuffer};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::num::NonZeroU8;
use std::sync::Arc;

/// Addresses the packet builders put into a frame; the network rewrites them.
pub(crate) const GATEWAY: [u8; 6] = Mac::of(9, 0, 0).0;
pub(crate) const CORE: [u8; 6] = Mac::of(1, 0, 0).0;

/// Virtual time between two steps of a worker.
const STEP: Nanos = Nanos(5_000);

const FRAMES: usize = 512;
pub(crate) const KEY: [u8; 16] = [0x5a; 16];
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);

type CorePort<'a> = Switch<Plug<Link<'a>>>;
pub(crate) type Core<'a> = Krononat<CorePort<'a>>;

/// A server: alive, or a port that nobody serves.
pub(crate) enum Server<'a> {
    Up(Box<Core<'a>>),
    Down(Option<Box<CorePort<'a>>>),
}

pub(crate) struct Rig<'a> {
    pub(crate) now: Nanos,
    pub(crate) servers: Vec<Server<'a>>,
    pub(crate) sockets: Vec<Arc<Socket>>,
    /// Servers that do not get to run.
    pub(crate) asleep: Vec<bool>,
    host: Switch<Link<'a>>,
    router: Router<Switch<Link<'a>>>,
    events: Consumer<Event>,
    pub(crate) arrived: Vec<Vec<u8>>,
    starts: u64,
    steps: u64,
}

pub(crate) fn core_address(server: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, server as u8, 0)
}

fn identity(role: u8, server: usize, ip: Ipv4Addr) -> Identity {
    let mac = Mac::of(role, server as u16, 0);
    Identity { mac, vlan: None, ip, asn: None, gateway: Mac::of(9, 0, 0) }
}

/// Shard i of as many as there are servers: server i serves it, the next one holds the copy.
fn shard(id: usize, servers: usize, server: usize) -> Option<ShardConfig> {
    let slave = (id + 1) % servers;
    let (duty, other) = match server {
        _ if server == id => (Duty::Master, slave),
        _ if server == slave => (Duty::Slave, id),
        _ => return None,
    };
    Some(ShardConfig {
        id: id as u32,
        subscribers: vec![format!("100.64.{id}.0/24").parse().expect("a prefix")],
        external: format!("198.18.{id}.0/31").parse().expect("a prefix"),
        duty,
        peer: core_address(other),
    })
}

pub(crate) fn config(server: usize, servers: usize) -> Config {
    Config {
        server: ServerId(server as u16),
        seed: 7,
        kind: config::Kind::Krononat,
        store: None,
        port_block: 64,
        connections_max: 8192,
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
            shards: (0..servers).filter_map(|id| shard(id, servers, server)).collect(),
            subscribers6: Vec::new(),
            ip6: None,
            ports: Vec::new(),
        }],
    }
}

/// Runs `test` on a cluster of `servers`, which has just been switched on.
pub(crate) fn with_cluster(servers: usize, test: impl FnOnce(&mut Rig<'_>)) {
    let mut arena = Arena::new(FRAMES * (servers + 2)).expect("memory");
    test(&mut Rig::new(&mut arena, servers));
}

impl<'a> Rig<'a> {
    fn new(arena: &'a mut Arena, servers: usize) -> Rig<'a> {
        let (host, router) = (servers, servers + 1);
        let mut network = Network::new(arena, &vec![FRAMES; servers + 2], 256);
        for a in 0..servers {
            (a + 1..servers + 2).for_each(|b| network.connect(a, b));
        }
        let ports: Vec<PortId> = (0..servers + 2).map(|port| PortId(port as u16)).collect();
        let macs: Vec<Mac> = (0..servers)
            .map(|server| Mac::of(1, server as u16, 0))
            .chain([Mac::of(2, 0, 0), Mac::of(9, 0, 0)])
            .collect();
        let (inward, outward) = fibs(&macs, servers);
        let neighbours =
            |me: usize| ports.iter().copied().filter(|port| usize::from(port.0) != me).collect();
        let mut links = network.into_ports().into_iter();
        let sockets: Vec<Arc<Socket>> = (0..servers).map(|_| Arc::default()).collect();
        let down = links
            .by_ref()
            .take(servers)
            .enumerate()
            .map(|(server, link)| {
                let plug = Plug::new(link, sockets[server].clone(), server as u64);
                let all: Vec<PortId> = neighbours(server);
                Server::Down(Some(Box::new(Switch::new(plug, outward.clone(), &all))))
            })
            .collect();
        let cores = &ports[..servers];
        let mut rest = links.map(|link| Switch::new(link, inward.clone(), cores));
        let (host_port, router_port) = (rest.next().expect("host"), rest.next().expect("router"));
        let (producer, events) = RingBuffer::new(1024);
        let watched: Vec<_> =
            cores.iter().map(|&port| (port, core_address(usize::from(port.0)))).collect();
        let interval = Nanos(3_300_000);
        let multiplier = NonZeroU8::new(3).expect("three");
        let timing = bfd::Settings { min_tx: interval, min_rx: interval, multiplier };
        let me = identity(9, 0, ROUTER);
        let router_ = Router::new(router_port, me, inward, &watched, timing, Nanos(0), producer)
            .with_links(sockets.clone());
        assert_eq!((host, router), (servers, servers + 1));
        let mut rig = Rig {
            now: Nanos(1_000_000_000),
            servers: down,
            sockets,
            asleep: vec![false; servers],
            host: host_port,
            router: router_,
            events,
            arrived: Vec::new(),
            starts: 0,
            steps: 0,
        };
        (0..servers).for_each(|server| rig.start(server));
        rig
    }

    /// Starts a server that is down, with nothing but its configuration.
    pub(crate) fn start(&mut self, server: usize) {
        let config = config(server, self.servers.len());
        let Server::Down(port) = &mut self.servers[server] else { panic!("{server} runs") };
        let port = port.take().expect("a port");
        let pipeline = pipeline(&config, &config.cores[0]).expect("a core");
        self.starts += 1;
        let cluster = Cluster::new(&config, &config.cores[0], pipeline.shard(), self.starts);
        let core = Krononat::new(*port, pipeline, Arc::new(Counters::default()));
        self.sockets[server].set(true, true);
        self.servers[server] = Server::Up(Box::new(core.with_cluster(cluster)));
    }

    /// Ends a server without a word.
    pub(crate) fn kill(&mut self, server: usize) {
        let Server::Up(core) = std::mem::replace(&mut self.servers[server], Server::Down(None))
        else {
            panic!("{server} is down")
        };
        self.servers[server] = Server::Down(Some(Box::new(core.into_port())));
        self.sockets[server].set(false, false);
    }

    pub(crate) fn core(&self, server: usize) -> &Core<'a> {
        let Server::Up(core) = &self.servers[server] else { panic!("{server} is down") };
        core
    }

    pub(crate) fn core_mut(&mut self, server: usize) -> &mut Core<'a> {
        let Server::Up(core) = &mut self.servers[server] else { panic!("{server} is down") };
        core
    }

    /// Lets `ms` milliseconds pass.
    pub(crate) fn pass(&mut self, ms: f64) {
        let end = self.now + Nanos((ms * 1e6) as u64);
        while self.now < end {
            self.step();
        }
    }

    pub(crate) fn step(&mut self) {
        self.now = self.now + STEP;
        self.steps += 1;
        let now = self.now;
        for (server, asleep) in self.servers.iter_mut().zip(&self.asleep) {
            match server {
                Server::Up(_) if *asleep => {}
                Server::Up(core) => {
                    core.step(now);
                    if self.steps.is_multiple_of(64) {
                        core.housekeeping(now, &Load::default());
                    }
                }
                Server::Down(port) => {
                    let (port, mut lost) = (port.as_mut().expect("a port"), Burst::new());
                    port.rx(&mut lost);
                    port.free(&mut lost);
                }
            }
        }
        self.router.step(now);
        let mut burst: Burst<&mut Buffer> = Burst::new();
        self.host.rx(&mut burst);
        self.arrived.extend(burst.iter().map(|frame| frame.bytes().to_vec()));
        self.host.free(&mut burst);
    }

    /// What the router has noticed since it was asked last.
    pub(crate) fn noticed(&mut self) -> Vec<What> {
        std::iter::from_fn(|| self.events.pop().ok()).map(|event| event.what).collect()
    }

    /// Sends a frame into the network, which finds its way.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let mut burst = Burst::new();
        self.host.alloc(&mut burst, 1);
        let frame = burst.first_mut().expect("a frame");
        frame.set_len(bytes.len());
        frame.bytes_mut().copy_from_slice(bytes);
        self.host.tx(&mut burst);
    }

    /// Sends a packet and returns what becomes of it within a tenth of a millisecond.
    pub(crate) fn exchange(&mut self, packet: Packet) -> Option<Packet> {
        self.arrived.clear();
        self.send(&packet.sealed().bytes());
        self.pass(0.1);
        self.arrived.pop().map(|bytes| Packet::read(&bytes))
    }
}

/// Routes to the servers' shards and addresses, and from the servers to all others.
fn fibs(macs: &[Mac], servers: usize) -> (Arc<Fib>, Arc<Fib>) {
    let net = |text: String| text.parse().expect("a prefix");
    let port = |index: usize| PortId(index as u16);
    let hop = |index: usize| NextHopId(index as u16);
    let shards = (0..servers).map(|id| NextHop::via(port(id), Some(port((id + 1) % servers))));
    let own = (0..servers).map(|id| NextHop::to(port(id)));
    let hops: Vec<NextHop> = shards.chain(own.clone()).collect();
    let mut to = Vec::new();
    let mut from = Vec::new();
    for id in 0..servers {
        to.push((net(format!("198.18.{id}.0/31")), hop(id)));
        to.push((net(format!("10.1.{id}.0/32")), hop(servers + id)));
        from.push((net(format!("100.64.{id}.0/24")), hop(id)));
    }
    let inward = Fib::new(macs, &hops, &to, &from);
    let (host, router) = (port(servers), port(servers + 1));
    let hops: Vec<NextHop> = own.chain([NextHop::to(host), NextHop::to(router)]).collect();
    let mut to = vec![
        (net("0.0.0.0/0".into()), hop(servers)),
        (net("10.9.0.1/32".into()), hop(servers + 1)),
    ];
    to.extend((0..servers).map(|id| (net(format!("10.1.{id}.0/32")), hop(id))));
    (Arc::new(inward), Arc::new(Fib::new(macs, &hops, &to, &[])))
}

/// Subscriber `number` of a shard, at a port.
pub(crate) fn subscriber(shard: usize, number: u8, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(100, 64, shard as u8, number), port)
}
