//! ICMP echo.

use crate::bench::Bench;
use crate::checks::Outcome;
use crate::namespace::Namespace;
use crate::process;
use crate::topology::{DISTANT, NAT, SERVER};
use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

/// Requests of one ping.
const REQUESTS: usize = 3;

/// How long one ping may take.
const DEADLINE: Duration = Duration::from_secs(15);

/// Each subscriber, both servers.
pub(crate) fn every_host(bench: &Bench) -> anyhow::Result<Outcome> {
    let homes = &bench.topology.homes;
    let pairs = homes.iter().flat_map(|home| [(home, SERVER), (home, DISTANT)]);
    ping_all(pairs.collect(), &[])
}

/// All subscribers at once with the same identifier: only the NAT can tell them apart.
pub(crate) fn one_identifier(bench: &Bench) -> anyhow::Result<Outcome> {
    let homes = &bench.topology.homes;
    ping_all(homes.iter().map(|home| (home, SERVER)).collect(), &["-e", "7"])
}

/// The NAT is a router with an address of its own, which the kernel of its router resolves by ARP.
pub(crate) fn nat_itself(bench: &Bench) -> anyhow::Result<Outcome> {
    ping_all(vec![(&bench.topology.router, NAT)], &[])
}

/// Pings for all pairs at the same time.
fn ping_all(pairs: Vec<(&Namespace, Ipv4Addr)>, options: &[&str]) -> anyhow::Result<Outcome> {
    let replies = thread::scope(|scope| {
        let threads: Vec<_> =
            pairs.iter().map(|&(from, to)| scope.spawn(move || ping(from, to, options))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a ping")).sum::<anyhow::Result<_>>()
    });
    let replies: usize = replies?;
    Outcome::plain(format!("{replies} of {} replies", pairs.len() * REQUESTS))
}

/// Replies to one ping; `ping` counts those whose payload differs from the request's as well, but
/// says so.
fn ping(from: &Namespace, to: Ipv4Addr, options: &[&str]) -> anyhow::Result<usize> {
    let mut command = from.command("ping");
    command.args(["-n", "-i", "0.2", "-W", "2", "-c", &REQUESTS.to_string()]);
    command.args(options).arg(to.to_string());
    let text = process::run(&mut command, DEADLINE)?.text();
    anyhow::ensure!(!text.contains("wrong data"), "{text}");
    Ok(text.lines().filter(|line| line.contains(&format!("bytes from {to}"))).count())
}
