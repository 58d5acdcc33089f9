//! A switch and its router on the core of whoever uses the network: for servers that are processes of
//! their own, each with one link to the network, as to a real switch.
//!
//! A [`Hub`] wraps a port with a lane to each core of the system under test. What its user sends is
//! routed as by a [`Switch`]. Of what arrives, packets to another core's own address are sent on to
//! that core, packets to the router are heard by the router ([`Control`]), and the rest is the user's.
//! The router speaks and steers in [`Port::tick`]; when nobody was there to receive for a while, it
//! hears what has waited before it misses anybody.
//!
//! What a lane refuses is lost in the network, and the sender is not told: a dead server takes no
//! packets, a hanging one has full queues, and a sender behind a switch learns of neither. The state of
//! a link is not looked at: whoever is to be missed is missed by its packets.

use crate::burst::Burst;
use crate::clock::Nanos;
use crate::frame::Frame;
use crate::port::dpdk::DpdkError;
use crate::port::{Lanes, Port, PortStats};
use crate::router::{Control, ROUNDS_AFTER_SLEEP, SLEPT};
use crate::switch::Switch;

/// Whose a frame is that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    User,
    Router,
    Core,
}

/// See the [module](self).
pub struct Hub<P: Lanes> {
    switch: Switch<P>,
    control: Option<Control>,
    now: Nanos,
    /// Receptions to come before the router may miss somebody, if none is empty, and how many of them were empty: the
    /// first may be, where a port hands out what an earlier one has taken.
    settling: u32,
    empty: u32,
}

impl<P: Lanes> Hub<P> {
    /// Routes by `switch`, whose table `control` writes; without one all cores are used always.
    pub fn new(switch: Switch<P>, control: Option<Control>) -> Hub<P> {
        Hub { switch, control, now: Nanos(0), settling: 0, empty: 0 }
    }

    /// Frames that were lost on the way to a core: no route, a dead core, or full queues.
    pub fn lost(&self) -> u64 {
        self.switch.stats().refused + self.switch.unroutable()
    }

    #[inline]
    fn whose(&self, frame: &P::Frame) -> Whose {
        let head = frame.head();
        let to = [head[30], head[31], head[32], head[33]];
        if head[12..14] != [0x08, 0x00] {
            Whose::User
        } else if self.control.as_ref().is_some_and(|control| control.me().ip.octets() == to) {
            Whose::Router
        } else if self.switch.fib().owner(u32::from_be_bytes(to)).is_some() {
            Whose::Core
        } else {
            Whose::User
        }
    }

    /// Takes what is not the user's out of what has arrived.
    fn sort(&mut self, into: &mut Burst<P::Frame>, before: usize) {
        let arrived: Burst<P::Frame> = into.drain(before..).collect();
        let (mut heard, mut passing) = (Burst::new(), Burst::new());
        for frame in arrived {
            match self.whose(&frame) {
                Whose::User => into.push(frame),
                Whose::Router => heard.push(frame),
                Whose::Core => passing.push(frame),
            }
        }
        if let Some(control) = &mut self.control {
            heard.iter().for_each(|frame| control.hear(frame.bytes(), self.now));
        }
        if !heard.is_empty() {
            self.switch.free(&mut heard);
        }
        if !passing.is_empty() {
            self.switch.tx(&mut passing);
        }
    }
}

impl<P: Lanes> Port for Hub<P> {
    type Frame = P::Frame;

    fn attach(&mut self) -> Result<(), DpdkError> {
        self.switch.attach()
    }

    #[inline]
    fn has_carrier(&self) -> bool {
        self.switch.has_carrier()
    }

    #[inline]
    fn tick(&mut self, now: Nanos) {
        if now.since(self.now) > SLEPT {
            self.settling = ROUNDS_AFTER_SLEEP * self.switch.neighbours() as u32;
            self.empty = 0;
            if let Some(control) = &mut self.control {
                control.wake(now.since(self.now), now);
            }
        }
        self.now = now;
        if let Some(control) = &mut self.control {
            control.attend(&mut self.switch, self.settling == 0, now);
        }
    }

    #[inline]
    fn rx(&mut self, into: &mut Burst<P::Frame>) {
        let before = into.len();
        self.switch.rx(into);
        self.settling = self.settling.saturating_sub(1);
        if into.len() == before {
            self.empty = self.empty.saturating_add(1);
            self.settling = if self.empty > 1 { 0 } else { self.settling };
            return;
        }
        if into[before..].iter().any(|frame| self.whose(frame) != Whose::User) {
            self.sort(into, before);
        }
    }

    /// Takes everything; see [`Hub::lost`].
    #[inline]
    fn tx(&mut self, burst: &mut Burst<P::Frame>) -> usize {
        let count = burst.len();
        self.switch.tx(burst);
        count
    }

    #[inline]
    fn alloc(&mut self, into: &mut Burst<P::Frame>, count: usize) {
        self.switch.alloc(into, count);
    }

    #[inline]
    fn free(&mut self, burst: &mut Burst<P::Frame>) {
        self.switch.free(burst);
    }

    /// Never full: one neighbour's queue must not hold up what goes to the others.
    #[inline]
    fn room(&mut self) -> usize {
        usize::MAX
    }

    /// Those of the lanes, with what they refused among what was sent.
    fn stats(&self) -> PortStats {
        let stats = self.switch.stats();
        PortStats { sent: stats.sent + stats.refused, refused: 0, ..stats }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bfd::{Session, Settings};
    use crate::frame::Arena;
    use crate::identity::{Identity, Mac};
    use crate::port::link::{Link, Network};
    use crate::router::{Event, What};
    use crate::switch::{Fib, NextHop, NextHopId, PortId};
    use crate::wire::bfd as wire;
    use ipnet::Ipv4Net;
    use rtrb::{Consumer, RingBuffer};
    use std::net::Ipv4Addr;
    use std::num::{NonZeroU8, NonZeroU32};
    use std::sync::Arc;

    const MS: u64 = 1_000_000;
    const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 254, 0, 1);
    const CORES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 1, 0, 0), Ipv4Addr::new(10, 1, 1, 0)];
    const USER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
    const SHARD: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 9);

    fn settings() -> Settings {
        let multiplier = NonZeroU8::new(3).unwrap();
        Settings { min_tx: Nanos(3 * MS), min_rx: Nanos(3 * MS), multiplier }
    }

    fn fib() -> Fib {
        let macs: Vec<Mac> = (0..2).map(|server| Mac::of(1, server, 0)).collect();
        let ports = [PortId(0), PortId(1)];
        let hops =
            [NextHop::via(ports[0], Some(ports[1])), NextHop::to(ports[0]), NextHop::to(ports[1])];
        let net = |address: Ipv4Addr, hop| (Ipv4Net::from(address), NextHopId(hop));
        Fib::new(&macs, &hops, &[net(SHARD, 0), net(CORES[0], 1), net(CORES[1], 2)], &[])
    }

    /// A core under test that only speaks BFD.
    struct Core<'a> {
        port: Link<'a>,
        session: Session,
        address: Ipv4Addr,
        /// Frames that were no BFD packets, as destination's Ethernet and IP address.
        got: Vec<([u8; 6], Ipv4Addr)>,
    }

    impl Core<'_> {
        fn step(&mut self, now: Nanos) {
            let mut burst = Burst::new();
            self.port.rx(&mut burst);
            for frame in &burst {
                match wire::read(frame.bytes()) {
                    Ok(it) => drop(self.session.receive(&it.control, now)),
                    Err(_) => self.got.push((destination(frame), to(frame))),
                }
            }
            self.port.free(&mut burst);
            if let Some(packet) = self.session.due(now) {
                let (mac, gateway) = (Mac::of(1, 0, 0), Mac::of(9, 0, 0));
                let ends = wire::Ends {
                    source_mac: mac,
                    destination_mac: gateway,
                    source: self.address,
                    destination: ROUTER,
                };
                self.port.alloc(&mut burst, 1);
                burst[0].set_len(wire::FRAME_LEN);
                burst[0].bytes_mut().copy_from_slice(&wire::encapsulate(&ends, &packet));
                self.port.tx(&mut burst);
            }
        }

        fn send(&mut self, to: Ipv4Addr) {
            let mut burst = Burst::new();
            self.port.alloc(&mut burst, 1);
            address(&mut burst[0], to);
            assert_eq!(self.port.tx(&mut burst), 1);
        }
    }

    fn destination(frame: &impl Frame) -> [u8; 6] {
        frame.head()[..6].try_into().unwrap()
    }

    fn to(frame: &impl Frame) -> Ipv4Addr {
        Ipv4Addr::from(<[u8; 4]>::try_from(&frame.head()[30..34]).unwrap())
    }

    fn address(frame: &mut impl Frame, to: Ipv4Addr) {
        frame.set_len(60);
        let head = frame.head_mut();
        head[..12].fill(0xee);
        head[12..14].copy_from_slice(&[8, 0]);
        head[23] = 17;
        head[26..30].fill(1);
        head[30..34].copy_from_slice(&to.octets());
    }

    struct World<'a> {
        hub: Hub<Link<'a>>,
        cores: Vec<Core<'a>>,
        events: Consumer<Event>,
        now: Nanos,
        /// What the user of the hub has got.
        got: Vec<Ipv4Addr>,
    }

    impl<'a> World<'a> {
        fn new(arena: &'a mut Arena, watched: bool) -> World<'a> {
            let mut network = Network::new(arena, &[512, 256, 256], 64);
            network.connect(0, 1);
            network.connect(0, 2);
            let mut ports = network.into_ports().into_iter();
            let fib = Arc::new(fib());
            let (producer, events) = RingBuffer::new(64);
            let me = Identity {
                mac: Mac::of(9, 0, 0),
                vlan: None,
                ip: ROUTER,
                asn: None,
                gateway: Mac::of(9, 0, 0),
            };
            let watch = [(PortId(0), CORES[0]), (PortId(1), CORES[1])];
            let control = Control::new(me, fib.clone(), &watch, settings(), Nanos(0), producer);
            let switch = Switch::new(ports.next().unwrap(), fib.clone(), &[PortId(0), PortId(1)]);
            if !watched {
                watch.iter().for_each(|&(port, _)| fib.set_up(port, true));
            }
            let cores = ports.zip(CORES).map(|(port, address)| {
                let discriminator = NonZeroU32::new(u32::from(address)).unwrap();
                let session = Session::new(settings(), discriminator, 7);
                Core { port, session, address, got: Vec::new() }
            });
            World {
                hub: Hub::new(switch, watched.then_some(control)),
                cores: cores.collect(),
                events,
                now: Nanos(MS),
                got: Vec::new(),
            }
        }

        fn step_hub(&mut self) {
            self.hub.tick(self.now);
            let mut burst = Burst::new();
            self.hub.rx(&mut burst);
            self.got.extend(burst.iter().map(to));
            self.hub.free(&mut burst);
        }

        /// Lets the cores in `alive` and the hub run for a time.
        fn run(&mut self, ms: u64, alive: &[usize]) {
            for _ in 0..ms * 10 {
                self.now = self.now + Nanos(MS / 10);
                self.step_hub();
                for &core in alive {
                    self.cores[core].step(self.now);
                }
            }
        }

        fn send(&mut self, to: Ipv4Addr, count: usize) -> usize {
            let mut burst = Burst::new();
            self.hub.alloc(&mut burst, count);
            burst.iter_mut().for_each(|frame| address(frame, to));
            self.hub.tx(&mut burst)
        }

        fn noticed(&mut self) -> Vec<(u16, What)> {
            let events = std::iter::from_fn(|| self.events.pop().ok());
            events.map(|event| (event.port.0, event.what)).collect()
        }
    }

    #[test]
    fn each_frame_goes_to_whom_it_is_for() {
        let mut arena = Arena::new(1024).unwrap();
        let mut world = World::new(&mut arena, false);
        for to in [USER, CORES[1], SHARD, CORES[1], USER] {
            world.cores[0].send(to);
        }
        world.run(1, &[0, 1]);
        // There is no router, so that what the cores say to it is the user's.
        world.got.retain(|&to| to != ROUTER);
        assert_eq!(world.got, [USER, SHARD, USER], "only a core's own address is passed on");
        assert_eq!(world.cores[1].got, [(Mac::of(1, 1, 0).0, CORES[1]); 2]);
        assert!(world.cores[0].got.is_empty());
    }

    #[test]
    fn a_core_that_falls_silent_is_steered_around() {
        let mut arena = Arena::new(1024).unwrap();
        let mut world = World::new(&mut arena, true);
        assert_eq!(world.send(SHARD, 1), 1, "the network takes it");
        assert_eq!(world.hub.lost(), 1, "and loses it: nobody has come up yet");
        world.run(5_000, &[0, 1]);
        world.send(SHARD, 1);
        world.run(1, &[0, 1]);
        assert_eq!(world.cores[0].got, [(Mac::of(1, 0, 0).0, SHARD)]);
        assert!(world.got.is_empty(), "BFD packets are the router's");
        let up = world.noticed();
        assert!(up.contains(&(0, What::Steered { up: true })), "{up:?}");
        world.run(20, &[1]);
        let down = [What::Down { withdrawn: false }, What::Steered { up: false }];
        assert_eq!(world.noticed(), down.map(|what| (0, what)));
        world.send(SHARD, 1);
        world.run(1, &[1]);
        assert_eq!(world.cores[1].got, [(Mac::of(1, 1, 0).0, SHARD)]);
    }

    /// All speak on, but the hub is not there to hear it for longer than it may be silent itself.
    #[test]
    fn who_has_slept_hears_before_it_misses_anybody() {
        let mut arena = Arena::new(1024).unwrap();
        let mut world = World::new(&mut arena, true);
        world.run(5_000, &[0, 1]);
        world.noticed();
        for _ in 0..70 {
            world.now = world.now + Nanos(MS / 10);
            world.cores.iter_mut().for_each(|core| core.step(world.now));
        }
        world.now = world.now + Nanos(5 * MS);
        world.run(1, &[0, 1]);
        assert_eq!(world.noticed(), []);
    }

    /// A machine that stops: the hub wakes first, and its cores have said nothing meanwhile.
    #[test]
    fn cores_that_have_slept_as_well_are_not_missed() {
        let mut arena = Arena::new(1024).unwrap();
        let mut world = World::new(&mut arena, true);
        world.run(5_000, &[0, 1]);
        world.noticed();
        for _ in 0..3 {
            world.now = world.now + Nanos(30 * MS);
            world.run(1, &[]);
            world.run(100, &[0, 1]);
        }
        assert_eq!(world.noticed(), []);
    }

    #[test]
    fn one_that_sleeps_again_and_again_misses_the_dead_all_the_same() {
        let mut arena = Arena::new(1024).unwrap();
        let mut world = World::new(&mut arena, true);
        world.run(5_000, &[0, 1]);
        world.noticed();
        for _ in 0..20 {
            world.now = world.now + Nanos(5 * MS);
            world.run(1, &[1]);
        }
        let missed = world.noticed();
        assert_eq!(missed[0], (0, What::Down { withdrawn: false }));
        assert!(missed.iter().all(|&(core, _)| core == 0), "{missed:?}");
    }

    #[test]
    fn a_full_queue_holds_up_nobody_else() {
        let mut arena = Arena::new(1024).unwrap();
        let mut world = World::new(&mut arena, false);
        for _ in 0..4 {
            assert_eq!(world.send(CORES[0], 32), 32);
        }
        assert!(world.hub.lost() >= 64, "{} lost of 128 for a queue of 64", world.hub.lost());
        assert_eq!(world.hub.stats().refused, 0);
        assert_eq!(world.send(CORES[1], 3), 3);
        world.run(1, &[1]);
        assert_eq!(world.cores[1].got.len(), 3);
    }
}
