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
    /// A phase, counted from 0, begins at this instant.
    Begins {
        /// The phase.
        phase: usize,
        /// Its start, on the clock of this process.
        start: Nanos,
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

impl From<Notice<'_>> for Line {
    fn from(notice: Notice<'_>) -> Line {
        match notice {
            Notice::Begins(phase, start) => Line::Begins { phase, start },
            Notice::Ended(phase) => Line::Ended { phase },
            Notice::Sample(now, rows) => Line::Sample { now, rows: rows.to_vec() },
        }
    }
}
