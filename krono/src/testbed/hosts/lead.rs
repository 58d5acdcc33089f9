//! Leads several generators through the phases: a barrier before each, and a look at all of them
//! some times a second.
//!
//! A phase begins when every generator has ended the one before. Their clocks are probed again
//! then, with nothing under way, and once more after the last phase; each is told the common
//! instant on its own. Whoever hears of it after that instant, begins at another, ends, says
//! nothing for [`SILENT_MAX`], or has a clock that says what none can, spoils the run.

use super::player::{LOOK_EVERY, Player, SILENT_MAX};
use super::{Began, Record};
use crate::layout::Layout;
use crate::testbed::fleet::Fleet;
use crate::testbed::watch::Watch;
use crate::testbed::{Observation, Outcome};
use anyhow::{Context, bail};
use dataplane::clock::{Clock, Nanos, Tsc};
use dataplane::run::Stop;
use format::plan::Plan;
use kronogen::run::Notice;
use std::thread;

/// How far ahead the common instant is set: an order is heard within milliseconds.
const LEAD: Nanos = Nanos(200_000_000);

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
        let watch = Watch::new(self.layout, &read, self.clock, observe);
        let mut watch = watch.with_frequencies(sut_hz);
        let mut faults = self.lead(&mut watch)?;
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
        let servers = self.players.into_iter().map(|it| Record {
            phases: it.began,
            after: it.after,
            ..Record::default()
        });
        let servers = servers.collect();
        Ok(Outcome { interrupted: self.stop.is_set(), faults, servers, ..outcome })
    }

    /// Leads them as far as they go well, and returns why no further.
    fn lead(&mut self, watch: &mut Watch<'_>) -> anyhow::Result<Vec<String>> {
        let mut faults = Vec::new();
        for phase in 0..self.layout.generator(0).phases.len() {
            if let Err(error) = self.phase(phase, watch) {
                // Nothing has been measured of which a part could be kept.
                if phase == 0 && self.players.iter().all(|player| player.begun == 0) {
                    return Err(error);
                }
                let name = &self.layout.phase_of(phase).0.name;
                faults.push(format!("{error:#} (phase `{name}`)"));
            }
            if self.stop.is_set() || !faults.is_empty() {
                self.players.iter_mut().for_each(|player| player.server.ask_to_end());
                return Ok(faults);
            }
        }
        for player in &mut self.players {
            match player.probe() {
                Ok(compared) => player.after = Some(compared),
                Err(error) => faults.push(format!("{error:#} (after the last phase)")),
            }
        }
        Ok(faults)
    }

    /// One phase, until all have ended it, or the run is to stop.
    fn phase(&mut self, phase: usize, watch: &mut Watch<'_>) -> anyhow::Result<()> {
        let name = &self.layout.phase_of(phase).0.name;
        for player in &mut self.players {
            let clock = player.probe()?;
            player.began.push(Began { phase: name.clone(), clock, late_ns: None });
        }
        let start = self.clock.now() + LEAD;
        self.players.iter_mut().try_for_each(|player| player.order(phase, start))?;
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
                self.players.iter().try_for_each(Player::believe)?;
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
        let latest = |player: &Player<'_>| {
            let (told, rows) = player.latest.as_ref()?;
            let at = player.offset.ours(*told);
            Some(rows.iter().map(|row| (at, *row)).collect::<Vec<_>>())
        };
        let all: Option<Vec<_>> = self.players.iter().map(latest).collect();
        let rows = all.unwrap_or_default().concat();
        let Some(&(now, _)) = rows.first() else { return };
        if now >= start && *sampled != Some(now) {
            *sampled = Some(now);
            watch.sample(now, rows);
        }
    }
}
