//! Cores of a cluster on one in-memory network, in virtual time: what users of their connections
//! notice when one fails, leaves or returns.

mod copies;
mod rig;
mod service;
