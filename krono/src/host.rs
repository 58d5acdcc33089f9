//! The fingerprint of this host: what [`format::host::Host`] asks for, from procfs and sysfs.

use crate::machine::{Machine, cpus_allowed};
use format::Host;

/// Version of the binary.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Git revision of the build, `-dirty` when the tree differed from it; `None` outside a repository.
pub const GIT: Option<&str> = option_env!("KRONO_GIT");

/// What `--version` prints: version and revision.
pub const VERSION_LINE: &str = match GIT {
    Some(_) => concat!(env!("CARGO_PKG_VERSION"), " (", env!("KRONO_REVISION"), ")"),
    None => VERSION,
};

/// Smallest page, in bytes. Every architecture DPDK and this crate run on in practice has it.
const PAGE_BYTES: u64 = 4096;

/// The fingerprint of `machine`. The frequency of the time-stamp counter is the caller's to give,
/// since it takes a calibration of some 20 ms.
pub fn fingerprint(machine: &Machine, tsc_hz: Option<u64>) -> Host {
    let cores = u32::try_from(cpus_allowed().len()).ok().filter(|&cores| cores > 0);
    let huge = machine.huge_pages().into_iter().map(|pages| pages.size_bytes);
    Host {
        name: machine.name(),
        cpu_model: machine.cpu_model(),
        cores,
        cpu_mhz: machine.cpu_mhz(),
        tsc_hz,
        memory_bytes: machine.memory_bytes(),
        kernel: machine.kernel(),
        os: machine.os(),
        governor: machine.governor(),
        smt: machine.smt(),
        thp: machine.thp(),
        mitigations: machine.mitigations(),
        numa_nodes: machine.numa_nodes(),
        page_sizes_bytes: Some(std::iter::once(PAGE_BYTES).chain(huge).collect()),
        isolated_cpus: machine.isolated(),
        clock_source: machine.clock_source(),
        nics: Some(
            machine.nics().iter().map(|(card, driver)| format!("{card} ({driver})")).collect(),
        ),
        virtualised: machine.virtualised(),
        dpdk: dpdk_version(),
        rustc: option_env!("KRONO_RUSTC").map(str::to_owned),
        build_flags: option_env!("KRONO_BUILD_FLAGS").map(str::to_owned),
    }
}

/// DPDK release this binary was built with; `None` in a build without DPDK.
pub fn dpdk_version() -> Option<String> {
    dataplane::port::dpdk::available().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_says_what_it_knows_and_no_more() {
        let (_root, machine) = crate::machine::tests::machine(&[(
            "proc/cpuinfo",
            "processor : 0\nmodel name : Some CPU\ncpu MHz : 2445.4\n",
        )]);
        let host = fingerprint(&machine, Some(2_445_432_000));
        assert_eq!(host.cpu_model.as_deref(), Some("Some CPU"));
        assert_eq!((host.cpu_mhz, host.tsc_hz), (Some(2445.4), Some(2_445_432_000)));
        assert_eq!((host.governor, host.thp, host.memory_bytes), (None, None, None));
        assert!(host.rustc.is_some_and(|rustc| rustc.starts_with("rustc ")));
    }
}
