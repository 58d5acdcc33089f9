//! Ways for a server to go, each with what its clients may lose by it, and its return, by which
//! nobody may lose anything; behind FRR one probe in a hundred, which is printed.

use super::probes::{Probes, Seen};
use super::{Cluster, PATIENCE, transfers};
use crate::process::wait_for;
use anyhow::{Context, ensure};
use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

/// Before and after something happens.
const CALM: Duration = Duration::from_millis(700);

/// What a busy machine may add to a time that was agreed on.
const TOLERANCE: Duration = Duration::from_millis(700);

/// A way to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `kill -9`, and nothing that would tell the router: the kernel has no connection to reset, for
    /// the cores' TCP was the process's own, and the cable keeps its link. Only BFD can know.
    SilentKill,
    /// `SIGTERM`: the server hands over.
    Leave,
    /// `kill -9`, and the link goes down, as it does when a machine loses its power.
    KillAndLinkDown,
}

impl Fault {
    /// All of them.
    pub(crate) const ALL: [Fault; 3] = [Fault::SilentKill, Fault::Leave, Fault::KillAndLinkDown];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Fault::SilentKill => "silent-kill",
            Fault::Leave => "leave",
            Fault::KillAndLinkDown => "kill-and-link-down",
        })
    }
}

/// The first server goes and comes back while transfers run; says what was seen.
pub(crate) fn cycle(
    cluster: &mut Cluster,
    servers: &transfers::Servers,
    [own, others]: &[Probes; 2],
    fault: Fault,
    trial: usize,
) -> anyhow::Result<String> {
    cluster.is_whole()?;
    let transfers = servers.begin(&cluster.network, trial);
    thread::sleep(CALM);
    ensure!(transfers.all_run(), "a transfer ended before anything happened");
    let begun = Instant::now();
    let emitted = strike(cluster, fault)?;
    let network = &cluster.network;
    wait_for("the other server", PATIENCE, || network.steers_to(0) == Some(1))?;
    thread::sleep(CALM);
    ensure!(transfers.all_run(), "a transfer ended with the server that went");
    let gone = own.seen(begun, Instant::now());
    let untouched = others.seen(begun, Instant::now());
    if fault == Fault::SilentKill {
        ensure!(network.frames_from(0)? == emitted, "a dead server has said something");
        ensure!(network.has_link(0)?, "the cable has lost its link");
    }
    judge(cluster, fault, gone)?;
    let mut note = bystanders(cluster, untouched)?;

    let back = Instant::now();
    network.nats[0].ip("link set nat0 up")?;
    cluster.start_server(0)?;
    cluster.is_whole().context("its return")?;
    let whole = Instant::now();
    thread::sleep(CALM);
    let [returned, untouched] = [own, others].map(|it| it.seen(back, Instant::now()));
    let lost: u64 = returned.iter().map(|seen| seen.lost as u64).sum();
    if lost > 0 {
        let said = format!("lost by its return: {returned:?}; {}", cluster.counted());
        // FRR moves the two ways one after the other, and has been seen to lose a few probes between.
        let sent: u64 = returned.iter().map(|seen| seen.sent as u64).sum();
        ensure!(cluster.router.moves_in_two_steps() && 100 * lost <= sent, "{said}");
        note += &format!("; {said}");
    }
    note += &bystanders(cluster, untouched)?;
    for probes in [own, others] {
        ensure!(probes.remapped() == 0, "{} connections remapped", probes.remapped());
    }
    let (transfers, spanned) = transfers.end(whole)?;
    if !spanned {
        note += "; the transfers ended before it";
    }
    Ok(format!("{transfers}; {}; return: {lost} lost{note}", describe(gone)))
}

/// Has the first server go. Returns the frames that had come from it when it was dead.
pub(crate) fn strike(cluster: &mut Cluster, fault: Fault) -> anyhow::Result<u64> {
    let server = cluster.servers[0].take().context("no server to end")?;
    match fault {
        Fault::SilentKill => server.kill()?,
        Fault::Leave => server.leave()?,
        Fault::KillAndLinkDown => {
            server.kill()?;
            cluster.network.nats[0].ip("link set nat0 down")?;
        }
    }
    cluster.network.frames_from(0)
}

fn judge(cluster: &Cluster, fault: Fault, gone: [Seen; 2]) -> anyhow::Result<()> {
    let detection = cluster.bfd.detection();
    for seen in gone {
        match fault {
            Fault::Leave => ensure!(seen.lost == 0, "{} probes lost: {gone:?}", seen.lost),
            Fault::SilentKill => {
                // The last packet before the end may be older than the end by an interval.
                let soonest = detection - Duration::from_millis(cluster.bfd.interval_ms);
                ensure!(seen.outage > soonest.mul_f64(0.9), "before BFD can have known: {gone:?}");
                let latest = detection + TOLERANCE;
                ensure!(seen.outage < latest, "{gone:?}, {}", cluster.bfd);
            }
            Fault::KillAndLinkDown => {
                ensure!(seen.outage < detection + TOLERANCE, "{gone:?}, {}", cluster.bfd);
            }
        }
    }
    Ok(())
}

/// What the other server's subscribers have seen, if it is worth a note. A single probe is seen to
/// be lost now and then where all of this shares two processors; an outage would be many.
fn bystanders(cluster: &Cluster, seen: [Seen; 2]) -> anyhow::Result<String> {
    let [up, down] = seen;
    if up.lost + down.lost == 0 {
        return Ok(String::new());
    }
    let said = format!("lost by others: {seen:?}; {}", cluster.counted());
    ensure!(100 * (up.lost + down.lost) <= up.sent + down.sent, "{said}");
    Ok(format!("; {said}"))
}

/// In words.
fn describe([up, down]: [Seen; 2]) -> String {
    if up.lost + down.lost == 0 {
        return format!("0 of {} probes lost", up.sent + down.sent);
    }
    let ms = |seen: Seen| seen.outage.as_secs_f64() * 1e3;
    format!("outage {:.0} ms up, {:.0} ms down", ms(up), ms(down))
}
