//! `krono check`: are these scenarios valid?
//!
//! Asks nothing of the machine: a scenario that is valid here is valid everywhere, whether it can
//! run here or not. Each mistake is a line `file:line: key: what is wrong; expected …`.

use crate::exit::{Answer, Exit};
use crate::scenario;
use format::RunOptions;
use std::fmt::Write;
use std::path::PathBuf;

/// Valid scenarios in the answer; what is wrong with the others to `complain`, in their order.
pub fn check(scenarios: &[PathBuf], mut complain: impl FnMut(&str)) -> Answer {
    let mut answer = Answer::good("");
    for file in scenarios {
        match scenario::resolve(file, &[], &RunOptions::default()) {
            Ok(_) => {
                let _ = writeln!(answer.text, "{}: valid", file.display());
            }
            Err(refusal) => {
                answer.exit = Exit::Usage;
                complain(&refusal.to_string());
            }
        }
    }
    answer
}
