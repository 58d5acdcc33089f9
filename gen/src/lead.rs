//! Orders of a generator server that is led: by a controller that has several of them begin each
//! phase at one instant.
//!
//! They come line by line on standard input, before or after the cores are ready for them, and are
//! instants on the clock of this process: the controller knows how that clock differs from others.
//! An order that comes after its own instant is followed at once, and said to be late.

use dataplane::clock::Nanos;
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, PoisonError};

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Order {
    /// Begin a phase, counted from 0, at an instant.
    Begin {
        /// The phase.
        phase: usize,
        /// Its start.
        start: Nanos,
    },
}

/// Text that is no order.
#[derive(Debug, thiserror::Error)]
#[error("`{text:.80}` is no order, such as {{\"begin\":{{\"phase\":0,\"start\":5}}}} ({source})")]
pub struct NotAnOrder {
    text: String,
    source: serde_json::Error,
}

/// The orders so far.
#[derive(Debug, Default)]
pub struct Lead {
    starts: Mutex<Vec<(usize, Nanos)>>,
}

impl Lead {
    /// Takes a line.
    ///
    /// # Errors
    /// When it is no order.
    pub fn hear(&self, line: &str) -> Result<(), NotAnOrder> {
        let order = serde_json::from_str(line)
            .map_err(|source| NotAnOrder { text: line.to_owned(), source })?;
        let Order::Begin { phase, start } = order;
        // Nobody panics with it.
        let mut starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
        starts.push((phase, start));
        Ok(())
    }

    /// When a phase is to begin, once that has been ordered; the latest order counts.
    pub fn start_of(&self, phase: usize) -> Option<Nanos> {
        let starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
        starts.iter().rev().find(|(of, _)| *of == phase).map(|(_, start)| *start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_begins_when_it_was_ordered_to_last() {
        let lead = Lead::default();
        assert_eq!(lead.start_of(0), None);
        for (phase, start) in [(0, 7), (1, 9), (0, 8)] {
            let order = Order::Begin { phase, start: Nanos(start) };
            let line = serde_json::to_string(&order).expect("serialises");
            lead.hear(&line).expect("an order");
        }
        let starts = [0, 1, 2].map(|phase| lead.start_of(phase));
        assert_eq!(starts, [Some(Nanos(8)), Some(Nanos(9)), None]);
    }

    #[test]
    fn what_is_no_order_is_refused_and_quoted() {
        let lead = Lead::default();
        for line in ["", "{}", "{\"begin\":{}}", "{\"end\":1}", "begin 0 5"] {
            let error = lead.hear(line).expect_err(line).to_string();
            assert!(error.starts_with(&format!("`{line}`")) && error.contains("phase"), "{error}");
        }
        assert_eq!(lead.start_of(0), None);
    }
}
