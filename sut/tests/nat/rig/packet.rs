//! Packets as etherparse sees them.

use super::{CORE, GATEWAY};
use etherparse::{
    EtherType, Ethernet2Header, IcmpEchoHeader, Icmpv4Header, Icmpv4Type, IpFragOffset, IpNumber,
    Ipv4Header, LinkHeader, NetHeaders, PacketHeaders, TcpHeader, TransportHeader, UdpHeader,
};
use std::net::SocketAddrV4;

/// A frame with a datagram of UDP, TCP or ICMP echo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) ethernet: Ethernet2Header,
    pub(crate) ip: Ipv4Header,
    pub(crate) transport: TransportHeader,
    pub(crate) payload: Vec<u8>,
    /// Bytes after the datagram.
    pub(crate) padding: Vec<u8>,
}

/// A UDP datagram with four bytes of payload.
pub(crate) fn udp(from: SocketAddrV4, to: SocketAddrV4) -> Packet {
    let header =
        UdpHeader { source_port: from.port(), destination_port: to.port(), ..UdpHeader::default() };
    packet(from, to, IpNumber::UDP, TransportHeader::Udp(header))
}

/// A TCP segment with four bytes of payload; the flags are in the order of the header's last byte.
pub(crate) fn tcp(from: SocketAddrV4, to: SocketAddrV4, flags: u8) -> Packet {
    let has = |bit: u8| flags & 1 << bit != 0;
    let header = TcpHeader {
        fin: has(0),
        syn: has(1),
        rst: has(2),
        psh: has(3),
        ack: has(4),
        urg: has(5),
        ece: has(6),
        cwr: has(7),
        ..TcpHeader::new(from.port(), to.port(), 0x0102_0304, 0xfaf0)
    };
    packet(from, to, IpNumber::TCP, TransportHeader::Tcp(header))
}

/// An ICMP echo request, whose identifier is the port of the sender.
pub(crate) fn echo_request(from: SocketAddrV4, to: SocketAddrV4) -> Packet {
    let echo = Icmpv4Type::EchoRequest(IcmpEchoHeader { id: from.port(), seq: 7 });
    packet(from, to, IpNumber::ICMP, TransportHeader::Icmpv4(Icmpv4Header::new(echo)))
}

/// An ICMP echo reply, whose identifier is the port of the receiver.
pub(crate) fn echo_reply(from: SocketAddrV4, to: SocketAddrV4) -> Packet {
    let echo = Icmpv4Type::EchoReply(IcmpEchoHeader { id: to.port(), seq: 7 });
    packet(from, to, IpNumber::ICMP, TransportHeader::Icmpv4(Icmpv4Header::new(echo)))
}

fn packet(
    from: SocketAddrV4,
    to: SocketAddrV4,
    protocol: IpNumber,
    transport: TransportHeader,
) -> Packet {
    let (source, destination) = (from.ip().octets(), to.ip().octets());
    let ip = Ipv4Header::new(0, 64, protocol, source, destination).expect("no payload yet");
    let ethernet =
        Ethernet2Header { source: GATEWAY, destination: CORE, ether_type: EtherType::IPV4 };
    Packet { ethernet, ip, transport, payload: b"krono"[..4].to_vec(), padding: Vec::new() }
}

impl Packet {
    /// Reads a frame strictly; checksums are taken as they are.
    pub(crate) fn read(frame: &[u8]) -> Packet {
        let headers = PacketHeaders::from_ethernet_slice(frame).expect("a frame that parses");
        let (Some(LinkHeader::Ethernet2(ethernet)), Some(NetHeaders::Ipv4(ip, _))) =
            (headers.link, headers.net)
        else {
            panic!("no IPv4 on Ethernet: {frame:02x?}");
        };
        let transport = headers.transport.expect("a transport header");
        let payload = headers.payload.slice().to_vec();
        let padding = frame[Ethernet2Header::LEN + usize::from(ip.total_len)..].to_vec();
        Packet { ethernet, ip, transport, payload, padding }
    }

    /// The same packet with the lengths and checksums that belong there.
    pub(crate) fn sealed(mut self) -> Packet {
        let length = self.transport.header_len() + self.payload.len();
        self.ip.set_payload_len(length).expect("a payload that fits");
        self.ip.header_checksum = self.ip.calc_header_checksum();
        if let TransportHeader::Udp(udp) = &mut self.transport {
            udp.length = length as u16;
        }
        *self.checksum_mut() = self.right_checksum();
        self
    }

    /// The frame as it is described, right or wrong.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.ethernet.to_bytes().to_vec();
        bytes.extend(self.ip.to_bytes());
        self.transport.write(&mut bytes).expect("a vector takes everything");
        bytes.extend(&self.payload);
        bytes.extend(&self.padding);
        bytes
    }

    /// The frames of its fragments, which hold as many times eight bytes as `sizes` says, round and
    /// round. A packet that fits into the first is not cut.
    pub(crate) fn fragments(&self, sizes: &[usize]) -> Vec<Vec<u8>> {
        let head = Ethernet2Header::LEN + self.ip.header_len();
        let all = self.bytes().split_off(head);
        let mut frames = Vec::new();
        let (mut at, mut sizes) = (0, sizes.iter().cycle());
        while at < all.len() {
            let end = all.len().min(at + 8 * sizes.next().expect("a size"));
            let mut ip = self.ip.clone();
            ip.fragment_offset = IpFragOffset::try_new((at / 8) as u16).expect("a datagram");
            ip.more_fragments = end < all.len();
            ip.set_payload_len(end - at).expect("a payload that fits");
            ip.header_checksum = ip.calc_header_checksum();
            frames.push([&self.ethernet.to_bytes()[..], &ip.to_bytes(), &all[at..end]].concat());
            at = end;
        }
        frames
    }

    /// The checksum the transport header should have.
    pub(crate) fn right_checksum(&self) -> u16 {
        match &self.transport {
            TransportHeader::Udp(udp) => udp.calc_checksum_ipv4(&self.ip, &self.payload),
            TransportHeader::Tcp(tcp) => tcp.calc_checksum_ipv4(&self.ip, &self.payload),
            TransportHeader::Icmpv4(icmp) => Ok(icmp.icmp_type.calc_checksum(&self.payload)),
            TransportHeader::Icmpv6(_) => panic!("no ICMPv6 in IPv4"),
        }
        .expect("a payload that fits")
    }

    /// The checksum it has.
    pub(crate) fn checksum_mut(&mut self) -> &mut u16 {
        match &mut self.transport {
            TransportHeader::Udp(udp) => &mut udp.checksum,
            TransportHeader::Tcp(tcp) => &mut tcp.checksum,
            TransportHeader::Icmpv4(icmp) => &mut icmp.checksum,
            TransportHeader::Icmpv6(_) => panic!("no ICMPv6 in IPv4"),
        }
    }

    /// The sender; of an echo request, its port is the identifier.
    pub(crate) fn source(&self) -> SocketAddrV4 {
        let port = match &self.transport {
            TransportHeader::Udp(udp) => udp.source_port,
            TransportHeader::Tcp(tcp) => tcp.source_port,
            TransportHeader::Icmpv4(icmp) => match icmp.icmp_type {
                Icmpv4Type::EchoRequest(echo) => echo.id,
                _ => 0,
            },
            TransportHeader::Icmpv6(_) => panic!("no ICMPv6 in IPv4"),
        };
        SocketAddrV4::new(self.ip.source.into(), port)
    }

    /// The same packet from another sender.
    pub(crate) fn from(mut self, source: SocketAddrV4) -> Packet {
        self.ip.source = source.ip().octets();
        match &mut self.transport {
            TransportHeader::Udp(udp) => udp.source_port = source.port(),
            TransportHeader::Tcp(tcp) => tcp.source_port = source.port(),
            transport => set_echo_id(transport, source.port()),
        }
        self
    }

    /// The same packet to another receiver.
    pub(crate) fn to(mut self, destination: SocketAddrV4) -> Packet {
        self.ip.destination = destination.ip().octets();
        match &mut self.transport {
            TransportHeader::Udp(udp) => udp.destination_port = destination.port(),
            TransportHeader::Tcp(tcp) => tcp.destination_port = destination.port(),
            transport => set_echo_id(transport, destination.port()),
        }
        self
    }

    /// The same packet after the core has routed it: to its gateway, one hop older.
    pub(crate) fn routed(mut self) -> Packet {
        (self.ethernet.source, self.ethernet.destination) = (CORE, GATEWAY);
        self.ip.time_to_live -= 1;
        self
    }
}

fn set_echo_id(transport: &mut TransportHeader, id: u16) {
    let TransportHeader::Icmpv4(icmp) = transport else { panic!("no echo: {transport:?}") };
    match &mut icmp.icmp_type {
        Icmpv4Type::EchoRequest(echo) | Icmpv4Type::EchoReply(echo) => echo.id = id,
        other => panic!("no echo: {other:?}"),
    }
}
