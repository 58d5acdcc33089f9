//! Each server a process of its own: one `kronogen`, and a `krononat` for each server under test, joined
//! by DPDK memif. Needs DPDK, and no root, no NIC, no huge pages.
//!
//! The generator is the long-lived side and memif server; servers under test dial it, come and go. All
//! are told their configuration by file, tell what they count line by line, and end when this process
//! does. Each core under test has one link to the network, as to a real switch: with more than one of
//! them, or with a cluster, the generator's process is the switch and the router as well
//! ([`dataplane::hub`]).
//!
//! A server that is killed is killed by SIGKILL, one that hangs has got SIGSTOP, and nobody is told:
//! what the router knows, it knows by packets. The kernel does close a dead process's sockets, and memif
//! takes its link down then; a real switch may see as much, and ours does not look.
//!
//! It refuses several generator cores, which would take a switch between them, and to disturb links.

use super::fleet::{self, Fleet};
use super::inject::{self, Due};
use super::program::{self, Server};
use super::watch::Watch;
use super::{Observation, Outcome, TestbedError};
use crate::layout::Layout;
use anyhow::{Context, bail, ensure};
use dataplane::clock::{Clock, Nanos, Tsc};
use dataplane::port::dpdk::{self, PortKind};
use dataplane::run::{Idle, Stop};
use dataplane::thread::allowed_cpus;
use format::plan::Plan;
use kronogen::report::Line;
use kronogen::run::Notice;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time between two looks at the processes.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long the router may take until it uses all cores that are there.
const READY_WITHIN: Nanos = Nanos(60_000_000_000);

/// Runs a plan.
///
/// # Errors
/// [`TestbedError::Unavailable`] without DPDK or the two programs, or for what this version cannot do;
/// [`TestbedError::Failed`] when a process broke.
pub fn run(
    plan: &Plan,
    stop: &Stop,
    observe: &mut dyn FnMut(Observation),
) -> Result<Outcome, TestbedError> {
    let programs = available(plan)
        .map_err(|missing| TestbedError::Unavailable { testbed: plan.testbed.clone(), missing })?;
    measure(plan, &programs, stop, observe).map_err(|error| TestbedError::failed(plan, error))
}

struct Programs {
    kronogen: PathBuf,
    krononat: PathBuf,
}

/// What it takes, or what is missing.
fn available(plan: &Plan) -> Result<Programs, String> {
    dpdk::available().map_err(|error| error.to_string())?;
    if let Some(missing) = lacking(plan) {
        return Err(missing);
    }
    Ok(Programs { kronogen: program::beside("kronogen")?, krononat: program::beside("krononat")? })
}

/// What this testbed cannot do, if the plan asks for it.
pub(crate) fn lacking(plan: &Plan) -> Option<String> {
    let (generators, suts) = (plan.topology.generators(), plan.topology.suts());
    if generators != 1 {
        return Some(format!(
            "it has one generator core, not {generators}: set topology.generators to servers = 1 and \
             cores = 1, or use the embedded testbed"
        ));
    }
    if suts > 255 {
        return Some(format!(
            "it joins at most 255 SUT cores, not {suts}: lower topology.sut.cores"
        ));
    }
    if plan.faults.is_some() {
        return Some("[faults] are a matter of the embedded testbed: remove them".to_owned());
    }
    fleet::lacking(plan)
}

fn measure(
    plan: &Plan,
    programs: &Programs,
    stop: &Stop,
    observe: &mut dyn FnMut(Observation),
) -> anyhow::Result<Outcome> {
    let layout = Layout::new(plan);
    let clock = Tsc::calibrate();
    let folder = tempfile::tempdir().context("a folder for the configurations")?;
    let (generator_file, sut_files) = configure(plan, &layout, folder.path())?;
    let name = "kronogen".to_owned();
    let mut generator: Server<Line> =
        program::start(name, &programs.kronogen, &generator_file, &clock, &[])?;
    match generator.hear()? {
        Some(Line::Listening { .. }) => {}
        other => bail!("kronogen began with {other:?}"),
    }
    let absent = plan.absent_at_start();
    let more: &[&str] = if layout.idle() == Idle::Sleep { &["--adaptive"] } else { &[] };
    let launch = |server: usize| {
        let name = format!("krononat of sut.server[{server}]");
        program::start(name, &programs.krononat, &sut_files[server], &clock, more)
    };
    let servers = plan.topology.sut_servers;
    let mut fleet = Fleet::start(&layout, servers, Box::new(launch), &absent)?;
    let latest = fleet.readings();
    let read = || latest.borrow().clone();
    let mut watch = Watch::new(&layout, &read, &clock, observe);
    let ready = clock.now();
    let (mut asked, mut begun) = (false, false);
    let mut due: Option<Due> = None;
    let records = loop {
        let patience = due.map_or(LOOK_EVERY, |due| {
            LOOK_EVERY.min(Duration::from_nanos(due.at.since(clock.now()).0))
        });
        let line = generator.next_within(patience)?;
        if let Some(injection) = due.take_if(|due| due.at <= clock.now()) {
            // The time before: were this thread held up in between, a failure would seem shorter.
            let now = clock.now();
            fleet.inject(injection.what)?;
            watch.injected(&injection, now);
        }
        fleet.look()?;
        match line {
            Some(Line::Records(records)) => break records,
            Some(Line::Begins { phase, start, .. }) => {
                begun = true;
                due = inject::due(plan, &layout, phase, start);
                watch.notice(Notice::Begins(phase, start));
            }
            Some(Line::Ended { phase }) => watch.notice(Notice::Ended(phase)),
            Some(Line::Sample { now, rows }) => watch.notice(Notice::Sample(now, &rows)),
            Some(Line::Router(event)) => watch.noticed(&event),
            Some(Line::Listening { .. }) => bail!("kronogen listens twice"),
            Some(Line::Stands) => bail!("kronogen takes itself for led"),
            None if stop.is_set() && !asked => {
                asked = true;
                generator.ask_to_end();
            }
            None => {}
        }
        let late = !begun && clock.now().since(ready) > READY_WITHIN;
        ensure!(!late, "the SUT was not ready within a minute");
    };
    generator.end()?;
    fleet.end()?;
    let outcome = watch.outcome(records);
    Ok(Outcome { interrupted: stop.is_set(), ..outcome })
}

/// Writes all configurations: the generator's, and one for each server under test. They meet on
/// abstract sockets of this run, one for each core under test.
fn configure(
    plan: &Plan,
    layout: &Layout<'_>,
    folder: &Path,
) -> anyhow::Result<(PathBuf, Vec<PathBuf>)> {
    let socket = |index| format!("krono-{}-{index}", std::process::id());
    // Workers that sleep may run wherever there is room.
    let spins = layout.idle() == Idle::Spin;
    let mut cpus = allowed_cpus().into_iter().filter(|_| spins);
    let write = |name: String, text: String| -> anyhow::Result<PathBuf> {
        let file = folder.join(name);
        std::fs::write(&file, text).with_context(|| file.display().to_string())?;
        Ok(file)
    };
    let mut generator = layout.generator(0);
    let server = |index| PortKind::MemifServer { socket: socket(index), id: 0 };
    // It is the router, too, and must have its turn before whoever else runs here.
    generator.idle = layout.idle();
    generator.cores[0].cpu = cpus.next();
    generator.cores[0].ports = (0..layout.suts()).map(server).collect();
    if layout.suts() > 1 || layout.is_cluster() {
        let absent = plan.absent_at_start().len() * usize::from(plan.topology.sut_cores);
        generator.network = Some(layout.network(absent));
    }
    // The next hop of whatever a core under test sends: the generator's process is the switch.
    let gateway = generator.cores[0].identity.mac;
    let mut files = Vec::new();
    let mut index = 0;
    for server in 0..plan.topology.sut_servers {
        let mut sut = layout.sut(server);
        for core in &mut sut.cores {
            core.cpu = cpus.next();
            core.ports = vec![PortKind::MemifClient { socket: socket(index), id: 0 }];
            core.identity.gateway = gateway;
            index += 1;
        }
        files.push(write(format!("krononat{server}.toml"), toml_of(&sut)?)?);
    }
    Ok((write("kronogen.toml".to_owned(), toml_of(&generator)?)?, files))
}

pub(super) fn toml_of(config: &impl Serialize) -> anyhow::Result<String> {
    toml::to_string(config).context("a configuration that is no TOML")
}
