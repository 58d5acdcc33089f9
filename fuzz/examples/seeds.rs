//! Writes the seeds that no text editor can: `cargo run --example seeds`, in this folder.

use etherparse::PacketBuilder;
use krono_fuzz::bench::{CORE, GATEWAY, OWN, OWN6};
use krono_fuzz::history::{Record, flag, mend};
use krono_fuzz::packet::{Packet, Protocol, inside6, outside6, remote, subscriber};
use std::net::Ipv6Addr;

fn record(flags: u8, wait: u8, frame: Vec<u8>) -> Vec<u8> {
    Record { flags, wait, frame }.bytes()
}

/// Each protocol out and back, an error about it, a second remote, and the end of its time.
fn conversation(protocol: Protocol) -> Vec<u8> {
    let port = if protocol == Protocol::Echo { 0 } else { 443 };
    let packet = Packet::new(protocol, subscriber(1, 5000), remote(1, port));
    let elsewhere = Packet { to: remote(2, port), ..packet.clone() };
    let answer = Packet { from: packet.to, to: packet.from, reply: true, ..packet.clone() };
    let carrier = Packet::new(Protocol::Echo, remote(3, 0), remote(1, 0));
    let mut message = vec![11, 0, 0, 0, 0, 0, 0, 0];
    // The answered packet was sent to our remote, and the quote is turned to it by its ports.
    message.extend(packet.datagram());
    let header = carrier.header(message.len()).to_bytes();
    let mut error = [&carrier.frame()[..14], &header, &message].concat();
    mend(&mut error);
    [
        record(flag::TOGETHER, 0, packet.frame()),
        record(0, 0, elsewhere.frame()),
        record(flag::ANSWER | flag::MEND, 20, answer.frame()),
        record(flag::ANSWER | flag::MEND, 0, error),
        record(flag::ANSWER | flag::MEND, 33, answer.frame()),
        record(0, 34, packet.frame()),
    ]
    .concat()
}

/// What the core answers itself, and fragments.
fn own() -> Vec<u8> {
    let ping = Packet::new(Protocol::Echo, remote(1, 7), (OWN, 0));
    let mut arp = vec![0xff; 6];
    arp.extend(GATEWAY);
    arp.extend([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]);
    arp.extend(GATEWAY);
    arp.extend([10, 255, 0, 254, 0, 0, 0, 0, 0, 0]);
    arp.extend(OWN.octets());
    let packet = Packet::new(Protocol::Udp, subscriber(2, 5000), remote(1, 53));
    let body = packet.transport();
    let piece = |range: std::ops::Range<usize>, more: bool| {
        let mut ip = packet.header(range.len());
        ip.more_fragments = more;
        ip.fragment_offset = etherparse::IpFragOffset::try_new(range.start as u16 / 8).unwrap();
        ip.header_checksum = ip.calc_header_checksum();
        [&packet.frame()[..14], &ip.to_bytes(), &body[range]].concat()
    };
    [
        record(0, 0, ping.frame()),
        record(0, 0, arp),
        record(0, 0, piece(0..8, true)),
        record(0, 0, piece(8..body.len(), false)),
    ]
    .concat()
}

fn six() -> Vec<u8> {
    let udp = |from: (Ipv6Addr, u16), to: (Ipv6Addr, u16)| {
        let builder = PacketBuilder::ethernet2(GATEWAY, CORE)
            .ipv6(from.0.octets(), to.0.octets(), 64)
            .udp(from.1, to.1);
        let mut bytes = Vec::new();
        builder.write(&mut bytes, b"six").expect("a vector takes everything");
        bytes
    };
    let (inside, outside) = ((inside6(1), 5000), (outside6(1), 443));
    let builder = PacketBuilder::ethernet2(GATEWAY, CORE)
        .ipv6(outside.0.octets(), OWN6.octets(), 64)
        .icmpv6_echo_request(1, 1);
    let mut ping = Vec::new();
    builder.write(&mut ping, b"six").expect("a vector takes everything");
    [
        record(flag::TOGETHER, 0, udp(inside, outside)),
        record(flag::TOGETHER, 0, udp(outside, inside)),
        record(0, 33, ping),
        record(0, 34, udp(outside, inside)),
    ]
    .concat()
}

fn main() -> std::io::Result<()> {
    let seeds = [
        ("udp", conversation(Protocol::Udp)),
        ("tcp", conversation(Protocol::Tcp)),
        ("echo", conversation(Protocol::Echo)),
        ("own", own()),
        ("six", six()),
    ];
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/seeds/frame");
    std::fs::create_dir_all(folder)?;
    for (name, history) in seeds {
        std::fs::write(format!("{folder}/{name}"), [&[0], &history[..]].concat())?;
    }
    Ok(())
}
