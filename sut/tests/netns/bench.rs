//! Topology, NAT and servers, all standing: what a check works with.

use crate::idle::Silent;
use crate::nat::{Kind, Nat};
use crate::servers::{Bodies, Servers};
use crate::topology::Topology;
use anyhow::Context;
use std::sync::Mutex;
use tempfile::TempDir;

/// What a check works with. Fields are dropped in this order: whoever uses a namespace before it.
pub(crate) struct Bench {
    /// What the web servers offer.
    pub(crate) bodies: Bodies,
    /// Connections that are silent while other checks run.
    pub(crate) silent: Mutex<Option<Silent>>,
    nat: Nat,
    _servers: Servers,
    /// The network.
    pub(crate) topology: Topology,
    folder: TempDir,
}

impl Bench {
    /// Starts everything.
    pub(crate) fn start(kind: Kind) -> anyhow::Result<Bench> {
        // In the memory that was mounted for this run, and ends with it.
        let folder = TempDir::new_in("/run").context("a folder")?;
        let topology = Topology::build().context("topology")?;
        let nat = Nat::start(kind, &topology, folder.path())?;
        let bodies = Bodies::write(folder.path()).context("files of the web servers")?;
        let servers = Servers::start(&topology, folder.path()).context("servers")?;
        let silent = Mutex::default();
        Ok(Bench { bodies, silent, nat, _servers: servers, topology, folder })
    }

    /// A folder for what checks write.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Ends everything and tells what the NAT counted.
    pub(crate) fn end(self) -> anyhow::Result<String> {
        self.nat.end()
    }
}
