//! DPDK's testpmd in the SUT's place: it returns every packet as it came.
//!
//! It is the memif client, as `krononat` is, with the same rings and buffers, and forwards on the
//! processor that a SUT would have. Its other thread waits for commands.

use anyhow::{Context, bail};
use dataplane::port::dpdk::PortKind;
use dataplane::thread::allowed_cpus;
use format::plan::Plan;
use krono::layout::Layout;
use kronogen::report::Line;
use kronogen::trial::Record;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

const NAME: &str = "dpdk-testpmd";

/// Longest silence of the generator, which tells something ten times a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long testpmd counts before it is asked: less than the last phase takes.
const COUNTED: Duration = Duration::from_secs(2);

/// Slots of a ring as a power of two, and bytes of a buffer: those of `dataplane::port::dpdk`.
const SLOTS_LOG2: u32 = 11;
const BUFFER_BYTES: usize = 2112;

/// The program.
pub(crate) fn program() -> anyhow::Result<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).map(|folder| folder.join(NAME)).find(|p| p.is_file());
    found.with_context(|| format!("{NAME} is missing: `apt-get install dpdk-dev`"))
}

/// What comes through testpmd.
pub(crate) struct Forwarded {
    /// Millions of packets a second in the plan's last phase: black-box.
    pub(crate) mpps: f64,
    /// Cycles a packet that testpmd counts itself in that phase, of turns that received any.
    pub(crate) cycles: f64,
}

/// Runs a plan's generator with testpmd in the SUT's place.
pub(crate) fn forward(testpmd: &Path, kronogen: &Path, plan: &Plan) -> anyhow::Result<Forwarded> {
    let [first, second] = *allowed_cpus().first_chunk().context("two processors are needed")?;
    let socket = format!("krono-bench-{}", std::process::id());
    let mut config = Layout::new(plan).generator(0);
    for core in &mut config.cores {
        core.cpu = Some(first);
        core.ports = vec![PortKind::MemifServer { socket: socket.clone(), id: 0 }];
        // What comes back is addressed as it was sent.
        core.gateways.fill(core.identity.mac);
    }
    let folder = tempfile::tempdir().context("a folder for the configuration")?;
    let file = folder.path().join("kronogen.toml");
    std::fs::write(&file, toml::to_string(&config)?)?;
    let mut generator = Command::new(kronogen);
    generator.arg("--config").arg(&file).arg("--supervised");
    let mut generator = Ended(generator.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?);
    let lines = lines(&mut generator)?;
    let last = config.phases.len() - 1;
    let mut forwarder: Option<Ended> = None;
    let mut measured_since = None;
    let mut log = tempfile::tempfile().context("a file for what testpmd says")?;
    let records = loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(Line::Listening { .. }) => {
                forwarder = Some(start(testpmd, &socket, first, second, &log)?);
            }
            Ok(Line::Records(records)) => break records,
            Ok(Line::Begins { phase, .. }) if phase == last => {
                ask(forwarder.as_mut(), "clear fwd stats all")?;
                measured_since = Some(Instant::now());
            }
            Ok(Line::Sample { .. }) if measured_since.is_some_and(|t| t.elapsed() > COUNTED) => {
                ask(forwarder.as_mut(), "show fwd stats all")?;
                measured_since = None;
            }
            Ok(_) => {}
            Err(_) => {
                drop(forwarder);
                bail!("kronogen has no records; {NAME} said: {}", tail(&text(&mut log)?));
            }
        }
    };
    generator.0.wait()?;
    ask(forwarder.as_mut(), "quit")?;
    if let Some(mut forwarder) = forwarder {
        forwarder.0.wait()?;
    }
    let last = |core: &Vec<Record>| core.last().map(Record::forwarded_pps);
    let pps: Option<f64> = records.iter().map(last).sum();
    let pps = pps.context("a core without records")?;
    let said = text(&mut log)?;
    let cycles =
        cycles(&said).with_context(|| format!("{NAME} told no cycles: {}", tail(&said)))?;
    Ok(Forwarded { mpps: pps / 1e6, cycles })
}

/// Types a command of testpmd's.
fn ask(forwarder: Option<&mut Ended>, command: &str) -> anyhow::Result<()> {
    let stdin = forwarder.and_then(|forwarder| forwarder.0.stdin.as_mut());
    let stdin = stdin.with_context(|| format!("{NAME} was not started"))?;
    writeln!(stdin, "{command}").with_context(|| format!("{NAME} has ended"))
}

/// Of the statistics that testpmd shows. memif forgets its own when the other side goes.
fn cycles(said: &str) -> Option<f64> {
    let (_, rest) = said.split_once("CPU cycles/packet=")?;
    rest.split_whitespace().next()?.parse().ok()
}

fn lines(generator: &mut Ended) -> anyhow::Result<mpsc::Receiver<Line>> {
    let stdout = generator.0.stdout.take().context("a pipe from kronogen")?;
    let (tell, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let Ok(line) = serde_json::from_str(&line) else { return };
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    Ok(lines)
}

fn start(
    testpmd: &Path,
    socket: &str,
    waits_on: usize,
    forwards_on: usize,
    log: &File,
) -> anyhow::Result<Ended> {
    let port = format!(
        "net_memif0,role=client,id=0,socket={socket},socket-abstract=yes,zero-copy=no,\
         bsize={BUFFER_BYTES},rsize={SLOTS_LOG2}"
    );
    let mut command = Command::new(testpmd);
    command
        .args(["--no-huge", "--no-shconf", "--no-pci", "--no-telemetry", "-m", "256"])
        .arg(format!("--file-prefix={socket}"))
        .arg(format!("--lcores=0@{waits_on},1@{forwards_on}"))
        .args([
            "--vdev",
            &port,
            "--",
            "--interactive",
            "--auto-start",
            "--forward-mode=io",
            "--burst=32",
        ])
        .args([
            "--nb-cores=1",
            "--total-num-mbufs=16384",
            "--mbuf-size=2304",
            "--record-core-cycles",
        ]);
    let [out, error] = [log.try_clone()?, log.try_clone()?];
    let child = command.stdin(Stdio::piped()).stdout(out).stderr(error).spawn();
    Ok(Ended(child.with_context(|| testpmd.display().to_string())?))
}

fn text(log: &mut File) -> anyhow::Result<String> {
    let mut text = String::new();
    log.rewind()?;
    log.read_to_string(&mut text)?;
    Ok(text)
}

fn tail(said: &str) -> String {
    let lines: Vec<&str> = said.trim().lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}

/// A process that does not outlive this one.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::cycles;

    #[test]
    fn cycles_are_read_from_the_statistics() {
        let said = "  ++++\n\n  CPU cycles/packet=412.37 (total cycles=8 / total RX packets=2) at \
                    2450 MHz Clock\n";
        assert_eq!(cycles(said), Some(412.37));
        assert_eq!(cycles("  RX-packets: 0"), None);
    }
}
