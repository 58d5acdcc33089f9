//! An agent started over ssh, for as long as its session lasts.
//!
//! The system's `ssh` runs `krono agent --stdio` on the other machine, and the session's own pipes
//! are the connection: no port is opened there, and whoever may log in there may do this. Keys,
//! hosts and users are the business of ssh and its configuration.

use anyhow::Context;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a session may take to end once its connection is closed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Time between two looks at it.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A session; ended when dropped.
pub(super) struct Session {
    child: Child,
}

impl Session {
    /// Starts one, and returns our end of its pipes. What it complains of goes to standard error.
    pub(super) fn start(
        target: &str,
        options: &[String],
        krono: &str,
    ) -> anyhow::Result<(Session, UnixStream)> {
        let (ours, theirs) = UnixStream::pair().context("a pair of sockets")?;
        let both = theirs.try_clone().context("a socket")?;
        // Never a question, which nobody would see; `--` because a name is no option.
        let mut command = Command::new("ssh");
        command.args(["-T", "-o", "BatchMode=yes"]).args(options).arg("--").arg(target);
        command.arg(format!("{} agent --stdio", quoted(krono)));
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::from(OwnedFd::from(both)));
        // An interrupt of the terminal is for the controller alone: it ends its sessions in order.
        let child = command.process_group(0).spawn().context("ssh: is it installed?")?;
        Ok((Session { child }, ours))
    }
}

/// As one word of a POSIX shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

impl Drop for Session {
    fn drop(&mut self) {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(LOOK_EVERY);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_whatever_it_holds() {
        for path in ["krono", "/opt/my krono/krono", "a'b; reboot"] {
            let line = format!("printf %s {}", quoted(path));
            let output = Command::new("sh").args(["-c", &line]).output().expect("a shell");
            assert_eq!(String::from_utf8_lossy(&output.stdout), path);
        }
    }
}
