//! One core serves a shard at any instant, in both directions.
//!
//! Two cores may both believe that they are master for as long as one of them is cut off: what
//! counts is the wire. Once the core that the router steers to has sent a packet of the shard's
//! users, another one may send only what was on its way to it, for as long as a drain lasts, and it
//! opens nothing.

use super::{Checked, ensure};
use crate::traffic::{Passed, Traffic};
use crate::view::View;
use dataplane::clock::Nanos;

/// `drain_ms` of the worlds, and the longest that a frame is under way.
const DRAIN: Nanos = Nanos(20_000_000 + 5_000_000);

pub(crate) struct OneCore {
    /// When the core that is steered to has first served, since it is.
    served_at: Vec<Option<(usize, Nanos)>>,
}

impl OneCore {
    pub(crate) fn new(shards: usize) -> OneCore {
        OneCore { served_at: vec![None; shards] }
    }

    pub(crate) fn step(&mut self, view: &View) {
        for (served, shard) in self.served_at.iter_mut().zip(&view.shards) {
            if served.is_some_and(|(core, _)| shard.steered != Some(core)) {
                *served = None;
            }
        }
    }

    pub(crate) fn see(&mut self, it: &Passed, view: &View, traffic: &Traffic) -> Checked {
        let (shard, served) = (&view.shards[it.shard], &mut self.served_at[it.shard]);
        if shard.steered == Some(it.core) {
            if it.at >= shard.steered_at {
                served.get_or_insert((it.core, it.at));
            }
            return Ok(());
        }
        let is_other = |(core, since): &(usize, Nanos)| *core != it.core && *since < it.at;
        let Some((other, since)) = served.filter(is_other) else { return Ok(()) };
        let began = traffic.sessions[it.session].made_at;
        ensure(began <= since, "one_core", || {
            format!("core {} opens {it:?} while {other} serves since {since:?}", it.core)
        })?;
        ensure(it.at.since(since) <= DRAIN, "one_core", || {
            format!("core {} sends {it:?} while {other} serves since {since:?}", it.core)
        })
    }
}
