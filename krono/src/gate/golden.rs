//! What a failure costs on the simulator, of both programs: virtual time, so the same seed gives the
//! same figures on every machine, and any that is worse is worse.

use super::exact::plain;
use super::{Sides, Unfit};
use analysis::gate::{Class, Row};
use format::Summary;
use std::path::Path;
use std::process::{Command, Stdio};

/// A server under test dies in silence.
const SCENARIO: &str = include_str!("../../../scenarios/server-failure.toml");

/// Figures of which less is better.
const FIGURES: [&str; 8] = [
    "ledger.lost",
    "ledger.mistranslated",
    "ledger.misrouted",
    "connections.lost",
    "recovery_ms.blocked",
    "recovery_ms.first_rerouted",
    "recovery_ms.max",
    "recovery_ms.collateral_lost",
];

/// One row: how many figures are worse.
///
/// # Errors
/// A program that does not run the scenario.
pub(super) fn row(sides: &Sides, folder: &Path) -> Result<Row, Unfit> {
    let scenario = folder.join("server-failure.toml");
    let failed = |name: &Path, why: String| Unfit::Ended { name: name.display().to_string(), why };
    std::fs::write(&scenario, SCENARIO).map_err(|error| failed(&scenario, error.to_string()))?;
    let run = |program: &Path, out: &str| -> Result<Summary, Unfit> {
        let mut command = Command::new(program);
        command.arg("run").arg(&scenario).args(["--testbed", "sim", "--format", "json"]);
        command.args(["--no-live", "--out"]).arg(folder.join(out)).stdin(Stdio::null());
        let output = command.output().map_err(|error| failed(program, error.to_string()))?;
        // Its own criteria are none of ours; without a summary it did not run.
        serde_json::from_slice(&output.stdout)
            .map_err(|_| failed(program, String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    };
    let (base, candidate) =
        (run(&sides.base, "sim-base")?, run(&sides.candidate, "sim-candidate")?);
    Ok(compare(&base, &candidate))
}

fn compare(base: &Summary, candidate: &Summary) -> Row {
    let mut worse = 0;
    let mut changes = Vec::new();
    for name in FIGURES {
        let [before, now] = [base, candidate].map(|side| side.metric(name));
        if before == now {
            continue;
        }
        // A figure that the candidate has no more is worse: nothing came back.
        worse += usize::from(now.is_none() || before.zip(now).is_some_and(|(a, b)| b > a));
        let number = |it: Option<f64>| it.map_or("none".to_owned(), |it| format!("{it}"));
        changes.push(format!("{name} {} -> {}", number(before), number(now)));
    }
    let class = if worse > 0 { Class::Regressed } else { Class::Pass };
    let why = (!changes.is_empty()).then(|| format!("a dead server: {}", changes.join(", ")));
    plain("simulated.figures_worse", Some([0.0, worse as f64]), class, why)
}
