//! Samples held against a model that remembers everything.

use super::*;
use crate::tuple::ConnectionId;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Time between two probes, a whole number of ticks.
const GAP: u64 = 1024;
/// Probes under way at most.
const UNDER_WAY: u64 = 40;
const START: Nanos = Nanos(777_000);
/// Sequence numbers before the phase, per direction.
const BASE: [u32; 2] = [u32::MAX - 3, 90];

fn planned(turn: u64) -> Nanos {
    START + Nanos(turn * GAP)
}

fn sample(members: u32) -> Sample {
    let drain = Nanos(UNDER_WAY * GAP);
    // Made for more than there are.
    let mut sample = Sample::new(members + 3, 1e9 / GAP as f64, Nanos(5_000_000), drain);
    for slot in 0..members {
        sample.push(Place { id: ConnectionId(slot), slot });
    }
    sample.begin(START, |_, direction| BASE[direction as usize]);
    sample
}

/// What happens to a probe: refused, lost, or back after so many others have been sent.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Refused,
    Lost,
    Back(u64),
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let run = |fate: Fate| (1usize..60).prop_map(move |count| vec![fate; count]);
    let one = prop_oneof![
        run(Fate::Lost),
        run(Fate::Refused),
        run(Fate::Back(0)),
        prop::collection::vec((0..UNDER_WAY).prop_map(Fate::Back), 1..60),
    ];
    prop::collection::vec(one, 1..8).prop_map(|runs| runs.concat())
}

/// The verdict by the definition, from everything that ever happened to a member: probes sent, in
/// order, per direction, and whether each came back.
fn expected(lanes: [&[(u64, bool)]; 2], stop: u64) -> (Verdict, u64) {
    let (mut verdict, mut worst) = (Verdict::Kept, 0);
    for lane in lanes {
        let mut at = 0;
        while let Some(lost) = lane[at..].iter().position(|probe| !probe.1) {
            let from = at + lost;
            let back = lane[from..].iter().position(|probe| probe.1);
            let end = back.map_or(stop, |back| lane[from + back].0);
            worst = worst.max(end - lane[from].0);
            match back {
                Some(back) if verdict == Verdict::Kept => {
                    (verdict, at) = (Verdict::Recovered, from + back);
                }
                Some(back) => at = from + back,
                None => {
                    verdict = Verdict::Lost;
                    break;
                }
            }
        }
    }
    (verdict, worst)
}

proptest! {
    #[test]
    fn verdicts_follow_the_definition(members in 1u32..7, fates in fates()) {
        let mut sample = sample(members);
        let mut sent = BTreeMap::<(u32, usize), u32>::new();
        let mut history = BTreeMap::<(u32, usize), Vec<(u64, bool)>>::new();
        let mut under_way = BTreeMap::<u64, Vec<(u16, Direction, u32)>>::new();
        for (turn, &fate) in (0u64..).zip(&fates) {
            let (place, way) = sample.next();
            let lane = (place.slot, way as usize);
            *sent.entry(lane).or_default() += 1;
            sample.book_sent(&[planned(turn)], usize::from(!matches!(fate, Fate::Refused)));
            let probes = history.entry(lane).or_default();
            match fate {
                Fate::Refused => {}
                Fate::Lost => probes.push((turn * GAP, false)),
                Fate::Back(after) => {
                    probes.push((turn * GAP, true));
                    let sequence = BASE[way as usize].wrapping_add(sent[&lane]);
                    let back = under_way.entry(turn + after).or_default();
                    back.push((place.slot as u16 + 1, way, sequence));
                }
            }
            for (mark, way, sequence) in under_way.remove(&turn).unwrap_or_default() {
                let count = sent[&(u32::from(mark) - 1, way as usize)];
                let last = BASE[way as usize].wrapping_add(count);
                sample.book_arrived(mark, way, sequence, last);
            }
        }
        for (mark, way, sequence) in under_way.into_values().flatten() {
            let last = BASE[way as usize].wrapping_add(sent[&(u32::from(mark) - 1, way as usize)]);
            sample.book_arrived(mark, way, sequence, last);
        }
        while !sample.settle(100) {}
        let stop = fates.len() as u64 * GAP;
        for member in 0..members {
            let lanes = [0, 1].map(|way| history.get(&(member, way)).map_or(&[][..], |it| it));
            let (verdict, loss) = sample.judge(member as usize, START + Nanos(stop));
            let Loss { start_ns: start, outage_ns: length, lost } = loss;
            prop_assert_eq!((verdict, length), expected(lanes, stop));
            let missing = lanes.iter().flat_map(|lane| lane.iter()).filter(|it| !it.1).count();
            prop_assert_eq!(lost as usize, missing);
            prop_assert!(start.is_multiple_of(GAP) && start + length <= stop);
        }
        let all = || history.values().flatten();
        let sum = |counts: &[u32]| counts.iter().sum::<u32>() as usize;
        prop_assert_eq!(sum(&sample.timeline.planned), all().count());
        prop_assert_eq!(sum(&sample.timeline.arrived), all().filter(|probe| probe.1).count());
    }

    #[test]
    fn every_lane_has_its_turn(members in 1usize..50) {
        let lanes: BTreeSet<_> = (0..2 * members).map(|lane| {
            let (member, direction) = of_lane(lane, members);
            assert_eq!(lane_of(member, direction, members), lane);
            (member, direction as usize)
        }).collect();
        prop_assert_eq!(lanes.len(), 2 * members);
    }

    #[test]
    fn a_sample_is_even(first in 0u64..100, count in 0u64..500, shards in 1u64..9, size in 0u64..600, seed: u64) {
        let mut draws = seed;
        let below = |bound: u64| {
            draws = draws.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (draws >> 33) % bound
        };
        let chosen: Vec<_> = strata(first, count, shards, size, below).collect();
        let positions: BTreeSet<u64> = chosen.iter().map(|it| it.0).collect();
        prop_assert_eq!(positions.len() as u64, size.min(count), "no position twice");
        prop_assert!(positions.iter().all(|&it| (first..first + count).contains(&it)));
        for (position, stretch) in &chosen {
            prop_assert!(stretch.clone().step_by(shards as usize).any(|it| it == *position));
        }
        let of = |wanted: u64| positions.iter().filter(|&&it| it % shards == wanted).count();
        let counts: Vec<usize> = (0..shards).map(of).collect();
        prop_assert!(counts.iter().max() <= counts.iter().min().map(|it| it + 1).as_ref());
        // From any tenth of the population a tenth of the sample, give or take one per shard.
        for tenth in 0..10 {
            let part = first + tenth * count / 10..first + (tenth + 1) * count / 10;
            let found = positions.range(part).count() as f64;
            let fair = size.min(count) as f64 / 10.0;
            prop_assert!((found - fair).abs() <= 2.0 * shards as f64 + 1.0, "{} of {}", found, fair);
        }
    }
}

#[test]
fn what_is_older_than_the_drain_is_lost() {
    let mut sample = sample(1);
    (0..1000).for_each(|turn| sample.book_sent(&[planned(turn)], 1));
    let last = BASE[0].wrapping_add(500);
    sample.book_arrived(1, Direction::Up, BASE[0].wrapping_add(1), last);
    sample.book_arrived(1, Direction::Up, BASE[0], last);
    assert_eq!(sample.timeline.arrived.iter().sum::<u32>(), 0);
    sample.book_arrived(1, Direction::Up, last, last);
    sample.book_arrived(1, Direction::Up, last, last);
    assert_eq!(sample.timeline.arrived.iter().sum::<u32>(), 1);
}

#[test]
fn a_sample_without_members_says_nothing() {
    let mut sample = sample(0);
    assert!(sample.settle(1));
    assert_eq!(sample.resolution_ns(), None);
    sample.book_arrived(1, Direction::Up, 1, 1);
}
