//! The namespaces: each server has one of its own, and the router, where BIRD runs, has a bridge to
//! both. They are those of a process that is started again inside of them, so that all of it ends
//! with the test.

use anyhow::ensure;
use dataplane::port::dpdk;
use std::net::Ipv4Addr;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const INSIDE: &str = "KRONONAT_BGP_INTEROP_INSIDE";

/// The router.
pub(crate) const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 254);
pub(crate) const ROUTER_MAC: &str = "02:09:00:00:00:00";

/// The servers' cores: master and slave of the one shard.
pub(crate) const ADDRESSES: [Ipv4Addr; 2] =
    [Ipv4Addr::new(10, 1, 0, 1), Ipv4Addr::new(10, 1, 0, 2)];

/// The shard's external prefix.
pub(crate) const EXTERNAL: &str = "198.18.0.0/30";

/// `ip netns` keeps its names in /run, where nobody but us shall see them.
const TRIAL: &str = "mount -t tmpfs tmpfs /run && ip netns add trial \
                     && ip link add br0 type bridge \
                     && ip link add trial0 type veth peer name trial1 netns trial";

/// In the process that was started: says what is missing, or starts itself again inside. None in the
/// one inside.
pub(crate) fn outside() -> Option<ExitCode> {
    if std::env::var_os(INSIDE).is_some() {
        return None;
    }
    let skipped = |why: &str| {
        println!("bgp_interop: skipped: {why}");
        Some(ExitCode::SUCCESS)
    };
    if let Err(absent) = dpdk::available() {
        return skipped(&absent.to_string());
    }
    for program in ["bird", "birdc"] {
        if Command::new(program).arg("--version").output().is_err() {
            return skipped(&format!("{program} is not installed: apt-get install bird2"));
        }
    }
    match unshare(TRIAL).output() {
        Ok(trial) if trial.status.success() => {}
        Ok(trial) => {
            let why = String::from_utf8_lossy(&trial.stderr);
            return skipped(&format!(
                "no namespaces with a bridge here ({}): run as root",
                why.trim()
            ));
        }
        Err(error) => return skipped(&format!("unshare: {error}")),
    }
    let program = std::env::current_exe().expect("a test is a program");
    let mut command = unshare("mount -t tmpfs tmpfs /run && exec \"$0\"");
    let status = command.arg(program).env(INSIDE, "1").status().expect("it ran a moment ago");
    Some(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn unshare(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.args(["sh", "-c", script]);
    command
}

/// Makes the network: this process is in the router's namespace.
pub(crate) fn build() -> anyhow::Result<()> {
    sh(&format!(
        "ip link set lo up && ip link add br0 address {ROUTER_MAC} type bridge \
         && ip address add {ROUTER}/24 dev br0 && ip link set br0 up"
    ))?;
    for (number, address) in ADDRESSES.iter().enumerate() {
        // Without it a checksum is left to a NIC that never comes.
        sh(&format!(
            "ip netns add nat{number} \
             && ip link add port{number} type veth peer name nat0 netns nat{number} \
             && ip link set port{number} master br0 up \
             && ip -n nat{number} link set nat0 address {} up \
             && ethtool -K port{number} tx off && ethtool -K br0 tx off \
             && ip netns exec nat{number} ethtool -K nat0 tx off \
             && ip neigh replace {address} lladdr {} dev br0 nud permanent",
            mac(number),
            mac(number),
        ))?;
    }
    Ok(())
}

/// Ethernet address of a server's core.
pub(crate) fn mac(number: usize) -> String {
    format!("02:01:00:00:00:0{}", number + 1)
}

fn sh(script: &str) -> anyhow::Result<()> {
    let output = Command::new("sh").args(["-c", script]).stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{script}: {}", said.trim());
    Ok(())
}

/// Where the router's kernel sends what is for the shard.
pub(crate) fn route() -> Option<Ipv4Addr> {
    let output = Command::new("ip").args(["route", "show", EXTERNAL]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut words = text.split_whitespace().skip_while(|word| *word != "via");
    words.nth(1)?.parse().ok()
}

/// Asks again and again until the answer is yes.
pub(crate) fn wait_for(
    what: &str,
    patience: Duration,
    mut is_there: impl FnMut() -> bool,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !is_there() {
        ensure!(begun.elapsed() < patience, "{what}: not there after {patience:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
