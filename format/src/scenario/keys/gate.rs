//! Keys of `[gate]`.

use crate::unit::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What `krono gate` asks of a candidate. Changes are shares of the base: 0.03 is 3 % worse.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GateKeys {
    /// Probability of a false alarm over all metrics, above 0 and at most 0.1.
    pub alpha: f64,
    /// Most pairs of programs measured, 7 to 1,024.
    pub pairs: u32,
    /// Most time for them; what has been measured by then is judged.
    pub limit: Duration,
    /// Instructions that a packet or a connection may cost more in any stage.
    pub instructions: f64,
    /// Metrics that are asked for more or less than others, such as
    /// `"open.cycles_per_connection" = { tolerated = 0.02, looked_for = 0.03, must_see = 0.06 }`:
    /// what is no regression (0.005), what ends the gate when it is excluded (0.015), and what the
    /// gate must have been able to see to say `pass` (0.03). Metrics:
    /// `forward.cycles_per_packet`, `open.cycles_per_connection`,
    /// `expire.cycles_per_connection`, and of stored runs `sut.cycles_per_packet`,
    /// `throughput.mpps_per_core`.
    pub metrics: BTreeMap<String, GateMetricKeys>,
}

impl Default for GateKeys {
    fn default() -> Self {
        GateKeys {
            alpha: 0.01,
            pairs: 256,
            limit: Duration(240_000_000_000),
            instructions: 0.5,
            metrics: BTreeMap::new(),
        }
    }
}

/// What is asked of one metric.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GateMetricKeys {
    /// A change for the worse up to this share is no regression.
    pub tolerated: f64,
    /// Once a change for the worse as large as this is excluded, no more is measured.
    pub looked_for: f64,
    /// A gate that could not have seen a change as large as this does not pass.
    pub must_see: f64,
}

impl Default for GateMetricKeys {
    fn default() -> Self {
        GateMetricKeys { tolerated: 0.005, looked_for: 0.015, must_see: 0.03 }
    }
}
