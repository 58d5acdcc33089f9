//! What the phases of a plan ask of tables, ports and patience.
//!
//! A walk over the phases at their planned rates: how many connections are held when, how many
//! closed ones the SUT still remembers, how long it all takes. Upper bounds, made to size tables
//! and to refuse what cannot work; nothing measured is ever replaced by them.

use crate::plan::{PhasePlan, Rate, Timers, Until};

const NS_PER_S: f64 = 1e9;

/// What one phase asks.
#[derive(Clone, Debug, PartialEq)]
pub struct PhaseDemand {
    /// Name of the phase.
    pub name: String,
    /// Planned length in seconds.
    pub seconds: f64,
    /// Connections held at its start.
    pub held_before: f64,
    /// Connections held at its end.
    pub held_after: f64,
    /// Longest planned time between two packets of a connection, in seconds: connections ÷ rate, or
    /// packets to one of the least used connection ÷ rate; the whole phase where nothing is sent or only a sample used, 0 where the rate is the highest
    /// possible.
    pub idle_s: f64,
}

/// What all phases ask.
#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    /// Phase by phase.
    pub phases: Vec<PhaseDemand>,
    /// Most connections held at once.
    pub held_peak: u64,
    /// Most connections in the SUT's tables at once: held ones, and closed ones until their timer
    /// ends.
    pub tracked_peak: u64,
    /// Planned length of one run, drains aside, in seconds.
    pub seconds: f64,
}

impl Demand {
    /// What `phases` ask of a SUT with these `timers`; `zipf` is the exponent by which packets are
    /// shared out.
    pub fn of(phases: &[PhasePlan], timers: &Timers, udp_share: f64, zipf: f64) -> Demand {
        let (mut held, mut held_peak, mut closed) = (0.0f64, 0.0f64, 0.0f64);
        let mut demands = Vec::with_capacity(phases.len());
        for phase in phases {
            let growth = phase.open_per_s - phase.close_per_s;
            let (seconds, held_after) = match phase.until {
                Until::For(ns) => {
                    let seconds = ns as f64 / NS_PER_S;
                    (seconds, (held + growth * seconds).max(0.0))
                }
                Until::Held(count) if count as f64 > held && growth > 0.0 => {
                    ((count as f64 - held) / growth, count as f64)
                }
                Until::Held(_) => (0.0, held),
                Until::Validated => match phase.rate {
                    Rate::Pps(pps) => (held / pps, held),
                    Rate::Max | Rate::None => (0.0, held),
                },
            };
            closed += phase.close_per_s * remembered_s(seconds, timers, udp_share);
            held_peak = held_peak.max(held).max(held_after);
            let idle_s = match phase.rate {
                Rate::None => seconds,
                // A sample leaves the other connections alone.
                _ if phase.sample.is_some() => seconds,
                Rate::Max => 0.0,
                Rate::Pps(pps) => {
                    let packets = rarest(held.max(held_after), zipf);
                    let even_s = packets / pps;
                    phase.shape.map_or(even_s, |shape| shape.longest_s(packets, pps, seconds))
                }
            };
            let (name, held_before) = (phase.name.clone(), held);
            demands.push(PhaseDemand { name, seconds, held_before, held_after, idle_s });
            held = held_after;
        }
        let seconds = demands.iter().map(|phase| phase.seconds).sum();
        let (held_peak, tracked_peak) =
            (held_peak.ceil() as u64, (held_peak + closed).ceil() as u64);
        Demand { phases: demands, held_peak, tracked_peak, seconds }
    }
}

/// Packets sent, on average, to one of the least used of `held` connections.
fn rarest(held: f64, zipf: f64) -> f64 {
    /// Summed one by one; the rest is an integral, off by less than 10⁻⁵.
    const EXACT: f64 = 64.0;
    if zipf == 0.0 || held < 1.0 {
        return held;
    }
    let exact: f64 = (1..=held.min(EXACT) as u32).map(|k| f64::from(k).powf(-zipf)).sum();
    let (from, to) = (EXACT + 0.5, held.max(EXACT) + 0.5);
    let rest = match zipf {
        1.0 => (to / from).ln(),
        _ => (to.powf(1.0 - zipf) - from.powf(1.0 - zipf)) / (1.0 - zipf),
    };
    (exact + rest) * held.powf(zipf)
}

/// How much of the last `seconds` the SUT remembers closed connections of, mean over protocols.
fn remembered_s(seconds: f64, timers: &Timers, udp_share: f64) -> f64 {
    let udp_s = seconds.min(timers.udp_ns as f64 / NS_PER_S);
    let tcp_s = seconds.min(timers.tcp_transitory_ns as f64 / NS_PER_S);
    udp_s * udp_share + tcp_s * (1.0 - udp_share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Attack;

    fn phase(open_per_s: f64, close_per_s: f64, until: Until) -> PhasePlan {
        let (name, rate) = ("p".to_owned(), Rate::None);
        let attack = Attack::default();
        let (sample, shape, search, injection) = (None, None, None, None);
        PhasePlan {
            name,
            open_per_s,
            close_per_s,
            sample,
            rate,
            shape,
            search,
            attack,
            injection,
            until,
        }
    }

    #[test]
    fn the_least_used_connection_waits_for_its_turn() {
        for zipf in [0.0, 0.7, 1.0, 1.3] {
            let sum: f64 = (1..=5000).map(|k| f64::from(k).powf(-zipf)).sum();
            let (waits, expected) = (rarest(5000.0, zipf), sum * 5000f64.powf(zipf));
            assert!((waits / expected - 1.0).abs() < 1e-5, "{zipf}: {waits}, {expected}");
        }
    }

    #[test]
    fn closed_connections_count_until_their_timer_ends() {
        let second = 1_000_000_000;
        let timers = Timers {
            udp_ns: second,
            tcp_established_ns: 7440 * second,
            tcp_half_open_ns: second,
            tcp_transitory_ns: 4 * second,
            icmp_ns: second,
        };
        let phases = [
            phase(1000.0, 0.0, Until::Held(5000)),
            phase(300.0, 100.0, Until::For(10 * second)),
            phase(0.0, 1000.0, Until::For(100 * second)),
        ];
        let demand = Demand::of(&phases[..2], &timers, 0.5, 0.0);
        assert_eq!(demand.seconds, 15.0);
        assert_eq!(demand.held_peak, 7000);
        // 100 closed per second: half remembered for 1 s, half for 4 s.
        assert_eq!(demand.tracked_peak, 7000 + 250);
        assert_eq!(Demand::of(&phases, &timers, 1.0, 0.0).phases[2].held_after, 0.0);
    }
}
