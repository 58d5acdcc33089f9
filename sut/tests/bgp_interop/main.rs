//! Two servers of Krononat and BIRD, in network namespaces of their own: whether a router that nobody
//! here wrote sends a shard's packets where they belong.
//!
//! What is looked at is the router's kernel: which route its table has for the shard's external
//! prefix. The master's must win over the slave's, go once BFD misses a master that was killed, come
//! back with it, and move away from a server that leaves before that one's session ends.
//!
//! Needs root, BIRD 2 and DPDK's driver for packet sockets; where one is missing it says `skipped`
//! and why.
#![forbid(unsafe_code)]

mod bird;
mod nat;
mod setting;

use bird::Bird;
use nat::Server;
use setting::{ADDRESSES, wait_for};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Time between BFD packets of either side, and how many may be missing: a busy machine with two
/// processors must not see flaps.
const BFD_INTERVAL_MS: u64 = 100;
const BFD_MULTIPLIER: u64 = 3;

/// How long coming up may take: BFD sends a packet a second before its session, BIRD waits between
/// attempts.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a busy machine may add to a detection time.
const TOLERANCE: Duration = Duration::from_millis(700);

fn main() -> ExitCode {
    if let Some(code) = setting::outside() {
        return code;
    }
    match inside() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bgp_interop: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn inside() -> anyhow::Result<()> {
    setting::build()?;
    let folder = tempfile::TempDir::new_in("/run")?;
    let bird = Bird::start(folder.path())?;
    let [master, slave] = ADDRESSES;

    let second = Server::start(1, folder.path())?;
    let first = Server::start(0, folder.path())?;
    wait_for("both routes", PATIENCE, || bird.routes() == [master, slave])?;
    wait_for("the master's route in the kernel", PATIENCE, || setting::route() == Some(master))?;
    println!("both announce, the master's route wins");
    let [of_master, of_slave] = [master, slave].map(|address| bird.describe(address));
    anyhow::ensure!(of_master.contains("BGP.as_path: 65001\n"), "{of_master}");
    anyhow::ensure!(of_master.contains("BGP.med: 0\n"), "{of_master}");
    anyhow::ensure!(of_slave.contains("BGP.as_path: 65001 65001\n"), "{of_slave}");
    anyhow::ensure!(of_slave.contains("BGP.med: 100\n"), "{of_slave}");

    let begun = Instant::now();
    first.kill();
    wait_for("the slave's route", PATIENCE, || setting::route() == Some(slave))?;
    let took = begun.elapsed();
    println!("killed: the slave's route after {took:?}");
    let detection = Duration::from_millis(BFD_INTERVAL_MS * BFD_MULTIPLIER);
    // The last packet before the end may be older than the end by an interval.
    let soonest = Duration::from_millis(BFD_INTERVAL_MS * (BFD_MULTIPLIER - 1)).mul_f64(0.9);
    anyhow::ensure!(took > soonest, "before BFD can have known");
    anyhow::ensure!(took < detection + TOLERANCE, "BFD's detection time is {detection:?}");
    anyhow::ensure!(bird.routes() == [slave], "{:?}", bird.routes());

    let first = Server::start(0, folder.path())?;
    wait_for("the master's return", PATIENCE, || setting::route() == Some(master))?;
    println!("back: the master's route wins again");
    wait_for("both routes", PATIENCE, || bird.routes() == [master, slave])?;

    let begun = Instant::now();
    first.ask_to_leave()?;
    let mut moved = None;
    let mut told = false;
    wait_for("the end of its session", PATIENCE, || {
        let now_there = setting::route();
        if moved.is_none() && now_there == Some(slave) {
            moved = Some(begun.elapsed());
        }
        told |= bird.describe(master).contains("(65535,0)");
        bird.routes() == [slave]
    })?;
    let ended = begun.elapsed();
    println!("left: moved after {moved:?}, session ended after {ended:?}");
    anyhow::ensure!(told, "no GRACEFUL_SHUTDOWN was seen");
    let moved = moved.ok_or_else(|| anyhow::anyhow!("the route has not moved before the end"))?;
    anyhow::ensure!(moved < ended, "{moved:?} and {ended:?}");
    anyhow::ensure!(setting::route() == Some(slave));
    drop((first, second));
    Ok(())
}
