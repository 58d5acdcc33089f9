//! BIRD, the router.

use crate::setting::{ADDRESSES, EXTERNAL, ROUTER};
use crate::{BFD_INTERVAL_MS, BFD_MULTIPLIER};
use anyhow::Context;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// The AS of the cores, which is one, so that their MEDs are compared.
pub(crate) const ASN: u32 = 65_001;
pub(crate) const ROUTER_ASN: u32 = 65_000;

/// BIRD in this namespace.
pub(crate) struct Bird {
    socket: PathBuf,
    child: Child,
}

impl Bird {
    /// Starts it.
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Bird> {
        let (file, socket) = (folder.join("bird.conf"), folder.join("bird.ctl"));
        std::fs::write(&file, configuration())?;
        let mut command = Command::new("bird");
        command.arg("-f").arg("-c").arg(&file).arg("-s").arg(&socket);
        command.arg("-P").arg(folder.join("bird.pid"));
        let child = command.spawn().context("bird")?;
        Ok(Bird { socket, child })
    }

    fn ask(&self, question: &str) -> String {
        let mut command = Command::new("birdc");
        command.arg("-s").arg(&self.socket).args(question.split(' '));
        let output = command.output().map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&output).into_owned()
    }

    /// Cores whose routes to the shard it has.
    pub(crate) fn routes(&self) -> Vec<Ipv4Addr> {
        let said = self.ask(&format!("show route for {EXTERNAL} all"));
        let hops = said.lines().filter_map(|line| line.trim().strip_prefix("BGP.next_hop: "));
        let mut hops: Vec<_> = hops.filter_map(|hop| hop.trim().parse().ok()).collect();
        hops.sort();
        hops
    }

    /// Attributes of one core's route.
    pub(crate) fn describe(&self, core: Ipv4Addr) -> String {
        let number = ADDRESSES.iter().position(|&address| address == core).unwrap_or_default();
        self.ask(&format!("show route for {EXTERNAL} protocol nat{number} all"))
    }
}

impl Drop for Bird {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration() -> String {
    let sessions: String = (ADDRESSES.iter().enumerate())
        .map(|(number, address)| {
            format!(
                "protocol bgp nat{number} {{\n  local {ROUTER} as {ROUTER_ASN};\n  \
                 neighbor {address} as {ASN};\n  passive on;\n  bfd on;\n  \
                 error wait time 1, 2;\n  ipv4 {{ import all; export none; }};\n}}\n"
            )
        })
        .collect();
    format!(
        "router id {ROUTER};\nprotocol device {{}}\n\
         protocol kernel {{ ipv4 {{ import none; export all; }}; }}\n\
         protocol bfd {{ interface \"br0\" {{ interval {BFD_INTERVAL_MS} ms; \
         multiplier {BFD_MULTIPLIER}; }}; }}\n{sessions}"
    )
}
