//! Whether two runs may be set side by side.
//!
//! Absolute figures of different traffic or of different machines differ for reasons that have
//! nothing to do with the system under test. This says which reasons there are; it judges no
//! figure. A fact known on one side only is a reason too. One that is hidden on both, as a
//! container hides the governor, is none, except the CPU model: without that nothing says what the
//! hosts are.

use format::Summary;
use std::fmt::Debug;

/// Why the figures of `a` and `b` are not comparable, one reason each; empty if they are. Host
/// name, kernel, memory and momentary frequency are not asked for: they change without moving a
/// packet rate that is worth reporting.
pub fn obstacles(a: &Summary, b: &Summary) -> Vec<String> {
    let mut found = Vec::new();
    for summary in [a, b] {
        if !summary.valid {
            found.push(format!("run {} is invalid", summary.run.id));
        }
    }
    differ(&mut found, "genome", &a.throughput.genome, &b.throughput.genome);
    differ(&mut found, "layer", &a.throughput.layer, &b.throughput.layer);
    differ(&mut found, "testbed", &a.run.testbed, &b.run.testbed);
    let (a, b) = (&a.host, &b.host);
    known(&mut found, "CPU model", &a.cpu_model, &b.cpu_model);
    if a.cpu_model.is_none() && b.cpu_model.is_none() {
        found.push("CPU model is unknown on both hosts".to_owned());
    }
    known(&mut found, "SMT", &a.smt, &b.smt);
    known(&mut found, "governor", &a.governor, &b.governor);
    known(&mut found, "mitigations", &a.mitigations, &b.mitigations);
    known(&mut found, "NUMA nodes", &a.numa_nodes, &b.numa_nodes);
    known(&mut found, "page sizes", &a.page_sizes_bytes, &b.page_sizes_bytes);
    known(&mut found, "transparent huge pages", &a.thp, &b.thp);
    known(&mut found, "virtualisation", &a.virtualised, &b.virtualised);
    known(&mut found, "build flags", &a.build_flags, &b.build_flags);
    found
}

fn differ<T: PartialEq + Debug>(found: &mut Vec<String>, name: &str, a: &T, b: &T) {
    if a != b {
        found.push(format!("{name} differs ({a:?} and {b:?})"));
    }
}

fn known<T: PartialEq + Debug>(found: &mut Vec<String>, name: &str, a: &Option<T>, b: &Option<T>) {
    match (a, b) {
        (Some(a), Some(b)) => differ(found, name, a, b),
        (None, None) => {}
        _ => found.push(format!("{name} is unknown on one host")),
    }
}
