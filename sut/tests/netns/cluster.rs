//! Two servers of Krononat behind a router nobody here wrote, with real clients through them: what
//! users notice when a server dies, leaves and comes back.
//!
//! The router is Linux with BIRD or FRR ([`router`]); it knows what packets tell it, and nothing
//! else. Downloads, uploads, iperf3 and a thousand probes a second each way run through the server
//! that goes, and probes through the other one, while it goes and while it returns. All transfers
//! must end with what was sent, no connection may get another address or port, and nobody else may
//! lose a packet. What the clients of the server itself may lose depends on how it goes ([`fault`]).
//!
//! [`kills`] measures how long an outage lasts.

mod fault;
mod kills;
mod network;
mod probes;
mod router;
mod server;
mod transfers;

use crate::process::wait_for;
use anyhow::Context;
use fault::Fault;
use network::{Network, SERVERS};
use probes::Probes;
use router::{Bfd, Kind, Router};
use server::Server;
use std::fmt;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// BFD of the checks. A machine that builds something meanwhile must not make a core or a router
/// sleep for so long.
const PATIENT: Bfd = Bfd { interval_ms: 100, multiplier: 3 };

/// How long a cluster may take until all is as it should be: BFD sends a packet a second before its
/// session, and both ends of BGP wait about as long between attempts.
const PATIENCE: Duration = Duration::from_secs(20);

/// A part of this test, by the name that `NETNS_CHECKS` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part(Kind);

/// All there are.
pub(crate) const PARTS: [Part; 2] = [Part(Kind::Bird), Part(Kind::Frr)];

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Bird => "cluster-bird",
            Kind::Frr => "cluster-frr",
        })
    }
}

impl Part {
    /// Runs it: checks, then as many kills of each kind as are to be measured. `false` where
    /// something came out wrong, or could not run though it `must`.
    pub(crate) fn run(self, kills: usize, must: bool) -> anyhow::Result<bool> {
        if let Some(missing) = self.0.missing() {
            println!("{self}: skipped: {missing}");
            return Ok(!must);
        }
        println!("{self}:");
        let mut cluster = Cluster::start(self.0, PATIENT).context("start")?;
        let transfers = transfers::Servers::start(&cluster.network, cluster.folder.path())?;
        let probes = cluster.probe()?;
        for (trial, fault) in Fault::ALL.into_iter().enumerate() {
            let begun = Instant::now();
            let outcome = fault::cycle(&mut cluster, &transfers, &probes, fault, trial);
            let (verdict, said) = match &outcome {
                Ok(said) => ("ok ", said.clone()),
                Err(error) => ("BAD", format!("{error:#}")),
            };
            println!("  {verdict} {fault:20} {:4.1} s  {said}", begun.elapsed().as_secs_f64());
            if outcome.is_err() {
                return Ok(false);
            }
        }
        drop((probes, transfers, cluster));
        if kills > 0 { kills::measure(self.0, kills).map(|()| true) } else { Ok(true) }
    }
}

/// All of it, standing. Fields are dropped in this order: whoever uses a namespace before it.
struct Cluster {
    servers: [Option<Server>; SERVERS],
    router: Router,
    network: Network,
    folder: TempDir,
    bfd: Bfd,
}

impl Cluster {
    /// Starts it, and returns once each server is master of its shard and slave of the other.
    fn start(kind: Kind, bfd: Bfd) -> anyhow::Result<Cluster> {
        // In the memory that was mounted for this run, and ends with it.
        let folder = TempDir::new_in("/run").context("a folder")?;
        let network = Network::build().context("network")?;
        let router = Router::start(kind, &network, folder.path(), bfd).context("router")?;
        let mut cluster = Cluster { servers: [None, None], router, network, folder, bfd };
        for number in [1, 0] {
            cluster.start_server(number)?;
        }
        cluster.is_whole()?;
        Ok(cluster)
    }

    fn start_server(&mut self, number: usize) -> anyhow::Result<()> {
        let server = Server::start(&self.network, number, self.folder.path(), self.bfd)?;
        self.servers[number] = Some(server);
        Ok(())
    }

    /// Waits until the router sends each shard's packets to its master and knows another way.
    fn is_whole(&self) -> anyhow::Result<()> {
        wait_for("each shard with its master and a slave", PATIENCE, || {
            (0..SERVERS).all(|shard| self.network.steers_to(shard) == Some(shard))
                && (0..SERVERS).all(|shard| self.router.paths(shard) == SERVERS)
        })
    }

    /// What the servers have counted.
    fn counted(&self) -> String {
        let all: Vec<_> = self.servers.iter().flatten().map(Server::counted).collect();
        all.join("; ")
    }

    /// Probes of the subscribers of both shards.
    fn probe(&self) -> anyhow::Result<[Probes; 2]> {
        Ok([Probes::start(&self.network, 0, 7000)?, Probes::start(&self.network, 1, 7001)?])
    }
}
