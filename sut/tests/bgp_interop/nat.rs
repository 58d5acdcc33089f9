//! A server of Krononat: one core, one shard with the other server.

use crate::bird::{ASN, ROUTER_ASN};
use crate::setting::{ADDRESSES, EXTERNAL, ROUTER, ROUTER_MAC, mac};
use crate::{BFD_INTERVAL_MS, BFD_MULTIPLIER};
use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A process, which ends with its guard.
pub(crate) struct Server {
    child: Child,
}

impl Server {
    /// Starts the master (0) or the slave (1).
    pub(crate) fn start(number: usize, folder: &Path) -> anyhow::Result<Server> {
        let file = folder.join(format!("nat{number}.toml"));
        std::fs::write(&file, configuration(number))?;
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("nat{number}"), env!("CARGO_BIN_EXE_krononat")]);
        command.arg("--config").arg(&file).stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Server { child: command.spawn().context("krononat")? })
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        // `ip netns exec` becomes the program it starts.
        let pid = Pid::from_raw(i32::try_from(self.child.id())?);
        kill(pid, signal).context("a signal to krononat")
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// Asks it to hand over what it serves.
    pub(crate) fn ask_to_leave(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGTERM)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(number: usize) -> String {
    let (ip, peer) = (ADDRESSES[number], ADDRESSES[1 - number]);
    let duty = ["master", "slave"][number];
    format!(
        "server = {number}\nseed = 1\nport_block = 64\nconnections_max = 4096\n\
         [cluster]\nkey = \"000102030405060708090a0b0c0d0e0f\"\nrouter = \"{ROUTER}\"\n\
         bfd_interval_us = {}\nbfd_multiplier = {BFD_MULTIPLIER}\nbeat_us = 20000\n\
         [cluster.bgp]\nasn = {ROUTER_ASN}\n\
         [[core]]\ncore = 0\nidentity = {{ mac = \"{}\", ip = \"{ip}\", asn = {ASN}, \
         gateway = \"{ROUTER_MAC}\" }}\nports = [{{ af-packet = {{ interface = \"nat0\" }} }}]\n\
         [[core.shard]]\nid = 0\nsubscribers = [\"100.64.0.0/24\"]\nexternal = \"{EXTERNAL}\"\n\
         duty = \"{duty}\"\npeer = \"{peer}\"\n",
        1_000 * BFD_INTERVAL_MS,
        mac(number),
    )
}
