//! A server of the cluster: one core, master of one shard and slave of the other.

use super::network::{self, Network, SERVERS, core, core_mac, external, gateway, gateway_mac};
use super::router::{ASN, Bfd, ROUTER_ASN, SUBSCRIBERS};
use crate::nat::{Reports, describe};
use crate::process::wait_for;
use anyhow::{Context, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

/// How long one that leaves may take: it gives itself two seconds.
const LEAVES_WITHIN: Duration = Duration::from_secs(5);

/// How long a core still serves what it has handed over: a routing daemon that shares the processors
/// with all of this has been seen to take longer than the default to move a route.
const DRAIN_MS: u64 = 200;

/// A process, which ends with its guard.
pub(crate) struct Server {
    child: Child,
    reports: Reports,
}

impl Server {
    /// Starts it. Its core sleeps when idle, since all of this shares a few processors.
    pub(crate) fn start(
        network: &Network,
        number: usize,
        folder: &Path,
        bfd: Bfd,
    ) -> anyhow::Result<Server> {
        let file = folder.join(format!("nat{number}.toml"));
        std::fs::write(&file, config(number, bfd))?;
        let mut command = network.nats[number].command(env!("CARGO_BIN_EXE_krononat"));
        command.arg("--config").arg(&file).arg("--adaptive");
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().context("krononat")?;
        let reports = Reports::of(&mut child)?;
        Ok(Server { child, reports })
    }

    /// What it has counted, to the last tenth of a second.
    pub(crate) fn counted(&self) -> String {
        self.reports.tally().as_ref().map(describe).unwrap_or_default()
    }

    /// Ends it as a power cut would, and returns when it has ended.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        ensure!(self.child.try_wait()?.is_none(), "krononat has ended early");
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to hand over what it serves and to end, and returns when it has.
    pub(crate) fn leave(mut self) -> anyhow::Result<()> {
        // `ip netns exec` becomes the program it starts.
        let pid = Pid::from_raw(i32::try_from(self.child.id())?);
        kill(pid, Signal::SIGTERM).context("a signal to krononat")?;
        let child = &mut self.child;
        wait_for("krononat's end", LEAVES_WITHIN, || !matches!(child.try_wait(), Ok(None)))?;
        let status = self.child.wait()?;
        ensure!(status.success(), "krononat ended with {status}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Three beats must have been missed when BFD misses a core.
fn config(number: usize, Bfd { interval_ms, multiplier }: Bfd) -> String {
    let (ip, mac, router) = (core(number), core_mac(number), gateway(number));
    let (high, low) = SUBSCRIBERS;
    let mut text = format!(
        "server = {number}\nseed = 1\nport_block = 64\nconnections_max = 4096\n\
         [cluster]\nkey = \"000102030405060708090a0b0c0d0e0f\"\nrouter = \"{router}\"\n\
         bfd_interval_us = {}\nbfd_multiplier = {multiplier}\nbeat_us = {}\ndrain_ms = {DRAIN_MS}\n\
         [cluster.bgp]\nasn = {ROUTER_ASN}\nsubscribers = \"{high}:{low}\"\n\
         [[core]]\ncore = 0\nports = [{{ af-packet = {{ interface = \"nat0\" }} }}]\n\
         identity = {{ mac = \"{mac}\", ip = \"{ip}\", asn = {ASN}, gateway = \"{}\" }}\n",
        1_000 * interval_ms,
        100 * interval_ms,
        gateway_mac(number),
    );
    for shard in 0..SERVERS {
        let duty = if shard == number { "master" } else { "slave" };
        text += &format!(
            "[[core.shard]]\nid = {shard}\nsubscribers = [\"{}\"]\nexternal = \"{}\"\n\
             duty = \"{duty}\"\npeer = \"{}\"\n",
            network::subscribers(shard),
            external(shard),
            core(SERVERS - 1 - number),
        );
    }
    text
}
