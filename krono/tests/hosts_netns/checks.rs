//! What is checked, each on machines of its own.

use crate::bench::Bench;
use crate::routed;
use anyhow::{Context, ensure};
use serde_json::Value;
use std::fs;

/// A check says what it saw.
type Check = fn() -> anyhow::Result<String>;

/// All of them.
pub(crate) const CHECKS: [(&str, Check); 9] = [
    ("two generators begin together, and add up", two_generators),
    ("a stranger's certificate gets nothing", strangers),
    ("a dead generator is named, the other kept", dead_generator),
    ("netns: a server is killed behind BIRD", routed::killed_behind_bird),
    ("netns: a server is killed behind FRR", routed::killed_behind_frr),
    ("netns: a server leaves", routed::left),
    ("netns: a cable is unplugged and comes back", routed::unplugged),
    ("netns: Ctrl-C", routed::interrupted),
    ("netns: no router is installed", routed::without_a_router),
];

fn count(of: &Value, name: &str) -> anyhow::Result<u64> {
    of[name].as_u64().with_context(|| format!("{name} of {of}"))
}

fn two_generators() -> anyhow::Result<String> {
    let bench = Bench::new("2s")?;
    let output = bench.krono().output()?;
    let summary = bench.json("summary.json", &output)?;
    let (ledger, connections) = (&summary["ledger"], &summary["connections"]);
    let said = String::from_utf8_lossy(&output.stderr);
    let held = count(connections, "held_peak")?;
    ensure!(held == 2000, "held {held}; {connections}; {said}");
    let (planned, lost) = (count(ledger, "planned")?, count(ledger, "lost")?);
    ensure!(planned >= 10_000, "{ledger}");
    ensure!(lost * 20 <= planned, "{ledger}");
    for fault in ["corrupt", "mistranslated", "misrouted"] {
        ensure!(count(ledger, fault)? == 0, "{ledger}");
    }
    let rows = fs::read_to_string(bench.path("out/samples.csv"))?;
    for server in 0..2 {
        ensure!(rows.contains(&format!(",steady,gen,{server},0,")), "no server {server}: {rows}");
    }
    let servers = bench.json("servers.json", &output)?;
    let mut bounds = Vec::new();
    for server in servers.as_array().context("a list")?.iter().take(2) {
        for phase in server["phases"].as_array().context("a list")? {
            ensure!(count(phase, "late_ns")? == 0, "{servers:#}");
            bounds.push(count(phase, "bound_ns")?);
        }
    }
    ensure!(bounds.len() == 4, "{servers:#}");
    let reached = servers[2]["reached"].as_str().unwrap_or_default().to_owned();
    ensure!(bench.ssh == reached.starts_with("ssh "), "{reached}");
    bench.assert_none_left()?;
    let ssh = if bench.ssh { "over ssh" } else { "ssh skipped: apt-get install openssh-server" };
    let worst_us = bounds.iter().max().copied().unwrap_or_default() / 1_000;
    Ok(format!("{planned} packets, {lost} lost, clocks within {worst_us} us; sut0 {ssh}"))
}

fn strangers() -> anyhow::Result<String> {
    let bench = Bench::new("1s")?;
    let hosts = fs::read_to_string(bench.path("hosts.toml"))?;
    let hosts = hosts.replace("keys/controller", "strangers/controller");
    fs::write(bench.path("hosts.toml"), hosts)?;
    let output = bench.krono().output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(3), "{}: {said}", output.status);
    ensure!(said.contains("gen0 (172.31.0.2:7800)"), "{said}");
    ensure!(!bench.path("out").exists(), "something was written");
    bench.assert_none_left()?;
    Ok(said.trim().lines().last().unwrap_or_default().to_owned())
}

fn dead_generator() -> anyhow::Result<String> {
    let mut bench = Bench::new("30s")?;
    let child = bench.krono().spawn()?;
    bench.await_rows(",steady,gen,1,0,")?;
    bench.kill(1)?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(4), "{}: {said}", output.status);
    let summary = bench.json("summary.json", &output)?;
    let reasons = summary["invalid_reasons"].to_string();
    ensure!(reasons.contains("gen1 (kronogen at 172.31.1.2:7800)"), "{reasons}");
    ensure!(!reasons.contains("gen0"), "{reasons}");
    ensure!(count(&summary["ledger"], "planned")? > 0, "{summary:#}");
    bench.assert_none_left()?;
    Ok(summary["invalid_reasons"][0].as_str().unwrap_or_default().to_owned())
}
