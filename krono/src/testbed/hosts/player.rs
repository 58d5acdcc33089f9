//! One generator server that is led: ordered, heard, and believed as far as a clock can be.

use super::{Began, Compared};
use crate::agent::client::Agent;
use crate::agent::clock::{Lie, Offset};
use crate::testbed::program::{PATIENCE, Server};
use anyhow::{anyhow, bail, ensure};
use dataplane::clock::{Clock, Nanos, Tsc};
use kronogen::lead::Order;
use kronogen::report::Line;
use kronogen::run::Sample;
use kronogen::trial;
use std::thread;
use std::time::{Duration, Instant};

/// Time between two looks.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Every program says something ten times a second.
pub(super) const SILENT_MAX: Duration = Duration::from_secs(5);

/// How old the last sample may be by the clock of whoever told it: one that says nothing is found
/// out before.
const BEHIND_MAX: Nanos = Nanos(10_000_000_000);

/// How long generators may take until all their cores stand.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// One generator server.
pub(super) struct Player<'a> {
    agent: &'a Agent,
    pub(super) server: Server<Line>,
    clock: &'a Tsc,
    /// As last probed.
    pub(super) offset: Offset,
    /// The start that it was ordered last, on its clock.
    ordered: Nanos,
    /// Phases it has begun, and ended.
    pub(super) begun: usize,
    pub(super) ended: usize,
    pub(super) late_ns: u64,
    /// Its last sample, on its clock.
    pub(super) latest: Option<(Nanos, Vec<Sample>)>,
    pub(super) records: Option<Vec<Vec<trial::Record>>>,
    pub(super) began: Vec<Began>,
    pub(super) after: Option<Compared>,
}

impl<'a> Player<'a> {
    /// A generator that was started just now, beside our own `clock`.
    pub(super) fn new(agent: &'a Agent, server: Server<Line>, clock: &'a Tsc) -> Player<'a> {
        Player {
            agent,
            server,
            clock,
            // Nothing is known of it.
            offset: Offset { at: Nanos(0), offset_ns: 0, bound_ns: u64::MAX },
            ordered: Nanos(0),
            begun: 0,
            ended: 0,
            late_ns: 0,
            latest: None,
            records: None,
            began: Vec::new(),
            after: None,
        }
    }

    /// Compares the clocks.
    pub(super) fn probe(&mut self) -> anyhow::Result<Compared> {
        let offset = self.agent.offset()?;
        offset.follows(&self.offset).map_err(|lie| self.lies(lie))?;
        self.offset = offset;
        Ok(Compared { offset_ns: offset.offset_ns, bound_ns: offset.bound_ns })
    }

    /// Waits until its ports are open.
    pub(super) fn await_ports(&mut self) -> anyhow::Result<()> {
        match self.server.hear()? {
            Some(Line::Listening { .. }) => Ok(()),
            Some(other) => bail!("{} began with {other:?}", self.server.name()),
            None => bail!("{} has not started: its reason is above", self.server.name()),
        }
    }

    /// Waits until its cores stand.
    pub(super) fn await_cores(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < READY_WITHIN {
            match self.server.next_within(READY_WITHIN)? {
                Some(Line::Stands) => return Ok(()),
                Some(Line::Sample { .. }) | None => {}
                Some(other) => bail!("{} began with {other:?}", self.server.name()),
            }
        }
        bail!("{} was not ready within {READY_WITHIN:?}", self.server.name())
    }

    /// Orders a phase to begin at `start`.
    pub(super) fn order(&mut self, phase: usize, start: Nanos) -> anyhow::Result<()> {
        self.ordered = self.offset.theirs(start);
        let order = Order::Begin { phase, start: self.ordered };
        self.server.say(serde_json::to_string(&order)?)
    }

    /// Reads what it has said.
    pub(super) fn look(&mut self) -> anyhow::Result<()> {
        let mut unexpected = None;
        let end = self.server.drain(|line| match line {
            Line::Begins { start, .. } if start != self.ordered => unexpected = Some(line),
            Line::Begins { phase, late_ns, .. } => {
                (self.begun, self.late_ns) = (phase + 1, late_ns);
                if let Some(began) = self.began.last_mut() {
                    began.late_ns = Some(late_ns);
                }
            }
            Line::Ended { phase } => self.ended = phase + 1,
            Line::Sample { now, rows } => self.latest = Some((now, rows)),
            Line::Records(records) => self.records = Some(records),
            Line::Listening { .. } | Line::Stands | Line::Router(_) => unexpected = Some(line),
        })?;
        let name = self.server.name();
        if let Some(line) = unexpected {
            bail!("{name} said {line:?}, which is not what it was asked to do");
        }
        if let Some(end) = end {
            ensure!(self.records.is_some(), "{name} ended early, {end}: its reason is above");
        }
        let silent = self.records.is_none() && self.server.silent_for() > SILENT_MAX;
        ensure!(!silent, "{name} hangs: it has said nothing for {SILENT_MAX:?}");
        Ok(())
    }

    /// Whether the time that it told last can be: nothing newer waits to be read.
    pub(super) fn believe(&self) -> anyhow::Result<()> {
        if let (Some((told, _)), None) = (&self.latest, &self.records) {
            let allowed = self.offset.allows(*told, self.clock.now(), BEHIND_MAX);
            allowed.map_err(|lie| self.lies(lie))?;
        }
        Ok(())
    }

    fn lies(&self, lie: Lie) -> anyhow::Error {
        anyhow!("{}: its clock lies: {lie}", self.server.name())
    }

    /// Waits for what it has counted; it ends then.
    pub(super) fn finish(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while self.records.is_none() {
            self.look()?;
            let late = begun.elapsed() > PATIENCE;
            ensure!(!late, "{} has not said what it counted", self.server.name());
            thread::sleep(LOOK_EVERY);
        }
        self.server.end()
    }
}
