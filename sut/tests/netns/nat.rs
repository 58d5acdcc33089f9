//! The NAT in the middle: Krononat on a packet socket, or the kernel with nftables.
//!
//! Both have the same interface, addresses, router, subscribers and external addresses.

use crate::process::wait_for;
use crate::topology::{EXTERNAL, NAT, NAT_MAC, ROUTER, ROUTER_MAC, SUBSCRIBERS, Topology};
use crate::topology::{forward, subscriber};
use anyhow::{Context, ensure};
use dataplane::thread::allowed_cpus;
use krononat::report::Line;
use krononat::verdict::Drop as Reason;
use krononat::worker::Tally;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long a NAT may take to stand, and to end once asked.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One core of Krononat.
    Krononat,
    /// Linux: nftables and its connection tracking.
    Nftables,
}

impl Kind {
    /// How often a check is tried. Linux says what is to be expected and is not judged here: a packet
    /// that a busy machine lost it may lose twice before the comparison fails. Krononat may not.
    pub(crate) fn attempts(self) -> u32 {
        match self {
            Kind::Krononat => 1,
            Kind::Nftables => 3,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Krononat => "krononat",
            Kind::Nftables => "nftables",
        })
    }
}

/// A NAT that stands.
pub(crate) enum Nat {
    /// A process.
    Krononat(Krononat),
    /// Rules, which end with their namespace.
    Nftables,
}

impl Nat {
    /// Starts it in the topology; `folder` takes its configuration.
    pub(crate) fn start(kind: Kind, topology: &Topology, folder: &Path) -> anyhow::Result<Nat> {
        match kind {
            Kind::Krononat => Ok(Nat::Krononat(Krononat::start(topology, folder)?)),
            Kind::Nftables => start_nftables(topology, folder).map(|()| Nat::Nftables),
        }
    }

    /// Ends it and tells what it counted.
    pub(crate) fn end(self) -> anyhow::Result<String> {
        match self {
            Nat::Krononat(server) => server.end(),
            Nat::Nftables => Ok(String::new()),
        }
    }
}

/// `persistent` gives a subscriber the same address every time, as Krononat does (RFC 4787 REQ-2).
/// What belongs to no connection ends in the blackhole, as it does in Krononat; without that the
/// kernel would hand it back to the router, and so on until its time to live is used up.
fn start_nftables(topology: &Topology, folder: &Path) -> anyhow::Result<()> {
    let [first, last] = EXTERNAL;
    let rules = format!(
        "table ip nat {{\n chain post {{\n  type nat hook postrouting priority srcnat\n  \
         ip saddr 100.64.0.0/10 snat to {first}-{last} persistent\n }}\n}}\n"
    );
    let file = folder.join("nat.nft");
    std::fs::write(&file, rules)?;
    let nat = &topology.nat;
    forward(nat)?;
    // The interface is older than the settings it would have inherited.
    nat.sysctl(&["conf.nat0.send_redirects=0", "conf.nat0.rp_filter=0"])?;
    nat.ip(&format!("address add {NAT}/24 dev nat0"))?;
    nat.ip(&format!("route add default via {ROUTER}"))?;
    nat.ip("route add blackhole 198.18.0.0/31")?;
    nat.must(&format!("nft -f {}", file.display()))?;
    // Krononat's, and RFC 4787 REQ-5's: the kernel's own 30 s would end what is to be silent longer
    // than the other checks take.
    nat.must("sysctl -qw net.netfilter.nf_conntrack_udp_timeout=300")?;
    nat.must("sysctl -qw net.netfilter.nf_conntrack_udp_timeout_stream=300")
}

/// The process, and what it said last.
pub(crate) struct Krononat {
    child: Child,
    stdin: Option<ChildStdin>,
    reports: Reports,
}

/// What the core of a process says of itself.
pub(crate) struct Reports {
    reader: Option<JoinHandle<()>>,
    latest: Arc<Mutex<Option<Tally>>>,
}

impl Reports {
    /// Reads them, until the process ends.
    pub(crate) fn of(child: &mut Child) -> anyhow::Result<Reports> {
        let stdout = child.stdout.take().context("a pipe from krononat")?;
        let latest = Arc::new(Mutex::new(None));
        let tell = latest.clone();
        let reader = thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Ok(Line::Cores(cores)) = serde_json::from_str(&line) {
                    *tell.lock().expect("nobody panics with it") = cores.first().map(|c| c.tally);
                }
            }
        });
        Ok(Reports { reader: Some(reader), latest })
    }

    /// The last one.
    pub(crate) fn tally(&self) -> Option<Tally> {
        *self.latest.lock().expect("nobody panics with it")
    }

    /// The last one of a process that has ended.
    fn end(&mut self) -> Option<Tally> {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        self.tally()
    }
}

impl Krononat {
    fn start(topology: &Topology, folder: &Path) -> anyhow::Result<Krononat> {
        let file = folder.join("krononat.toml");
        std::fs::write(&file, config())?;
        let mut command = topology.nat.command(env!("CARGO_BIN_EXE_krononat"));
        command.arg("--config").arg(&file).arg("--supervised");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("krononat")?;
        let (stdin, reports) = (child.stdin.take(), Reports::of(&mut child)?);
        let server = Krononat { child, stdin, reports };
        wait_for("krononat", PATIENCE, || server.reports.tally().is_some())?;
        Ok(server)
    }

    /// It must have lived until now, and end well once its standard input closes.
    fn end(mut self) -> anyhow::Result<String> {
        ensure!(self.child.try_wait()?.is_none(), "krononat has ended early");
        drop(self.stdin.take());
        let child = &mut self.child;
        wait_for("end of krononat", PATIENCE, || !matches!(child.try_wait(), Ok(None)))?;
        let status = self.child.wait()?;
        ensure!(status.success(), "krononat ended with {status}");
        let tally = self.reports.end().context("krononat has reported nothing")?;
        Ok(describe(&tally))
    }
}

impl Drop for Krononat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One core on the last processor, for it never sleeps: the others are the clients' and servers'.
/// Three subscribers fit on an external address, so the fourth has the other.
fn config() -> String {
    let cpu = allowed_cpus().into_iter().skip(1).last();
    let cpu = cpu.map(|cpu| format!("cpu = {cpu}\n")).unwrap_or_default();
    let subscribers: Vec<_> =
        (0..SUBSCRIBERS).map(|k| format!("\"{}/32\"", subscriber(k))).collect();
    format!(
        "server = 0\nseed = 1\nport_block = 16384\nconnections_max = 100000\n\
         [[core]]\ncore = 0\n{cpu}\
         identity = {{ mac = \"{NAT_MAC}\", ip = \"{NAT}\", gateway = \"{ROUTER_MAC}\" }}\n\
         subscribers = [{}]\nexternal = \"{}/31\"\n\
         ports = [{{ af-packet = {{ interface = \"nat0\" }} }}]\n",
        subscribers.join(", "),
        EXTERNAL[0],
    )
}

/// A tally in words.
pub(crate) fn describe(tally: &Tally) -> String {
    let dropped = Reason::all().zip(tally.dropped.0).filter(|(_, count)| *count > 0);
    let dropped: Vec<_> =
        dropped.map(|(reason, count)| format!("{} {count}", reason.name())).collect();
    format!(
        "received {}, forwarded {}, refused by the port {}, connections opened {}; dropped: {}",
        tally.received,
        tally.forwarded,
        tally.refused,
        tally.opened,
        dropped.join(", ")
    )
}
