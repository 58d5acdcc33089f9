//! Processes that a test starts: none is waited for without end.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Output};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// How long one may take: many times what it does.
const DEADLINE: Duration = Duration::from_secs(120);

/// Waits for its end; one that takes longer is killed, and fails the test. So does one whose outputs
/// are held open by somebody else.
#[track_caller]
pub(crate) fn ended(mut child: Child) -> Output {
    let (stdout, stderr) = (all_of(child.stdout.take()), all_of(child.stderr.take()));
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("ours") {
            break status;
        }
        if begun.elapsed() > DEADLINE {
            let _ = child.kill();
            let said = stderr.recv_timeout(Duration::from_secs(5)).unwrap_or_default();
            panic!("not at its end after {DEADLINE:?}: {}", String::from_utf8_lossy(&said));
        }
        thread::sleep(Duration::from_millis(10));
    };
    let [stdout, stderr] =
        [stdout, stderr].map(|all| all.recv_timeout(DEADLINE).expect("nobody else writes"));
    Output { status, stdout, stderr }
}

fn all_of(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (tell, all) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
        let _ = tell.send(bytes);
    });
    all
}

/// What follows `prefix` in the first line of an output that begins with it; the rest is passed on.
#[track_caller]
pub(crate) fn line_after(prefix: &'static str, pipe: Option<impl Read + Send + 'static>) -> String {
    let pipe = pipe.expect("a pipe");
    let (tell, heard) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            match line.strip_prefix(prefix) {
                Some(rest) => drop(tell.send(rest.to_owned())),
                None => eprintln!("{line}"),
            }
        }
    });
    heard.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("no line `{prefix}…`"))
}
