//! What a busy core loses while it is watched: pauses, stolen time, interrupts.
//!
//! One thread for each CPU does nothing but look at the clock. Time that a hypervisor takes shows only
//! while somebody wants it, so an idle machine cannot be asked; and what the kernel does not
//! count as stolen (its own work, other threads, the hypervisor's exits) is a pause all the same.

use super::Finding;
use crate::machine::{Machine, cpus_allowed};
use dataplane::thread::pin;
use std::thread;
use std::time::{Duration, Instant};

/// How long every CPU is watched: 100 ticks, so that 1 % of stolen time shows on each.
pub(super) const WATCH: Duration = Duration::from_secs(1);
/// From here a pause is one: packets due in it leave late (`certificate.late_send_share`).
const PAUSE: Duration = Duration::from_micros(100);
/// Share of the time in pauses from which tails suffer visibly; a run whose generator sends more than
/// 1 % of its packets late is invalid.
const PAUSED_SHARE_MAX: f64 = 0.001;
/// Share of stolen CPU time from which rates and tails suffer visibly.
const STEAL_SHARE_MAX: f64 = 0.005;
/// Interrupts of devices a second and CPU from which they are worth moving.
const INTERRUPTS_MAX_PER_S: u64 = 100;

/// What one CPU lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pauses {
    count: u32,
    sum: Duration,
    longest: Duration,
}

/// Watches all CPUs of this process at once, and says what they lost.
pub(super) fn findings(machine: &Machine) -> Vec<Finding> {
    let cpus = cpus_allowed();
    let (before, interrupts) = (machine.cpu_time(), machine.device_interrupts());
    let watched: Vec<_> = cpus.iter().map(|&cpu| thread::spawn(move || spin(cpu))).collect();
    let pauses: Option<Vec<Pauses>> =
        watched.into_iter().map(|thread| thread.join().ok().flatten()).collect();
    let (after, later) = (machine.cpu_time(), machine.device_interrupts());
    let steal = before.zip(after).and_then(|(before, after)| after.steal_share_since(before));
    let taken = interrupts.zip(later).map(|(before, after)| {
        let here = |cpu: &usize| Some(after.get(*cpu)?.saturating_sub(*before.get(*cpu)?));
        cpus.iter().filter_map(here).collect::<Vec<u64>>()
    });
    vec![
        paused(pauses.filter(|all| !all.is_empty()).as_deref()),
        stolen(steal),
        interrupted(taken.as_deref()),
    ]
}

/// Looks at the clock on `cpu` until the time is over; `None` if it may not run there.
fn spin(cpu: usize) -> Option<Pauses> {
    pin(cpu).ok()?;
    let mut pauses = Pauses::default();
    let start = Instant::now();
    let mut last = start;
    while last - start < WATCH {
        let now = Instant::now();
        let gap = now - last;
        if gap > PAUSE {
            pauses.count += 1;
            pauses.sum += gap;
            pauses.longest = pauses.longest.max(gap);
        }
        last = now;
    }
    Some(pauses)
}

fn paused(cpus: Option<&[Pauses]>) -> Finding {
    let (name, recorded) = ("pauses", "summary.json: certificate.longest_gap_us, late_send_share");
    let Some(cpus) = cpus else {
        let remedy = "krono doctor as a user who may choose the CPUs of its threads";
        return Finding::warn(name, "not visible: threads cannot be pinned", remedy).kept(recorded);
    };
    let worst = cpus.iter().max_by_key(|cpu| cpu.sum).copied().unwrap_or_default();
    let share = worst.sum.as_secs_f64() / WATCH.as_secs_f64();
    let what = format!(
        "a thread that only looks at the clock lost {:.2} % of {} s in {} pauses over {} us, the \
         longest {} us",
        share * 100.0,
        WATCH.as_secs(),
        worst.count,
        PAUSE.as_micros(),
        worst.longest.as_micros()
    );
    if share <= PAUSED_SHARE_MAX {
        return Finding::ok(name, what).kept(recorded);
    }
    let effect = "at least as many packets of a planned rate leave late, and from 1 % on the run is \
                  invalid";
    Finding::warn(
        name,
        format!("{what}: {effect}"),
        "a machine of its own, isolated CPUs, nothing else running; or repeat when its neighbours \
         are quiet",
    )
    .kept(recorded)
}

fn stolen(share: Option<f64>) -> Finding {
    let (name, recorded) = ("steal", "summary.json: certificate.steal_share");
    match share {
        Some(share) if share > STEAL_SHARE_MAX => Finding::warn(
            name,
            format!("the hypervisor took {:.1} % of the CPU time asked for", share * 100.0),
            "use a machine of its own, or repeat when its neighbours are quiet",
        ),
        Some(share) => {
            Finding::ok(name, format!("{:.1} % of the CPU time asked for", share * 100.0))
        }
        None => Finding::warn(name, "not visible", "measure on a host that shows /proc/stat"),
    }
    .kept(recorded)
}

fn interrupted(taken: Option<&[u64]>) -> Finding {
    let name = "interrupts";
    let Some(taken) = taken else {
        return Finding::warn(name, "not visible", "measure on a host that shows /proc/interrupts");
    };
    let per_s = |count: u64| (count as f64 / WATCH.as_secs_f64()) as u64;
    let most = taken.iter().copied().max().map_or(0, per_s);
    let what = format!("devices interrupt a CPU of a run {most} times a second at most");
    if most <= INTERRUPTS_MAX_PER_S {
        return Finding::ok(name, what);
    }
    Finding::warn(
        name,
        format!("{what}: each takes microseconds and cold caches"),
        "stop irqbalance and write other CPUs to /proc/irq/N/smp_affinity_list (see \
         /proc/interrupts)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Mark;

    #[test]
    fn what_spoils_a_measurement_is_marked() {
        let lost = |sum_us| Pauses {
            count: 3,
            sum: Duration::from_micros(sum_us),
            longest: Duration::from_micros(sum_us),
        };
        let table = [
            (paused(Some(&[lost(0), lost(31_000)])), Mark::Warn),
            (paused(Some(&[lost(0), lost(900)])), Mark::Ok),
            (paused(None), Mark::Warn),
            (stolen(Some(0.02)), Mark::Warn),
            (stolen(Some(0.001)), Mark::Ok),
            (stolen(None), Mark::Warn),
            (interrupted(Some(&[3, 5_000])), Mark::Warn),
            (interrupted(Some(&[3, 50])), Mark::Ok),
            (interrupted(None), Mark::Warn),
        ];
        for (finding, mark) in table {
            assert_eq!(finding.mark, mark, "{finding:?}");
            assert_eq!(finding.remedy.is_some(), mark != Mark::Ok, "{finding:?}");
        }
        let said = paused(Some(&[lost(31_000)])).what;
        assert!(said.contains("3.10 % of 1 s in 3 pauses"), "{said}");
    }

    #[test]
    fn a_thread_that_is_kept_from_its_cpu_notices() {
        let cpu = *cpus_allowed().last().expect("one");
        // Threads of equal right on one CPU take turns of milliseconds.
        let rivals: Vec<_> = (0..2).map(|_| thread::spawn(move || spin(cpu))).collect();
        for rival in rivals {
            let pauses = rival.join().expect("no panic").expect("pinned");
            assert!(pauses.sum > WATCH / 4, "{pauses:?}");
            assert!(pauses.longest <= pauses.sum && pauses.count > 0, "{pauses:?}");
        }
    }
}
