//! IPv6 through the firewall: any chain of extension headers before any transport, errors about any
//! of it, fragments, and time. Nothing from outside passes before the inside has spoken, but for
//! what RFC 6092 admits.

#![no_main]

use arbitrary::Arbitrary;
use dataplane::clock::Nanos;
use krono_fuzz::packet::{datagram6, frame6, inside6, outside6};
use krono_fuzz::{Core, bench, history};
use krononat::config::Filtering;
use libfuzzer_sys::fuzz_target;
use std::collections::HashSet;
use std::net::Ipv6Addr;

#[derive(Arbitrary, Debug)]
struct Step {
    outbound: bool,
    /// Hosts; the last few are the core, a group and nobody.
    from: u8,
    to: u8,
    hop_limit: u8,
    extensions: Vec<Extension>,
    body: Body,
    /// Sent as what an ICMP error quotes, from the other side.
    quoted: Option<(u8, u8)>,
    damage: Option<(u8, u8)>,
    together: bool,
    log2_ns: u8,
}

#[derive(Arbitrary, Debug)]
struct Extension {
    kind: u8,
    content: Vec<u8>,
    fragment: (u16, u8),
}

#[derive(Arbitrary, Debug)]
enum Body {
    Udp { from: u8, to: u8 },
    Ike,
    Tcp { from: u8, to: u8, flags: u8 },
    Icmp { kind: u8, code: u8, rest: [u8; 4], data: Vec<u8> },
    Solicitation { options: Vec<u8> },
    Other { protocol: u8, data: Vec<u8> },
}

const FRAGMENT: u8 = 44;
/// Next headers: hop by hop, routing, fragment, AH, options, mobility, HIP, shim6.
const EXTENSIONS: [u8; 8] = [0, 43, FRAGMENT, 51, 60, 135, 139, 140];

fuzz_target!(|steps: Vec<Step>| {
    let mut core = Core::new(Filtering::AddressAndPortDependent);
    let (mut spoken, mut burst) = (HashSet::new(), Vec::new());
    for step in steps.iter().take(48) {
        if step.log2_ns > 0 {
            flush(&mut core, &mut burst, &mut spoken);
            core.wait(Nanos(1 << (step.log2_ns % 37)), |_| {});
        }
        burst.push(frame(step));
        if !step.together || burst.len() == 32 {
            flush(&mut core, &mut burst, &mut spoken);
        }
    }
    flush(&mut core, &mut burst, &mut spoken);
    core.finish();
});

type Pair = [[u8; 16]; 2];

/// The ends of a frame: inside, outside; and whether it goes out.
fn ends(frame: &[u8]) -> (Pair, bool) {
    let [from, to] = [22, 38].map(|at| frame[at..at + 16].try_into().expect("an address"));
    let outbound = frame[22..30] == bench::INSIDE6.octets()[..8];
    (if outbound { [from, to] } else { [to, from] }, outbound)
}

fn flush(core: &mut Core, burst: &mut Vec<Vec<u8>>, spoken: &mut HashSet<Pair>) {
    let fates = core.burst(burst);
    for (frame, _) in burst.iter().zip(&fates).filter(|(_, fate)| fate.is_forwarded()) {
        let (pair, outbound) = ends(frame);
        // Told by bytes anywhere, so that the oracle reads no chain of headers.
        let admitted = [50, 51, 139].iter().any(|kind| frame[20..].contains(kind));
        let ike = frame[54..].windows(2).any(|port| port == 500_u16.to_be_bytes());
        let error = frame[54..].iter().any(|kind| (1..=4).contains(kind)) && frame.len() >= 100;
        assert!(outbound || spoken.contains(&pair) || admitted || ike || error, "{frame:02x?}");
        spoken.insert(pair);
    }
    burst.clear();
}

fn address(host: u8, inside: bool) -> Ipv6Addr {
    match host {
        253 => bench::OWN6,
        254 => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff12, 0x3456),
        255 => Ipv6Addr::UNSPECIFIED,
        host if inside => inside6(host % 4),
        host => outside6(host % 4),
    }
}

fn frame(step: &Step) -> Vec<u8> {
    let (from, to) = (address(step.from, step.outbound), address(step.to, !step.outbound));
    let (next, rest) = chain(step, from, to);
    let mut frame = match step.quoted {
        None => frame6(from, to, step.hop_limit, next, &rest),
        Some((kind, code)) => {
            let quote = datagram6(from, to, step.hop_limit, next, &rest);
            let head = [kind % 6, code, 0, 0, 0, 0, 5, 0];
            let message = [&head[..], &quote[..quote.len().min(1232)]].concat();
            frame6(to, from, 64, 58, &message)
        }
    };
    if let Some((at, bits)) = step.damage {
        let at = 14 + usize::from(at) % (frame.len() - 14);
        frame[at] ^= bits;
    }
    history::mend(&mut frame);
    frame.truncate(2048);
    frame
}

/// The first next header, and everything behind the IPv6 header.
fn chain(step: &Step, from: Ipv6Addr, to: Ipv6Addr) -> (u8, Vec<u8>) {
    let (mut next, mut rest) = body(&step.body, from, to);
    for extension in step.extensions.iter().take(10).rev() {
        let kind = EXTENSIONS[usize::from(extension.kind) % EXTENSIONS.len()];
        let mut header = vec![next, 0];
        header.extend(extension.content.iter().take(64));
        match kind {
            FRAGMENT => {
                header = vec![next, 0];
                header.extend(extension.fragment.0.to_be_bytes());
                header.extend([0, 0, 0, extension.fragment.1 % 4]);
            }
            51 => {
                header.resize(header.len().next_multiple_of(8).max(16), 0);
                header[1] = (header.len() / 4 - 2) as u8;
            }
            _ => {
                header.resize(header.len().next_multiple_of(8), 0);
                header[1] = (header.len() / 8 - 1) as u8;
            }
        }
        rest.splice(..0, header);
        next = kind;
    }
    (next, rest)
}

fn body(body: &Body, from: Ipv6Addr, to: Ipv6Addr) -> (u8, Vec<u8>) {
    match body {
        Body::Udp { from, to } => (17, vec![0, from % 4, 0, to % 4, 0, 12, 0, 1, 1, 2, 3, 4]),
        Body::Ike => (17, [500_u16.to_be_bytes(), 500_u16.to_be_bytes(), [0, 8], [0, 1]].concat()),
        Body::Tcp { from, to, flags } => {
            let mut segment = vec![0; 20];
            segment[..4].copy_from_slice(&[0, from % 4, 0, to % 4]);
            segment[12..14].copy_from_slice(&[5 << 4, *flags]);
            (6, segment)
        }
        Body::Icmp { kind, code, rest, data } => {
            let head = [&[*kind, *code, 0, 0], &rest[..]].concat();
            (58, [&head[..], &data[..data.len().min(1024)]].concat())
        }
        Body::Solicitation { options } => {
            let target = if from.is_unspecified() { bench::OWN6 } else { to };
            let target = if target.is_multicast() { bench::OWN6 } else { target };
            let head = [&[135, 0, 0, 0, 0, 0, 0, 0], &target.octets()[..]].concat();
            (58, [&head[..], &options[..options.len().min(64)]].concat())
        }
        Body::Other { protocol, data } => (*protocol, data[..data.len().min(1024)].to_vec()),
    }
}
