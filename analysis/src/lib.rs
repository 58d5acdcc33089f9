//! Records to statistics to plots and reports.
//!
//! [`load`] reads a run directory, [`stats`] holds the pure, seeded statistics, [`scaling`] and
//! [`latency`] turn a summary and a histogram log into curves, [`recovery`] says what each injected
//! event did, [`warn`](mod@warn) says what a reader must know before using a figure, [`comparable`]
//! what forbids setting two runs side by side, [`compare`] sets them side by side, [`gate`] judges
//! a candidate against its base, [`plot`] draws SVG, [`picture`] makes PNG of it and [`report`] writes
//! one self-contained page.
//! [`export`] writes what others read, [`history`] keeps what was found and [`trend`] says where it
//! changed. [`command`] is what people call of all this.
//!
//! This crate measures nothing and changes no record: what it prints is in the run directory or
//! computed from it by a documented formula. It depends on `format` alone, so a report can be made
//! on a machine that has neither DPDK nor the device that was tested. Its callers are `krono`
//! (warnings and terminal summary of a run, `krono report`) and the binary `krono-analysis`.

#![forbid(unsafe_code)]

pub mod command;
pub mod comparable;
pub mod compare;
pub mod export;
pub mod figure;
pub mod foreign;
pub mod gate;
pub mod grid;
pub mod history;
pub mod latency;
pub mod load;
pub mod picture;
pub mod plot;
pub mod recovery;
pub mod report;
pub mod scaling;
pub mod stats;
pub mod trend;
pub mod warn;

pub use load::Run;
