//! What the processors took while the measured phase sent.
//!
//! Reads the RAPL counters of all packages beside the samples and adds up what lies between two
//! samples of the measured phase that both show traffic: ramp-up, drain and the other phases stay
//! out. The counters cover whole packages; nothing here splits them between generator and SUT. In
//! virtual time there is nothing to read. [`crate::run`] owns the meter.

use crate::machine::{EnergyCounter, Machine};
use crate::testbed::Observation;
use format::Plan;
use format::plan::Testbed;
use format::sample::Role;
use format::summary::Energy;
use std::time::Instant;

/// Adds up the energy of the measured phase.
#[derive(Debug)]
pub struct Meter {
    machine: Machine,
    /// Name of the measured phase; `None` where there is nothing to meter.
    phase: Option<String>,
    last: Option<(Instant, Vec<EnergyCounter>)>,
    joules: f64,
    seconds: f64,
}

impl Meter {
    /// A meter of `plan`'s measured phase. A machine without counters has a meter that stays empty.
    pub fn new(machine: &Machine, plan: &Plan) -> Meter {
        // On other machines nobody reads them.
        let here = !matches!(plan.testbed, Testbed::Sim | Testbed::Hosts(_));
        let real = here && !machine.energy().is_empty();
        let phase = plan.measured_phase().filter(|_| real).map(|phase| phase.name.clone());
        Meter { machine: machine.clone(), phase, last: None, joules: 0.0, seconds: 0.0 }
    }

    /// Reads the counters if `observation`, made at `now`, is of the measured phase.
    pub fn observe(&mut self, observation: &Observation, now: Instant) {
        let sends = observation
            .samples
            .iter()
            .any(|sample| sample.role == Role::Gen && sample.offered_pps > 0.0);
        if !sends || self.phase.as_ref() != Some(&observation.phase) {
            self.last = None;
            return;
        }
        let counters = self.machine.energy();
        if let Some((then, before)) = &self.last
            && before.len() == counters.len()
        {
            let spent_uj: u64 =
                counters.iter().zip(before).map(|(now, then)| now.since(*then)).sum();
            self.joules += spent_uj as f64 / 1e6;
            self.seconds += now.saturating_duration_since(*then).as_secs_f64();
        }
        self.last = Some((now, counters));
    }

    /// What was counted; empty where nothing was.
    pub fn energy(&self) -> Energy {
        if !(self.seconds > 0.0 && self.joules > 0.0) {
            return Energy::default();
        }
        Energy {
            package_j: Some(self.joules),
            seconds: Some(self.seconds),
            watts: Some(self.joules / self.seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::tests::machine;
    use format::Sample;
    use std::collections::BTreeMap;
    use std::fs;
    use std::time::Duration;

    const SCENARIO: &str = "schema = 1\nquestion = \"?\"\n[traffic]\nconnections = 1000\n[[phase]]\n\
                            name = \"fill\"\nopen = \"100k/s\"\n[[phase]]\nname = \"steady\"\n\
                            rate = \"1Mpps\"\nfor = \"1s\"\n";
    const ZONE: &str = "sys/class/powercap/intel-rapl:0";

    fn plan() -> Plan {
        let scenario = format::Scenario::parse(SCENARIO, "t.toml").expect("a scenario");
        scenario.resolve(&format::RunOptions::default()).expect("a plan")
    }

    fn observation(phase: &str, offered_pps: f64) -> Observation {
        let sample = Sample {
            t_s: 0.0,
            phase: phase.to_owned(),
            role: Role::Gen,
            server: 0,
            core: 0,
            offered_pps,
            forwarded_pps: offered_pps,
            lost: None,
            busy_share: None,
            connections: None,
            latency_p50_us: None,
            latency_p99_us: None,
            drops: None,
            backlog: None,
        };
        Observation {
            phase: phase.to_owned(),
            left_s: None,
            samples: vec![sample],
            drops: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    #[test]
    fn only_the_measured_phase_while_it_sends_is_counted_over_a_wrap_too() {
        let (root, machine) = machine(&[
            (&format!("{ZONE}/name"), "package-0"),
            (&format!("{ZONE}/energy_uj"), "0"),
            (&format!("{ZONE}/max_energy_range_uj"), "100000000"),
            (&format!("{ZONE}:0/name"), "core"),
            (&format!("{ZONE}:0/energy_uj"), "7"),
            (&format!("{ZONE}:0/max_energy_range_uj"), "100000000"),
        ]);
        assert_eq!(machine.energy().len(), 1, "what lies in a package is counted with it");
        let mut meter = Meter::new(&machine, &plan());
        let start = Instant::now();
        let readings = [
            (0, "fill", 1e6, 10),
            (1, "steady", 1e6, 60),
            (2, "steady", 1e6, 90),
            (3, "steady", 1e6, 20), // Wrapped: 30 J.
            (4, "steady", 0.0, 50), // The drain.
        ];
        for (second, phase, pps, joules) in readings {
            let path = root.path().join(ZONE).join("energy_uj");
            fs::write(path, (joules * 1_000_000).to_string()).expect("written");
            meter.observe(&observation(phase, pps), start + Duration::from_secs(second));
        }
        let energy = meter.energy();
        assert_eq!((energy.package_j, energy.seconds), (Some(60.0), Some(2.0)));
        assert_eq!(energy.watts, Some(30.0));
    }

    #[test]
    fn a_machine_without_counters_has_no_energy() {
        let (_root, machine) = machine(&[(&format!("{ZONE}/name"), "package-0")]);
        let mut meter = Meter::new(&machine, &plan());
        meter.observe(&observation("steady", 1e6), Instant::now());
        meter.observe(&observation("steady", 1e6), Instant::now());
        assert_eq!(meter.energy(), Energy::default());
    }
}
