//! What becomes of single packets, as a table: what was sent before, the packet, and its verdict.
//! A row names the recommendation of RFC 6092 (REC) or the section it follows, or departs from. What
//! is forwarded is compared byte for byte.

use crate::rig::*;
use krononat::verdict::Drop;
use std::collections::HashSet;
use std::net::{Ipv6Addr, SocketAddrV6};

struct Row {
    name: &'static str,
    /// The section that asks for this, or that is departed from; `-` where it is our own choice.
    rfc: &'static str,
    before: Vec<Packet>,
    /// Seconds between those and the packet.
    wait: u64,
    packet: Packet,
    verdict: &'static str,
}

fn row(name: &'static str, rfc: &'static str, packet: Packet, verdict: &'static str) -> Row {
    Row { name, rfc, before: Vec::new(), wait: 0, packet, verdict }
}

impl Row {
    fn after(self, before: impl IntoIterator<Item = Packet>) -> Row {
        Row { before: before.into_iter().collect(), ..self }
    }

    fn wait(self, wait: u64) -> Row {
        Row { wait, ..self }
    }

    fn check(&self) {
        let Row { name, rfc, .. } = self;
        let mut rig = Rig::new(8);
        for before in &self.before {
            let fate = rig.process(&before.bytes());
            assert_eq!(fate.verdict, "forwarded", "{name}: before it, {before:?}");
        }
        rig.wait(self.wait);
        let fate = rig.process(&self.packet.bytes());
        assert_eq!(fate.verdict, self.verdict, "{name} (RFC {rfc})");
        if fate.verdict == "forwarded" {
            assert_eq!(fate.sent, self.packet.routed(), "{name} (RFC {rfc})");
        }
        if fate.verdict == "answered" {
            assert_eq!(fate.sent, exceeded(&self.packet), "{name} (RFC {rfc})");
        }
    }
}

/// A host inside, its neighbour, the remote they talk to, another one, and a router on the way.
fn inside() -> SocketAddrV6 {
    at("[2001:2:0:1::1]:5000")
}
fn neighbour() -> SocketAddrV6 {
    at("[2001:2:0:1::2]:5000")
}
fn remote() -> SocketAddrV6 {
    at("[2a00:1::1]:443")
}
fn stranger() -> SocketAddrV6 {
    at("[2a00:1::2]:443")
}
const ROUTER: Ipv6Addr = Ipv6Addr::new(0x2a00, 9, 0, 0, 0, 0, 0, 1);
const INSIDE_ROUTER: Ipv6Addr = Ipv6Addr::new(0x2001, 2, 0, 1, 0, 0, 0, 0xfe);

fn port(mut end: SocketAddrV6, port: u16) -> SocketAddrV6 {
    end.set_port(port);
    end
}

fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

fn from(text: &str) -> Packet {
    Packet { from: ip(text), ..udp(inside(), remote()) }
}

fn to(text: &str) -> Packet {
    Packet { to: ip(text), ..udp(inside(), remote()) }
}

/// ESP, SCTP and whatever else has no ports to look at.
fn other(from: SocketAddrV6, to: SocketAddrV6, protocol: u8) -> Packet {
    packet(*from.ip(), *to.ip(), protocol, vec![1; 24])
}

fn big(from: SocketAddrV6, to: SocketAddrV6) -> Packet {
    let mut frame = udp(from, to);
    frame = packet(frame.from, frame.to, UDP, {
        let mut body = frame.datagram()[40..].to_vec();
        body.resize(64, 9);
        body[4..6].copy_from_slice(&64_u16.to_be_bytes());
        body
    });
    frame
}

const SYN: u8 = 2;
const ACK: u8 = 16;
const FIN: u8 = 1;
const RST: u8 = 4;
const SCTP: u8 = 132;
const UDP_LITE: u8 = 136;
const HIP: u8 = 139;
const SHIM6: u8 = 140;
const GRE: u8 = 47;

/// The core's Time Exceeded about a packet: RFC 4443 §3.3.
fn exceeded(about: &Packet) -> Vec<u8> {
    let mut quote = about.datagram();
    quote.truncate(1280 - 48);
    let error = icmp(CORE_IP, about.from, (3, 0), [0; 4], &quote).at_station(GATEWAY);
    let mut frame = error.bytes();
    frame[6..12].copy_from_slice(&CORE);
    frame
}

fn stateless() -> Vec<Row> {
    let out = || udp(inside(), remote());
    let back = || udp(remote(), inside());
    let (first, later) = (
        || big(inside(), remote()).fragment(1, 0, 48),
        || big(inside(), remote()).fragment(1, 48, 64),
    );
    let about = |packet: &Packet| error(ROUTER, (1, 0), packet);
    let unknown = |kind| icmp(*inside().ip(), *remote().ip(), (kind, 0), [0; 4], &[0; 48]);
    let group = ip("ff0e::1");
    vec![
        row("from a group", "6092 REC-1", from("ff0e::1"), "multicast"),
        row("to a group", "6092 REC-2", Packet { to: group, ..out() }, "multicast"),
        row("to nobody", "6092 REC-3", to("::"), "bogon"),
        row("from IPv4-mapped", "6092 REC-3", from("::ffff:192.0.2.1"), "bogon"),
        row("to IPv4-compatible", "6092 REC-3", to("::192.0.2.1"), "bogon"),
        row("to site-local", "6092 REC-3", to("fec0::1"), "bogon"),
        row("from documentation", "6092 REC-3", from("2001:db8::1"), "bogon"),
        row("to ORCHID", "6092 REC-3", to("2001:10::1"), "bogon"),
        row("to link-local", "4291 2.5.6", to("fe80::1"), "bogon"),
        row("unique local", "6092 REC-7", to("fd00::1"), "bogon"),
        row("routing type 0", "6092 REC-4", out().with(ROUTING, &[0; 6]), "routing_header"),
        row("Nimrod", "6092 REC-4", out().with(ROUTING, &[1, 0, 0, 0, 0, 0]), "routing_header"),
        row("mobile routing", "6092 REC-27", out().with(ROUTING, &[2, 0, 0, 0, 0, 0]), "forwarded"),
        row(
            "routing type 0 behind a first fragment header",
            "5095 4.2",
            big(inside(), remote()).fragment(1, 0, 48).with(ROUTING, &[0; 6]),
            "routing_header",
        ),
        row("neither end is inside", "6092 REC-5", from("2a00:1::9"), "foreign"),
        row("from inside to inside", "6092 REC-6", udp(neighbour(), inside()), "inside_source"),
        row("hop limit used up", "8200 3", out().hop_limit(1), "answered"),
        row("hop limit zero", "8200 3", out().hop_limit(0), "answered"),
        row("hop limit used up, unsolicited", "8200 3", back().hop_limit(1), "answered"),
        row("a first fragment's", "4443 3.3", first().hop_limit(1), "answered"),
        row("a later fragment's", "stricter than 4443 2.4e", later().hop_limit(1), "ttl"),
        row("an error's", "4443 2.4e1", about(&out()).hop_limit(1), "ttl"),
        row("an unknown error's", "4443 2.4e1", unknown(5).hop_limit(1), "ttl"),
        row("a redirect's", "4443 2.4e2", unknown(137).hop_limit(1), "ttl"),
        row("a group's", "4443 2.4e3", Packet { to: group, ..out() }.hop_limit(1), "multicast"),
        row("nobody's", "4443 2.4e6", from("::").hop_limit(1), "bogon"),
        row("last hop but one", "8200 3", out().hop_limit(2), "forwarded"),
        row("another station", "-", out().at_station(GATEWAY), "station"),
        row("all stations", "-", out().at_station([0xff; 6]), "station"),
        row(
            "hop-by-hop options",
            "8200 4.3",
            out().with(HOP_BY_HOP, &[1, 4, 0, 0, 0, 0]),
            "forwarded",
        ),
        row(
            "hop-by-hop not first",
            "8200 4.1",
            out().with(OPTIONS, &[0; 6]).with(HOP_BY_HOP, &[0; 6]),
            "ipv6_extension_order",
        ),
        row(
            "eight headers",
            "8504 5.3",
            (0..8).fold(out(), |packet, _| packet.with(OPTIONS, &[1, 4, 0, 0, 0, 0])),
            "forwarded",
        ),
        row(
            "nine headers",
            "8504 5.3",
            (0..9).fold(out(), |packet, _| packet.with(OPTIONS, &[1, 4, 0, 0, 0, 0])),
            "ipv6_extensions_too_long",
        ),
        row(
            "neighbour discovery is not forwarded",
            "4890 4.3.3",
            icmp(*inside().ip(), *remote().ip(), (135, 0), [0; 4], &[0; 16]),
            "icmp_type",
        ),
        row(
            "unknown errors are not forwarded",
            "4890 4.3.4",
            icmp(*inside().ip(), *remote().ip(), (5, 0), [0; 4], &[0; 48]),
            "icmp_type",
        ),
    ]
}

fn udp_rows() -> Vec<Row> {
    let (out, back) = (|| udp(inside(), remote()), || udp(remote(), inside()));
    let lite = |packet: Packet| packet_of(UDP_LITE, &packet);
    vec![
        row("opens", "6092 REC-16", out(), "forwarded"),
        row("answer", "6092 REC-17", back(), "forwarded").after([out()]),
        row("unsolicited", "6092 REC-17", back(), "unknown_inbound"),
        row(
            "from another port",
            "6092 REC-17, stricter",
            udp(port(remote(), 444), inside()),
            "unknown_inbound",
        )
        .after([out()]),
        row("from another host", "6092 REC-17", udp(stranger(), inside()), "unknown_inbound")
            .after([out()]),
        row(
            "to another port",
            "6092 REC-17",
            udp(remote(), port(inside(), 5001)),
            "unknown_inbound",
        )
        .after([out()]),
        row("to another host", "6092 REC-17", udp(remote(), neighbour()), "unknown_inbound")
            .after([out()]),
        row("by another protocol", "6092 REC-20", tcp(remote(), inside(), ACK), "unknown_inbound")
            .after([out()]),
        row("idle for five minutes", "6092 REC-14", back(), "forwarded").after([out()]).wait(300),
        row("idle for longer", "6092 REC-14", back(), "unknown_inbound").after([out()]).wait(301),
        row(
            "well-known ports live as long",
            "6092 REC-15, stricter",
            udp(port(remote(), 53), inside()),
            "forwarded",
        )
        .after([udp(inside(), port(remote(), 53))])
        .wait(300),
        row("reopens", "6092 REC-16", out(), "forwarded").after([out()]).wait(301),
        row("UDP-Lite is tracked", "6092 REC-20", lite(back()), "forwarded").after([lite(out())]),
        row("UDP is not UDP-Lite", "6092 REC-20", back(), "unknown_inbound").after([lite(out())]),
        row("UDP-Lite is not UDP", "6092 REC-20", lite(back()), "unknown_inbound").after([out()]),
        row("within Shim6", "6092 REC-47", back().with(SHIM6, &[0x80, 0, 0, 0, 0, 0]), "forwarded")
            .after([out()]),
        row(
            "unsolicited within Shim6",
            "6092 REC-47",
            back().with(SHIM6, &[0x80, 0, 0, 0, 0, 0]),
            "unknown_inbound",
        ),
    ]
}

fn packet_of(protocol: u8, packet: &Packet) -> Packet {
    crate::rig::packet(packet.from, packet.to, protocol, packet.datagram()[40..].to_vec())
}

fn tcp_rows() -> Vec<Row> {
    let (syn, ack) = (|| tcp(inside(), remote(), SYN), || tcp(inside(), remote(), ACK));
    let syn_ack = || tcp(remote(), inside(), SYN | ACK);
    let data = || tcp(remote(), inside(), ACK);
    let established = || [syn(), syn_ack(), ack()];
    vec![
        row("SYN opens", "6092 REC-31", syn(), "forwarded"),
        row("three-way handshake", "6092 REC-31", data(), "forwarded").after(established()),
        row("simultaneous open", "6092 REC-31", tcp(remote(), inside(), SYN), "forwarded")
            .after([syn()]),
        row(
            "simultaneous open ends",
            "6092 REC-31",
            tcp(inside(), remote(), SYN | ACK),
            "forwarded",
        )
        .after([syn(), tcp(remote(), inside(), SYN)]),
        row("simultaneously opened lives for two hours", "6092 REC-35", data(), "forwarded")
            .after([syn(), tcp(remote(), inside(), SYN), tcp(inside(), remote(), SYN | ACK)])
            .wait(7440),
        row("unsolicited SYN", "6092 REC-33", tcp(remote(), inside(), SYN), "unknown_inbound"),
        row("unsolicited RST", "6092 REC-33", tcp(remote(), inside(), RST), "unknown_inbound"),
        row(
            "from another port",
            "6092 REC-33, stricter",
            tcp(port(remote(), 444), inside(), ACK),
            "unknown_inbound",
        )
        .after(established()),
        row("data without connection", "6092 REC-31", ack(), "tcp_not_syn"),
        row(
            "SYN-ACK without connection",
            "6092 REC-31",
            tcp(inside(), remote(), SYN | ACK),
            "tcp_not_syn",
        ),
        row("established for 2 h 4 min", "6092 REC-35", data(), "forwarded")
            .after(established())
            .wait(7440),
        row("established for longer", "6092 REC-35", data(), "unknown_inbound")
            .after(established())
            .wait(7441),
        row("opening for four minutes", "6092 REC-35", syn_ack(), "forwarded")
            .after([syn()])
            .wait(240),
        row("opening for longer", "6092 REC-35", syn_ack(), "unknown_inbound")
            .after([syn()])
            .wait(241),
        row("closing", "6092 REC-31", tcp(remote(), inside(), FIN | ACK), "forwarded")
            .after(established())
            .wait(100),
        row("closed for four minutes", "6092 REC-35", data(), "unknown_inbound")
            .after([syn(), syn_ack(), ack(), tcp(inside(), remote(), RST)])
            .wait(241),
        row("reopened after expiry", "6092 REC-31", syn(), "forwarded")
            .after(established())
            .wait(7441),
        row("not reopened by data", "6092 REC-31", ack(), "tcp_not_syn")
            .after(established())
            .wait(7441),
    ]
}

fn other_rows() -> Vec<Row> {
    let authenticated =
        |packet: Packet| packet.with(AH, &[0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9]);
    let unsolicited = |protocol| other(remote(), inside(), protocol);
    vec![
        row("generic transport", "6092 REC-11", other(inside(), remote(), GRE), "forwarded"),
        row("generic answer", "6092 REC-11", unsolicited(GRE), "forwarded").after([other(
            inside(),
            remote(),
            GRE,
        )]),
        row("generic unsolicited", "6092 REC-11", unsolicited(GRE), "unknown_inbound"),
        row(
            "generic from another",
            "6092 REC-11",
            other(stranger(), inside(), GRE),
            "unknown_inbound",
        )
        .after([other(inside(), remote(), GRE)]),
        row("generic idle for five minutes", "6092 REC-12", unsolicited(GRE), "forwarded")
            .after([other(inside(), remote(), GRE)])
            .wait(300),
        row("no next header", "8200 4.7", unsolicited(59), "unknown_inbound"),
        row("SCTP as generic", "6092 REC-38, not tracked", unsolicited(SCTP), "forwarded")
            .after([other(inside(), remote(), SCTP)]),
        row("ESP unasked", "6092 REC-22", unsolicited(ESP), "forwarded"),
        row("ESP outbound", "6092 REC-22", other(inside(), remote(), ESP), "forwarded"),
        row("AH unasked", "6092 REC-21", authenticated(udp(remote(), inside())), "forwarded"),
        row("AH outbound", "6092 REC-21", authenticated(udp(inside(), remote())), "forwarded"),
        row("AH opens nothing else", "6092 REC-25", udp(remote(), inside()), "unknown_inbound")
            .after([authenticated(udp(inside(), remote()))]),
        row("HIP unasked", "6092 REC-26", unsolicited(HIP), "forwarded"),
        row("IKE unasked", "6092 REC-24", udp(remote(), port(inside(), 500)), "forwarded"),
        row("IKE leaves no state", "-", udp(remote(), port(inside(), 501)), "unknown_inbound")
            .after([udp(remote(), port(inside(), 500))]),
        row(
            "TCP to port 500",
            "6092 REC-24",
            tcp(remote(), port(inside(), 500), SYN),
            "unknown_inbound",
        ),
        row("echo request", "4890 4.3.1", ping(inside(), remote()), "forwarded"),
        row("echo reply", "4890 4.3.1", pong(remote(), inside()), "forwarded")
            .after([ping(inside(), remote())]),
        row(
            "echo reply to another identifier",
            "4890 4.3.1",
            pong(remote(), port(inside(), 1)),
            "unknown_inbound",
        )
        .after([ping(inside(), remote())]),
        row("echo reply, late", "-", pong(remote(), inside()), "unknown_inbound")
            .after([ping(inside(), remote())])
            .wait(61),
        row(
            "unsolicited echo request",
            "4890 4.3.1, stricter",
            ping(remote(), inside()),
            "icmp_type",
        ),
    ]
}

fn error_rows() -> Vec<Row> {
    let out = || udp(inside(), remote());
    let back = || udp(remote(), inside());
    let syn = || tcp(inside(), remote(), SYN);
    let esp = || other(inside(), remote(), ESP);
    let about = |packet: &Packet| error(ROUTER, (1, 0), packet);
    vec![
        row("unreachable, UDP", "6092 REC-18", about(&out()), "forwarded").after([out()]),
        row("too big, UDP", "6092 REC-18", error(ROUTER, (2, 0), &out()), "forwarded")
            .after([out()]),
        row("time exceeded", "4890 4.3.1", error(ROUTER, (3, 0), &out()), "forwarded")
            .after([out()]),
        row("parameter problem", "4890 4.3.1", error(ROUTER, (4, 1), &out()), "forwarded")
            .after([out()]),
        row("unreachable, TCP", "6092 REC-36", about(&syn()), "forwarded").after([syn()]),
        row("too big, ESP", "6092 REC-23", error(ROUTER, (2, 0), &esp()), "forwarded")
            .after([esp()]),
        row(
            "too big, ESP of nobody",
            "6092 REC-10",
            error(ROUTER, (2, 0), &esp()),
            "unknown_error",
        ),
        row("about an echo", "4890 4.3.1", about(&ping(inside(), remote())), "forwarded")
            .after([ping(inside(), remote())]),
        row(
            "about another echo",
            "4890 4.3.1",
            about(&ping(port(inside(), 1), remote())),
            "unknown_error",
        )
        .after([ping(inside(), remote())]),
        row("of no connection", "6092 REC-10", about(&out()), "unknown_error"),
        row("of an expired one", "6092 REC-10", about(&out()), "unknown_error")
            .after([out()])
            .wait(301),
        row(
            "of another port",
            "6092 REC-10",
            about(&udp(port(inside(), 1), remote())),
            "unknown_error",
        )
        .after([out()]),
        row(
            "quotes somebody else's packet",
            "6092 REC-10",
            Packet { to: *neighbour().ip(), ..about(&out()) },
            "unknown_error",
        )
        .after([out()]),
        row(
            "quotes a packet that went the other way",
            "6092 REC-10",
            Packet { to: *inside().ip(), ..about(&back()) },
            "unknown_error",
        )
        .after([out()]),
        row(
            "quotes nothing",
            "4443 2.4",
            icmp(ROUTER, *inside().ip(), (1, 0), [0; 4], &[]),
            "unknown_error",
        )
        .after([out()]),
        row(
            "quotes eight bytes of transport",
            "4443 2.4",
            icmp(ROUTER, *inside().ip(), (2, 0), [0; 4], &syn().datagram()[..48]),
            "forwarded",
        )
        .after([syn()]),
        row(
            "quotes less",
            "4443 2.4",
            icmp(ROUTER, *inside().ip(), (2, 0), [0; 4], &syn().datagram()[..47]),
            "unknown_error",
        )
        .after([syn()]),
        row(
            "about an error",
            "4443 2.4",
            about(&error(INSIDE_ROUTER, (1, 0), &back())),
            "unknown_error",
        )
        .after([out()]),
        row("from inside", "4890 4.3.1", error(INSIDE_ROUTER, (1, 4), &back()), "forwarded")
            .after([out()]),
        row(
            "from inside, of no connection",
            "6092 REC-10",
            error(INSIDE_ROUTER, (1, 4), &back()),
            "unknown_error",
        ),
        row(
            "from inside about ESP unasked",
            "6092 REC-23",
            error(INSIDE_ROUTER, (2, 0), &other(remote(), inside(), ESP)),
            "forwarded",
        ),
        row(
            "from inside about ESP to elsewhere",
            "6092 REC-10",
            error(INSIDE_ROUTER, (2, 0), &other(remote(), stranger(), ESP)),
            "unknown_error",
        ),
        row("ends no UDP flow", "6092 REC-19", back(), "forwarded").after([out(), about(&out())]),
        row(
            "ends no TCP connection",
            "6092 REC-37",
            tcp(remote(), inside(), SYN | ACK),
            "forwarded",
        )
        .after([syn(), about(&syn())]),
        row("prolongs nothing", "6092 REC-19", back(), "unknown_inbound")
            .after([out(), about(&out())])
            .wait(301),
        row(
            "about a later fragment",
            "4890 4.3.1",
            error(ROUTER, (3, 1), &big(inside(), remote()).fragment(5, 48, 64)),
            "forwarded",
        )
        .after([big(inside(), remote()).fragment(5, 0, 48)]),
        row(
            "about an unknown later fragment",
            "6092 REC-10",
            error(ROUTER, (3, 1), &big(inside(), remote()).fragment(5, 48, 64)),
            "unknown_error",
        )
        .after([out()]),
    ]
}

fn fragment_rows() -> Vec<Row> {
    let (out, back) = (|| big(inside(), remote()), || big(remote(), inside()));
    let syn = || tcp(inside(), remote(), SYN);
    vec![
        row("first", "7112 5", out().fragment(1, 0, 48), "forwarded"),
        row("second", "8200 4.5", out().fragment(1, 48, 64), "forwarded")
            .after([out().fragment(1, 0, 48)]),
        row("second before first", "-", out().fragment(1, 48, 64), "held"),
        row("of another datagram", "8200 4.5", out().fragment(2, 48, 64), "held")
            .after([out().fragment(1, 0, 48)]),
        row("of the other direction", "8200 4.5", back().fragment(1, 48, 64), "held")
            .after([out().fragment(1, 0, 48)]),
        row("after a minute", "8200 4.5", out().fragment(1, 48, 64), "held")
            .after([out().fragment(1, 0, 48)])
            .wait(61),
        row("overlaps the first", "5722 4", out().fragment(1, 40, 64), "fragment_overlap")
            .after([out().fragment(1, 0, 48)]),
        row("unsolicited first", "6092 REC-17", back().fragment(1, 0, 48), "unknown_inbound"),
        row("answer in fragments", "6092 REC-17", back().fragment(7, 48, 64), "forwarded")
            .after([out(), back().fragment(7, 0, 48)]),
        row(
            "first without its TCP header",
            "7112 5",
            syn().fragment(1, 0, 16),
            "ipv6_first_fragment",
        ),
        row("atomic", "6946 4", udp(remote(), inside()).fragment(1, 0, 64), "forwarded")
            .after([udp(inside(), remote())]),
        row(
            "atomic and unsolicited",
            "6946 4",
            udp(remote(), inside()).fragment(1, 0, 64),
            "unknown_inbound",
        ),
        row("no multiple of eight", "8200 4.5", out().fragment(1, 0, 44), "ipv6_fragment_length"),
    ]
}

/// Frames that are no packets: bytes to overwrite and the length to keep.
fn broken() -> Vec<(&'static str, Vec<u8>)> {
    let edit = |packet: Packet, edits: &[(usize, u8)], len: usize| {
        let mut frame = packet.bytes();
        for &(at, value) in edits {
            frame[at] = value;
        }
        frame.truncate(len);
        frame
    };
    let (udp, tcp) = (|| udp(inside(), remote()), || tcp(inside(), remote(), SYN));
    vec![
        ("ipv6_short", edit(udp(), &[], 53)),
        ("ipv6_version", edit(udp(), &[(14, 0x40)], 78)),
        ("ipv6_payload_length", edit(udp(), &[], 77)),
        ("ipv6_jumbogram", edit(udp(), &[(19, 0), (20, 0)], 78)),
        ("ipv6_extension_length", edit(udp(), &[(20, 60), (55, 9)], 78)),
        ("ipv6_udp", edit(udp(), &[(59, 7)], 78)),
        ("ipv6_tcp", edit(tcp(), &[(66, 0x40)], 74)),
        ("ipv6_icmp", edit(ping(inside(), remote()), &[(19, 7)], 66)),
    ]
}

fn all() -> Vec<Row> {
    [stateless(), udp_rows(), tcp_rows(), other_rows(), error_rows(), fragment_rows()]
        .into_iter()
        .flatten()
        .collect()
}

#[test]
fn every_row_holds() {
    let rows = all();
    rows.iter().for_each(Row::check);
    let names: HashSet<(&str, &str)> = rows.iter().map(|row| (row.name, row.rfc)).collect();
    assert_eq!(names.len(), rows.len(), "a row stands twice");
}

/// RFC 4443 §2.4c: the error has 1,280 bytes at most.
#[test]
fn a_long_packet_is_quoted_in_part() {
    let long = packet(*inside().ip(), *remote().ip(), GRE, (0..=255).cycle().take(1400).collect());
    let fate = Rig::new(8).process(&long.clone().hop_limit(1).bytes());
    assert_eq!((fate.verdict, fate.sent.len()), ("answered", 14 + 1280));
    assert_eq!(fate.sent, exceeded(&long.hop_limit(1)));
}

/// RFC 4443 §2.4f.
#[test]
fn errors_are_sent_at_a_limited_rate() {
    let mut rig = Rig::new(8);
    let frame = udp(inside(), remote()).hop_limit(1).bytes();
    let mut answered = || {
        let fates = (0..1200).map(|_| rig.process(&frame).verdict).collect::<Vec<_>>();
        rig.wait(1);
        let of = |verdict| fates.iter().filter(|&&fate| fate == verdict).count();
        assert_eq!(of("answered") + of("error_limit"), 1200);
        of("answered")
    };
    assert_eq!([answered(), answered()], [250, 250]);
}

#[test]
fn without_an_address_of_its_own_the_core_tells_nobody() {
    let mut rig = Rig::without_address();
    assert_eq!(rig.process(&udp(inside(), remote()).hop_limit(1).bytes()).verdict, "ttl");
}

#[test]
fn broken_packets_are_refused_by_name() {
    let mut rig = Rig::new(8);
    for (reason, frame) in broken() {
        assert_eq!(rig.process(&frame).verdict, reason);
    }
}

#[test]
fn a_full_table_admits_no_more_but_ipsec() {
    let mut rig = Rig::new(8);
    for i in 0..8 {
        assert_eq!(rig.process(&udp(port(inside(), i), remote()).bytes()).verdict, "forwarded");
    }
    assert_eq!(rig.process(&udp(port(inside(), 8), remote()).bytes()).verdict, "table_full");
    assert_eq!(rig.process(&udp(port(inside(), 7), remote()).bytes()).verdict, "forwarded");
    // RFC 6092 REC-22.
    assert_eq!(rig.process(&other(inside(), remote(), ESP).bytes()).verdict, "forwarded");
    assert_eq!(rig.firewall.connections().len(), 8);
    rig.wait(301);
    rig.sweep();
    let connections = rig.firewall.connections();
    assert_eq!((connections.len(), connections.opened, connections.expired), (0, 8, 8));
    assert_eq!(rig.process(&udp(port(inside(), 8), remote()).bytes()).verdict, "forwarded");
}

#[test]
fn every_reason_of_ipv6_has_a_packet() {
    let rows = all();
    let seen: HashSet<&str> =
        rows.iter().map(|row| row.verdict).chain(broken().iter().map(|(name, _)| *name)).collect();
    for reason in Drop::all().filter(|reason| reason.is_of_ipv6()) {
        assert!(seen.contains(reason.name()), "no packet is dropped for {}", reason.name());
    }
}
