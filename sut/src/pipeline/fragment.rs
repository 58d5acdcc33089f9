//! Fragments of IPv4: the first one is looked up by its ports, later ones follow it.
//!
//! In order only. A later fragment that comes first would have to wait somewhere, and a burst ends
//! with every frame sent or freed: it is dropped and counted as an orphan.

use super::Pipeline;
use super::other::ends;
use crate::timer::Tick;
use crate::translate::End;
use crate::translate::fragment::{self, DatagramId};
use crate::verdict::{Drop, Refusal};
use dataplane::wire::{Datagram, Fragment};

impl Pipeline {
    /// Translates a fragment whose IPv4 header is right and whose time to live is above one.
    pub(super) fn fragment(
        &mut self,
        frame: &mut [u8],
        datagram: &Datagram,
        fragment: Fragment,
        outbound: bool,
        now: Tick,
    ) -> Result<(), Drop> {
        let of = DatagramId::of(datagram, fragment)?;
        if !fragment.is_first() {
            let first = self.fragments.follow(of, now).ok_or(Refusal::OrphanFragment)?;
            fragment::readdress(frame, &first);
            return Ok(());
        }
        let transport = datagram.first(frame).map_err(Drop::Malformed)?;
        let datagram = Datagram { transport, ..*datagram };
        let ends = ends(&datagram, outbound)?;
        let (end, new) = if outbound {
            (End::Source, self.outbound(frame, &datagram, &ends, now)?)
        } else {
            (End::Destination, self.inbound(frame, &datagram, &ends, now)?)
        };
        let translation = self.fragments.learn(of, end, new, now);
        fragment::renumber(frame, &translation);
        Ok(())
    }
}
