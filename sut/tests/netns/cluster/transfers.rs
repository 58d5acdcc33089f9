//! Transfers of real programs, begun before something happens and over after it: curl down and up,
//! whose bodies must be whole, and iperf3.

use super::network::{Network, SERVER};
use crate::process::{self, Service, wait_for};
use crate::servers::{Bodies, Hash, hash, nginx, write_nginx_config};
use anyhow::{Context, ensure};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long they may take where nothing happens to them for long: they are held to about 8 s.
const DEADLINE: Duration = Duration::from_secs(60);

/// Of curl, in bytes per second: 32 MiB take 7.6 s.
const RATE: &str = "4400k";

/// How long a server may take to stand.
const PATIENCE: Duration = Duration::from_secs(10);

/// Servers of the programs, until dropped.
pub(crate) struct Servers {
    body: Hash,
    folder: PathBuf,
    _all: [Service; 2],
}

/// A transfer that ended well, and when.
struct Done {
    ended: Instant,
    what: String,
}

/// Transfers that are under way.
pub(crate) struct Transfers(Vec<JoinHandle<anyhow::Result<Done>>>);

impl Servers {
    /// Starts them.
    pub(crate) fn start(network: &Network, folder: &Path) -> anyhow::Result<Servers> {
        let body = Bodies::write(folder)?.large.hash;
        let file = write_nginx_config(folder)?;
        let server = &network.server;
        let all = [
            nginx(server, &file)?,
            Service::start(server.command("iperf3").arg("-s")).context("iperf3")?,
        ];
        let to = SocketAddr::from((SERVER, 80));
        wait_for("nginx", PATIENCE, || server.connect(to).is_ok())?;
        Ok(Servers { body, folder: folder.to_owned(), _all: all })
    }

    /// Starts all transfers, from the subscriber of the first shard. Names differ by `trial`.
    pub(crate) fn begin(&self, network: &Network, trial: usize) -> Transfers {
        let (home, body) = (&network.homes[0], self.body);
        let curl = |url: &str, options: &[&str]| {
            let mut command = home.command("curl");
            command.args(["--silent", "--show-error", "--fail", "--noproxy", "*"]);
            command.args(["--limit-rate", RATE]).args(options);
            command.arg(format!("http://{SERVER}/{url}"));
            command
        };
        let mut download = curl("large", &[]);
        let (uploaded, source) = (format!("upload/{trial}"), self.folder.join("large"));
        let mut upload = curl(&uploaded, &["--upload-file", &source.to_string_lossy()]);
        let uploaded = self.folder.join(uploaded);
        let mut iperf = home.command("iperf3");
        iperf.args(["--json", "--time", "8", "--bitrate", "20M", "--client"]);
        iperf.arg(SERVER.to_string());
        Transfers(vec![
            begin("download", move || {
                let got = process::run(&mut download, DEADLINE)?.ok()?;
                ensure!(hash(&got.stdout) == body, "{} bytes, not those sent", got.stdout.len());
                Ok("download whole".to_owned())
            }),
            begin("upload", move || {
                process::run(&mut upload, DEADLINE)?.ok()?;
                let got = std::fs::read(&uploaded)?;
                std::fs::remove_file(&uploaded)?;
                ensure!(hash(&got) == body, "{} bytes, not those sent", got.len());
                Ok("upload whole".to_owned())
            }),
            begin("iperf3", move || flow(&mut iperf)),
        ])
    }
}

fn begin(
    name: &'static str,
    work: impl FnOnce() -> anyhow::Result<String> + Send + 'static,
) -> JoinHandle<anyhow::Result<Done>> {
    thread::spawn(move || {
        let what = work().context(name)?;
        Ok(Done { ended: Instant::now(), what })
    })
}

/// The connection must go on to its end, and all that was sent arrive.
fn flow(iperf: &mut Command) -> anyhow::Result<String> {
    let text = process::run(iperf, DEADLINE)?.ok()?.text();
    let result: Value = serde_json::from_str(&text).context("output of iperf3")?;
    let number = |path: &str| {
        let value = result.pointer(path).and_then(Value::as_f64);
        value.with_context(|| format!("iperf3 does not say {path}: {text:.300}"))
    };
    let (sent, received) = (number("/end/sum_sent/bytes")?, number("/end/sum_received/bytes")?);
    let intervals = result.pointer("/intervals").and_then(Value::as_array);
    let last = intervals.and_then(|all| all.iter().rev().nth(1)).context("no intervals")?;
    let last = last.pointer("/sum/bytes").and_then(Value::as_f64).unwrap_or_default();
    ensure!(last > 0.0, "nothing was sent in the last second but one");
    // What is on its way when the time is up is not counted.
    ensure!(received >= 0.9 * sent, "{received} of {sent} bytes arrived");
    Ok(format!("iperf3 {:.0} of {:.0} MB", received / 1e6, sent / 1e6))
}

impl Transfers {
    /// Whether none has ended.
    pub(crate) fn all_run(&self) -> bool {
        self.0.iter().all(|transfer| !transfer.is_finished())
    }

    /// Waits for their ends, which must be good ones, and says what they were and whether they all
    /// came after `then`.
    pub(crate) fn end(self, then: Instant) -> anyhow::Result<(String, bool)> {
        let ends: Vec<_> = self.0.into_iter().map(|it| it.join().expect("a client")).collect();
        let ends = ends.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        let spans = ends.iter().all(|done| done.ended > then);
        let what: Vec<_> = ends.into_iter().map(|done| done.what).collect();
        Ok((what.join(", "), spans))
    }
}
