//! Whatever happens, a core's work at one instant and what it keeps for others are bounded.
//!
//! A step receives up to 32 packets, sends each on at most once, lets as many go that were held, and
//! sends up to 16 messages, BFD packets among them. A log has 16,384 entries. (That nothing is
//! allocated in a step is measured where the step is taken, in `world.rs`.)

use super::{Checked, ensure};
use crate::view::View;

const FRAMES_PER_STEP: u64 = 32 + 32 + 16;
const LOG: u64 = 16_384;

#[derive(Default)]
pub(crate) struct Bounded {
    sent: Vec<u64>,
}

impl Bounded {
    pub(crate) fn step(&mut self, view: &View) -> Checked {
        self.sent.resize(view.cores.len(), 0);
        for (core, (it, before)) in view.cores.iter().zip(&mut self.sent).enumerate() {
            let sent = it.frames_sent - *before;
            *before = it.frames_sent;
            ensure(sent <= FRAMES_PER_STEP, "bounded", || {
                format!("core {core} has sent {sent} frames in one step")
            })?;
        }
        for half in view.shards.iter().flat_map(|shard| shard.halves.iter().flatten()) {
            ensure(half.backlog <= LOG, "bounded", || format!("a backlog too long: {half:?}"))?;
        }
        Ok(())
    }
}
