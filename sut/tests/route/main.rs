//! How a core tells the router which packets it wants: the BGP session, its messages read and
//! written by a codec that shares no code with ours (zettabgp).

mod connection;
mod messages;
mod rig;
mod session;
