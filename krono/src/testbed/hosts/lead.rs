//! Leads several generators through the phases: a barrier before each, and a look at all of them
//! some times a second.
//!
//! A phase begins when every generator has ended the one before. Their clocks are probed again
//! then, with nothing under way, and each is told the common instant on its own. Whoever hears of
//! it after that instant, ends, or says nothing for [`SILENT_MAX`] spoils the run.

use super::{Began, Record};
use crate::agent::client::Agent;
use crate::agent::clock::Offset;
use crate::layout::Layout;
use crate::testbed::fleet::Fleet;
use crate::testbed::program::{PATIENCE, Server};
use crate::testbed::watch::Watch;
use crate::testbed::{Observation, Outcome};
use anyhow::{Context, bail, ensure};
use dataplane::clock::{Clock, Nanos, Tsc};
use dataplane::run::Stop;
use format::plan::Plan;
use kronogen::lead::Order;
use kronogen::report::Line;
use kronogen::run::{Notice, Sample};
use kronogen::trial;
use std::thread;
use std::time::{Duration, Instant};

/// How far ahead the common instant is set: an order is heard within milliseconds.
const LEAD: Nanos = Nanos(200_000_000);

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Every program says something ten times a second.
const SILENT_MAX: Duration = Duration::from_secs(5);

/// How long generators may take until all their cores stand.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// One generator server.
pub(super) struct Player<'a> {
    agent: &'a Agent,
    server: Server<Line>,
    offset: Offset,
    /// Phases it has begun, and ended.
    begun: usize,
    ended: usize,
    late_ns: u64,
    latest: Option<(Nanos, Vec<Sample>)>,
    records: Option<Vec<Vec<trial::Record>>>,
    began: Vec<Began>,
}

impl<'a> Player<'a> {
    /// A generator that was started just now.
    pub(super) fn new(agent: &'a Agent, server: Server<Line>) -> Player<'a> {
        Player {
            agent,
            server,
            offset: Offset { offset_ns: 0, bound_ns: u64::MAX },
            begun: 0,
            ended: 0,
            late_ns: 0,
            latest: None,
            records: None,
            began: Vec::new(),
        }
    }

    /// Waits until its ports are open.
    pub(super) fn await_ports(&mut self) -> anyhow::Result<()> {
        match self.server.next()? {
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
    fn order(&mut self, phase: usize, name: &str, start: Nanos) -> anyhow::Result<()> {
        let Offset { offset_ns, bound_ns } = self.offset;
        let phase_name = name.to_owned();
        self.began.push(Began { phase: phase_name, offset_ns, bound_ns, late_ns: None });
        let order = Order::Begin { phase, start: self.offset.theirs(start) };
        self.server.say(serde_json::to_string(&order)?)
    }

    /// Reads what it has said.
    fn look(&mut self) -> anyhow::Result<()> {
        let mut unexpected = None;
        let end = self.server.drain(|line| match line {
            Line::Begins { phase, late_ns, .. } => {
                (self.begun, self.late_ns) = (phase + 1, late_ns);
                if let Some(began) = self.began.last_mut() {
                    began.late_ns = Some(late_ns);
                }
            }
            Line::Ended { phase } => self.ended = phase + 1,
            Line::Sample { now, rows } => self.latest = Some((self.offset.ours(now), rows)),
            Line::Records(records) => self.records = Some(records),
            Line::Listening { .. } | Line::Stands | Line::Router(_) => unexpected = Some(line),
        })?;
        let name = self.server.name();
        if let Some(line) = unexpected {
            bail!("{name} said {line:?}");
        }
        if let Some(end) = end {
            ensure!(self.records.is_some(), "{name} ended early, {end}: its reason is above");
        }
        let silent = self.records.is_none() && self.server.silent_for() > SILENT_MAX;
        ensure!(!silent, "{name} hangs: it has said nothing for {SILENT_MAX:?}");
        Ok(())
    }

    /// Waits for what it has counted; it ends then.
    fn finish(&mut self) -> anyhow::Result<()> {
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

/// All that is led.
pub(super) struct Lead<'a> {
    pub(super) plan: &'a Plan,
    pub(super) layout: &'a Layout<'a>,
    pub(super) players: Vec<Player<'a>>,
    pub(super) fleet: Fleet<'a>,
    pub(super) clock: &'a Tsc,
    pub(super) stop: &'a Stop,
}

impl Lead<'_> {
    /// Leads them through all phases. Of its servers, the outcome has what each began.
    ///
    /// # Errors
    /// When a server was lost before anything began.
    pub(super) fn run(
        mut self,
        sut_hz: Vec<f64>,
        observe: &mut dyn FnMut(Observation),
    ) -> anyhow::Result<Outcome> {
        let latest = self.fleet.readings();
        let read = || latest.borrow().clone();
        let (layout, clock, stop) = (self.layout, self.clock, self.stop);
        let mut watch = Watch::new(layout, &read, clock, observe).with_frequencies(sut_hz);
        let phases = layout.generator(0).phases.len();
        let mut faults = Vec::new();
        for phase in 0..phases {
            if let Err(error) = self.phase(phase, &mut watch) {
                // Nothing has been measured of which a part could be kept.
                if phase == 0 && self.players.iter().all(|player| player.begun == 0) {
                    return Err(error);
                }
                let name = &layout.phase_of(phase).0.name;
                faults.push(format!("{error:#} (phase `{name}`)"));
            }
            if stop.is_set() || !faults.is_empty() {
                self.players.iter_mut().for_each(|player| player.server.ask_to_end());
                break;
            }
        }
        let mut note = |result: anyhow::Result<()>| {
            if let Err(text) = result.map_err(|error| format!("{error:#}"))
                && !faults.iter().any(|known| known.starts_with(&text))
            {
                faults.push(text);
            }
        };
        self.players.iter_mut().for_each(|player| note(player.finish()));
        note(self.fleet.end());
        let cores = usize::from(self.plan.topology.generator_cores);
        let records = self.players.iter_mut().flat_map(|player| {
            let mut records = player.records.take().unwrap_or_default();
            records.resize(cores, Vec::new());
            for record in records.iter_mut().flatten() {
                record.start = player.offset.ours(record.start);
            }
            records
        });
        let outcome = watch.outcome(records.collect());
        let servers = self
            .players
            .into_iter()
            .map(|player| Record { phases: player.began, ..Record::default() });
        let servers = servers.collect();
        Ok(Outcome { interrupted: stop.is_set(), faults, servers, ..outcome })
    }

    /// One phase, until all have ended it, or the run is to stop.
    fn phase(&mut self, phase: usize, watch: &mut Watch<'_>) -> anyhow::Result<()> {
        let name = &self.layout.phase_of(phase).0.name;
        for player in &mut self.players {
            player.offset = player.agent.offset()?;
        }
        let start = self.clock.now() + LEAD;
        for player in &mut self.players {
            player.order(phase, name, start)?;
        }
        let mut begun = false;
        let mut sampled = None;
        while !self.stop.is_set() {
            self.players.iter_mut().try_for_each(Player::look)?;
            self.fleet.look()?;
            if let Some(name) = self.fleet.silent(SILENT_MAX) {
                bail!("{name} hangs: it has said nothing for {SILENT_MAX:?}");
            }
            if !begun && self.players.iter().all(|player| player.begun > phase) {
                begun = true;
                if let Some(late) = self.players.iter().find(|player| player.late_ns > 0) {
                    let (name, ms) = (late.server.name(), late.late_ns as f64 / 1e6);
                    bail!(
                        "{name} was late: it heard {ms:.3} ms after the start that it was to begin"
                    );
                }
                watch.notice(Notice::Begins(phase, start));
            }
            if begun {
                self.sample(start, &mut sampled, watch);
            } else if self.clock.now().since(start) > Nanos::from(SILENT_MAX) {
                let missing = self.players.iter().find(|player| player.begun <= phase);
                let missing = missing.context("all have begun")?;
                bail!("{} was late: it has not begun", missing.server.name());
            }
            if begun && self.players.iter().all(|player| player.ended > phase) {
                watch.notice(Notice::Ended(phase));
                return Ok(());
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Passes on a sampling instant of the first generator, with what the others said last.
    /// What was said before the common instant is of the phase before.
    fn sample(&self, start: Nanos, sampled: &mut Option<Nanos>, watch: &mut Watch<'_>) {
        let all: Option<Vec<_>> =
            self.players.iter().map(|player| player.latest.as_ref()).collect();
        let Some(all) = all else { return };
        let Some(&&(now, _)) = all.first() else { return };
        if now >= start && *sampled != Some(now) {
            *sampled = Some(now);
            let rows = all.iter().flat_map(|(at, rows)| rows.iter().map(|row| (*at, *row)));
            watch.sample(now, rows.collect());
        }
    }
}
