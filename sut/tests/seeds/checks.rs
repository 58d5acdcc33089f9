//! What must hold in every world, each in a file of its own. A checker sees what passes on the wire
//! and, at every instant, what the cores say of themselves; it knows nothing of what they were meant
//! to do.

pub(crate) mod bounded;
pub(crate) mod established;
pub(crate) mod one_core;
pub(crate) mod ports;
pub(crate) mod prompt;
pub(crate) mod strangers;

use crate::traffic::{Passed, Traffic};
use crate::view::View;
use bounded::Bounded;
use established::Established;
use one_core::OneCore;
use ports::Ports;
use prompt::Prompt;

/// A checker and what it saw.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) checker: &'static str,
    pub(crate) what: String,
}

pub(crate) type Checked = Result<(), Violation>;

/// Makes a [`Violation`] of a checker and what it saw, unless `holds`.
pub(crate) fn ensure(holds: bool, checker: &'static str, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Violation { checker, what: what() }) }
}

pub(crate) struct Checks {
    pub(crate) established: Established,
    pub(crate) prompt: Prompt,
    ports: Ports,
    one_core: OneCore,
    bounded: Bounded,
}

impl Checks {
    pub(crate) fn new(shards: usize) -> Checks {
        Checks {
            established: Established::default(),
            prompt: Prompt::default(),
            ports: Ports::default(),
            one_core: OneCore::new(shards),
            bounded: Bounded::default(),
        }
    }

    /// An instant is over.
    pub(crate) fn step(&mut self, view: &View, traffic: &Traffic) -> Checked {
        self.bounded.step(view)?;
        self.one_core.step(view);
        self.established.step(view, traffic)?;
        let Checks { prompt, established, .. } = self;
        prompt.settle(|session| established.came_at(session), view, traffic)
    }

    /// A packet has passed.
    pub(crate) fn see(&mut self, it: &Passed, view: &View, traffic: &mut Traffic) -> Checked {
        self.established.grow(traffic);
        self.one_core.see(it, view, traffic)?;
        self.ports.see(it, view, traffic, &mut self.established)?;
        self.established.see(it, view, traffic)
    }
}
