//! Ctrl-C and SIGTERM: the first asks the run to end and keep what it has, the second ends it.

use crate::exit::Exit;
use crate::live;
use anyhow::Context;
use dataplane::run::Stop;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::Arc;

/// A stop that signals set, from now until the end of the process.
///
/// # Errors
/// When the system refuses a handler or a thread.
pub fn stop() -> anyhow::Result<Arc<Stop>> {
    let stop = Arc::new(Stop::new());
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot catch signals")?;
    let asked = stop.clone();
    let wait = move || {
        for _ in signals.forever() {
            if asked.is_set() {
                std::process::exit(Exit::Interrupted.code().into());
            }
            asked.set();
            live::say(
                "interrupted: ending the run and keeping what was measured; once more ends at once",
            );
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).context("no thread")?;
    Ok(stop)
}
