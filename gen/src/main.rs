//! `kronogen --config FILE`: one generator server, on DPDK ports.
//!
//! It opens its ports, waits until their links are up, runs its phases and ends. With `[network]` it
//! is the switch and the router between its core and the system under test as well ([`Hub`]): then
//! it waits until the router uses as many cores as it is told to.
//!
//! What happens it tells on standard output, one JSON object per line; the last one holds the
//! records. With `--led` each phase begins when a line on standard input says so
//! ([`kronogen::lead`]). SIGTERM and SIGINT, and under `--supervised` the end of standard input,
//! cut the run short: what was counted until then is told all the same.
#![forbid(unsafe_code)]

use anyhow::Context;
use clap::Parser;
use dataplane::clock::{Clock, Tsc};
use dataplane::hub::Hub;
use dataplane::port::dpdk::{Dpdk, DpdkError, Eal, EalConfig};
use dataplane::router::{Event, What};
use dataplane::run::Stop;
use dataplane::switch::{PortId, Switch};
use kronogen::config::{Config, CoreConfig, Network};
use kronogen::lead::Lead;
use kronogen::report::Line;
use kronogen::run::{Notice, Outcome, run_cores, run_cores_when, soon};
use rtrb::{Consumer, RingBuffer};
use std::io::{BufRead, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Frames in a core's pool: its queues, caches and bursts. 2.5 KiB each.
const POOL_FRAMES: u32 = 16_384;

/// Events of the router that wait to be told.
const EVENTS: usize = 4096;

/// How long the other side of a link may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);

/// One server of the krono traffic generator.
#[derive(Parser)]
#[command(version, after_help = "Example:\n  kronogen --config generator0.toml")]
struct Arguments {
    /// Configuration of the server (TOML).
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// End when standard input closes: the testbed that started this server is gone.
    #[arg(long)]
    supervised: bool,
    /// Begin each phase when a line on standard input says so; ends when it closes.
    #[arg(long)]
    led: bool,
    /// Clock of the run, as whoever started it says it; otherwise one of its own.
    #[arg(long, value_name = "ORIGIN,SCALE")]
    clock: Option<Tsc>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = match load(&arguments.config) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("kronogen: {error:#}");
            return ExitCode::from(2);
        }
    };
    match generate(&config, &arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kronogen: {error:#}");
            let absent = matches!(error.downcast_ref(), Some(DpdkError::Absent));
            ExitCode::from(if absent { 3 } else { 1 })
        }
    }
}

fn load(file: &Path) -> anyhow::Result<Config> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let config: Config = toml::from_str(&text).with_context(|| file.display().to_string())?;
    config.validate().with_context(|| file.display().to_string())?;
    Ok(config)
}

fn generate(config: &Config, arguments: &Arguments) -> anyhow::Result<()> {
    anyhow::ensure!(
        !arguments.led || config.network.is_none(),
        "--led: a server that is the network as well is the only one and leads itself"
    );
    let stop = Arc::new(Stop::new());
    let lead = arguments.led.then(Arc::<Lead>::default);
    stop_on_request(&stop, arguments.supervised, lead.clone())?;
    let all = config.cores.iter().flat_map(|core| &core.ports);
    let eal = Eal::init(&EalConfig::of(format!("kronogen-{}", std::process::id()), all))?;
    let mut ports = open_ports(&eal, config)?;
    say(&Line::Listening { cores: ports.len() });
    // Whom a router watches may come and go.
    if config.network.as_ref().is_none_or(|network| network.router.is_none()) {
        for (port, core) in ports.iter_mut().zip(&config.cores) {
            port.wait_link(PATIENCE).with_context(|| format!("core {}", core.core))?;
        }
    }
    let clock = arguments.clock.unwrap_or_else(Tsc::calibrate);
    let tell = |notice: Notice<'_>| say(&Line::new(notice, clock.now()));
    let outcomes = match (&config.network, &lead) {
        (Some(network), _) => through(network, config, ports, &clock, &stop)?,
        (None, None) => run_cores(config, ports, &clock, &stop, tell)?,
        (None, Some(lead)) => {
            let mut said = false;
            let mut start_of = |phase| {
                if !std::mem::replace(&mut said, true) {
                    say(&Line::Stands);
                }
                lead.start_of(phase)
            };
            run_cores_when(config, ports, &mut start_of, &clock, &stop, tell)?
        }
    };
    say(&Line::Records(outcomes.into_iter().map(|core| core.records).collect()));
    Ok(())
}

/// Runs the one core of a server that is the network as well.
fn through(
    network: &Network,
    config: &Config,
    ports: Vec<Dpdk>,
    clock: &Tsc,
    stop: &Stop,
) -> anyhow::Result<Vec<Outcome>> {
    let fib = Arc::new(network.fib());
    let (events, noticed) = RingBuffer::new(EVENTS);
    let mut noticed = Noticed { events: noticed, used: 0 };
    let control = network.router.as_ref().map(|router| router.control(fib.clone(), events));
    let awaited = network.router.as_ref().map_or(0, |router| router.awaited);
    let neighbours: Vec<PortId> = (0..).map(PortId).take(network.macs.len()).collect();
    let hubs = ports.into_iter().map(|port| Switch::new(port, fib.clone(), &neighbours));
    let hubs = hubs.zip([control]).map(|(switch, control)| Hub::new(switch, control)).collect();
    let stands = AtomicBool::new(awaited == 0);
    let mut start_of = |_| stands.load(Ordering::Relaxed).then(|| soon(clock));
    let outcomes = run_cores_when(config, hubs, &mut start_of, clock, stop, |notice| {
        noticed.tell();
        if noticed.used >= awaited {
            stands.store(true, Ordering::Relaxed);
        }
        say(&Line::new(notice, clock.now()));
    })?;
    noticed.tell();
    Ok(outcomes)
}

/// What the router notices.
struct Noticed {
    events: Consumer<Event>,
    /// Cores it uses.
    used: usize,
}

impl Noticed {
    fn tell(&mut self) {
        while let Ok(event) = self.events.pop() {
            match event.what {
                What::Steered { up: true } => self.used += 1,
                What::Steered { up: false } => self.used = self.used.saturating_sub(1),
                What::Up | What::Down { .. } | What::Unplugged => {}
            }
            say(&Line::Router(event));
        }
    }
}

fn open_ports(eal: &Eal, config: &Config) -> anyhow::Result<Vec<Dpdk>> {
    let open = |core: &CoreConfig| {
        let (ports, one) = (&core.ports, config.network.is_none());
        anyhow::ensure!(
            ports.len() == 1 || !(one || ports.is_empty()),
            "core {}: ports = {ports:?}: expected one port per core, or several and a [network]",
            core.core,
        );
        let port = eal.open(ports, POOL_FRAMES, PATIENCE);
        port.with_context(|| format!("core {}: {}", core.core, ports[0]))
    };
    config.cores.iter().map(open).collect()
}

/// Nobody may listen any more; that is no reason to break off.
fn say(line: &Line) {
    let mut out = std::io::stdout().lock();
    if let Ok(text) = serde_json::to_string(line) {
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }
}

fn stop_on_request(
    stop: &Arc<Stop>,
    supervised: bool,
    lead: Option<Arc<Lead>>,
) -> anyhow::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT])?;
    let on_signal = stop.clone();
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            on_signal.set();
        }
    });
    let on_close = stop.clone();
    if let Some(lead) = lead {
        thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                if let Err(error) = lead.hear(&line) {
                    eprintln!("kronogen: {error}");
                    break;
                }
            }
            on_close.set();
        });
    } else if supervised {
        thread::spawn(move || {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            on_close.set();
        });
    }
    Ok(())
}
