//! `krono slices`: one program of a pair that is measured in turns.
//!
//! Whoever compares two builds starts this command of each, and has them measure by turns for a
//! fraction of a second at a time, so that whatever disturbs the machine disturbs both. It fills its
//! connections once, says so in a line on stdout, and then does the [`Work`] that each line on stdin
//! asks for and answers with a [`Slice`]: figures of one core of Krononat on a link, white-box, on the
//! calling thread. While it waits it sleeps. All that is done follows from the plan and from the
//! lines; what differs between two programs given the same is the program.
//!
//! It is no measurement of a network function under load: nobody sends at a rate, nothing is late.
//! That is `krono run`.

mod bench;
mod forward;
mod frames;
mod open;

use crate::cli;
use crate::exit::{Answer, Exit, Refusal};
use crate::layout::Layout;
use crate::{host, scenario};
use anyhow::Context;
use bench::{Bench, DEPTH};
use dataplane::burst::BURST;
use dataplane::frame::Arena;
use dataplane::port::link::frames_per_lane;
use dataplane::thread::pin;
use format::Plan;
use format::plan::SutKind;
use forward::Forward;
use frames::Crowd;
use ipnet::Ipv4Net;
use krononat::config::Config;
use krononat::worker::SetupError;
use open::Open;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// What is spoken; another version is not understood.
pub const PROTOCOL: &str = "krono.slices/1";

/// Cycles of a step that forwards, for each packet.
pub const FORWARD: &str = "forward.cycles_per_packet";
/// Cycles of a step in which every packet opens a connection, for each of them.
pub const OPEN: &str = "open.cycles_per_connection";
/// Cycles of the housekeeping that ends connections, for each of them.
pub const EXPIRE: &str = "expire.cycles_per_connection";

/// The first line: who is there, when it is ready.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`].
    pub protocol: String,
    /// Fingerprint of the first frames offered: two programs do the same work only if these agree.
    pub offered: String,
    /// Fingerprint of what the core made of them.
    pub translated: String,
    /// Version of the program, with its revision.
    pub version: String,
    /// Connections held.
    pub connections: u32,
}

/// A line on stdin: what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Seed of the choice of connections.
    pub seed: u64,
    /// Bursts of 32 packets to forward.
    pub bursts: u32,
    /// Cohorts of connections to open.
    pub cohorts: u32,
}

/// The answer to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// Packets forwarded and connections opened, those included that did not count.
    pub packets: u64,
    /// Figures by metric, such as `forward.cycles_per_packet`.
    pub metrics: BTreeMap<String, f64>,
}

/// Why a program can measure no more.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The core cannot be made.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Packets did not come back.
    #[error(
        "{count} packets did not come back while {what}: the core drops what it should forward"
    )]
    Dropped {
        /// What was going on.
        what: &'static str,
        /// How many.
        count: usize,
    },
}

/// Measures slices until stdin ends.
///
/// # Errors
/// [`Refusal::Usage`] for a plan that is not of one Krononat core each; a core that drops packets.
pub fn slices(args: &cli::Slices) -> anyhow::Result<Answer> {
    let plan = scenario::load(&args.scenario)?.plan;
    if let Some(cpu) = args.cpu {
        pin(cpu)?;
    }
    let layout = Layout::new(&plan);
    if plan.topology.sut_kind != SutKind::Krononat || layout.is_cluster() {
        let why = "slices are of Krononat without a cluster: set topology.sut to { kind = \
                   \"krononat\", servers = 1 }";
        return Err(Refusal::Usage(why.to_owned()).into());
    }
    let (config, at) = layout.sut_of(0);
    let memory = || Arena::new(2 * frames_per_lane(DEPTH)).context("no memory for frames");
    let (mut standing, mut coming) = (memory()?, memory()?);
    let mut forward = forward(&plan, &config, at, &mut standing)?;
    let mut open = opening(&config, at, &mut coming)?;
    let [offered, translated] = forward.fingerprints()?.map(|number| format!("{number:016x}"));
    let mut out = io::stdout().lock();
    let hello = Hello {
        protocol: PROTOCOL.to_owned(),
        offered,
        translated,
        version: host::VERSION_LINE.to_owned(),
        connections: connections(&plan),
    };
    writeln!(out, "{}", serde_json::to_string(&hello)?)?;
    for line in io::stdin().lines() {
        let work: Work = serde_json::from_str(&line?).context("a line that asks for no slice")?;
        let slice = measure(&work, &mut forward, &mut open)?;
        writeln!(out, "{}", serde_json::to_string(&slice)?)?;
    }
    Ok(Answer { text: String::new(), exit: Exit::Met })
}

fn connections(plan: &Plan) -> u32 {
    let each = plan.traffic.connections / u64::from(plan.topology.suts());
    u32::try_from(each).unwrap_or(u32::MAX).max(1)
}

/// A share as a fraction of 2³².
fn fraction(share: f64) -> u64 {
    (share * 4_294_967_296.0) as u64
}

fn crowd(config: &Config, at: usize, udp_share: f64) -> Crowd {
    let nets = &config.cores[at].subscribers;
    let first = nets.first().map_or(0, |net| u32::from(net.network()));
    let count = |net: &Ipv4Net| 1u32 << (32 - net.prefix_len());
    Crowd { first, subscribers: nets.iter().map(count).sum(), udp: fraction(udp_share) }
}

fn forward<'a>(
    plan: &Plan,
    config: &Config,
    at: usize,
    arena: &'a mut Arena,
) -> Result<Forward<'a>, Trouble> {
    let crowd = crowd(config, at, plan.traffic.udp_share);
    let station = config.cores[at].identity.mac;
    let (sizes, up) = (plan.traffic.sizes.clone(), fraction(plan.traffic.up_share));
    let bench = Bench::new(arena, config, at)?;
    Forward::new(bench, crowd, station, connections(plan), sizes, up)
}

/// A core of its own, with fewer subscribers.
fn opening<'a>(config: &Config, at: usize, arena: &'a mut Arena) -> Result<Open<'a>, Trouble> {
    let mut config = config.clone();
    let core = &mut config.cores[at];
    let station = core.identity.mac;
    core.subscribers.truncate(1);
    for net in &mut core.subscribers {
        let fewest = 32 - open::SUBSCRIBERS_MAX.trailing_zeros() as u8;
        *net = Ipv4Net::new(net.network(), net.prefix_len().max(fewest)).unwrap_or(*net);
    }
    let udp_ns = config.timers.udp_ms * 1_000_000;
    let crowd = crowd(&config, at, 1.0);
    config.connections_max = open::cohort(crowd.subscribers) * (open::COHORTS + 2);
    Open::new(Bench::new(arena, &config, at)?, crowd, station, udp_ns)
}

fn measure(work: &Work, forward: &mut Forward<'_>, open: &mut Open<'_>) -> Result<Slice, Trouble> {
    let (mut metrics, mut packets) = (BTreeMap::new(), 0);
    let mut tell = |name: &str, cycles: &mut Vec<u32>, of: u32| {
        if let Some(quartile) = lower_quartile(cycles) {
            metrics.insert(name.to_owned(), f64::from(quartile) / f64::from(of));
        }
    };
    if work.bursts > 0 {
        tell(FORWARD, forward.slice(work)?, BURST as u32);
        packets += forward.packets(work);
    }
    let cohort = open.cohort();
    packets += u64::from(work.cohorts) * u64::from(cohort);
    let [opening, ending] = open.slice(work.cohorts)?;
    tell(OPEN, opening, BURST as u32);
    tell(EXPIRE, ending, cohort);
    Ok(Slice { packets, metrics })
}

/// The value that a quarter are below. What is added by interruptions and neighbours is added to
/// some and can be any amount; what a program itself does to packets it does to all bursts alike.
fn lower_quartile(cycles: &mut [u32]) -> Option<u32> {
    let at = cycles.len() / 4;
    (!cycles.is_empty()).then(|| *cycles.select_nth_unstable(at).1)
}
