//! A program that measures slices when asked, as a process of its own.

use super::Unfit;
use crate::slices::{Hello, PROTOCOL, Slice, Work};
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// How a program is started.
#[derive(Clone, Debug)]
pub(super) struct Start<'a> {
    /// The program.
    pub(super) program: &'a Path,
    /// What runs it, with its arguments, such as valgrind; empty for nothing.
    pub(super) under: Vec<OsString>,
    /// Arguments of `slices`: scenario, settings, processor.
    pub(super) arguments: &'a [OsString],
}

/// A program that is ready.
pub(super) struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    name: String,
    /// What it said of itself.
    pub(super) hello: Hello,
}

impl Program {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// One that cannot be started, does not know slices, or ends before it is ready.
    pub(super) fn start(start: &Start<'_>) -> Result<Program, Unfit> {
        let name = start.program.display().to_string();
        let mut line = start.under.clone();
        line.push(start.program.as_os_str().to_owned());
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).arg("slices").args(start.arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|error| Unfit::NotStarted { name: name.clone(), why: error.to_string() })?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let stdout = stdout.map(BufReader::new);
        let Some(mut stdout) = stdout else {
            return Err(Unfit::NotStarted { name, why: "no pipe".to_owned() });
        };
        let mut said = String::new();
        // An error reads as silence: what there is to say is on its stderr.
        let _ = stdout.read_line(&mut said);
        match serde_json::from_str::<Hello>(&said) {
            Ok(hello) if hello.protocol == PROTOCOL => {
                Ok(Program { child, stdin, stdout, name, hello })
            }
            Ok(hello) => Err(Unfit::Protocol { name, found: hello.protocol }),
            Err(_) => {
                drop(stdin);
                Err(refused(child, name))
            }
        }
    }

    /// Has it do some work.
    ///
    /// # Errors
    /// When it ends instead.
    pub(super) fn slice(&mut self, work: &Work) -> Result<Slice, Unfit> {
        let mut said = String::new();
        let asked = serde_json::to_string(work).unwrap_or_default();
        let stdin = self.stdin.as_mut();
        let told = stdin.is_some_and(|stdin| writeln!(stdin, "{asked}").is_ok());
        if told {
            let _ = self.stdout.read_line(&mut said);
        }
        serde_json::from_str(&said).map_err(|_| self.ended())
    }

    /// Tells it that there is no more to do, and waits for its end.
    pub(super) fn end(mut self) -> Result<(), Unfit> {
        drop(self.stdin.take());
        match self.child.wait() {
            Ok(status) if status.success() => Ok(()),
            _ => Err(self.ended()),
        }
    }

    fn ended(&mut self) -> Unfit {
        drop(self.stdin.take());
        let why = last_words(&mut self.child);
        Unfit::Ended { name: self.name.clone(), why }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Why a program said nothing that is understood.
fn refused(mut child: Child, name: String) -> Unfit {
    let why = last_words(&mut child);
    let unknown = why.contains("unrecognized subcommand") || why.contains("invalid subcommand");
    match unknown {
        true => Unfit::TooOld { name },
        false => Unfit::Ended { name, why },
    }
}

/// The end of what it said on stderr.
fn last_words(child: &mut Child) -> String {
    let _ = child.kill();
    let mut said = Vec::new();
    if let Some(mut stderr) = child.stderr.take() {
        let _ = std::io::Read::read_to_end(&mut stderr, &mut said);
    }
    let _ = child.wait();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let first = lines.len().saturating_sub(3);
    lines[first..].join(" ")
}
