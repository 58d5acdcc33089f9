//! Datagrams whose first fragment has passed, so that the others may.

use super::flow::Ends;
use crate::recent::Recent;
use dataplane::wire::parse6;

/// Bytes of the first fragment of each datagram.
pub(super) type Fragments = Recent<Whole, u16>;

/// Reassembly gives up after 60 s (RFC 8200 §4.5).
pub(super) const LIFE_NS: u64 = 60_000_000_000;

/// A fragmented datagram: what all its fragments have in common (RFC 8200 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) ends: Ends,
    pub(super) id: u32,
}

impl Whole {
    /// For the hash.
    #[inline]
    pub(super) fn words(&self) -> [u64; 5] {
        let Ends { source, destination } = self.ends;
        let id = u64::from(self.id);
        [(source >> 64) as u64, source as u64, (destination >> 64) as u64, destination as u64, id]
    }
}

/// A later fragment that came before its first one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Early {
    pub(super) of: Whole,
    /// Where it begins in the datagram.
    pub(super) offset: u16,
}

impl Early {
    /// Reads a frame that is one; `None` if it is no fragment.
    pub(crate) fn read(frame: &[u8]) -> Option<Early> {
        let datagram = parse6(frame).ok()?;
        let piece = datagram.chain.fragment?;
        let ends = Ends::new(datagram.source, datagram.destination);
        Some(Early { of: Whole { ends, id: piece.id }, offset: piece.offset })
    }

    /// The first half of its sender's address.
    pub(crate) fn subnet(&self) -> u64 {
        (self.of.ends.source >> 64) as u64
    }
}
