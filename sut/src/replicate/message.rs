//! What goes between the two cores of a shard: a datagram from one core's address to the other's.
//!
//! Head and up to 68 entries of 20 bytes each, all in network order, then a seal: SipHash-2-4 with
//! 128 bits (Aumasson and Bernstein, 2012) under the cluster's key over everything before it. A
//! message without a valid seal is not read. The UDP checksum is zero, as RFC 768 allows: the seal
//! says more.

use crate::connections::{Copied, Inside};
use crate::conntrack::State;
use crate::life::Life;
use crate::ports::Slot;
use dataplane::identity::{Identity, Mac};
use dataplane::wire::ipv4::{DONT_FRAGMENT, Ipv4, VERSION_IHL};
use dataplane::wire::{Endpoint, checksum, ethernet, ipv4, udp};
use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher;
use std::net::Ipv4Addr;
use zerocopy::byteorder::network_endian::{U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// UDP port of both ends: of the dynamic range (RFC 6335 §6), since none is assigned.
pub const PORT: u16 = 49_742;

/// Version of this format. A core drops what is of another.
pub const VERSION: u8 = 1;

const MAGIC: [u8; 2] = *b"kr";
const SEAL_LEN: usize = 16;
const FRAME_HEAD: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN + udp::HEADER_LEN;
const HEAD_LEN: usize = size_of::<WireHead>();

/// Most entries of a message, which then fits an MTU of 1,500.
pub const ENTRIES_MAX: usize =
    (1500 - ipv4::HEADER_LEN - udp::HEADER_LEN - HEAD_LEN - SEAL_LEN) / size_of::<Entry>();

/// Bytes of the shortest frame with a message.
pub const FRAME_MIN: usize = FRAME_HEAD + HEAD_LEN + SEAL_LEN;

/// The one who sends hands over.
pub const YIELDS: u8 = 1;
/// The one who sends wants to serve again.
pub const WANTS: u8 = 2;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
struct WireHead {
    magic: [u8; 2],
    version: u8,
    role: u8,
    flags: u8,
    reserved: u8,
    count: U16,
    shard: U32,
    epoch: U32,
    stream: U32,
    from: U64,
    to: U64,
    counter: U64,
    heard: U64,
    first: U64,
    next: U64,
    acked: U64,
    whole: U64,
}

/// The head of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Number of the shard.
    pub shard: u32,
    /// [`crate::membership::Role`] of the sender.
    pub role: u8,
    /// [`YIELDS`] and [`WANTS`].
    pub flags: u8,
    /// The newest epoch the sender knows of; entries are of its stream.
    pub epoch: u32,
    /// Drawn by the sender when it started, and by the receiver as far as the sender knows.
    pub from: u64,
    /// See [`Head::from`].
    pub to: u64,
    /// Number of the message, and of the newest one received.
    pub counter: u64,
    /// See [`Head::counter`].
    pub heard: u64,
    /// Number of the first entry, and of the one after the last.
    pub first: u64,
    /// See [`Head::first`].
    pub next: u64,
    /// Entries that the sender's copy has, of the stream of which epoch.
    pub acked: u64,
    /// See [`Head::acked`].
    pub stream: u32,
    /// The entry with which the receiver's copy is whole; the largest number while it is not known.
    pub whole: u64,
}

/// One session, as it lies in a frame.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub struct Entry {
    /// Index of the external address within the shard.
    address: U16,
    port: U16,
    inside: U32,
    inside_port: U16,
    remote_port: U16,
    remote: U32,
    protocol: u8,
    /// State; [`ONLY`] is set where the mapping has no other session.
    state: u8,
    /// Ticks until silence ends it.
    left: U16,
}

const _: () = assert!(size_of::<Entry>() == 20 && ENTRIES_MAX == 68);

const ONLY: u8 = 0x80;

impl Entry {
    /// A session of a shard whose external addresses begin at index `base`.
    pub fn new(copy: &Copied, base: u32) -> Entry {
        let (inside, slot) = (copy.inside.endpoint(), copy.slot);
        Entry {
            address: U16::new((u32::from(slot.address()) - base) as u16),
            port: U16::new(slot.port()),
            inside: U32::new(inside.address()),
            inside_port: U16::new(inside.port()),
            remote_port: U16::new(copy.remote.port()),
            remote: U32::new(copy.remote.address()),
            protocol: copy.inside.protocol(),
            state: copy.life.state as u8 | if copy.only { ONLY } else { 0 },
            left: U16::new(copy.life.expiry),
        }
    }

    /// The session, if it is of one of the shard's `addresses` external addresses, which begin at
    /// index `base` here.
    pub fn read(&self, base: u32, addresses: u32) -> Option<Copied> {
        let address = u32::from(self.address.get());
        let state = usize::from(self.state & !ONLY);
        let state = *State::ALL.get(state)?;
        let known = [ipv4::UDP, ipv4::TCP, ipv4::ICMP].contains(&self.protocol);
        if address >= addresses || !known {
            return None;
        }
        let inside = Endpoint::new(self.inside.get(), self.inside_port.get());
        Some(Copied {
            slot: Slot::new((base + address) as u16, self.port.get()),
            inside: Inside::new(inside, self.protocol),
            remote: Endpoint::new(self.remote.get(), self.remote_port.get()),
            life: Life { state, expiry: self.left.get() },
            only: self.state & ONLY != 0,
        })
    }
}

/// Bytes of the frame with a message of so many entries.
pub fn frame_len(entries: usize) -> usize {
    FRAME_MIN + entries * size_of::<Entry>()
}

/// Writes a message of `me` to `to` into the beginning of `frame`; returns the length of the frame.
///
/// # Panics
/// With more than [`ENTRIES_MAX`] entries, or into a shorter buffer.
pub fn write(
    frame: &mut [u8],
    me: &Identity,
    to: Ipv4Addr,
    key: &[u8; 16],
    head: &Head,
    entries: impl ExactSizeIterator<Item = Entry>,
) -> usize {
    let count = entries.len();
    assert!(count <= ENTRIES_MAX, "{count} entries in a message");
    let sealed = HEAD_LEN + count * size_of::<Entry>();
    let len = FRAME_HEAD + sealed + SEAL_LEN;
    let (headers, message) = frame[..len].split_at_mut(FRAME_HEAD);
    put_headers(headers, me.mac, me.gateway, [me.ip, to], sealed + SEAL_LEN);
    let wire = WireHead {
        magic: MAGIC,
        version: VERSION,
        role: head.role,
        flags: head.flags,
        reserved: 0,
        count: U16::new(count as u16),
        shard: U32::new(head.shard),
        epoch: U32::new(head.epoch),
        stream: U32::new(head.stream),
        from: U64::new(head.from),
        to: U64::new(head.to),
        counter: U64::new(head.counter),
        heard: U64::new(head.heard),
        first: U64::new(head.first),
        next: U64::new(head.next),
        acked: U64::new(head.acked),
        whole: U64::new(head.whole),
    };
    message[..HEAD_LEN].copy_from_slice(wire.as_bytes());
    for (place, entry) in message[HEAD_LEN..].chunks_exact_mut(size_of::<Entry>()).zip(entries) {
        place.copy_from_slice(entry.as_bytes());
    }
    let seal = seal(key, &message[..sealed]);
    message[sealed..].copy_from_slice(&seal);
    len
}

fn put_headers(headers: &mut [u8], from: Mac, gateway: Mac, ends: [Ipv4Addr; 2], payload: usize) {
    let (link, rest) = headers.split_at_mut(ethernet::HEADER_LEN);
    link[..6].copy_from_slice(&gateway.0);
    link[6..12].copy_from_slice(&from.0);
    link[12..].copy_from_slice(&ethernet::IPV4.to_be_bytes());
    let (network, transport) = rest.split_at_mut(ipv4::HEADER_LEN);
    let mut ip = Ipv4::new_zeroed();
    ip.version_ihl = VERSION_IHL;
    ip.total_len.set((ipv4::HEADER_LEN + udp::HEADER_LEN + payload) as u16);
    ip.fragment.set(DONT_FRAGMENT);
    (ip.ttl, ip.protocol) = (64, ipv4::UDP);
    ip.source.set(u32::from(ends[0]));
    ip.destination.set(u32::from(ends[1]));
    ip.checksum.set(checksum::ipv4_header(ip.as_bytes()));
    network.copy_from_slice(ip.as_bytes());
    let mut udp = udp::Udp::new_zeroed();
    udp.source.set(PORT);
    udp.destination.set(PORT);
    udp.len.set((udp::HEADER_LEN + payload) as u16);
    transport.copy_from_slice(udp.as_bytes());
}

/// Why a datagram is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoMessage {
    /// Too short, or not as long as it says.
    Length,
    /// Of another version, or no message at all.
    Version,
    /// Not sealed with the cluster's key.
    Seal,
}

/// Reads the message in a frame whose headers are a message's; who sent it, and what it says.
///
/// # Errors
/// See [`NoMessage`].
pub fn read<'a>(
    frame: &'a [u8],
    key: &[u8; 16],
) -> Result<(Ipv4Addr, Head, &'a [Entry]), NoMessage> {
    let message = frame.get(FRAME_HEAD..).ok_or(NoMessage::Length)?;
    let (ip, _) =
        Ipv4::ref_from_prefix(&frame[ethernet::HEADER_LEN..]).map_err(|_| NoMessage::Length)?;
    let (wire, rest) = WireHead::ref_from_prefix(message).map_err(|_| NoMessage::Length)?;
    if wire.magic != MAGIC || wire.version != VERSION || ip.version_ihl != VERSION_IHL {
        return Err(NoMessage::Version);
    }
    let count = usize::from(wire.count.get());
    let sealed = HEAD_LEN + count * size_of::<Entry>();
    if count > ENTRIES_MAX || message.len() < sealed + SEAL_LEN {
        return Err(NoMessage::Length);
    }
    if !is_same(&seal(key, &message[..sealed]), &message[sealed..sealed + SEAL_LEN]) {
        return Err(NoMessage::Seal);
    }
    let entries = <[Entry]>::ref_from_bytes(&rest[..count * size_of::<Entry>()]);
    let head = Head {
        shard: wire.shard.get(),
        role: wire.role,
        flags: wire.flags,
        epoch: wire.epoch.get(),
        from: wire.from.get(),
        to: wire.to.get(),
        counter: wire.counter.get(),
        heard: wire.heard.get(),
        first: wire.first.get(),
        next: wire.next.get(),
        acked: wire.acked.get(),
        stream: wire.stream.get(),
        whole: wire.whole.get(),
    };
    Ok((ip.source.get().into(), head, entries.map_err(|_| NoMessage::Length)?))
}

fn seal(key: &[u8; 16], bytes: &[u8]) -> [u8; SEAL_LEN] {
    let mut hasher = SipHasher24::new_with_key(key);
    hasher.write(bytes);
    hasher.finish128().as_bytes()
}

/// Takes the same time wherever two seals differ.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: [u8; 16] = [7; 16];

    fn me() -> Identity {
        Identity {
            mac: Mac::of(1, 0, 0),
            vlan: None,
            ip: Ipv4Addr::new(10, 1, 0, 0),
            asn: None,
            gateway: Mac::of(9, 0, 0),
        }
    }

    fn message(head: &Head, copies: &[Copied], base: u32) -> Vec<u8> {
        let mut frame = vec![0; 1600];
        let to = Ipv4Addr::new(10, 1, 1, 0);
        let entries = copies.iter().map(|copy| Entry::new(copy, base));
        let len = write(&mut frame, &me(), to, &KEY, head, entries);
        frame.truncate(len);
        frame
    }

    fn any_copy() -> impl Strategy<Value = Copied> {
        let ends = (any::<u32>(), any::<u16>(), any::<u32>(), any::<u16>());
        let life = (0..State::ALL.len(), any::<u16>(), any::<bool>(), 0..3usize);
        (ends, life, 10u16..14, any::<u16>()).prop_map(|(ends, life, address, port)| Copied {
            slot: Slot::new(address, port),
            inside: Inside::new(Endpoint::new(ends.0, ends.1), [17, 6, 1][life.3]),
            remote: Endpoint::new(ends.2, ends.3),
            life: Life { state: State::ALL[life.0], expiry: life.1 },
            only: life.2,
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            copies in prop::collection::vec(any_copy(), 0..ENTRIES_MAX),
            numbers: [u64; 8], shard: u32, epoch: u32, role in 0u8..4,
        ) {
            let [from, to, counter, heard, first, next, acked, whole] = numbers;
            let head = Head {
                shard, epoch, role, flags: YIELDS, from, to, counter, heard, first, next, acked,
                stream: epoch ^ 1, whole,
            };
            let frame = message(&head, &copies, 10);
            prop_assert!(frame.len() <= 1514);
            let (source, read_head, entries) = read(&frame, &KEY).unwrap();
            prop_assert_eq!((source, read_head), (me().ip, head));
            let back: Vec<Copied> = entries.iter().map(|it| it.read(20, 4).unwrap()).collect();
            let there = |copy: &Copied| Copied {
                slot: Slot::new(copy.slot.address() + 10, copy.slot.port()), ..*copy
            };
            prop_assert_eq!(back, copies.iter().map(there).collect::<Vec<_>>());
            prop_assert!(entries.iter().all(|it| it.read(20, 0).is_none()));
        }

        #[test]
        fn one_bit_breaks_the_seal(
            copies in prop::collection::vec(any_copy(), 0..5), bit: prop::sample::Index,
        ) {
            let mut frame = message(&Head::default(), &copies, 10);
            let bit = FRAME_HEAD * 8 + bit.index((frame.len() - FRAME_HEAD) * 8);
            frame[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(read(&frame, &KEY).is_err());
        }

        #[test]
        fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..1600)) {
            prop_assert!(read(&bytes, &KEY).is_err());
        }
    }

    #[test]
    fn another_key_is_a_stranger() {
        let frame = message(&Head::default(), &[], 0);
        assert!(read(&frame, &KEY).is_ok());
        assert_eq!(read(&frame, &[8; 16]).unwrap_err(), NoMessage::Seal);
        assert_eq!(read(&frame[..FRAME_MIN - 1], &KEY).unwrap_err(), NoMessage::Length);
    }
}
