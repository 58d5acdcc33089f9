//! What the gate promises, on simulated machines.

use super::*;
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

fn rule(tolerated: f64) -> Rule {
    Rule {
        metric: "forward.cycles_per_packet".to_owned(),
        unit: "cycles".to_owned(),
        direction: Direction::LowerIsBetter,
        tolerated,
        looked_for: 0.015,
        must_see: 0.03,
    }
}

fn uniform(random: &mut impl RngCore) -> f64 {
    ((random.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

fn normal(random: &mut impl RngCore) -> f64 {
    let radius = (-2.0 * uniform(random).ln()).sqrt();
    radius * (std::f64::consts::TAU * uniform(random)).cos()
}

/// A machine that drifts: each measurement is off by noise of its own and by a first-order
/// autoregressive process, and one in twenty is disturbed.
struct Machine {
    random: Xoshiro256PlusPlus,
    drift: f64,
    noise: f64,
    step: f64,
}

impl Machine {
    fn measure(&mut self, log_cost: f64) -> f64 {
        self.drift = 0.9 * self.drift + self.step * normal(&mut self.random);
        let disturbed = if uniform(&mut self.random) < 0.05 { 0.3 } else { 0.0 };
        log_cost + self.drift + self.noise * normal(&mut self.random) + disturbed
    }

    /// A pair in an order that a coin decides.
    fn pair(&mut self, slower: f64) -> Pair {
        let coin = self.random.next_u64() & 1 == 0;
        let (base, value) = if coin {
            let base = self.measure(0.0);
            (base, self.measure(slower.ln_1p()))
        } else {
            let value = self.measure(slower.ln_1p());
            (self.measure(0.0), value)
        };
        Pair { base: base.exp(), value: value.exp(), log_ratio: value - base }
    }
}

/// What becomes of a gate whose metrics are slower by so much.
fn gate(seed: u64, design: &Design, slower: &[f64], rule: &Rule, spread: f64) -> (Class, usize) {
    let random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut machine = Machine { random, drift: 0.0, noise: spread, step: 2.0 * spread };
    let mut metrics: Vec<_> = slower.iter().map(|_| (rule.clone(), Vec::new())).collect();
    for (at, look_at) in design.looks().iter().enumerate() {
        for ((_, pairs), slower) in metrics.iter_mut().zip(slower) {
            pairs.extend((pairs.len()..look_at.pairs).map(|_| machine.pair(*slower)));
        }
        let Finding { rows, go_on } = look(design, at, &metrics);
        if !go_on {
            return (row::overall(&rows), look_at.pairs);
        }
    }
    unreachable!("the last look ends it");
}

/// Gates of `tries` that find a regression.
fn regressed(tries: u64, design: &Design, slower: &[f64], rule: &Rule, spread: f64) -> usize {
    let found = |seed: &u64| gate(*seed, design, slower, rule, spread).0 == Class::Regressed;
    (0..tries).filter(found).count()
}

#[test]
fn alpha_is_kept_over_looks_and_metrics_on_a_machine_that_drifts() {
    // Nothing tolerated, so that the null hypothesis holds exactly; 5 % of 1,000 are 50 and
    // their standard deviation is 7. What is excluded never ends a gate here.
    let design = Design::new(0.05, 64);
    let rule = Rule { looked_for: -0.5, ..rule(0.0) };
    let alarms = regressed(1_000, &design, &[0.0, 0.0], &rule, 0.005);
    assert!(alarms <= 66, "{alarms} false alarms of 1,000 at 5 %");
    assert!(alarms >= 10, "{alarms} of 1,000 at 5 %: a test that never sees anything");
}

#[test]
fn false_alarms_are_rarer_than_alpha_where_something_is_tolerated() {
    let design = Design::new(0.01, 64);
    let alarms = regressed(1_000, &design, &[0.0, 0.0], &rule(0.005), 0.005);
    assert!(alarms <= 10, "{alarms} false alarms of 1,000 at 1 %");
}

#[test]
fn a_slow_down_in_one_metric_is_seen() {
    let design = Design::new(0.01, 64);
    for (slower, least) in [(0.015, 80), (0.03, 95), (0.05, 99)] {
        let seen = regressed(100, &design, &[0.0, slower], &rule(0.005), 0.003);
        assert!(seen >= least, "{slower}: seen in {seen} of 100");
    }
}

#[test]
fn what_is_excluded_ends_the_gate_early_and_what_spreads_is_not_judged() {
    let design = Design::new(0.01, 256);
    let (class, pairs) = gate(1, &design, &[0.0], &rule(0.005), 0.001);
    assert_eq!((class, pairs), (Class::Pass, 16));
    let (class, pairs) = gate(1, &Design::new(0.01, 16), &[0.0], &rule(0.005), 0.1);
    assert_eq!((class, pairs), (Class::Erratic, 16));
    // Six pairs can never show anything at 1 %.
    let (class, _) = gate(1, &Design::new(0.01, 6), &[0.5], &rule(0.005), 0.0001);
    assert_eq!(class, Class::Erratic);
}

#[test]
fn what_could_have_been_seen_is_seen_about_that_often() {
    let design = Design::new(0.01, 32);
    let rule = Rule { looked_for: -0.5, ..rule(0.005) };
    let random = Xoshiro256PlusPlus::seed_from_u64(9);
    let mut machine = Machine { random, drift: 0.0, noise: 0.01, step: 0.01 };
    let pairs: Vec<Pair> = (0..32).map(|_| machine.pair(0.0)).collect();
    let finding = look(&design, 1, &[(rule.clone(), pairs)]);
    let claimed = finding.rows[0].seen_from.expect("enough pairs");
    let again = (0..300).filter(|seed| {
        let random = Xoshiro256PlusPlus::seed_from_u64(*seed);
        let mut machine = Machine { random, drift: 0.0, noise: 0.01, step: 0.01 };
        let pairs: Vec<Pair> = (0..32).map(|_| machine.pair(claimed)).collect();
        look(&design, 1, &[(rule.clone(), pairs)]).rows[0].class == Class::Regressed
    });
    let seen = again.count() as f64 / 300.0;
    assert!((0.5..=0.98).contains(&seen), "{claimed}: seen in {seen} of the cases");
}

#[test]
fn rates_get_worse_downwards() {
    let rule = Rule { direction: Direction::HigherIsBetter, ..rule(0.005) };
    let pairs = |ratio: f64| {
        let of = |at: usize| ratio * (1.0 + 0.0001 * (at % 5) as f64);
        (0..32)
            .map(|at| Pair { base: 10.0, value: 10.0 * of(at), log_ratio: of(at).ln() })
            .collect()
    };
    let design = Design::new(0.01, 32);
    let slower = look(&design, 1, &[(rule.clone(), pairs(0.95))]);
    assert_eq!((slower.rows[0].class, slower.go_on), (Class::Regressed, false));
    let change = slower.rows[0].change.expect("a change");
    assert!((-0.051..-0.049).contains(&change), "{change}");
    let faster = look(&design, 0, &[(rule, pairs(1.05))]);
    assert_eq!((faster.rows[0].class, faster.go_on), (Class::Pass, false));
    assert!(faster.rows[0].low < faster.rows[0].high);
}

#[test]
fn looks_double_and_their_shares_sum_to_alpha() {
    let design = Design::new(0.01, 100);
    let pairs: Vec<usize> = design.looks().iter().map(|look| look.pairs).collect();
    assert_eq!((pairs, design.pairs_max()), (vec![16, 32, 64, 100], 100));
    let sum: f64 = design.looks().iter().map(|look| look.alpha).sum();
    assert!((sum - 0.01).abs() < 1e-12);
    assert_eq!(Design::new(0.01, 7).looks().len(), 1);
    for (p, quantile) in [(0.01, -2.326_35), (0.5, 0.0), (0.000_1, -3.719_02)] {
        assert!((normal_quantile(p) - quantile).abs() < 0.000_5);
    }
}
