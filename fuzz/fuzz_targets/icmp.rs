//! ICMP errors about connections that are really open: quotes short and long, damaged, with options
//! and extensions. An undamaged one must get through, and carry back what its receiver sent.

#![no_main]

use arbitrary::Arbitrary;
use dataplane::clock::Nanos;
use etherparse::EtherType;
use krono_fuzz::oracle::{self, Ipv4};
use krono_fuzz::packet::{Packet, Protocol, framed, remote, subscriber};
use krono_fuzz::{Core, history};
use krononat::config::Filtering;
use libfuzzer_sys::fuzz_target;
use std::net::Ipv4Addr;

#[derive(Arbitrary, Debug)]
struct Input {
    filtering: u8,
    opens: [Open; 3],
    errors: Vec<Failure>,
}

#[derive(Arbitrary, Debug)]
struct Open {
    protocol: Protocol,
    subscriber: (u8, u16),
    remote: (u8, u16),
    payload: u8,
    option_words: u8,
}

#[derive(Arbitrary, Debug)]
struct Failure {
    about: u8,
    /// About what was sent out, or about what answered it.
    inbound: bool,
    sender: u32,
    kind: u8,
    code: u8,
    rest: [u8; 4],
    /// Bytes of the quoted datagram, in units of four; all if that is less.
    quote_words: u8,
    /// What follows the quote.
    extension: Vec<u8>,
    /// Bytes of the message that are changed.
    damage: Vec<(u8, u8)>,
    /// Checksums are right again after the damage.
    mended: bool,
    wait: u8,
}

/// An open connection: what was sent, what it became, and what answers it.
struct Opened {
    inside: Packet,
    outside: Packet,
    answer: Packet,
}

fuzz_target!(|input: Input| {
    let filtering = match input.filtering % 3 {
        0 => Filtering::AddressAndPortDependent,
        1 => Filtering::AddressDependent,
        _ => Filtering::EndpointIndependent,
    };
    let mut core = Core::new(filtering);
    let opened: Vec<Opened> = input.opens.iter().filter_map(|it| open(&mut core, it)).collect();
    let start = core.now();
    for failure in input.errors.iter().take(32) {
        if opened.is_empty() {
            break;
        }
        core.wait(Nanos(u64::from(failure.wait) * 1_000_000), |_| {});
        let about = &opened[usize::from(failure.about) % opened.len()];
        // The shortest timer is a second.
        let alive = core.now().since(start).0 < 1_000_000_000;
        send(&mut core, failure, about, alive);
    }
    core.finish();
});

fn open(core: &mut Core, open: &Open) -> Option<Opened> {
    let (from, to) = (open.subscriber, open.remote);
    let to = remote(to.0, if open.protocol == Protocol::Echo { 0 } else { to.1 });
    let mut inside = Packet::new(open.protocol, subscriber(from.0, from.1), to);
    inside.payload = vec![0x5a; usize::from(open.payload)];
    inside.option_words = open.option_words % 11;
    let fate = core.frame(&inside.frame());
    assert!(fate.is_forwarded(), "{fate:?}");
    let answer = inside.answer(&fate.sent)?;
    let outside = Packet { from: answer.to, ..inside.clone() };
    Some(Opened { inside, outside, answer })
}

fn send(core: &mut Core, failure: &Failure, about: &Opened, alive: bool) {
    let quoted = if failure.inbound { &about.outside } else { &about.answer };
    // A subscriber answers to what it got: the answer with its own address in it.
    let quoted = match failure.inbound {
        true => quoted.clone(),
        false => Packet { to: about.inside.from, ..quoted.clone() },
    };
    let datagram = Packet { ttl: 60, ..quoted.clone() }.datagram();
    let quote = &datagram[..datagram.len().min(4 * usize::from(failure.quote_words))];
    let head = [failure.kind, failure.code, 0, 0];
    let mut message = [&head, &failure.rest[..], quote, &failure.extension].concat();
    message.truncate(1400);
    let damage = failure.damage.iter().filter(|(_, bits)| *bits != 0).take(4);
    let mut damaged = false;
    for (at, bits) in damage {
        let at = usize::from(*at) % message.len();
        (message[at], damaged) = (message[at] ^ bits, true);
    }
    let sum = oracle::checksum(&[&message]);
    message[2..4].copy_from_slice(&sum);
    let from: Ipv4Addr = match failure.inbound {
        true => (failure.sender | 0x8000_0000).into(),
        false => about.inside.from.0,
    };
    let frame = error_frame(from, quoted.from.0, &message, failure.mended);
    let fate = core.frame(&frame);
    let is_error = matches!(failure.kind, 3 | 11 | 12);
    let header_len = datagram.len() - quoted.transport().len();
    // RFC 4884: the second byte of the rest is the length of a quote that extensions follow.
    let words = usize::from(failure.rest[1]);
    let quote_len = if words == 0 { usize::MAX } else { 4 * words };
    let enough = quote.len().min(quote_len) >= header_len + 8;
    if alive && is_error && enough && !damaged {
        assert!(fate.is_forwarded(), "{fate:?} {failure:?}");
        let expected = if failure.inbound { &about.inside } else { &about.answer };
        quote_is(&fate.sent, &Packet { ttl: 60, ..expected.clone() }, quote.len().min(quote_len));
    }
}

fn error_frame(from: Ipv4Addr, to: Ipv4Addr, message: &[u8], mended: bool) -> Vec<u8> {
    let carrier = Packet::new(Protocol::Echo, (from, 0), (to, 0));
    let datagram = [&carrier.header(message.len()).to_bytes()[..], message].concat();
    let mut frame = framed(EtherType::IPV4, &datagram);
    if mended {
        history::mend(&mut frame);
    }
    frame
}

/// The first `len` bytes of the quote are those of `expected`, checksums included.
fn quote_is(sent: &[u8], expected: &Packet, len: usize) {
    let datagram = Ipv4::read(&sent[14..]).expect("an error");
    let expected = expected.datagram();
    let len = len.min(expected.len());
    assert_eq!(datagram.payload[8..8 + len], expected[..len], "the quote");
}
