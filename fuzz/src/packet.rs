//! Packets as etherparse makes them, for targets whose input is a recipe and not bytes.

use crate::bench::{CORE, EXTERNAL, GATEWAY, INSIDE6, SUBSCRIBER};
use crate::oracle::{Ipv4, is_external};
use arbitrary::Arbitrary;
use etherparse::{EtherType, Ethernet2Header, IpNumber, Ipv4Header, Ipv6Header};
use etherparse::{IcmpEchoHeader, Icmpv4Header, Icmpv4Type, TcpHeader, UdpHeader};
use std::net::{Ipv4Addr, Ipv6Addr};

/// A transport that has connections.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// UDP with a checksum.
    Udp,
    /// TCP; what is sent first is a SYN.
    Tcp,
    /// ICMP echo.
    Echo,
}

impl Protocol {
    /// IPv4's number of it.
    pub fn number(self) -> IpNumber {
        match self {
            Protocol::Udp => IpNumber::UDP,
            Protocol::Tcp => IpNumber::TCP,
            Protocol::Echo => IpNumber::ICMP,
        }
    }
}

/// An address and a port, or the identifier of an echo.
pub type End = (Ipv4Addr, u16);

/// A packet of a connection; `reply` is what the asked one sends.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Its transport.
    pub protocol: Protocol,
    /// Sender.
    pub from: End,
    /// Receiver.
    pub to: End,
    /// Whether it answers.
    pub reply: bool,
    /// Time to live.
    pub ttl: u8,
    /// Identification.
    pub id: u16,
    /// Words of options in the IPv4 header, at most ten.
    pub option_words: u8,
    /// Payload.
    pub payload: Vec<u8>,
}

/// One of 256 subscribers and its port.
pub fn subscriber(number: u8, port: u16) -> End {
    let [a, b, c, _] = SUBSCRIBER.octets();
    (Ipv4Addr::new(a, b, c, number), port)
}

/// One of a few remotes and its port.
pub fn remote(number: u8, port: u16) -> End {
    (Ipv4Addr::new(192, 0, 2, number % 8), port)
}

impl Packet {
    /// A packet with a time to live of 64 and four bytes.
    pub fn new(protocol: Protocol, from: End, to: End) -> Packet {
        let (reply, ttl, id, option_words, payload) = (false, 64, 7, 0, b"fuzz".to_vec());
        Packet { protocol, from, to, reply, ttl, id, option_words, payload }
    }

    /// The transport header and payload.
    pub fn transport(&self) -> Vec<u8> {
        let (from, to) = (self.from.0.octets(), self.to.0.octets());
        let payload = &self.payload;
        let mut bytes = match self.protocol {
            Protocol::Udp => {
                let (source_port, destination_port) = (self.from.1, self.to.1);
                let length = (8 + payload.len()) as u16;
                let mut udp = UdpHeader { source_port, destination_port, length, checksum: 0 };
                udp.checksum = udp.calc_checksum_ipv4_raw(from, to, payload).expect("it fits");
                udp.to_bytes().to_vec()
            }
            Protocol::Tcp => {
                let mut tcp = TcpHeader::new(self.from.1, self.to.1, 1, 0xfaf0);
                (tcp.syn, tcp.ack) = (true, self.reply);
                tcp.checksum = tcp.calc_checksum_ipv4_raw(from, to, payload).expect("it fits");
                tcp.to_bytes().to_vec()
            }
            Protocol::Echo => {
                let kind = match self.reply {
                    false => Icmpv4Type::EchoRequest(IcmpEchoHeader { id: self.from.1, seq: 1 }),
                    true => Icmpv4Type::EchoReply(IcmpEchoHeader { id: self.to.1, seq: 1 }),
                };
                Icmpv4Header::with_checksum(kind, payload).to_bytes().to_vec()
            }
        };
        bytes.extend(payload);
        bytes
    }

    /// The IPv4 header of `len` bytes of its payload.
    pub fn header(&self, len: usize) -> Ipv4Header {
        let (from, to) = (self.from.0.octets(), self.to.0.octets());
        let mut ip = Ipv4Header::new(0, self.ttl, self.protocol.number(), from, to).expect("fits");
        ip.identification = self.id;
        ip.dont_fragment = false;
        let options = 4 * usize::from(self.option_words.min(10));
        ip.options = (&[1_u8; 40][..options]).try_into().expect("words");
        ip.set_payload_len(len).expect("less than 64 KiB");
        ip.header_checksum = ip.calc_header_checksum();
        ip
    }

    /// From IPv4 on.
    pub fn datagram(&self) -> Vec<u8> {
        let transport = self.transport();
        [&self.header(transport.len()).to_bytes()[..], &transport].concat()
    }

    /// As the core receives it.
    pub fn frame(&self) -> Vec<u8> {
        framed(EtherType::IPV4, &self.datagram())
    }

    /// What answers it, `sent` being what became of its frame; `None` if that was not sent on.
    pub fn answer(&self, sent: &[u8]) -> Option<Packet> {
        let external = external(self.protocol, sent)?;
        Some(Packet { from: self.to, to: external, reply: true, ..self.clone() })
    }
}

/// The external end of a frame that was sent outbound.
pub fn external(protocol: Protocol, sent: &[u8]) -> Option<End> {
    let datagram = sent.get(14..).and_then(Ipv4::read)?;
    let at = if protocol == Protocol::Echo { 4 } else { 0 };
    let port = datagram.payload.get(at..at + 2)?;
    let address = datagram.ends()[0];
    assert!(is_external(address), "sent from {address:?}");
    Some((EXTERNAL, u16::from_be_bytes([port[0], port[1]])))
}

/// A frame to the core.
pub fn framed(ether_type: EtherType, datagram: &[u8]) -> Vec<u8> {
    let header = Ethernet2Header { source: GATEWAY, destination: CORE, ether_type };
    [&header.to_bytes()[..], datagram].concat()
}

/// A host inside: 2001:2:0:1::/64.
pub fn inside6(host: u8) -> Ipv6Addr {
    Ipv6Addr::from(u128::from(INSIDE6) | u128::from(host))
}

/// A host outside.
pub fn outside6(host: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2a00, 2, 0, 0, 0, 0, 0, u16::from(host))
}

/// An IPv6 header and what follows it, as the core receives it.
pub fn frame6(from: Ipv6Addr, to: Ipv6Addr, hop_limit: u8, next: u8, rest: &[u8]) -> Vec<u8> {
    framed(EtherType::IPV6, &datagram6(from, to, hop_limit, next, rest))
}

/// The same from IPv6 on.
pub fn datagram6(from: Ipv6Addr, to: Ipv6Addr, hop_limit: u8, next: u8, rest: &[u8]) -> Vec<u8> {
    let ip = Ipv6Header {
        payload_length: rest.len() as u16,
        next_header: IpNumber(next),
        hop_limit,
        source: from.octets(),
        destination: to.octets(),
        ..Ipv6Header::default()
    };
    [&ip.to_bytes()[..], rest].concat()
}
