//! A firewall on a workbench, and packets as etherparse makes them.

use dataplane::burst::{BURST, Burst, Group};
use dataplane::clock::Nanos;
use dataplane::frame::Frame;
use dataplane::identity::{Identity, Mac};
use dataplane::port::pcap::OwnedFrame;
use etherparse::{
    EtherType, Ethernet2Header, Icmpv6Header, Icmpv6Type, IpNumber, Ipv6Header, TcpHeader,
    UdpHeader,
};
use krononat::config::Timers;
use krononat::firewall6::{Firewall6, Station};
use krononat::timer::{Deadlines, Tick};
use krononat::verdict::Verdict;
use std::net::{Ipv6Addr, SocketAddrV6};

/// The core's station, and that of its router.
pub(crate) const CORE: [u8; 6] = [0x02, 1, 0, 0, 0, 0];
pub(crate) const GATEWAY: [u8; 6] = [0x02, 9, 0, 0, 0, 0];

/// The core's own address.
pub(crate) const CORE_IP: Ipv6Addr = Ipv6Addr::new(0x2001, 2, 0, 0xff, 0, 0, 0x12, 0x3456);

/// Next headers of this suite, as IANA numbers them.
pub(crate) const HOP_BY_HOP: u8 = 0;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ROUTING: u8 = 43;
pub(crate) const FRAGMENT: u8 = 44;
pub(crate) const ESP: u8 = 50;
pub(crate) const AH: u8 = 51;
pub(crate) const ICMPV6: u8 = 58;
pub(crate) const OPTIONS: u8 = 60;

/// An address and port from text, such as `[2001:2::1]:53`.
pub(crate) fn at(text: &str) -> SocketAddrV6 {
    text.parse().unwrap()
}

pub(crate) fn identity() -> Identity {
    let ip = [10, 255, 0, 1].into();
    Identity { mac: Mac(CORE), vlan: None, ip, asn: None, gateway: Mac(GATEWAY) }
}

/// What became of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    /// `forwarded`, `answered`, `held` or the name of the reason it was dropped for.
    pub(crate) verdict: &'static str,
    /// What was sent; nothing if it was dropped.
    pub(crate) sent: Vec<u8>,
}

/// A firewall with its clock. 2001:2:0:1::/64 is inside.
pub(crate) struct Rig {
    pub(crate) firewall: Firewall6,
    pub(crate) now: Nanos,
}

impl Rig {
    pub(crate) fn new(connections_max: u32) -> Rig {
        Rig::with(Some(CORE_IP), connections_max)
    }

    /// Room for one connection, and no address of the core's own.
    pub(crate) fn without_address() -> Rig {
        Rig::with(None, 1)
    }

    fn with(own: Option<Ipv6Addr>, connections_max: u32) -> Rig {
        let inside = ["2001:2:0:1::/64".parse().unwrap()];
        let deadlines = Deadlines::for_ipv6(&Timers::default());
        let firewall = Firewall6::new(&inside, own, connections_max, deadlines, 1);
        Rig { firewall: firewall.expect("memory"), now: Nanos(60_000_000_000) }
    }

    /// The fate of one frame.
    pub(crate) fn process(&mut self, bytes: &[u8]) -> Fate {
        let mut frame = frame(bytes);
        let identity = identity();
        let station = Station { identity: &identity, promiscuous: false };
        let verdict = self.firewall.process(&mut frame, station, Tick::at(self.now));
        fate(&verdict, &frame)
    }

    /// The fates of up to 32 frames that are worked on together. Every other place of the burst,
    /// as far as there is room, belongs to somebody else and must be left alone.
    pub(crate) fn process_together(&mut self, frames: &[Vec<u8>]) -> Vec<Fate> {
        const OTHER: Verdict = Verdict::Answered;
        let mut burst: Burst<OwnedFrame> = Burst::new();
        let mut group = Group::default();
        let mut verdicts = Vec::new();
        let mut room = BURST - frames.len();
        for bytes in frames {
            group.insert_if(burst.len(), true);
            burst.push(frame(bytes));
            if room > 0 {
                room -= 1;
                burst.push(frame(b"another's"));
            }
        }
        verdicts.resize(burst.len(), OTHER);
        let identity = identity();
        let station = Station { identity: &identity, promiscuous: false };
        let now = Tick::at(self.now);
        self.firewall.process_group(&mut burst, group, station, now, &mut verdicts);
        let others = (0..burst.len()).filter(|&index| burst[index].bytes() == b"another's");
        assert!(others.into_iter().all(|index| verdicts[index] == OTHER));
        group.into_iter().map(|index| fate(&verdicts[index], &burst[index])).collect()
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, seconds: u64) {
        self.now = self.now + Nanos(seconds * 1_000_000_000);
    }

    /// Has everything swept that is over.
    pub(crate) fn sweep(&mut self) {
        let buckets = self.firewall.connections().buckets();
        self.firewall.sweep(Tick::at(self.now), buckets);
    }
}

fn fate(verdict: &Verdict, frame: &OwnedFrame) -> Fate {
    let sent = || frame.bytes().to_vec();
    match verdict {
        Verdict::Dropped(reason) => Fate { verdict: reason.name(), sent: Vec::new() },
        Verdict::Forwarded => Fate { verdict: "forwarded", sent: sent() },
        Verdict::Answered => Fate { verdict: "answered", sent: sent() },
        Verdict::Held => Fate { verdict: "held", sent: Vec::new() },
    }
}

pub(crate) fn frame(bytes: &[u8]) -> OwnedFrame {
    let mut frame = OwnedFrame::new();
    frame.set_len(bytes.len());
    frame.bytes_mut().copy_from_slice(bytes);
    frame
}

/// A datagram for the core to forward.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) from: Ipv6Addr,
    pub(crate) to: Ipv6Addr,
    pub(crate) hop_limit: u8,
    /// Station it is sent to.
    pub(crate) station: [u8; 6],
    /// Extension headers, each with its kind; their first bytes are filled in.
    pub(crate) extensions: Vec<(u8, Vec<u8>)>,
    pub(crate) protocol: u8,
    pub(crate) body: Vec<u8>,
}

/// A datagram of any protocol.
pub(crate) fn packet(from: Ipv6Addr, to: Ipv6Addr, protocol: u8, body: Vec<u8>) -> Packet {
    Packet { from, to, hop_limit: 64, station: CORE, extensions: Vec::new(), protocol, body }
}

/// A UDP datagram with sixteen bytes of payload.
pub(crate) fn udp(from: SocketAddrV6, to: SocketAddrV6) -> Packet {
    let payload = [7; 16];
    let ip = Ipv6Header {
        source: from.ip().octets(),
        destination: to.ip().octets(),
        ..Ipv6Header::default()
    };
    let header = UdpHeader::with_ipv6_checksum(from.port(), to.port(), &ip, &payload).unwrap();
    packet(*from.ip(), *to.ip(), UDP, [&header.to_bytes()[..], &payload].concat())
}

/// A TCP segment without payload; the flags are in the order of the header's last byte.
pub(crate) fn tcp(from: SocketAddrV6, to: SocketAddrV6, flags: u8) -> Packet {
    let has = |bit: u8| flags & 1 << bit != 0;
    let mut header = TcpHeader {
        fin: has(0),
        syn: has(1),
        rst: has(2),
        psh: has(3),
        ack: has(4),
        urg: has(5),
        ..TcpHeader::new(from.port(), to.port(), 0x0102_0304, 0xfaf0)
    };
    let (source, destination) = (from.ip().octets(), to.ip().octets());
    header.checksum = header.calc_checksum_ipv6_raw(source, destination, &[]).unwrap();
    packet(*from.ip(), *to.ip(), TCP, header.to_bytes().to_vec())
}

/// An ICMP message of any type, with bytes 4 to 7 of its header.
pub(crate) fn icmp(
    from: Ipv6Addr,
    to: Ipv6Addr,
    (type_u8, code_u8): (u8, u8),
    bytes5to8: [u8; 4],
    payload: &[u8],
) -> Packet {
    let kind = Icmpv6Type::Unknown { type_u8, code_u8, bytes5to8 };
    let header = Icmpv6Header::with_checksum(kind, from.octets(), to.octets(), payload).unwrap();
    packet(from, to, ICMPV6, [&header.to_bytes()[..], payload].concat())
}

/// An echo request; its identifier is the port of the sender.
pub(crate) fn ping(from: SocketAddrV6, to: SocketAddrV6) -> Packet {
    let [i1, i0] = from.port().to_be_bytes();
    icmp(*from.ip(), *to.ip(), (128, 0), [i1, i0, 0, 7], b"ping")
}

/// An echo reply; its identifier is the port of the receiver.
pub(crate) fn pong(from: SocketAddrV6, to: SocketAddrV6) -> Packet {
    let [i1, i0] = to.port().to_be_bytes();
    icmp(*from.ip(), *to.ip(), (129, 0), [i1, i0, 0, 7], b"ping")
}

impl Packet {
    /// The same packet with an extension header closer to the transport than those it has.
    /// `content` is what follows the first two bytes.
    pub(crate) fn with(mut self, kind: u8, content: &[u8]) -> Packet {
        let len = content.len() + 2;
        let field = match kind {
            FRAGMENT => content[0],
            AH => (len / 4 - 2) as u8,
            _ => (len / 8 - 1) as u8,
        };
        let content = if kind == FRAGMENT { &content[1..] } else { content };
        self.extensions.push((kind, [&[0, field], content].concat()));
        self
    }

    /// The piece of the transport from byte `start` to `end` (of all if that is less) that a
    /// fragment with this offset in bytes would have.
    pub(crate) fn fragment(self, id: u32, start: usize, end: usize) -> Packet {
        let (start, end) = (start.min(self.body.len()), end.min(self.body.len()));
        let place = start as u16 | u16::from(end < self.body.len());
        let content = [&[0][..], &place.to_be_bytes(), &id.to_be_bytes()].concat();
        let body = self.body[start..end].to_vec();
        Packet { body, ..self }.with(FRAGMENT, &content)
    }

    /// The same packet to another station.
    pub(crate) fn at_station(self, station: [u8; 6]) -> Packet {
        Packet { station, ..self }
    }

    pub(crate) fn hop_limit(self, hop_limit: u8) -> Packet {
        Packet { hop_limit, ..self }
    }

    /// From IPv6 on.
    pub(crate) fn datagram(&self) -> Vec<u8> {
        let kinds = self.extensions.iter().map(|(kind, _)| *kind).chain([self.protocol]);
        let kinds: Vec<u8> = kinds.collect();
        let mut behind = Vec::new();
        for ((_, header), next) in self.extensions.iter().zip(&kinds[1..]) {
            behind.push(*next);
            behind.extend(&header[1..]);
        }
        behind.extend(&self.body);
        let ip = Ipv6Header {
            payload_length: behind.len() as u16,
            next_header: IpNumber(kinds[0]),
            hop_limit: self.hop_limit,
            source: self.from.octets(),
            destination: self.to.octets(),
            ..Ipv6Header::default()
        };
        [&ip.to_bytes()[..], &behind].concat()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let ethernet = Ethernet2Header {
            source: GATEWAY,
            destination: self.station,
            ether_type: EtherType::IPV6,
        };
        [&ethernet.to_bytes()[..], &self.datagram()].concat()
    }

    /// The frame that forwarding this packet sends: to the gateway, one hop older.
    pub(crate) fn routed(&self) -> Vec<u8> {
        let mut frame = Packet { hop_limit: self.hop_limit - 1, ..self.clone() }.bytes();
        frame[..6].copy_from_slice(&GATEWAY);
        frame[6..12].copy_from_slice(&CORE);
        frame
    }
}

/// The error of this type and code that `from` sends to the sender of `about`, quoting it whole.
pub(crate) fn error(from: Ipv6Addr, kind: (u8, u8), about: &Packet) -> Packet {
    icmp(from, about.from, kind, [0, 0, 5, 0], &about.datagram())
}
