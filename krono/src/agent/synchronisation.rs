//! What the daemons say that keep this machine's clock, for the record.
//!
//! Nothing is decided by it: the difference of clocks that counts is probed ([`super::clock`]). A
//! daemon that is not there, or takes longer than [`PATIENCE`], has said nothing.

use super::wire::Synchronisation;
use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Time between two looks at it.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Longest answer kept, in bytes.
const ANSWER_MAX: u64 = 4096;

/// Asks both.
pub(super) fn found() -> Synchronisation {
    Synchronisation {
        chrony: answer("chronyc", &["-n", "tracking"]),
        ptp: answer("pmc", &["-u", "-b", "0", "GET TIME_STATUS_NP"]),
    }
}

/// What a program says that ends well and in time.
fn answer(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return String::new() };
    let begun = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(None) if begun.elapsed() < PATIENCE => thread::sleep(LOOK_EVERY),
            Ok(status) => break status,
            Err(_) => break None,
        }
    };
    let mut text = String::new();
    if status.is_some_and(|status| status.success()) {
        if let Some(stdout) = child.stdout.take() {
            let _ = stdout.take(ANSWER_MAX).read_to_string(&mut text);
        }
    } else {
        let _ = child.kill();
        let _ = child.wait();
    }
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ends_well_and_in_time_has_said_something() {
        assert_eq!(answer("echo", &["stratum", "2"]), "stratum 2");
        assert_eq!(answer("false", &[]), "");
        assert_eq!(answer("no-such-daemon", &[]), "");
        let begun = Instant::now();
        assert_eq!(answer("sleep", &["60"]), "");
        assert!(begun.elapsed() < 2 * PATIENCE);
    }
}
