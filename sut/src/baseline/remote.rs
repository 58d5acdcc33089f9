//! The NAT whose state is in an external store (StatelessNF, NSDI 2017): cores keep nothing between
//! two bursts, any of them may serve any packet, and one that dies loses no connection.
//!
//! A burst is one round trip: the records of all its packets are asked for at once, each by one
//! `GET`. What a packet changes is written before it is sent, under both keys of its connection.
//! A new connection takes three round trips more: a number is drawn, which is its external port;
//! the port is claimed unless somebody has it; both records are written.
//!
//! States, timers and translation are Krononat's, the store expires what is over. As in
//! [`LockedNat`](super::LockedNat) with readers a packet does not prolong its connection each time,
//! but once an eighth of its timer has passed, or nearly every packet would be two writes. A core
//! waits for its store: nothing else is done meanwhile, as in the paper's design each thread does.
//! It refuses what is not plain UDP or TCP; there are no mappings but connections, no quotas.

use super::store::{Answer, Store};
use crate::config::{Config, CoreConfig, Timers};
use crate::conntrack::{Direction, Segment, State, Timeout};
use crate::translate::{self, End, NextHop};
use crate::verdict::{Drop, Refusal};
use crate::worker::{Counters, Tally};
use arrayvec::ArrayVec;
use dataplane::burst::{BURST, Burst};
use dataplane::clock::Nanos;
use dataplane::frame::Frame;
use dataplane::port::Port;
use dataplane::run::Load;
use dataplane::wire::{Endpoint, Plain, flaws, ipv4};
use dataplane::worker::{Busy, Next, Worker};
use ipnet::Ipv4Net;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Part of a timer that may pass before a packet prolongs its connection again.
const GRAIN: u64 = 8;

/// Ports of an external address, from the first that is not privileged.
const PORTS: u32 = 64_512;
const FIRST_PORT: u16 = 1024;

/// How often a port is drawn for a connection before it is refused.
const DRAWS: usize = 8;

/// Time between two questions for the store's size.
const ASK_EVERY: Nanos = Nanos(100_000_000);

/// Where numbers are drawn.
const NUMBERS: &[u8] = b"krono:drawn";

/// A connection as the store has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    inside: Endpoint,
    outside: Endpoint,
    remote: Endpoint,
    protocol: u8,
    state: State,
    /// When it was written, in seconds of the cores' clock.
    told_s: u32,
}

const RECORD: usize = 24;
/// Kind, protocol and up to two endpoints.
type Key = ArrayVec<u8, 14>;

fn endpoint(bytes: &[u8]) -> Endpoint {
    Endpoint::of_bytes([bytes[0], bytes[1], bytes[2], bytes[3]], [bytes[4], bytes[5]])
}

fn key(kind: u8, protocol: u8, ends: &[Endpoint]) -> Key {
    let mut key = Key::new();
    key.extend([kind, protocol]);
    for end in ends {
        key.extend(end.address_bytes());
        key.extend(end.port_bytes());
    }
    key
}

impl Record {
    fn outbound_key(&self) -> Key {
        key(b'o', self.protocol, &[self.inside, self.remote])
    }

    fn inbound_key(&self) -> Key {
        key(b'i', self.protocol, &[self.outside])
    }

    fn pack(&self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        for (at, end) in [self.inside, self.outside, self.remote].into_iter().enumerate() {
            bytes[6 * at..6 * at + 4].copy_from_slice(&end.address_bytes());
            bytes[6 * at + 4..6 * at + 6].copy_from_slice(&end.port_bytes());
        }
        bytes[18] = self.protocol;
        bytes[19] = self.state as u8;
        bytes[20..].copy_from_slice(&self.told_s.to_be_bytes());
        bytes
    }

    fn unpack(bytes: &[u8]) -> Option<Record> {
        let bytes: &[u8; RECORD] = bytes.try_into().ok()?;
        Some(Record {
            inside: endpoint(&bytes[..6]),
            outside: endpoint(&bytes[6..12]),
            remote: endpoint(&bytes[12..18]),
            protocol: bytes[18],
            state: State::numbered(bytes[19]),
            told_s: u32::from_be_bytes([bytes[20], bytes[21], bytes[22], bytes[23]]),
        })
    }
}

/// A packet that is to be translated.
struct Packet {
    plain: Plain,
    direction: Direction,
    key: Key,
    /// The first packet of the burst with this key, whose record it shares.
    first: usize,
    record: Option<Record>,
    changed: bool,
}

/// One core that works on the store.
pub struct RemoteNat<P: Port> {
    port: P,
    mac: [u8; 6],
    next_hop: NextHop,
    subscribers: Vec<Ipv4Net>,
    external: Ipv4Net,
    timers: Timers,
    /// `None`: it did not answer, or broke off. Nothing is forwarded then.
    store: Option<Store>,
    /// Tells the store's size, for all.
    leads: bool,
    asked: Nanos,
    tally: Tally,
    counters: Arc<Counters>,
}

impl<P: Port> RemoteNat<P> {
    /// The core `core` of `config` on `port`, which publishes what it does to `counters`.
    pub fn new(config: &Config, core: &CoreConfig, port: P, counters: Arc<Counters>) -> Self {
        RemoteNat {
            port,
            mac: core.identity.mac.0,
            next_hop: NextHop::of(&core.identity),
            subscribers: core.subscribers.clone(),
            external: core.external.unwrap_or_default(),
            timers: config.timers,
            store: config.store.as_deref().and_then(|socket| Store::open(socket).ok()),
            leads: config.cores.first().is_some_and(|first| first.core == core.core),
            asked: Nanos(0),
            tally: Tally::default(),
            counters,
        }
    }

    /// The port, to look at.
    pub fn port(&mut self) -> &mut P {
        &mut self.port
    }

    /// The port, when the core is no more.
    pub fn into_port(self) -> P {
        self.port
    }

    /// Which way a frame goes, or why it goes nowhere.
    fn classify(&self, frame: &P::Frame) -> Result<(Plain, Direction), Refusal> {
        let head = frame.head();
        if head[..6] != self.mac {
            return Err(Refusal::Station);
        }
        if flaws(head, frame.len()) != 0 {
            return Err(Refusal::Protocol);
        }
        let plain = Plain::read(head);
        if plain.ttl <= 1 {
            return Err(Refusal::Ttl);
        }
        let is_in = |net: &Ipv4Net, end: Endpoint| net.contains(&Ipv4Addr::from(end.address()));
        if self.subscribers.iter().any(|net| is_in(net, plain.source)) {
            Ok((plain, Direction::Outbound))
        } else if is_in(&self.external, plain.destination) {
            Ok((plain, Direction::Inbound))
        } else {
            Err(Refusal::Foreign)
        }
    }

    fn timer_ms(&self, state: State) -> u64 {
        match state.timeout() {
            Timeout::Udp => self.timers.udp_ms,
            Timeout::Icmp => self.timers.icmp_ms,
            Timeout::TcpHalfOpen => self.timers.tcp_half_open_ms,
            Timeout::TcpTransitory => self.timers.tcp_transitory_ms,
            Timeout::TcpEstablished => self.timers.tcp_established_ms,
        }
    }

    /// Looks up, opens and writes what a burst takes. Packets without a record afterwards are
    /// dropped, each for the reason in `refused`.
    fn serve(
        &mut self,
        packets: &mut ArrayVec<(usize, Packet), BURST>,
        refused: &mut [Option<Refusal>; BURST],
        now: Nanos,
    ) -> io::Result<()> {
        let mut store = self.store.take().ok_or(io::ErrorKind::NotConnected)?;
        look_up(&mut store, packets)?;
        let now_s = (now.0 / 1_000_000_000) as u32;
        self.open(&mut store, packets, now_s)?;
        for at in 0..packets.len() {
            let first = packets[at].1.first;
            let Some(mut record) = packets[first].1.record else {
                let packet = &packets[at].1;
                let reason = match packet.direction {
                    Direction::Inbound => Refusal::UnknownInbound,
                    Direction::Outbound if may_open(&packet.plain) => Refusal::PortsExhausted,
                    Direction::Outbound => Refusal::TcpNotSyn,
                };
                refused[packets[at].0] = Some(reason);
                continue;
            };
            let packet = &packets[at].1;
            let direction = packet.direction;
            if direction == Direction::Inbound && record.remote != packet.plain.source {
                refused[packets[at].0] = Some(Refusal::FilteredInbound);
                continue;
            }
            let state = record.state.after(direction, Segment::of_flags(packet.plain.flags));
            let silent_ms = u64::from(now_s.saturating_sub(record.told_s)) * 1000;
            let due = silent_ms >= self.timer_ms(state) / GRAIN && state.prolonged_by(direction);
            if state != record.state || due {
                (record.state, record.told_s) = (state, now_s);
                packets[first].1.record = Some(record);
                packets[first].1.changed = true;
            }
        }
        let mut writes = 0;
        for (_, packet) in packets.iter().filter(|(_, packet)| packet.changed) {
            let Some(record) = packet.record else { continue };
            let ms = self.timer_ms(record.state);
            let ms = ms + ms / GRAIN;
            store.put(&record.outbound_key(), &record.pack(), ms);
            store.put(&record.inbound_key(), &record.pack(), ms);
            writes += 2;
        }
        if writes > 0 {
            store.send()?;
        }
        for _ in 0..writes {
            store.answer()?;
        }
        self.store = Some(store);
        Ok(())
    }

    /// Opens a connection for each first packet that may and has none.
    fn open(
        &mut self,
        store: &mut Store,
        packets: &mut ArrayVec<(usize, Packet), BURST>,
        now_s: u32,
    ) -> io::Result<()> {
        let mut new: ArrayVec<usize, BURST> = (0..packets.len())
            .filter(|&at| {
                let packet = &packets[at].1;
                let outbound = packet.direction == Direction::Outbound;
                packet.first == at && packet.record.is_none() && outbound && may_open(&packet.plain)
            })
            .collect();
        for _ in 0..DRAWS {
            if new.is_empty() {
                return Ok(());
            }
            store.count(NUMBERS, new.len());
            store.send()?;
            let Answer::Number(last) = store.answer()? else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            let mut claims: ArrayVec<Record, BURST> = ArrayVec::new();
            for (&at, back) in new.iter().zip(0..) {
                let plain = &packets[at].1.plain;
                let udp = plain.protocol == ipv4::UDP;
                let record = Record {
                    inside: plain.source,
                    outside: self.outside(last - back),
                    remote: plain.destination,
                    protocol: plain.protocol,
                    state: if udp { State::UdpOneWay } else { State::SynSent },
                    told_s: now_s,
                };
                let ms = self.timer_ms(record.state);
                store.claim(&record.inbound_key(), &record.pack(), ms + ms / GRAIN);
                claims.push(record);
            }
            store.send()?;
            let mut left = ArrayVec::new();
            for (&at, record) in new.iter().zip(claims) {
                if store.answer()? == Answer::Done {
                    let packet = &mut packets[at].1;
                    (packet.record, packet.changed) = (Some(record), true);
                    self.tally.opened += 1;
                } else {
                    left.push(at);
                }
            }
            new = left;
        }
        Ok(())
    }

    /// The external port of a number.
    fn outside(&self, number: i64) -> Endpoint {
        let addresses = 1u64 << (32 - u32::from(self.external.prefix_len()));
        let place = number.unsigned_abs() % (addresses * u64::from(PORTS));
        let (address, port) = (place / u64::from(PORTS), place % u64::from(PORTS));
        let first = u32::from(self.external.network());
        Endpoint::new(first + address as u32, FIRST_PORT + port as u16)
    }

    /// Translates what may pass, and tells what may not.
    fn work(&mut self, burst: &mut Burst<P::Frame>, now: Nanos) -> [Option<Refusal>; BURST] {
        let mut refused = [None; BURST];
        let mut packets: ArrayVec<(usize, Packet), BURST> = ArrayVec::new();
        for (index, frame) in burst.iter().enumerate() {
            match self.classify(frame) {
                Ok((plain, direction)) => {
                    let key = match direction {
                        Direction::Outbound => {
                            key(b'o', plain.protocol, &[plain.source, plain.destination])
                        }
                        Direction::Inbound => key(b'i', plain.protocol, &[plain.destination]),
                    };
                    let first = packets.iter().position(|(_, other)| other.key == key);
                    let first = first.unwrap_or(packets.len());
                    let (record, changed) = (None, false);
                    packets.push((index, Packet { plain, direction, key, first, record, changed }));
                }
                Err(reason) => refused[index] = Some(reason),
            }
        }
        if packets.is_empty() {
            return refused;
        }
        if self.serve(&mut packets, &mut refused, now).is_err() {
            // A NAT that cannot reach its state has no room for a connection either.
            packets.iter().for_each(|&(index, _)| refused[index] = Some(Refusal::TableFull));
        }
        for (index, packet) in &packets {
            let record = packets[packet.first].1.record.filter(|_| refused[*index].is_none());
            let Some(record) = record else { continue };
            let head = burst[*index].head_mut();
            let (end, new) = match packet.direction {
                Direction::Outbound => (End::Source, record.outside),
                Direction::Inbound => (End::Destination, record.inside),
            };
            translate::plain(head, &packet.plain, end, new);
            self.next_hop.address(head);
        }
        refused
    }

    /// Asks the store for its size.
    fn ask(&mut self) -> io::Result<()> {
        let mut store = self.store.take().ok_or(io::ErrorKind::NotConnected)?;
        store.size();
        store.memory();
        store.send()?;
        if let Answer::Number(keys) = store.answer()? {
            // Two records each; the number that is drawn from is one key more.
            self.tally.connections = keys.unsigned_abs() / 2;
        }
        if let Answer::Value(text) = store.answer()? {
            let text = String::from_utf8_lossy(text);
            let used = text.lines().find_map(|line| line.strip_prefix("used_memory:"));
            self.tally.bytes = used.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(0);
        }
        self.store = Some(store);
        Ok(())
    }
}

/// Whether a subscriber's packet without a connection opens one.
fn may_open(plain: &Plain) -> bool {
    plain.protocol == ipv4::UDP || Segment::of_flags(plain.flags) == Segment::Syn
}

/// Asks for the records of a burst, each once.
fn look_up(store: &mut Store, packets: &mut ArrayVec<(usize, Packet), BURST>) -> io::Result<()> {
    let firsts = || (0..BURST).filter(|&at| packets.get(at).is_some_and(|p| p.1.first == at));
    let firsts: ArrayVec<usize, BURST> = firsts().collect();
    firsts.iter().for_each(|&at| store.get(&packets[at].1.key));
    store.send()?;
    for at in firsts {
        if let Answer::Value(bytes) = store.answer()? {
            packets[at].1.record = Record::unpack(bytes);
        }
    }
    Ok(())
}

impl<P: Port> Worker for RemoteNat<P> {
    fn step(&mut self, now: Nanos) -> Busy {
        let mut burst = Burst::new();
        self.port.rx(&mut burst);
        let received = burst.len();
        if received == 0 {
            return Busy(0);
        }
        self.tally.received += received as u64;
        let refused = self.work(&mut burst, now);
        let (mut send, mut free) = (Burst::new(), Burst::new());
        for (frame, refused) in burst.drain(..).zip(refused) {
            match refused {
                None => send.push(frame),
                Some(reason) => {
                    self.tally.dropped.0[Drop::Refused(reason).index()] += 1;
                    free.push(frame);
                }
            }
        }
        if !send.is_empty() {
            self.tally.forwarded += self.port.tx(&mut send) as u64;
        }
        if !free.is_empty() {
            self.port.free(&mut free);
        }
        Busy(received as u32)
    }

    fn housekeeping(&mut self, now: Nanos, load: &Load) -> Next {
        if self.leads && now.since(self.asked) > ASK_EVERY && self.store.is_some() {
            self.asked = now;
            // One that does not answer is gone, and the next packets tell.
            let _ = self.ask();
        }
        self.tally.refused = self.port.stats().refused;
        self.counters.publish(&self.tally, load);
        Next::Continue
    }
}
