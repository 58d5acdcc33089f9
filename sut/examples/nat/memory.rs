//! Resident bytes a connection: what the process grows by between nothing and all of them held.

use super::Options;
use super::rig::{Crowd, PER_SUBSCRIBER, Rig};
use dataplane::burst::BURST;
use dataplane::frame::Arena;
use serde_json::json;

/// Resident memory of this process in bytes, as Linux tells.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let line = text.lines().find(|line| line.starts_with("Rss:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

pub(crate) fn measure(options: &Options) {
    let connections = options.connections;
    let crowd = Crowd::of(connections, PER_SUBSCRIBER);
    let mut arena = Arena::new(BURST).expect("memory");
    let before = resident().expect("/proc/self/smaps_rollup, which Linux has since 4.14");
    let mut rig = Rig::new(&mut arena, crowd, connections);
    rig.open(crowd, connections, |_| ());
    let grown = resident().expect("as before") - before;
    let held = rig.pipeline.connections().len();
    let counted = rig.pipeline.connections().bytes();
    options.print(
        &json!({"memory": {"connections": held, "resident_bytes": grown, "own_bytes": counted}}),
        format_args!(
            "{held} connections: {:.1} bytes each resident, {:.1} as the core counts them",
            grown as f64 / held as f64,
            counted as f64 / held as f64
        ),
    );
}
