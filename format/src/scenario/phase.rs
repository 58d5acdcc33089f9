//! From the keys of a phase to its plan: what it sends, how long, and what cannot go together.

use super::inject;
use super::keys::PhaseKeys;
use super::resolve::{Check, phase_key};
use crate::error::Diagnostic;
use crate::plan::{Attack, PhasePlan, Polling, Rate, Shape, Topology, Traffic, Until};

/// Most phases.
const PHASES_MAX: usize = 100;
/// Coarsest look at the connections of a sample, in seconds: an outage shorter than that is not
/// seen.
const RESOLUTION_S_MAX: f64 = 0.1;

impl Check<'_> {
    pub(super) fn phases(
        &self,
        to: &Topology,
        traffic: &Traffic,
    ) -> Result<Vec<PhasePlan>, Diagnostic> {
        let phases = &self.keys.phases;
        if phases.is_empty() || phases.len() > PHASES_MAX {
            let error = self.refuse("phase", format!("{} phases", phases.len()));
            return Err(error.expected(format!("1 to {PHASES_MAX}")));
        }
        if let Some(pps) = self.keys.traffic.rate_pps.filter(|pps| !(0.0..=1e12).contains(pps)) {
            let error = self.refuse("traffic.rate_pps", format!("{pps} is no rate"));
            return Err(error.expected("packets per second, 0 to 1e12"));
        }
        let mut plans: Vec<PhasePlan> = Vec::with_capacity(phases.len());
        for phase in phases {
            if phase.name.is_empty() || plans.iter().any(|plan| plan.name == phase.name) {
                let error = self.refuse(&phase_key(phase, "name"), format!("`{}`", phase.name));
                return Err(error.expected("a name that no other phase has"));
            }
            plans.push(self.phase(phase, to, traffic)?);
        }
        if self.keys.traffic.rate_pps.is_some() && phases.iter().all(|it| it.rate.is_none()) {
            let error =
                self.refuse("traffic.rate_pps", "no phase has a rate that it would replace");
            return Err(
                error.remedy("Give a phase one, such as rate = \"1Mpps\", or leave it out.")
            );
        }
        Ok(plans)
    }

    fn phase(
        &self,
        phase: &PhaseKeys,
        topology: &Topology,
        traffic: &Traffic,
    ) -> Result<PhasePlan, Diagnostic> {
        let refuse = |key, problem: &str| self.refuse(&phase_key(phase, key), problem);
        if phase.search.is_some() {
            self.searches(phase)?;
        }
        let (rate, shape) = self.rate(phase, traffic)?;
        if rate == Rate::Max && topology.polling == Polling::Adaptive {
            let problem = "cores that sleep do not send as fast as they can";
            return Err(refuse("rate", problem)
                .remedy("Say how fast, such as \"1Mpps\", or set topology.polling = \"busy\"."));
        }
        let (open_per_s, close_per_s) = (phase.open.0, phase.close.0);
        let until = match phase.validate {
            true => self.validates(phase, rate)?,
            false => self.until(phase, traffic)?,
        };
        Ok(PhasePlan {
            name: phase.name.clone(),
            open_per_s,
            close_per_s,
            sample: self.sample(phase, rate, topology, traffic)?,
            rate,
            shape,
            search: phase.search,
            attack: self.attack(phase)?,
            injection: inject::read(phase, self.places, topology, until)?,
            until,
        })
    }

    /// Mean rate of a phase, and the shape around it.
    fn rate(
        &self,
        phase: &PhaseKeys,
        traffic: &Traffic,
    ) -> Result<(Rate, Option<Shape>), Diagnostic> {
        let refuse = |problem: &str| self.refuse(&phase_key(phase, "rate"), problem);
        let Some(keys) = phase.rate else {
            let rate = if phase.search.is_some() { Rate::Max } else { Rate::None };
            return Ok((rate, None));
        };
        let Some((mean, shape)) = keys.resolve(traffic.mean_frame_bytes) else {
            return Err(refuse("a course that is not understood").expected(
                "{ from, to }, { mean, swing, period } or { burst, on, off }, no rate of them max",
            ));
        };
        let rate = match self.keys.traffic.rate_pps.unwrap_or(mean) {
            // A rate of zero packets is no rate.
            0.0 => Rate::None,
            f64::INFINITY => Rate::Max,
            pps => Rate::Pps(pps),
        };
        let Some(shape) = shape else { return Ok((rate, None)) };
        let Some(span) = phase.duration else {
            let error = refuse("a rate that changes in a phase without a length");
            return Err(error.remedy("Say how long the phase lasts, such as for = \"10s\"."));
        };
        if phase.sample.is_some() {
            let error = refuse("changes, and outages of a sample are told by an even one");
            return Err(error.remedy("Leave `sample` out, or set one rate."));
        }
        match shape.problem(span.0) {
            Some(expected) => Err(refuse("no such course").expected(expected)),
            None if rate == Rate::None => Ok((rate, None)),
            None => Ok((rate, Some(shape))),
        }
    }

    /// A rate is searched for in the last phase, by trials of a length that is known.
    fn searches(&self, phase: &PhaseKeys) -> Result<(), Diagnostic> {
        let refuse = |problem: &str| self.refuse(&phase_key(phase, "search"), problem);
        let others = [
            ("rate", phase.rate.is_some()),
            ("traffic.rate_pps", self.keys.traffic.rate_pps.is_some()),
            ("validate", phase.validate),
            ("sample", phase.sample.is_some()),
            ("inject", phase.inject.is_some()),
        ];
        if let Some((key, _)) = others.into_iter().find(|(_, given)| *given) {
            let error = refuse(&format!("does not go together with `{key}`"));
            return Err(error.remedy("Leave one of them out."));
        }
        if phase.duration.is_none() {
            let error = refuse("trials without a length");
            return Err(error.remedy("Say how long a trial lasts, such as for = \"60s\"."));
        }
        let last = self.keys.phases.last().is_some_and(|last| last.name == phase.name);
        match last {
            true => Ok(()),
            false => Err(refuse("phases follow it").remedy("Search in the last phase.")),
        }
    }

    /// The end of a phase that validates: nothing else happens in it.
    fn validates(&self, phase: &PhaseKeys, rate: Rate) -> Result<Until, Diagnostic> {
        let refuse = |key, problem: &str| self.refuse(&phase_key(phase, key), problem);
        let others = [
            ("for", phase.duration.is_some()),
            ("count", phase.count.is_some()),
            ("open", phase.open.0 > 0.0),
            ("close", phase.close.0 > 0.0),
            ("syn_flood", phase.syn_flood.0 > 0.0),
            ("scan", phase.scan.0 > 0.0),
            ("sample", phase.sample.is_some()),
            ("inject", phase.inject.is_some()),
        ];
        if let Some((key, _)) = others.into_iter().find(|(_, given)| *given) {
            let problem = "a phase that validates ends by itself, and nothing else happens in it";
            return Err(refuse(key, problem).remedy("Put it into a phase of its own."));
        }
        if rate == Rate::None {
            let error = refuse("rate", "no packets to validate with");
            return Err(error.remedy("Say how fast, such as rate = \"max\"."));
        }
        Ok(Until::Validated)
    }

    fn until(&self, phase: &PhaseKeys, traffic: &Traffic) -> Result<Until, Diagnostic> {
        let refuse = |key, problem: &str| self.refuse(&phase_key(phase, key), problem);
        match (phase.duration, phase.count) {
            (Some(duration), None) if duration.0 > 0 => Ok(Until::For(duration.0)),
            (Some(_), None) => Err(refuse("for", "0s").expected("a time above 0")),
            (Some(_), Some(_)) => {
                Err(refuse("count", "a phase ends by `for` or by `count`, not by both"))
            }
            (None, _) if phase.open.0 <= phase.close.0 => Err(refuse("for", "missing").remedy(
                "A phase that opens no more than it closes never fills; say how long it lasts, \
                 such as for = \"10s\".",
            )),
            (None, count) => {
                let held = count.unwrap_or(traffic.connections);
                if held == 0 || held > traffic.connections {
                    let error = refuse("count", &format!("{held} connections"));
                    return Err(error.expected(format!("1 to {}", traffic.connections)));
                }
                Ok(Until::Held(held))
            }
        }
    }

    /// Connections that data goes to, if not to all of them.
    fn sample(
        &self,
        phase: &PhaseKeys,
        rate: Rate,
        topology: &Topology,
        traffic: &Traffic,
    ) -> Result<Option<u64>, Diagnostic> {
        let refuse = |problem: String| self.refuse(&phase_key(phase, "sample"), problem);
        let Some(sample) = phase.sample else { return Ok(None) };
        let fewest = u64::from(topology.generators());
        if !(fewest..=traffic.connections).contains(&sample) {
            let error = refuse(format!("{sample} connections"));
            let most = traffic.connections;
            return Err(error.expected(format!(
                "{fewest}, one for each generator core, to {most}, all of them"
            )));
        }
        let Rate::Pps(pps) = rate else {
            let error = refuse("no rate of its own".to_owned());
            return Err(error.remedy("Set the rate in packets per second, such as \"100kpps\"."));
        };
        let resolution_s = sample as f64 / pps;
        if resolution_s > RESOLUTION_S_MAX {
            let ms = resolution_s * 1e3;
            let error = refuse(format!("each connection is seen once in {ms:.1} ms only"));
            let needed = (sample as f64 / RESOLUTION_S_MAX).ceil();
            return Err(error.expected(format!(
                "once in 100 ms or less: a rate of {needed}pps, or a smaller sample"
            )));
        }
        Ok(Some(sample))
    }

    fn attack(&self, phase: &PhaseKeys) -> Result<Attack, Diagnostic> {
        let attackers = match (phase.syn_flood.0 > 0.0, phase.attackers) {
            (true, given) => given.unwrap_or(1),
            (false, None) => 0,
            (false, Some(_)) => {
                let error = self.refuse(&phase_key(phase, "attackers"), "no one floods");
                return Err(error.remedy("Set syn_flood, such as \"100k/s\", or leave it out."));
            }
        };
        if phase.syn_flood.0 > 0.0 && attackers == 0 {
            let error = self.refuse(&phase_key(phase, "attackers"), "0 attackers");
            return Err(error.expected("at least 1"));
        }
        Ok(Attack { syn_flood_per_s: phase.syn_flood.0, attackers, scan_per_s: phase.scan.0 })
    }
}
