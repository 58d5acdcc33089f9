//! What procfs and sysfs say about the machine, one question per function.
//!
//! Every answer is optional: a container hides much of this, other kernels name it differently, and
//! a guess would be worse than a gap. All files are read below a root directory, so that tests can
//! show a machine that is not there. [`crate::host`] makes the fingerprint of it and
//! [`crate::doctor`] the advice; nothing here judges or changes anything.

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use std::fs;
use std::path::PathBuf;

/// A machine as its files describe it.
#[derive(Clone, Debug)]
pub struct Machine {
    root: PathBuf,
}

/// CPU time since boot, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuTime {
    /// Taken by the hypervisor while this machine wanted to run.
    pub stolen: u64,
    /// All time, idle included.
    pub all: u64,
}

impl CpuTime {
    /// Share of the time stolen since `earlier`, 0 to 1; `None` if no tick has passed.
    pub fn steal_share_since(self, earlier: CpuTime) -> Option<f64> {
        let all = self.all.saturating_sub(earlier.all);
        let stolen = self.stolen.saturating_sub(earlier.stolen);
        (all > 0).then(|| (stolen as f64 / all as f64).min(1.0))
    }
}

/// Explicit huge pages of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HugePages {
    /// Size of a page in bytes.
    pub size_bytes: u64,
    /// Pages reserved.
    pub reserved: u64,
    /// Pages free.
    pub free: u64,
}

/// One energy counter, as read at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnergyCounter {
    /// Microjoules.
    pub energy_uj: u64,
    /// Where it starts again from 0, in microjoules.
    pub range_uj: u64,
}

impl EnergyCounter {
    /// Microjoules since `earlier`, if it has gone round at most once.
    pub fn since(self, earlier: EnergyCounter) -> u64 {
        match self.energy_uj.checked_sub(earlier.energy_uj) {
            Some(spent) => spent,
            None => earlier.range_uj.saturating_sub(earlier.energy_uj) + self.energy_uj,
        }
    }
}

impl Machine {
    /// The machine this process runs on.
    pub fn this() -> Machine {
        Machine::below("/")
    }

    /// The machine whose `proc` and `sys` lie below `root`.
    pub fn below(root: impl Into<PathBuf>) -> Machine {
        Machine { root: root.into() }
    }

    /// Content of a file without surrounding white space; `None` if unreadable or empty.
    pub fn text(&self, path: &str) -> Option<String> {
        let text = fs::read_to_string(self.root.join(path)).ok()?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// Whether a file exists.
    pub fn has(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    /// Names in a directory, sorted; none if unreadable.
    fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// First value of a key in a file of `key: value` lines.
    fn keyed(&self, path: &str, key: &str) -> Option<String> {
        self.text(path)?.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == key).then(|| value.trim().to_owned())
        })
    }

    fn cpuinfo(&self, key: &str) -> Option<String> {
        self.keyed("proc/cpuinfo", key)
    }

    /// A quantity of `/proc/meminfo`, in bytes.
    fn meminfo(&self, key: &str) -> Option<u64> {
        let kib: u64 = self.keyed("proc/meminfo", key)?.strip_suffix(" kB")?.parse().ok()?;
        Some(kib * 1024)
    }

    /// Name of the host.
    pub fn name(&self) -> Option<String> {
        self.text("proc/sys/kernel/hostname")
    }

    /// CPU model, as the kernel names it.
    pub fn cpu_model(&self) -> Option<String> {
        self.cpuinfo("model name")
    }

    /// Momentary CPU frequency in MHz.
    pub fn cpu_mhz(&self) -> Option<f64> {
        self.cpuinfo("cpu MHz")?.parse().ok()
    }

    /// Whether the CPU has a flag such as `constant_tsc`; `None` where flags are not listed.
    pub fn cpu_flag(&self, flag: &str) -> Option<bool> {
        let flags = self.cpuinfo("flags")?;
        Some(flags.split(' ').any(|found| found == flag))
    }

    /// Processors, idle or not.
    pub fn processors(&self) -> usize {
        let text = self.text("proc/cpuinfo").unwrap_or_default();
        text.lines().filter(|line| line.starts_with("processor")).count()
    }

    /// Governor of the first CPU.
    pub fn governor(&self) -> Option<String> {
        self.text("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    }

    /// Whether two logical CPUs share a core.
    pub fn smt(&self) -> Option<bool> {
        self.text("sys/devices/system/cpu/smt/active").map(|text| text == "1")
    }

    /// CPUs kept free of other work by `isolcpus`, as the kernel lists them; empty if none.
    pub fn isolated(&self) -> Option<String> {
        let path = self.root.join("sys/devices/system/cpu/isolated");
        fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
    }

    /// Setting of transparent huge pages: `always`, `madvise` or `never`.
    pub fn thp(&self) -> Option<String> {
        let text = self.text("sys/kernel/mm/transparent_hugepage/enabled")?;
        let (_, rest) = text.split_once('[')?;
        rest.split_once(']').map(|(chosen, _)| chosen.to_owned())
    }

    /// Explicit huge pages, smallest first.
    pub fn huge_pages(&self) -> Vec<HugePages> {
        let folder = "sys/kernel/mm/hugepages";
        let mut pages: Vec<HugePages> = self
            .names(folder)
            .iter()
            .filter_map(|name| {
                let kib: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
                Some(HugePages {
                    size_bytes: kib * 1024,
                    reserved: self.number(&format!("{folder}/{name}/nr_hugepages"))?,
                    free: self.number(&format!("{folder}/{name}/free_hugepages"))?,
                })
            })
            .collect();
        pages.sort_by_key(|page| page.size_bytes);
        pages
    }

    /// CPU mitigations in force, `name: state` each; what does not affect this CPU is left out.
    pub fn mitigations(&self) -> Option<Vec<String>> {
        let folder = "sys/devices/system/cpu/vulnerabilities";
        let names = self.names(folder);
        let states = names.iter().filter_map(|name| {
            let state = self.text(&format!("{folder}/{name}"))?;
            (state != "Not affected").then(|| format!("{name}: {state}"))
        });
        (!names.is_empty()).then(|| states.collect())
    }

    /// NUMA nodes.
    pub fn numa_nodes(&self) -> Option<u32> {
        let is_node =
            |name: &&String| name.strip_prefix("node").is_some_and(|n| n.parse::<u32>().is_ok());
        let nodes = self.names("sys/devices/system/node").iter().filter(is_node).count() as u32;
        (nodes > 0).then_some(nodes)
    }

    /// Clock source of the kernel, such as `tsc` or `kvm-clock`.
    pub fn clock_source(&self) -> Option<String> {
        self.text("sys/devices/system/clocksource/clocksource0/current_clocksource")
    }

    /// Network cards, `(device, driver)` each: interfaces of the kernel that have a device, and PCI
    /// cards in the hands of a program.
    pub fn nics(&self) -> Vec<(String, String)> {
        const NETWORK_CLASS: &str = "0x02";
        let driver = |device: &str| {
            let link = fs::read_link(self.root.join(device).join("driver")).ok()?;
            Some(link.file_name()?.to_str()?.to_owned())
        };
        let names = self.names("sys/class/net").into_iter();
        let kernel = names.filter_map(|name| {
            let driver = driver(&format!("sys/class/net/{name}/device"))?;
            Some((name, driver))
        });
        const PCI: &str = "sys/bus/pci/devices";
        let handed_out = self.names(PCI).into_iter().filter_map(|address| {
            let device = format!("{PCI}/{address}");
            let class = self.text(&format!("{device}/class"))?;
            let taken = class.starts_with(NETWORK_CLASS) && !self.has(&format!("{device}/net"));
            // The interface of a paravirtual card hangs one device deeper.
            let driver = driver(&device).filter(|name| taken && name != "virtio-pci")?;
            Some((address, driver))
        });
        kernel.chain(handed_out).collect()
    }

    /// Interrupts of devices since boot, for each CPU: the numbered lines of `/proc/interrupts`, so
    /// neither timers nor calls between CPUs.
    pub fn device_interrupts(&self) -> Option<Vec<u64>> {
        let text = self.text("proc/interrupts")?;
        let mut lines = text.lines();
        let cpus: Vec<usize> = lines
            .next()?
            .split_whitespace()
            .filter_map(|name| name.strip_prefix("CPU")?.parse().ok())
            .collect();
        let mut counts = vec![0; cpus.iter().max()? + 1];
        for line in lines {
            let Some((source, rest)) = line.split_once(':') else { continue };
            if source.trim().parse::<u32>().is_ok() {
                for (&cpu, count) in cpus.iter().zip(rest.split_whitespace()) {
                    counts[cpu] += count.parse::<u64>().unwrap_or(0);
                }
            }
        }
        Some(counts)
    }

    /// Kernel release.
    pub fn kernel(&self) -> Option<String> {
        self.text("proc/sys/kernel/osrelease")
    }

    /// Operating system, from `/etc/os-release`.
    pub fn os(&self) -> Option<String> {
        self.text("etc/os-release")?
            .lines()
            .find_map(|line| Some(line.strip_prefix("PRETTY_NAME=")?.trim_matches('"').to_owned()))
    }

    /// Container or hypervisor, the inner one first; `none` on bare metal as far as can be seen.
    pub fn virtualised(&self) -> Option<String> {
        let container = [(".dockerenv", "docker"), ("run/.containerenv", "podman")]
            .into_iter()
            .find_map(|(file, name)| self.has(file).then(|| name.to_owned()));
        let hypervisor = self.cpu_flag("hypervisor")?.then(|| {
            let product = self.text("sys/class/dmi/id/sys_vendor");
            let kind = self.text("sys/hypervisor/type");
            kind.or(product).unwrap_or_else(|| "unknown hypervisor".to_owned())
        });
        Some(match (container, hypervisor) {
            (Some(container), Some(hypervisor)) => format!("{container} on {hypervisor}"),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => "none".to_owned(),
        })
    }

    /// Energy counters of the processor packages (RAPL), in the order of their names. Readable by
    /// root alone on most kernels.
    pub fn energy(&self) -> Vec<EnergyCounter> {
        const ZONES: &str = "sys/class/powercap";
        let zones = self.names(ZONES).into_iter().map(|name| format!("{ZONES}/{name}"));
        // `psys` holds the packages, cores and memory lie in them: counted once, as packages.
        let package = |zone: &String| {
            self.text(&format!("{zone}/name")).is_some_and(|name| name.starts_with("package-"))
        };
        zones
            .filter(package)
            .filter_map(|zone| {
                Some(EnergyCounter {
                    energy_uj: self.number(&format!("{zone}/energy_uj"))?,
                    range_uj: self.number(&format!("{zone}/max_energy_range_uj"))?,
                })
            })
            .collect()
    }

    /// Memory in bytes.
    pub fn memory_bytes(&self) -> Option<u64> {
        self.meminfo("MemTotal")
    }

    /// Memory that can still be had, in bytes: the kernel's estimate, or what the control group
    /// leaves if that is less.
    pub fn memory_available_bytes(&self) -> Option<u64> {
        let machine = self.meminfo("MemAvailable");
        let group = self.number("sys/fs/cgroup/memory.max").map(|limit| {
            limit.saturating_sub(self.number("sys/fs/cgroup/memory.current").unwrap_or(0))
        });
        machine.into_iter().chain(group).min()
    }

    /// CPUs' worth of time the control group allows; `None` without a limit.
    pub fn cpu_quota(&self) -> Option<f64> {
        let text = self.text("sys/fs/cgroup/cpu.max")?;
        let (quota, period) = text.split_once(' ')?;
        let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
        (period > 0.0).then(|| quota / period)
    }

    /// Processes running or waiting for a CPU, mean of the last minute.
    pub fn load(&self) -> Option<f64> {
        self.text("proc/loadavg")?.split(' ').next()?.parse().ok()
    }

    /// CPU time since boot: the `cpu` line of `/proc/stat`, of which the first eight columns count
    /// (guest time is part of user time) and the eighth is stolen.
    pub fn cpu_time(&self) -> Option<CpuTime> {
        let text = self.text("proc/stat")?;
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> =
            line.split_whitespace().take(8).map_while(|tick| tick.parse().ok()).collect();
        let stolen = *ticks.get(7)?;
        Some(CpuTime { stolen, all: ticks.iter().sum() })
    }
}

/// Numbers of the CPUs this process may run on, ascending; empty where the kernel does not say.
pub fn cpus_allowed() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else { return Vec::new() };
    (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use tempfile::TempDir;

    /// A machine made of these files.
    pub(crate) fn machine(files: &[(&str, &str)]) -> (TempDir, Machine) {
        let root = tempfile::tempdir().expect("a temporary directory");
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a path below the root")).expect("created");
            fs::write(path, content).expect("written");
        }
        let machine = Machine::below(root.path());
        (root, machine)
    }

    #[test]
    fn what_is_not_there_is_not_known() {
        let (_root, machine) = machine(&[]);
        assert_eq!(machine.cpu_model(), None);
        assert_eq!(machine.virtualised(), None);
        assert_eq!(machine.mitigations(), None);
        assert_eq!(machine.memory_available_bytes(), None);
        assert_eq!(machine.cpu_time(), None);
        assert_eq!((machine.huge_pages(), machine.processors()), (vec![], 0));
    }

    #[test]
    fn files_of_a_known_machine_are_understood() {
        let (_root, machine) = machine(&[
            ("proc/cpuinfo", "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t: tsc hypervisor\n\n"),
            ("proc/loadavg", "0.42 0.30 0.10 1/100 4242\n"),
            ("proc/stat", "cpu  100 0 50 800 10 5 5 30 7 7\ncpu0 1 1\n"),
            ("proc/meminfo", "MemTotal: 1000 kB\nMemFree: 10 kB\nMemAvailable: 900 kB\n"),
            ("sys/fs/cgroup/memory.max", "512000\n"),
            ("sys/fs/cgroup/memory.current", "12000\n"),
            ("sys/fs/cgroup/cpu.max", "150000 100000\n"),
            ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
            ("sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", "0\n"),
            ("sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", "0\n"),
            ("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "8\n"),
            ("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "3\n"),
            ("sys/devices/system/cpu/vulnerabilities/l1tf", "Not affected\n"),
            ("sys/devices/system/cpu/vulnerabilities/retbleed", "Mitigation: untrained\n"),
            ("sys/devices/system/node/node0/x", ""),
            ("sys/devices/system/node/node1/x", ""),
            ("sys/devices/system/node/online", "0-1"),
            (".dockerenv", ""),
        ]);
        assert_eq!(machine.cpu_model().as_deref(), Some("AMD EPYC"));
        assert_eq!(machine.cpu_time(), Some(CpuTime { stolen: 30, all: 1000 }));
        assert_eq!(machine.memory_bytes(), Some(1_024_000));
        assert_eq!(machine.memory_available_bytes(), Some(500_000));
        assert_eq!((machine.load(), machine.cpu_quota()), (Some(0.42), Some(1.5)));
        assert_eq!(machine.thp().as_deref(), Some("madvise"));
        let sizes: Vec<_> = machine.huge_pages().iter().map(|p| (p.size_bytes, p.free)).collect();
        assert_eq!(sizes, [(2 << 20, 3), (1 << 30, 0)]);
        let mitigations = machine.mitigations().expect("listed");
        assert_eq!(mitigations, ["retbleed: Mitigation: untrained"]);
        assert_eq!(machine.numa_nodes(), Some(2));
        assert_eq!(machine.virtualised().as_deref(), Some("docker on unknown hypervisor"));
    }

    #[test]
    fn cards_are_named_with_their_drivers() {
        let (root, machine) = machine(&[
            ("sys/class/net/eth0/device/x", ""),
            ("sys/class/net/lo/x", ""),
            ("sys/bus/pci/devices/0000:3b:00.0/class", "0x020000\n"),
            ("sys/bus/pci/devices/0000:3c:00.0/class", "0x010802\n"),
        ]);
        let link = |device: &str, driver: &str| {
            let device = root.path().join(device).join("driver");
            std::os::unix::fs::symlink(format!("../drivers/{driver}"), device).expect("linked");
        };
        link("sys/class/net/eth0/device", "ice");
        link("sys/bus/pci/devices/0000:3b:00.0", "vfio-pci");
        link("sys/bus/pci/devices/0000:3c:00.0", "nvme");
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(machine.nics(), [pair("eth0", "ice"), pair("0000:3b:00.0", "vfio-pci")]);
    }

    #[test]
    fn only_devices_count_as_interrupts() {
        let table = "           CPU0       CPU2\n  9:          1          0   IO-APIC   9-edge acpi\n\
                     24:         40          7   PCI-MSI  eth0\nLOC:     999999     999999   timer\n";
        let (_root, machine) = machine(&[("proc/interrupts", table)]);
        assert_eq!(machine.device_interrupts(), Some(vec![41, 0, 7]));
    }

    #[test]
    fn steal_is_a_share_of_the_time_passed() {
        let before = CpuTime { stolen: 10, all: 1000 };
        assert_eq!(CpuTime { stolen: 30, all: 1100 }.steal_share_since(before), Some(0.2));
        assert_eq!(before.steal_share_since(before), None);
    }

    #[test]
    fn this_process_may_run_somewhere() {
        assert!(!cpus_allowed().is_empty());
    }
}
