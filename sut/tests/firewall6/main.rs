//! The IPv6 firewall of one core, fed packets that etherparse made and judged by what comes out.

mod histories;
mod model;
mod no_alloc;
mod own;
mod packets;
mod rig;
