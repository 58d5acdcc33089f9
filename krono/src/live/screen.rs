//! A terminal whose last lines are the run.
//!
//! The lines are written over five times a second, in as much room as the terminal has at that
//! moment. What stood above them stays, and at the end they are gone. Whatever else is said on
//! stderr while they stand goes through [`say`], or the next time would write over it.

use super::page::page;
use super::view::View;
use super::{Observation, Pace};
use crate::term;
use console::Term;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time between two looks.
const REDRAW_EVERY: Duration = Duration::from_millis(200);

/// Columns of each line that stands on stderr, of which a process has one.
static STANDING: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// Writes a line to stderr that stays: where the run stands there, above it.
pub fn say(line: &str) {
    over(|term, _| term.write_line(line));
}

/// The last lines of a terminal.
pub struct Screen {
    colours: bool,
    pace: Pace,
    view: View,
}

impl Screen {
    pub(super) fn stderr() -> Screen {
        Screen {
            colours: term::colour(&io::stderr()),
            pace: Pace::new(REDRAW_EVERY),
            view: View::default(),
        }
    }

    pub(super) fn observe(&mut self, observation: &Observation, now: Instant) {
        self.view.add(observation);
        if self.pace.due(now) {
            over(|term, standing| self.draw(term, standing));
            self.view.begin();
        }
    }

    pub(super) fn clear(&mut self) {
        over(|_, _| Ok(()));
    }

    fn draw(&self, term: &Term, standing: &mut Vec<usize>) -> io::Result<()> {
        let (height, width) = term.size();
        // A column and a row stay free: a full line may wrap, and behind the last one is the cursor.
        let (width, height) = (width.saturating_sub(1).max(1), height.saturating_sub(1).max(1));
        for line in page(&self.view, width.into(), height.into()) {
            term.write_line(&line.text(self.colours))?;
            standing.push(line.width());
        }
        Ok(())
    }
}

/// Erases what stands and writes in its place, in one piece. A terminal that is gone is no reason to
/// stop a run.
fn over(write: impl FnOnce(&Term, &mut Vec<usize>) -> io::Result<()>) {
    let mut standing = STANDING.lock().unwrap_or_else(PoisonError::into_inner);
    let term = Term::buffered_stderr();
    let written = erase(&term, &mut standing).and_then(|()| write(&term, &mut standing));
    let _ = written.and_then(|()| term.flush());
}

fn erase(term: &Term, standing: &mut Vec<usize>) -> io::Result<()> {
    if standing.is_empty() {
        return Ok(());
    }
    let width = usize::from(term.size().1).max(1);
    // A terminal that has become narrower has broken what was wider.
    let rows = standing.drain(..).map(|columns| columns.div_ceil(width).max(1)).sum();
    term.move_cursor_up(rows)?;
    term.write_str("\r")?;
    term.clear_to_end_of_screen()
}
