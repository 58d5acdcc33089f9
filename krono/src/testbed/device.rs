//! A system that is no part of this project, at the other end of one cable: a generator process with
//! one port, and whatever is there to answer.
//!
//! The device is started and stopped by whoever calls; nothing of it is read here, so there are no
//! white-box figures.

use super::process::toml_of;
use super::program;
use super::watch::Watch;
use super::{Observation, Outcome};
use crate::layout::Layout;
use crate::peer::namespace::Namespace;
use anyhow::{Context, bail};
use dataplane::clock::Tsc;
use dataplane::identity::Mac;
use dataplane::port::dpdk::{self, PortKind};
use dataplane::run::Stop;
use dataplane::thread::allowed_cpus;
use format::Plan;
use kronogen::report::Line;
use kronogen::run::Notice;
use std::time::Duration;

/// Most packets under way through a packet socket: half of its ring, and of Linux' queue to a processor
/// (`net.core.netdev_max_backlog`, 1,000).
const WINDOW: u32 = 512;

/// Time between two looks at the generator.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Where the generator's port is.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    /// In a namespace of this run, under the addresses of the plan.
    In(&'a Namespace),
    /// Where this process is, with stations that are there.
    Here(Stations),
}

/// Who is who on a cable that is not ours.
#[derive(Clone, Copy)]
pub(crate) struct Stations {
    /// The generator's.
    pub(crate) own: Mac,
    /// The device's.
    pub(crate) device: Mac,
}

/// What it takes to run a generator with one port, or what is missing.
pub(crate) fn lacking(plan: &Plan) -> Option<String> {
    if plan.faults.is_some() || plan.phases.iter().any(|phase| phase.injection.is_some()) {
        let why = "nothing is done to it or to its cable: remove [faults] and inject";
        return Some(why.to_owned());
    }
    if let Err(error) = dpdk::available() {
        return Some(error.to_string());
    }
    if plan.topology.pairs() != 1 {
        let why = "it is compared core by core: set topology.generators.cores and \
                   topology.sut.cores to 1";
        return Some(why.to_owned());
    }
    program::beside("kronogen").err()
}

/// Runs all phases of `plan` with a generator on `port`, which is in `place`.
///
/// # Errors
/// When the generator did not start or ended before its time.
pub(crate) fn run(
    plan: &Plan,
    port: PortKind,
    place: Place<'_>,
    stop: &Stop,
    observe: &mut dyn FnMut(Observation),
) -> anyhow::Result<Outcome> {
    let layout = Layout::new(plan);
    let clock = Tsc::calibrate();
    let folder = tempfile::tempdir().context("a folder for the configuration")?;
    let mut config = layout.generator(0);
    config.window = WINDOW.max(2 * config.batch as u32);
    config.idle = layout.idle();
    config.cores[0].cpu = allowed_cpus().first().copied();
    config.cores[0].ports = vec![port];
    if let Place::Here(Stations { own, device }) = &place {
        config.cores[0].identity.mac = *own;
        config.cores[0].gateways = vec![*device];
    }
    let file = folder.path().join("kronogen.toml");
    std::fs::write(&file, toml_of(&config)?).with_context(|| file.display().to_string())?;
    let kronogen = program::beside("kronogen").map_err(anyhow::Error::msg)?;
    let start = || program::start::<Line>("kronogen".to_owned(), &kronogen, &file, &clock, &[]);
    let mut generator = match place {
        Place::In(namespace) => namespace.enter(start)??,
        Place::Here(_) => start()?,
    };
    let read = Vec::new;
    let mut watch = Watch::new(&layout, &read, &clock, observe);
    let mut asked = false;
    let records = loop {
        match generator.next_within(LOOK_EVERY)? {
            Some(Line::Records(records)) => break records,
            Some(Line::Begins { phase, start, .. }) => watch.notice(Notice::Begins(phase, start)),
            Some(Line::Ended { phase }) => watch.notice(Notice::Ended(phase)),
            Some(Line::Sample { now, rows }) => watch.notice(Notice::Sample(now, &rows)),
            Some(Line::Router(_)) => bail!("kronogen plays a router that it was not asked for"),
            Some(Line::Listening { .. }) => {}
            Some(Line::Stands) => bail!("kronogen takes itself for led"),
            None if stop.is_set() && !asked => {
                asked = true;
                generator.ask_to_end();
            }
            None => {}
        }
    };
    generator.end()?;
    let outcome = watch.outcome(records);
    Ok(Outcome { interrupted: stop.is_set(), ..outcome })
}

#[cfg(test)]
mod tests {
    use super::*;
    use format::{RunOptions, Scenario};

    #[test]
    fn what_would_be_left_undone_is_refused() {
        let source = "schema = 1\nquestion = \"?\"\n[topology]\nsut = { kind = \"kernel\" }\n[traffic]\n\
                      connections = 1000\n[[phase]]\nname = \"fill\"\nopen = \"1M/s\"\n[[phase]]\n\
                      name = \"steady\"\nrate = \"1kpps\"\nfor = \"1s\"\n";
        let refusal = |more: &str| {
            let scenario =
                Scenario::parse(&format!("{source}{more}"), "t.toml").expect("well formed");
            lacking(&scenario.resolve(&RunOptions::default()).expect("sensible"))
        };
        let hang = "at = \"100ms\"\ninject = { hang = \"sut.server[0].core[0]\" }\n";
        for more in ["[faults]\ndrop = \"1/1000\"\n", hang] {
            assert!(refusal(more).is_some_and(|why| why.contains("nothing is done")), "{more}");
        }
        assert!(refusal("").is_none_or(|why| !why.contains("nothing is done")));
    }
}
