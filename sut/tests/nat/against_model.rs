//! Krononat against a model in ordinary maps: long random lives of a few subscribers, remotes and
//! ports, so that connections collide, are filtered, expire, are re-opened and run out of room.

use crate::model::{Expected, Filtering, Headers, ICMP, Limits, Model, TCP, Timers, UDP};
use crate::rig::{Fate, Packet, Rig, at, echo_reply, echo_request, tcp, udp};
use dataplane::clock::Nanos;
use krononat::config::{self, Config};
use krononat::ports::{Slot, Subscriber};
use proptest::prelude::*;
use proptest::sample::Index;
use std::net::{Ipv4Addr, SocketAddrV4};

/// One packet of a few thousand possible ones.
#[derive(Clone, Copy, Debug)]
struct Draft {
    protocol: u8,
    flags: u8,
    inside: (usize, u16),
    remote: SocketAddrV4,
}

#[derive(Clone, Debug)]
enum Action {
    Outbound(Draft),
    /// Another packet of a connection of the past or present.
    Again {
        of: Index,
        flags: u8,
    },
    /// SYN, SYN-ACK and ACK.
    Handshake(Draft),
    /// As many packets as there are ports, each for a connection of its own.
    Fill {
        who: usize,
        count: u16,
        protocol: u8,
    },
    /// An answer to a connection of the past or present, as it should be or not quite.
    Answer {
        to: Index,
        flags: u8,
        slip: Slip,
    },
    /// Something for a port whose holder is not asked for.
    Stray {
        protocol: u8,
        port: u16,
        flags: u8,
    },
    /// Time passes.
    Wait {
        ms: u64,
    },
    /// A part of a sweep.
    Sweep {
        buckets: usize,
    },
    /// A whole sweep in slices, while time passes.
    Round {
        slices: usize,
        ms: u64,
    },
    /// A long time, with the sweeps that belong to it.
    Silence {
        s: u64,
    },
}

#[derive(Clone, Copy, Debug)]
enum Slip {
    None,
    Remote,
    RemotePort,
    Protocol,
}

const SYN: u8 = 2;
const ACK: u8 = 16;
const FIN: u8 = 1;
const RST: u8 = 4;

fn flags() -> impl Strategy<Value = u8> {
    // Every combination, but the sensible ones often enough to get somewhere.
    prop_oneof![
        1 => any::<u8>(),
        3 => Just(SYN),
        2 => Just(SYN | ACK),
        4 => Just(ACK),
        3 => Just(ACK | FIN),
        1 => Just(RST),
    ]
}

fn draft() -> impl Strategy<Value = Draft> {
    let protocol = prop_oneof![2 => Just(UDP), 4 => Just(TCP), 1 => Just(ICMP)];
    (protocol, flags(), 0usize..4, 0u16..2, 0u8..2).prop_map(
        |(protocol, flags, subscriber, port, host)| {
            let service = if protocol == ICMP { 0 } else { 443 };
            let remote = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1 + host), service);
            Draft { protocol, flags, inside: (subscriber, 5000 + port), remote }
        },
    )
}

fn action() -> impl Strategy<Value = Action> {
    let slip = prop_oneof![
        6 => Just(Slip::None),
        1 => Just(Slip::Remote),
        1 => Just(Slip::RemotePort),
        1 => Just(Slip::Protocol),
    ];
    prop_oneof![
        25 => draft().prop_map(Action::Outbound),
        25 => (any::<Index>(), flags()).prop_map(|(of, flags)| Action::Again { of, flags }),
        6 => draft().prop_map(Action::Handshake),
        1 => (0usize..4, 1u16..80, prop_oneof![Just(UDP), Just(TCP)])
            .prop_map(|(who, count, protocol)| Action::Fill { who, count, protocol }),
        30 => (any::<Index>(), flags(), slip)
            .prop_map(|(to, flags, slip)| Action::Answer { to, flags, slip }),
        2 => (prop_oneof![Just(UDP), Just(TCP), Just(ICMP)], any::<u16>(), flags())
            .prop_map(|(protocol, port, flags)| Action::Stray { protocol, port, flags }),
        8 => (0u64..60_000).prop_map(|ms| Action::Wait { ms }),
        3 => (1usize..4).prop_map(|buckets| Action::Sweep { buckets }),
        3 => (1usize..5, 0u64..2000).prop_map(|(slices, ms)| Action::Round { slices, ms }),
        3 => prop_oneof![1u64..600, 1u64..8000].prop_map(|s| Action::Silence { s }),
    ]
}

fn timers() -> impl Strategy<Value = config::Timers> {
    // The short ones pass within a wait, so that there are remains which no sweep has met.
    let long = (1u64..400_000, 1u64..90_000, 1u64..300_000, 1u64..300_000, 1u64..=8_000_000);
    let short = (1u64..50_000, 1u64..50_000, 1u64..50_000, 1u64..50_000, 1u64..50_000);
    let own = prop_oneof![1 => long, 2 => short].prop_map(
        |(udp_ms, icmp_ms, tcp_half_open_ms, tcp_transitory_ms, tcp_established_ms)| {
            config::Timers {
                udp_ms,
                icmp_ms,
                tcp_half_open_ms,
                tcp_transitory_ms,
                tcp_established_ms,
            }
        },
    );
    prop_oneof![1 => Just(config::Timers::default()), 3 => own]
}

fn setup() -> impl Strategy<Value = Config> {
    // With small blocks two of the four subscribers are on the second external address, with large
    // ones the fourth is.
    let blocks = prop_oneof![
        Just((64, ["100.64.4.0/23", "100.64.0.0/23"])),
        Just((16_384, ["100.64.4.0/31", "100.64.0.0/31"])),
    ];
    let room = prop_oneof![Just(10u32), Just(70), Just(150)];
    let shared = prop_oneof![1 => Just(3u32), 3 => Just(40), 1 => Just(200)];
    let filtering = prop_oneof![
        Just(config::Filtering::EndpointIndependent),
        Just(config::Filtering::AddressDependent),
        Just(config::Filtering::AddressAndPortDependent),
    ];
    let quota = prop_oneof![1 => Just(None), 1 => (1u32..6).prop_map(Some), 1 => Just(Some(30))];
    let half_open = prop_oneof![1 => Just(None), 2 => (1u32..4).prop_map(Some)];
    (blocks, room, shared, (quota, half_open), filtering, timers(), any::<u64>()).prop_map(
        |((port_block, nets), connections_max, shared, most, filtering, timers, seed)| {
            let mut config = Config {
                port_block,
                connections_max,
                shared_sessions_max: Some(shared),
                subscriber_connections_max: most.0,
                half_open_max: most.1,
                filtering,
                timers,
                seed,
                ..crate::rig::config()
            };
            config.cores[0].subscribers = nets.map(|net| net.parse().unwrap()).to_vec();
            config
        },
    )
}

/// Port from which connections are opened only to take up room.
const CROWD: u16 = 6000;

/// Longest time without a sweep.
const UNSWEPT_NS_MAX: u64 = 100_000_000_000;

struct Trial {
    rig: Rig,
    model: Model,
    subscribers: [Ipv4Addr; 4],
    numbers: [u32; 4],
    external: Ipv4Addr,
    /// What has been sent out, and the source it got.
    known: Vec<(Headers, SocketAddrV4)>,
    pending: Vec<(Packet, Headers)>,
    burst: usize,
    swept_ns: u64,
}

impl Trial {
    fn new(config: &Config, start_ns: u64, burst: usize) -> Trial {
        let core = &config.cores[0];
        let mut nets = core.subscribers.clone();
        nets.sort();
        let subscribers: Vec<Ipv4Addr> = nets
            .iter()
            .flat_map(|net| u32::from(net.network())..=u32::from(net.broadcast()))
            .map(Ipv4Addr::from)
            .collect();
        let numbers = if subscribers.len() == 4 { [0, 1, 2, 3] } else { [0, 1007, 1008, 1023] };
        let config::Timers {
            udp_ms,
            icmp_ms,
            tcp_half_open_ms,
            tcp_transitory_ms,
            tcp_established_ms,
        } = config.timers;
        let mut rig = Rig::new(config);
        rig.now = Nanos(start_ns);
        let external = core.external.expect("a core alone").network();
        Trial {
            rig,
            subscribers: numbers.map(|number| subscribers[number as usize]),
            numbers,
            external,
            model: Model::new(Limits {
                subscribers,
                external,
                port_block: config.port_block,
                connections_max: config.connections_max as usize,
                shared_sessions_max: config.room().shared_sessions as usize,
                subscriber_connections_max: config
                    .subscriber_connections_max
                    .unwrap_or(4 * config.port_block)
                    as usize,
                half_open_max: config.half_open_max.unwrap_or(config.port_block / 2) as usize,
                filtering: match config.filtering {
                    config::Filtering::EndpointIndependent => Filtering::Nothing,
                    config::Filtering::AddressDependent => Filtering::Address,
                    config::Filtering::AddressAndPortDependent => Filtering::AddressAndPort,
                },
                timers: Timers {
                    udp_ms,
                    icmp_ms,
                    tcp_half_open_ms,
                    tcp_transitory_ms,
                    tcp_established_ms,
                },
            }),
            known: Vec::new(),
            pending: Vec::new(),
            burst,
            swept_ns: start_ns,
        }
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::Outbound(draft) => {
                let inside = SocketAddrV4::new(self.subscribers[draft.inside.0], draft.inside.1);
                self.send(draft.protocol, inside, draft.remote, draft.flags);
            }
            Action::Again { of, flags } => {
                if let Some((headers, _)) = self.pick(of) {
                    self.send(headers.protocol, headers.source, headers.destination, flags);
                }
            }
            Action::Handshake(draft) => {
                let inside = SocketAddrV4::new(self.subscribers[draft.inside.0], draft.inside.1);
                self.send(TCP, inside, draft.remote, SYN);
                self.flush();
                let opened = |(headers, _): &&(Headers, _)| {
                    (headers.protocol, headers.source, headers.destination)
                        == (TCP, inside, draft.remote)
                };
                if let Some(&(_, external)) = self.known.iter().rev().find(opened) {
                    self.send(TCP, draft.remote, external, SYN | ACK);
                    self.send(TCP, inside, draft.remote, ACK);
                }
            }
            Action::Fill { who, count, protocol } => {
                // Every eighth is one more from the port of the one before.
                for port in 0..count {
                    let inside = SocketAddrV4::new(
                        self.subscribers[who],
                        CROWD + port - u16::from(port % 8 == 7),
                    );
                    let remote = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 9), 7000 + port);
                    self.send(protocol, inside, remote, SYN);
                }
            }
            Action::Answer { to, flags, slip } => self.answer(to, flags, slip),
            Action::Stray { protocol, port, flags } => {
                let remote = at(if protocol == ICMP { "192.0.2.1:0" } else { "192.0.2.1:443" });
                self.send(protocol, remote, SocketAddrV4::new(self.external, port), flags);
            }
            Action::Wait { ms } => {
                self.wait(ms * 1_000_000);
                if self.rig.now.0 - self.swept_ns > UNSWEPT_NS_MAX {
                    self.round(1, 0);
                }
            }
            Action::Sweep { buckets } => {
                self.flush();
                self.sweep(buckets);
            }
            Action::Round { slices, ms } => self.round(slices, ms * 1_000_000),
            Action::Silence { s } => {
                for _ in 0..s / 80 {
                    self.wait(80_000_000_000);
                    self.round(1, 0);
                }
            }
        }
    }

    /// One of the youngest connections, which are the ones that may be alive.
    fn pick(&self, which: Index) -> Option<(Headers, SocketAddrV4)> {
        let youngest = &self.known[self.known.len().saturating_sub(16)..];
        (!youngest.is_empty()).then(|| *which.get(youngest))
    }

    fn answer(&mut self, to: Index, flags: u8, slip: Slip) {
        let Some((headers, external)) = self.pick(to) else { return };
        let (mut protocol, mut remote) = (headers.protocol, headers.destination);
        match slip {
            Slip::None => {}
            Slip::Remote => remote.set_ip(Ipv4Addr::new(192, 0, 2, 77)),
            Slip::RemotePort if protocol != ICMP => remote.set_port(remote.port() + 1),
            Slip::RemotePort => {}
            Slip::Protocol => {
                protocol = if protocol == UDP { TCP } else { UDP };
            }
        }
        self.send(protocol, remote, external, flags);
    }

    fn send(&mut self, protocol: u8, source: SocketAddrV4, destination: SocketAddrV4, flags: u8) {
        let packet = match protocol {
            UDP => udp(source, destination),
            TCP => tcp(source, destination, flags),
            _ if source.port() == 0 => echo_reply(source, destination),
            _ => echo_request(source, destination),
        };
        self.pending.push((packet, Headers { protocol, source, destination, flags }));
        if self.pending.len() >= self.burst {
            self.flush();
        }
    }

    /// Lets the core and the model work on what is pending, and compares.
    fn flush(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        let frames: Vec<Vec<u8>> =
            pending.iter().map(|(packet, _)| packet.clone().sealed().bytes()).collect();
        let fates = self.rig.process(&frames);
        // Within a burst the core deals with ICMP on sight, and of the rest with what is inbound
        // first: it cannot answer what is not sent.
        let mut judged: Vec<_> = pending.into_iter().zip(fates).collect();
        judged.sort_by_key(|((_, headers), _)| {
            (headers.protocol != ICMP).then_some(headers.source.ip().octets()[0] == 100)
        });
        for ((packet, headers), fate) in judged {
            self.judge(packet, &headers, &fate);
        }
        let connections = self.rig.pipeline.connections();
        assert_eq!(connections.len(), self.model.len(), "connections held");
        assert_eq!(connections.opened, self.model.opened, "connections opened");
        assert_eq!(connections.expired, self.model.expired, "connections expired");
        for (address, number) in self.subscribers.into_iter().zip(self.numbers) {
            let (held, half_open) = connections.held_by(Subscriber(number));
            let counted = (held as usize, half_open as usize);
            assert_eq!(counted, self.model.held_by(address), "held by {address}, and half-open");
        }
    }

    fn judge(&mut self, packet: Packet, headers: &Headers, fate: &Fate) {
        let now_ns = self.rig.now.0;
        let expected = self.model.receive(headers, now_ns);
        let translated = match expected {
            Expected::Source(external) => {
                let of = |(known, at): &(Headers, _)| {
                    (known.protocol, known.source, known.destination, *at)
                        == (headers.protocol, headers.source, headers.destination, external)
                };
                if headers.source.port() < CROWD && !self.known.iter().any(of) {
                    self.known.push((*headers, external));
                }
                packet.from(external)
            }
            Expected::Destination(inside) => packet.to(inside),
            Expected::FreshSource => {
                assert_eq!(fate.verdict, "forwarded", "{headers:?} opens a connection");
                let external = Packet::read(&fate.sent).source();
                self.model.learn(headers, external, now_ns);
                if headers.source.port() < CROWD {
                    self.known.push((*headers, external));
                }
                packet.from(external)
            }
            Expected::Refused(reason) => {
                assert_eq!(fate, &Fate { verdict: reason, sent: Vec::new() }, "{headers:?}");
                return;
            }
        };
        let sent = translated.routed().sealed().bytes();
        assert_eq!(fate, &Fate { verdict: "forwarded", sent }, "{headers:?}: {expected:?}");
    }

    fn wait(&mut self, ns: u64) {
        self.flush();
        self.rig.now.0 += ns;
    }

    fn sweep(&mut self, buckets: usize) {
        self.rig.pipeline.sweep(self.rig.now, buckets);
        let (connections, base) = (self.rig.pipeline.connections(), u32::from(self.external));
        let slot = |external: SocketAddrV4| {
            let address = (u32::from(*external.ip()) - base) as u16;
            Slot::new(address, external.port())
        };
        self.model.swept(
            self.rig.now.0,
            |external, remote| connections.state(slot(external), remote.into()).is_some(),
            |external| connections.is_mapped(slot(external)),
        );
    }

    /// A whole sweep: what was over when it began is gone when it ends.
    fn round(&mut self, slices: usize, ns: u64) {
        self.flush();
        let due = self.model.remains(self.rig.now.0);
        let buckets = self.rig.pipeline.connections().buckets();
        for _ in 0..slices {
            self.sweep(buckets.div_ceil(slices));
            self.rig.now.0 += ns / slices as u64;
        }
        let left = self.model.remains(self.rig.now.0);
        for external in due {
            assert!(!left.contains(&external), "{external:?} is still held after a sweep");
        }
        self.swept_ns = self.rig.now.0;
        self.flush();
    }
}

#[test]
fn a_closed_connection_is_not_held_for_as_long_as_an_established_one() {
    let config = crate::rig::config();
    let mut trial = Trial::new(&config, 0, 1);
    let (inside, remote) = (at("100.64.0.0:5000"), at("192.0.2.1:443"));
    trial.act(&Action::Handshake(Draft { protocol: TCP, flags: 0, inside: (0, 5000), remote }));
    // The sweep finds it established, and may believe that there is time.
    trial.act(&Action::Silence { s: 320 });
    assert_eq!(trial.model.len(), 1);
    trial.send(TCP, inside, remote, ACK | RST);
    trial.act(&Action::Silence { s: 320 });
    assert_eq!(trial.rig.pipeline.connections().len(), 0);
}

proptest! {
    #[test]
    fn a_nat_does_what_its_model_does(
        config in setup(),
        // The 16-bit ticks of deadlines come round every 16,384 s.
        start_ms in 0u64..40_000_000,
        burst in 1usize..=32,
        actions in prop::collection::vec(action(), 1..200),
    ) {
        let mut trial = Trial::new(&config, start_ms * 1_000_000, burst);
        for action in &actions {
            trial.act(action);
        }
        trial.act(&Action::Silence { s: 8_160 });
        prop_assert!(trial.rig.pipeline.connections().is_empty(), "all silent for 8,160 s");
        // A port that several remotes shared is free once a sweep has seen that none is left.
        trial.act(&Action::Silence { s: 400 });
        prop_assert!(trial.model.is_unmapped(), "a port is held for nobody");
    }
}
