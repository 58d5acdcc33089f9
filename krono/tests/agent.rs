//! Agents and controllers as real processes on loopback: who gets in, what is relayed, and that no
//! program outlives whoever holds it.

mod child;

use child::{ended, line_after};
use dataplane::clock::Tsc;
use krono::agent::client::{Agent, Controller, Reach};
use krono::agent::wire::agent_client::AgentClient;
use krono::agent::wire::{HelloRequest, Program, Start};
use krono::testbed::program::{End, Server};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const KRONO: &str = env!("CARGO_BIN_EXE_krono");

/// One krononat core on a memif that nobody dials: it stands, and says so ten times a second.
fn config() -> String {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    format!(
        "server = 0\nseed = 1\nport_block = 64\nconnections_max = 1000\n[[core]]\ncore = 0\n\
         identity = {{ mac = \"02:01:00:00:00:00\", ip = \"10.1.0.0\", gateway = \
         \"02:02:00:00:00:00\" }}\nsubscribers = [\"100.64.0.0/28\"]\nexternal = \
         \"198.18.0.0/28\"\n\
         ports = [{{ memif-server = {{ socket = \"krono-agent-{}-{}\", id = 0 }} }}]\n",
        std::process::id(),
        MADE.fetch_add(1, Ordering::Relaxed)
    )
}

fn krononat(config: String) -> Start {
    Start { program: Program::Krononat.into(), config, adaptive: true, led: false }
}

/// An agent; killed when dropped.
struct Running {
    child: Child,
    address: String,
    temporary: tempfile::TempDir,
}

impl Running {
    fn start(more: &[&str]) -> Running {
        let temporary = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(KRONO)
            .args(["agent", "--listen", "127.0.0.1:0"])
            .args(more)
            .env("TMPDIR", temporary.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("krono starts");
        let line = line_after("listening on ", child.stdout.take());
        let address = line.split(' ').next().unwrap_or_default().to_owned();
        Running { child, address, temporary }
    }

    fn reach(&self, tls: Option<PathBuf>) -> anyhow::Result<Agent> {
        let controller = Controller::new(Tsc::calibrate())?;
        let reach = Reach::Running { address: self.address.clone(), tls };
        Agent::reach(&controller, "left".to_owned(), &reach)
    }

    /// Programs it runs, by the folder of their configurations.
    fn programs(&self) -> Vec<Pid> {
        let of = |entry: fs::DirEntry| {
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).into_owned();
            let pid = entry.file_name().to_str()?.parse().ok()?;
            line.contains(self.temporary.path().to_str()?).then_some(Pid::from_raw(pid))
        };
        fs::read_dir("/proc").expect("Linux").filter_map(Result::ok).filter_map(of).collect()
    }

    fn assert_nothing_left(&self) {
        let left = || fs::read_dir(self.temporary.path()).expect("a folder").count();
        let begun = Instant::now();
        while !self.programs().is_empty() || left() > 0 {
            let late = begun.elapsed() > Duration::from_secs(8);
            assert!(!late, "left: {:?}, {} files", self.programs(), left());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether programs can run here; says why if not.
fn can_run() -> bool {
    let folder = Path::new(KRONO).parent().expect("a folder");
    let missing = match dataplane::port::dpdk::available() {
        Err(absent) => absent.to_string(),
        Ok(_) if !folder.join("krononat").is_file() => {
            "krononat is not built: `cargo build --bins`".to_owned()
        }
        Ok(_) => return true,
    };
    println!("skipped: {missing}");
    false
}

/// Lines of a krononat that stands.
fn await_lines(server: &mut Server<serde_json::Value>) {
    let first = server.hear().expect("a line").expect("not the end");
    assert!(first.get("ready").is_some(), "{first}");
    let second = server.hear().expect("a line").expect("not the end");
    assert!(second.get("cores").is_some(), "{second}");
}

fn keys(folder: &Path) -> [PathBuf; 2] {
    let out = folder.to_str().expect("text");
    let made = Command::new(KRONO).args(["agent", "keys", "--out", out]).output().expect("runs");
    assert!(made.status.success(), "{made:?}");
    ["agent", "controller"].map(|name| folder.join(name))
}

#[test]
fn without_the_right_certificate_nobody_gets_anything() {
    let folder = tempfile::tempdir().expect("a folder");
    let [agents, controllers] = keys(&folder.path().join("ours"));
    let [_, strangers] = keys(&folder.path().join("theirs"));
    let agent = Running::start(&["--tls", agents.to_str().expect("text")]);
    let ours = agent.reach(Some(controllers.clone())).expect("the right keys");
    assert!(ours.hello().host_json.contains("kernel"), "{:?}", ours.hello());
    // Of another authority; none at all; and an agent's own, which commands no agent.
    for keys in [Some(strangers), None, Some(agents)] {
        let refused = agent.reach(keys.clone()).map(|agent| agent.hello().clone());
        let text = refused.expect_err("refused").to_string();
        assert!(text.starts_with("left: "), "{keys:?}: {text}");
        assert!(!text.contains("version"), "{keys:?}: {text}");
    }
    // A controller trusts no stranger either: this one has ours' certificate and another authority.
    let mixed = folder.path().join("mixed");
    fs::create_dir(&mixed).expect("a folder");
    for name in ["cert.pem", "key.pem"] {
        fs::copy(controllers.join(name), mixed.join(name)).expect("copied");
    }
    fs::copy(folder.path().join("theirs/controller/ca.pem"), mixed.join("ca.pem")).expect("copied");
    assert!(agent.reach(Some(mixed)).is_err());
    assert!(agent.reach(Some(controllers)).is_ok());
}

#[test]
fn plain_text_is_refused_beyond_loopback() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7800"] {
        let mut command = Command::new(KRONO);
        command.args(["agent", "--listen", address]).stderr(Stdio::piped());
        let refused = ended(command.spawn().expect("krono starts"));
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{text}");
        assert!(text.contains("--tls") && text.contains(address), "{text}");
    }
}

#[test]
fn another_version_is_refused_by_both_names() {
    let agent = Running::start(&[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let refused = runtime.expect("a runtime").block_on(async {
        let mut client =
            AgentClient::connect(format!("http://{}", agent.address)).await.expect("it");
        client.hello(HelloRequest { version: "0.0.0 (older)".to_owned() }).await
    });
    let status = refused.expect_err("refused");
    assert_eq!(status.code(), tonic::Code::FailedPrecondition);
    let text = status.message();
    assert!(text.contains("0.0.0 (older)") && text.contains(krono::host::VERSION_LINE), "{text}");
}

#[test]
fn clocks_are_compared_within_their_bounds() {
    let agent = Running::start(&[]);
    let left = agent.reach(None).expect("an agent");
    let offsets = [(); 3].map(|()| left.offset().expect("an answer"));
    for offset in offsets {
        // The clock of an agent begins with it; 20 ppm are what two calibrations may differ by.
        let drift_ns = 200_000;
        let apart = offset.offset_ns.abs_diff(offsets[0].offset_ns);
        assert!(apart <= offset.bound_ns + offsets[0].bound_ns + drift_ns, "{offsets:?}");
        assert!(offset.bound_ns < 100_000_000, "{offsets:?}");
    }
}

#[test]
fn what_a_program_says_and_how_it_ends_is_told() {
    if !can_run() {
        return;
    }
    let agent = Running::start(&[]);
    let left = agent.reach(None).expect("an agent");
    let mut server: Server<serde_json::Value> =
        left.run("left".to_owned(), krononat("server = 0\ncolour = 1\n".to_owned())).expect("runs");
    assert_eq!(server.hear().expect("an end"), None);
    let end = server.drain(|_| {}).expect("an end");
    assert_eq!(end, Some(End { code: Some(2), signal: None }));
    agent.assert_nothing_left();
}

#[test]
fn a_program_lives_as_long_as_it_is_held() {
    if !can_run() {
        return;
    }
    let agent = Running::start(&[]);
    let left = agent.reach(None).expect("an agent");
    let mut server = left.run("left".to_owned(), krononat(config())).expect("runs");
    await_lines(&mut server);
    assert_eq!(agent.programs().len(), 1);
    let second = left.run::<serde_json::Value>("left".to_owned(), krononat(config()));
    let text = second.map(|_| ()).expect_err("busy").to_string();
    assert!(text.contains("another program"), "{text}");
    // One that is stopped, too.
    server.signal(Signal::SIGSTOP).expect("a signal");
    drop(server);
    agent.assert_nothing_left();
    // Asked to end, and well.
    let mut server = left.run("left".to_owned(), krononat(config())).expect("runs");
    await_lines(&mut server);
    server.end().expect("a good end");
    agent.assert_nothing_left();
    // By a signal, and told so.
    let mut server = left.run("left".to_owned(), krononat(config())).expect("runs");
    await_lines(&mut server);
    server.signal(Signal::SIGKILL).expect("a signal");
    while server.hear().expect("lines").is_some() {}
    let end = server.drain(|_| {}).expect("an end");
    assert_eq!(end, Some(End { code: None, signal: Some(9) }));
}

#[test]
fn no_program_outlives_its_agent() {
    if !can_run() {
        return;
    }
    for (signal, stopped) in
        [(Signal::SIGTERM, true), (Signal::SIGKILL, true), (Signal::SIGKILL, false)]
    {
        let mut agent = Running::start(&[]);
        let left = agent.reach(None).expect("an agent");
        let mut server = left.run("left".to_owned(), krononat(config())).expect("runs");
        await_lines(&mut server);
        let programs = agent.programs();
        if stopped {
            kill(programs[0], Signal::SIGSTOP).expect("it runs");
        }
        kill(Pid::from_raw(agent.child.id() as i32), signal).expect("it runs");
        let begun = Instant::now();
        let status = loop {
            match agent.child.try_wait().expect("ours") {
                Some(status) => break status,
                None => assert!(begun.elapsed() < Duration::from_secs(15), "{signal}: it lives"),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        assert_eq!(status.code(), (signal == Signal::SIGTERM).then_some(0), "{status}");
        let begun = Instant::now();
        while !agent.programs().is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(5), "{signal} left {programs:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        // Nor does its controller wait for ever, or take it for a good end.
        while let Ok(Some(_)) = server.hear() {}
        let text = server.drain(|_| {}).map(|end| end.is_some_and(|end| end.success()));
        assert!(!text.unwrap_or(false), "{signal}");
    }
}

#[test]
fn an_agent_over_pipes_ends_with_them() {
    let mut child = Command::new(KRONO)
        .args(["agent", "--stdio"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("krono starts");
    drop(child.stdin.take());
    let begun = Instant::now();
    assert!(ended(child).status.success());
    assert!(begun.elapsed() < Duration::from_secs(5), "it outlives its connection");
}
