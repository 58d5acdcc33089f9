//! One shard as one of its two cores has it: what the core is for it, its end of the conversation with
//! the other one, and what it says there.
//!
//! [`Cluster`](super::Cluster) has one for each of its shards. A half reads no packet and sends none:
//! it takes in what a message has told, and writes the next one.

use crate::connections::{Connections, Copied};
use crate::membership::{Member, Role};
use crate::pipeline::Pipeline;
use crate::replicate::message::{self, ENTRIES_MAX, Entry, Head, WANTS, YIELDS};
use crate::replicate::{Link, SPARE};
use crate::timer::Tick;
use arrayvec::ArrayVec;
use dataplane::clock::Nanos;
use dataplane::frame::Frame;
use dataplane::identity::Identity;
use std::net::Ipv4Addr;

/// One shard, as this core has it.
pub(super) struct Half {
    pub(super) id: u32,
    pub(super) peer: Ipv4Addr,
    pub(super) base: u32,
    pub(super) addresses: u32,
    pub(super) member: Member,
    pub(super) link: Link,
    /// The message that asked, in doubt, or that said that the server leaves: what the other core says
    /// is an answer once it has heard it.
    pub(super) asked: u64,
    pub(super) answered: bool,
    /// It has slept, and nothing has been said since that it may believe.
    pub(super) awaits: bool,
    pub(super) served: bool,
}

impl Half {
    /// Time passes: the walk goes on, the member's patience runs out.
    pub(super) fn advance(&mut self, connections: &Connections, hears: bool, now: Nanos) {
        let before = self.member.role();
        if hears {
            self.member.tick(now);
        }
        match self.member.role() {
            Role::Master => {
                if before == Role::Joining {
                    self.link.begin();
                }
                self.link.walk(connections, now);
            }
            Role::Joining | Role::Standby => {
                let whole = self.link.is_whole() || self.member.is_draining(now);
                if whole {
                    self.member.set_whole(true, now);
                }
            }
            Role::Doubt => {}
        }
    }

    /// Writes what the master tells into the copy.
    pub(super) fn take_in(
        &mut self,
        head: &Head,
        entries: &[Entry],
        pipeline: &mut Pipeline,
        now: Nanos,
    ) {
        let (base, addresses) = (self.base, self.addresses);
        let tick = Tick::at(now);
        self.link.restore(head, entries, |entry| {
            let Some(copy) = entry.read(base, addresses) else { return false };
            pipeline.restore(&copy, SPARE, tick)
        });
    }

    #[expect(clippy::too_many_arguments, reason = "what a core has, and a shard of it needs")]
    pub(super) fn write<F: Frame>(
        &mut self,
        frame: &mut F,
        connections: &Connections,
        me: &Identity,
        key: &[u8; 16],
        batch: &mut ArrayVec<Copied, ENTRIES_MAX>,
        seen: bool,
        now: Nanos,
    ) {
        let next = self.link.next(connections, Tick::at(now), now, batch);
        let mut flags = 0;
        // A master that the network does not see serves nothing: whoever gets its packets may.
        let yields = self.member.yields() || self.member.role() == Role::Master && !seen;
        for (flag, set) in [(YIELDS, yields), (WANTS, self.member.wants())] {
            flags |= if set { flag } else { 0 };
        }
        let (shard, epoch, role) = (self.id, self.member.epoch(), self.member.role() as u8);
        let head = Head { shard, epoch, role, flags, ..next };
        frame.set_len(message::frame_len(batch.len()));
        let entries = batch.iter().map(|copy| Entry::new(copy, self.base));
        message::write(frame.bytes_mut(), me, self.peer, key, &head, entries);
        self.link.counts.bytes += frame.len() as u64;
    }
}
