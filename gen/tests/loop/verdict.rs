//! Traffic that is cut, held back, remapped or refused on the way: what each connection is said to be.

use crate::rig::{Rig, STEP, config, fill, phase, steady};
use dataplane::burst::Burst;
use dataplane::frame::{Arena, Frame};
use dataplane::port::fault::{Fault, FaultPlan, OneLane, Rate as Every};
use dataplane::port::link::{Link, loopback};
use dataplane::port::{Port, PortStats};
use kronogen::config::{Config, Phase, Rate, Until};
use kronogen::recovery::outage_quantiles;
use kronogen::stamp::Direction;
use kronogen::trial::Record;
use kronogen::verdict::{Outage, Protocol, Verdict, Verdicts};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::Range;

type Handle<'a> = <Link<'a> as Port>::Frame;

const MILLISECOND: u64 = 1_000_000;
/// Length of the phase with a sample, connections in it, and their packets per second.
const SPAN: u64 = 60 * MILLISECOND;
const SAMPLE: u32 = 100;
const RATE: f64 = 200_000.0;
/// Time between two probes of a connection one way.
const INTERVAL: u64 = MILLISECOND;

/// What the wire does with frames of its victims while it is at it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Harm {
    Drop,
    /// They are sent on when it is over.
    Hold,
    /// They and all after them of a burst.
    Refuse,
}

/// A wire that can harm frames by their subscriber.
struct Wire<'a> {
    link: Link<'a>,
    harm: Harm,
    is_victim: fn(SocketAddrV4, Direction) -> bool,
    active: bool,
    held: Vec<Handle<'a>>,
    /// Subscribers whose frames were dropped.
    dropped: BTreeSet<SocketAddrV4>,
}

impl<'a> Wire<'a> {
    fn new(
        arena: &'a mut Arena,
        harm: Harm,
        is_victim: fn(SocketAddrV4, Direction) -> bool,
    ) -> Self {
        let (link, held) = (loopback(arena, 2048), Vec::new());
        Wire { link, harm, is_victim, active: false, held, dropped: BTreeSet::new() }
    }

    fn set_active(&mut self, active: bool) {
        self.active = active;
        while !active && !self.held.is_empty() {
            let count = self.held.len().min(32);
            let mut burst: Burst<_> = self.held.drain(..count).collect();
            assert_eq!(self.link.tx(&mut burst), count);
        }
    }
}

/// The subscriber of a frame that goes up or down.
fn subscriber(frame: &Handle<'_>) -> (SocketAddrV4, Direction) {
    let bytes = frame.bytes();
    let address = |ip: usize, port: usize| {
        let ip = Ipv4Addr::new(bytes[ip], bytes[ip + 1], bytes[ip + 2], bytes[ip + 3]);
        SocketAddrV4::new(ip, u16::from_be_bytes([bytes[port], bytes[port + 1]]))
    };
    let (source, destination) = (address(26, 34), address(30, 36));
    if source.ip().octets()[0] == 100 {
        (source, Direction::Up)
    } else {
        (destination, Direction::Down)
    }
}

impl<'a> Port for Wire<'a> {
    type Frame = Handle<'a>;
    fn rx(&mut self, into: &mut Burst<Self::Frame>) {
        self.link.rx(into);
    }
    fn tx(&mut self, burst: &mut Burst<Self::Frame>) -> usize {
        let (mut pass, mut drop) = (Burst::new(), Burst::new());
        let mut accepted = 0;
        for frame in burst.drain(..) {
            let (subscriber, direction) = subscriber(&frame);
            let hit = self.active && (self.is_victim)(subscriber, direction);
            match self.harm {
                Harm::Refuse if hit || !drop.is_empty() => {
                    drop.push(frame);
                    continue;
                }
                Harm::Drop if hit => {
                    self.dropped.insert(subscriber);
                    drop.push(frame);
                }
                Harm::Hold if hit => self.held.push(frame),
                _ => pass.push(frame),
            }
            accepted += 1;
        }
        self.link.free(&mut drop);
        let count = pass.len();
        assert_eq!(self.link.tx(&mut pass), count);
        accepted
    }
    fn alloc(&mut self, into: &mut Burst<Self::Frame>, count: usize) {
        self.link.alloc(into, count);
    }
    fn free(&mut self, burst: &mut Burst<Self::Frame>) {
        self.link.free(burst);
    }
    fn room(&mut self) -> usize {
        self.link.room()
    }
    fn stats(&self) -> PortStats {
        self.link.stats()
    }
}

fn sampled(sample: u32) -> Phase {
    let sample = Some(sample);
    Phase { sample, ..phase("fail", Rate::Pps(RATE), Until::For(SPAN)) }
}

/// Of the second shard, either way.
fn is_second_shard(subscriber: SocketAddrV4, _: Direction) -> bool {
    subscriber.ip().octets()[1] == 65
}

/// A phase with a sample on a wire that does `harm` from `cut.start` to `cut.end`, in ns from the
/// start. Returns its record and when, to the step, it was done.
fn run(
    harm: Harm,
    is_victim: fn(SocketAddrV4, Direction) -> bool,
    cut: Range<u64>,
) -> (Record, Range<u64>) {
    let config =
        Config { drain_ns: 20 * MILLISECOND, ..config(1000, vec![fill(1000), sampled(SAMPLE)]) };
    let mut arena = Arena::new(8192).expect("memory");
    let mut rig = Rig::new(&config, vec![Wire::new(&mut arena, harm, is_victim)]);
    rig.run_phase(0);
    let start = rig.begin(1);
    let mut done = None::<Range<u64>>;
    while !rig.has_ended(1) {
        let since = rig.now.since(start).0;
        let active = cut.contains(&since);
        rig.cores[0].port().set_active(active);
        if active {
            let end = since + 16 * STEP.0;
            done = Some(done.map_or(since, |done| done.start)..end);
        }
        rig.turn();
    }
    (rig.cores[0].records().remove(1), done.expect("was active"))
}

/// Holds the outages of `record` to those that the cut must have caused in the second shard.
fn assert_cut(record: &Record, verdict: Verdict, cut: &Range<u64>) {
    let half = u64::from(SAMPLE / 2);
    let (kept, is_lost) = (half, verdict == Verdict::Lost);
    let (recovered, lost) = if is_lost { (0, half) } else { (half, 0) };
    assert_eq!(record.verdicts, Verdicts { kept, recovered, lost, ..Verdicts::default() });
    assert_eq!(record.outages.len() as u64, half);
    let names: BTreeSet<_> = record.outages.iter().map(|it| (it.subscriber, it.server)).collect();
    assert_eq!(names.len() as u64, half, "each has a name of its own");
    for outage in &record.outages {
        assert!(is_second_shard(outage.subscriber, Direction::Up), "{outage:?}");
        assert_eq!((outage.shard, outage.verdict), (1, verdict));
        assert_eq!(outage.external, Some(outage.subscriber), "a wire translates nothing");
        let (from, until) = (cut.start, cut.end);
        assert!((from..=from + INTERVAL).contains(&(outage.start_ns + 64)), "{outage:?} {cut:?}");
        let end = outage.start_ns + outage.outage_ns;
        if is_lost {
            assert_eq!(end, SPAN, "{outage:?}");
        } else {
            assert!((until..=until + INTERVAL).contains(&(end + 64)), "{outage:?} {cut:?}");
        }
    }
}

#[test]
fn an_outage_is_as_long_as_the_cut() {
    let (record, cut) = run(Harm::Drop, is_second_shard, 15 * MILLISECOND..35 * MILLISECOND);
    assert_cut(&record, Verdict::Recovered, &cut);
    assert_eq!(record.resolution_ns, Some(INTERVAL / 2));
    let timeline = record.timeline.as_ref().expect("a phase with a sample has one");
    let sum = |counts: &[u32]| counts.iter().map(|&count| u64::from(count)).sum::<u64>();
    assert_eq!((timeline.window_ns, timeline.planned.len()), (MILLISECOND, 60));
    assert_eq!(timeline.planned, [200; 60], "the whole sample, each way, in a millisecond");
    assert_eq!(sum(&timeline.arrived), record.ledger.arrived());
    assert_eq!(timeline.lost(), record.ledger.lost());
    assert_eq!(timeline.arrived[16..35], [100; 19], "half of it is cut");
    // Half the traffic for as long is all of it for half as long.
    let length = (cut.end - cut.start) as f64;
    let blocked = timeline.blocked_ns().expect("traffic");
    assert!((blocked - length / 2.0).abs() < 20_000.0, "{blocked} of {length}");
    let back = timeline.back_after_ns(cut.start, 5).expect("comes back");
    assert!((back as f64 - length).abs() <= MILLISECOND as f64, "{back} of {length}");
    let quantiles = outage_quantiles(&record.outages, |shard| shard == 1).expect("outages");
    assert_eq!(quantiles.count, 50);
    assert!(quantiles.min_ns as f64 >= length - INTERVAL as f64);
    assert_eq!(outage_quantiles(&record.outages, |shard| shard == 0), None);
}

#[test]
fn one_direction_is_enough_for_an_outage() {
    let down = |subscriber, direction| {
        is_second_shard(subscriber, direction) && direction == Direction::Down
    };
    let (record, cut) = run(Harm::Drop, down, 15 * MILLISECOND..35 * MILLISECOND);
    assert_cut(&record, Verdict::Recovered, &cut);
}

#[test]
fn what_does_not_come_back_is_lost_until_the_end() {
    let up = |subscriber, direction| {
        is_second_shard(subscriber, direction) && direction == Direction::Up
    };
    for is_victim in [is_second_shard, up] {
        let (record, cut) = run(Harm::Drop, is_victim, 30 * MILLISECOND..200 * MILLISECOND);
        assert_cut(&record, Verdict::Lost, &cut);
    }
}

#[test]
fn what_is_only_late_is_no_outage() {
    let (record, _) = run(Harm::Hold, is_second_shard, 15 * MILLISECOND..25 * MILLISECOND);
    assert!(record.ledger.late > 900, "{:?}", record.ledger);
    assert_eq!((record.verdicts.kept, record.verdicts.total()), (100, 100));
    let timeline = record.timeline.expect("a phase with a sample has one");
    assert_eq!(timeline.arrived, timeline.planned);
}

#[test]
fn what_never_left_is_no_outage() {
    let (record, _) = run(Harm::Refuse, is_second_shard, 15 * MILLISECOND..35 * MILLISECOND);
    assert!(record.ledger.unsent > 1000, "{:?}", record.ledger);
    assert_eq!((record.verdicts.kept, record.verdicts.total()), (100, 100));
    assert_eq!(record.timeline.expect("a phase with a sample has one").lost(), 0);
    // What is shed has no turn, and nobody misses it.
    let phases = vec![fill(100), Phase { sample: Some(100), ..steady(Rate::Pps(5e6), 50) }];
    let config = config(100, phases);
    let mut arena = Arena::new(64).expect("memory");
    let mut rig = Rig::new(&config, vec![loopback(&mut arena, 16)]);
    (0..2).for_each(|phase| rig.run_phase(phase));
    let record = rig.cores[0].records().remove(1);
    assert!(record.ledger.unsent > 100_000, "{:?}", record.ledger);
    assert_eq!((record.verdicts.kept, record.verdicts.total()), (100, 100));
}

#[test]
fn a_connection_that_comes_back_as_another_is_remapped() {
    let config = config(1000, vec![fill(1000), sampled(SAMPLE)]);
    let every = |at: u64| Some(Every::Exactly(std::iter::once(at).collect()));
    // One packet of one connection, and then the next one of it lost, and some of others.
    let others = (4000..14_000u64).step_by(503);
    let lost = Every::Exactly(others.chain([6001 + 2 * u64::from(SAMPLE)]).collect());
    let plan = FaultPlan { mistranslate: every(6001), drop: Some(lost), ..FaultPlan::default() };
    let mut arena = Arena::new(4096).expect("memory");
    let mut rig = Rig::new(&config, vec![Fault::new(OneLane(loopback(&mut arena, 2048)), &plan)]);
    (0..2).for_each(|phase| rig.run_phase(phase));
    let record = rig.cores[0].records().remove(1);
    assert_eq!((rig.cores[0].port().counts().mistranslated, record.ledger.mistranslated), (1, 1));
    assert_eq!((record.verdicts.remapped, record.verdicts.total()), (1, SAMPLE.into()));
    assert!(record.verdicts.recovered > 10 && record.verdicts.lost == 0, "{:?}", record.verdicts);
    let is_remapped = |outage: &&Outage| outage.verdict == Verdict::Remapped;
    let remapped: Vec<&Outage> = record.outages.iter().filter(is_remapped).collect();
    // A packet that comes as another's serves nobody, as one that is lost.
    assert_eq!((remapped.len(), remapped[0].outage_ns.div_ceil(MILLISECOND)), (1, 2));
    assert_eq!(remapped[0].lost, 2);
}

#[test]
fn connections_that_close_are_not_in_the_sample() {
    let churned = Phase { open_per_s: 10_000.0, close_per_s: 10_000.0, ..sampled(500) };
    let config = config(1500, vec![fill(1000), churned.clone(), churned]);
    let mut arena = Arena::new(4096).expect("memory");
    let mut rig = Rig::new(&config, vec![loopback(&mut arena, 2048)]);
    (0..3).for_each(|phase| rig.run_phase(phase));
    for record in &rig.cores[0].records()[1..] {
        assert_eq!((record.closed, record.opened, record.ledger.lost()), (600, 600, 0));
        // Of 1000, 600 close within the phase, and perhaps one more.
        let kept = record.verdicts.kept;
        assert_eq!((kept, record.verdicts.total(), record.ledger.unsent), (399, 399, 0));
        assert_eq!(record.resolution_ns, Some((399.0 * 1e9 / RATE) as u64));
    }
}

/// Validation of 777 connections on a wire that does `harm`.
fn validated(
    harm: Harm,
    is_victim: fn(SocketAddrV4, Direction) -> bool,
) -> (Record, BTreeSet<SocketAddrV4>) {
    let validate = phase("validate", Rate::Pps(1e6), Until::Validated);
    let config = config(1000, vec![fill(777), sampled(SAMPLE), validate]);
    let mut arena = Arena::new(8192).expect("memory");
    let mut rig = Rig::new(&config, vec![Wire::new(&mut arena, harm, is_victim)]);
    (0..2).for_each(|phase| rig.run_phase(phase));
    rig.cores[0].port().set_active(true);
    rig.run_phase(2);
    let dropped = std::mem::take(&mut rig.cores[0].port().dropped);
    (rig.cores[0].records().remove(2), dropped)
}

#[test]
fn validation_names_exactly_those_that_were_cut() {
    let (record, dropped) =
        validated(Harm::Drop, |subscriber, _| subscriber.ip().octets()[3] % 7 == 3);
    let named: BTreeSet<_> = record.outages.iter().map(|outage| outage.subscriber).collect();
    assert!(dropped.len() > 50 && named == dropped, "{named:?} {dropped:?}");
    let lost = dropped.len() as u64;
    assert_eq!(record.verdicts, Verdicts { kept: 777 - lost, lost, ..Verdicts::default() });
    assert_eq!(record.outages.len() as u64, lost);
    assert!(record.outages.iter().all(|outage| outage.verdict == Verdict::Lost));
    let is_udp = |outage: &&Outage| outage.protocol == Protocol::Udp;
    assert!((lost / 4..lost).contains(&(record.outages.iter().filter(is_udp).count() as u64)));
    assert_eq!((record.timeline, record.resolution_ns), (None, None));
}

#[test]
fn a_connection_that_was_not_asked_is_not_lost() {
    let (record, _) = validated(Harm::Refuse, |subscriber, _| subscriber.port() % 5 == 0);
    let unsent = record.ledger.unsent;
    assert!(unsent > 50, "{:?}", record.ledger);
    assert_eq!(record.verdicts, Verdicts { kept: 777 - unsent, ..Verdicts::default() });
}
