//! What `krononat` says on its standard output, one JSON object per line.

use crate::worker::Tally;
use dataplane::worker::{CoreId, ServerId};
use serde::{Deserialize, Serialize};

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// Every core has its port and its memory.
    Ready {
        /// Number of cores.
        cores: usize,
    },
    /// What each core has counted since it started.
    Cores(Vec<CoreReport>),
}

/// One core's counters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CoreReport {
    /// Server of the core.
    pub server: ServerId,
    /// The core.
    pub core: CoreId,
    /// What it has counted.
    pub tally: Tally,
}
