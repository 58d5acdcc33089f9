//! Packet headers as plain structs over the bytes of a frame.
//!
//! Every header is a `zerocopy` view: `Ipv4::ref_from_prefix(bytes)` checks the length once, after
//! which fields are fields, in network order where they have more than one byte. Code that meets
//! foreign bytes goes through [`parse`], which is total: any input yields either what the frame is
//! or one [`Malformed`] reason, each fit for a drop counter of its own. IPv6 has [`parse6`].
//!
//! This module knows no connections and keeps no state. It refuses VLAN tags and reassembly:
//! such frames are reported as what they are, and callers count and drop them.

pub mod arp;
pub mod bfd;
pub mod checksum;
mod endpoint;
pub mod ethernet;
pub mod icmp;
pub mod icmp6;
pub mod ipv4;
pub mod ipv6;
mod parse;
mod parse6;
mod plain;
pub mod tcp;
pub mod udp;

pub use endpoint::{ENDPOINT_BITS, Endpoint};
pub use parse::{Datagram, Fragment, Malformed, Parsed, Transport, parse};
pub use parse6::{Datagram6, Malformed6, Quote6, Transport6, parse6, quote6};
pub use plain::{Plain, TRANSPORT_AT, flaws, is_plain};
