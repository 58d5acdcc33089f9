//! Processors: enough of them, at a steady speed, undisturbed, with a clock one can trust.

use super::Finding;
use crate::machine::{Machine, cpus_allowed};

/// Load of other work from which cores of a run share their CPUs with it.
const LOAD_MAX: f64 = 0.5;

/// What there is to say about the processors.
pub(super) fn findings(machine: &Machine) -> Vec<Finding> {
    vec![
        cpus(cpus_allowed().len(), machine.cpu_quota()).kept("host.json: cores"),
        governor(machine.governor().as_deref()).kept("host.json: governor"),
        smt(machine.smt()).kept("host.json: smt"),
        isolated(machine.isolated().as_deref()).kept("host.json: isolated_cpus"),
        load(machine.load()),
        virtualised(machine.virtualised().as_deref()).kept("host.json: virtualised"),
        counter(machine.cpu_flag("constant_tsc"), machine.cpu_flag("nonstop_tsc")),
        clock_source(machine.clock_source().as_deref()).kept("host.json: clock_source"),
        mitigations(machine.mitigations().as_deref()).kept("host.json: mitigations"),
    ]
}

fn cpus(allowed: usize, quota: Option<f64>) -> Finding {
    let name = "cpus";
    let more = "run on more CPUs (a larger machine, taskset or the container's CPU set)";
    if let Some(quota) = quota.filter(|&quota| quota < allowed as f64) {
        return Finding::warn(
            name,
            format!("{allowed} CPUs, but the control group allows the time of {quota:.1} of them"),
            "lift the CPU limit of the container: throttled cores stop for milliseconds",
        );
    }
    match allowed {
        0 | 1 => Finding::fail(
            name,
            format!(
                "{allowed} CPU for this process; a run needs 2, one for the generator, one for the SUT"
            ),
            more,
        ),
        2 => Finding::warn(
            name,
            "2 CPUs: one generator core and one SUT core fill them, and the kernel's own work \
             falls on these",
            more,
        ),
        _ => Finding::ok(name, format!("{allowed} CPUs, room for {} cores of a run", allowed - 1)),
    }
}

fn governor(governor: Option<&str>) -> Finding {
    let name = "governor";
    match governor {
        Some("performance") => Finding::ok(name, "performance"),
        Some(other) => Finding::warn(
            name,
            format!("{other}: the CPU's speed changes during a run"),
            "cpupower frequency-set -g performance",
        ),
        None => Finding::ok(name, "not visible: the host or the firmware decides the speed"),
    }
}

fn smt(active: Option<bool>) -> Finding {
    let name = "smt";
    match active {
        Some(false) => Finding::ok(name, "no two CPUs share a core"),
        Some(true) => Finding::warn(
            name,
            "pairs of CPUs share a core: two busy neighbours take 20 to 40 % from each other",
            "echo off > /sys/devices/system/cpu/smt/control, or taskset to one CPU of each pair",
        ),
        None => Finding::warn(
            name,
            "not visible whether CPUs share a core",
            "ask whoever runs the host; compare runs of this host alone",
        ),
    }
}

fn isolated(cpus: Option<&str>) -> Finding {
    let name = "isolated cpus";
    match cpus {
        Some(list) if !list.is_empty() => {
            Finding::ok(name, format!("{list}: run krono there with taskset"))
        }
        _ => Finding::warn(
            name,
            "none: the kernel may put other work on the cores of a run, seen as pauses",
            "boot with isolcpus=, nohz_full= and rcu_nocbs= for the CPUs of the run",
        ),
    }
}

fn load(load: Option<f64>) -> Finding {
    let name = "load";
    match load {
        Some(load) if load > LOAD_MAX => Finding::warn(
            name,
            format!("{load:.2} CPUs were busy in the last minute"),
            "stop what else runs here, or wait",
        ),
        Some(load) => Finding::ok(name, format!("{load:.2} CPUs were busy in the last minute")),
        None => Finding::warn(name, "not visible", "measure on a host that shows /proc/loadavg"),
    }
}

fn virtualised(kind: Option<&str>) -> Finding {
    let name = "virtualised";
    match kind {
        Some("none") => Finding::ok(name, "no"),
        Some(kind) => Finding::warn(
            name,
            format!("{kind}: pauses and shared caches of neighbours cannot be seen from inside"),
            "for absolute figures use bare metal; relative ones are fine in interleaved pairs",
        ),
        None => Finding::warn(name, "not visible", "say in the report what the host is"),
    }
}

fn counter(constant: Option<bool>, nonstop: Option<bool>) -> Finding {
    let name = "time stamp counter";
    match (constant, nonstop) {
        (Some(true), Some(true)) => Finding::ok(name, "constant rate, runs in every sleep state"),
        (None, _) | (_, None) => Finding::warn(
            name,
            "not visible whether its rate is constant",
            "check that latencies agree with another clock before using them",
        ),
        _ => Finding::warn(
            name,
            "its rate changes or it stops in sleep: times and cycle counts are wrong",
            "use a host whose /proc/cpuinfo shows constant_tsc and nonstop_tsc",
        ),
    }
}

fn clock_source(source: Option<&str>) -> Finding {
    let name = "clock source";
    match source {
        Some("tsc") => Finding::ok(name, "tsc"),
        Some(other) => Finding::warn(
            name,
            format!("{other}: the kernel does not trust the time stamp counter, which krono uses"),
            "dmesg | grep -i tsc says why; boot with tsc=reliable only if the reason is known",
        ),
        None => Finding::warn(name, "not visible", "none needed if the counter above is constant"),
    }
}

fn mitigations(list: Option<&[String]>) -> Finding {
    let name = "mitigations";
    match list {
        Some([]) => Finding::ok(name, "none in force"),
        Some(list) => Finding::ok(
            name,
            format!(
                "{} in force, recorded with the run: figures compare only with hosts of the same",
                list.len()
            ),
        ),
        None => Finding::warn(name, "not visible", "compare figures with runs of this host alone"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Mark;

    #[test]
    fn what_spoils_a_measurement_is_marked() {
        let all = [String::from("retbleed: Mitigation: untrained return thunk")];
        let table = [
            (cpus(0, None), Mark::Fail),
            (cpus(1, None), Mark::Fail),
            (cpus(2, None), Mark::Warn),
            (cpus(8, None), Mark::Ok),
            (cpus(8, Some(2.5)), Mark::Warn),
            (cpus(8, Some(16.0)), Mark::Ok),
            (governor(Some("performance")), Mark::Ok),
            (governor(Some("powersave")), Mark::Warn),
            (smt(Some(true)), Mark::Warn),
            (isolated(Some("2-3")), Mark::Ok),
            (isolated(Some("")), Mark::Warn),
            (load(Some(3.0)), Mark::Warn),
            (virtualised(Some("kvm")), Mark::Warn),
            (counter(Some(true), Some(false)), Mark::Warn),
            (counter(Some(true), Some(true)), Mark::Ok),
            (clock_source(Some("kvm-clock")), Mark::Warn),
            (mitigations(Some(&all)), Mark::Ok),
        ];
        for (finding, mark) in table {
            assert_eq!(finding.mark, mark, "{finding:?}");
            assert_eq!(finding.remedy.is_some(), mark != Mark::Ok, "{finding:?}");
        }
    }
}
