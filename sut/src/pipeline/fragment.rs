//! Fragments of IPv4: the first one is looked up by its ports, later ones follow it.
//!
//! A later fragment that comes first waits for it, in [`super::hold`].

use super::Pipeline;
use super::other::ends;
use crate::timer::Tick;
use crate::translate::End;
use crate::translate::fragment::{self, DatagramId};
use crate::verdict::{Drop, Verdict};
use dataplane::wire::{Datagram, Fragment};

impl Pipeline {
    /// Translates a fragment whose IPv4 header is right and whose time to live is above one, or
    /// leaves it as it is, to be held.
    pub(super) fn fragment(
        &mut self,
        frame: &mut [u8],
        datagram: &Datagram,
        fragment: Fragment,
        outbound: bool,
        now: Tick,
    ) -> Result<Verdict, Drop> {
        let of = DatagramId::of(datagram, fragment)?;
        if !fragment.is_first() {
            let Some(first) = self.fragments.follow(of, now) else {
                return Ok(Verdict::Held);
            };
            fragment::readdress(frame, &first);
            return Ok(Verdict::Forwarded);
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
        Ok(Verdict::Forwarded)
    }
}
