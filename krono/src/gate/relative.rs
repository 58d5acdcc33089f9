//! The relative tier: two programs by turns on one processor, pair after pair.
//!
//! A pair is a fresh process of each program: where its memory and code happen to lie is part of
//! what one start differs from the next by, and is drawn anew for each pair. A coin decides which
//! is started first, and for every two slices which goes first. All slices of a pair are one figure,
//! the median of their log ratios; what the test flips the sign of is the pair.

use super::child::{Program, Start};
use super::{Sides, Unfit};
use crate::slices::{EXPIRE, FORWARD, OPEN, Slice, Work};
use analysis::gate::{self, Design, Direction, Finding, Pair, Row, Rule};
use analysis::stats::median;
use format::scenario::Gate;
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::ffi::OsString;
use std::time::{Duration, Instant};

/// Metrics, and the unit of each.
const METRICS: [(&str, &str); 3] = [(FORWARD, "cycles"), (OPEN, "cycles"), (EXPIRE, "cycles")];

/// Slices of each program in a pair.
const SLICES: u64 = 24;

/// Work of a slice, without its seed: some 5 ms.
const WORK: Work = Work { seed: 0, bursts: 1_500, cohorts: 8 };

/// What is measured, and how it is judged.
pub(super) struct Relative<'a> {
    sides: &'a Sides,
    arguments: &'a [OsString],
    design: Design,
    limit: Duration,
    random: Xoshiro256PlusPlus,
    metrics: Vec<(Rule, Vec<Pair>)>,
}

/// What came of it.
pub(super) struct Outcome {
    pub(super) rows: Vec<Row>,
    /// Pairs that were judged.
    pub(super) pairs: usize,
    pub(super) took: Duration,
    /// All figures, for whoever wants to judge them otherwise.
    pub(super) metrics: Vec<(Rule, Vec<Pair>)>,
}

impl<'a> Relative<'a> {
    pub(super) fn new(
        sides: &'a Sides,
        arguments: &'a [OsString],
        gate: &Gate,
        seed: u64,
    ) -> Relative<'a> {
        let rules = METRICS.iter().filter_map(|(name, unit)| {
            let asked = gate.metrics.iter().find(|metric| metric.name == *name)?;
            Some(Rule {
                metric: (*name).to_owned(),
                unit: (*unit).to_owned(),
                direction: Direction::LowerIsBetter,
                tolerated: asked.tolerated,
                looked_for: asked.looked_for,
                must_see: asked.must_see,
            })
        });
        Relative {
            sides,
            arguments,
            design: Design::new(gate.alpha, gate.pairs),
            limit: Duration::from_nanos(gate.limit_ns),
            random: Xoshiro256PlusPlus::seed_from_u64(seed),
            metrics: rules.map(|rule| (rule, Vec::new())).collect(),
        }
    }

    /// Measures until a look ends it, or the time; then what there is is judged as at the last
    /// look, at no more than that look's share of alpha.
    ///
    /// # Errors
    /// Programs that cannot be compared, or one that fails.
    pub(super) fn run(mut self, tell: &mut dyn FnMut(&Finding, usize)) -> Result<Outcome, Unfit> {
        let start = Instant::now();
        let looks = self.design.looks().to_vec();
        for (at, look) in looks.iter().enumerate() {
            while self.pairs() < look.pairs && start.elapsed() < self.limit {
                self.pair()?;
            }
            let late = self.pairs() < look.pairs;
            let finding = match late {
                true => gate::look_early(&self.design, at, &self.metrics),
                false => gate::look(&self.design, at, &self.metrics),
            };
            tell(&finding, self.pairs());
            if late || !finding.go_on {
                let (pairs, took) = (self.pairs(), start.elapsed());
                let rows = finding.rows;
                return Ok(Outcome { rows, pairs, took, metrics: self.metrics });
            }
        }
        unreachable!("the last look ends it")
    }

    /// Measures all pairs that the time allows, without a look.
    ///
    /// # Errors
    /// As [`Relative::run`].
    pub(super) fn collect(mut self) -> Result<Outcome, Unfit> {
        let start = Instant::now();
        while self.pairs() < self.design.pairs_max() && start.elapsed() < self.limit {
            self.pair()?;
        }
        let (pairs, took, metrics) = (self.pairs(), start.elapsed(), self.metrics);
        Ok(Outcome { rows: gate::judge(self.design.alpha(), &metrics), pairs, took, metrics })
    }

    fn pairs(&self) -> usize {
        self.metrics.first().map_or(0, |(_, pairs)| pairs.len())
    }

    /// Which of the two goes first.
    fn coin(&mut self) -> bool {
        self.random.next_u64() >> 63 == 0
    }

    /// A fresh process of each, and their slices by turns.
    fn pair(&mut self) -> Result<(), Unfit> {
        let (sides, arguments) = (self.sides, self.arguments);
        let start = |program| Program::start(&Start { program, under: Vec::new(), arguments });
        let [mut base, mut candidate] = match self.coin() {
            true => {
                let base = start(&sides.base)?;
                [base, start(&sides.candidate)?]
            }
            false => {
                let candidate = start(&sides.candidate)?;
                [start(&sides.base)?, candidate]
            }
        };
        super::comparable(&base.hello, &candidate.hello)?;
        let mut slices = Vec::new();
        for _ in 0..SLICES {
            let work = Work { seed: self.random.next_u64(), ..WORK };
            slices.push(match self.coin() {
                true => {
                    let one = base.slice(&work)?;
                    [one, candidate.slice(&work)?]
                }
                false => {
                    let other = candidate.slice(&work)?;
                    [base.slice(&work)?, other]
                }
            });
        }
        base.end()?;
        candidate.end()?;
        for (rule, pairs) in &mut self.metrics {
            pairs.push(figure(&rule.metric, &slices)?);
        }
        Ok(())
    }
}

/// A pair's figure of a metric.
fn figure(metric: &str, slices: &[[Slice; 2]]) -> Result<Pair, Unfit> {
    let side = |at: usize| -> Option<Vec<f64>> {
        let figures = slices.iter().map(|both| both[at].metrics.get(metric).copied());
        figures.map(|figure| figure.filter(|it| it.is_finite() && *it > 0.0)).collect()
    };
    let found = side(0).zip(side(1)).and_then(|(base, value)| {
        let ratios: Vec<f64> = base.iter().zip(&value).map(|(a, b)| (b / a).ln()).collect();
        let (base, value, log_ratio) = (median(&base)?, median(&value)?, median(&ratios)?);
        Some(Pair { base, value, log_ratio })
    });
    found.ok_or_else(|| Unfit::NoMetric { metric: metric.to_owned() })
}
