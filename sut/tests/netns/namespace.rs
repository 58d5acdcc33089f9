//! One network namespace: a host or a router of the topology.

use crate::process;
use anyhow::Context;
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::Duration;

/// How long a command that configures may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a socket waits for what must come.
pub(crate) const ANSWER: Duration = Duration::from_secs(3);

/// A named network namespace, deleted when dropped.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one, with its loopback interface up.
    pub(crate) fn create(name: &str) -> anyhow::Result<Namespace> {
        let arguments = ["netns", "add", name];
        process::run(Command::new("ip").args(arguments), PATIENCE)?
            .ok()
            .with_context(|| format!("namespace {name}"))?;
        let namespace = Namespace { name: name.to_owned() };
        namespace.ip("link set lo up")?;
        // A kernel holds back ICMP errors to a host it has told of several within a second.
        namespace.sysctl(&["icmp_ratemask=0"])?;
        Ok(namespace)
    }

    /// Its name, as `ip` takes it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A program that will run inside.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Runs a program inside that must succeed; `line` is split at spaces.
    pub(crate) fn must(&self, line: &str) -> anyhow::Result<()> {
        let mut words = line.split_whitespace();
        let mut command = self.command(words.next().context("an empty command")?);
        let finished = process::run(command.args(words), PATIENCE)?.ok();
        finished.map(drop).with_context(|| format!("{}: {line}", self.name))
    }

    /// `ip` inside.
    pub(crate) fn ip(&self, line: &str) -> anyhow::Result<()> {
        self.must(&format!("ip {line}"))
    }

    /// Sets kernel parameters below `net.ipv4`.
    pub(crate) fn sysctl(&self, settings: &[&str]) -> anyhow::Result<()> {
        settings.iter().try_for_each(|set| self.must(&format!("sysctl -qw net.ipv4.{set}")))
    }

    /// Datagrams that reached a UDP socket here and found its buffer full, so far.
    pub(crate) fn udp_overflows(&self) -> anyhow::Result<u64> {
        let snmp = process::run(self.command("cat").arg("/proc/net/snmp"), PATIENCE)?.ok()?.text();
        // Two lines for each protocol: names, then values.
        let mut udp = snmp.lines().filter_map(|line| line.strip_prefix("Udp: "));
        let (names, values) = (udp.next().unwrap_or_default(), udp.next().unwrap_or_default());
        let mut pairs = names.split(' ').zip(values.split(' '));
        let value = pairs.find(|(name, _)| *name == "RcvbufErrors").map(|(_, value)| value);
        Ok(value.context("no RcvbufErrors in /proc/net/snmp")?.parse()?)
    }

    /// Calls `inside` on a thread in the namespace. Sockets it makes stay there.
    fn enter<T: Send>(
        &self,
        inside: impl FnOnce() -> std::io::Result<T> + Send,
    ) -> anyhow::Result<T> {
        let path = format!("/run/netns/{}", self.name);
        let file = File::open(&path).with_context(|| path.clone())?;
        let called = thread::scope(|scope| {
            let thread = scope.spawn(move || -> anyhow::Result<T> {
                setns(file, CloneFlags::CLONE_NEWNET)?;
                Ok(inside()?)
            });
            thread.join()
        });
        called.map_err(|_| anyhow::anyhow!("{path}: panicked"))?
    }

    /// A UDP socket bound to `port` on every address, or to a free one for 0.
    pub(crate) fn udp(&self, port: u16) -> anyhow::Result<UdpSocket> {
        let socket = self.enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)));
        let socket = socket.with_context(|| format!("{}: UDP port {port}", self.name))?;
        socket.set_read_timeout(Some(ANSWER))?;
        Ok(socket)
    }

    /// A TCP socket that listens on every address.
    pub(crate) fn listen(&self, port: u16) -> anyhow::Result<TcpListener> {
        self.enter(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))
            .with_context(|| format!("{}: TCP port {port}", self.name))
    }

    /// A TCP connection to somewhere.
    pub(crate) fn connect(&self, to: SocketAddr) -> anyhow::Result<TcpStream> {
        let stream = self.enter(|| TcpStream::connect_timeout(&to, ANSWER));
        let stream = stream.with_context(|| format!("{}: to {to}", self.name))?;
        stream.set_read_timeout(Some(ANSWER))?;
        Ok(stream)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = process::run(Command::new("ip").args(["netns", "delete", &self.name]), PATIENCE);
    }
}
