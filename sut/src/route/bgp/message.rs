//! Messages of BGP-4 (RFC 4271 §4) as far as a speaker of IPv4 unicast needs them: bytes to a
//! [`Message`] and back.
//!
//! [`split`] cuts one message out of a stream and applies the checks of the header (§6.1), [`read`]
//! those of each type (§6.2, §6.3). Both are total over any bytes; what they refuse is the
//! [`Notification`] that RFC 4271 has a speaker answer with. UPDATEs are checked as far as their
//! lengths go and skipped: nobody here wants the router's routes.
//!
//! Capabilities (RFC 5492) offered are IPv4 unicast (RFC 4760) and four-octet AS numbers (RFC 6793);
//! route refresh is not, so such a message is one of an unknown type. Optional parameters in the
//! extended form (RFC 9072) are refused as malformed: no router needs 255 bytes for this session.

use arrayvec::ArrayVec;
use std::net::Ipv4Addr;

/// Bytes of marker, length and type.
pub const HEADER_LEN: usize = 19;

/// Longest message (RFC 4271 §4.1). The extension for longer ones (RFC 8654) is not offered.
pub const MESSAGE_MAX: usize = 4096;

/// Stands for an AS number that has more than two octets (RFC 6793 §9).
pub const AS_TRANS: u16 = 23456;

/// Types of messages (RFC 4271 §4.1).
pub(super) const OPEN: u8 = 1;
pub(super) const UPDATE: u8 = 2;
const NOTIFICATION: u8 = 3;
const KEEPALIVE: u8 = 4;

const VERSION: u8 = 4;

/// Optional parameter: capabilities (RFC 5492 §4).
const CAPABILITIES: u8 = 2;
const MULTIPROTOCOL: u8 = 1;
const FOUR_OCTET_AS: u8 = 65;

/// Address family and subsequent address family: IPv4 unicast, with the reserved byte between.
const IPV4_UNICAST: [u8; 4] = [0, 1, 0, 1];

/// Most bytes of data that come with a NOTIFICATION of ours.
const DATA_MAX: usize = 6;

/// Why a session ends, as it is told to the other end (RFC 4271 §4.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Error code.
    pub code: u8,
    /// Subcode; 0 if there is none.
    pub subcode: u8,
    /// What was wrong, in the form that the code asks for; cut off in what we read.
    pub data: ArrayVec<u8, DATA_MAX>,
}

impl Notification {
    /// Message header: marker, length, type (RFC 4271 §6.1).
    pub const HEADER: u8 = 1;
    /// OPEN (§6.2).
    pub const OPEN: u8 = 2;
    /// UPDATE (§6.3).
    pub const UPDATE: u8 = 3;
    /// Hold timer expired (§6.5).
    pub const HOLD_TIMER: u8 = 4;
    /// A message that the state has no use for (§6.6, subcodes of RFC 6608).
    pub const STATE: u8 = 5;
    /// Ended by will (§6.7, subcodes of RFC 4486).
    pub const CEASE: u8 = 6;
    /// Subcode of [`Notification::CEASE`]: administrative shutdown.
    pub const SHUTDOWN: u8 = 2;

    /// One with data, cut off where it is too long.
    pub fn new(code: u8, subcode: u8, data: &[u8]) -> Notification {
        Notification { code, subcode, data: data.iter().copied().take(DATA_MAX).collect() }
    }

    fn header(subcode: u8, data: &[u8]) -> Notification {
        Notification::new(Notification::HEADER, subcode, data)
    }

    fn open(subcode: u8) -> Notification {
        Notification::new(Notification::OPEN, subcode, &[])
    }
}

/// What both ends say of themselves first (RFC 4271 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// AS number: the one of the capability, where it is offered.
    pub asn: u32,
    /// Hold time in seconds: 0, or at least 3.
    pub hold_s: u16,
    /// BGP identifier.
    pub id: Ipv4Addr,
    /// Whether AS numbers of four octets are spoken (RFC 6793).
    pub four_octets: bool,
}

/// A message from the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// See [`Open`].
    Open(Open),
    /// Routes, which are not read.
    Update,
    /// The other end ends the session.
    Notification(Notification),
    /// The other end is there.
    Keepalive,
}

/// A message as it lies in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a> {
    /// Type.
    pub kind: u8,
    /// What follows the header.
    pub body: &'a [u8],
    /// Bytes of header and body.
    pub len: usize,
}

/// The first message of a stream; None while it is not complete.
///
/// # Errors
/// The NOTIFICATION to answer with, as soon as the header is wrong.
pub fn split(stream: &[u8]) -> Result<Option<Raw<'_>>, Notification> {
    let marker = &stream[..stream.len().min(16)];
    if marker.iter().any(|&byte| byte != 0xff) {
        return Err(Notification::header(1, &[]));
    }
    let Some(header) = stream.first_chunk::<HEADER_LEN>() else { return Ok(None) };
    let (length, kind) = (&header[16..18], header[18]);
    let len = usize::from(u16::from_be_bytes([header[16], header[17]]));
    let expected = match kind {
        OPEN => 29..=MESSAGE_MAX,
        UPDATE => 23..=MESSAGE_MAX,
        NOTIFICATION => 21..=MESSAGE_MAX,
        KEEPALIVE => HEADER_LEN..=HEADER_LEN,
        _ if (HEADER_LEN..=MESSAGE_MAX).contains(&len) => {
            return Err(Notification::header(3, &[kind]));
        }
        _ => return Err(Notification::header(2, length)),
    };
    if !expected.contains(&len) {
        return Err(Notification::header(2, length));
    }
    Ok(stream.get(HEADER_LEN..len).map(|body| Raw { kind, body, len }))
}

/// Reads the body of a message of a type that [`split`] let pass.
///
/// # Errors
/// The NOTIFICATION to answer with.
pub fn read(kind: u8, body: &[u8]) -> Result<Message, Notification> {
    match (kind, body) {
        (OPEN, body) => read_open(body).map(Message::Open),
        (UPDATE, body) => check_update(body).map(|()| Message::Update),
        (NOTIFICATION, [code, subcode, data @ ..]) => {
            Ok(Message::Notification(Notification::new(*code, *subcode, data)))
        }
        (KEEPALIVE, []) => Ok(Message::Keepalive),
        _ => Err(Notification::header(3, &[kind])),
    }
}

fn read_open(body: &[u8]) -> Result<Open, Notification> {
    let malformed = || Notification::open(0);
    let Some((&[version, as1, as0, hold1, hold0, i3, i2, i1, i0, len], parameters)) =
        body.split_first_chunk::<10>()
    else {
        return Err(malformed());
    };
    if version != VERSION {
        return Err(Notification::new(Notification::OPEN, 1, &[0, VERSION]));
    }
    if parameters.len() != usize::from(len) {
        return Err(malformed());
    }
    let offered = read_parameters(parameters)?;
    let hold_s = u16::from_be_bytes([hold1, hold0]);
    if matches!(hold_s, 1 | 2) {
        return Err(Notification::open(6));
    }
    let id = Ipv4Addr::from([i3, i2, i1, i0]);
    // RFC 6286 §2.2: any but zero.
    if id.is_unspecified() {
        return Err(Notification::open(3));
    }
    let asn = offered.asn.unwrap_or(u32::from(u16::from_be_bytes([as1, as0])));
    Ok(Open { asn, hold_s, id, four_octets: offered.asn.is_some() })
}

#[derive(Default)]
struct Offered {
    asn: Option<u32>,
    families: bool,
    ipv4: bool,
}

fn read_parameters(mut rest: &[u8]) -> Result<Offered, Notification> {
    let mut offered = Offered::default();
    while let Some(Value { kind, value, after }) = next_value(rest)? {
        if kind != CAPABILITIES {
            return Err(Notification::open(4));
        }
        let mut capabilities = value;
        while let Some(Value { kind: code, value, after }) = next_value(capabilities)? {
            match (code, value) {
                (MULTIPROTOCOL, value) => {
                    offered.families = true;
                    offered.ipv4 |= value == IPV4_UNICAST;
                }
                (FOUR_OCTET_AS, &[a, b, c, d]) => {
                    offered.asn = Some(u32::from_be_bytes([a, b, c, d]));
                }
                (FOUR_OCTET_AS, _) => return Err(Notification::open(0)),
                _ => {}
            }
            capabilities = after;
        }
        rest = after;
    }
    // Whoever speaks of families and not of this one does not speak it (RFC 4760 §8). The data is
    // the capability that is missing (RFC 5492 §5).
    if offered.families && !offered.ipv4 {
        let [a, b, c, d] = IPV4_UNICAST;
        return Err(Notification::new(Notification::OPEN, 7, &[MULTIPROTOCOL, 4, a, b, c, d]));
    }
    Ok(offered)
}

struct Value<'a> {
    kind: u8,
    value: &'a [u8],
    after: &'a [u8],
}

/// The first value, where its length is one octet.
fn next_value(bytes: &[u8]) -> Result<Option<Value<'_>>, Notification> {
    match bytes {
        [] => Ok(None),
        [kind, len, rest @ ..] if rest.len() >= usize::from(*len) => {
            let (value, after) = rest.split_at(usize::from(*len));
            Ok(Some(Value { kind: *kind, value, after }))
        }
        _ => Err(Notification::open(0)),
    }
}

/// The lengths of an UPDATE (RFC 4271 §6.3): what they do not fit is malformed. RFC 7606 would save
/// the session from errors inside of attributes, which are not looked at.
fn check_update(body: &[u8]) -> Result<(), Notification> {
    let malformed = || Notification::new(Notification::UPDATE, 1, &[]);
    let field = |bytes: &'_ [u8]| -> Option<(usize, usize)> {
        let len = usize::from(u16::from_be_bytes(*bytes.first_chunk::<2>()?));
        (bytes.len() >= 2 + len).then_some((2, 2 + len))
    };
    let (from, to) = field(body).ok_or_else(malformed)?;
    check_prefixes(&body[from..to])?;
    let rest = &body[to..];
    let (from, to) = field(rest).ok_or_else(malformed)?;
    check_attributes(&rest[from..to])?;
    check_prefixes(&rest[to..])
}

fn check_prefixes(mut bytes: &[u8]) -> Result<(), Notification> {
    while let [bits, rest @ ..] = bytes {
        let octets = usize::from(bits.div_ceil(8));
        if *bits > 32 || rest.len() < octets {
            return Err(Notification::new(Notification::UPDATE, 10, &[]));
        }
        bytes = &rest[octets..];
    }
    Ok(())
}

fn check_attributes(mut bytes: &[u8]) -> Result<(), Notification> {
    const EXTENDED: u8 = 0x10;
    while !bytes.is_empty() {
        let (head, len) = match *bytes {
            [flags, _, high, low, ..] if flags & EXTENDED != 0 => {
                (4, usize::from(u16::from_be_bytes([high, low])))
            }
            [flags, _, len, ..] if flags & EXTENDED == 0 => (3, usize::from(len)),
            _ => return Err(Notification::new(Notification::UPDATE, 1, &[])),
        };
        let rest = bytes.get(head + len..);
        bytes = rest.ok_or_else(|| Notification::new(Notification::UPDATE, 1, &[]))?;
    }
    Ok(())
}

/// Writes into a buffer as long as there is room; what did not fit leaves no whole message.
pub(super) struct Writer<'a> {
    buffer: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    /// Begins a message.
    pub(super) fn begin(buffer: &'a mut [u8], kind: u8) -> Option<Writer<'a>> {
        let mut writer = Writer { buffer, at: 0 };
        writer.put(&[0xff; 16])?.put(&[0, 0, kind])?;
        Some(writer)
    }

    /// Appends bytes.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Option<&mut Self> {
        let room = self.buffer.get_mut(self.at..self.at + bytes.len())?;
        room.copy_from_slice(bytes);
        self.at += bytes.len();
        Some(self)
    }

    /// Appends a field of two octets that will have the length of what follows.
    pub(super) fn put_length(&mut self) -> Option<Length> {
        let at = self.at;
        self.put(&[0, 0])?;
        Some(Length(at))
    }

    /// Fills in a length: what follows it ends here.
    pub(super) fn close(&mut self, Length(at): Length) {
        let len = (self.at - at - 2) as u16;
        self.buffer[at..at + 2].copy_from_slice(&len.to_be_bytes());
    }

    /// Whether so many bytes more would fit.
    pub(super) fn has_room(&self, len: usize) -> bool {
        self.at + len <= self.buffer.len().min(MESSAGE_MAX)
    }

    /// Fills in the length of the message and returns it.
    pub(super) fn end(self) -> usize {
        self.buffer[16..18].copy_from_slice(&(self.at as u16).to_be_bytes());
        self.at
    }
}

/// A length to be filled in.
pub(super) struct Length(usize);

/// Writes an OPEN; how many bytes, None if they do not fit.
pub fn write_open(buffer: &mut [u8], open: &Open) -> Option<usize> {
    let mut writer = Writer::begin(buffer, OPEN)?;
    let short = u16::try_from(open.asn).unwrap_or(AS_TRANS).to_be_bytes();
    writer.put(&[VERSION])?.put(&short)?.put(&open.hold_s.to_be_bytes())?;
    writer.put(&open.id.octets())?;
    let capabilities: u8 = if open.four_octets { 12 } else { 6 };
    writer.put(&[capabilities + 2, CAPABILITIES, capabilities])?;
    writer.put(&[MULTIPROTOCOL, 4])?.put(&IPV4_UNICAST)?;
    if open.four_octets {
        writer.put(&[FOUR_OCTET_AS, 4])?.put(&open.asn.to_be_bytes())?;
    }
    Some(writer.end())
}

/// Writes a NOTIFICATION; how many bytes, None if they do not fit.
pub fn write_notification(buffer: &mut [u8], notification: &Notification) -> Option<usize> {
    let mut writer = Writer::begin(buffer, NOTIFICATION)?;
    writer.put(&[notification.code, notification.subcode])?.put(&notification.data)?;
    Some(writer.end())
}

/// Writes a KEEPALIVE; how many bytes, None if they do not fit.
pub fn write_keepalive(buffer: &mut [u8]) -> Option<usize> {
    Some(Writer::begin(buffer, KEEPALIVE)?.end())
}
