//! `krononat --config FILE`: one server of the SUT as a daemon, on DPDK ports.
//!
//! It tells its state on standard output, one JSON object per line: `{"ready": …}` once every core
//! has its port and memory, then ten times a second what each core has counted, and the same once
//! more at the end. It ends on SIGTERM and SIGINT, and under `--supervised` with its standard input.
#![forbid(unsafe_code)]

use anyhow::Context;
use clap::Parser;
use dataplane::clock::Tsc;
use dataplane::port::dpdk::{Dpdk, DpdkError, Eal, EalConfig};
use dataplane::run::Stop;
use krononat::config::{Config, CoreConfig};
use krononat::report::{CoreReport, Line};
use krononat::server::run_core;
use krononat::worker::Counters;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Time between two reports.
const REPORT_EVERY: Duration = Duration::from_millis(100);

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
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let error = match Config::load(&arguments.config) {
        Ok(config) => match serve(&config, arguments.supervised) {
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

fn serve(config: &Config, supervised: bool) -> anyhow::Result<()> {
    let stop = Stop::new();
    let asked = stop_requests(supervised)?;
    let eal = Eal::init(&EalConfig::new(format!("krononat-{}", std::process::id())))?;
    let ports = open_ports(&eal, config)?;
    let clock = Tsc::calibrate();
    let counters: Vec<Arc<Counters>> = config.cores.iter().map(|_| Arc::default()).collect();
    let (ready, gone) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for ((core, port), counters) in config.cores.iter().zip(ports).zip(&counters) {
            let (clock, stop, ready, gone) = (&clock, &stop, &ready, &gone);
            threads.push(scope.spawn(move || -> anyhow::Result<()> {
                let stands = || {
                    ready.fetch_add(1, Ordering::Relaxed);
                };
                let ended = run_core(config, core, port, counters.clone(), clock, stop, stands);
                gone.fetch_add(1, Ordering::Relaxed);
                ended.with_context(|| format!("core {}", core.core)).map(drop)
            }));
        }
        let mut announced = false;
        while !asked.load(Ordering::Relaxed) && gone.load(Ordering::Relaxed) == 0 {
            if !announced && ready.load(Ordering::Relaxed) == config.cores.len() {
                announced = true;
                say(&Line::Ready { cores: config.cores.len() });
            }
            thread::sleep(REPORT_EVERY);
            if announced {
                say(&report(config, &counters));
            }
        }
        stop.set();
        for thread in threads {
            thread.join().map_err(|_| anyhow::anyhow!("a core panicked"))??;
        }
        say(&report(config, &counters));
        Ok(())
    })
}

fn open_ports(eal: &Eal, config: &Config) -> anyhow::Result<Vec<Dpdk>> {
    let open = |core: &CoreConfig| {
        anyhow::ensure!(
            core.ports.len() == 1,
            "core {}: ports = {:?}: expected one port per core",
            core.core,
            core.ports
        );
        let port = eal.open(&core.ports, POOL_FRAMES, PATIENCE);
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

/// A flag that a signal sets, or the end of standard input.
fn stop_requests(supervised: bool) -> anyhow::Result<Arc<AtomicBool>> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, asked.clone()).context("signal handler")?;
    }
    if supervised {
        let closed = asked.clone();
        thread::spawn(move || {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            closed.store(true, Ordering::Relaxed);
        });
    }
    Ok(asked)
}
