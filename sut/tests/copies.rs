//! A copy of connections against the ones it is of, whatever it held before.
//!
//! Two cores have served the same subscribers without hearing of each other: same ports for different
//! endpoints, same endpoints at different ports, other remotes. Then one is told all that the other
//! has, and must serve it from the next packet on, as the other would; and what it held before must
//! not outlive its timers, nor a port, nor an account. What is expected is kept in ordinary maps.

use dataplane::wire::Endpoint;
use krononat::config::{Filtering, Timers};
use krononat::connections::{Connections, Copied, Inside, Place, Quota, Room};
use krononat::conntrack::Segment;
use krononat::ports::{PortBlocks, Slot, Subscriber};
use krononat::replicate::SPARE;
use krononat::timer::{Deadlines, Tick};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const WHO: Subscriber = Subscriber(0);
const UDP: u8 = 17;
const TCP: u8 = 6;

/// Ports of a subscriber, of which the endpoints of a history take up most.
const BLOCK: u32 = 64;
const ENDPOINTS: u16 = 48;

fn connections(seed: u64) -> Connections {
    let ports = PortBlocks::new(1, BLOCK, seed).expect("ports");
    let quota = Quota { connections: 4096, half_open: 4096 };
    let room = Room { mappings: 256, shared_sessions: 1024, quota };
    let deadlines = Deadlines::new(&Timers::default());
    let filtering = Filtering::AddressAndPortDependent;
    Connections::new(ports, room, filtering, deadlines, seed).expect("memory")
}

fn inside(number: u16) -> Inside {
    let protocol = if number.is_multiple_of(3) { TCP } else { UDP };
    Inside::new(Endpoint::new(0x6440_0001, 5000 + number), protocol)
}

fn remote(number: u8) -> Endpoint {
    Endpoint::new(0xc000_0200 + u32::from(number), 53)
}

/// A packet from the subscriber; the slot it leaves by.
fn outbound(
    core: &mut Connections,
    from: u16,
    to: u8,
    segment: Segment,
    now: Tick,
) -> Option<Slot> {
    let (inside, remote) = (inside(from), remote(to));
    let hash = core.announce(inside);
    let found = core.outbound(inside, remote, hash, segment, now);
    found.or_else(|| core.open(WHO, inside, remote, hash, segment, now).ok())
}

#[derive(Clone, Copy, Debug)]
enum Deed {
    /// An endpoint and a remote talk both ways.
    Talk { from: u16, to: u8 },
    /// The remote resets.
    Reset { from: u16, to: u8 },
    /// So many seconds pass, and a sweep.
    Wait { s: u16 },
}

fn history() -> impl Strategy<Value = Vec<Deed>> {
    let ends = || (0..ENDPOINTS, 0u8..4);
    let deed = prop_oneof![
        12 => ends().prop_map(|(from, to)| Deed::Talk { from, to }),
        2 => ends().prop_map(|(from, to)| Deed::Reset { from, to }),
        1 => (1u16..400).prop_map(|s| Deed::Wait { s }),
    ];
    prop::collection::vec(deed, 0..150)
}

/// One core lives through a history, which begins at `now`; when it ends.
fn live(core: &mut Connections, history: &[Deed], mut now: Tick) -> Tick {
    for deed in history {
        match *deed {
            Deed::Talk { from, to } => {
                let protocol = inside(from).protocol();
                let Some(slot) = outbound(core, from, to, Segment::Syn, now) else { continue };
                let _ = core.inbound(slot, protocol, remote(to), Segment::SynAck, now);
                outbound(core, from, to, Segment::Plain, now);
            }
            Deed::Reset { from, to } => {
                if let Some(slot) = core.slot_of(inside(from), remote(to), now) {
                    let _ =
                        core.inbound(slot, inside(from).protocol(), remote(to), Segment::Rst, now);
                }
            }
            Deed::Wait { s } => {
                now = Tick(now.0.wrapping_add(4 * s));
                core.sweep(now, core.buckets());
            }
        }
    }
    now
}

/// All that a core has to tell: what the walk of a link would meet.
fn told(core: &Connections, now: Tick) -> Vec<Copied> {
    let records = (0..=u16::MAX).map(|port| Place::Record(Slot::new(0, port)));
    let all = records.chain((0..core.pooled()).map(Place::Session));
    all.filter_map(|place| core.copy(place, now)).collect()
}

fn tell(from: &Connections, to: &mut Connections, now: Tick) -> Result<(), TestCaseError> {
    for copy in told(from, now) {
        prop_assert_eq!(to.restore(&copy, WHO, SPARE, now), Ok(()), "{:?}", copy);
    }
    Ok(())
}

/// Whether `copy` serves all of `core`, and both agree on whose each port is.
fn serves(copy: &mut Connections, core: &Connections, now: Tick) -> Result<(), TestCaseError> {
    let mut holders = BTreeMap::new();
    for it in told(core, now) {
        let key = (it.inside.endpoint().bits(), it.inside.protocol());
        prop_assert_eq!(*holders.entry(it.slot).or_insert(key), key, "two at one port");
        prop_assert_eq!(copy.slot_of(it.inside, it.remote, now), Some(it.slot), "{:?}", it);
        prop_assert_eq!(copy.state(it.slot, it.remote), Some(it.life.state), "{:?}", it);
        let protocol = it.inside.protocol();
        let came = copy.inbound(it.slot, protocol, it.remote, Segment::Plain, now);
        prop_assert_eq!(came, Ok(it.inside.endpoint()), "{:?}", it);
    }
    // Nobody's endpoint has two ports, nor a port two endpoints, in the copy either.
    let mut slots = BTreeMap::<_, BTreeSet<Slot>>::new();
    for it in told(copy, now) {
        let key = (it.inside.endpoint().bits(), it.inside.protocol());
        slots.entry(key).or_default().insert(it.slot);
        prop_assert_eq!(*holders.entry(it.slot).or_insert(key), key, "two at one port");
    }
    prop_assert!(slots.values().all(|its| its.len() == 1), "{:?}", slots);
    Ok(())
}

proptest! {
    #[test]
    fn who_is_told_serves_as_who_tells(
        histories in prop::collection::vec((history(), history()), 1..4), seeds: [u64; 2],
    ) {
        let [mut a, mut b] = seeds.map(connections);
        let mut now = Tick(60_000);
        for (of_a, of_b) in &histories {
            let ends = [live(&mut a, of_a, now), live(&mut b, of_b, now)];
            let later = |it: &Tick| it.0.wrapping_sub(now.0);
            now = ends.into_iter().max_by_key(later).expect("two");
            tell(&a, &mut b, now)?;
            serves(&mut b, &a, now)?;
            std::mem::swap(&mut a, &mut b);
        }
        // All of it ends, as if each had served alone.
        for _ in 0..80 {
            now = Tick(now.0.wrapping_add(480));
            for core in [&mut a, &mut b] {
                core.sweep(now, core.buckets());
            }
        }
        for core in [&mut a, &mut b] {
            prop_assert_eq!((core.len(), core.held_by(WHO)), (0, (0, 0)));
            let mut slots = BTreeSet::new();
            for from in 0..BLOCK as u16 {
                slots.extend(outbound(core, from, 0, Segment::Syn, now));
            }
            prop_assert_eq!(slots.len(), BLOCK as usize, "ports are free again");
        }
    }

    #[test]
    fn what_is_replaced_makes_room_within_minutes(seed: u64) {
        let [mut a, mut b] = [seed, seed ^ 1].map(connections);
        let now = Tick(1000);
        // Everybody has long-lived sessions with four remotes, on two cores, at other ports.
        for core in [&mut a, &mut b] {
            for (from, to) in (0..ENDPOINTS).flat_map(|from| (0..4).map(move |to| (from, to))) {
                live(core, &[Deed::Talk { from, to }], now);
            }
        }
        let held = usize::from(4 * ENDPOINTS);
        prop_assert_eq!((a.len(), b.len()), (held, held));
        tell(&a, &mut b, now)?;
        serves(&mut b, &a, now)?;
        let soon = Tick(now.0 + 4 * (300 + 2));
        b.sweep(soon, b.buckets());
        let established = told(&b, soon).len();
        prop_assert_eq!(b.len(), established, "what is nobody's is still held");
        prop_assert_eq!(b.held_by(WHO).0 as usize, established);
    }
}
