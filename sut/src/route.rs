//! How a core tells the network which packets it wants.
//!
//! Every core is an independent router with a BGP session of its own, on its own port, served by the
//! thread that moves its packets: [`bgp`] is the session, [`tcp`] the connection below it,
//! [`announce`] what is to be announced; [`Speaker`] joins them. [`crate::cluster`] owns it, between
//! bursts.
//!
//! It refuses to be a router: it has no table, and takes no routes.

pub mod announce;
pub mod bgp;
mod speaker;
pub mod tcp;

pub use speaker::{Prefix, Settings, Speaker};
