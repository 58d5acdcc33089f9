//! `kronogen --config FILE`: one generator server, on DPDK ports.
//!
//! It opens its ports, waits until their links are up, runs its phases and ends. What happens it
//! tells on standard output, one JSON object per line; the last one holds the records. SIGTERM and
//! SIGINT, and under `--supervised` the end of standard input, cut the run short: what was counted
//! until then is told all the same.
#![forbid(unsafe_code)]

use anyhow::Context;
use clap::Parser;
use dataplane::clock::Tsc;
use dataplane::port::dpdk::{Dpdk, DpdkError, Eal, EalConfig};
use dataplane::run::Stop;
use kronogen::config::{Config, CoreConfig};
use kronogen::report::Line;
use kronogen::run::run_cores;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Frames in a core's pool: its queues, caches and bursts. 2.5 KiB each.
const POOL_FRAMES: u32 = 16_384;

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
    match generate(&config, arguments.supervised) {
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

fn generate(config: &Config, supervised: bool) -> anyhow::Result<()> {
    let stop = Arc::new(Stop::new());
    stop_on_request(&stop, supervised)?;
    let eal = Eal::init(&EalConfig::new(format!("kronogen-{}", std::process::id())))?;
    let mut ports = open_ports(&eal, config)?;
    say(&Line::Listening { cores: ports.len() });
    for (port, core) in ports.iter_mut().zip(&config.cores) {
        port.wait_link(PATIENCE).with_context(|| format!("core {}", core.core))?;
    }
    let clock = Tsc::calibrate();
    let outcomes = run_cores(config, ports, &clock, &stop, |notice| say(&Line::from(notice)))?;
    say(&Line::Records(outcomes.into_iter().map(|core| core.records).collect()));
    Ok(())
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

/// Nobody may listen any more; that is no reason to break off.
fn say(line: &Line) {
    let mut out = std::io::stdout().lock();
    if let Ok(text) = serde_json::to_string(line) {
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }
}

fn stop_on_request(stop: &Arc<Stop>, supervised: bool) -> anyhow::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT])?;
    let on_signal = stop.clone();
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            on_signal.set();
        }
    });
    if supervised {
        let on_close = stop.clone();
        thread::spawn(move || {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            on_close.set();
        });
    }
    Ok(())
}
