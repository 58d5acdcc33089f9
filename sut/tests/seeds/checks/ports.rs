//! No external port belongs to two subscribers' endpoints at the same time.
//!
//! A port that comes to the Internet from another endpoint than before is a violation if the core
//! that sent it knew of the first (it served it in this reign, or holds its copy), or if the first
//! comes back with the same port while no core has become master and packets go where they went: two
//! cores had given it out. A packet that is delivered to the wrong subscriber is one in the same way.

use super::established::Established;
use super::{Checked, ensure};
use crate::packet::End;
use crate::traffic::{Passed, Traffic};
use crate::view::View;
use dataplane::clock::Nanos;
use std::collections::HashMap;

#[derive(Clone, Copy, Debug)]
struct Owner {
    mapping: usize,
    since: Nanos,
    /// The core that has served it last, and in which reign.
    by: (usize, u64),
    before: Option<usize>,
}

#[derive(Default)]
pub(crate) struct Ports {
    owners: HashMap<End, Owner>,
}

impl Ports {
    pub(crate) fn see(
        &mut self,
        it: &Passed,
        view: &View,
        traffic: &mut Traffic,
        established: &mut Established,
    ) -> Checked {
        if !it.outbound {
            let inside = traffic.mappings[it.mapping].inside;
            return ensure(
                it.end == inside || !established.is_held(it.mapping, it.core, traffic),
                "ports",
                || format!("{it:?} was for {inside:?}"),
            );
        }
        let by = (it.core, view.shards[it.shard].reign);
        let new = Owner { mapping: it.mapping, since: it.at, by, before: None };
        let owner = self.owners.entry(it.end).or_insert(new);
        if owner.mapping == it.mapping {
            owner.by = by;
            return Ok(());
        }
        let first = owner.mapping;
        if traffic.mappings[first].outside == Some(it.end) {
            let knew = owner.by == by || established.is_held(first, it.core, traffic);
            ensure(!knew, "ports", || {
                format!("{it:?} has the port of mapping {first}: {owner:?}")
            })?;
            traffic.forget(first, None);
            established.forget(first, traffic);
        }
        let back = owner.before == Some(it.mapping)
            && owner.by.1 == by.1
            && view.shards[it.shard].steered_at < owner.since;
        ensure(!back, "ports", || format!("{it:?} and mapping {first} take turns: {owner:?}"))?;
        *owner = Owner { before: Some(first), ..new };
        Ok(())
    }
}
