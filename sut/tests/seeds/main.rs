//! Random worlds: a cluster, its users, and whatever may go wrong, all from one seed.
//!
//! Each seed is a world of its own, in virtual time and on one thread: servers that are killed,
//! restarted, put to sleep and cut off while the network loses, repeats, delays and reorders, and
//! users who open, use and close sessions all the while. In the end everything is mended, and must be
//! in full service again. What must hold is in [`checks`], what is done in [`schedule`].
//!
//! `SEEDS` worlds are run, [`SEEDS`] if nothing is said; `make test` and, in a release build, `make
//! seeds` run 10,000. A failure names its seed; `SEED=n` runs that one alone and shows what was done
//! in it.

mod checks;
mod dice;
mod middle;
mod net;
mod packet;
mod schedule;
mod traffic;
mod twins;
mod view;
mod world;

use checks::{Checked, Violation};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use world::World;

/// Worlds of a run that says nothing else.
const SEEDS: u64 = 200;

/// Worlds that are always run as well, because they failed for a fault that has been mended: a core
/// that woke believed what had been said while it slept; a copy refused what it was told where the
/// port was another's with several sessions.
const MENDED: [u64; 9] = [1299, 1571, 1581, 2927, 4591, 6188, 6990, 7752, 8474];

/// Failures after which a run ends.
const FAILURES_MAX: usize = 8;

/// Lines of a failure's history that are shown.
const LINES: usize = 40;

struct Failure {
    seed: u64,
    violation: Violation,
    trace: Vec<String>,
}

/// A kind of world: the test that runs it, how it is made, and what is done in it.
struct Kind {
    test: &'static str,
    make: fn(u64) -> World,
    run: fn(&mut World) -> Checked,
    mended: &'static [u64],
    /// How many of a run that says nothing else.
    count: u64,
}

const WORLDS: Kind =
    Kind { test: "worlds", make: World::new, run: World::run, mended: &MENDED, count: SEEDS };
const PAUSES: Kind = Kind {
    test: "pauses",
    make: World::of_pauses,
    run: World::run_pauses,
    mended: &[],
    count: SEEDS / 2,
};

fn run(kind: &Kind, seed: u64) -> Option<Failure> {
    let mut world = (kind.make)(seed);
    let result = catch_unwind(AssertUnwindSafe(|| (kind.run)(&mut world)));
    let violation = match result {
        Ok(Ok(())) => return None,
        Ok(Err(violation)) => violation,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Violation { checker: "panic", what: text.unwrap_or_default() }
        }
    };
    let ms = world.now.0 as f64 / 1e6;
    let mut trace = std::mem::take(&mut world.trace);
    trace.push(format!("{ms:9.2} ms  {}", violation.checker));
    Some(Failure { seed, violation, trace })
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: expected a number")))
}

fn tell(kind: &Kind, failure: &Failure) {
    let Failure { seed, violation, trace } = failure;
    println!("seed {seed}: {}: {}", violation.checker, violation.what);
    trace[trace.len().saturating_sub(LINES)..].iter().for_each(|line| println!("  {line}"));
    let test = kind.test;
    match cfg!(debug_assertions) {
        true => println!(
            "  again: SEED={seed} cargo test -p krononat --test seeds {test} -- --nocapture"
        ),
        false => println!("  again: SEED={seed} make seeds"),
    }
}

#[test]
fn worlds() {
    run_all(&WORLDS);
}

/// Nothing happens but that nobody is run for some milliseconds, and that one core dies.
#[test]
fn pauses() {
    run_all(&PAUSES);
}

fn run_all(kind: &Kind) {
    let one = number("SEED");
    let first = one.or(number("FIRST")).unwrap_or(0);
    let count = if one.is_some() { 1 } else { number("SEEDS").unwrap_or(kind.count) };
    let again = if one.is_some() { &[][..] } else { kind.mended };
    // A world's arrays are small: zeroing whole huge pages took a third of all time.
    let _ = nix::sys::prctl::set_thp_disable(true);
    let (next, failures) = (AtomicU64::new(first), Mutex::new(Vec::new()));
    let began = Instant::now();
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let beyond = number.saturating_sub(first + count) as usize;
            let seed =
                if number < first + count { Some(number) } else { again.get(beyond).copied() };
            let Some(seed) = seed else { return };
            if failures.lock().expect("no panic").len() >= FAILURES_MAX {
                return;
            }
            if let Some(failure) = run(kind, seed) {
                tell(kind, &failure);
                failures.lock().expect("no panic").push(seed);
            }
            if (number + 1 - first).is_multiple_of(500) {
                println!("{} worlds, {:.0} s", number + 1 - first, began.elapsed().as_secs_f64());
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    let spent = began.elapsed().as_secs_f64();
    let failures = failures.into_inner().expect("no panic");
    let all = next.into_inner().min(first + count + again.len() as u64) - first;
    let failed = failures.len();
    println!("{all} {}, {failed} failed, in {spent:.1} s on {threads} threads", kind.test);
    assert!(failures.is_empty(), "seeds {failures:?} of {count}");
}
