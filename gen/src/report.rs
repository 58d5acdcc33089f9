//! What `kronogen` says on its standard output, one JSON object per line.

use crate::run::{Notice, Sample};
use crate::trial::Record;
use dataplane::clock::Nanos;
use dataplane::router::Event;
use serde::{Deserialize, Serialize};

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// Every port is open: whoever is to connect may do so.
    Listening {
        /// Number of cores.
        cores: usize,
    },
    /// Every core has its memory: one that is led awaits its orders.
    Stands,
    /// A phase, counted from 0, begins at this instant.
    Begins {
        /// The phase.
        phase: usize,
        /// Its start, on the clock of this process.
        start: Nanos,
        /// How long after it the cores could have heard of it at the earliest: 0 but where the
        /// order came too late. They begin at once then, and send what they have missed in a burst.
        #[serde(default)]
        late_ns: u64,
    },
    /// A phase has ended and drained on all cores.
    Ended {
        /// The phase.
        phase: usize,
    },
    /// How each core does.
    Sample {
        /// When.
        now: Nanos,
        /// A row per core.
        rows: Vec<Sample>,
    },
    /// The router of the network has noticed or done something.
    Router(Event),
    /// The end: per core, its records.
    Records(Vec<Vec<Record>>),
}

impl Line {
    /// What is said of `notice` at the instant `now`.
    pub fn new(notice: Notice<'_>, now: Nanos) -> Line {
        match notice {
            Notice::Begins(phase, start) => {
                Line::Begins { phase, start, late_ns: now.since(start).0 }
            }
            Notice::Ended(phase) => Line::Ended { phase },
            Notice::Sample(now, rows) => Line::Sample { now, rows: rows.to_vec() },
        }
    }
}
