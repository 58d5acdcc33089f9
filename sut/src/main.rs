//! `krononat --config FILE`: one server of the SUT as a daemon, on DPDK ports.
//!
//! It tells its state on standard output, one JSON object per line: `{"ready": …}` once every core
//! has its port and memory, then ten times a second what each core has counted, and the same once
//! more at the end. It ends on SIGTERM and SIGINT: a server of a cluster hands over what it serves and
//! withdraws first, which takes some tens of milliseconds and at most two seconds. Under
//! `--supervised` it ends with its standard input, at once.
#![forbid(unsafe_code)]

use anyhow::Context;
use clap::Parser;
use dataplane::clock::Tsc;
use dataplane::port::dpdk::{Dpdk, DpdkError, Eal, EalConfig, PortKind};
use dataplane::run::Idle;
use krononat::baseline::Common;
use krononat::config::{Config, CoreConfig};
use krononat::report::{CoreReport, Line};
use krononat::server::{LEAVE_WITHIN, Orders, run_core};
use krononat::worker::Counters;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Time between two reports.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// Time between two looks at the cores, and at what the process is asked to do.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Frames in a core's pool: its queues, caches and bursts. 2.5 KiB each.
const POOL_FRAMES: u32 = 16_384;

/// How long a memif client waits for its server.
const PATIENCE: Duration = Duration::from_secs(10);

/// One server of Krononat, the share-nothing connection tracking NAT.
#[derive(Parser)]
#[command(version, after_help = "Example:\n  krononat --config server0.toml")]
struct Arguments {
    /// Configuration of the server (TOML).
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// End when standard input closes: the testbed that started this server is gone.
    #[arg(long)]
    supervised: bool,
    /// Sleep when there is nothing to do, so that servers can share processors.
    #[arg(long)]
    adaptive: bool,
    /// Clock of the run, as whoever started it says it; otherwise one of its own.
    #[arg(long, value_name = "ORIGIN,SCALE")]
    clock: Option<Tsc>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let error = match Config::load(&arguments.config) {
        Ok(config) => match serve(&config, &arguments) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => error,
        },
        Err(error) => {
            eprintln!("krononat: {error}");
            return ExitCode::from(2);
        }
    };
    eprintln!("krononat: {error:#}");
    let absent = matches!(error.downcast_ref(), Some(DpdkError::Absent));
    ExitCode::from(if absent { 3 } else { 1 })
}

fn serve(config: &Config, arguments: &Arguments) -> anyhow::Result<()> {
    let idle = if arguments.adaptive { Idle::Sleep } else { Idle::Spin };
    let orders = Orders { idle, common: Common::of(config)?, ..Orders::default() };
    let asked = Asked::listen(arguments.supervised)?;
    let all = config.cores.iter().flat_map(|core| &core.ports);
    let eal = Eal::init(&EalConfig::of(format!("krononat-{}", std::process::id()), all))?;
    let ports = open_ports(&eal, config)?;
    let clock = arguments.clock.unwrap_or_else(Tsc::calibrate);
    let counters: Vec<Arc<Counters>> = config.cores.iter().map(|_| Arc::default()).collect();
    let (ready, gone) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for ((core, port), counters) in config.cores.iter().zip(ports).zip(&counters) {
            let (clock, orders, ready, gone) = (&clock, &orders, &ready, &gone);
            threads.push(scope.spawn(move || -> anyhow::Result<()> {
                let stands = || {
                    ready.fetch_add(1, Ordering::Relaxed);
                };
                let ended = run_core(config, core, port, counters.clone(), clock, orders, stands);
                gone.fetch_add(1, Ordering::Relaxed);
                ended.with_context(|| format!("core {}", core.core)).map(drop)
            }));
        }
        let (mut announced, mut reported) = (false, Instant::now());
        while !asked.to_leave() && !asked.to_stop() && gone.load(Ordering::Relaxed) == 0 {
            if !announced && ready.load(Ordering::Relaxed) == config.cores.len() {
                announced = true;
                say(&Line::Ready { cores: config.cores.len() });
            }
            thread::sleep(LOOK_EVERY);
            if announced && reported.elapsed() >= REPORT_EVERY {
                reported = Instant::now();
                say(&report(config, &counters));
            }
        }
        if asked.to_leave() && config.cluster.is_some() {
            leave(&orders, &asked, || gone.load(Ordering::Relaxed) == config.cores.len());
        }
        orders.stop.set();
        for thread in threads {
            thread.join().map_err(|_| anyhow::anyhow!("a core panicked"))??;
        }
        say(&report(config, &counters));
        Ok(())
    })
}

/// Lets the cores hand over; returns when `all_gone`, or it has taken too long.
fn leave(orders: &Orders, asked: &Asked, all_gone: impl Fn() -> bool) {
    let begun = Instant::now();
    orders.leave.set();
    while !all_gone() && !asked.to_stop() && begun.elapsed() < Duration::from_nanos(LEAVE_WITHIN.0)
    {
        thread::sleep(LOOK_EVERY);
    }
}

fn open_ports(eal: &Eal, config: &Config) -> anyhow::Result<Vec<Dpdk>> {
    let open = |core: &CoreConfig| {
        anyhow::ensure!(
            core.ports.len() == 1,
            "core {}: ports = {:?}: expected one port per core",
            core.core,
            core.ports
        );
        let port = eal.open(&core.ports, POOL_FRAMES, PATIENCE).and_then(|mut port| {
            // A memif server that has not noticed the end of an earlier client turns this one away.
            if matches!(core.ports[0], PortKind::MemifClient { .. }) {
                port.wait_link(PATIENCE)?;
            }
            Ok(port)
        });
        port.with_context(|| format!("core {}: {}", core.core, core.ports[0]))
    };
    config.cores.iter().map(open).collect()
}

fn report(config: &Config, counters: &[Arc<Counters>]) -> Line {
    let report = |(core, counters): (&CoreConfig, &Arc<Counters>)| CoreReport {
        server: config.server,
        core: core.core,
        tally: counters.read(),
    };
    Line::Cores(config.cores.iter().zip(counters).map(report).collect())
}

/// Nobody may listen any more; that is no reason to stop forwarding.
fn say(line: &Line) {
    let mut out = std::io::stdout().lock();
    if let Ok(text) = serde_json::to_string(line) {
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }
}

/// What the process has been asked to do.
struct Asked {
    leave: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl Asked {
    /// By signals, and under supervision by the end of standard input.
    fn listen(supervised: bool) -> anyhow::Result<Asked> {
        let asked = Asked { leave: Arc::default(), stop: Arc::default() };
        for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
            let leave = asked.leave.clone();
            signal_hook::flag::register(signal, leave).context("signal handler")?;
        }
        if supervised {
            let closed = asked.stop.clone();
            thread::spawn(move || {
                let _ = std::io::stdin().read_to_end(&mut Vec::new());
                closed.store(true, Ordering::Relaxed);
            });
        }
        Ok(asked)
    }

    fn to_leave(&self) -> bool {
        self.leave.load(Ordering::Relaxed)
    }

    fn to_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
