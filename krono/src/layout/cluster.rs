//! The addresses of a cluster: the subscribers of each SUT core divided into shards, the two cores of
//! each, and the router that watches them all.
//!
//! A core's shards are parts of its block of every pair, one after the other, so that the generator
//! knows nothing of them: what it calls a shard is what one core serves when all is well.

use super::{Layout, Role, Routes, block, split};
use dataplane::identity::{Identity, Mac};
use dataplane::switch::{NextHop, NextHopId, PortId};
use format::plan::SutKind;
use ipnet::{Ipv4Net, Ipv4Subnets};
use krononat::config::{Cluster, Duty, Key, ShardConfig};
use krononat::placement::{self, Assignment};
use std::net::Ipv4Addr;

/// What a router has to steer together, and by which cores it may go, the best one first: a shard of
/// a cluster, or all that a core alone serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steered {
    /// Found by source.
    pub subscribers: Vec<Ipv4Net>,
    /// Found by destination.
    pub external: Ipv4Net,
    /// SUT cores, counted over all servers.
    pub cores: Vec<u32>,
}

/// The router's own address: of no core.
pub(super) const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 254, 0, 1);

impl Layout<'_> {
    /// Whether servers hold copies of each other's connections.
    pub fn is_cluster(&self) -> bool {
        self.plan.sut.replicate && self.plan.topology.sut_kind == SutKind::Krononat
    }

    /// Port of the network that the router is on.
    pub fn router_port(&self) -> PortId {
        PortId((self.suts + self.generators) as u16)
    }

    /// What the router is on the network.
    pub fn router(&self) -> Identity {
        Identity {
            mac: self.router_mac(),
            vlan: None,
            ip: ROUTER,
            asn: None,
            gateway: self.router_mac(),
        }
    }

    pub(super) fn router_mac(&self) -> Mac {
        Mac::of(9, 0, 0)
    }

    /// Every SUT core's port and address.
    pub fn watched(&self) -> Vec<(PortId, Ipv4Addr)> {
        (0..self.suts)
            .map(|index| (self.sut_port(index), self.identity(Role::Sut, index).ip))
            .collect()
    }

    fn placement(&self) -> Vec<Assignment> {
        let topology = &self.plan.topology;
        placement::initial(topology.sut_servers, topology.sut_cores, self.per_core())
    }

    fn per_core(&self) -> u16 {
        self.plan.sut.shards_per_core
    }

    /// A SUT core counted over all servers.
    fn index_of(&self, place: placement::Place) -> u32 {
        u32::from(place.server) * u32::from(self.plan.topology.sut_cores) + u32::from(place.core)
    }

    /// Subscribers of a shard that a generator core plays: part of the pair's block.
    fn shard_subscribers(&self, shard: u32, generator: u32) -> Vec<Ipv4Net> {
        let per_core = u32::from(self.per_core());
        let (sut, turn) = (shard / per_core, shard % per_core);
        let all = self.subscribers(sut, generator);
        let (first, count) = (u32::from(all.network()), self.plan.addresses.subscribers_per_pair);
        let cut = |turn: u32| (u64::from(count) * u64::from(turn) / u64::from(per_core)) as u32;
        let (from, to) = (first + cut(turn), first + cut(turn + 1));
        Ipv4Subnets::new(from.into(), (to - 1).into(), 0).collect()
    }

    /// External addresses of a shard: as many as the port blocks of the largest one take.
    fn shard_external(&self, shard: u32) -> Ipv4Net {
        let addresses = &self.plan.addresses;
        let of_pair = addresses.subscribers_per_pair.div_ceil(u32::from(self.per_core()));
        let per_address = krononat::config::blocks_per_address(addresses.port_block);
        let count = (of_pair * self.generators).div_ceil(per_address).next_power_of_two();
        block(addresses.external, shard, count)
    }

    /// All that a router has to steer to the SUT.
    pub fn steered(&self) -> Vec<Steered> {
        if !self.is_cluster() {
            let core = |index| Steered {
                subscribers: (0..self.generators).map(|g| self.subscribers(index, g)).collect(),
                external: self.external(index),
                cores: vec![index],
            };
            return (0..self.suts).map(core).collect();
        }
        let shard = |(id, it): (u32, &Assignment)| Steered {
            subscribers: (0..self.generators)
                .flat_map(|generator| self.shard_subscribers(id, generator))
                .collect(),
            external: self.shard_external(id),
            cores: [Some(it.master), it.slave]
                .into_iter()
                .flatten()
                .map(|place| self.index_of(place))
                .collect(),
        };
        (0..).zip(&self.placement()).map(shard).collect()
    }

    /// External addresses that all shards take.
    pub fn external_addresses(&self) -> u64 {
        let shards = u64::from(self.suts) * u64::from(self.per_core());
        shards * (1 << (32 - self.shard_external(0).prefix_len()))
    }

    /// The shards that a SUT core has a part in.
    pub(super) fn shards_of(&self, index: u32) -> Vec<ShardConfig> {
        let address = |place| self.identity(Role::Sut, self.index_of(place)).ip;
        let (server, core) = split(index, self.plan.topology.sut_cores);
        let me = placement::Place { server: server.0, core: core.0 };
        let shard = |(id, it): (u32, &Assignment)| {
            let slave = it.slave.expect("a cluster has two servers at least");
            let (duty, other) = match me {
                _ if it.master == me => (Duty::Master, slave),
                _ if slave == me => (Duty::Slave, it.master),
                _ => return None,
            };
            let subscribers = (0..self.generators).flat_map(|g| self.shard_subscribers(id, g));
            Some(ShardConfig {
                id,
                subscribers: subscribers.collect(),
                external: self.shard_external(id),
                duty,
                peer: address(other),
            })
        };
        (0..).zip(&self.placement()).filter_map(shard).collect()
    }

    /// How the servers of the cluster keep each other's connections.
    pub(super) fn cluster(&self) -> Option<Cluster> {
        let network = &self.plan.network;
        let seed = self.plan.seed.to_be_bytes();
        let mut key = *b"krono run 0seed!";
        key[8..].copy_from_slice(&seed);
        self.is_cluster().then(|| Cluster {
            key: Key(key),
            router: Some(ROUTER),
            bgp: None,
            bfd_interval_us: network.bfd_interval_ns / 1_000,
            bfd_multiplier: network.bfd_multiplier,
            // A third of the router's own patience with one packet, and never long.
            beat_us: (network.bfd_interval_ns / 3_000).clamp(500, 10_000),
            drain_ms: 20,
        })
    }

    /// Routes of a cluster from generators and router to the SUT: each shard by its two cores, each
    /// core by its own address.
    pub(super) fn routes_to_cluster(&self) -> Routes {
        let placement = self.placement();
        let port = |place| self.sut_port(self.index_of(place));
        let shards = placement.iter().map(|it| NextHop::via(port(it.master), it.slave.map(port)));
        let cores = (0..self.suts).map(|index| NextHop::to(self.sut_port(index)));
        let hops: Vec<NextHop> = shards.chain(cores).collect();
        let (mut to, mut from) = (Vec::new(), Vec::new());
        for shard in 0..placement.len() as u32 {
            let hop = NextHopId(shard as u16);
            to.push((self.shard_external(shard), hop));
            for generator in 0..self.generators {
                let subscribers = self.shard_subscribers(shard, generator);
                from.extend(subscribers.into_iter().map(|net| (net, hop)));
            }
        }
        to.extend(self.own_addresses(placement.len()));
        Routes { hops, by_destination: to, by_source: from }
    }

    /// A route to each SUT core's own address, with next hops from `first` on.
    pub(super) fn own_addresses(&self, first: usize) -> Vec<(Ipv4Net, NextHopId)> {
        let route = |index: u32| {
            let address = self.identity(Role::Sut, index).ip;
            (Ipv4Net::from(address), NextHopId((first + index as usize) as u16))
        };
        (0..self.suts).map(route).collect()
    }
}
