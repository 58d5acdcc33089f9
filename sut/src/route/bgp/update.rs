//! UPDATEs that we send (RFC 4271 §4.3): which routes we offer, and how much we want to be chosen.
//!
//! A shard's master and its slave announce the same prefixes. Two attributes say which is better,
//! and they agree: the slave's AS path is longer by its own number, once more (§9.1.2.2 a, what
//! every router compares), and its MED is higher (§9.1.2.2 c, compared among routes of one
//! neighbouring AS, for routers that do not look at the path's length). Routes of a server that
//! leaves are the worst by both, and have the community GRACEFUL_SHUTDOWN (RFC 8326 §4) for routers
//! that have a policy for it.

use super::message::{AS_TRANS, UPDATE, Writer};
use arrayvec::ArrayVec;
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// Community (RFC 1997) of routes that are about to go away (RFC 8326 §5).
pub const GRACEFUL_SHUTDOWN: Community = Community(0xffff_0000);

/// A community, as the 32 bits that RFC 1997 gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Community(pub u32);

/// How much we want to be chosen among those who offer the same prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Preference {
    /// Before all others.
    First,
    /// If the first one is not there.
    Second,
    /// If nobody else is there.
    Last,
}

impl Preference {
    /// Multi-exit discriminator: the lower wins (RFC 4271 §5.1.4).
    pub fn med(self) -> u32 {
        100 * self.prepended()
    }

    /// How often our AS number is in the path once more.
    pub fn prepended(self) -> u32 {
        match self {
            Preference::First => 0,
            Preference::Second => 1,
            Preference::Last => 2,
        }
    }
}

/// What is said of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// See [`Preference`].
    pub preference: Preference,
    /// A mark for the router's policy.
    pub community: Option<Community>,
    /// The route is about to go away.
    pub leaving: bool,
}

/// What all routes of a session have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) asn: u32,
    pub(super) next_hop: Ipv4Addr,
    /// The router understands AS numbers of four octets.
    pub(super) four_octets: bool,
}

/// Flags of attributes (RFC 4271 §4.3), and their types.
const WELL_KNOWN: u8 = 0x40;
const OPTIONAL: u8 = 0x80;
const OPTIONAL_TRANSITIVE: u8 = 0xc0;
const ORIGIN: u8 = 1;
const AS_PATH: u8 = 2;
const NEXT_HOP: u8 = 3;
const MULTI_EXIT_DISC: u8 = 4;
const COMMUNITIES: u8 = 8;
const AS4_PATH: u8 = 17;

const IGP: u8 = 0;
const AS_SEQUENCE: u8 = 2;

/// Writes one UPDATE with as many of these prefixes as fit: an offer, or, without one, that they are
/// withdrawn. Returns its length and how many prefixes it has; None if not even one fits.
pub(super) fn write_update(
    buffer: &mut [u8],
    origin: &Origin,
    offer: Option<&Offer>,
    prefixes: impl Iterator<Item = Ipv4Net>,
) -> Option<(usize, usize)> {
    let mut writer = Writer::begin(buffer, UPDATE)?;
    let withdrawn = writer.put_length()?;
    let Some(offer) = offer else {
        // What comes after the prefixes: no attributes.
        let count = put_prefixes(&mut writer, prefixes, 2);
        writer.close(withdrawn);
        writer.put(&[0, 0])?;
        return (count > 0).then(|| (writer.end(), count));
    };
    let attributes = writer.put_length()?;
    put_attributes(&mut writer, origin, offer)?;
    writer.close(attributes);
    let count = put_prefixes(&mut writer, prefixes, 0);
    (count > 0).then(|| (writer.end(), count))
}

fn put_attributes(writer: &mut Writer<'_>, origin: &Origin, offer: &Offer) -> Option<()> {
    let numbers = 1 + offer.preference.prepended();
    let path = |four_octets: bool| {
        let mut path = ArrayVec::<u8, 16>::new();
        path.extend([AS_SEQUENCE, numbers as u8]);
        for _ in 0..numbers {
            match four_octets {
                true => path.extend(origin.asn.to_be_bytes()),
                false => path.extend(short(origin.asn).to_be_bytes()),
            }
        }
        path
    };
    put_attribute(writer, WELL_KNOWN, ORIGIN, &[IGP])?;
    put_attribute(writer, WELL_KNOWN, AS_PATH, &path(origin.four_octets))?;
    put_attribute(writer, WELL_KNOWN, NEXT_HOP, &origin.next_hop.octets())?;
    put_attribute(writer, OPTIONAL, MULTI_EXIT_DISC, &offer.preference.med().to_be_bytes())?;
    let leaving = offer.leaving.then_some(GRACEFUL_SHUTDOWN);
    let mut communities = ArrayVec::<u8, 8>::new();
    for Community(bits) in [offer.community, leaving].into_iter().flatten() {
        communities.extend(bits.to_be_bytes());
    }
    if !communities.is_empty() {
        put_attribute(writer, OPTIONAL_TRANSITIVE, COMMUNITIES, &communities)?;
    }
    // RFC 6793 §4.2.2: the numbers that the router cannot read, for those beyond it.
    if !origin.four_octets && u16::try_from(origin.asn).is_err() {
        put_attribute(writer, OPTIONAL_TRANSITIVE, AS4_PATH, &path(true))?;
    }
    Some(())
}

fn short(asn: u32) -> u16 {
    u16::try_from(asn).unwrap_or(AS_TRANS)
}

fn put_attribute(writer: &mut Writer<'_>, flags: u8, kind: u8, value: &[u8]) -> Option<()> {
    writer.put(&[flags, kind, value.len() as u8])?.put(value).map(|_| ())
}

/// Appends prefixes while there is room for them and `after` bytes more.
fn put_prefixes(
    writer: &mut Writer<'_>,
    prefixes: impl Iterator<Item = Ipv4Net>,
    after: usize,
) -> usize {
    let mut count = 0;
    for prefix in prefixes {
        let (bits, octets) = (prefix.prefix_len(), prefix.network().octets());
        let len = usize::from(bits.div_ceil(8));
        if !writer.has_room(1 + len + after) {
            break;
        }
        if writer.put(&[bits]).and_then(|it| it.put(&octets[..len])).is_none() {
            break;
        }
        count += 1;
    }
    count
}
