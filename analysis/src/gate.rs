//! The performance gate: is the candidate slower than the base, and how sure is that.
//!
//! Pairs of figures come in one after the other. At looks planned before the first pair
//! ([`Design`]) every metric is tested: is it worse by more than is tolerated ([`signflip`]), all
//! metrics together ([`holm`]). Each look has its share of alpha, and the shares sum to alpha: however
//! the looks depend on each other, the probability of ever calling a candidate that is no worse
//! regressed is at most alpha. A look may also end the gate because what is looked for is excluded;
//! that can only lower it.
//!
//! Pure functions of numbers that others measured, nothing random: the coin of each pair is the
//! caller's, and the promise rests on it. The caller is `krono gate`; [`row`] is what it gets, in
//! the words that tables and exporters share.

pub mod holm;
pub mod row;

pub use row::{Class, Direction, Row};

use crate::stats::{median, signflip};

/// Probability of a change being seen that `seen_from` is about, as a quantile of the normal
/// distribution: 80 %.
const POWER_QUANTILE: f64 = 0.841_621_233_572_914_3;

/// Pairs before the first look, at the most: a slow-down of several per cent is seen by then.
const FIRST_LOOK: usize = 16;

/// A metric and what is asked of it. Changes are shares of the base: 0.03 is 3 % worse.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Name, such as `forward.cycles_per_packet`.
    pub metric: String,
    /// Unit of its values.
    pub unit: String,
    /// Which way it gets better.
    pub direction: Direction,
    /// A change for the worse up to this is no regression.
    pub tolerated: f64,
    /// Once a change for the worse as large as this is excluded, no more is measured.
    pub looked_for: f64,
    /// A gate that could not have seen a change as large as this does not say `pass`.
    pub must_see: f64,
}

/// Both sides of a pair, and what they differ by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// The base's figure.
    pub base: f64,
    /// The candidate's.
    pub value: f64,
    /// ln(candidate ÷ base): of the two, or of slices that were taken in turns.
    pub log_ratio: f64,
}

/// When is looked, and with which share of alpha.
#[derive(Clone, Debug, PartialEq)]
pub struct Design {
    alpha: f64,
    looks: Vec<Look>,
}

/// One look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// Pairs there are by then.
    pub pairs: usize,
    /// Its share of alpha.
    pub alpha: f64,
}

impl Design {
    /// At most `pairs` of them and `alpha` in all: looks at each doubling, the later ones with more of
    /// alpha, as most changes worth the name are gross and seen at once.
    ///
    /// # Panics
    /// When there are no pairs, or more than a test takes; when alpha is not between 0 and 1.
    pub fn new(alpha: f64, pairs: usize) -> Design {
        assert!((1..=signflip::PAIRS_MAX).contains(&pairs), "{pairs} pairs");
        assert!(alpha > 0.0 && alpha < 1.0, "alpha {alpha}");
        let doublings = std::iter::successors(Some(FIRST_LOOK), |n| Some(2 * n));
        let mut counts: Vec<usize> = doublings.take_while(|n| *n < pairs).collect();
        counts.push(pairs);
        let weights: usize = (1..=counts.len()).sum();
        let share = |at: usize| alpha * (at + 1) as f64 / weights as f64;
        let looks = counts.into_iter().enumerate();
        let looks = looks.map(|(at, pairs)| Look { pairs, alpha: share(at) }).collect();
        Design { alpha, looks }
    }

    /// Probability of a false alarm.
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// The looks, in order.
    pub fn looks(&self) -> &[Look] {
        &self.looks
    }

    /// Pairs at the last look.
    pub fn pairs_max(&self) -> usize {
        self.looks.last().map_or(0, |look| look.pairs)
    }
}

/// What a look finds.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// A row for each metric, in order.
    pub rows: Vec<Row>,
    /// Whether more pairs would tell more: not after the last look, a regression, or when all that is
    /// looked for is excluded.
    pub go_on: bool,
}

/// Looks for the `at`-th time, at the first so many pairs of each metric as the design has it.
///
/// # Panics
/// When a metric has fewer pairs, or there is no such look.
pub fn look(design: &Design, at: usize, metrics: &[(Rule, Vec<Pair>)]) -> Finding {
    let now = design.looks[at];
    let worse: Vec<Vec<f64>> =
        metrics.iter().map(|(rule, pairs)| worse(rule, &pairs[..now.pairs])).collect();
    let p: Vec<Option<f64>> = metrics
        .iter()
        .zip(&worse)
        .map(|((rule, _), worse)| signflip::p_greater(worse, rule.tolerated.ln_1p()))
        .collect();
    let regressed = holm::rejected(&p, now.alpha);
    let found: Vec<Found> = metrics
        .iter()
        .zip(&worse)
        .zip(regressed)
        .map(|(((rule, _), worse), regressed)| {
            let p = signflip::p_less(worse, rule.looked_for.ln_1p());
            Found { regressed, excluded: p.is_some_and(|p| p <= design.alpha) }
        })
        .collect();
    let over = found.iter().any(|it| it.regressed) || found.iter().all(|it| it.excluded);
    let last = at + 1 == design.looks.len();
    let alphas = [design.alpha, now.alpha / metrics.len() as f64];
    let rows = metrics.iter().zip(&worse).zip(found).map(|(((rule, pairs), worse), found)| {
        row(rule, &pairs[..now.pairs], worse, alphas, found)
    });
    Finding { rows: rows.collect(), go_on: !last && !over }
}

/// What the tests say of a metric.
#[derive(Clone, Copy)]
struct Found {
    /// Worse than is tolerated.
    regressed: bool,
    /// What is looked for is excluded.
    excluded: bool,
}

/// As [`look`], where the time was over before the look's pairs were there: what there is is judged at
/// the look's share of alpha, and no more follows. When the time is over does not depend on which
/// side is slower by a coin's fall, so the promise holds.
///
/// # Panics
/// When there is no such look.
pub fn look_early(design: &Design, at: usize, metrics: &[(Rule, Vec<Pair>)]) -> Finding {
    let pairs = metrics.iter().map(|(_, pairs)| pairs.len()).min().unwrap_or(0);
    let last = Look { pairs, alpha: design.looks[at].alpha };
    let design = Design { alpha: design.alpha, looks: vec![last] };
    look(&design, 0, metrics)
}

/// Judges pairs that are there once, with nothing to stop for.
///
/// # Panics
/// As [`Design::new`].
pub fn judge(alpha: f64, metrics: &[(Rule, Vec<Pair>)]) -> Vec<Row> {
    let pairs = metrics.iter().map(|(_, pairs)| pairs.len()).min().unwrap_or(1);
    look(&Design { alpha, looks: vec![Look { pairs, alpha }] }, 0, metrics).rows
}

/// Holds a gate on pairs that are there, beginning with the one in place `from` and going on from the
/// first after the last; its verdict and how many pairs it took.
///
/// # Panics
/// When a metric has fewer pairs than the design.
pub fn hold(design: &Design, metrics: &[(Rule, Vec<Pair>)], from: usize) -> (Class, usize) {
    let turned: Vec<(Rule, Vec<Pair>)> = metrics
        .iter()
        .map(|(rule, pairs)| {
            let pairs = pairs.iter().cycle().skip(from).take(design.pairs_max());
            (rule.clone(), pairs.copied().collect())
        })
        .collect();
    for (at, now) in design.looks.iter().enumerate() {
        let Finding { rows, go_on } = look(design, at, &turned);
        if !go_on {
            return (row::overall(&rows), now.pairs);
        }
    }
    unreachable!("the last look ends it")
}

/// Log ratios, greater for the worse.
fn worse(rule: &Rule, pairs: &[Pair]) -> Vec<f64> {
    pairs.iter().map(|pair| rule.direction.worse() * pair.log_ratio).collect()
}

/// The row of a metric; `alphas`: of its interval, and its share of this look.
fn row(rule: &Rule, pairs: &[Pair], worse: &[f64], alphas: [f64; 2], found: Found) -> Row {
    let [alpha, each] = alphas;
    let of = |side: fn(&Pair) -> f64| median(&pairs.iter().map(side).collect::<Vec<_>>());
    let centre = signflip::centre(worse, alpha);
    // The interval's half is as many standard errors as its tail has quantiles.
    let error = centre.map(|it| (it.high - it.low) / 2.0 / -normal_quantile(alpha));
    let quantiles = POWER_QUANTILE - normal_quantile(each);
    let seen_from = error
        .filter(|error| error.is_finite())
        .map(|error| (rule.tolerated.ln_1p() + quantiles * error).exp_m1());
    let class = match seen_from {
        _ if found.regressed => Class::Regressed,
        _ if found.excluded => Class::Pass,
        Some(share) if share <= rule.must_see => Class::Pass,
        _ => Class::Erratic,
    };
    let share = |log: f64| Some(log.exp_m1()).filter(|share| share.is_finite());
    let ends = centre.map(|it| match rule.direction {
        Direction::LowerIsBetter => [it.value, it.low, it.high],
        Direction::HigherIsBetter => [-it.value, -it.high, -it.low],
    });
    let end = |at: usize| ends.and_then(|ends| share(ends[at]));
    Row {
        metric: rule.metric.clone(),
        unit: rule.unit.clone(),
        direction: rule.direction,
        base: of(|pair| pair.base),
        value: of(|pair| pair.value),
        change: end(0),
        low: end(1),
        high: end(2),
        confidence: Some(1.0 - 2.0 * alpha),
        seen_from,
        class,
        why: why(rule, class, seen_from, pairs.len()),
    }
}

fn why(rule: &Rule, class: Class, seen_from: Option<f64>, pairs: usize) -> Option<String> {
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    match (class, seen_from) {
        (Class::Erratic, Some(share)) => Some(format!(
            "{pairs} pairs spread so much that only {} would have been seen, {} must be",
            percent(share),
            percent(rule.must_see)
        )),
        (Class::Erratic, None) => Some(format!("{pairs} pairs are too few to see anything")),
        (Class::Regressed, _) => Some(format!("worse by more than {}", percent(rule.tolerated))),
        _ => None,
    }
}

/// Quantile of the standard normal distribution for a probability of at most ½: Abramowitz and
/// Stegun 26.2.23, off by less than 0.00045.
fn normal_quantile(p: f64) -> f64 {
    let t = (-2.0 * p.min(0.5).ln()).sqrt();
    let above = 2.515_517 + 0.802_853 * t + 0.010_328 * t * t;
    let below = 1.0 + 1.432_788 * t + 0.189_269 * t * t + 0.001_308 * t * t * t;
    -(t - above / below)
}

#[cfg(test)]
mod tests;
