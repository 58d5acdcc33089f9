//! The servers under test as processes, and what is done to them: killed, stopped, asked to leave,
//! started again. Nobody else is told; the network finds out by their packets.

use super::server::Server;
use crate::layout::Layout;
use crate::testbed::monitor::Reading;
use anyhow::{bail, ensure};
use dataplane::clock::Tsc;
use dataplane::run::Idle;
use format::plan::{Action, Injection, Plan};
use krononat::report::Line;
use krononat::worker::Tally;
use nix::sys::signal::Signal;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

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
    name: String,
    config: PathBuf,
    process: Option<Server<Line>>,
    fate: Fate,
}

/// What each core has told last.
pub(super) type Readings = Rc<RefCell<Vec<Reading>>>;

/// All servers under test.
pub(super) struct Fleet {
    program: PathBuf,
    clock: Tsc,
    /// They sleep when there is nothing to do.
    adaptive: bool,
    slots: Vec<Slot>,
    latest: Readings,
}

/// What processes cannot have done to them, if the plan asks for it.
pub(super) fn lacking(plan: &Plan) -> Option<String> {
    let mut injections = plan.phases.iter().filter_map(|phase| phase.injection);
    injections.find_map(|injection| match injection.action {
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

impl Fleet {
    /// Servers with the configurations `configs`; those that are not absent are started, and stand when
    /// this returns.
    pub(super) fn start(
        layout: &Layout<'_>,
        program: &Path,
        configs: Vec<PathBuf>,
        absent: &[u16],
        clock: &Tsc,
    ) -> anyhow::Result<Fleet> {
        let slot = |(server, config): (usize, PathBuf)| {
            let name = format!("krononat of sut.server[{server}]");
            Slot { name, config, process: None, fate: Fate::Dead }
        };
        let slots = configs.into_iter().enumerate().map(slot).collect();
        let reading = |index| {
            let (server, core) = layout.sut_place(index);
            Reading { server, core, tally: Tally::default() }
        };
        let latest = Rc::new(RefCell::new((0..layout.suts()).map(reading).collect()));
        let adaptive = layout.idle() == Idle::Sleep;
        let mut fleet =
            Fleet { program: program.to_owned(), clock: *clock, adaptive, slots, latest };
        for index in (0..fleet.slots.len()).filter(|&index| !absent.contains(&(index as u16))) {
            fleet.launch(index)?;
        }
        for slot in &mut fleet.slots {
            let Some(process) = &mut slot.process else { continue };
            match process.next()? {
                Some(Line::Ready { .. }) => {}
                other => bail!("{} began with {other:?}", slot.name),
            }
        }
        Ok(fleet)
    }

    fn launch(&mut self, index: usize) -> anyhow::Result<()> {
        let slot = &mut self.slots[index];
        // One that still lives, as one that hangs may, makes room.
        slot.process = None;
        let name = slot.name.clone();
        let more: &[&str] = if self.adaptive { &["--adaptive"] } else { &[] };
        slot.process = Some(Server::start(name, &self.program, &slot.config, &self.clock, more)?);
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
            let Some(status) = process.drain(|line| note(latest, line))? else { continue };
            slot.process = None;
            let fate = slot.fate;
            slot.fate = Fate::Dead;
            match fate {
                Fate::Dead => {}
                Fate::Leaves => ensure!(status.success(), "{}: {status}", slot.name),
                Fate::Renews => self.launch(index)?,
                Fate::Runs => bail!("{} ended early, {status}: its reason is above", slot.name),
            }
        }
        Ok(())
    }

    /// Does it.
    pub(super) fn inject(&mut self, injection: Injection) -> anyhow::Result<()> {
        let index = usize::from(injection.target.server);
        let Some(slot) = self.slots.get_mut(index) else { return Ok(()) };
        let signal =
            |signal| slot.process.as_ref().map_or(Ok(()), |process| process.signal(signal));
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
            // Refused before the start.
            Action::Delay { .. }
            | Action::LinkDown
            | Action::LinkUp
            | Action::Partition(_)
            | Action::Loss(_)
            | Action::Heal => {}
        }
        Ok(())
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
            while let Some(line) = process.next()? {
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
