//! What is done to a world, and when: thrown from its seed before it begins.
//!
//! Half of the worlds are gentle: one thing at a time goes wrong, and the next not before the first
//! has long been put right, so that nearly everything is promised. In the others up to six things
//! overlap as they fall.

use crate::dice::Dice;
use crate::net::{Plug, Trouble};
use dataplane::clock::Nanos;

const MS: u64 = 1_000_000;

/// Longest time a frame is held back.
pub(crate) const LATE_MAX: Nanos = Nanos(5 * MS);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Kill(usize),
    Start(usize),
    Leave(usize),
    Hang(usize),
    Wake(usize),
    /// The router is not run, or is run again.
    HangRouter,
    WakeRouter,
    Plug(usize, Plug),
    /// On the way from one station to another.
    Trouble(usize, usize, Trouble),
}

/// Faults and when they come, counted from the beginning of the first.
pub(crate) fn schedule(dice: &mut Dice, cores: usize) -> Vec<(Nanos, Fault)> {
    let mut all = Vec::new();
    if dice.permille(500) {
        let mut at = 0;
        for _ in 0..dice.within(1..3) {
            let lasts = duration(dice);
            add(&mut all, dice, cores, at, lasts);
            at += lasts + dice.within(1_500 * MS..2_000 * MS);
        }
    } else {
        for _ in 0..dice.within(1..7) {
            let (at, lasts) = (dice.within(0..300 * MS), duration(dice));
            add(&mut all, dice, cores, at, lasts);
        }
    }
    all.sort_by_key(|(at, _)| *at);
    all
}

/// Pauses of a machine that has too much to do: all of it, a core, or the router is not run for up to
/// 15 ms, rarely 30. In most worlds a core dies, never to come back, with pauses before and
/// after.
pub(crate) fn pauses(dice: &mut Dice, cores: usize) -> Vec<(Nanos, Fault)> {
    let (mut all, mut at) = (Vec::new(), 0);
    let (count, mut dies_in) = (dice.within(4..16), dice.below(12));
    for _ in 0..count {
        at += dice.within(MS..80 * MS);
        // Who sleeps for longer than a question takes has to ask, dead or not.
        let is_long = dies_in < count as usize && dice.permille(100);
        let most = if is_long { 30 * MS } else { 15 * MS };
        let lasts = dice.within(500_000..most);
        let (from, to) = (Nanos(at), Nanos(at + lasts));
        let (whose, core) = (dice.below(10), dice.below(cores));
        let of = match whose {
            0..5 => 0..cores,
            5..9 => core..core + 1,
            _ => 0..0,
        };
        for core in of {
            all.extend([(from, Fault::Hang(core)), (to, Fault::Wake(core))]);
        }
        if !(5..9).contains(&whose) {
            all.extend([(from, Fault::HangRouter), (to, Fault::WakeRouter)]);
        }
        at += lasts;
        if dies_in == 0 {
            at += MS;
            all.push((Nanos(at), Fault::Kill(dice.below(cores))));
        }
        dies_in = dies_in.wrapping_sub(1);
    }
    all.sort_by_key(|(at, _)| *at);
    all
}

/// From 0.1 ms to half a second.
fn duration(dice: &mut Dice) -> u64 {
    100_000 * dice.spread(5_000)
}

fn add(all: &mut Vec<(Nanos, Fault)>, dice: &mut Dice, cores: usize, at: u64, lasts: u64) {
    let core = dice.below(cores);
    let (from, to) = (Nanos(at), Nanos(at + lasts));
    match dice.below(10) {
        0..3 => all.extend([(from, Fault::Kill(core)), (to, Fault::Start(core))]),
        3 => all.extend([(from, Fault::Leave(core)), (to, Fault::Start(core))]),
        4 | 5 => all.extend([(from, Fault::Hang(core)), (to, Fault::Wake(core))]),
        6 | 7 => {
            let plugs = [(false, true), (true, false), (false, false)];
            let (rx, tx) = plugs[dice.below(3)];
            all.push((from, Fault::Plug(core, Plug { rx, tx })));
            all.push((to, Fault::Plug(core, Plug::IN)));
        }
        _ => {
            // Between two cores, or on all ways of one.
            let (trouble, other) = (trouble(dice), dice.below(cores));
            let others = match other != core && dice.permille(600) {
                true => other..other + 1,
                false => 0..cores + 2,
            };
            let both = dice.permille(700);
            for other in others.filter(|&other| other != core) {
                let ways = [(core, other), (other, core)];
                for (a, b) in ways.into_iter().take(if both { 2 } else { 1 }) {
                    all.push((from, Fault::Trouble(a, b, trouble)));
                    all.push((to, Fault::Trouble(a, b, Trouble::default())));
                }
            }
        }
    }
}

fn trouble(dice: &mut Dice) -> Trouble {
    let mut it = Trouble::default();
    if dice.permille(700) {
        it.lost_permille = if dice.permille(100) { 1000 } else { dice.within(10..301) as u32 };
    }
    if dice.permille(400) {
        it.twice_permille = dice.within(10..501) as u32;
    }
    if dice.permille(500) || it == Trouble::default() {
        it.late_permille = dice.within(10..1001) as u32;
        it.late_max = Nanos(1_000 * dice.spread(LATE_MAX.0 / 1_000) + 1_000).min(LATE_MAX);
    }
    it
}
