//! Follows a generator process through its phases, and does to the servers under test what the plan
//! asks for, when it is due.
//!
//! Testbeds whose servers are processes of this machine call it once all of them run. What is not
//! done to a process is the business of their [`Surroundings`].

use super::fleet::Fleet;
use super::inject::{self, Due};
use super::program::Server;
use super::watch::{Seen, Watch};
use super::{Observation, Outcome};
use crate::layout::Layout;
use anyhow::{bail, ensure};
use dataplane::clock::{Clock, Nanos, Tsc};
use dataplane::run::Stop;
use format::plan::{Injection, Plan};
use kronogen::report::Line;
use kronogen::run::Notice;
use std::time::Duration;

/// Time between two looks at the processes.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long the generator may take until its first phase begins.
const READY_WITHIN: Nanos = Nanos(60_000_000_000);

/// What is around the processes of a run.
pub(super) trait Surroundings {
    /// Does what is done to links, and leaves the rest alone.
    fn inject(&mut self, injection: Injection) -> anyhow::Result<()>;

    /// What has been noticed since the last call.
    ///
    /// # Errors
    /// When the run cannot go on.
    fn look(&mut self) -> anyhow::Result<Vec<Seen>>;
}

/// Surroundings in which nothing happens.
pub(super) struct Still;

impl Surroundings for Still {
    fn inject(&mut self, _: Injection) -> anyhow::Result<()> {
        Ok(())
    }

    fn look(&mut self) -> anyhow::Result<Vec<Seen>> {
        Ok(Vec::new())
    }
}

/// All that runs.
pub(super) struct Conduct<'a> {
    pub plan: &'a Plan,
    pub layout: &'a Layout<'a>,
    pub clock: &'a Tsc,
    pub stop: &'a Stop,
    pub generator: Server<Line>,
    pub fleet: Fleet<'a>,
}

impl Conduct<'_> {
    /// Goes on until the generator has said what it counted, and ends all.
    ///
    /// # Errors
    /// When a process ended that was not to, or hangs.
    pub(super) fn run(
        mut self,
        surroundings: &mut dyn Surroundings,
        observe: &mut dyn FnMut(Observation),
    ) -> anyhow::Result<Outcome> {
        let (layout, clock) = (self.layout, self.clock);
        let latest = self.fleet.readings();
        let read = || latest.borrow().clone();
        let mut watch = Watch::new(layout, &read, clock, observe);
        let ready = clock.now();
        let (mut asked, mut begun) = (false, false);
        let mut due: Option<Due> = None;
        let records = loop {
            let patience = due.map_or(LOOK_EVERY, |due| {
                LOOK_EVERY.min(Duration::from_nanos(due.at.since(clock.now()).0))
            });
            let line = self.generator.next_within(patience)?;
            if let Some(injection) = due.take_if(|due| due.at <= clock.now()) {
                // The time before: were this thread held up in between, a failure would seem
                // shorter.
                let now = clock.now();
                self.fleet.inject(injection.what)?;
                surroundings.inject(injection.what)?;
                watch.injected(&injection, now);
            }
            self.fleet.look()?;
            surroundings.look()?.into_iter().for_each(|seen| watch.seen(seen));
            match line {
                Some(Line::Records(records)) => break records,
                Some(Line::Begins { phase, start, .. }) => {
                    begun = true;
                    due = inject::due(self.plan, layout, phase, start);
                    watch.notice(Notice::Begins(phase, start));
                }
                Some(Line::Ended { phase }) => watch.notice(Notice::Ended(phase)),
                Some(Line::Sample { now, rows }) => watch.notice(Notice::Sample(now, &rows)),
                Some(Line::Router(event)) => watch.noticed(&event),
                Some(Line::Listening { .. }) => bail!("kronogen listens twice"),
                Some(Line::Stands) => bail!("kronogen takes itself for led"),
                None if self.stop.is_set() && !asked => {
                    asked = true;
                    self.generator.ask_to_end();
                }
                None => {}
            }
            let late = !begun && clock.now().since(ready) > READY_WITHIN;
            ensure!(!late, "the SUT was not ready within a minute");
        };
        self.generator.end()?;
        self.fleet.end()?;
        let outcome = watch.outcome(records);
        Ok(Outcome { interrupted: self.stop.is_set(), ..outcome })
    }
}
