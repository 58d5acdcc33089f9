//! A generator and a Krononat as two servers of this machine, joined by memif.

use crate::child::{ended, line_after};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const KRONO: &str = env!("CARGO_BIN_EXE_krono");

/// Little traffic, and workers that sleep: what is tested is that it works.
const SCENARIO: &str = r#"
schema = 1
question = "Does it work on several machines?"
seed = 7
[topology]
polling = "adaptive"
generators = { servers = 1, cores = 1 }
sut = { kind = "krononat", servers = 1, cores = 1 }
[traffic]
genome = "imix-7-4-1"
connections = 2000
deadline = "500ms"
drain = "1s"
[[phase]]
name = "fill"
open = "20k/s"
[[phase]]
name = "steady"
rate = "20kpps"
for = "FOR"
"#;

/// Only one run at a time has the processors.
static ALONE: Mutex<()> = Mutex::new(());

/// Whether the test can run here; says why if not.
pub(crate) fn can_run() -> Option<MutexGuard<'static, ()>> {
    let folder = Path::new(KRONO).parent().expect("a folder");
    let there = |name: &str| folder.join(name).is_file();
    let missing = match dataplane::port::dpdk::available() {
        Err(absent) => absent.to_string(),
        Ok(_) if !there("kronogen") || !there("krononat") => {
            "kronogen or krononat is not built: `cargo build --bins`".to_owned()
        }
        Ok(_) => return Some(ALONE.lock().unwrap_or_else(PoisonError::into_inner)),
    };
    println!("skipped: {missing}");
    None
}

/// An agent; killed when dropped.
pub(crate) struct Agent {
    pub(crate) child: Child,
    pub(crate) address: String,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder with a scenario, keys and a hosts file; and the agents of that, if they run.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
    pub(crate) agents: Vec<Agent>,
}

impl Bench {
    /// Two agents with mutual TLS; the generator is `left`, the other `right`.
    pub(crate) fn new(measured: &str) -> Bench {
        let mut bench = Bench::empty(measured);
        let reach = [(); 2].map(|()| bench.start_agent());
        bench.list(&reach);
        bench
    }

    /// Nothing that runs, and no hosts file.
    pub(crate) fn empty(measured: &str) -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        let bench = Bench { folder, agents: Vec::new() };
        fs::create_dir(bench.path("temporary")).expect("a folder");
        fs::write(bench.path("a.toml"), SCENARIO.replace("FOR", measured)).expect("written");
        let mut keys = Command::new(KRONO);
        keys.args(["agent", "keys", "--out"]).arg(bench.path("keys")).stdout(Stdio::null());
        assert!(ended(keys.spawn().expect("krono starts")).status.success());
        bench
    }

    /// Starts an agent with keys; how it is reached, for the hosts file.
    pub(crate) fn start_agent(&mut self) -> String {
        let mut command = Command::new(KRONO);
        command.args(["agent", "--listen", "127.0.0.1:0", "--tls"]).arg(self.path("keys/agent"));
        command.env("TMPDIR", self.path("temporary"));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("krono starts");
        let line = line_after("listening on ", child.stdout.take());
        assert!(line.contains("mutual TLS"), "{line}");
        let address = line.split(' ').next().unwrap_or_default().to_owned();
        let reach = format!("agent = \"{address}\"\ntls = \"keys/controller\"\n");
        self.agents.push(Agent { child, address });
        reach
    }

    /// A port that no other bench has.
    pub(crate) fn port(&self) -> String {
        let name = self.folder.path().file_name().and_then(|name| name.to_str()).expect("a name");
        format!("memif = \"krono{name}\"")
    }

    /// Writes the hosts file: how `left`, the generator, and `right` are reached.
    pub(crate) fn list(&self, [left, right]: &[String; 2]) {
        let port = self.port();
        let server = |name: &str, role: &str, reach: &str| {
            format!(
                "[[server]]\nname = \"{name}\"\nrole = \"{role}\"\n{reach}ports = [{{ {port} }}]\n"
            )
        };
        let hosts = server("left", "generator", left) + &server("right", "sut", right);
        fs::write(self.path("hosts.toml"), hosts).expect("written");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn krono(&self) -> Command {
        let mut command = Command::new(KRONO);
        command.args(["run", "a.toml", "--testbed", "hosts:hosts.toml", "--out", "out"]);
        command.arg("--no-live").current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Numbers of the programs called so that agents run, by the folder of their configurations.
    pub(crate) fn programs(&self, name: &str) -> Vec<String> {
        let temporary = self.path("temporary");
        let of = |entry: fs::DirEntry| {
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let its = line.contains(temporary.to_str()?) && line.contains(name);
            its.then(|| entry.file_name().to_string_lossy().into_owned())
        };
        fs::read_dir("/proc").expect("Linux").filter_map(Result::ok).filter_map(of).collect()
    }

    pub(crate) fn await_phase(&self, name: &str) {
        let begun = Instant::now();
        let rows = || fs::read_to_string(self.path("out/samples.csv")).unwrap_or_default();
        while !rows().contains(name) {
            assert!(begun.elapsed() < Duration::from_secs(40), "no {name}: {}", rows());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until none of them is left.
    pub(crate) fn assert_no_programs(&self) {
        let begun = Instant::now();
        while !self.programs("krono").is_empty() {
            let late = begun.elapsed() > Duration::from_secs(15);
            assert!(!late, "{:?}", self.programs("krono"));
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The same, and nothing of what their agents wrote.
    pub(crate) fn assert_none_left(&self) {
        self.assert_no_programs();
        // The folder of a configuration is removed once its program has been reaped.
        let left = || fs::read_dir(self.path("temporary")).expect("a folder").count();
        let begun = Instant::now();
        while left() > 0 {
            assert!(begun.elapsed() < Duration::from_secs(15), "{} files", left());
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn json(&self, name: &str, output: &Output) -> serde_json::Value {
        let text = String::from_utf8_lossy(&output.stderr);
        let file = fs::read(self.path("out").join(name)).unwrap_or_else(|_| panic!("{text}"));
        serde_json::from_slice(&file).expect("JSON")
    }

    /// The run is invalid; why.
    #[track_caller]
    pub(crate) fn reasons(&self, output: &Output) -> String {
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{said}");
        let summary = self.json("summary.json", output);
        assert_eq!(summary["valid"], false);
        summary["invalid_reasons"].to_string()
    }
}
