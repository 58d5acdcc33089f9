//! How a core tells the network which packets it wants.
//!
//! Every core is an independent router with a BGP session of its own, served by the thread that moves
//! its packets: [`bgp`] is that session. It does no input or output.

pub mod bgp;
