//! The namespaces the whole test lives in: network, mounts and processes. A user namespace would not
//! do: the servers change their groups and the owners of files, which takes more users than one.

use dataplane::port::dpdk;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

const INSIDE: &str = "KRONONAT_NETNS_INSIDE";

/// What the checks call, and the Debian package that has it; `.ci/setup netns` installs the same.
const PROGRAMS: [(&str, &str); 12] = [
    ("unshare", "util-linux"),
    ("ip", "iproute2"),
    ("ethtool", "ethtool"),
    ("sysctl", "procps"),
    ("nft", "nftables"),
    ("nginx", "nginx-light"),
    ("curl", "curl"),
    ("iperf3", "iperf3"),
    ("dig", "bind9-dnsutils"),
    ("dnsmasq", "dnsmasq-base"),
    ("ping", "iputils-ping"),
    ("traceroute", "traceroute"),
];

/// Where Debian has some of them, out of a user's path.
const SYSTEM: &str = "/usr/sbin:/sbin";

/// `ip netns` keeps its names in /run, where nobody but us shall see them. What is possible
/// here is found out by doing it: a namespace with a veth pair, and a table of nftables.
const TRIAL: &str = "mount -t tmpfs tmpfs /run && ip netns add trial \
                     && ip link add trial0 type veth peer name trial1 netns trial \
                     && ip netns exec trial nft add table ip trial";

/// Whether this process is the one inside.
pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Starts this program again in namespaces of its own and waits for its end.
///
/// # Errors
/// Says what is missing here, and the remedy.
pub(crate) fn start_again_inside() -> Result<ExitCode, String> {
    dpdk::available().map_err(|absent| absent.to_string())?;
    let missing: Vec<_> = PROGRAMS.into_iter().filter(|(name, _)| !is_installed(name)).collect();
    if !missing.is_empty() {
        let (names, packages): (Vec<_>, Vec<_>) = missing.into_iter().unzip();
        let (names, packages) = (names.join(", "), packages.join(" "));
        return Err(format!("not installed: {names}: apt-get install {packages}"));
    }
    match unshare(&[TRIAL]).output() {
        Ok(trial) if trial.status.success() => Ok(run_inside()),
        Ok(trial) => Err(refusal(String::from_utf8_lossy(&trial.stderr).trim())),
        Err(error) => Err(refusal(&error.to_string())),
    }
}

fn refusal(why: &str) -> String {
    format!("no namespaces with a veth pair and nftables here ({why}): run as root")
}

fn unshare(script: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.env("PATH", [&std::env::var("PATH").unwrap_or_default(), SYSTEM].join(":"));
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.args(["sh", "-c"]).args(script);
    command
}

fn run_inside() -> ExitCode {
    let this_program = std::env::current_exe().expect("a test is a program");
    let this_program = this_program.to_str().expect("cargo names it in ASCII");
    let mut command = unshare(&["mount -t tmpfs tmpfs /run && exec \"$0\"", this_program]);
    // Held open until the end: the process inside ends when it closes.
    let child = command.env(INSIDE, "1").stdin(Stdio::piped()).spawn();
    let mut child = child.expect("the trial ran a moment ago");
    let held = child.stdin.take();
    let status = child.wait().expect("it is our child");
    drop(held);
    if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether a program is in the path, or where Debian has those of the system.
pub(crate) fn is_installed(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&paths);
    let system = SYSTEM.split(':').map(PathBuf::from);
    folders.chain(system).any(|folder| folder.join(program).is_file())
}
