//! The namespaces, their agents, and the hosts file of them.

use crate::sshd::{self, Sshd};
use anyhow::{Context, ensure};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long what is started may take to stand.
const PATIENCE: Duration = Duration::from_secs(20);

/// The machines; each has `data` on the bridge and `mgmt` to the controller.
pub(crate) const MACHINES: [&str; 3] = ["gen0", "gen1", "sut0"];

const ROUTER_MAC: &str = "02:00:00:00:00:fe";

/// Little traffic, and workers that sleep: what is tested is that it works. The queue of a packet
/// socket has 512 frames, which is what comes in 100 ms: so long may a core wait for a processor.
const SCENARIO: &str = r#"
schema = 1
question = "Does it work on three machines?"
seed = 7
[topology]
polling = "adaptive"
generators = { servers = 2, cores = 1 }
sut = { kind = "krononat", servers = 1, cores = 1 }
[traffic]
genome = "imix-7-4-1"
connections = 2000
deadline = "500ms"
drain = "1s"
[[phase]]
name = "fill"
open = "5k/s"
[[phase]]
name = "steady"
rate = "5kpps"
for = "FOR"
"#;

/// A program of the workspace.
pub(crate) fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_krono")).with_file_name(name)
}

/// A process that lasts as long as this.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// All of it; gone when dropped.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
    services: Vec<Service>,
    sshd: Option<Sshd>,
    pub(crate) ssh: bool,
}

impl Bench {
    /// Makes it, with a measured phase of `measured`.
    pub(crate) fn new(measured: &str) -> anyhow::Result<Bench> {
        let folder = tempfile::tempdir()?;
        let ssh = sshd::is_installed();
        let mut bench = Bench { folder, services: Vec::new(), sshd: None, ssh };
        fs::write(bench.path("a.toml"), SCENARIO.replace("FOR", measured))?;
        sh(&topology())?;
        for out in ["keys", "strangers"] {
            let mut keys = Command::new(program("krono"));
            let made = keys.args(["agent", "keys", "--out"]).arg(bench.path(out)).output()?;
            ensure!(made.status.success(), "{made:?}");
        }
        let mut hosts = format!("[network]\ngateway = \"{ROUTER_MAC}\"\n");
        for (k, name) in MACHINES.into_iter().enumerate() {
            let role = if name.starts_with("gen") { "generator" } else { "sut" };
            let reach = if ssh && role == "sut" {
                let command = inside(name, Path::new(sshd::PROGRAM));
                let (address, folder) = (format!("172.31.{k}.2"), bench.path(""));
                let (sshd, reach) =
                    sshd::start(command, &folder, &address, 2222, &program("krono"))?;
                bench.sshd = Some(sshd);
                reach
            } else {
                bench.start_agent(name, k)?
            };
            hosts += &format!(
                "[[server]]\nname = \"{name}\"\nrole = \"{role}\"\n{reach}\
                 ports = [{{ af_packet = \"data\" }}]\n"
            );
        }
        fs::write(bench.path("hosts.toml"), hosts)?;
        bench.route()?;
        Ok(bench)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Kills what serves a machine, by its place.
    pub(crate) fn kill(&mut self, place: usize) -> anyhow::Result<()> {
        Ok(self.services[place].0.kill()?)
    }

    fn start_agent(&mut self, name: &str, k: usize) -> anyhow::Result<String> {
        let address = format!("172.31.{k}.2:7800");
        let mut command = inside(name, &program("krono"));
        command.args(["agent", "--listen", &address, "--tls"]).arg(self.path("keys/agent"));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("a pipe")?;
        self.services.push(Service(child));
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(line.contains("mutual TLS"), "{name}: {line}");
        Ok(format!("agent = \"{address}\"\ntls = \"keys/controller\"\n"))
    }

    /// Gives the router the routes that the plan asks for.
    fn route(&self) -> anyhow::Result<()> {
        let mut explain = Command::new(program("krono"));
        explain.args(["explain", "a.toml", "--testbed", "hosts:hosts.toml"]);
        let output = explain.current_dir(self.folder.path()).output()?;
        let text = String::from_utf8_lossy(&output.stdout).replace("INTERFACE", "bridge");
        let lines: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("route ") || line.starts_with("neighbour "))
            .collect();
        ensure!(!lines.is_empty(), "no routes: {output:?}");
        fs::write(self.path("routes"), lines.join("\n") + "\n")?;
        sh(&format!("ip -n router -batch {}", self.path("routes").display()))
    }

    /// `krono run` on these machines.
    pub(crate) fn krono(&self) -> Command {
        let mut command = Command::new(program("krono"));
        command.args(["run", "a.toml", "--testbed", "hosts:hosts.toml", "--out", "out"]);
        command.arg("--no-live").current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A file of the run directory as JSON.
    pub(crate) fn json(&self, name: &str, output: &Output) -> anyhow::Result<serde_json::Value> {
        let text = || String::from_utf8_lossy(&output.stderr).into_owned();
        let file = fs::read(self.path("out").join(name)).with_context(text)?;
        Ok(serde_json::from_slice(&file)?)
    }

    /// Waits until rows of a phase are written that hold `text`.
    pub(crate) fn await_rows(&self, text: &str) -> anyhow::Result<()> {
        let begun = Instant::now();
        let rows = || fs::read_to_string(self.path("out/samples.csv")).unwrap_or_default();
        while !rows().contains(text) {
            ensure!(begun.elapsed() < 2 * PATIENCE, "no {text}: {}", rows());
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// No program of a run may be left.
    pub(crate) fn assert_none_left(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let left = Command::new("ps").args(["-eo", "args"]).output()?;
            let left = String::from_utf8_lossy(&left.stdout).into_owned();
            let left: Vec<_> = left.lines().filter(|line| line.contains("--supervised")).collect();
            if left.is_empty() {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "left: {left:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.services.clear();
        self.sshd = None;
        // At once, where the kernel takes its time over what is left of a namespace: the next bench
        // has interfaces of the same names.
        for name in MACHINES {
            let _ = Command::new("ip").args(["link", "delete", &format!("{name}m")]).output();
        }
        let names = [&MACHINES[..], &["router"]].concat();
        for name in names {
            let _ = Command::new("ip").args(["netns", "delete", name]).output();
        }
    }
}

fn inside(name: &str, program: &Path) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", name]).arg(program);
    command
}

/// A veth leaves checksums and segmentation to a NIC that never comes. Bridge and router never
/// redirect: what comes in leaves by the interface it came from.
fn topology() -> String {
    let mut script = format!(
        "ip netns add router\nip -n router link add bridge address {ROUTER_MAC} type bridge\n\
         ip -n router address add 10.0.0.1/8 dev bridge\nip -n router link set bridge up\n\
         ip netns exec router sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0 \
         net.ipv4.conf.bridge.send_redirects=0 net.ipv4.conf.all.rp_filter=0 \
         net.ipv4.conf.bridge.rp_filter=0\n"
    );
    for (k, name) in MACHINES.into_iter().enumerate() {
        script += &format!(
            "ip netns add {name}\nip -n {name} link set lo up\n\
             ip link add {name}m type veth peer name mgmt netns {name}\n\
             ip address add 172.31.{k}.1/24 dev {name}m\nip link set {name}m up\n\
             ip -n {name} address add 172.31.{k}.2/24 dev mgmt\nip -n {name} link set mgmt up\n\
             ip -n {name} link add data type veth peer name {name} netns router\n\
             ip netns exec {name} ethtool -K data tx off sg off tso off gso off gro off\n\
             ip netns exec router ethtool -K {name} tx off sg off tso off gso off gro off\n\
             ip -n router link set {name} master bridge\nip -n router link set {name} up\n\
             ip -n {name} link set data up\n"
        );
    }
    script
}

fn sh(script: &str) -> anyhow::Result<()> {
    let output = Command::new("sh").args(["-ec", script]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
