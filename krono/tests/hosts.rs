//! The hosts testbed on loopback: agents with mutual TLS, their programs joined by memif. Needs
//! DPDK and the programs of the workspace, built; `tests/hosts_netns` does what takes namespaces
//! and sshd.

mod child;

use child::{ended, first_line};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const KRONO: &str = env!("CARGO_BIN_EXE_krono");

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
fn can_run() -> Option<MutexGuard<'static, ()>> {
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

struct Agent {
    child: Child,
    address: String,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two agents with keys, and a hosts file of them.
struct Bench {
    folder: tempfile::TempDir,
    agents: [Agent; 2],
}

impl Bench {
    fn new(measured: &str) -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("temporary")).expect("a folder");
        let mut keys = Command::new(KRONO);
        keys.args(["agent", "keys", "--out"]).arg(path("keys"));
        assert!(keys.output().expect("krono starts").status.success());
        let agents = [(); 2].map(|()| {
            let mut command = Command::new(KRONO);
            command.args(["agent", "--listen", "127.0.0.1:0", "--tls"]).arg(path("keys/agent"));
            command.env("TMPDIR", path("temporary")).stdin(Stdio::null()).stdout(Stdio::piped());
            let mut child = command.spawn().expect("krono starts");
            let line = first_line(&mut child);
            assert!(line.contains("mutual TLS"), "{line}");
            let address = line.split(' ').nth(2).unwrap_or_else(|| panic!("{line}")).to_owned();
            Agent { child, address }
        });
        let socket = folder.path().file_name().and_then(|name| name.to_str()).expect("a name");
        let server = |name: &str, role: &str, agent: &Agent| {
            format!(
                "[[server]]\nname = \"{name}\"\nrole = \"{role}\"\nagent = \"{}\"\n\
                 tls = \"keys/controller\"\nports = [{{ memif = \"krono{socket}\" }}]\n",
                agent.address
            )
        };
        let hosts = server("left", "generator", &agents[0]) + &server("right", "sut", &agents[1]);
        fs::write(path("hosts.toml"), hosts).expect("written");
        fs::write(path("a.toml"), SCENARIO.replace("FOR", measured)).expect("written");
        Bench { folder, agents }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn krono(&self) -> Command {
        let mut command = Command::new(KRONO);
        command.args(["run", "a.toml", "--testbed", "hosts:hosts.toml", "--out", "out"]);
        command.arg("--no-live").current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Programs that agents run, by the folder of their configurations.
    fn programs(&self, name: &str) -> Vec<String> {
        let temporary = self.path("temporary");
        let of = |entry: fs::DirEntry| {
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let its = line.contains(temporary.to_str()?) && line.contains(name);
            its.then(|| entry.file_name().to_string_lossy().into_owned())
        };
        fs::read_dir("/proc").expect("Linux").filter_map(Result::ok).filter_map(of).collect()
    }

    fn await_phase(&self, name: &str) {
        let begun = Instant::now();
        let rows = || fs::read_to_string(self.path("out/samples.csv")).unwrap_or_default();
        while !rows().contains(name) {
            assert!(begun.elapsed() < Duration::from_secs(40), "no {name}: {}", rows());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn assert_none_left(&self) {
        // The folder of a configuration is removed once its program has been reaped.
        let left = || fs::read_dir(self.path("temporary")).expect("a folder").count();
        let begun = Instant::now();
        while !self.programs("krono").is_empty() || left() > 0 {
            let late = begun.elapsed() > Duration::from_secs(15);
            assert!(!late, "{:?}, {} files", self.programs("krono"), left());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn json(&self, name: &str, output: &Output) -> serde_json::Value {
        let text = String::from_utf8_lossy(&output.stderr);
        let file = fs::read(self.path("out").join(name)).unwrap_or_else(|_| panic!("{text}"));
        serde_json::from_slice(&file).expect("JSON")
    }
}

#[test]
fn a_run_on_two_agents_counts_every_packet() {
    let Some(_alone) = can_run() else { return };
    let bench = Bench::new("1s");
    let output = ended(bench.krono().spawn().expect("krono starts"));
    let summary = bench.json("summary.json", &output);
    let (ledger, connections) = (&summary["ledger"], &summary["connections"]);
    assert_eq!(connections["held_peak"], 2000, "{summary:#}");
    let count = |of: &serde_json::Value, name: &str| of[name].as_u64().expect("a number");
    assert!(count(ledger, "planned") >= 20_000, "{ledger}");
    let arrived = count(ledger, "on_time") + count(ledger, "late");
    // A machine that is busy otherwise may lose some at a full link.
    assert!(arrived * 10 >= count(ledger, "planned") * 9, "{ledger}");
    assert_eq!((count(ledger, "corrupt"), count(ledger, "mistranslated")), (0, 0), "{ledger}");
    assert_eq!(summary["sut"]["cores"][0]["server"], 0);
    let servers = bench.json("servers.json", &output);
    assert_eq!((&servers[0]["name"], &servers[1]["name"]), (&"left".into(), &"right".into()));
    let phases = servers[0]["phases"].as_array().expect("a list");
    assert_eq!(phases.len(), 2, "{servers:#}");
    for phase in phases {
        assert!(count(phase, "bound_ns") < 100_000_000, "{phase}");
        assert_eq!(phase["late_ns"], 0, "{phase}");
    }
    assert!(servers[1]["host"]["tsc_hz"].as_u64().is_some_and(|hz| hz > 100_000_000));
    bench.assert_none_left();
}

/// The run is invalid, names who was lost, and keeps what the other has counted.
#[test]
fn a_server_that_is_lost_is_named() {
    let Some(_alone) = can_run() else { return };
    let mut bench = Bench::new("30s");
    let child = bench.krono().spawn().expect("krono starts");
    bench.await_phase("steady");
    bench.agents[1].child.kill().expect("it runs");
    let output = ended(child);
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
    let summary = bench.json("summary.json", &output);
    let reasons = summary["invalid_reasons"].to_string();
    assert!(reasons.contains("right (krononat at ") && reasons.contains("`steady`"), "{reasons}");
    assert!(
        summary["ledger"]["planned"].as_u64().is_some_and(|planned| planned > 0),
        "{summary:#}"
    );
    assert_eq!(summary["valid"], false);
    // The folder of a program whose agent was killed is left.
    let begun = Instant::now();
    while !bench.programs("krono").is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", bench.programs("krono"));
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// One that hangs is found out by its silence.
#[test]
fn a_server_that_hangs_is_named_and_ended() {
    let Some(_alone) = can_run() else { return };
    let bench = Bench::new("60s");
    let child = bench.krono().spawn().expect("krono starts");
    bench.await_phase("steady");
    let program = bench.programs("krononat").pop().expect("it runs");
    assert!(Command::new("kill").args(["-STOP", &program]).status().expect("kill").success());
    let output = ended(child);
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
    let reasons = bench.json("summary.json", &output)["invalid_reasons"].to_string();
    assert!(reasons.contains("right (krononat at ") && reasons.contains("hangs"), "{reasons}");
    bench.assert_none_left();
}

#[test]
fn no_program_outlives_a_killed_controller() {
    let Some(_alone) = can_run() else { return };
    let bench = Bench::new("60s");
    let mut child = bench.krono().spawn().expect("krono starts");
    bench.await_phase("steady");
    assert_eq!(bench.programs("krono").len(), 2);
    child.kill().expect("it runs");
    child.wait().expect("ours");
    bench.assert_none_left();
}

#[test]
fn servers_that_cannot_be_reached_are_named_and_nothing_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    fs::write(path("a.toml"), SCENARIO.replace("FOR", "1s")).expect("written");
    let server = |name: &str, role: &str| {
        format!(
            "[[server]]\nname = \"{name}\"\nrole = \"{role}\"\nagent = \"127.0.0.1:9\"\n\
             ports = [{{ memif = \"x\" }}]\n"
        )
    };
    let krono = |hosts: String| {
        fs::write(path("hosts.toml"), hosts).expect("written");
        let mut command = Command::new(KRONO);
        command.args(["run", "a.toml", "--testbed", "hosts:hosts.toml", "--out", "out"]);
        command.current_dir(folder.path()).stdout(Stdio::null()).stderr(Stdio::piped());
        let output = ended(command.spawn().expect("krono starts"));
        assert!(!path("out").exists());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = krono(server("left", "generator") + &server("right", "sut"));
    assert!(code == Some(3) && text.contains("left (127.0.0.1:9)"), "{text}");
    let (code, text) = krono(server("left", "generator"));
    assert!(code == Some(2) && text.contains("hosts.toml: server: 0 of role \"sut\""), "{text}");
    let (code, text) = krono(server("left", "router"));
    assert!(code == Some(2) && text.contains("hosts.toml:3: "), "{text}");
}
