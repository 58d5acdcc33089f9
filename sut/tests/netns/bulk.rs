//! iperf3: as much as goes.
//!
//! How much goes says nothing here: clients, servers and NAT share the processors of one machine.
//! That it goes on for seconds without stalls or much loss is what is checked.

use crate::bench::Bench;
use crate::checks::Outcome;
use crate::namespace::Namespace;
use crate::process;
use crate::topology::SERVER;
use anyhow::{Context, bail};
use serde_json::Value;
use std::thread;
use std::time::Duration;

/// How long one run may take; it sends for 2 s.
const DEADLINE: Duration = Duration::from_secs(20);

/// Below this a TCP connection does not flow but crawls from timeout to timeout.
const FLOW_BPS: f64 = 10e6;

/// From a subscriber.
pub(crate) fn tcp_up(bench: &Bench) -> anyhow::Result<Outcome> {
    tcp(bench, &[])
}

/// To a subscriber.
pub(crate) fn tcp_down(bench: &Bench) -> anyhow::Result<Outcome> {
    tcp(bench, &["--reverse"])
}

/// Eight connections to a subscriber.
pub(crate) fn tcp_streams(bench: &Bench) -> anyhow::Result<Outcome> {
    tcp(bench, &["--reverse", "--parallel", "8"])
}

/// 20 Mbit/s from a subscriber.
pub(crate) fn udp_up(bench: &Bench) -> anyhow::Result<Outcome> {
    udp(bench, &bench.topology.server, &[])
}

/// 20 Mbit/s to a subscriber.
pub(crate) fn udp_down(bench: &Bench) -> anyhow::Result<Outcome> {
    udp(bench, &bench.topology.homes[0], &["--reverse"])
}

fn tcp(bench: &Bench, options: &[&str]) -> anyhow::Result<Outcome> {
    let result = iperf(bench, options)?;
    let rate_bps = number(&result, "/end/sum_received/bits_per_second")?;
    let verdict = if rate_bps >= FLOW_BPS { "flows" } else { "crawls" };
    Outcome::noted(verdict.to_owned(), format!("{:.0} Mbit/s", rate_bps / 1e6))
}

/// What arrived and found the receiver's buffer full is no loss of the network: the receiver had no
/// processor for as long as that buffer lasts, some 40 ms.
fn udp(bench: &Bench, receiver: &Namespace, options: &[&str]) -> anyhow::Result<Outcome> {
    let datagrams = ["--udp", "--bitrate", "20M", "--length", "1200"];
    let before = receiver.udp_overflows()?;
    let result = iperf(bench, &[datagrams.as_slice(), options].concat())?;
    let overflows = receiver.udp_overflows()? - before;
    let packets = number(&result, "/end/sum/packets")?;
    let lost = number(&result, "/end/sum/lost_packets")?;
    let well = packets > 0.0 && lost - overflows as f64 <= 0.02 * packets;
    let verdict = if well { "at most 2 % lost" } else { "more than 2 % lost" };
    let note = format!("{lost} of {packets} packets, {overflows} of them at the receiver's socket");
    Outcome::noted(verdict.to_owned(), note)
}

/// Tries for a server that is free, 300 ms apart.
const TRIES: usize = 20;

/// The server serves one client at a time, and may still be busy with the last one's end.
const WORTH_ANOTHER_TRY: [&str; 2] = ["busy", "unable to connect"];

fn iperf(bench: &Bench, options: &[&str]) -> anyhow::Result<Value> {
    for _ in 0..TRIES {
        let mut command = bench.topology.homes[0].command("iperf3");
        command
            .args([
                "--json",
                "--time",
                "2",
                "--connect-timeout",
                "2000",
                "--client",
                &SERVER.to_string(),
            ])
            .args(options);
        let text = process::run(&mut command, DEADLINE)?.text();
        let result: Value = serde_json::from_str(&text).context("output of iperf3")?;
        match result.get("error").and_then(Value::as_str) {
            Some(error) if WORTH_ANOTHER_TRY.iter().any(|it| error.contains(it)) => {
                thread::sleep(Duration::from_millis(300));
            }
            Some(error) => bail!("iperf3: {error}"),
            None => return Ok(result),
        }
    }
    bail!("iperf3: no server that would serve")
}

fn number(result: &Value, path: &str) -> anyhow::Result<f64> {
    let value = result.pointer(path).and_then(Value::as_f64);
    value.with_context(|| format!("iperf3 does not say {path}"))
}
