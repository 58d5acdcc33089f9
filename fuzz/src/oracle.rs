//! What must be true of a frame that is sent, whatever it was: computed from its bytes before and
//! after, from scratch.
//!
//! The residue of a checksum is what the sum over everything it covers leaves: nothing, if the
//! checksum is right. A NAT that updates checksums (RFC 1624) keeps the residue whatever it is, so
//! that what arrived damaged leaves damaged, and it keeps the residue of each fragment.

use crate::bench::{CORE, EXTERNAL, GATEWAY, OWN, OWN6, SUBSCRIBER};
use krononat::verdict::Verdict;

/// Ethernet type fields.
const IPV4: [u8; 2] = [0x08, 0x00];
const ARP: [u8; 2] = [0x08, 0x06];
const IPV6: [u8; 2] = [0x86, 0xdd];
/// Protocol numbers.
pub const ICMP: u8 = 1;
/// See [`ICMP`].
pub const TCP: u8 = 6;
/// See [`ICMP`].
pub const UDP: u8 = 17;
/// See [`ICMP`].
pub const ICMPV6: u8 = 58;

/// Ones' complement sum over big-endian words, in 0 to 0xfffe: a word of all ones is zero too.
pub fn residue(pieces: &[&[u8]]) -> u32 {
    let mut sum = 0_u64;
    for piece in pieces {
        for word in piece.chunks(2) {
            sum += u64::from(word[0]) << 8 | word.get(1).map_or(0, |&low| u64::from(low));
        }
    }
    (sum % 0xffff) as u32
}

/// The checksum that leaves no residue over `pieces`, in which its place holds zero.
pub fn checksum(pieces: &[&[u8]]) -> [u8; 2] {
    (!(residue(pieces) as u16)).to_be_bytes()
}

/// An IPv4 datagram in a frame.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4<'a> {
    /// The header with its options.
    pub header: &'a [u8],
    /// What follows it, without padding.
    pub payload: &'a [u8],
}

impl<'a> Ipv4<'a> {
    /// The datagram that `bytes` begin with, if its lengths agree.
    pub fn read(bytes: &'a [u8]) -> Option<Ipv4<'a>> {
        let first = *bytes.first()?;
        let header_len = usize::from(first & 15) * 4;
        let total = usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]));
        let fits = first >> 4 == 4 && (20..=total).contains(&header_len) && total <= bytes.len();
        let datagram = bytes.get(..total).filter(|_| fits)?;
        let (header, payload) = datagram.split_at(header_len);
        Some(Ipv4 { header, payload })
    }

    /// The protocol field.
    pub fn protocol(&self) -> u8 {
        self.header[9]
    }

    /// Offset in bytes of the fragment; zero for whole datagrams too.
    pub fn offset(&self) -> usize {
        usize::from(u16::from_be_bytes([self.header[6] & 0x1f, self.header[7]])) * 8
    }

    /// Sender and receiver.
    pub fn ends(&self) -> [[u8; 4]; 2] {
        [12, 16].map(|at| self.header[at..at + 4].try_into().expect("four bytes"))
    }

    /// Whether it is UDP without checksum (RFC 768), which must stay without.
    pub fn is_unchecked(&self) -> bool {
        self.protocol() == UDP && self.offset() == 0 && self.payload[6..8] == [0, 0]
    }

    /// What the transport checksum leaves; of later fragments, the sum of their bytes. Lengths are
    /// the same before and after a NAT and are left out of the pseudo-header.
    pub fn residue(&self) -> u32 {
        match self.protocol() {
            UDP | TCP if self.offset() == 0 => {
                residue(&[&self.header[12..20], &[0, self.protocol()], self.payload])
            }
            _ => residue(&[self.payload]),
        }
    }
}

/// Whether this is an address of the only external prefix.
pub fn is_external(address: [u8; 4]) -> bool {
    address == EXTERNAL.octets()
}

/// Whether a subscriber has this address.
pub fn is_subscriber(address: [u8; 4]) -> bool {
    address[..3] == SUBSCRIBER.octets()[..3]
}

/// Whether the later fragment `sent` may have been `frame`, by what no NAT changes.
pub fn may_be(frame: &[u8], sent: &[u8]) -> bool {
    if sent[12..14] == IPV6 {
        let hops = frame.len() == sent.len() && frame[21] == sent[21].wrapping_add(1);
        return hops && frame[12..21] == sent[12..21] && frame[22..] == sent[22..];
    }
    let same = |range: std::ops::Range<usize>| frame[range.clone()] == sent[range];
    let ends = same(26..30) || same(30..34);
    frame.len() == sent.len()
        && same(14..18)
        && same(20..22)
        && same(23..24)
        && same(34..frame.len())
        && ends
        && frame[22] == sent[22].wrapping_add(1)
        && (is_subscriber([frame[26], frame[27], frame[28], frame[29]]) || same(18..20))
}

/// Checks what became of a frame.
///
/// # Panics
/// When that must not become of it.
pub fn check(frame: &[u8], verdict: Verdict, sent: &[u8]) {
    match verdict {
        Verdict::Dropped(_) | Verdict::Held => {}
        Verdict::Forwarded => forwarded(frame, sent),
        Verdict::Answered => answered(frame, sent),
    }
}

fn forwarded(frame: &[u8], sent: &[u8]) {
    assert_eq!(frame.len(), sent.len(), "forwarding changes no length");
    assert_eq!((&sent[..6], &sent[6..12]), (&GATEWAY[..], &CORE[..]), "stations");
    assert_eq!(frame[12..14], sent[12..14], "type");
    assert_eq!(frame[..6], CORE, "taken from another station");
    if sent[12..14] == IPV6 {
        let mut expected = frame.to_vec();
        expected[..12].copy_from_slice(&sent[..12]);
        expected[21] -= 1;
        assert_eq!(expected, sent, "of IPv6 nothing but the hop limit changes");
        return;
    }
    assert_eq!(sent[12..14], IPV4, "forwarded what is no IP");
    let before = Ipv4::read(&frame[14..]).expect("a datagram that was forwarded");
    let after = Ipv4::read(&sent[14..]).expect("a datagram that was sent");
    header(&before, &after);
    let end = 14 + before.header.len() + before.payload.len();
    assert_eq!(frame[end..], sent[end..], "padding");
    if !before.is_unchecked() {
        assert_eq!(before.residue(), after.residue(), "transport checksum");
    }
    assert_eq!(before.is_unchecked(), after.is_unchecked(), "UDP without checksum");
    payload(&before, &after);
}

fn header(before: &Ipv4, after: &Ipv4) {
    assert_eq!(residue(&[before.header]), 0, "forwarded a wrong header checksum");
    assert_eq!(residue(&[after.header]), 0, "header checksum");
    let ([from, to], [new_from, new_to]) = (before.ends(), after.ends());
    if is_subscriber(from) {
        assert!(is_external(new_from) && new_to == to, "outbound: {after:?}");
    } else {
        assert!(is_external(to) && is_subscriber(new_to), "inbound: {after:?}");
        assert_eq!((new_from, &after.header[4..6]), (from, &before.header[4..6]), "inbound");
    }
    assert_eq!(after.header[8], before.header[8] - 1, "time to live");
    for same in [0..4, 6..8, 9..10, 20..before.header.len()] {
        assert_eq!(before.header[same.clone()], after.header[same.clone()], "byte {same:?}");
    }
}

/// Only ports, identifiers and checksums change, and what an error quotes.
fn payload(before: &Ipv4, after: &Ipv4) {
    let outbound = is_subscriber(before.ends()[0]);
    let port = if outbound { 0..2 } else { 2..4 };
    let changed: &[std::ops::Range<usize>] = match before.protocol() {
        _ if before.offset() > 0 => &[],
        UDP => &[port, 6..8],
        TCP => &[port, 16..18],
        ICMP if matches!(before.payload[0], 0 | 8) => &[2..4, 4..6],
        ICMP => return error(before, after),
        protocol => panic!("forwarded protocol {protocol}"),
    };
    let mut expected = before.payload.to_vec();
    for range in changed {
        expected[range.clone()].copy_from_slice(&after.payload[range.clone()]);
    }
    assert_eq!(expected, after.payload, "payload");
}

fn error(before: &Ipv4, after: &Ipv4) {
    assert_eq!(before.residue(), 0, "forwarded an error with a wrong checksum");
    let (old, new) = (&before.payload, &after.payload);
    assert!(matches!(old[0], 3 | 11 | 12), "forwarded ICMP of type {}", old[0]);
    assert_eq!((&old[..2], &old[4..8]), (&new[..2], &new[4..8]), "type, code and what they need");
    let header_len = usize::from(new[8] & 15) * 4;
    assert_eq!(residue(&[&new[8..8 + header_len]]), 0, "quoted header checksum");
    let [from, to] = after.ends();
    let quoted = &new[8 + 12..8 + 20];
    if is_subscriber(before.ends()[0]) {
        assert_eq!(quoted[4..], from, "the error is about what came to its sender");
    } else {
        assert_eq!(quoted[..4], to, "the error is about what its receiver sent");
    }
}

fn answered(frame: &[u8], sent: &[u8]) {
    assert_eq!(sent[6..12], CORE, "sent from another station");
    assert_eq!(frame[12..14], sent[12..14], "type");
    match [sent[12], sent[13]] {
        ARP => {
            assert_eq!((frame[21], sent[21]), (1, 2), "a reply to a request");
            assert_eq!((&sent[22..28], &sent[28..32]), (&CORE[..], &OWN.octets()[..]));
            assert_eq!(sent[32..42], frame[22..32], "to whoever asked");
        }
        IPV4 => {
            let before = Ipv4::read(&frame[14..]).expect("a datagram that was answered");
            let after = Ipv4::read(&sent[14..]).expect("an answer");
            assert_eq!(residue(&[after.header]), 0, "header checksum");
            assert_eq!(after.ends(), [OWN.octets(), before.ends()[0]]);
            if after.payload[0] == 11 {
                return exceeded(frame, &before, &after);
            }
            assert_eq!((before.payload[0], after.payload[0]), (8, 0), "an echo");
            assert_eq!(before.residue(), after.residue(), "checksum");
            assert_eq!(before.payload[4..], after.payload[4..], "what it echoes");
        }
        IPV6 => answered6(frame, sent),
        other => panic!("answered with type {other:02x?}"),
    }
}

/// Time exceeded about what has no hop left, was sent by one host to one host, and is no error.
fn exceeded(frame: &[u8], before: &Ipv4, after: &Ipv4) {
    assert!(before.header[8] < 2 && before.offset() == 0, "what hops are left");
    let error = before.protocol() == ICMP && matches!(before.payload[0], 3..=5 | 11 | 12);
    assert!(!error, "of an error");
    let [from, to] = before.ends().map(|end| end[0]);
    assert!(!matches!(from, 0 | 127 | 224..) && to < 224, "no hosts: {before:?}");
    let whole = before.header.len() + before.payload.len();
    assert_eq!((after.payload[1], after.residue()), (0, 0), "code and checksum");
    assert_eq!(after.payload[8..], frame[14..14 + whole.min(576 - 28)], "quoted as it came");
}

fn answered6(frame: &[u8], sent: &[u8]) {
    assert_eq!(sent[22..38], OWN6.octets(), "from the core's own address");
    let of = |frame: &[u8]| {
        let len = usize::from(u16::from_be_bytes([frame[18], frame[19]]));
        residue(&[&frame[22..54], &frame[18..20], &[0, ICMPV6], &frame[54..54 + len]])
    };
    if sent[54] == 3 {
        assert!(frame[21] < 2, "what hops are left");
        let whole = 40 + usize::from(u16::from_be_bytes([frame[18], frame[19]]));
        assert_eq!((sent[55], of(sent)), (0, 0), "code and checksum");
        return assert_eq!(sent[62..], frame[14..14 + whole.min(1280 - 48)], "quoted as it came");
    }
    match (frame[54], sent[54]) {
        (128, 129) => assert_eq!(of(frame), of(sent), "checksum of an echo"),
        (135, 136) => assert_eq!((of(frame), of(sent)), (0, 0), "checksum of a neighbour"),
        types => panic!("answered {types:?}"),
    }
}
