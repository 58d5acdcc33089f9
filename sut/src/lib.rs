//! Krononat: a share-nothing connection-tracking NAT44, and a stateful firewall for IPv4 and IPv6.
//!
//! Every core is an independent router with its own addresses, subscribers and state, and runs each
//! packet to completion on one thread: *rx → parse → look up → translate → tx*. Read [`pipeline`]
//! first; it names the file of each stage. Both directions of a connection meet on one core, so
//! nothing about a connection is shared and nothing is locked.
//!
//! What it refuses is dropped and counted by reason ([`verdict`]).
#![forbid(unsafe_code)]

pub mod baseline;
pub mod cluster;
pub mod config;
pub mod connections;
pub mod conntrack;
pub mod cuckoo_plus_plus;
mod exceeded;
pub mod firewall6;
pub mod forwarder;
pub mod life;
mod local;
pub mod membership;
pub mod pipeline;
pub mod placement;
pub mod ports;
mod recent;
pub mod replicate;
pub mod report;
pub mod route;
pub mod server;
pub mod shard;
pub mod table;
pub mod timer;
mod translate;
pub mod verdict;
pub mod worker;
