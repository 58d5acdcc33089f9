//! IPv6 (RFC 8200): the header, and the walk over what may lie between it and the transport.
//!
//! IPv4 says in one field where its payload starts; IPv6 has a chain of extension headers, each of
//! which names the next. Whoever filters by transport must follow it to the end, and whoever sends
//! can make it long: [`walk`] takes [`HEADERS_MAX`] headers and [`EXTENSIONS_LEN_MAX`] bytes and
//! refuses the rest (RFC 8504 §5.3 and RFC 9098 §6 are the case for limits).
//!
//! It reads where headers end, not what they ask for: options are neither executed nor judged. ESP
//! ends the chain, since nobody but its receiver can tell what follows (RFC 4303).

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of the header.
pub const HEADER_LEN: usize = 40;
/// Next header: hop-by-hop options (RFC 8200 §4.3).
pub const HOP_BY_HOP: u8 = 0;
/// Next header: routing (RFC 8200 §4.4).
pub const ROUTING: u8 = 43;
/// Next header: fragment (RFC 8200 §4.5).
pub const FRAGMENT: u8 = 44;
/// Next header: encapsulating security payload (RFC 4303).
pub const ESP: u8 = 50;
/// Next header: authentication header (RFC 4302).
pub const AUTHENTICATION: u8 = 51;
/// Next header: ICMP for IPv6 (RFC 4443).
pub const ICMPV6: u8 = 58;
/// Next header: nothing follows (RFC 8200 §4.7).
pub const NO_NEXT_HEADER: u8 = 59;
/// Next header: destination options (RFC 8200 §4.6).
pub const DESTINATION_OPTIONS: u8 = 60;
/// Next header: UDP-Lite (RFC 3828), whose ports lie where those of UDP do.
pub const UDP_LITE: u8 = 136;
/// Next header: host identity protocol (RFC 7401).
pub const HIP: u8 = 139;
/// Next header: Shim6 (RFC 5533).
pub const SHIM6: u8 = 140;

/// Extension headers a datagram may have.
pub const HEADERS_MAX: usize = 8;
/// Bytes of extension headers a datagram may have: eight cache lines.
pub const EXTENSIONS_LEN_MAX: usize = 512;

/// The header, as it lies in a frame.
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct Ipv6 {
    /// Version in the upper four bits, then traffic class and flow label.
    pub version_class_flow: U32,
    /// Bytes after this header, extension headers included.
    pub payload_len: U16,
    /// What follows, such as [`FRAGMENT`] or [`super::ipv4::UDP`].
    pub next_header: u8,
    /// Routers the datagram may still pass.
    pub hop_limit: u8,
    /// Sender.
    pub source: [u8; 16],
    /// Receiver.
    pub destination: [u8; 16],
}

const _: () = assert!(size_of::<Ipv6>() == HEADER_LEN);

impl Ipv6 {
    /// 6, where the header is one.
    #[inline]
    pub fn version(&self) -> u8 {
        (self.version_class_flow.get() >> 28) as u8
    }
}

/// What lies between the IPv6 header and the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The first next header that is no extension header. In a fragment that is not the first it
    /// is what the fragment header names, extension header or not.
    pub protocol: u8,
    /// Bytes of all extension headers.
    pub len: usize,
    /// The datagram is one piece of several. A fragment header around a whole datagram says
    /// nothing (RFC 6946).
    pub fragment: Option<Piece>,
    /// There is an authentication header.
    pub authenticated: bool,
    /// There is a routing header of a deprecated type: 0 (RFC 5095) or 1 (Nimrod).
    pub source_routed: bool,
}

/// The place of a fragment in its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Identification, the same in all fragments of a datagram.
    pub id: u32,
    /// Bytes of the datagram's fragmentable part that lie before this fragment.
    pub offset: u16,
    /// Other fragments follow.
    pub more: bool,
    /// Offset of the fragment's data behind the IPv6 header.
    pub data_at: usize,
}

impl Piece {
    /// Whether the fragment begins its datagram, and so holds the transport header.
    #[inline]
    pub fn is_first(&self) -> bool {
        self.offset == 0
    }
}

/// Why the transport cannot be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// An extension header is longer than the datagram, or shorter than its own fixed part.
    Length,
    /// The first fragment ends before its headers do (RFC 7112).
    FirstFragment,
    /// Hop-by-hop options elsewhere than first (RFC 8200 §4.1), or a second fragment header.
    Order,
    /// More than [`HEADERS_MAX`] headers or [`EXTENSIONS_LEN_MAX`] bytes.
    TooLong,
}

/// Follows the chain from the header's next header `first` through the `bytes` behind it.
///
/// # Errors
/// The first reason found on the way.
#[inline]
pub fn walk(first: u8, bytes: &[u8]) -> Result<Chain, Broken> {
    let mut chain = Chain {
        protocol: first,
        len: 0,
        fragment: None,
        authenticated: false,
        source_routed: false,
    };
    let mut fragment_seen = false;
    for count in 0..=HEADERS_MAX {
        let kind = chain.protocol;
        if !is_extension(kind) {
            return Ok(chain);
        }
        let cut = if chain.fragment.is_some() { Broken::FirstFragment } else { Broken::Length };
        let header = bytes.get(chain.len..).and_then(<[u8]>::first_chunk::<8>).ok_or(cut)?;
        let len = header_len(kind, header[1]).ok_or(Broken::Length)?;
        if (kind == HOP_BY_HOP && count > 0) || (kind == FRAGMENT && fragment_seen) {
            return Err(Broken::Order);
        }
        chain.len += len;
        if count == HEADERS_MAX || chain.len > EXTENSIONS_LEN_MAX {
            return Err(Broken::TooLong);
        }
        if chain.len > bytes.len() {
            return Err(cut);
        }
        chain.protocol = header[0];
        match kind {
            AUTHENTICATION => chain.authenticated = true,
            ROUTING => chain.source_routed |= header[2] <= 1,
            FRAGMENT => {
                fragment_seen = true;
                chain.fragment = piece(header, chain.len);
                if chain.fragment.is_some_and(|piece| !piece.is_first()) {
                    return Ok(chain);
                }
            }
            _ => {}
        }
    }
    Err(Broken::TooLong)
}

#[inline]
const fn is_extension(kind: u8) -> bool {
    matches!(kind, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION_OPTIONS | SHIM6)
}

/// Bytes of an extension header whose second byte is `field`; `None` where that is less than any
/// has (RFC 4302 §2: twelve bytes and the check value, counted in words less two).
#[inline]
fn header_len(kind: u8, field: u8) -> Option<usize> {
    match kind {
        FRAGMENT => Some(8),
        AUTHENTICATION => (field > 0).then(|| 4 * (2 + usize::from(field))),
        _ => Some(8 * (1 + usize::from(field))),
    }
}

#[inline]
fn piece(header: &[u8; 8], data_at: usize) -> Option<Piece> {
    let [.., o1, o0, i3, i2, i1, i0] = *header;
    let place = u16::from_be_bytes([o1, o0]);
    let (offset, more) = (place & 0xfff8, place & 1 == 1);
    let id = u32::from_be_bytes([i3, i2, i1, i0]);
    (offset != 0 || more).then_some(Piece { id, offset, more, data_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Minimal headers of these kinds in a row, then `last`.
    fn chain(kinds: &[u8], last: u8) -> (u8, Vec<u8>) {
        let mut all = kinds.to_vec();
        all.push(last);
        let bytes = all.windows(2).flat_map(|pair| {
            let len = if pair[0] == AUTHENTICATION { 2 } else { 0 };
            let mut header = vec![pair[1], len, 0, 0, 0, 0, 0, 0];
            if pair[0] == ROUTING {
                header[2] = 2;
            }
            header.resize(if pair[0] == AUTHENTICATION { 16 } else { 8 }, 0);
            header
        });
        (all[0], bytes.collect())
    }

    #[test]
    fn the_limit_is_eight_headers_and_512_bytes() {
        let (first, bytes) = chain(&[DESTINATION_OPTIONS; 8], 17);
        assert_eq!(walk(first, &bytes).map(|chain| (chain.protocol, chain.len)), Ok((17, 64)));
        let (first, bytes) = chain(&[DESTINATION_OPTIONS; 9], 17);
        assert_eq!(walk(first, &bytes), Err(Broken::TooLong));
        let mut long = vec![0; 2048];
        (long[0], long[1]) = (17, 63);
        assert_eq!(walk(DESTINATION_OPTIONS, &long).map(|chain| chain.len), Ok(512));
        long[1] = 64;
        assert_eq!(walk(DESTINATION_OPTIONS, &long), Err(Broken::TooLong));
    }

    #[test]
    fn order_is_kept_where_it_matters() {
        for (kinds, expected) in [
            (&[HOP_BY_HOP, DESTINATION_OPTIONS, ROUTING, FRAGMENT, AUTHENTICATION][..], Ok(58)),
            (&[DESTINATION_OPTIONS, HOP_BY_HOP], Err(Broken::Order)),
            (&[FRAGMENT, FRAGMENT], Err(Broken::Order)),
            (&[], Ok(58)),
        ] {
            let (first, bytes) = chain(kinds, 58);
            assert_eq!(walk(first, &bytes).map(|chain| chain.protocol), expected, "{kinds:?}");
        }
    }

    #[test]
    fn a_fragment_header_around_a_whole_datagram_says_nothing() {
        let (first, mut bytes) = chain(&[FRAGMENT], 17);
        assert_eq!(walk(first, &bytes).map(|chain| chain.fragment), Ok(None));
        bytes[3] = 9;
        let piece = Piece { id: 0, offset: 8, more: true, data_at: 8 };
        assert_eq!(walk(first, &bytes).map(|chain| chain.fragment), Ok(Some(piece)));
    }

    #[test]
    fn headers_end_within_the_datagram_and_within_its_first_fragment() {
        let (first, bytes) = chain(&[DESTINATION_OPTIONS, AUTHENTICATION], 17);
        for len in 0..bytes.len() {
            assert_eq!(walk(first, &bytes[..len]), Err(Broken::Length), "{len} bytes");
        }
        let (first, mut bytes) = chain(&[FRAGMENT, DESTINATION_OPTIONS], 17);
        bytes[3] = 1;
        assert_eq!(walk(first, &bytes[..7]), Err(Broken::Length));
        assert_eq!(walk(first, &bytes[..15]), Err(Broken::FirstFragment));
        assert!(walk(first, &bytes).is_ok());
    }
}
