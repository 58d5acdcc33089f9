//! A burst of IPv4 and IPv6 packets: each goes its own way and leaves in its place.

use crate::rig::{CORE, GATEWAY, Packet, Rig, at, config, udp};
use etherparse::PacketBuilder;
use std::net::Ipv6Addr;

pub(crate) const INSIDE: Ipv6Addr = Ipv6Addr::new(0x2a00, 1, 0, 0, 0, 0, 0, 1);
pub(crate) const REMOTE: Ipv6Addr = Ipv6Addr::new(0x2a00, 2, 0, 0, 0, 0, 0, 1);

fn udp6(stations: [[u8; 6]; 2], ends: [(Ipv6Addr, u16); 2], hop_limit: u8) -> Vec<u8> {
    let [(source, from), (destination, to)] = ends;
    let builder = PacketBuilder::ethernet2(stations[0], stations[1])
        .ipv6(source.octets(), destination.octets(), hop_limit)
        .udp(from, to);
    let mut bytes = Vec::new();
    builder.write(&mut bytes, b"over six").unwrap();
    bytes
}

/// A core for both families.
pub(crate) fn rig() -> Rig {
    let mut config = config();
    config.connections6_max = 10;
    config.cores[0].subscribers6 = vec!["2a00:1::/64".parse().unwrap()];
    Rig::new(&config)
}

#[test]
fn each_family_goes_its_way() {
    let mut rig = rig();
    let (inside, remote) = (at("100.64.0.1:5000"), at("192.0.2.1:443"));
    let (in6, out6) = ((INSIDE, 5000), (REMOTE, 443));
    let frames = [
        udp6([GATEWAY, CORE], [in6, out6], 64),
        udp(inside, remote).sealed().bytes(),
        udp6([GATEWAY, CORE], [out6, in6], 64),
        udp6([GATEWAY, CORE], [out6, (INSIDE, 5001)], 64),
    ];
    let fates = rig.process(&frames);
    let verdicts: Vec<_> = fates.iter().map(|fate| fate.verdict).collect();
    assert_eq!(verdicts, ["forwarded", "forwarded", "forwarded", "unknown_inbound"]);
    assert_eq!(fates[0].sent, udp6([CORE, GATEWAY], [in6, out6], 63));
    assert_eq!(fates[2].sent, udp6([CORE, GATEWAY], [out6, in6], 63));
    let external = Packet::read(&fates[1].sent).source();
    assert_eq!(fates[1].sent, udp(external, remote).routed().sealed().bytes());

    let firewall6 = rig.pipeline.firewall6().unwrap().connections();
    assert_eq!((firewall6.len(), rig.pipeline.connections().len()), (1, 1));
    rig.now.0 += 400_000_000_000;
    rig.pipeline.sweep(rig.now, rig.pipeline.connections().buckets());
    let firewall6 = rig.pipeline.firewall6().unwrap().connections();
    assert_eq!((firewall6.len(), rig.pipeline.connections().len()), (0, 0), "both are swept");
}
