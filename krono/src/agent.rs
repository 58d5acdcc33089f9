//! Agents: what starts a server of a run on another machine.
//!
//! `krono agent` says which machine it is on, answers probes of its clock, and runs one `kronogen`
//! or `krononat` at a time for a controller (`krono run --testbed hosts:FILE`): it is handed the
//! program's configuration, relays the lines both say, and passes on signals. So a controller sees
//! a program elsewhere as it sees one it started itself. The two talk gRPC by the schema in
//! `proto/krono/agent/v1/agent.proto`, over mutual TLS, over an ssh session's own pipes, or in
//! plain text on a loopback address.
//!
//! An agent runs nothing but these two programs, keeps nothing after a run, and lets no program
//! live that its controller no longer holds. It is control plane only: no packet passes through it,
//! and the asynchronous runtime here is nowhere near one.

pub mod client;
pub mod clock;
pub mod keys;
mod program;
pub mod serve;
mod service;
mod ssh;
mod stdio;
mod synchronisation;

/// The schema, compiled.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod wire {
    tonic::include_proto!("krono.agent.v1");
}

/// Name that agents' certificates bear, whatever machine they are on: whom a controller talks to is
/// settled by who has signed them.
pub const AGENT_NAME: &str = "krono-agent";

/// Largest message, in bytes: the records of a phase that validates name up to 65,536 connections
/// for each core.
pub(crate) const MESSAGE_BYTES_MAX: usize = 256 << 20;

/// How often either side asks whether the other is still there, and how long it waits for the
/// answer.
pub(crate) const KEEP_ALIVE: [std::time::Duration; 2] =
    [std::time::Duration::from_secs(2), std::time::Duration::from_secs(5)];
