//! Any text as a scenario, with overrides: a plan or a message, never more. A plan survives being
//! written and read.

#![no_main]

use format::Plan;
use format::scenario::{Demand, RunOptions, Scenario};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // Lines that say `--set PATH=VALUE` are overrides, as on the command line.
    let (overrides, lines): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.starts_with("--set "));
    let overrides: Vec<(&str, &str)> =
        overrides.iter().filter_map(|line| line[6..].split_once('=')).take(8).collect();
    let source = lines.join("\n");
    let scenario = match Scenario::with_overrides(&source, "fuzz.toml", &overrides) {
        Ok(scenario) => scenario,
        Err(diagnostic) => return assert!(!diagnostic.to_string().is_empty()),
    };
    match scenario.resolve(&RunOptions::default()) {
        Ok(plan) => {
            let text = plan.to_toml();
            let read = Plan::from_toml(&text).expect("a plan can be read");
            assert_eq!(read, plan);
            let demand = Demand::of(&plan.phases, &plan.sut.timers, plan.traffic.udp_share, plan.traffic.zipf);
            assert!(demand.seconds.is_finite() && demand.held_peak <= demand.tracked_peak);
        }
        Err(diagnostic) => assert!(!diagnostic.to_string().is_empty()),
    }
});
