//! What the fuzz targets have in common: a core of Krononat that is cheap to make, the packets they
//! send to it, and what must be true of whatever comes out.
//!
//! A target turns its input into events for a [`Core`] and says what it knows beforehand of their
//! outcome. Everything else is checked on the way: a verdict for each frame, counters that add up,
//! no frame lost, and the [`oracle`]. It computes sums from scratch, and shares no code with
//! the NAT; packets are made by etherparse.
//!
//! One input gives one history, always the same: time, seed and ports come from nowhere else.
#![forbid(unsafe_code)]

pub mod bench;
pub mod history;
pub mod oracle;
pub mod packet;
pub mod ports;

pub use bench::{Core, Fate};
