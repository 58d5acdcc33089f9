//! What a performance gate asks of a scenario's metrics, checked.

use super::Scenario;
use super::document::part;
use super::resolve::Check;
use crate::error::Diagnostic;

/// Metrics that a gate judges: of two programs in turns, and of stored runs.
pub const GATE_METRICS: [&str; 5] = [
    "forward.cycles_per_packet",
    "open.cycles_per_connection",
    "expire.cycles_per_connection",
    "sut.cycles_per_packet",
    "throughput.mpps_per_core",
];

/// Fewest pairs of which anything can be said at 1 %: 2⁻⁷.
const PAIRS_MIN: u32 = 7;
/// Most pairs of a gate.
const PAIRS_MAX: u32 = 1024;
/// Most false alarms that are worth the name of a gate.
const ALPHA_MAX: f64 = 0.1;
/// Most instructions that may be let pass.
const INSTRUCTIONS_MAX: f64 = 1e6;

/// `[gate]` with every default filled.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// Probability of a false alarm, over all metrics and looks.
    pub alpha: f64,
    /// Most pairs.
    pub pairs: usize,
    /// Most time for the pairs, in nanoseconds.
    pub limit_ns: u64,
    /// Instructions a packet or connection may cost more.
    pub instructions: f64,
    /// Every metric of [`GATE_METRICS`], in that order.
    pub metrics: Vec<GateMetric>,
}

/// What is asked of one metric. Shares of the base.
#[derive(Clone, Debug, PartialEq)]
pub struct GateMetric {
    /// One of [`GATE_METRICS`].
    pub name: &'static str,
    /// A change for the worse that is no regression.
    pub tolerated: f64,
    /// Once excluded, no more is measured.
    pub looked_for: f64,
    /// A gate that could not have seen so much does not pass.
    pub must_see: f64,
}

/// Reads `[gate]` of a scenario.
pub(super) fn gate(scenario: &Scenario) -> Result<Gate, Diagnostic> {
    let check = Check { keys: &scenario.keys, places: &scenario.places };
    let keys = &scenario.keys.gate;
    if !(keys.alpha > 0.0 && keys.alpha <= ALPHA_MAX) {
        let error = check.refuse("gate.alpha", format!("{} is out of range", keys.alpha));
        return Err(error.expected(format!("above 0, at most {ALPHA_MAX}")));
    }
    if !(PAIRS_MIN..=PAIRS_MAX).contains(&keys.pairs) {
        let error = check.refuse("gate.pairs", format!("{} is out of range", keys.pairs));
        return Err(error.expected(format!("{PAIRS_MIN} to {PAIRS_MAX}")));
    }
    if !(0.0..=INSTRUCTIONS_MAX).contains(&keys.instructions) {
        let problem = format!("{} is out of range", keys.instructions);
        let error = check.refuse("gate.instructions", problem);
        return Err(error.expected(format!("0 to {INSTRUCTIONS_MAX}")));
    }
    if let Some(name) = keys.metrics.keys().find(|name| !GATE_METRICS.contains(&name.as_str())) {
        let key = format!("gate.metrics.{}", part(name));
        return Err(check.refuse(&key, "no metric of a gate").among(name, GATE_METRICS));
    }
    let metrics = GATE_METRICS.into_iter().map(|name| {
        let keys = keys.metrics.get(name).copied().unwrap_or_default();
        let [tolerated, looked_for, must_see] = [keys.tolerated, keys.looked_for, keys.must_see];
        let rise = 0.0 <= tolerated && tolerated < looked_for && looked_for <= must_see;
        if !(rise && must_see < 1.0) {
            let key = format!("gate.metrics.{}", part(name));
            let problem = format!("{tolerated}, {looked_for} and {must_see} do not rise");
            let expected = "0 <= tolerated < looked_for <= must_see < 1";
            return Err(check.refuse(&key, problem).expected(expected));
        }
        Ok(GateMetric { name, tolerated, looked_for, must_see })
    });
    Ok(Gate {
        alpha: keys.alpha,
        pairs: keys.pairs as usize,
        limit_ns: keys.limit.0,
        instructions: keys.instructions,
        metrics: metrics.collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(more: &str) -> Result<Gate, String> {
        let source = format!(
            "schema = 1\nquestion = \"?\"\n[traffic]\nconnections = 64\n[[phase]]\nname = \
             \"fill\"\nopen = \"1M/s\"\n{more}"
        );
        let scenario = Scenario::parse(&source, "a.toml").map_err(|error| error.to_string())?;
        scenario.gate().map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_written_has_a_default_and_what_is_counts() {
        let plain = gate("").expect("defaults");
        assert_eq!((plain.alpha, plain.pairs, plain.metrics.len()), (0.01, 256, 5));
        let metric = "\"open.cycles_per_connection\" = { tolerated = 0.02, looked_for = 0.03 }";
        let asked = gate(&format!("[gate]\npairs = 32\n[gate.metrics]\n{metric}\n"));
        let asked = asked.expect("sensible");
        let open = asked.metrics.iter().find(|it| it.name == "open.cycles_per_connection");
        let open = open.expect("a metric");
        assert_eq!((open.tolerated, open.looked_for, open.must_see), (0.02, 0.03, 0.03));
        assert_eq!((asked.pairs, &asked.metrics[0]), (32, &plain.metrics[0]));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_line() {
        for (text, part) in [
            ("alpha = 0.5", "gate.alpha"),
            ("alpha = 0.0", "above 0"),
            ("pairs = 6", "7 to 1024"),
            ("instructions = -1.0", "gate.instructions"),
            ("metrics.\"forward.cycles\" = {}", "forward.cycles_per_packet"),
            ("metrics.\"sut.cycles_per_packet\" = { tolerated = 0.02 }", "do not rise"),
        ] {
            let error = gate(&format!("[gate]\n{text}\n")).expect_err(text);
            assert!(error.starts_with("a.toml:9: ") && error.contains(part), "{text}: {error}");
        }
    }
}
