//! A multi-core stateful traffic generator: scenario → schedule → flow → burst → tx / rx → ledger →
//! record.
//!
//! Each core plays both sides of its connections: subscribers, and the Internet hosts they talk to.
//! It keeps 64 bytes per connection, verifies every packet that comes back and books it in exactly
//! one class of a [`ledger::Ledger`]. Everything it knows about the system under test it has learnt
//! from packets: this crate never depends on one, reads no memory of one, and knows no NAT.
//!
//! The testbeds of `krono` call [`run::run_cores`] with ports they have made; `kronogen` does the
//! same as a process of its own. [`worker::Generator`] is one core and can be driven step by step
//! in virtual time.
#![forbid(unsafe_code)]

pub mod attack;
pub mod config;
pub mod control;
pub mod ends;
pub mod evidence;
pub mod flow;
pub mod inspect;
pub mod latency;
pub mod lead;
pub mod ledger;
pub mod mix;
pub mod popularity;
pub mod population;
pub mod recovery;
pub mod report;
pub mod run;
mod sample;
pub mod schedule;
pub mod search;
pub mod segment;
pub mod stamp;
mod sum;
pub mod template;
pub mod trial;
pub mod tuple;
pub mod verdict;
pub mod worker;
