//! Who has which address: from a plan to the configuration of every server, and the routes between.
//!
//! Everything follows by arithmetic from the numbers of generator cores G and SUT cores M. The
//! subscribers of SUT core j and generator core g are block j·G + g of the subscribers' prefix, so
//! that a SUT core owns one range, and a generator core one block with each SUT core. Ports of the
//! network are numbered SUT cores first.

mod cluster;

pub use cluster::Steered;

use dataplane::identity::{Identity, Mac};
use dataplane::run::Idle;
use dataplane::switch::{Fib, NextHop, NextHopId, PortId};
use dataplane::worker::{CoreId, ServerId};
use format::plan::{PhasePlan, Plan, Polling, Rate, SutKind, Until};
use format::scenario::Demand;
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// Servers a generator core plays at most: beyond that more addresses prove nothing.
const SERVERS_MAX: u32 = 256;

/// A core of the network, counted over all servers of its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Sut,
    Generator,
}

/// Routes, and the next hops they name.
struct Routes {
    hops: Vec<NextHop>,
    by_destination: Vec<(Ipv4Net, NextHopId)>,
    by_source: Vec<(Ipv4Net, NextHopId)>,
}

/// The addresses of a plan.
#[derive(Clone, Copy, Debug)]
pub struct Layout<'a> {
    plan: &'a Plan,
    generators: u32,
    suts: u32,
}

impl<'a> Layout<'a> {
    /// The layout of `plan`.
    pub fn new(plan: &'a Plan) -> Layout<'a> {
        Layout { plan, generators: plan.topology.generators(), suts: plan.topology.suts() }
    }

    /// Cores of the SUT, counted over all servers.
    pub fn suts(&self) -> u32 {
        self.suts
    }

    fn identity(&self, role: Role, index: u32) -> Identity {
        let cores = match role {
            Role::Sut => self.plan.topology.sut_cores,
            Role::Generator => self.plan.topology.generator_cores,
        };
        let (server, core) = split(index, cores);
        let [high, low] = server.0.to_be_bytes();
        let second = if role == Role::Sut { 1 } else { 2 + high };
        Identity {
            mac: mac(role, server, core),
            vlan: None,
            ip: Ipv4Addr::new(10, second, low, core.0 as u8),
            asn: None,
            gateway: self.router_mac(),
        }
    }

    /// Subscribers of SUT core `sut` that generator core `generator` plays.
    fn subscribers(&self, sut: u32, generator: u32) -> Ipv4Net {
        let count = self.plan.addresses.subscribers_per_pair;
        block(self.plan.addresses.subscribers, sut * self.generators + generator, count)
    }

    /// External addresses of a SUT core: as many as its subscribers' port blocks take.
    fn external(&self, sut: u32) -> Ipv4Net {
        let addresses = &self.plan.addresses;
        let subscribers = addresses.subscribers_per_pair * self.generators;
        let per_address = krononat::config::blocks_per_address(addresses.port_block);
        let count = subscribers.div_ceil(per_address).next_power_of_two();
        block(addresses.external, sut, count)
    }

    /// Internet side of a generator core.
    fn internet(&self, generator: u32) -> Ipv4Net {
        let net = self.plan.addresses.internet;
        let all = 1u32 << (32 - u32::from(net.prefix_len())).min(31);
        let share = all / self.generators.next_power_of_two();
        block(net, generator, share.clamp(1, SERVERS_MAX))
    }

    /// Phases in the order they run: the first once, the others as often as the plan repeats them.
    fn order(&self) -> impl Iterator<Item = (&'a PhasePlan, u32)> + use<'a> {
        let phases = &self.plan.phases;
        let repeated = phases.len().min(1);
        let rest = (0..self.plan.repeat).flat_map(move |repetition| {
            phases[repeated..].iter().map(move |phase| (phase, repetition))
        });
        phases[..repeated].iter().map(|phase| (phase, 0)).chain(rest)
    }

    /// Phase of the plan, and its repetition, that runs as number `index`.
    ///
    /// # Panics
    /// When there is no such phase.
    pub fn phase_of(&self, index: usize) -> (&'a PhasePlan, u32) {
        self.order().nth(index).unwrap_or_else(|| panic!("a run has no phase {index}"))
    }

    /// Server and core of a generator core counted over all servers.
    pub fn generator_place(&self, index: u32) -> (u16, u16) {
        let (server, core) = split(index, self.plan.topology.generator_cores);
        (server.0, core.0)
    }

    /// Server and core of a SUT core counted over all servers.
    pub fn sut_place(&self, index: u32) -> (u16, u16) {
        let (server, core) = split(index, self.plan.topology.sut_cores);
        (server.0, core.0)
    }

    /// Configuration of the server of a SUT core, and the core's place in it.
    pub fn sut_of(&self, index: u32) -> (krononat::config::Config, usize) {
        let (server, core) = self.sut_place(index);
        (self.sut(server), usize::from(core))
    }

    /// All generator cores as those of one server, numbered through: for one process.
    pub fn all_generators(&self) -> kronogen::config::Config {
        let mut all = self.generator(0);
        for server in 1..self.plan.topology.generator_servers {
            all.cores.extend(self.generator(server).cores);
        }
        for (index, core) in all.cores.iter_mut().enumerate() {
            core.core = CoreId(index as u16);
        }
        all
    }

    /// Configuration of one generator server. Rates and connections of the plan are shared out
    /// evenly over all generator cores; what does not divide goes to the first.
    pub fn generator(&self, server: u16) -> kronogen::config::Config {
        let plan = self.plan;
        let cores = u32::from(plan.topology.generator_cores);
        let first = u32::from(server) * cores;
        kronogen::config::Config {
            server: ServerId(server),
            seed: plan.seed,
            sizes: plan.traffic.sizes.clone(),
            up_share: plan.traffic.up_share,
            udp_share: plan.traffic.udp_share,
            reset_share: plan.traffic.reset_share,
            zipf: plan.traffic.zipf,
            translated: !plan.topology.sut_kind.translates_nothing(),
            deadline_ns: plan.traffic.deadline_ns,
            drain_ns: plan.traffic.drain_ns,
            batch: plan.traffic.batch as usize,
            window: 1024,
            retry_ns: 100_000_000,
            attempts: 5,
            linger_ns: 100_000_000,
            // Who measures does not sleep: what it does late would be its own.
            idle: Idle::Spin,
            cores: (first..first + cores).map(|index| self.generator_core(index)).collect(),
            phases: self.order().map(|(phase, _)| self.phase(phase)).collect(),
            network: None,
        }
    }

    /// What cores do when there is nothing to do.
    pub fn idle(&self) -> Idle {
        match self.plan.topology.polling {
            Polling::Busy => Idle::Spin,
            Polling::Adaptive => Idle::Sleep,
        }
    }

    fn generator_core(&self, index: u32) -> kronogen::config::CoreConfig {
        let (_, core) = split(index, self.plan.topology.generator_cores);
        let range = |net: Ipv4Net| kronogen::config::Range {
            first: net.network(),
            count: self.plan.addresses.subscribers_per_pair,
        };
        kronogen::config::CoreConfig {
            core,
            cpu: None,
            connections: self.held_per_core(self.peak()),
            servers: self.internet(index),
            gateways: (0..self.suts).map(|sut| self.identity(Role::Sut, sut).mac).collect(),
            identity: self.identity(Role::Generator, index),
            subscribers: (0..self.suts).map(|sut| range(self.subscribers(sut, index))).collect(),
            ports: Vec::new(),
        }
    }

    fn held_per_core(&self, all: u64) -> u32 {
        u32::try_from(all.div_ceil(u64::from(self.generators))).unwrap_or(u32::MAX)
    }

    /// Most connections held at a time, over all phases.
    fn peak(&self) -> u64 {
        let phases: Vec<PhasePlan> = self.order().map(|(phase, _)| phase.clone()).collect();
        let (timers, traffic) = (&self.plan.sut.timers, &self.plan.traffic);
        let demand = Demand::of(&phases, timers, traffic.udp_share, traffic.zipf);
        demand.held_peak.max(traffic.connections)
    }

    fn phase(&self, phase: &PhasePlan) -> kronogen::config::Phase {
        let share = 1.0 / f64::from(self.generators);
        kronogen::config::Phase {
            name: phase.name.clone(),
            open_per_s: phase.open_per_s * share,
            close_per_s: phase.close_per_s * share,
            rate: match phase.rate {
                Rate::None => kronogen::config::Rate::None,
                Rate::Max => kronogen::config::Rate::Max,
                Rate::Pps(pps) => kronogen::config::Rate::Pps(pps * share),
            },
            shape: phase.shape,
            attack: kronogen::attack::Attack {
                syn_flood_per_s: phase.attack.syn_flood_per_s * share,
                attackers: phase.attack.attackers.div_ceil(self.generators),
                scan_per_s: phase.attack.scan_per_s * share,
            },
            until: match phase.until {
                Until::Held(count) => kronogen::config::Until::Held(self.held_per_core(count)),
                Until::For(ns) => kronogen::config::Until::For(ns),
                Until::Validated => kronogen::config::Until::Validated,
            },
            sample: phase.sample.map(|size| self.sampled_per_core(size)),
        }
    }

    fn sampled_per_core(&self, all: u64) -> u32 {
        u32::try_from(all.div_ceil(u64::from(self.generators))).unwrap_or(u32::MAX)
    }

    /// Configuration of one SUT server.
    pub fn sut(&self, server: u16) -> krononat::config::Config {
        let plan = self.plan;
        let timers = &plan.sut.timers;
        let cores = u32::from(plan.topology.sut_cores);
        let first = u32::from(server) * cores;
        krononat::config::Config {
            server: ServerId(server),
            seed: plan.seed,
            kind: match plan.topology.sut_kind {
                SutKind::Forwarder => krononat::config::Kind::Forwarder,
                SutKind::LockedNat => krononat::config::Kind::LockedNat,
                SutKind::RwlockNat => krononat::config::Kind::RwlockNat,
                SutKind::Maglev => krononat::config::Kind::Maglev,
                SutKind::RemoteState => krononat::config::Kind::RemoteState,
                _ => krononat::config::Kind::Krononat,
            },
            store: None,
            port_block: plan.addresses.port_block,
            connections_max: u32::try_from(plan.sut.table_entries).unwrap_or(u32::MAX),
            shared_sessions_max: None,
            subscriber_connections_max: Some(plan.sut.subscriber_connections_max),
            half_open_max: Some(plan.sut.half_open_max),
            filtering: krononat::config::Filtering::default(),
            connections6_max: 0,
            setups_per_s_max: plan.sut.setups_per_s_max,
            cluster: self.cluster(),
            timers: krononat::config::Timers {
                udp_ms: timers.udp_ns.div_ceil(1_000_000),
                icmp_ms: timers.icmp_ns.div_ceil(1_000_000),
                tcp_half_open_ms: timers.tcp_half_open_ns.div_ceil(1_000_000),
                tcp_transitory_ms: timers.tcp_transitory_ns.div_ceil(1_000_000),
                tcp_established_ms: timers.tcp_established_ns.div_ceil(1_000_000),
            },
            cores: (first..first + cores).map(|index| self.sut_core(index)).collect(),
        }
    }

    fn sut_core(&self, index: u32) -> krononat::config::CoreConfig {
        let (_, core) = split(index, self.plan.topology.sut_cores);
        let alone = !self.is_cluster();
        let subscribers = (0..self.generators).map(|g| self.subscribers(index, g));
        krononat::config::CoreConfig {
            core,
            cpu: None,
            identity: self.identity(Role::Sut, index),
            subscribers: subscribers.filter(|_| alone).collect(),
            external: alone.then(|| self.external(index)),
            shards: if alone { Vec::new() } else { self.shards_of(index) },
            subscribers6: Vec::new(),
            ip6: None,
            ports: Vec::new(),
        }
    }

    /// Port of the network that a SUT core is on.
    pub fn sut_port(&self, index: u32) -> PortId {
        PortId(index as u16)
    }

    /// Port of the network that a generator core is on.
    pub fn generator_port(&self, index: u32) -> PortId {
        PortId((self.suts + index) as u16)
    }

    fn macs(&self) -> Vec<Mac> {
        let suts = (0..self.suts).map(|index| self.identity(Role::Sut, index).mac);
        let generators = (0..self.generators).map(|i| self.identity(Role::Generator, i).mac);
        suts.chain(generators).chain([self.router_mac()]).collect()
    }

    /// Routes from the generators to the SUT cores: external addresses by destination, and what
    /// subscribers send by source. A forwarder translates nothing, so what it is to send back comes
    /// under the subscribers' own addresses.
    pub fn towards_sut(&self) -> Fib {
        let Routes { hops, by_destination, by_source } = self.routes_to_sut();
        Fib::new(&self.macs(), &hops, &by_destination, &by_source)
    }

    fn routes_to_sut(&self) -> Routes {
        if self.is_cluster() {
            return self.routes_to_cluster();
        }
        let only = |index| NextHop::via(self.sut_port(index), None);
        let hops: Vec<NextHop> = (0..self.suts).map(only).collect();
        let hop = |index: u32| NextHopId(index as u16);
        let subscribers: Vec<_> = self
            .pairs()
            .map(|(sut, generator)| (self.subscribers(sut, generator), hop(sut)))
            .collect();
        let by_destination: Vec<_> = match self.plan.topology.sut_kind.translates_nothing() {
            true => subscribers.clone(),
            false => (0..self.suts).map(|sut| (self.external(sut), hop(sut))).collect(),
        };
        Routes { hops, by_destination, by_source: subscribers }
    }

    /// The network as a generator server plays it that has a port to each SUT core. Its router waits
    /// for all cores but `absent` of them.
    pub fn network(&self, absent: usize) -> kronogen::config::Network {
        let Routes { hops, by_destination, by_source } = self.routes_to_sut();
        let network = &self.plan.network;
        kronogen::config::Network {
            macs: (0..self.suts).map(|index| self.identity(Role::Sut, index).mac).collect(),
            hops,
            by_destination,
            by_source,
            router: self.is_cluster().then(|| kronogen::config::Router {
                identity: self.router(),
                cores: self.watched().into_iter().map(|(_, address)| address).collect(),
                bfd_interval_us: network.bfd_interval_ns / 1_000,
                bfd_multiplier: network.bfd_multiplier,
                fib_delay_us: network.fib_delay_ns / 1_000,
                awaited: self.suts as usize - absent,
            }),
        }
    }

    /// Routes from the SUT to the generator cores, by destination.
    pub fn towards_generators(&self) -> Fib {
        let only = |index| NextHop::via(self.generator_port(index), None);
        let cores = (0..self.suts).map(|index| NextHop::to(self.sut_port(index)));
        let router = NextHop::to(self.router_port());
        let hops = (0..self.generators).map(only).chain(cores).chain([router]);
        let hops: Vec<NextHop> = hops.collect();
        let hop = |index: u32| NextHopId(index as u16);
        let subscribers =
            self.pairs().map(|(sut, generator)| (self.subscribers(sut, generator), hop(generator)));
        let internet = (0..self.generators).map(|index| (self.internet(index), hop(index)));
        let mut by_destination: Vec<_> = subscribers.chain(internet).collect();
        // What the cores of a cluster send each other, and the router.
        by_destination.extend(self.own_addresses(self.generators as usize));
        by_destination.push((cluster::ROUTER.into(), hop(self.generators + self.suts)));
        Fib::new(&self.macs(), &hops, &by_destination, &[])
    }

    /// What a router between machines has to know: whose each prefix is that generator cores play.
    /// All else that it is sent has come from them.
    pub fn routes_to_generators(&self) -> Vec<(Ipv4Net, Identity)> {
        let core = |index| self.identity(Role::Generator, index);
        let internet = (0..self.generators).map(|index| (self.internet(index), core(index)));
        let subscribers = self.pairs().map(|(sut, g)| (self.subscribers(sut, g), core(g)));
        internet.chain(subscribers).collect()
    }

    fn pairs(&self) -> impl Iterator<Item = (u32, u32)> + use<> {
        let generators = self.generators;
        (0..self.suts).flat_map(move |sut| (0..generators).map(move |g| (sut, g)))
    }
}

fn split(index: u32, cores: u16) -> (ServerId, CoreId) {
    let cores = u32::from(cores);
    (ServerId((index / cores) as u16), CoreId((index % cores) as u16))
}

const fn mac(role: Role, server: ServerId, core: CoreId) -> Mac {
    let role = match role {
        Role::Sut => 1,
        Role::Generator => 2,
    };
    Mac::of(role, server.0, core.0)
}

/// The `index`-th block of `count` addresses, a power of two, of a prefix.
///
/// # Panics
/// When the prefix has no such block: the plan was resolved for other numbers.
fn block(net: Ipv4Net, index: u32, count: u32) -> Ipv4Net {
    assert!(count.is_power_of_two(), "a block of {count} addresses is no prefix");
    let first = Ipv4Addr::from(u32::from(net.network()) + index * count);
    assert!(net.contains(&first), "{net} has no block {index} of {count} addresses");
    let len = 32 - count.trailing_zeros() as u8;
    Ipv4Net::new(first, len).unwrap_or_else(|error| panic!("/{len} is no prefix length: {error}"))
}
