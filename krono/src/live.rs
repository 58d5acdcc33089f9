//! What a run shows while it lasts.
//!
//! On a terminal lines on stderr that renew themselves five times a second ([`screen`]); elsewhere
//! one plain line per second, and one for whatever happens; with `--format jsonl` one JSON object per
//! second on stdout. All show the same [`view::View`], summed from the samples since the last time.
//! Nothing here is kept or judged, and a stream that nobody reads any more is no reason to stop a
//! run.

mod page;
mod screen;
mod view;

use crate::testbed::Observation;
use screen::Screen;
pub use screen::say;
use std::io::Write;
use std::time::{Duration, Instant};
use view::View;

/// Time between two lines.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Where progress goes.
pub enum Live {
    /// Nowhere.
    Silent,
    /// To a terminal.
    Screen(Screen),
    /// A line per second.
    Lines(Lines),
}

impl Live {
    /// Lines that renew themselves on stderr.
    pub fn screen() -> Live {
        Live::Screen(Screen::stderr())
    }

    /// A line of text per second to `to`.
    pub fn text(to: Box<dyn Write>) -> Live {
        Live::lines(to, false)
    }

    /// A JSON object per second to `to`.
    pub fn jsonl(to: Box<dyn Write>) -> Live {
        Live::lines(to, true)
    }

    fn lines(to: Box<dyn Write>, json: bool) -> Live {
        Live::Lines(Lines { to, json, pace: Pace::new(LINE_EVERY), view: View::default() })
    }

    /// Takes note of what a testbed reports at `now`.
    pub fn observe(&mut self, observation: &Observation, now: Instant) {
        match self {
            Live::Silent => {}
            Live::Screen(screen) => screen.observe(observation, now),
            Live::Lines(lines) => lines.observe(observation, now),
        }
    }

    /// Clears what renews itself, so that the result stands alone.
    pub fn finish(&mut self) {
        if let Live::Screen(screen) = self {
            screen.clear();
        }
    }
}

/// When something was shown last.
struct Pace {
    every: Duration,
    last: Option<Instant>,
}

impl Pace {
    fn new(every: Duration) -> Pace {
        Pace { every, last: None }
    }

    /// Whether it is time again; if so, counts from `now`.
    fn due(&mut self, now: Instant) -> bool {
        let due = self.last.is_none_or(|last| now.saturating_duration_since(last) >= self.every);
        if due {
            self.last = Some(now);
        }
        due
    }
}

/// A stream of lines.
pub struct Lines {
    to: Box<dyn Write>,
    json: bool,
    pace: Pace,
    view: View,
}

impl Lines {
    fn observe(&mut self, observation: &Observation, now: Instant) {
        let begins = self.view.add(observation);
        if !self.json {
            for event in view::news(&observation.events) {
                self.say(&view::event_line(event));
            }
        }
        if !self.pace.due(now) && !begins {
            return;
        }
        let line = if self.json { self.view.json() } else { self.view.line() };
        self.say(&line);
        self.view.begin();
    }

    fn say(&mut self, line: &str) {
        let _ = writeln!(self.to, "{line}").and_then(|()| self.to.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("one thread").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn there_is_a_line_a_second_and_one_for_each_new_phase() {
        let shared = Shared::default();
        let mut live = Live::text(Box::new(shared.clone()));
        let start = Instant::now();
        for tenth in 0..25u64 {
            let phase = if tenth < 15 { "fill" } else { "steady" };
            let observation = view::tests::observation(phase, tenth as f64 / 10.0);
            live.observe(&observation, start + Duration::from_millis(100 * tenth));
        }
        live.finish();
        let text = String::from_utf8(shared.0.lock().expect("one thread").clone()).expect("text");
        let phases: Vec<&str> =
            text.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(phases, ["fill", "fill", "steady", "steady"], "{text}");
    }

    #[test]
    fn what_happens_is_said_at_once() {
        let shared = Shared::default();
        let mut live = Live::text(Box::new(shared.clone()));
        let start = Instant::now();
        live.observe(&view::tests::observation("fail", 0.1), start);
        let mut killed = view::tests::observation("fail", 0.2);
        killed.events = view::tests::events();
        live.observe(&killed, start + Duration::from_millis(100));
        let text = String::from_utf8(shared.0.lock().expect("one thread").clone()).expect("text");
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(lines, ["  0.150 s  injected  kill sut.server[1]"], "{text}");
    }
}
