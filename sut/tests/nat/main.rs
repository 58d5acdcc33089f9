//! The NAT of one core, fed packets that etherparse made and judged by what comes out.

mod against_etherparse;
mod against_model;
mod both_families;
mod fragments;
mod fragments6;
mod model;
mod no_alloc;
mod packets;
mod protection;
mod rig;
mod turns;
