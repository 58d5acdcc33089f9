//! Processes that a test starts: none is waited for without end.
//!
//! What is kept of one that is to end is what fits into a pipe.

use std::io::{BufRead, BufReader};
use std::process::{Child, Output};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long one may take: many times what it does.
const DEADLINE: Duration = Duration::from_secs(120);

/// Waits for its end; one that takes longer is killed, and fails the test.
#[track_caller]
pub fn ended(mut child: Child) -> Output {
    let begun = Instant::now();
    while child.try_wait().expect("ours").is_none() {
        if begun.elapsed() > DEADLINE {
            let _ = child.kill();
            panic!("not at its end after {DEADLINE:?}: {:?}", child.wait_with_output());
        }
        thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().expect("ours")
}

/// The first line of its standard output.
#[track_caller]
pub fn first_line(child: &mut Child) -> String {
    let stdout = child.stdout.take().expect("a pipe");
    let (tell, heard) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        let _ = tell.send(read.map(|_| line));
    });
    heard.recv_timeout(DEADLINE).expect("it says something").expect("a line")
}
