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

use super::conduct::{Conduct, Still};
use super::fleet::{self, Fleet};
use super::program::{self, Server};
use super::{Observation, Outcome, TestbedError};
use crate::layout::Layout;
use anyhow::{Context, bail};
use dataplane::clock::Tsc;
use dataplane::port::dpdk::{self, PortKind};
use dataplane::run::{Idle, Stop};
use dataplane::thread::allowed_cpus;
use format::plan::Plan;
use kronogen::report::Line;
use serde::Serialize;
use std::path::{Path, PathBuf};

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
    fleet::lacking(plan, false)
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
    let fleet = Fleet::start(&layout, servers, Box::new(launch), &absent)?;
    let conduct = Conduct { plan, layout: &layout, clock: &clock, stop, generator, fleet };
    conduct.run(&mut Still, observe)
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
