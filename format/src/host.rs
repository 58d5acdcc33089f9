//! Fingerprint of the machine that made the numbers (`host.json`, and `host` in the summary).
//!
//! Absolute figures are comparable only between hosts whose fingerprints agree in what matters.
//! What could not be read is `None`, written as `null`: a container often hides governor, SMT or
//! memory layout, and a guess would be worse than a gap. Collecting the facts is `krono`'s
//! business.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is known about a host. Every field is `null` where it could not be read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Host {
    /// Name of the host, for people; never compared.
    pub name: Option<String>,
    /// CPU model, as the kernel names it.
    pub cpu_model: Option<String>,
    /// Logical CPUs this process may use.
    pub cores: Option<u32>,
    /// CPU frequency in MHz, as the kernel reported it at the start.
    pub cpu_mhz: Option<f64>,
    /// Calibrated frequency of the time-stamp counter in Hz: the unit of every cycle count.
    pub tsc_hz: Option<u64>,
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Kernel release, as of `uname -r`.
    pub kernel: Option<String>,
    /// Operating system, as of `/etc/os-release`.
    pub os: Option<String>,
    /// Frequency governor of the CPUs used.
    pub governor: Option<String>,
    /// Whether two logical CPUs share a core.
    pub smt: Option<bool>,
    /// Transparent huge pages: `always`, `madvise` or `never`.
    pub thp: Option<String>,
    /// CPU mitigations in force, one line of `/sys/devices/system/cpu/vulnerabilities` each.
    pub mitigations: Option<Vec<String>>,
    /// NUMA nodes.
    pub numa_nodes: Option<u32>,
    /// Sizes of the pages available, in bytes, smallest first.
    pub page_sizes_bytes: Option<Vec<u64>>,
    /// CPUs kept free of other work by `isolcpus`, as the kernel lists them; empty if none.
    pub isolated_cpus: Option<String>,
    /// Clock source of the kernel.
    pub clock_source: Option<String>,
    /// Network cards, `device (driver)` each.
    pub nics: Option<Vec<String>>,
    /// Hypervisor or container under which the host runs; `none` on bare metal.
    pub virtualised: Option<String>,
    /// DPDK release linked; `null` in a build without DPDK.
    pub dpdk: Option<String>,
    /// Compiler that built the binary, as of `rustc --version`.
    pub rustc: Option<String>,
    /// Profile, target CPU and features of the build.
    pub build_flags: Option<String>,
}
