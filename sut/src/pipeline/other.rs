//! Packets that are not plain, one at a time: IPv4 options, fragments, ICMP, ARP, packets for the core
//! itself, and whatever is refused. They are few, so nothing is staged here.

use super::{Pipeline, refused};
use crate::connections::{Inside, NotFound};
use crate::conntrack::Segment;
use crate::timer::Tick;
use crate::translate::icmp::Refused;
use crate::translate::{self, End};
use crate::verdict::{Drop, Refusal, Verdict};
use crate::{exceeded, local};
use dataplane::frame::Frame;
use dataplane::wire::{self, Datagram, Endpoint, Parsed, Transport, checksum, icmp};

/// What a connection is found by: the two ends, and what the packet does to its state. An ICMP
/// identifier stands for the subscriber's port, and nothing for the remote's.
pub(super) struct Ends {
    source: Endpoint,
    destination: Endpoint,
    segment: Segment,
}

impl Pipeline {
    /// Decides about one packet of any kind, and does what it decides.
    #[inline(never)]
    pub(super) fn other<F: Frame>(&mut self, frame: &mut F, now: Tick) -> Verdict {
        let bytes = frame.bytes_mut();
        match wire::parse(bytes) {
            Err(reason) => Verdict::Dropped(Drop::Malformed(reason)),
            // A router does not forward what is addressed to all stations (RFC 1812 §5.3.4).
            Ok(Parsed::Ipv4(_)) if !self.is_for_me(bytes) => refused(Refusal::Station),
            Ok(_) if !self.is_for_me(bytes) && bytes[0] & 1 == 0 => refused(Refusal::Station),
            Ok(Parsed::Ipv4(datagram)) => match self.ipv4(bytes, &datagram, now) {
                Err(Drop::Refused(Refusal::Ttl)) => self.exceeded(frame, &datagram, now),
                verdict => verdict.unwrap_or_else(Verdict::Dropped),
            },
            Ok(Parsed::Arp { operation, target, .. }) => {
                match local::answer_arp(bytes, operation, target, &self.identity) {
                    true => Verdict::Answered,
                    false => refused(Refusal::Local),
                }
            }
            Ok(Parsed::Other(_)) => refused(Refusal::Ethertype),
        }
    }

    fn is_for_me(&self, frame: &[u8]) -> bool {
        self.promiscuous || frame.starts_with(&self.identity.mac.0)
    }

    fn ipv4(&mut self, frame: &mut [u8], datagram: &Datagram, now: Tick) -> Result<Verdict, Drop> {
        if !checksum::verify_ipv4(&frame[14..datagram.transport_at]) {
            return Err(Refusal::Ipv4Checksum.into());
        }
        if datagram.destination == self.identity.ip {
            let answered = local::answer_echo(frame, datagram, &self.identity);
            return answered.then_some(Verdict::Answered).ok_or(Refusal::Local.into());
        }
        let (source, destination) = (u32::from(datagram.source), u32::from(datagram.destination));
        let outbound = self.shard.is_subscriber(source);
        if !outbound && self.shard.external_index(destination).is_none() {
            let ours = self.shard.unserved(source, destination).is_some();
            return Err(if ours { Refusal::NotMaster } else { Refusal::Foreign }.into());
        }
        if datagram.ttl <= 1 {
            return Err(Refusal::Ttl.into());
        }
        match (datagram.transport, outbound) {
            (Transport::Icmp { kind, .. }, _) if icmp::tells_of_error(kind) => {
                self.icmp_error(frame, datagram, outbound, now)?;
            }
            (Transport::Fragment(fragment), _) => {
                if self.fragment(frame, datagram, fragment, outbound, now)? == Verdict::Held {
                    return Ok(Verdict::Held);
                }
            }
            (_, true) => {
                self.outbound(frame, datagram, &ends(datagram, true)?, now)?;
            }
            (_, false) => {
                self.inbound(frame, datagram, &ends(datagram, false)?, now)?;
            }
        }
        self.next_hop.address(frame);
        Ok(Verdict::Forwarded)
    }

    /// Tells the sender of a datagram, which is as it came, that its time to live ends here.
    #[cold]
    fn exceeded<F: Frame>(&mut self, frame: &mut F, datagram: &Datagram, now: Tick) -> Verdict {
        if !exceeded::may_be_told(frame.bytes(), datagram) {
            return refused(Refusal::Ttl);
        }
        if !self.errors.take(now) {
            return refused(Refusal::ErrorLimit);
        }
        exceeded::tell(frame, datagram, &self.identity);
        self.next_hop.address(frame.bytes_mut());
        Verdict::Answered
    }

    /// Gives the source of a packet of a connection its external end, which is returned.
    pub(super) fn outbound(
        &mut self,
        frame: &mut [u8],
        datagram: &Datagram,
        ends: &Ends,
        now: Tick,
    ) -> Result<Endpoint, Refusal> {
        let inside = Inside::new(ends.source, datagram.protocol);
        let hash = self.connections.announce(inside);
        let found = self.connections.outbound(inside, ends.destination, hash, ends.segment, now);
        let slot = match found {
            Some(slot) => slot,
            None => self.open(inside, ends.destination, hash, ends.segment, now)?,
        };
        let (at, new) = (datagram.transport_at, self.outside(slot));
        translate::any(frame, at, datagram.protocol, End::Source, ends.source, new);
        Ok(new)
    }

    /// Gives the destination of a packet of a connection the subscriber's end, which is returned.
    pub(super) fn inbound(
        &mut self,
        frame: &mut [u8],
        datagram: &Datagram,
        ends: &Ends,
        now: Tick,
    ) -> Result<Endpoint, Refusal> {
        let to = ends.destination;
        let address = self.shard.external_index(to.address()).ok_or(Refusal::Foreign)?;
        let slot = self.connections.approach_inbound(address, to.port());
        let slot = slot.ok_or(Refusal::UnknownInbound)?;
        let (protocol, from) = (datagram.protocol, ends.source);
        let found = self.connections.inbound(slot, protocol, from, ends.segment, now);
        let inside = found.map_err(NotFound::into_refusal)?;
        translate::any(frame, datagram.transport_at, protocol, End::Destination, to, inside);
        Ok(inside)
    }
}

impl Pipeline {
    /// An error about a datagram of a connection goes where that datagram came from, whoever sent
    /// the error (RFC 5508 REQ-4, REQ-5).
    fn icmp_error(
        &self,
        frame: &mut [u8],
        datagram: &Datagram,
        outbound: bool,
        now: Tick,
    ) -> Result<(), Refusal> {
        let quoted = translate::icmp::quoted(frame, datagram).map_err(Refused::into_refusal)?;
        let (end, new) = if outbound {
            let inside = Inside::new(quoted.destination, quoted.protocol);
            let slot = self.connections.slot_of(inside, quoted.source, now);
            (End::Source, slot.map(|slot| self.outside(slot)))
        } else {
            let at = quoted.source;
            let address = self.shard.external_index(at.address());
            let slot = address.and_then(|it| self.connections.approach_inbound(it, at.port()));
            let (protocol, remote) = (quoted.protocol, quoted.destination);
            let inside = slot.and_then(|it| self.connections.inside_of(it, protocol, remote, now));
            (End::Destination, inside)
        };
        let new = new.ok_or(Refusal::UnknownError)?;
        translate::icmp::translate(frame, datagram, &quoted, end, new);
        Ok(())
    }
}

impl Refused {
    fn into_refusal(self) -> Refusal {
        match self {
            Refused::Type => Refusal::IcmpType,
            Refused::Checksum => Refusal::IcmpChecksum,
            Refused::Short | Refused::Header | Refused::HeaderChecksum | Refused::Addressee => {
                Refusal::IcmpQuote
            }
            Refused::Fragment => Refusal::Fragment,
            Refused::Protocol => Refusal::Protocol,
        }
    }
}

/// The ends of a packet that can have a connection.
pub(super) fn ends(datagram: &Datagram, outbound: bool) -> Result<Ends, Refusal> {
    let (source_port, destination_port, segment) = match datagram.transport {
        Transport::Udp { source, destination, .. } => (source, destination, Segment::Plain),
        Transport::Tcp { source, destination, flags, .. } => {
            (source, destination, Segment::of_flags(flags))
        }
        Transport::Icmp { kind: icmp::ECHO_REQUEST, id, .. } if outbound => (id, 0, Segment::Plain),
        Transport::Icmp { kind: icmp::ECHO_REPLY, id, .. } if !outbound => (0, id, Segment::Plain),
        Transport::Icmp { .. } => return Err(Refusal::IcmpType),
        _ => return Err(Refusal::Protocol),
    };
    Ok(Ends {
        source: Endpoint::new(u32::from(datagram.source), source_port),
        destination: Endpoint::new(u32::from(datagram.destination), destination_port),
        segment,
    })
}
