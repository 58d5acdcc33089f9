//! Every packet is forwarded, answered or dropped, and a drop has a reason that indexes a counter.

use dataplane::wire::Malformed;

/// Why a packet was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Drop {
    /// The frame cannot be read.
    Malformed(Malformed),
    /// A valid packet that is not forwarded.
    Refused(Refusal),
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
    /// A fragment.
    Fragment,
    /// IPv4 header checksum wrong (RFC 1812 §4.2.2.5: must be discarded silently).
    Ipv4Checksum,
    /// Neither from a subscriber of this core nor to an external address of it.
    Foreign,
    /// Time to live used up (RFC 1812 §5.3.1).
    Ttl,
    /// ICMP other than echo.
    IcmpType,
    /// From the Internet to a port that belongs to no connection.
    UnknownInbound,
    /// From the Internet to a port of a connection, by another than its remote.
    FilteredInbound,
    /// TCP from a subscriber that belongs to no connection and is no SYN.
    TcpNotSyn,
    /// The subscriber's port block is used up.
    PortsExhausted,
    /// The table has no room near the key's buckets.
    TableFull,
    /// To the core itself, but neither ARP request nor ICMP echo request.
    Local,
}

impl Refusal {
    /// Every reason, in the order of its discriminant.
    pub const ALL: [Refusal; 14] = [
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
        Refusal::Local,
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
            Refusal::Local => "local",
        }
    }
}

impl Drop {
    /// Number of reasons.
    pub const COUNT: usize = Malformed::ALL.len() + Refusal::ALL.len();

    /// Index of the reason's counter, below [`Drop::COUNT`].
    #[inline]
    pub const fn index(self) -> usize {
        match self {
            Drop::Malformed(reason) => reason as usize,
            Drop::Refused(reason) => Malformed::ALL.len() + reason as usize,
        }
    }

    /// Name of the reason's counter.
    pub const fn name(self) -> &'static str {
        match self {
            Drop::Malformed(reason) => reason.name(),
            Drop::Refused(reason) => reason.name(),
        }
    }

    /// Every reason, in the order of its index.
    pub fn all() -> impl Iterator<Item = Drop> {
        let malformed = Malformed::ALL.into_iter().map(Drop::Malformed);
        malformed.chain(Refusal::ALL.into_iter().map(Drop::Refused))
    }
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Translated and sent on.
    Forwarded,
    /// It was for the core itself, and became the answer.
    Answered,
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
}
