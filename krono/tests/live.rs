//! What a run shows on a terminal, read from a pseudo-terminal through an emulator of one that shares
//! no code with ours.

use format::sample::EventKind;
use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longest time anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came from the command: every byte, and what a terminal shows of them.
struct Shown {
    bytes: Vec<u8>,
    terminal: vt100::Parser,
}

/// A process that a test which fails does not leave behind.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// A run with its stderr on a terminal.
struct Run {
    child: Started,
    shown: Arc<Mutex<Shown>>,
    reader: JoinHandle<()>,
    /// The side that the command has: sizes are set here.
    terminal: File,
    _folder: TempDir,
}

/// A cluster of which a server is killed in the first second, in virtual time, for so long that only
/// a signal ends it.
fn command(folder: &Path) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut command = Command::new(env!("CARGO_BIN_EXE_krono"));
    command.arg("run").arg(root.join("scenarios/server-failure.toml"));
    command.args(["--testbed", "sim", "--set", "phase.fail.for=60s", "--set"]);
    command
        .args(["phase.fail.rate=512kpps", "--set", "phase.fail.at=100ms..110ms", "--out"])
        .arg(folder.join("run"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).env_remove("NO_COLOR").env("TERM", "xterm");
    command
}

impl Run {
    fn start(columns: u16, rows: u16, adapt: impl FnOnce(&mut Command)) -> Run {
        let folder = tempfile::tempdir().expect("a folder");
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let OpenptyResult { master, slave } = openpty(Some(&size), None).expect("a terminal");
        let mut command = command(folder.path());
        adapt(&mut command);
        command.stderr(slave.try_clone().expect("a descriptor"));
        let child = Started(command.spawn().expect("krono starts"));
        drop(command);
        let terminal = vt100::Parser::new(rows, columns, 0);
        let shown = Arc::new(Mutex::new(Shown { bytes: Vec::new(), terminal }));
        let (to, mut from) = (Arc::clone(&shown), File::from(master));
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // An error is the end: nobody has the other side any more.
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                let mut shown = to.lock().expect("a reader");
                shown.bytes.extend_from_slice(&buffer[..count]);
                shown.terminal.process(&buffer[..count]);
            }
        });
        Run { child, shown, reader, terminal: slave.into(), _folder: folder }
    }

    /// The rows that are not empty.
    fn rows(&self) -> Vec<String> {
        rows(&self.shown.lock().expect("a reader").terminal)
    }

    /// Waits until what is shown is as wanted, and returns it.
    fn wait(&self, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
        let begin = Instant::now();
        loop {
            let rows = self.rows();
            if wanted(&rows) {
                return rows;
            }
            assert!(begin.elapsed() < PATIENCE, "never shown: {rows:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn resize(&self, columns: u16, rows: u16) {
        let mut shown = self.shown.lock().expect("a reader");
        let (columns_text, rows_text) = (columns.to_string(), rows.to_string());
        let status = Command::new("stty")
            .args(["cols", &columns_text, "rows", &rows_text])
            .stdin(self.terminal.try_clone().expect("a descriptor"))
            .status();
        assert!(status.expect("stty").success());
        shown.terminal.screen_mut().set_size(rows, columns);
    }

    /// Ends the run: every byte that it has written to the terminal, and the rows left there.
    fn end(mut self) -> (String, Vec<String>) {
        let child = &mut self.child.0;
        kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).expect("it runs");
        let status = child.wait().expect("it ends");
        assert_eq!(status.code(), Some(130));
        drop(self.terminal);
        self.reader.join().expect("it ends with the terminal");
        let shown = self.shown.lock().expect("nobody else");
        (String::from_utf8_lossy(&shown.bytes).into_owned(), rows(&shown.terminal))
    }
}

fn rows(terminal: &vt100::Parser) -> Vec<String> {
    let screen = terminal.screen();
    let rows = screen.rows(0, screen.size().1).map(|row| row.trim_end().to_owned());
    rows.filter(|row| !row.is_empty()).collect()
}

/// Once the server is gone and somebody else serves.
fn taken_over(rows: &[String]) -> bool {
    let takeover = EventKind::Takeover.to_string();
    rows.iter().any(|row| row.contains(&takeover)) && has(rows, "sut 1.0")
}

/// Rows of cores.
fn cores(rows: &[String]) -> usize {
    rows.iter().filter(|row| row.starts_with("  gen ") || row.starts_with("  sut ")).count()
}

fn has(rows: &[String], text: &str) -> bool {
    rows.iter().any(|row| row.contains(text))
}

#[test]
fn a_terminal_shows_the_run_and_what_happens_at_any_size() {
    let run = Run::start(100, 30, |_| {});
    let rows = run.wait(taken_over);
    assert!(rows[0].starts_with("fail  ") && rows[0].ends_with("s left"), "{rows:#?}");
    for part in [
        "Mpps",
        "missing",
        "connections",
        "latency p50",
        "dropped by the SUT",
        "kill sut.server[0]",
    ] {
        assert!(has(&rows, part), "no {part}: {rows:#?}");
    }
    assert!(cores(&rows) == 3 && has(&rows, " of   0."), "both rates of each core: {rows:#?}");
    // Half as wide: the same in other lines, and nothing of what stood there before.
    run.resize(40, 30);
    let narrow = |rows: &[String]| {
        rows.iter().all(|row| row.chars().count() < 40) && cores(rows) == 3 && taken_over(rows)
    };
    let rows = run.wait(narrow);
    for part in ["Mpps", "missing", "connections", "latency p50", "s left"] {
        assert!(has(&rows, part), "no {part}: {rows:#?}");
    }
    assert!(!has(&rows, " of   0."), "a core has one rate: {rows:#?}");
    // So low that not all cores have room, and as wide as before.
    run.resize(100, 6);
    let rows = run.wait(|rows| has(rows, "more core"));
    assert!(rows.len() < 6 && rows[0].starts_with("fail"), "{rows:#?}");
    let (text, rows) = run.end();
    assert!(!has(&rows, "Mpps"), "the result stands alone: {rows:#?}");
    assert!(text.contains("\u{1b}[31minjected\u{1b}[0m"), "colours");
}

#[test]
fn colour_is_left_out_where_it_is_not_wanted() {
    let run = Run::start(100, 30, |command| {
        command.env("NO_COLOR", "1");
    });
    run.wait(taken_over);
    let (text, _) = run.end();
    assert!(text.contains("\u{1b}[") && !text.contains("\u{1b}[3"), "moves and erases, no colours");
}

#[test]
fn a_terminal_of_which_nothing_is_known_gets_plain_lines() {
    for term in [Some("dumb"), Some(""), None] {
        let run = Run::start(200, 50, |command| {
            match term {
                Some(term) => command.env("TERM", term),
                None => command.env_remove("TERM"),
            };
        });
        run.wait(|rows| has(rows, "  injected  kill sut.server[0]") && has(rows, "Mpps, missing "));
        let (text, _) = run.end();
        assert!(!text.contains('\u{1b}'), "TERM {term:?}: {text}");
    }
}

#[test]
fn what_is_said_meanwhile_stays() {
    let run = Run::start(100, 30, |_| {});
    run.wait(taken_over);
    let (_, rows) = run.end();
    let [row] = &rows[..] else { panic!("{rows:#?}") };
    assert!(row.starts_with("interrupted: ending the run"), "{row}");
}

#[test]
fn without_a_terminal_there_are_lines_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = command(folder.path());
    command.args(["--set", "phase.fail.for=300ms"]).stderr(Stdio::piped());
    let output = command.spawn().and_then(Child::wait_with_output).expect("krono runs");
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().collect();
    assert!(!text.contains('\u{1b}'), "{text}");
    for part in ["fill", "fail  ", "validate", "  injected  kill sut.server[0]", "  takeover  "] {
        assert!(lines.iter().any(|line| line.contains(part)), "no {part}: {text}");
    }
}
