//! Fragments through the NAT: the first one decides, the others follow (RFC 4787 REQ-14).
//!
//! Only the first fragment has ports. It is looked up and translated like a whole packet, and
//! [`Fragments::learn`] notes what became of it; a later one asks [`Fragments::follow`] and needs
//! its address, identification, time to live and IPv4 checksum changed, no more: the transport
//! checksum is in the first one, where the update for address and ports is right for the whole
//! datagram. Nothing is reassembled; a later fragment that comes before its first one waits for it
//! elsewhere (REQ-14a, `pipeline/hold.rs`).
//!
//! Memory and time are bounded ([`crate::recent`]): a datagram is known for two seconds from its
//! first fragment on.
//!
//! Outbound datagrams get an identification of the core's own: subscribers behind one address know
//! nothing of each other's, and two datagrams of one number would be reassembled into each other
//! (RFC 6864 §5.3.1, RFC 4963). Whole packets keep theirs, which matters where a later router cuts
//! them.
//!
//! A TCP header in two fragments (RFC 1858 §3) is refused by `Datagram::first`. A second first
//! fragment is a datagram of its own, and the newest one decides: it passed only because its own
//! ports have a connection, so overlapping (RFC 3128) gets nothing past the NAT.

#[cfg(test)]
mod tests;

use super::End;
use crate::recent::Recent;
use crate::timer::Tick;
use crate::verdict::Refusal;
use dataplane::wire::checksum::Delta;
use dataplane::wire::ipv4::{self, Ipv4};
use dataplane::wire::{Datagram, Endpoint, Fragment, ethernet, tcp};
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use zerocopy::FromBytes;

/// How long a datagram is known.
const LIFE_NS: u64 = 2_000_000_000;
/// Most bytes of a datagram, header and payload (RFC 791 §3.1).
const DATAGRAM_MAX: usize = 65_535;

/// What tells the fragments of one datagram from all others (RFC 791 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DatagramId {
    source: u32,
    destination: u32,
    id: u16,
    protocol: u8,
}

impl DatagramId {
    /// The datagram that `fragment` is of; `datagram` is what `wire::parse` said of the untranslated
    /// frame.
    ///
    /// # Errors
    /// [`Refusal::Fragment`] when no sender cuts a datagram like that: a fragment is empty, or ends
    /// beyond the longest datagram, or is no multiple of eight bytes though more follow (RFC 791
    /// §3.2). [`Refusal::FragmentOverlap`] when it lies over the TCP header, which the first one
    /// has whole (RFC 1858 §4).
    pub(crate) fn of(datagram: &Datagram, fragment: Fragment) -> Result<DatagramId, Refusal> {
        let len = datagram.end - datagram.transport_at;
        let end = usize::from(fragment.offset) + len;
        let beyond = end + datagram.transport_at - ethernet::HEADER_LEN > DATAGRAM_MAX;
        if len == 0 || beyond || (fragment.more && !len.is_multiple_of(8)) {
            return Err(Refusal::Fragment);
        }
        let header = 1..tcp::HEADER_LEN as u16;
        if datagram.protocol == ipv4::TCP && header.contains(&fragment.offset) {
            return Err(Refusal::FragmentOverlap);
        }
        Ok(DatagramId {
            source: datagram.source.into(),
            destination: datagram.destination.into(),
            id: fragment.id,
            protocol: datagram.protocol,
        })
    }

    /// Its sender.
    pub(crate) fn source(&self) -> u32 {
        self.source
    }
}

/// What the first fragment of a datagram became, and the others become too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Translation {
    /// The end that was rewritten.
    end: End,
    /// Its new address, and the port of the first fragment.
    new: Endpoint,
    /// The new identification.
    id: u16,
}

/// The datagrams of one core of which fragments are under way.
pub(crate) struct Fragments {
    passed: Recent<DatagramId, Translation>,
    secret: [u64; 2],
    /// Identification of the next outbound datagram.
    next_id: u16,
    firsts: u64,
}

impl Fragments {
    /// Remembers nothing yet, and allocates nothing after this.
    pub(crate) fn new(seed: u64) -> Fragments {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        Fragments {
            passed: Recent::new(LIFE_NS),
            secret: [random.next_u64(), random.next_u64()],
            next_id: random.next_u64() as u16,
            firsts: 0,
        }
    }

    /// Remembers that `end` of a first fragment became `new`, and says what its identification
    /// becomes. A copy of a first fragment becomes what the first one did.
    pub(crate) fn learn(
        &mut self,
        of: DatagramId,
        end: End,
        new: Endpoint,
        now: Tick,
    ) -> Translation {
        self.firsts += 1;
        if let Some(known) = self.follow(of, now)
            && (known.end, known.new) == (end, new)
        {
            return known;
        }
        let id = match end {
            End::Source => self.next_id,
            End::Destination => of.id,
        };
        self.next_id = self.next_id.wrapping_add(u16::from(end == End::Source));
        let translation = Translation { end, new, id };
        self.passed.put(self.hash(&of), of, translation, now);
        translation
    }

    /// What a later fragment becomes; `None` when no first one is remembered.
    pub(crate) fn follow(&self, of: DatagramId, now: Tick) -> Option<Translation> {
        self.passed.get(self.hash(&of), &of, now)
    }

    /// First fragments that have passed.
    #[inline]
    pub(crate) fn firsts(&self) -> u64 {
        self.firsts
    }

    /// Forgets some of what is over.
    pub(crate) fn sweep(&mut self, now: Tick) {
        self.passed.sweep(now);
    }

    /// Two folded multiplications; the secret factors keep a sender from choosing the set.
    fn hash(&self, of: &DatagramId) -> u64 {
        let [one, two] = self.secret;
        let addresses = u64::from(of.source) << 32 | u64::from(of.destination);
        let rest = u64::from(of.id) << 8 | u64::from(of.protocol);
        let fold = |a: u64, b: u64| {
            let wide = u128::from(a) * u128::from(b);
            wide as u64 ^ (wide >> 64) as u64
        };
        fold(fold(addresses ^ one, (rest ^ two) | 1 << 63) ^ two, one | 1)
    }
}

/// Rewrites a later fragment, and lets a router's worth of time to live pass, which is above zero.
pub(crate) fn readdress(frame: &mut [u8], translation: &Translation) {
    let Some(Ok((ip, _))) = frame.get_mut(ethernet::HEADER_LEN..).map(Ipv4::mut_from_prefix) else {
        return;
    };
    let field = match translation.end {
        End::Source => &mut ip.source,
        End::Destination => &mut ip.destination,
    };
    let moved = Delta::new().replace_u32(field.get(), translation.new.address());
    field.set(translation.new.address());
    let lived = moved.replace_u16(u16::from(ip.ttl) << 8, u16::from(ip.ttl - 1) << 8);
    ip.ttl -= 1;
    ip.checksum.set(lived.apply(ip.checksum.get()));
    renumber(frame, translation);
}

/// Gives a fragment, rewritten otherwise, its new identification.
pub(crate) fn renumber(frame: &mut [u8], translation: &Translation) {
    let Some(Ok((ip, _))) = frame.get_mut(ethernet::HEADER_LEN..).map(Ipv4::mut_from_prefix) else {
        return;
    };
    let delta = Delta::new().replace_u16(ip.id.get(), translation.id);
    ip.id.set(translation.id);
    ip.checksum.set(delta.apply(ip.checksum.get()));
}
