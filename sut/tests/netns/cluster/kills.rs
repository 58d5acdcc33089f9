//! How long the outage of a silent kill lasts, kill after kill, with the probes as the witness.
//!
//! With BFD as fast as here, a machine that is busy misses who is there; what is lost by that is told
//! beside the outages, and judged by nobody.

use super::fault::{Fault, strike};
use super::router::{Bfd, Kind};
use super::{Cluster, PATIENCE};
use crate::process::wait_for;
use anyhow::ensure;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// What is measured.
const BFD: [Bfd; 2] =
    [Bfd { interval_ms: 10, multiplier: 3 }, Bfd { interval_ms: 50, multiplier: 3 }];

/// Before and after a kill.
const CALM: Duration = Duration::from_millis(500);

/// Kills `count` servers for each setting of BFD and prints every outage.
pub(crate) fn measure(kind: Kind, count: usize) -> anyhow::Result<()> {
    for bfd in BFD {
        let before = load();
        let mut cluster = Cluster::start(kind, bfd)?;
        let probes = cluster.probe()?;
        let mut outages = Vec::new();
        let mut others = Vec::new();
        for _ in 0..count {
            cluster.is_whole()?;
            let calm = Instant::now();
            thread::sleep(CALM);
            let begun = Instant::now();
            strike(&mut cluster, Fault::SilentKill)?;
            let network = &cluster.network;
            wait_for("the other server", PATIENCE, || network.steers_to(0) == Some(1))?;
            thread::sleep(CALM);
            let seen = probes[0].seen(begun, Instant::now());
            outages.push(seen[0].outage.max(seen[1].outage));
            let back = Instant::now();
            cluster.start_server(0)?;
            cluster.is_whole()?;
            let whole = Instant::now();
            for (when, probes, from, until) in [
                ("before a kill", &probes[0], calm, begun),
                ("at a return", &probes[0], back, whole),
                ("by others", &probes[1], calm, whole),
            ] {
                let [up, down] = probes.seen(from, until).map(|seen| seen.lost);
                if up + down > 0 {
                    others.push(format!("{up} up and {down} down {when}"));
                }
            }
        }
        for probes in &probes {
            ensure!(probes.remapped() == 0, "{} connections remapped", probes.remapped());
        }
        outages.sort();
        let ms: Vec<_> =
            outages.iter().map(|it| format!("{:.1}", it.as_secs_f64() * 1e3)).collect();
        println!(
            "  {bfd}: outages of {count} silent kills {} ms, median {}, largest {}; \
             lost beside them: {}; load {before} before and {} after",
            ms.join(" "),
            ms[count / 2],
            ms[count - 1],
            if others.is_empty() { "none".to_owned() } else { others.join(", ") },
            load()
        );
    }
    Ok(())
}

/// Processes that run or wait for a processor, as the kernel averages them over a minute.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
