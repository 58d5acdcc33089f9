//! The bounds: room, time, and what no sender makes. Whole datagrams are in `tests/nat`.

use super::*;

const EXTERNAL: Endpoint = Endpoint::new(0xc612_0001, 2047);
const START: Tick = Tick(65_534);

fn later(ticks: u16) -> Tick {
    Tick(START.0.wrapping_add(ticks))
}

fn datagram(source: u32, id: u16) -> DatagramId {
    DatagramId { source, destination: 0xcb00_7109, id, protocol: ipv4::UDP }
}

#[test]
fn datagrams_are_told_apart_and_forgotten() {
    let mut fragments = Fragments::new(3);
    let learned = fragments.learn(datagram(1, 1), End::Source, EXTERNAL, START);
    assert_eq!(fragments.follow(datagram(1, 1), later(8)), Some(learned));
    assert_eq!(fragments.follow(datagram(1, 1), later(9)), None);
    for another in [datagram(2, 1), datagram(1, 2)] {
        assert_eq!(fragments.follow(another, START), None);
    }
}

/// 256 datagrams under way in room for 1,024: a set of four overflows about once in 270.
#[test]
fn datagrams_spread_over_the_sets() {
    for stride in [1, 256, 65_536] {
        let mut fragments = Fragments::new(3);
        let datagrams = || (0..256).map(|i| datagram(i * stride, (i * 7) as u16));
        for of in datagrams() {
            fragments.learn(of, End::Source, EXTERNAL, START);
        }
        let lost = datagrams().filter(|&of| fragments.follow(of, START).is_none()).count();
        assert!(lost < 10, "stride {stride}: {lost} lost");
    }
}

#[test]
fn outbound_datagrams_get_numbers_of_their_own() {
    let mut fragments = Fragments::new(3);
    let mut learn = |source, end, port| {
        let new = Endpoint::new(EXTERNAL.address(), port);
        fragments.learn(datagram(source, 77), end, new, START).id
    };
    let (one, another) = (learn(1, End::Source, 2000), learn(2, End::Source, 2100));
    assert_ne!(one, another, "two subscribers used the same number");
    assert_eq!(learn(1, End::Source, 2000), one, "a copy of a first fragment");
    assert_ne!(learn(1, End::Source, 2001), one, "a number used again for another connection");
    assert_eq!(learn(3, End::Destination, 40_000), 77, "inbound ones keep theirs");
}

#[test]
fn what_no_sender_makes_is_refused() {
    let (udp, tcp) = (ipv4::UDP, ipv4::TCP);
    let (cut, overlap) = (Err(Refusal::Fragment), Err(Refusal::FragmentOverlap));
    for (what, protocol, offset, more, len, expected) in [
        ("no payload", udp, 8, false, 0, cut),
        ("nine bytes and more to come", udp, 8, true, 9, cut),
        ("nine bytes, the last", udp, 8, false, 9, Ok(())),
        ("over the last bytes of a TCP header", tcp, 16, false, 9, overlap),
        ("over the flags of a TCP header", tcp, 8, true, 16, overlap),
        ("behind the TCP header", tcp, 24, false, 9, Ok(())),
        ("behind the UDP header", udp, 8, false, 9, Ok(())),
        ("up to the very end", udp, 65_512, false, 3, Ok(())),
        ("a byte longer than a datagram", udp, 65_512, false, 4, cut),
    ] {
        let fragment = Fragment { id: 1, offset, more };
        let at = ethernet::HEADER_LEN + ipv4::HEADER_LEN;
        let datagram = Datagram {
            source: [192, 0, 2, 1].into(),
            destination: [198, 18, 0, 0].into(),
            protocol,
            ttl: 64,
            transport_at: at,
            end: at + len,
            transport: dataplane::wire::Transport::Fragment(fragment),
        };
        assert_eq!(DatagramId::of(&datagram, fragment).map(drop), expected, "{what}");
    }
}
