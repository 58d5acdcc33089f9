//! The `krono` command as a library: what `main` calls and tests reach.
//!
//! A command is a function from its arguments to an [`exit::Answer`]: text for stdout and an exit
//! code. [`cli`] says what may be asked, [`scenario`] reads what is to be run, [`capacity`]
//! compares it with the machine, the testbeds run it and [`rundir`] keeps what they found. This is the only
//! crate that knows both the generator and the system under test.
//!
//! It moves no packet itself, decides nothing about the figures (that is written down in
//! `docs/commands.md` and computed in one place from what was counted) and changes no setting of
//! the machine.

#![forbid(unsafe_code)]

pub mod agent;
pub mod capacity;
pub mod check;
pub mod cli;
pub mod doctor;
pub mod energy;
mod evidence;
pub mod exit;
pub mod explain;
pub mod gate;
pub mod host;
pub mod interrupt;
pub mod layout;
pub mod live;
pub mod machine;
pub mod metrics;
pub mod paper;
pub mod peer;
pub mod replay;
pub mod report;
pub mod run;
pub mod rundir;
pub mod scenario;
pub mod schema;
pub mod slices;
mod specimens;
pub mod suite;
pub mod summarise;
pub mod term;
pub mod testbed;
