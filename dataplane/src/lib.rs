//! What one core needs to move packets; shared by the generator and the system under test.
//!
//! A core is a value: [`worker::Worker::step`] receives a burst, works on it and sends it, and takes
//! the time as an argument, so that one body of code runs under DPDK, in a thread, in virtual time
//! and under test. Ports are chosen once at start-up and monomorphised; nothing here is `dyn` on
//! the packet path, and nothing is shared between cores but counters with a single writer.
//!
//! This crate knows nothing of NAT, of traffic models or of files people exchange.
#![deny(unsafe_code)]

pub mod bfd;
pub mod burst;
pub mod clock;
pub mod counter;
pub mod cpu;
pub mod frame;
pub mod hub;
pub mod identity;
pub mod memory;
pub mod port;
pub mod router;
pub mod run;
pub mod steering;
pub mod switch;
pub mod thread;
pub mod wire;
pub mod worker;
