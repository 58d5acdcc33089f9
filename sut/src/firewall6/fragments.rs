//! Datagrams whose first fragment has passed, so that the others may. Fragments that come before
//! their first one are dropped, not held.

use super::flow::Ends;
use crate::recent::Recent;

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
