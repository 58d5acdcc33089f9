//! Every packet is forwarded, answered or dropped, and a drop has a reason that indexes a counter.

use dataplane::wire::{Malformed, Malformed6};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::ops::Deref;

/// Why a packet was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Drop {
    /// The frame cannot be read.
    Malformed(Malformed),
    /// A valid packet that is not forwarded.
    Refused(Refusal),
    /// The frame says IPv6 and cannot be read.
    Malformed6(Malformed6),
}

/// Why a valid packet is not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// Addressed to another station, or IPv4 addressed to all of them.
    Station,
    /// Neither IPv4 nor ARP.
    Ethertype,
    /// Another transport than UDP, TCP and ICMP.
    Protocol,
    /// A fragment that no sender makes (RFC 791 §3.2), or an ICMP error about one without ports.
    Fragment,
    /// IPv4 header checksum wrong (RFC 1812 §4.2.2.5: must be discarded silently).
    Ipv4Checksum,
    /// Neither from a subscriber of this core nor to an external address of it; of IPv6, neither
    /// from inside nor to inside.
    Foreign,
    /// Time to live (RFC 1812 §5.3.1) or hop limit (RFC 8200 §3) used up, of a packet about which no
    /// ICMP error may be sent (RFC 1812 §4.3.2.7; RFC 4443 §2.4e).
    Ttl,
    /// ICMP other than echo and errors about datagrams, or an error in fragments.
    IcmpType,
    /// From the Internet to a port that belongs to no connection.
    UnknownInbound,
    /// From the Internet to a port of a connection, by another than its remote.
    FilteredInbound,
    /// TCP from a subscriber that belongs to no connection and is no SYN.
    TcpNotSyn,
    /// The subscriber's port block is used up.
    PortsExhausted,
    /// The table has no room near the key's buckets, or the core none for one more remote of a port.
    TableFull,
    /// The subscriber holds as many connections as it may (RFC 6888 REQ-5).
    SubscriberQuota,
    /// The subscriber holds as many TCP connections with unfinished handshakes as it may.
    HalfOpenLimit,
    /// The core has opened as many connections as it may in this time.
    SetupLimit,
    /// To the core itself, but neither ARP request nor ICMP echo request.
    Local,
    /// IPv6 from or to a group (RFC 6092 REC-1 and REC-2).
    Multicast,
    /// IPv6 from or to an address that is not for the public Internet (REC-3 and REC-7).
    Bogon,
    /// IPv6 from inside to inside, which a forger outside could have sent (REC-6).
    InsideSource,
    /// IPv6 with a routing header of a deprecated type (REC-4; RFC 5095).
    RoutingHeader,
    /// A later fragment whose first one had passed too long ago, if ever, and did not pass in the half
    /// a second for which it was held.
    OrphanFragment,
    /// A later fragment that overlaps its first one (RFC 5722), or the TCP header (RFC 1858 §4).
    FragmentOverlap,
    /// An ICMP error about a packet that belongs to no connection (RFC 5508 REQ-4; RFC 6092 REC-10).
    UnknownError,
    /// ICMP error whose checksum is wrong (RFC 5508 REQ-3).
    IcmpChecksum,
    /// ICMP error whose quoted datagram is no datagram, or not its receiver's.
    IcmpQuote,
    /// A later fragment that waited for its first one and made room for a newer one that does.
    HoldFull,
    /// Time to live or hop limit used up, and the core has sent as many ICMP errors as it may
    /// (RFC 1812 §4.3.2.8; RFC 4443 §2.4f).
    ErrorLimit,
    /// Of a shard that this core holds and does not serve; of one that it has just handed over, a
    /// new connection.
    NotMaster,
}

impl Refusal {
    /// Every reason, in the order of its discriminant.
    pub const ALL: [Refusal; 29] = [
        Refusal::Station,
        Refusal::Ethertype,
        Refusal::Protocol,
        Refusal::Fragment,
        Refusal::Ipv4Checksum,
        Refusal::Foreign,
        Refusal::Ttl,
        Refusal::IcmpType,
        Refusal::UnknownInbound,
        Refusal::FilteredInbound,
        Refusal::TcpNotSyn,
        Refusal::PortsExhausted,
        Refusal::TableFull,
        Refusal::SubscriberQuota,
        Refusal::HalfOpenLimit,
        Refusal::SetupLimit,
        Refusal::Local,
        Refusal::Multicast,
        Refusal::Bogon,
        Refusal::InsideSource,
        Refusal::RoutingHeader,
        Refusal::OrphanFragment,
        Refusal::FragmentOverlap,
        Refusal::UnknownError,
        Refusal::IcmpChecksum,
        Refusal::IcmpQuote,
        Refusal::HoldFull,
        Refusal::ErrorLimit,
        Refusal::NotMaster,
    ];

    const fn name(self) -> &'static str {
        match self {
            Refusal::Station => "station",
            Refusal::Ethertype => "ethertype",
            Refusal::Protocol => "protocol",
            Refusal::Fragment => "fragment",
            Refusal::Ipv4Checksum => "ipv4_checksum",
            Refusal::Foreign => "foreign",
            Refusal::Ttl => "ttl",
            Refusal::IcmpType => "icmp_type",
            Refusal::UnknownInbound => "unknown_inbound",
            Refusal::FilteredInbound => "filtered_inbound",
            Refusal::TcpNotSyn => "tcp_not_syn",
            Refusal::PortsExhausted => "ports_exhausted",
            Refusal::TableFull => "table_full",
            Refusal::SubscriberQuota => "subscriber_quota",
            Refusal::HalfOpenLimit => "half_open_limit",
            Refusal::SetupLimit => "setup_limit",
            Refusal::Local => "local",
            Refusal::Multicast => "multicast",
            Refusal::Bogon => "bogon",
            Refusal::InsideSource => "inside_source",
            Refusal::RoutingHeader => "routing_header",
            Refusal::OrphanFragment => "orphan_fragment",
            Refusal::FragmentOverlap => "fragment_overlap",
            Refusal::UnknownError => "unknown_error",
            Refusal::IcmpChecksum => "icmp_checksum",
            Refusal::IcmpQuote => "icmp_quote",
            Refusal::HoldFull => "hold_full",
            Refusal::NotMaster => "not_master",
            Refusal::ErrorLimit => "error_limit",
        }
    }
}

impl Drop {
    /// Number of reasons.
    pub const COUNT: usize = Drop::MALFORMED6 + Malformed6::ALL.len();
    const MALFORMED6: usize = Malformed::ALL.len() + Refusal::ALL.len();

    /// Index of the reason's counter, below [`Drop::COUNT`].
    #[inline]
    pub const fn index(self) -> usize {
        match self {
            Drop::Malformed(reason) => reason as usize,
            Drop::Refused(reason) => Malformed::ALL.len() + reason as usize,
            Drop::Malformed6(reason) => Drop::MALFORMED6 + reason as usize,
        }
    }

    /// Name of the reason's counter.
    pub const fn name(self) -> &'static str {
        match self {
            Drop::Malformed(reason) => reason.name(),
            Drop::Refused(reason) => reason.name(),
            Drop::Malformed6(reason) => reason.name(),
        }
    }

    /// Whether only packets of IPv6 are dropped for this reason.
    pub const fn is_of_ipv6(self) -> bool {
        match self {
            Drop::Malformed6(_) => true,
            Drop::Malformed(_) => false,
            Drop::Refused(reason) => matches!(
                reason,
                Refusal::Multicast
                    | Refusal::Bogon
                    | Refusal::InsideSource
                    | Refusal::RoutingHeader
            ),
        }
    }

    /// Every reason, in the order of its index.
    pub fn all() -> impl Iterator<Item = Drop> {
        let malformed = Malformed::ALL.into_iter().map(Drop::Malformed);
        malformed
            .chain(Refusal::ALL.into_iter().map(Drop::Refused))
            .chain(Malformed6::ALL.into_iter().map(Drop::Malformed6))
    }
}

/// Packets dropped, by [`Drop::index`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped(pub [u64; Drop::COUNT]);

impl Default for Dropped {
    fn default() -> Dropped {
        Dropped([0; Drop::COUNT])
    }
}

impl Deref for Dropped {
    type Target = [u64; Drop::COUNT];
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// A sequence, which serde derives only for arrays of up to 32.
impl Serialize for Dropped {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0)
    }
}

impl<'de> Deserialize<'de> for Dropped {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Dropped, D::Error> {
        let counts = Vec::<u64>::deserialize(from)?;
        let expected = format!("{} counters of drops", Drop::COUNT);
        let len = counts.len();
        let counts = counts.try_into();
        counts.map(Dropped).map_err(|_| D::Error::invalid_length(len, &expected.as_str()))
    }
}

impl From<Refusal> for Drop {
    fn from(reason: Refusal) -> Drop {
        Drop::Refused(reason)
    }
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Translated and sent on.
    Forwarded,
    /// It was for the core itself or came no further, and became the answer.
    Answered,
    /// Kept until another packet comes or its time is over, and counted then.
    Held,
    /// Dropped.
    Dropped(Drop),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_counter_and_name() {
        let mut names = std::collections::HashSet::new();
        for (index, reason) in Drop::all().enumerate() {
            assert_eq!(reason.index(), index);
            assert!(names.insert(reason.name()), "{} twice", reason.name());
        }
        assert_eq!(names.len(), Drop::COUNT);
    }

    #[test]
    fn counters_survive_their_text_form() {
        let dropped = Dropped(std::array::from_fn(|reason| reason as u64));
        let text = serde_json::to_string(&dropped).unwrap();
        assert!(text.starts_with("[0,1,2,"), "{text}");
        assert_eq!(serde_json::from_str::<Dropped>(&text).unwrap(), dropped);
        let error = serde_json::from_str::<Dropped>("[1,2]").unwrap_err().to_string();
        assert!(error.contains("length 2") && error.contains("counters of drops"), "{error}");
    }
}
