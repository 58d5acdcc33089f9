//! A program that tells lines of JSON on its standard output and ends with its standard input: a
//! process of this machine, or one that an agent runs elsewhere.

mod local;

pub use local::{beside, start};

use anyhow::{bail, ensure};
use nix::sys::signal::Signal;
use serde::de::DeserializeOwned;
use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

/// How long a program may take to start, and to end once asked.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How a program has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Its exit code, where it was not ended by a signal.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

impl End {
    /// Whether it ended well.
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exit code {code}"),
            (None, Some(signal)) => write!(f, "signal {signal}"),
            (None, None) => f.write_str("unknown end"),
        }
    }
}

/// What can be done to a program, wherever it runs. It is killed when this is dropped.
pub trait Program: Send {
    /// Sends it a signal.
    ///
    /// # Errors
    /// When the system refuses.
    fn signal(&mut self, signal: Signal) -> anyhow::Result<()>;

    /// Writes a line to its standard input.
    ///
    /// # Errors
    /// When it no longer reads.
    fn say(&mut self, line: String) -> anyhow::Result<()>;

    /// Closes its standard input, on which it ends.
    fn close_input(&mut self);

    /// Its end, if that comes in time.
    ///
    /// # Errors
    /// When nobody knows what became of it.
    fn end_within(&mut self, patience: Duration) -> anyhow::Result<Option<End>>;
}

/// Text as a line `L`.
///
/// # Errors
/// Says why it is none, and quotes it.
pub fn parsed<L: DeserializeOwned>(line: &str) -> Result<L, String> {
    serde_json::from_str(line).map_err(|error| format!("{error} in the line {line:.200}"))
}

/// A running program that tells lines `L`; killed when dropped.
pub struct Server<L> {
    name: String,
    program: Box<dyn Program>,
    lines: Receiver<Result<L, String>>,
    heard: Instant,
}

impl<L> Server<L> {
    /// A program called `name` in whatever goes wrong with it. `lines` end with its output.
    pub fn new(
        name: String,
        lines: Receiver<Result<L, String>>,
        program: Box<dyn Program>,
    ) -> Server<L> {
        Server { name, program, lines, heard: Instant::now() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long ago it has said something, as far as that has been read.
    pub fn silent_for(&self) -> Duration {
        self.heard.elapsed()
    }

    fn told(&mut self, line: Result<L, String>) -> anyhow::Result<L> {
        self.heard = Instant::now();
        line.map_err(|error| anyhow::anyhow!("{}: {error}", self.name))
    }

    /// How it has ended, whose output has.
    fn ended(&mut self) -> anyhow::Result<End> {
        match self.program.end_within(PATIENCE) {
            Ok(Some(end)) => Ok(end),
            Ok(None) => bail!("{} has closed its output and not ended", self.name),
            Err(error) => Err(error.context(self.name.clone())),
        }
    }

    /// The next line; `None` at the end of the output.
    pub fn hear(&mut self) -> anyhow::Result<Option<L>> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => self.told(line).map(Some),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                bail!("{} has said nothing for {PATIENCE:?}", self.name)
            }
        }
    }

    /// The next line if it comes in time; the end of the output is an error.
    pub fn next_within(&mut self, patience: Duration) -> anyhow::Result<Option<L>> {
        match self.lines.recv_timeout(patience) {
            Ok(line) => self.told(line).map(Some),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                let end = self.ended()?;
                bail!("{} ended early, {end}: its reason is above", self.name)
            }
        }
    }

    /// Every line that is there; its end if it has ended.
    pub fn drain(&mut self, mut take: impl FnMut(L)) -> anyhow::Result<Option<End>> {
        loop {
            match self.lines.try_recv() {
                Ok(line) => take(self.told(line)?),
                Err(TryRecvError::Empty) => return Ok(None),
                Err(TryRecvError::Disconnected) => return self.ended().map(Some),
            }
        }
    }

    /// Sends a signal.
    pub fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        self.program.signal(signal)
    }

    /// Writes a line to its standard input.
    pub fn say(&mut self, line: String) -> anyhow::Result<()> {
        self.program.say(line)
    }

    /// Closes its standard input, on which a supervised process ends.
    pub fn ask_to_end(&mut self) {
        self.program.close_input();
    }

    /// Waits for its end.
    pub fn end(&mut self) -> anyhow::Result<()> {
        self.ask_to_end();
        match self.program.end_within(PATIENCE) {
            Ok(Some(end)) => {
                ensure!(end.success(), "{}: {end}", self.name);
                Ok(())
            }
            Ok(None) => bail!("{} has not ended {PATIENCE:?} after it was asked to", self.name),
            Err(error) => Err(error.context(self.name.clone())),
        }
    }
}
