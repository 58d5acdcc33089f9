//! Memory: enough of it, on large pages, and allowed to stay where it is.

use super::Finding;
use crate::machine::{HugePages, Machine};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// What the default scenarios take, with a margin: a million connections are about 100 MiB, the
/// frames of a pair of cores some 30 MiB.
const AVAILABLE_MIN_BYTES: u64 = 512 * MIB;
/// What DPDK locks and registers in one piece.
const LOCKABLE_MIN_BYTES: u64 = 64 * MIB;

/// What there is to say about memory.
pub(super) fn findings(machine: &Machine) -> Vec<Finding> {
    let lockable = getrlimit(Resource::RLIMIT_MEMLOCK).ok().map(|(soft, _)| soft);
    vec![
        available(machine.memory_available_bytes()).kept("host.json: memory_bytes"),
        thp(machine.thp().as_deref()).kept("host.json: thp"),
        huge_pages(&machine.huge_pages()).kept("host.json: page_sizes_bytes"),
        memlock(lockable),
    ]
}

fn available(bytes: Option<u64>) -> Finding {
    let name = "memory";
    match bytes {
        Some(bytes) if bytes < AVAILABLE_MIN_BYTES => Finding::warn(
            name,
            format!("{} MiB available", bytes / MIB),
            "free some, or use fewer connections; `krono explain SCENARIO` says what a run takes",
        ),
        Some(bytes) => Finding::ok(name, format!("{:.1} GiB available", bytes as f64 / GIB as f64)),
        None => {
            Finding::warn(name, "not visible", "compare `krono explain SCENARIO` with what is free")
        }
    }
}

fn thp(setting: Option<&str>) -> Finding {
    let name = "transparent huge pages";
    match setting {
        Some(setting @ ("always" | "madvise")) => {
            Finding::ok(name, format!("{setting}: tables and frames get 2 MiB pages"))
        }
        Some(_) => Finding::warn(
            name,
            "never: tables on 4 KiB pages are 15 to 30 % slower",
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        ),
        None => Finding::warn(
            name,
            "not visible, probably not there: tables on 4 KiB pages are 15 to 30 % slower",
            "use a kernel with CONFIG_TRANSPARENT_HUGEPAGE",
        ),
    }
}

fn huge_pages(pages: &[HugePages]) -> Finding {
    let name = "huge pages";
    let free: u64 = pages.iter().map(|page| page.free * page.size_bytes).sum();
    if free > 0 {
        return Finding::ok(name, format!("{} MiB free for DPDK", free / MIB));
    }
    Finding::warn(
        name,
        "none reserved: the embedded testbed needs none, DPDK then runs with --no-huge",
        "sysctl vm.nr_hugepages=512",
    )
}

fn memlock(limit: Option<u64>) -> Finding {
    let name = "locked memory";
    match limit {
        Some(RLIM_INFINITY) => Finding::ok(name, "no limit"),
        Some(limit) if limit < LOCKABLE_MIN_BYTES => Finding::warn(
            name,
            format!("at most {} KiB: DPDK may fail to lock its memory", limit / 1024),
            "ulimit -l unlimited, or LimitMEMLOCK=infinity in the unit file",
        ),
        Some(limit) => Finding::ok(name, format!("at most {} MiB", limit / MIB)),
        None => Finding::warn(name, "limit not visible", "ulimit -l shows it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Mark;

    #[test]
    fn what_spoils_a_measurement_is_marked() {
        let pages = |free| HugePages { size_bytes: 2 * MIB, reserved: 8, free };
        let table = [
            (available(Some(100 * MIB)), Mark::Warn),
            (available(Some(4 * GIB)), Mark::Ok),
            (thp(Some("never")), Mark::Warn),
            (thp(Some("always")), Mark::Ok),
            (huge_pages(&[pages(0)]), Mark::Warn),
            (huge_pages(&[pages(8)]), Mark::Ok),
            (memlock(Some(64 * 1024)), Mark::Warn),
            (memlock(Some(RLIM_INFINITY)), Mark::Ok),
        ];
        for (finding, mark) in table {
            assert_eq!(finding.mark, mark, "{finding:?}");
            assert_eq!(finding.remedy.is_some(), mark != Mark::Ok, "{finding:?}");
        }
    }
}
