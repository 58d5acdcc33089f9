//! Looking at all of a world, for those who check it.

use super::{MS, World, subscriber_base};
use crate::net::Plug;
use crate::view::{CoreView, HalfView, ShardView, View};
use krononat::membership::Role;
use krononat::shard::Part;

impl World {
    pub(super) fn is_in_service(&self) -> bool {
        self.view.shards.iter().all(|shard| {
            let [Some(master), Some(standby)] = shard.halves else { return false };
            let roles = (master.role, standby.role) == (Role::Master, Role::Standby);
            roles && master.serves && shard.steered == Some(master.core) && !standby.serves
        })
    }

    pub(super) fn look(&mut self) {
        let (now, net) = (self.now, self.net.borrow());
        for (at, server) in self.servers.iter_mut().enumerate() {
            let others = 0..net.router() + 1;
            let is_bad = |other| net.has_trouble(at, other) || net.has_trouble(other, at);
            let recent = now.since(server.troubled_at).0 < 10 * MS;
            let late = recent && net.has_late();
            let is_cut = late || net.plug(at) != Plug::IN || others.into_iter().any(is_bad);
            if is_cut || server.asleep || self.router_asleep {
                (server.troubled_at, server.cut_at) = (now, now);
            } else if server.core.is_none() || server.leaving {
                server.troubled_at = now;
            }
        }
        let cores = self.servers.iter().enumerate().map(|(at, server)| CoreView {
            troubled_at: server.troubled_at,
            cut_at: server.cut_at,
            frames_sent: net.sent[at],
        });
        let cores: Vec<CoreView> = cores.collect();
        let before = std::mem::take(&mut self.view.shards);
        let shards = (0..self.shards.len()).map(|id| self.look_at(id, &cores, before.get(id)));
        let shards: Vec<ShardView> = shards.collect();
        for (id, (it, was)) in shards.iter().zip(&before).enumerate() {
            if it.is_other_than(was) {
                let ms = now.0 as f64 / MS as f64;
                self.trace.push(format!("{ms:9.2} ms      shard {id}: {}", it.outline()));
            }
        }
        self.view = View { now, cores, shards };
    }

    fn look_at(&self, id: usize, cores: &[CoreView], before: Option<&ShardView>) -> ShardView {
        let assigned = &self.shards[id];
        let slave = assigned.slave.expect("more than one server");
        let pair = [usize::from(assigned.master.server), usize::from(slave.server)];
        let halves = pair.map(|core| self.half(id, core));
        let steered = self.fib.route(subscriber_base(id), 0xc000_0201);
        let steered = steered.map(|port| usize::from(port.0));
        let now = self.now;
        let mut it = ShardView {
            halves,
            cores: pair,
            steered,
            steered_at: now,
            reign: 0,
            reigns_since: now,
            sound_since: None,
            calm_since: None,
        };
        let is_sound = |core: usize| cores[core].troubled_at < now;
        let Some(before) = before else { return it };
        (it.reign, it.reigns_since) = (before.reign, before.reigns_since);
        let is_new = |half: &HalfView| {
            let was = before.half(half.core);
            let is_master = |it: &HalfView| it.role == Role::Master;
            is_master(half) && was.is_none_or(|was| !is_master(was) || was.epoch != half.epoch)
        };
        if halves.iter().flatten().any(is_new) {
            (it.reign, it.reigns_since) = (before.reign + 1, now);
        }
        if steered == before.steered {
            it.steered_at = before.steered_at;
        }
        if pair.into_iter().all(is_sound) {
            it.sound_since = before.sound_since.or(Some(now));
        }
        let serves =
            |core| it.half(core).is_some_and(|half| half.serves && half.role == Role::Master);
        let is_calm = steered.is_some_and(|core| is_sound(core) && serves(core));
        if is_calm && it.reign == before.reign && steered == before.steered {
            it.calm_since = before.calm_since.or(Some(now));
        }
        it
    }

    fn half(&self, id: usize, core: usize) -> Option<HalfView> {
        let server = &self.servers[core];
        let it = server.core.as_ref()?;
        let shards = it.cluster()?.shards().enumerate();
        let (part, (_, member, link)) =
            shards.into_iter().find(|(_, (shard, ..))| *shard as usize == id)?;
        Some(HalfView {
            core,
            incarnation: server.incarnation,
            role: member.role(),
            epoch: member.epoch(),
            backlog: link.backlog(),
            refused: link.counts.not_restored,
            serves: it.pipeline().shard().is_served(Part(part as u8)),
        })
    }
}
