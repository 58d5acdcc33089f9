//! The servers under test as processes, here or behind agents, and what is done to them: killed,
//! stopped, asked to leave, started again. Nobody else is told; the network finds out by their
//! packets.

use super::monitor::Reading;
use super::program::Server;
use crate::layout::Layout;
use anyhow::{bail, ensure};
use format::plan::{Action, Injection, Plan};
use krononat::report::Line;
use krononat::worker::Tally;
use nix::sys::signal::Signal;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// What is to come of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It runs until the end of the run.
    Runs,
    /// It was killed.
    Dead,
    /// It was asked to leave, and will end.
    Leaves,
    /// The same, and is started again then.
    Renews,
}

struct Slot {
    process: Option<Server<Line>>,
    fate: Fate,
}

/// What each core has told last.
pub(super) type Readings = Rc<RefCell<Vec<Reading>>>;

/// Starts a server under test.
pub(super) type Launch<'a> = Box<dyn Fn(usize) -> anyhow::Result<Server<Line>> + 'a>;

/// All servers under test.
pub(super) struct Fleet<'a> {
    launch: Launch<'a>,
    slots: Vec<Slot>,
    latest: Readings,
}

/// What processes cannot have done to them, if the plan asks for it; nor their links, but for those
/// that `unplug`.
pub(super) fn lacking(plan: &Plan, unplug: bool) -> Option<String> {
    let mut injections = plan.phases.iter().filter_map(|phase| phase.injection);
    injections.find_map(|injection| match injection.action {
        Action::LinkDown | Action::LinkUp if unplug => None,
        Action::Delay { .. }
        | Action::LinkDown
        | Action::LinkUp
        | Action::Partition(_)
        | Action::Loss(_)
        | Action::Heal => Some(format!(
            "{injection}: links to processes cannot be disturbed; use the embedded testbed, or kill, \
             hang or leave"
        )),
        _ if injection.target.core.is_some() && plan.topology.sut_cores > 1 => Some(format!(
            "{injection}: a process has all its cores in common; name the server alone, or use the \
             embedded testbed"
        )),
        _ => None,
    })
}

impl<'a> Fleet<'a> {
    /// `servers` of them; those that are not absent are launched, and stand when this returns.
    pub(super) fn start(
        layout: &Layout<'_>,
        servers: u16,
        launch: Launch<'a>,
        absent: &[u16],
    ) -> anyhow::Result<Fleet<'a>> {
        let slots = (0..servers).map(|_| Slot { process: None, fate: Fate::Dead }).collect();
        let reading = |index| {
            let (server, core) = layout.sut_place(index);
            Reading { server, core, tally: Tally::default() }
        };
        let latest = Rc::new(RefCell::new((0..layout.suts()).map(reading).collect()));
        let mut fleet = Fleet { launch, slots, latest };
        for index in (0..fleet.slots.len()).filter(|&index| !absent.contains(&(index as u16))) {
            fleet.launch(index)?;
        }
        for slot in &mut fleet.slots {
            let Some(process) = &mut slot.process else { continue };
            match process.hear()? {
                Some(Line::Ready { .. }) => {}
                other => bail!("{} began with {other:?}", process.name()),
            }
        }
        Ok(fleet)
    }

    fn launch(&mut self, index: usize) -> anyhow::Result<()> {
        let slot = &mut self.slots[index];
        // One that still lives, as one that hangs may, makes room.
        slot.process = None;
        slot.process = Some((self.launch)(index)?);
        slot.fate = Fate::Runs;
        Ok(())
    }

    /// What every core has counted, as last told.
    pub(super) fn readings(&self) -> Readings {
        self.latest.clone()
    }

    /// Reads what has been told; an end that nobody asked for is an error.
    pub(super) fn look(&mut self) -> anyhow::Result<()> {
        for index in 0..self.slots.len() {
            let (slot, latest) = (&mut self.slots[index], &self.latest);
            let Some(process) = &mut slot.process else { continue };
            let Some(end) = process.drain(|line| note(latest, line))? else { continue };
            let name = process.name().to_owned();
            slot.process = None;
            let fate = slot.fate;
            slot.fate = Fate::Dead;
            match fate {
                Fate::Dead => {}
                Fate::Leaves => ensure!(end.success(), "{name}: {end}"),
                Fate::Renews => self.launch(index)?,
                Fate::Runs => bail!("{name} ended early, {end}: its reason is above"),
            }
        }
        Ok(())
    }

    /// Does it.
    pub(super) fn inject(&mut self, injection: Injection) -> anyhow::Result<()> {
        let index = usize::from(injection.target.server);
        let Some(slot) = self.slots.get_mut(index) else { return Ok(()) };
        let process = &mut slot.process;
        let mut signal = |signal| process.as_mut().map_or(Ok(()), |process| process.signal(signal));
        match injection.action {
            Action::Kill => {
                signal(Signal::SIGKILL)?;
                slot.fate = Fate::Dead;
            }
            Action::Hang => signal(Signal::SIGSTOP)?,
            Action::Resume => signal(Signal::SIGCONT)?,
            Action::Leave => {
                signal(Signal::SIGTERM)?;
                slot.fate = Fate::Leaves;
            }
            Action::Upgrade => {
                signal(Signal::SIGTERM)?;
                slot.fate = Fate::Renews;
            }
            Action::Return if slot.fate == Fate::Leaves => slot.fate = Fate::Renews,
            Action::Return | Action::Join => self.launch(index)?,
            // Refused before the start, or the network's business.
            Action::Delay { .. }
            | Action::LinkDown
            | Action::LinkUp
            | Action::Partition(_)
            | Action::Loss(_)
            | Action::Heal => {}
        }
        Ok(())
    }

    /// The first that has said nothing for longer than `patience`.
    pub(super) fn silent(&self, patience: Duration) -> Option<&str> {
        let mut running = self.slots.iter().filter_map(|slot| slot.process.as_ref());
        running.find(|process| process.silent_for() > patience).map(Server::name)
    }

    /// Ends all that run, and reads their last words.
    pub(super) fn end(&mut self) -> anyhow::Result<()> {
        self.look()?;
        for slot in &mut self.slots {
            let Some(process) = &mut slot.process else { continue };
            // Whoever was stopped could not hear it.
            process.signal(Signal::SIGCONT)?;
            process.ask_to_end();
        }
        for slot in &mut self.slots {
            let Some(mut process) = slot.process.take() else { continue };
            while let Some(line) = process.hear()? {
                note(&self.latest, line);
            }
            if slot.fate != Fate::Dead {
                process.end()?;
            }
        }
        Ok(())
    }
}

fn note(latest: &Readings, line: Line) {
    let Line::Cores(cores) = line else { return };
    let mut latest = latest.borrow_mut();
    for core in cores {
        let is_it = |it: &&mut Reading| (it.server, it.core) == (core.server.0, core.core.0);
        if let Some(reading) = latest.iter_mut().find(is_it) {
            reading.tally = core.tally;
        }
    }
}
