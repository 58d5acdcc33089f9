//! A NAT that keeps its state in a Redis or Valkey server, as StatelessNF keeps it in RAMCloud.
//!
//! The server is started without persistence, on a socket in a folder that goes with it; no port of
//! the network is opened. It gets a third processor where there is one, and that of the SUT's first
//! core otherwise, where the two take turns: the facts say which.

use super::namespace::{installed, missing, must};
use super::service::Service;
use super::{Facts, Peer};
use crate::testbed::{Observation, Outcome, embedded};
use anyhow::Context;
use dataplane::run::Stop;
use dataplane::thread::allowed_cpus;
use format::Plan;

/// Either will do; their commands are the same.
const SERVERS: [&str; 2] = ["valkey-server", "redis-server"];

/// A NAT on an external store.
pub(super) struct Remote;

/// The server that is installed.
fn server() -> Option<&'static str> {
    SERVERS.into_iter().find(|name| installed(name).is_some())
}

/// The server's processor, and whether it has it for itself.
fn processor(plan: &Plan) -> (usize, bool) {
    let cpus = allowed_cpus();
    let taken = (plan.topology.generators() + plan.topology.suts()) as usize;
    match cpus.get(taken) {
        Some(&cpu) => (cpu, true),
        None => (cpus.get(1).or(cpus.first()).copied().unwrap_or(0), false),
    }
}

impl Peer for Remote {
    fn lacking(&self, _: &Plan) -> Option<String> {
        let store = (server().unwrap_or(SERVERS[1]), "redis-server");
        missing(&[store, ("taskset", "util-linux"), ("setpriv", "util-linux")])
    }

    fn facts(&self, plan: &Plan) -> Facts {
        let version = must(&format!("{} --version", server().unwrap_or(SERVERS[1])));
        let store = match processor(plan) {
            (cpu, true) => format!("processor {cpu}, for itself: two processors for one core"),
            (cpu, false) => format!("processor {cpu}, shared with the SUT"),
        };
        let what = "a GET for each packet, a burst at a time; nothing kept in the core";
        [
            ("version", version.unwrap_or_default().trim().to_owned()),
            ("what", what.to_owned()),
            ("carrier", "in-memory links; a UNIX socket to the store".to_owned()),
            ("store", store),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    fn measure(
        &self,
        plan: &Plan,
        stop: &Stop,
        observe: &mut dyn FnMut(Observation),
    ) -> anyhow::Result<Outcome> {
        let folder = tempfile::tempdir().context("a folder for the store")?;
        let socket = folder.path().join("store.sock");
        let (cpu, _) = processor(plan);
        let program = server().context("no store is installed")?;
        let mut arguments = vec!["-c".to_owned(), cpu.to_string(), program.to_owned()];
        arguments.extend(["--unixsocket".to_owned(), socket.display().to_string()]);
        let quiet = "--port 0 --save - --appendonly no --daemonize no --loglevel warning";
        // A line of `save` without a number of seconds is none.
        let quiet = quiet.split(' ').map(|word| if word == "-" { "" } else { word });
        arguments.extend(quiet.map(str::to_owned));
        let mut store = Service::start("taskset", &arguments, folder.path(), None)?;
        store.wait(|| socket.exists())?;
        embedded::alone(plan, Some(&socket), stop, observe)
    }
}
