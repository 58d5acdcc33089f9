//! All subscribers and all of the Internet: sessions that are opened all the time, answered, used
//! both ways and closed, and what their two ends see of it.
//!
//! A *mapping* is a subscriber's address and port; its external port must be the same for all of its
//! *sessions*, each with a remote of its own (RFC 4787 REQ-1). UDP has several of them, TCP one.
//! What is sent next follows from what has arrived; nothing is sent again but by chance.

use crate::dice::Dice;
use crate::net::Handle;
use crate::packet::{ACK, End, FIN, Fields, RST, SYN, TCP, UDP};
use crate::world::subscriber_base;
use dataplane::clock::Nanos;
use dataplane::frame::Frame;

/// Subscribers of a shard that are used, so that their port blocks are well filled.
const SUBSCRIBERS: usize = 3;

/// Most sessions that share a mapping.
const SHARING_MAX: usize = 4;

const REMOTE: u32 = 0xc000_0201;

/// How far a session has come, by what has arrived at its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    New,
    /// Its first packet has come to the Internet.
    Seen,
    /// TCP: SYN-ACK has come to the subscriber.
    Answered,
    /// UDP has been answered; the handshake is complete.
    Established,
    /// One end has said that it is over: nothing is asked of it any more.
    Closing,
}

pub(crate) struct Mapping {
    pub(crate) shard: usize,
    pub(crate) inside: End,
    pub(crate) protocol: u8,
    /// What the Internet knows it as.
    pub(crate) outside: Option<End>,
    pub(crate) sessions: Vec<usize>,
}

pub(crate) struct Session {
    pub(crate) mapping: usize,
    pub(crate) remote: End,
    pub(crate) stage: Stage,
    pub(crate) made_at: Nanos,
    /// The core, and the reign, that has seen the SYN.
    opened_by: Option<(usize, u64)>,
}

/// A packet that has passed a core, to one end of a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passed {
    pub(crate) session: usize,
    pub(crate) mapping: usize,
    pub(crate) shard: usize,
    pub(crate) core: usize,
    /// When it left the core.
    pub(crate) at: Nanos,
    pub(crate) outbound: bool,
    /// External address and port of an outbound packet; of an inbound one, the subscriber's.
    pub(crate) end: End,
}

#[derive(Default)]
pub(crate) struct Traffic {
    pub(crate) mappings: Vec<Mapping>,
    pub(crate) sessions: Vec<Session>,
}

impl Traffic {
    /// A session that did not exist before, of a shard: its first packet.
    pub(crate) fn open(&mut self, shard: usize, dice: &mut Dice, now: Nanos) -> usize {
        let shares = dice.permille(300);
        let open_udp = |mapping: &Mapping| {
            mapping.shard == shard
                && mapping.protocol == UDP
                && mapping.sessions.len() < SHARING_MAX
        };
        let from = self.mappings.len().saturating_sub(40);
        let shared = (from..self.mappings.len()).find(|&at| shares && open_udp(&self.mappings[at]));
        let mapping = shared.unwrap_or_else(|| {
            let subscriber = dice.below(SUBSCRIBERS);
            self.map(shard, subscriber, dice)
        });
        self.join(mapping, now)
    }

    /// The same of a subscriber who has no other.
    pub(crate) fn open_apart(&mut self, shard: usize, dice: &mut Dice, now: Nanos) -> usize {
        let mapping = self.map(shard, SUBSCRIBERS, dice);
        self.join(mapping, now)
    }

    fn map(&mut self, shard: usize, subscriber: usize, dice: &mut Dice) -> usize {
        let inside =
            (subscriber_base(shard) + subscriber as u32, 2000 + self.mappings.len() as u16);
        let protocol = if dice.permille(500) { UDP } else { TCP };
        let sessions = Vec::new();
        self.mappings.push(Mapping { shard, inside, protocol, outside: None, sessions });
        self.mappings.len() - 1
    }

    fn join(&mut self, mapping: usize, now: Nanos) -> usize {
        let number = self.mappings[mapping].sessions.len() as u32;
        let session = self.sessions.len();
        self.mappings[mapping].sessions.push(session);
        self.sessions.push(Session {
            mapping,
            remote: (REMOTE + number, 53),
            stage: Stage::New,
            made_at: now,
            opened_by: None,
        });
        session
    }

    /// What one of the ends of a session sends next.
    pub(crate) fn next(&mut self, session: usize, dice: &mut Dice) -> Fields {
        let stage = self.sessions[session].stage;
        let is_tcp = self.mappings[self.sessions[session].mapping].protocol == TCP;
        let closes = is_tcp && stage == Stage::Established && dice.permille(30);
        let (outbound, flags) = match stage {
            Stage::New => (true, SYN),
            Stage::Seen => match dice.permille(800) {
                true => (false, SYN | ACK),
                false => (true, SYN),
            },
            Stage::Answered => (true, if dice.permille(800) { ACK } else { SYN }),
            Stage::Established => (dice.permille(500), ACK),
            Stage::Closing => (dice.permille(500), FIN | ACK),
        };
        let flags = match closes {
            true => {
                self.sessions[session].stage = Stage::Closing;
                if dice.permille(300) { RST } else { FIN | ACK }
            }
            false => flags,
        };
        self.fields(session, outbound, flags)
    }

    /// A packet of a session, one way or the other.
    pub(crate) fn fields(&self, session: usize, outbound: bool, flags: u8) -> Fields {
        let it = &self.sessions[session];
        let mapping = &self.mappings[it.mapping];
        let (protocol, remote) = (mapping.protocol, it.remote);
        let (from, to) = match (outbound, mapping.outside) {
            (false, Some(outside)) => (remote, outside),
            _ => (mapping.inside, remote),
        };
        Fields { protocol, from, to, flags, session: session as u32 }
    }

    /// Takes in a frame that has come to the host. `reign` is the shard's by its number.
    pub(crate) fn arrived(
        &mut self,
        frame: &Handle,
        reign: impl Fn(usize) -> u64,
    ) -> Option<Passed> {
        let fields = Fields::read(frame.bytes())?;
        let session = fields.session as usize;
        let it = self.sessions.get_mut(session)?;
        let mapping = &self.mappings[it.mapping];
        let outbound = fields.to == it.remote;
        let is_tcp = mapping.protocol == TCP;
        let by = (frame.from, reign(mapping.shard));
        let is_its = outbound || fields.to == mapping.inside;
        it.stage = match (it.stage, outbound) {
            (stage, _) if !is_its => stage,
            // The SYN counts, for the same core must see all of the handshake.
            (Stage::New | Stage::Seen | Stage::Answered, true) if fields.flags == SYN => {
                it.opened_by = Some(by);
                Stage::Seen
            }
            (Stage::New, true) if !is_tcp => Stage::Seen,
            (Stage::Seen, false) if !is_tcp => Stage::Established,
            (Stage::Seen, false) if it.opened_by == Some(by) => Stage::Answered,
            (Stage::Answered, true) if it.opened_by == Some(by) => Stage::Established,
            (Stage::Answered | Stage::Seen, _) if is_tcp => Stage::New,
            (stage, _) => stage,
        };
        Some(Passed {
            session,
            mapping: it.mapping,
            shard: mapping.shard,
            core: frame.from,
            at: frame.sent_at,
            outbound,
            end: if outbound { fields.from } else { fields.to },
        })
    }

    /// What a session was is lost: it begins again, where its protocol allows.
    pub(crate) fn forget(&mut self, mapping: usize, outside: Option<End>) {
        self.mappings[mapping].outside = outside;
        for at in 0..self.mappings[mapping].sessions.len() {
            let session = self.mappings[mapping].sessions[at];
            if self.sessions[session].stage != Stage::Closing {
                self.sessions[session].stage = Stage::New;
            }
        }
    }

    pub(crate) fn is_settled(&self, session: usize) -> bool {
        self.sessions[session].stage == Stage::Established
    }
}
