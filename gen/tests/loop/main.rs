//! Generator cores in virtual time, on links that are perfect or broken in known ways.

mod attack;
mod controls;
mod direction;
mod faults;
mod fill;
mod fingerprint;
mod phases;
mod quiet;
mod rig;
mod short;
mod uneven;
mod verdict;
