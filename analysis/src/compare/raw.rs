//! Raw values of a run: what the intervals of a comparison are made of.
//!
//! With six trials or more the trials, which are independent as far as one process on one machine
//! can be. With fewer, the sampling windows of the measured phase while the generator sent. The
//! last of those is left out: the drain began in it.

use crate::latency::LatencyLog;
use crate::load::{Run, measured_phase};
use crate::stats::bootstrap::VALUES_MIN;
use crate::stats::change::Raw;
use format::sample::{Role, Sample};
use std::collections::BTreeMap;

/// One instant of `samples.csv`, all cores.
#[derive(Default)]
struct Window {
    offered_pps: f64,
    arrived_pps: f64,
    /// Cores' worth of busy time, and packets per second that the SUT's cores sent on.
    busy_cores: Option<f64>,
    sut_pps: f64,
}

/// Forwarded Mpps.
pub(super) fn forwarded_mpps(run: &Run) -> Result<Raw, String> {
    let trials = &run.summary.throughput.trials;
    if trials.len() >= VALUES_MIN {
        return Ok(Raw::Trials(trials.iter().map(|trial| trial.forwarded_mpps).collect()));
    }
    let windows = windows(run)?;
    Ok(Raw::Windows(windows.iter().map(|w| (w.arrived_pps / 1e6, 1.0)).collect()))
}

/// TSC cycles per packet that the SUT's cores sent on. Trials have no cycles of their own, so these
/// are always windows.
pub(super) fn cycles_per_packet(run: &Run) -> Result<Raw, String> {
    let hz = run.host.tsc_hz.ok_or("the frequency of the TSC is not recorded")? as f64;
    let windows = windows(run)?;
    let cycles = windows.iter().map(|window| Some((window.busy_cores? * hz, window.sut_pps)));
    let cycles: Option<Vec<(f64, f64)>> = cycles.collect();
    Ok(Raw::Windows(cycles.ok_or("samples.csv has no busy share of the SUT")?))
}

/// Share of probes lost in each trial.
pub(super) fn lost_share(run: &Run) -> Result<Raw, String> {
    trials(run, |trial| {
        let sent = trial.offered_mpps * 1e6 * trial.seconds;
        if sent > 0.0 { trial.lost as f64 / sent } else { 0.0 }
    })
}

fn trials(run: &Run, value: fn(&format::summary::Trial) -> f64) -> Result<Raw, String> {
    let trials = &run.summary.throughput.trials;
    if trials.len() < VALUES_MIN {
        return Err(few("trials", trials.len()));
    }
    Ok(Raw::Trials(trials.iter().map(value).collect()))
}

/// Why so few values have no interval.
pub(super) fn few(what: &str, count: usize) -> String {
    format!("{count} {what}, at least {VALUES_MIN} are needed")
}

/// A percentile of each trial, in microseconds, from the histogram log.
pub(super) fn latency_us(log: Option<&LatencyLog>, quantile: f64) -> Result<Raw, String> {
    let trials = &log.ok_or("latency.hlog is missing")?.by_trial;
    if trials.len() < VALUES_MIN {
        return Err(few("trials", trials.len()));
    }
    if trials.iter().any(|trial| trial.is_empty()) {
        return Err("a trial without a packet has no latency".to_owned());
    }
    let us = |ns: u64| ns as f64 / 1e3;
    Ok(Raw::Trials(trials.iter().map(|trial| us(trial.value_at_quantile(quantile))).collect()))
}

/// The windows of the measured phase in which the generator sent, without the last.
fn windows(run: &Run) -> Result<Vec<Window>, String> {
    if run.samples.is_empty() {
        return Err("samples.csv is missing".to_owned());
    }
    let phase = measured_phase(run)
        .ok_or("plan.toml is missing or of another version, so the measured phase is unknown")?;
    let mut instants = BTreeMap::<u64, Window>::new();
    for sample in run.samples.iter().filter(|sample| sample.phase == phase) {
        instants.entry((sample.t_s * 1e9).round() as u64).or_default().add(sample);
    }
    let sending = instants.into_values().filter(|window| window.offered_pps > 0.0);
    let mut windows: Vec<Window> = sending.collect();
    windows.pop();
    Ok(windows)
}

impl Window {
    fn add(&mut self, sample: &Sample) {
        match sample.role {
            Role::Gen => {
                self.offered_pps += sample.offered_pps;
                self.arrived_pps += sample.forwarded_pps;
            }
            Role::Sut => {
                self.sut_pps += sample.forwarded_pps;
                if let Some(share) = sample.busy_share {
                    *self.busy_cores.get_or_insert(0.0) += share;
                }
            }
        }
    }
}
