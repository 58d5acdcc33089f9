//! RFC 9411 for TCP without an application: connections per second, concurrent connections and
//! throughput, of which no more than 0.001 % of the connections may fail (section 7).
//!
//! A connection here is a handshake and a close; there is no HTTP and no TLS, and the figures are not
//! those of a client that waits for pages.

use super::bench::{Base, Bench, Ended};
use super::rfc2544::MRR_S_MIN;
use super::rfc9693::{Device, searched};
use super::settings::Rules;
use super::throughput::{Traffic, blank, fill, lasting};
use super::trial::Judge;
use crate::testbed::References;
use format::plan::Search;
use format::scenario::keys::PhaseKeys;
use format::suite::{Tcp, Trial};
use format::unit::PerSecond;
use kronogen::search::Range;
use kronogen::search::bisect;

/// Share of the connections that may fail.
const FAILED_SHARE_MAX: f64 = 1e-5;
const CHURN: &str = "churn";
/// Part of a rate at which tables are filled before it is tried, and after it was found.
const EASY: f64 = 0.5;
/// Connections that a phase may have fewer than its rate times its length, by where it begins.
const ROUNDING: f64 = 2.0;
/// Least rate tried, as a share of the highest.
const LEAST: f64 = 1e-3;

/// Runs the suite.
pub(super) fn run(bench: &mut Bench<'_>, base: &Base, rules: &Rules) -> Result<Tcp, Ended> {
    let mut device = Device::of(base)?.with_tcp_only();
    device.failed_share_max = FAILED_SHARE_MAX;
    let connections = base.keys().traffic.connections;
    let generator = device.generator_per_s(bench)?;
    let max = device.rates(connections, generator).max;
    let range = Range::new((max * LEAST).max(1.0), max);
    let seconds = rules.goal.final_s;
    let connections_per_s = searched(rules, |rep, before| {
        let passes = |per_s: f64| {
            let (open, close) = (PerSecond(per_s), PerSecond(per_s));
            let duration = Some(lasting(seconds));
            let churn = PhaseKeys { open, close, duration, ..blank(CHURN) };
            let loaded = device.resolve(
                2 * connections,
                vec![filled(base, connections, per_s * EASY), churn],
                rep,
            )?;
            let key = format!("cps/{rep}/{per_s}");
            let trial = bench.trial(&key, &loaded, References::default(), Judge::Setups)?;
            Ok::<_, Ended>(holds(&trial, per_s * seconds))
        };
        bisect::again(range, before, rules.goal.width, passes)
    })?;
    let easy = connections_per_s.found.median.map_or(range.min, |rate| rate * EASY);
    let concurrent = device.capacity(bench, rules, easy)?;
    let mut keys = base.keys();
    (keys.traffic.protocol.udp, keys.traffic.protocol.tcp) = (0.0, 1.0);
    let seconds = rules.goal.initial_s.max(MRR_S_MIN);
    let traffic = Traffic::new(bench, base, "tcp", keys, seconds, Some(PerSecond(easy)))?;
    let throughput = traffic.search(bench, Search::Ndr, rules.goal.with_loss(FAILED_SHARE_MAX))?;
    Ok(Tcp {
        failed_share_max: FAILED_SHARE_MAX,
        connections_per_s,
        concurrent,
        throughput: Some(throughput),
        reference_mpps: traffic.references.forwarder.map(|it| it.mpps),
    })
}

/// Connections that are there when others come and go.
fn filled(base: &Base, connections: u64, per_s: f64) -> PhaseKeys {
    PhaseKeys { open: PerSecond(per_s), count: Some(connections), ..fill(base) }
}

/// Whether nearly all of so many connections were opened and as many closed.
fn holds(trial: &Trial, asked: f64) -> bool {
    let Some(phase) = trial.phase(CHURN) else { return false };
    let missing = FAILED_SHARE_MAX * asked;
    // One more or less on a core is rounding.
    let near = |count: u64| count as f64 >= asked - missing - ROUNDING;
    phase.failed as f64 <= missing
        && phase.unsent.saturating_sub(phase.paused) as f64 <= missing
        && near(phase.opened + phase.paused)
        && near(phase.closed + phase.paused)
}
