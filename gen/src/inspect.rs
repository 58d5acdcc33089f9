//! What a received frame claims to be, and whether it can be believed: every check that needs no
//! connection record.
//!
//! Nothing is taken on trust: Ethernet destination, both checksums, every length, the stamp's own
//! check, trial and sender, for every packet. Payload beyond the first 60 bytes is not read; it was
//! sent as zero, and a device that changes it without the checksum goes unnoticed. What a
//! connection must know (tuple, translation, sequence) is the worker's part.

use crate::config::CoreConfig;
use crate::ends::Ends;
use crate::mix::Mix;
use crate::segment::Segment;
use crate::stamp::{
    CONTROL_SEQUENCE_BITS, Direction, Source, TCP_SEQUENCE_BITS, TCP_TIME_BITS, TcpStamp, TrialId,
    UDP_SEQUENCE_BITS, UDP_TIME_BITS, UdpStamp, age, is_from, read_window, segment_direction,
    segment_id,
};
use crate::sum::add;
use crate::template::{CONTROL_TOTAL, ETHERNET, IPV4, PROTOCOL_TCP, PROTOCOL_UDP, TTL_MASK};
use crate::template::{DONT_FRAGMENT, VERSION, first_word, fixed, word};
use crate::tuple::ConnectionId;
use dataplane::frame::{HEAD, SHORTEST};
use dataplane::wire::checksum::{fold, is_intact};

/// Fewest bytes of a frame that is whole. Padding up to [`SHORTEST`] is the cable's (IEEE 802.3
/// §3.2.8): a device that only hands frames on within one machine leaves it out.
const BARE: usize = ETHERNET + CONTROL_TOTAL as usize;

/// Why a frame is not one of this trial's probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No generator sent it: another protocol, another station's frame, ICMP, RST of a peer.
    Foreign,
    /// Damaged: a checksum, a length or the stamp's check is wrong.
    Corrupt,
    /// Another core sent it.
    Misrouted,
    /// Of another trial.
    OtherTrial,
}

/// What a probe is, apart from its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A stamped datagram.
    Udp,
    /// A TCP segment.
    Tcp(Segment),
}

/// A frame that is intact and of this trial and core.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// Connection it names.
    pub id: ConnectionId,
    /// Which way it went.
    pub direction: Direction,
    /// What it is.
    pub kind: Kind,
    /// Low bits of its sequence number, and how many.
    pub sequence: (u32, u32),
    /// Time since its planned instant in ticks; `None` for control segments.
    pub age: Option<u64>,
    /// Addresses and ports as received.
    pub ends: Ends,
}

/// What a core expects of frames that are its own.
#[derive(Clone, Debug)]
pub struct Inspector {
    mac: [u8; 6],
    /// The same as a number in the machine's byte order, 16 bits up.
    station: u64,
    source: Source,
    server_first: u32,
    server_mask: u32,
    mix: Mix,
}

#[inline]
fn get<const N: usize>(head: &[u8; HEAD], at: usize) -> [u8; N] {
    head[at..at + N].try_into().expect("a constant range inside the head")
}

#[inline]
fn u16_at(head: &[u8; HEAD], at: usize) -> u16 {
    u16::from_be_bytes(get(head, at))
}

#[inline]
fn u32_at(head: &[u8; HEAD], at: usize) -> u32 {
    u32::from_be_bytes(get(head, at))
}

#[inline]
fn u64_at(head: &[u8; HEAD], at: usize) -> u64 {
    u64::from_be_bytes(get(head, at))
}

/// Sum of `N` bytes for a checksum that is to be verified. Ones' complement sums do not care for
/// byte order (RFC 1071 §2), and 0xffff reads the same either way.
#[inline]
fn native_sum<const N: usize>(head: &[u8; HEAD], at: usize) -> u64 {
    let bytes: [u8; N] = get(head, at);
    let (eights, rest) = bytes.as_chunks::<8>();
    let sum = eights.iter().fold(0, |sum, &eight| {
        let eight = u64::from_ne_bytes(eight);
        sum + (eight >> 32) + (eight & 0xffff_ffff)
    });
    rest.chunks_exact(2).fold(sum, |sum, two| sum + u64::from(u16::from_ne_bytes([two[0], two[1]])))
}

/// Protocol and length of the pseudo-header, to be added to a native sum.
#[inline]
fn pseudo(protocol: u8, length: u16) -> u64 {
    u64::from(u16::from(protocol).to_be()) + u64::from(length.to_be())
}

/// What a frame seems to be, unchecked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glimpse {
    /// Connection it names: its record is worth a prefetch.
    pub id: ConnectionId,
    /// UDP; otherwise taken for TCP.
    pub udp: bool,
    /// Down; otherwise up.
    pub down: bool,
}

/// Reads connection, protocol and direction without a branch: both are random.
#[inline]
pub fn glimpse(head: &[u8; HEAD]) -> Glimpse {
    let (seq, rest) = (u32_at(head, 38), u64_at(head, 42));
    let ack = (rest >> 32) as u32;
    let udp = head[23] == PROTOCOL_UDP;
    let tcp_down = 0u32.wrapping_sub(seq >> 31);
    let tcp_id = segment_id(seq ^ ((seq ^ ack) & tcp_down)).0;
    let is_udp = 0u32.wrapping_sub(u32::from(udp));
    let id = tcp_id ^ ((tcp_id ^ UdpStamp::id(rest).0) & is_udp);
    let down = ((tcp_down & !is_udp) | (rest as u32 >> 15 & is_udp)) & 1;
    Glimpse { id: ConnectionId(id), udp, down: down != 0 }
}

impl Inspector {
    /// For frames that come back to `core`.
    pub fn new(core: &CoreConfig, source: Source, mix: Mix) -> Inspector {
        let [a, b, c, d, e, f] = core.identity.mac.0;
        Inspector {
            mac: core.identity.mac.0,
            station: u64::from_ne_bytes([a, b, c, d, e, f, 0, 0]) << 16,
            source,
            server_first: u32::from(core.servers.network()),
            server_mask: u32::from(core.servers.netmask()),
            mix,
        }
    }

    /// Judges one frame of `length` bytes at instant `now`, in ticks.
    ///
    /// # Errors
    /// Why it is not a probe of `trial` sent by this core.
    #[inline]
    pub fn inspect(
        &self,
        head: &[u8; HEAD],
        length: usize,
        trial: TrialId,
        now: u64,
    ) -> Result<Probe, Refusal> {
        let ipv4 = u32_at(head, 12) & 0xffff_ff00 == 0x0800_4500;
        if length < BARE || get::<6>(head, 0) != self.mac || !ipv4 {
            return Err(Refusal::Foreign);
        }
        let total = u16_at(head, 16);
        let whole = usize::from(total) + ETHERNET == length && self.mix.is_known(length as u16);
        let control = total == CONTROL_TOTAL && length <= SHORTEST;
        let fragment = u16_at(head, 20) & 0x3fff != 0;
        if fold(native_sum::<IPV4>(head, ETHERNET)) != 0xffff || fragment || !(whole || control) {
            return Err(Refusal::Corrupt);
        }
        let ends = Ends::read(head);
        match head[23] {
            PROTOCOL_UDP if whole => self.udp(head, ends, total, trial, now),
            PROTOCOL_TCP => self.tcp(head, ends, total, trial, now),
            _ => Err(Refusal::Foreign),
        }
    }

    #[inline]
    fn udp(
        &self,
        head: &[u8; HEAD],
        ends: Ends,
        total: u16,
        trial: TrialId,
        now: u64,
    ) -> Result<Probe, Refusal> {
        let datagram = total - IPV4 as u16;
        let sum = native_sum::<32>(head, 26) + pseudo(PROTOCOL_UDP, datagram);
        let intact = fold(sum) == 0xffff && u16_at(head, 38) == datagram;
        let stamp = UdpStamp::unpack(u64_at(head, 42), u64_at(head, 50)).filter(|_| intact);
        let stamp = stamp.ok_or(Refusal::Corrupt)?;
        self.ours(stamp.trial, trial, stamp.source == self.source)?;
        Ok(Probe {
            id: stamp.id,
            direction: stamp.direction,
            kind: Kind::Udp,
            sequence: (stamp.sequence, UDP_SEQUENCE_BITS),
            age: Some(age(now, stamp.planned, UDP_TIME_BITS)),
            ends,
        })
    }

    #[inline]
    fn tcp(
        &self,
        head: &[u8; HEAD],
        ends: Ends,
        total: u16,
        trial: TrialId,
        now: u64,
    ) -> Result<Probe, Refusal> {
        let payload = if total == CONTROL_TOTAL { 0 } else { native_sum::<6>(head, 54) };
        let sum = native_sum::<28>(head, 26) + payload;
        if fold(sum + pseudo(PROTOCOL_TCP, total - IPV4 as u16)) != 0xffff {
            return Err(Refusal::Corrupt);
        }
        let (seq, ack, flags) = (u32_at(head, 38), u32_at(head, 42), head[47]);
        let direction = segment_direction(seq);
        let segment = Segment::of(flags, seq, direction).ok_or(Refusal::Foreign)?;
        let (window_trial, low) = read_window(u16_at(head, 48));
        let (id, server) = match direction {
            Direction::Up => (segment_id(seq), ack),
            Direction::Down => (segment_id(ack), seq),
        };
        let ours = match segment {
            // A SYN acknowledges nothing, so only its destination says whose it is.
            Segment::Syn => ends.destination().0 & self.server_mask == self.server_first,
            _ => is_from(server, self.source),
        };
        self.ours(window_trial, trial, ours)?;
        let numbers = segment.numbers(id, self.source);
        if (numbers.seq, numbers.ack) != (seq, ack) {
            return Err(Refusal::Corrupt);
        }
        let kind = Kind::Tcp(segment);
        let data = matches!(segment, Segment::Data(_));
        if !data {
            let sequence = (low, CONTROL_SEQUENCE_BITS);
            let intact = total == CONTROL_TOTAL;
            let probe = Probe { id, direction, kind, sequence, age: None, ends };
            return if intact { Ok(probe) } else { Err(Refusal::Corrupt) };
        }
        if total == CONTROL_TOTAL {
            return Err(Refusal::Corrupt);
        }
        let stamp = TcpStamp::unpack(u64_at(head, 52) & 0xffff_ffff_ffff, seq, ack);
        let stamp = stamp.ok_or(Refusal::Corrupt)?;
        Ok(Probe {
            id,
            direction,
            kind,
            sequence: (stamp.sequence, TCP_SEQUENCE_BITS),
            age: Some(age(now, stamp.planned, TCP_TIME_BITS)),
            ends,
        })
    }

    /// Whether a frame of `length` bytes is, in every bit that a router leaves alone, the data packet
    /// of connection `id` that it seems to be: of this trial and core, from and to `ends`, intact.
    /// Returns the low bits of its sequence number and its age in ticks.
    ///
    /// This is [`Inspector::inspect`] for nearly every packet of an established connection, as four
    /// branches that are always taken. `None` says nothing of the
    /// frame; it must be inspected.
    #[inline]
    pub fn recognise<const UDP: bool, const DOWN: bool>(
        &self,
        head: &[u8; HEAD],
        length: usize,
        trial: TrialId,
        id: ConnectionId,
        ends: Ends,
        now: u64,
    ) -> Option<(u32, u64)> {
        let total = length.wrapping_sub(ETHERNET) as u16;
        let segment = word(total.wrapping_sub(IPV4 as u16));
        let protocol = if UDP { PROTOCOL_UDP } else { PROTOCOL_TCP };
        // Words are compared and summed as the machine loads them.
        let found = Ends::read(head);
        let kind = u32::from_ne_bytes([0x08, 0x00, 0x45, 0x00]);
        let mut differs = u64::from_ne_bytes(get(head, 0)) << 16 ^ self.station;
        differs |= u64::from(u32::from_ne_bytes(get(head, 12)) ^ kind);
        // Length, identification and flags, and protocol; the time to live may be any.
        let first = u64::from_ne_bytes(get(head, 16)) ^ fixed(protocol);
        differs |= (first ^ first_word(total)) & !TTL_MASK;
        differs |= found.addresses ^ ends.addresses;
        differs |= u64::from(found.ports ^ ends.ports);
        // Sums are over the fields as they ought to be, and over what only the frame can say.
        let life_and_check = u64::from(u32::from_ne_bytes(get(head, 22)));
        let addresses = u64::from(ends.sum);
        let network = VERSION + word(DONT_FRAGMENT) + word(total) + life_and_check + addresses;
        let pseudo = word(u16::from(protocol)) + segment + addresses;
        let transport = pseudo + u64::from(ends.ports);
        let (sequence, age, mismatch, transport) = if UDP {
            let [a, b] = [42, 50].map(|at| u64::from_ne_bytes(get(head, at)));
            let length_and_check: [u8; 4] = get(head, 38);
            let datagram = word(u16::from_be_bytes([length_and_check[0], length_and_check[1]]));
            let tail = u64::from(u16_at(head, 58));
            let (sequence, planned, mismatch) =
                UdpStamp::recognise(u64::from_be(a), u64::from_be(b), trial, self.source);
            let mismatch = mismatch | tail | datagram ^ segment;
            let length_and_check = u64::from(u32::from_ne_bytes(length_and_check));
            let transport = add(add(a, b), transport + length_and_check);
            (sequence, age(now, planned, UDP_TIME_BITS), mismatch, transport)
        } else {
            let direction = if DOWN { Direction::Down } else { Direction::Up };
            let numbers = Segment::Data(direction).numbers(id, self.source);
            let seq_ack = (u64::from(numbers.seq) << 32 | u64::from(numbers.ack)).to_be();
            // Data offset and flags, and of the window the trial; its sequence bits are the stamp's.
            let flags: [u8; 4] = get(head, 46);
            let wanted = 0x5000_8000 | u32::from(numbers.flags) << 16 | u32::from(trial.0);
            let flags_differ =
                (u32::from_ne_bytes(flags) ^ wanted.to_be()) & 0xffff_80ffu32.to_be();
            // The urgent pointer, of no use, is the upper end of the stamp's number and must be zero.
            let (check, stamp) =
                (u16::from_ne_bytes(get(head, 50)), u64::from_ne_bytes(get(head, 52)));
            let (sequence, planned, mismatch) =
                TcpStamp::recognise(u64::from_be(stamp), numbers.seq, numbers.ack);
            let numbers_differ = u64::from_ne_bytes(get(head, 38)) ^ seq_ack;
            let mismatch = mismatch | numbers_differ | u64::from(flags_differ);
            let rest = u64::from(u32::from_ne_bytes(flags)) + u64::from(check);
            let transport = add(add(seq_ack, stamp), transport + rest);
            (sequence, age(now, planned, TCP_TIME_BITS), mismatch, transport)
        };
        let expected = differs | mismatch == 0
            && is_intact(network)
            && is_intact(transport)
            && self.mix.is_known(length as u16);
        expected.then_some((sequence, age))
    }

    #[inline]
    fn ours(&self, trial: TrialId, wanted: TrialId, ours: bool) -> Result<(), Refusal> {
        if !ours {
            return Err(Refusal::Misrouted);
        }
        if trial == wanted { Ok(()) } else { Err(Refusal::OtherTrial) }
    }
}
