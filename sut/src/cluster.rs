//! A core's part in a cluster: its shards, the cores that hold the others' halves, and the router that
//! watches it. All of it on the packet thread, between bursts, through the core's own port.
//!
//! [`Cluster::receive`] takes the core's own packets out of a burst before the pipeline sees it, and
//! takes over a shard whose packets have come where nobody serves it. [`Cluster::work`] comes after
//! the burst: what has changed is told, what is due is sent. Both are bounded.
//!
//! The core announces itself (its BFD session comes up) once each shard that is its duty is served
//! here, or will be from the first packet on. A core whose session goes down serves nothing until it
//! has heard that nobody else does. With BGP it announces each shard for itself, and the session of
//! BFD only watches ([`crate::route`]).

mod course;
mod half;

use crate::config::{self, Config, CoreConfig, Duty};
use crate::connections::{Connections, Copied, Place};
use crate::membership::{Heard, Member, Patience, Role};
use crate::pipeline::Pipeline;
use crate::replicate::message::{self, ENTRIES_MAX, WANTS, YIELDS};
use crate::replicate::{Link, Received};
use crate::route::{self, Speaker};
use crate::shard::{Part, Shard};
use arrayvec::ArrayVec;
use course::Course;
use dataplane::bfd::{self, Session};
use dataplane::burst::Burst;
use dataplane::clock::Nanos;
use dataplane::frame::{Frame, HEAD};
use dataplane::identity::Identity;
use dataplane::port::Port;
use dataplane::wire::{bfd as watch, ipv4};
use half::Half;
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::num::{NonZeroU8, NonZeroU32};

/// Time between two looks at what is due, while nothing has changed.
const LOOK_EVERY: Nanos = Nanos(50_000);

/// Most messages one look sends.
const MESSAGES_PER_LOOK: usize = 16;

/// How long a core waits for the other one of a shard before it takes it for gone.
const ALONE: Nanos = Nanos(200_000_000);

/// Time between two steps after which a core has slept, and looks it takes then before it misses
/// anybody: what came meanwhile is in its queues.
const SLEPT: Nanos = Nanos(1_000_000);
const STEPS_TO_SETTLE: u32 = 8;

/// Bytes of the headers that [`udp_to`] looks at: a shorter frame has none of them.
const DATAGRAM_MIN: usize = 42;

/// What a core of a cluster has done, beside its packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames received for the core itself, and sent by it: BFD and messages.
    pub received: u64,
    /// See [`Counts::received`].
    pub sent: u64,
    /// Messages that were none of a peer's: not sealed with the key, or about no shard of ours.
    pub strangers: u64,
    /// BFD packets refused.
    pub bfd_refused: u64,
    /// Times the session with the router has gone down.
    pub cut_off: u64,
    /// Times the core has slept for so long that it may have been replaced.
    pub slept: u64,
}

/// One core's part in a cluster.
pub struct Cluster {
    me: Identity,
    key: [u8; 16],
    router: Option<Ipv4Addr>,
    session: Option<Session>,
    /// Where the router learns by BGP what to send here.
    speaker: Option<Speaker>,
    halves: Vec<Half>,
    beat: Nanos,
    /// After so long without a word of it the router misses a core, and a core the router.
    detection: Nanos,
    /// When the router may have missed this core last.
    cut_at: Nanos,
    started: bool,
    announced: bool,
    /// The router sees this core, or there is none.
    seen: bool,
    was_seen: bool,
    course: Course,
    /// A shard that is not served here may be, from its first packet on.
    watchful: bool,
    /// It asks whether it is master still: how long packets can wait for the answer.
    asking_until: Option<Nanos>,
    stepped: Nanos,
    /// Looks to come before it may miss somebody.
    settling: u32,
    looked: Nanos,
    dirty: bool,
    random: Xoshiro256PlusPlus,
    batch: Box<ArrayVec<Copied, ENTRIES_MAX>>,
    counts: Counts,
}

impl Cluster {
    /// The part of `core`, whose shards `shard` has in the order of the configuration. `random`
    /// must differ from start to start.
    pub fn new(config: &Config, core: &CoreConfig, shard: &Shard, random: u64) -> Option<Cluster> {
        let settings = config.cluster.as_ref()?;
        let us = |us: u64| Nanos(us * 1_000);
        let interval = us(settings.bfd_interval_us);
        let detection = Nanos(interval.0 * u64::from(settings.bfd_multiplier));
        let beat = us(settings.beat_us);
        let patience = Patience {
            silent: Nanos(3 * beat.0),
            alone: Nanos(ALONE.0.max(10 * beat.0)),
            // One that could answer and does not for so long is missed by the router as well.
            answer: Nanos((2 * detection.0).max(10 * beat.0)),
            drain: us(1_000 * settings.drain_ms),
        };
        let mut random = Xoshiro256PlusPlus::seed_from_u64(random);
        let half = |(at, it): (usize, &config::ShardConfig)| {
            let addresses = shard.addresses_of(Part(at as u8));
            let slots = u64::from(addresses.start) << 16..u64::from(addresses.end) << 16;
            Half {
                id: it.id,
                peer: it.peer,
                base: addresses.start,
                addresses: addresses.end - addresses.start,
                member: Member::new(it.duty == Duty::Master, patience, Nanos(0)),
                link: Link::new(random.next_u64() | 1, slots),
                asked: 0,
                answered: false,
                awaits: false,
                served: false,
            }
        };
        let halves = core.shards.iter().enumerate().map(half).collect();
        let speaker = speaker(settings, core, random.next_u64());
        let multiplier = NonZeroU8::new(settings.bfd_multiplier).unwrap_or(NonZeroU8::MIN);
        let timing = bfd::Settings { min_tx: interval, min_rx: interval, multiplier };
        let discriminator = NonZeroU32::new(core.identity.ip.into()).unwrap_or(NonZeroU32::MIN);
        let session = settings.router.map(|_| {
            let mut session = Session::new(timing, discriminator, random.next_u64());
            session.set_admin_down(watch::Diagnostic::AdminDown);
            session
        });
        Some(Cluster {
            me: core.identity,
            key: settings.key.0,
            router: settings.router,
            seen: session.is_none(),
            was_seen: false,
            session,
            speaker,
            halves,
            beat,
            detection,
            cut_at: Nanos(0),
            started: false,
            announced: false,
            course: Course::Serving,
            watchful: false,
            asking_until: None,
            stepped: Nanos(0),
            settling: 0,
            looked: Nanos(0),
            dirty: true,
            random,
            batch: Box::default(),
            counts: Counts::default(),
        })
    }

    /// What the core has done.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Each shard: its number, this core's view of it, and its end of the conversation.
    pub fn shards(&self) -> impl Iterator<Item = (u32, &Member, &Link)> {
        self.halves.iter().map(|half| (half.id, &half.member, &half.link))
    }

    /// Whether the router sees this core.
    pub fn is_seen(&self) -> bool {
        self.seen
    }

    /// Whether the core has slept or was cut off, and asks for one of its shards whether it is to serve
    /// it. An answer takes a fraction of a millisecond; that nobody answers is known after twice the
    /// detection time. Packets wait no longer than three times that: one that speaks and does not hear
    /// can keep this core asking for as long as it is deaf.
    #[inline]
    pub fn is_asking(&self, now: Nanos) -> bool {
        self.asking_until.is_some_and(|until| now < until)
    }

    /// Moves packets of shards that are asked about from a burst to those that wait for the answer, as
    /// long as there is room.
    #[cold]
    pub fn set_aside<F: Frame>(
        &self,
        burst: &mut Burst<F>,
        waiting: &mut VecDeque<F>,
        pipeline: &Pipeline,
    ) {
        let in_doubt = |part: Part| self.halves[usize::from(part.0)].member.role() == Role::Doubt;
        let mut others = Burst::new();
        for frame in burst.drain(..) {
            let waits = pipeline.unserved(frame.head()).is_some_and(in_doubt);
            match waits && waiting.len() < waiting.capacity() {
                true => waiting.push_back(frame),
                false => others.push(frame),
            }
        }
        *burst = others;
    }

    /// The session by which the router learns what to send here, where there is one.
    pub fn speaker(&self) -> Option<&Speaker> {
        self.speaker.as_ref()
    }

    /// Takes its own packets out of a burst, to `mine`, and takes over what has to be.
    #[inline]
    pub fn receive<F: Frame>(
        &mut self,
        burst: &mut Burst<F>,
        mine: &mut Burst<F>,
        pipeline: &mut Pipeline,
        now: Nanos,
    ) {
        self.wake(pipeline, now);
        let me = u32::from(self.me.ip);
        let speaker = self.speaker.as_ref();
        let is_mine = |frame: &F| {
            let (head, len) = (frame.head(), frame.len());
            let is_datagram =
                len >= DATAGRAM_MIN && matches!(udp_to(head, me), message::PORT | watch::PORT);
            is_datagram || speaker.is_some_and(|speaker| speaker.is_for(head, len))
        };
        if burst.iter().any(is_mine) {
            let (own, others): (Burst<F>, Burst<F>) = burst.drain(..).partition(is_mine);
            *burst = others;
            self.counts.received += own.len() as u64;
            own.iter().for_each(|frame| self.hear(frame.bytes(), pipeline, now));
            self.apply(pipeline, now);
            *mine = own;
        }
        if self.watchful {
            for frame in burst.iter() {
                self.take_over(frame.head(), pipeline, now);
            }
        }
    }

    /// Notices that time has passed without this core: whoever was replaced meanwhile must not go on.
    fn wake(&mut self, pipeline: &mut Pipeline, now: Nanos) {
        if !self.started {
            self.started = true;
            self.stepped = now;
            self.halves.iter_mut().for_each(|half| half.member.start(now));
        }
        let gap = now.since(self.stepped);
        if gap > SLEPT {
            self.sleep(gap, pipeline, now);
        }
        self.stepped = now;
    }

    #[cold]
    fn sleep(&mut self, gap: Nanos, pipeline: &mut Pipeline, now: Nanos) {
        self.settling = STEPS_TO_SETTLE;
        let Some(session) = &mut self.session else { return };
        session.excuse(gap.since(SLEPT), now);
        // Whoever sleeps longer may have been replaced: its last packet was sent before.
        if gap.0 > self.detection.0 * 2 / 3 {
            self.counts.slept += 1;
            if gap.0 > 2 * self.detection.0 {
                // What came meanwhile is too old to be served.
                self.asking_until = Some(now);
            }
            self.doubt(self.stepped, now);
            self.halves.iter_mut().for_each(|half| half.member.wake(now));
            self.ask_anew();
            self.apply(pipeline, now);
        }
    }

    /// What was said while it slept is in its queues, and may long be past: nothing is believed before
    /// it answers what is asked now.
    fn ask_anew(&mut self) {
        for half in &mut self.halves {
            half.asked = half.link.next_counter();
            half.awaits = true;
            half.link.has_news();
        }
        self.dirty = true;
    }

    fn doubt(&mut self, then: Nanos, now: Nanos) {
        for half in &mut self.halves {
            if half.member.doubt(then, now) {
                half.link.has_news();
                half.asked = half.link.next_counter();
                self.dirty = true;
            }
        }
    }

    fn hear(&mut self, frame: &[u8], pipeline: &mut Pipeline, now: Nanos) {
        if frame[23] == ipv4::TCP {
            if let Some(speaker) = &mut self.speaker {
                speaker.receive(frame);
                self.dirty = true;
            }
            return;
        }
        if frame[36..38] == watch::PORT.to_be_bytes() {
            return self.hear_router(frame, now);
        }
        let Ok((from, head, entries)) = message::read(frame, &self.key) else {
            self.counts.strangers += 1;
            return;
        };
        let ours = |half: &&mut Half| half.id == head.shard && half.peer == from;
        let (Some(half), Some(role)) =
            (self.halves.iter_mut().find(ours), Role::numbered(head.role))
        else {
            self.counts.strangers += 1;
            return;
        };
        self.dirty = true;
        if half.link.receive(&head, half.member.epoch(), now) != Received::Fresh {
            return;
        }
        let (epoch, role_before) = (half.member.epoch(), half.member.role());
        let heard = Heard {
            role,
            epoch: head.epoch,
            yields: head.flags & YIELDS != 0,
            wants: head.flags & WANTS != 0,
            answers: head.heard >= half.asked,
        };
        half.answered |= heard.answers;
        half.awaits &= !heard.answers;
        if half.awaits {
            return;
        }
        if half.member.hear(heard, now) {
            half.link.restart(self.random.next_u64() | 1);
            return;
        }
        if half.member.role() == Role::Master
            && role_before != Role::Master
            && half.member.epoch() != epoch
        {
            half.link.begin();
        }
        if role == Role::Master && half.member.role() != Role::Master {
            half.take_in(&head, entries, pipeline, now);
        }
    }

    fn hear_router(&mut self, frame: &[u8], now: Nanos) {
        let heard = watch::read(frame).and_then(|it| match &mut self.session {
            Some(session) if self.router == Some(it.source) => session.receive(&it.control, now),
            _ => Err(watch::Refused::Foreign),
        });
        match heard {
            Ok(change) => self.router_sees(change, now),
            Err(_) => self.counts.bfd_refused += 1,
        }
    }

    fn router_sees(&mut self, change: Option<bfd::Change>, now: Nanos) {
        let Some(change) = change else { return };
        self.dirty = true;
        let seen = change.to == watch::State::Up;
        if change.from == watch::State::Up
            && let Some(speaker) = &mut self.speaker
        {
            speaker.cut(now);
        }
        if self.seen && !seen && self.course == Course::Serving {
            self.counts.cut_off += 1;
        }
        if self.seen != seen && !matches!(self.course, Course::Withdrawn(_)) {
            self.seen = seen;
            // Down: nothing is served. Up again: not before it is known that nobody else does.
            if !seen {
                self.cut_at = now.since(self.detection);
            }
            if self.was_seen {
                self.doubt(self.cut_at, now);
            }
            self.was_seen = true;
            let all_ready = self.halves.iter().all(|half| half.member.is_ready(now));
            if !seen && !all_ready && self.speaker.is_none() {
                self.withdraw();
            }
        }
    }

    /// A packet of a shard that is not served here has come all the same.
    fn take_over(&mut self, head: &[u8; HEAD], pipeline: &mut Pipeline, now: Nanos) {
        let Some(part) = pipeline.unserved(head) else { return };
        let half = &mut self.halves[usize::from(part.0)];
        if self.seen && half.member.may_take(now) {
            half.member.take(now);
            half.link.begin();
            self.dirty = true;
            // Who does not serve its own shards for the router has missed it, serves no other either.
            if half.member.has_missed() {
                let peer = half.peer;
                let shared = self.halves.iter_mut().filter(|half| half.peer == peer);
                shared.for_each(|half| half.member.miss(now));
            }
            self.apply(pipeline, now);
        }
    }

    /// Has the pipeline serve what is to be served here, and no more.
    fn apply(&mut self, pipeline: &mut Pipeline, now: Nanos) {
        self.watchful = false;
        let asks = |half: &Half| half.member.role() == Role::Doubt;
        self.asking_until = (self.seen && self.halves.iter().any(asks))
            .then(|| self.asking_until.unwrap_or(now + Nanos(3 * self.detection.0)));
        for (at, half) in self.halves.iter_mut().enumerate() {
            let served = half.member.serves(now) && self.seen;
            let part = Part(at as u8);
            if served != half.served {
                pipeline.serve(part, served);
                half.served = served;
            }
            pipeline.open_for(part, half.member.opens());
            // One that returns is to serve from the very packet on that the network sends it.
            let awaited = half.member.wants() || half.member.may_take(now);
            self.watchful |= !served && self.seen && awaited;
        }
    }

    /// Tells what has changed, and sends what is due; returns frames sent.
    #[inline]
    pub fn work<P: Port>(&mut self, port: &mut P, pipeline: &mut Pipeline, now: Nanos) -> u32 {
        self.wake(pipeline, now);
        if pipeline.connections().has_changes() {
            self.note(pipeline.connections_mut(), now);
        }
        let due = self.dirty || now.since(self.looked) >= LOOK_EVERY;
        if due { self.look(port, pipeline, now) } else { 0 }
    }

    fn note(&mut self, connections: &mut Connections, now: Nanos) {
        let mut places = ArrayVec::<Place, 128>::new();
        let missed = connections.take_changes(|place| places.push(place));
        for place in places {
            let Some(slot) = connections.slot_at(place) else { continue };
            let address = u32::from(slot.address());
            let of = |half: &&mut Half| address.wrapping_sub(half.base) < half.addresses;
            if let Some(half) = self.halves.iter_mut().find(of)
                && half.member.role() == Role::Master
            {
                half.link.note(place, now);
            }
        }
        if missed {
            self.halves.iter_mut().for_each(|half| half.link.miss());
        }
    }

    #[inline(never)]
    fn look<P: Port>(&mut self, port: &mut P, pipeline: &mut Pipeline, now: Nanos) -> u32 {
        (self.looked, self.dirty) = (now, false);
        // Before its first session a core waits for others as well, or it would never have one.
        let hears = self.seen || !self.was_seen;
        for half in &mut self.halves {
            half.advance(pipeline.connections(), hears, now);
        }
        if !port.has_carrier() {
            let change = self.session.as_mut().and_then(Session::lose_path);
            self.router_sees(change, now);
        }
        // What came while it slept is read before anybody is missed.
        self.settling = self.settling.saturating_sub(1);
        if self.settling == 0 {
            let change = self.session.as_mut().and_then(|session| session.expire(now));
            self.router_sees(change, now);
        }
        self.go_on(now);
        self.announce(now);
        self.apply(pipeline, now);
        self.send(port, pipeline.connections(), now)
    }

    fn send<P: Port>(&mut self, port: &mut P, connections: &Connections, now: Nanos) -> u32 {
        let mut frames = Burst::new();
        let mut burst = Burst::new();
        port.alloc(&mut frames, MESSAGES_PER_LOOK);
        let due = self.session.as_mut().and_then(|session| session.due(now));
        if let (Some(packet), Some(router), Some(frame)) = (due, self.router, frames.last_mut()) {
            let Identity { mac, gateway, ip, .. } = self.me;
            let ends = watch::Ends {
                source_mac: mac,
                destination_mac: gateway,
                source: ip,
                destination: router,
            };
            frame.set_len(watch::FRAME_LEN);
            frame.bytes_mut().copy_from_slice(&watch::encapsulate(&ends, &packet));
            burst.extend(frames.pop());
        }
        if let Some(speaker) = &mut self.speaker {
            speaker.work(now, &mut frames, &mut burst);
        }
        let urgent = self.course != Course::Serving;
        for half in &mut self.halves {
            while half.link.is_due(self.beat, urgent || half.member.yields(), now) {
                let Some(mut frame) = frames.pop() else {
                    // It is due at the next step.
                    self.dirty = true;
                    break;
                };
                let seen = self.seen || !self.was_seen;
                let (me, key) = (&self.me, &self.key);
                half.write(&mut frame, connections, me, key, &mut self.batch, seen, now);
                burst.push(frame);
            }
        }
        let sent = if burst.is_empty() { 0 } else { port.tx(&mut burst) };
        if !frames.is_empty() {
            port.free(&mut frames);
        }
        self.counts.sent += sent as u64;
        sent as u32
    }
}

/// The core's end of BGP, if it is to speak it.
fn speaker(settings: &config::Cluster, core: &CoreConfig, seed: u64) -> Option<Speaker> {
    let (bgp, router, asn) = (settings.bgp.as_ref()?, settings.router?, core.identity.asn?);
    let prefixes = |shard: &config::ShardConfig| {
        let inside = bgp
            .subscribers
            .iter()
            .flat_map(|mark| shard.subscribers.iter().map(|prefix| (prefix.trunc(), Some(mark.0))));
        std::iter::once((shard.external.trunc(), None)).chain(inside).collect()
    };
    let shards = core.shards.iter().map(prefixes).collect();
    let settings = route::Settings {
        me: core.identity,
        asn,
        router,
        router_asn: bgp.asn,
        hold_s: bgp.hold_s,
        ttl_security: bgp.ttl_security,
    };
    Some(Speaker::new(settings, shards, seed))
}

/// Destination port of a UDP datagram to `me`, else 0. Looks at the headers alone.
#[inline]
fn udp_to(head: &[u8; HEAD], me: u32) -> u16 {
    let word = u32::from_be_bytes([head[30], head[31], head[32], head[33]]);
    let is_mine = (word == me) & (head[23] == ipv4::UDP) & (head[12..14] == [0x08, 0x00]);
    if is_mine { u16::from_be_bytes([head[36], head[37]]) } else { 0 }
}
