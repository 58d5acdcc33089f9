//! Searches of systems whose throughput is known.

use super::*;
use proptest::prelude::*;
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::convert::Infallible;

const RANGE: Range = Range { min: 1.0, max: 20e6 };

/// Searches a system of which `loss` knows what it loses at a load.
fn find(goal: Goal, range: Range, mut loss: impl FnMut(f64) -> f64) -> Found {
    let measure = |ask: Ask| {
        let planned = (ask.load * ask.seconds).round().max(1.0) as u64;
        let arrived = planned - (planned as f64 * loss(ask.load)).ceil() as u64;
        Ok::<_, Infallible>(Trial::of(ask.load, ask.seconds, planned, arrived))
    };
    let Ok(found) = search(goal, range, measure);
    found
}

/// A system that forwards up to `capacity` and loses the rest.
fn above(capacity: f64) -> impl Fn(f64) -> f64 {
    move |load| if load > capacity { 1.0 - capacity / load } else { 0.0 }
}

fn goals() -> [Goal; 4] {
    [Goal::strict(), Goal::tst009(), Goal::quick(), Goal::quick().with_loss(0.005)]
}

proptest! {
    #[test]
    fn the_bounds_bracket_a_known_capacity(capacity in 50f64..19e6, which in 0usize..4) {
        let goal = goals()[which];
        let found = find(goal, RANGE, above(capacity));
        // The load at which the loss ratio is just the goal's.
        let truth = capacity / (1.0 - goal.loss_ratio);
        prop_assert!(found.regular, "{found:?}");
        let (lower, upper) = found.lower.zip(found.upper).unwrap_or_default();
        prop_assert!(lower <= truth * 1.0001 && upper >= truth * 0.9999, "{lower} {truth} {upper}");
        prop_assert!((upper - lower) / upper <= goal.width || upper - lower <= 1.0);
        prop_assert!(found.trials.len() <= 40, "{} trials", found.trials.len());
        let through = found.conditional.unwrap_or(0.0);
        prop_assert!(through <= lower && through >= lower * (1.0 - goal.loss_ratio) - 1.0);
    }

    #[test]
    fn an_interruption_now_and_then_is_not_the_throughput(capacity in 1e5f64..10e6, seed: u64) {
        // One trial in eight loses a tenth, whatever the load.
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let goal = Goal { sum_s: 10.0, ..Goal::quick() };
        let noisy = |load| match rng.next_u64() % 8 {
            0 => 0.1f64.max(above(capacity)(load)),
            _ => above(capacity)(load),
        };
        let found = find(goal, RANGE, noisy);
        let lower = found.lower.unwrap_or(0.0);
        prop_assert!(lower <= capacity, "{lower} of {capacity}");
        prop_assert!(found.upper.is_none_or(|upper| upper > lower), "{found:?}");
        prop_assert!(found.trials.len() < TRIALS_MAX, "{} trials", found.trials.len());
    }

    #[test]
    fn whatever_the_answers_a_search_ends_with_bounds_that_its_trials_show(seed: u64, which in 0usize..4) {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let goal = goals()[which];
        let found = find(goal, RANGE, |_| [0.0, 0.0, 0.003, 0.5][rng.next_u64() as usize % 4]);
        prop_assert!(found.trials.len() <= TRIALS_MAX);
        if let (Some(lower), Some(upper)) = (found.lower, found.upper) {
            prop_assert!(lower < upper);
        }
        for (bound, class) in [(found.lower, Class::Lower), (found.upper, Class::Upper)] {
            let Some(bound) = bound else { continue };
            let at: Vec<&Trial> = found.trials.iter().filter(|it| it.load == bound).collect();
            prop_assert_eq!(goal.class(at), class);
        }
    }

    #[test]
    fn a_system_that_loses_below_what_it_passes_is_told_by_the_loss(capacity in 2e6f64..10e6) {
        // A hole: between a half and three quarters of the capacity a packet in a hundred is lost.
        let hole = |load: f64| {
            let part = load / capacity;
            if (0.5..0.75).contains(&part) { 0.01 } else { above(capacity)(load) }
        };
        let found = find(Goal::strict(), RANGE, hole);
        let (lower, upper) = found.lower.zip(found.upper).unwrap_or_default();
        let at_the_hole = lower < 0.5 * capacity && upper >= 0.5 * capacity;
        let above_it = lower >= 0.75 * capacity && lower <= capacity && upper > capacity;
        prop_assert!(at_the_hole || above_it, "{lower} {upper} of {capacity}");
    }
}

#[test]
fn what_passes_everything_is_at_least_that() {
    let found = find(Goal::strict(), RANGE, |_| 0.0);
    assert_eq!((found.lower, found.upper, found.regular), (Some(20e6), None, false));
    assert_eq!(found.conditional, Some(20e6));
    assert_eq!(found.trials.len(), 4, "one of each length");
}

#[test]
fn what_passes_nothing_has_no_throughput() {
    let found = find(Goal::strict(), Range::new(1000.0, 1e6), |_| 1.0);
    assert_eq!((found.lower, found.upper, found.conditional), (None, Some(1000.0), None));
    assert!(!found.regular);
}

#[test]
fn unsent_packets_are_lost_packets() {
    // A generator that sends at most 1 Mpps of what it is asked for, through a perfect system.
    let measure = |ask: Ask| {
        let planned = (ask.load * ask.seconds) as u64;
        let sent = planned.min((1e6 * ask.seconds) as u64);
        Ok::<_, Infallible>(Trial::of(ask.load, ask.seconds, planned, sent))
    };
    let Ok(found) = search(Goal::strict(), RANGE, measure);
    assert!(found.lower.is_some_and(|lower| lower <= 1e6), "{found:?}");
    assert!(found.upper.is_some_and(|upper| upper > 1e6), "{found:?}");
}

#[test]
fn most_of_the_time_goes_into_few_full_trials() {
    let found = find(Goal::strict(), RANGE, above(7_654_321.0));
    let full = found.trials.iter().filter(|trial| trial.seconds == 60.0).count();
    assert!(full <= 4, "{full} trials of 60 s: {:?}", found.trials);
}

#[test]
fn the_first_failure_of_a_trial_ends_the_search() {
    assert_eq!(search(Goal::strict(), RANGE, |_| Err("broken")), Err("broken"));
}
