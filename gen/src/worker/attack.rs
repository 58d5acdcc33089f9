//! Sends the packets of attacks that are due, after those that are measured.
//!
//! Open loops of their own, whose packets are in no schedule and no ledger of probes. How far an
//! attack has come is kept from phase to phase, so that a later one does not repeat the packets of
//! an earlier.

use super::Generator;
use crate::attack::{self, Attack, Kind};
use crate::ends::Ends;
use crate::schedule::Pacer;
use crate::tuple::spread;
use dataplane::burst::{BURST, Burst};
use dataplane::clock::Nanos;
use dataplane::frame::{Frame, SHORTEST};
use dataplane::port::Port;

/// How far the attacks of a core have come.
pub(super) struct Attacks {
    flood: Pacer,
    scan: Pacer,
    attackers: u32,
    flooded: u64,
    scanned: u64,
}

impl Attacks {
    pub(super) fn none() -> Attacks {
        let idle = Pacer::new(Nanos(0), 0.0, 0);
        Attacks { flood: idle.clone(), scan: idle, attackers: 0, flooded: 0, scanned: 0 }
    }

    /// The attacks of a phase. They do not draw from the seed, so that the measured packets are the
    /// same with and without them; half an interval keeps the two apart.
    pub(super) fn begin(&mut self, start: Nanos, attack: &Attack) {
        self.flood = Pacer::new(start, attack.syn_flood_per_s, 0);
        self.scan = Pacer::new(start, attack.scan_per_s, u64::MAX / 2);
        self.attackers = attack.attackers;
    }
}

impl<P: Port> Generator<P> {
    /// Sends what is due of the attacks, at most a burst of each; returns packets sent.
    #[inline]
    pub(super) fn attack(&mut self, now: Nanos) -> u32 {
        let mut sent = 0;
        if self.attacks.flood.is_due(now) {
            sent += self.send_attack(Kind::Flood, now);
        }
        if self.attacks.scan.is_due(now) {
            sent += self.send_attack(Kind::Scan, now);
        }
        sent
    }

    #[cold]
    fn send_attack(&mut self, kind: Kind, now: Nanos) -> u32 {
        let shed = self.attack_pacer(kind).shed(now);
        let room = self.port.room().min(BURST);
        let mut frames = Burst::new();
        self.port.alloc(&mut frames, room);
        let (mut count, mut aimless) = (0, 0);
        while count < frames.len() && self.attack_pacer(kind).take(now).is_some() {
            let target = match kind {
                Kind::Flood => Some(self.next_flood()),
                Kind::Scan => self.next_scan(),
            };
            let Some((shard, ends)) = target else {
                // A connection without a translation: there is no address to scan.
                aimless += 1;
                break;
            };
            let frame = &mut frames[count];
            frame.set_len(SHORTEST);
            attack::put(frame.head_mut(), &self.sender.hops[shard], ends, kind);
            count += 1;
        }
        let mut rest: Burst<P::Frame> = frames.drain(count..).collect();
        self.port.free(&mut rest);
        let accepted = if count > 0 { self.port.tx(&mut frames) } else { 0 };
        let unsent = shed + aimless + (count - accepted) as u64;
        self.trials[self.phase].attack.book_sent(kind, accepted as u64, unsent);
        accepted as u32
    }

    fn attack_pacer(&mut self, kind: Kind) -> &mut Pacer {
        match kind {
            Kind::Flood => &mut self.attacks.flood,
            Kind::Scan => &mut self.attacks.scan,
        }
    }

    /// Shard and ends of the next SYN of the flood.
    fn next_flood(&mut self) -> (usize, Ends) {
        let core = &self.plan.core;
        let number = self.attacks.flooded;
        self.attacks.flooded += 1;
        let (attacker, source_port, destination_port) =
            attack::flood(number, self.attacks.attackers);
        let shards = core.subscribers.len() as u32;
        let (shard, subscriber) = ((attacker % shards) as usize, attacker / shards);
        let host = attacker & u32::from(core.servers.hostmask());
        let source = u32::from(core.subscribers[shard].first) + subscriber;
        let destination = u32::from(core.servers.network()) | host;
        (shard, Ends::new((source, source_port), (destination, destination_port)))
    }

    /// Shard and ends of the next packet of the scan: to the external address of some connection.
    fn next_scan(&mut self) -> Option<(usize, Ends)> {
        if self.population.held() == 0 {
            return None;
        }
        let number = self.attacks.scanned;
        self.attacks.scanned += 1;
        let place = self.population.lot().pick((spread(number) >> 32) as u32);
        let flow = self.population.flow(place.slot);
        let ((external, port), (server, _)) = (flow.outer().source(), flow.outer().destination());
        let (source_port, destination_port) = attack::scan(number);
        let ends = Ends::new((server, source_port), (external, destination_port));
        (port != 0).then_some((flow.shard(), ends))
    }
}
