//! One core of Krononat on a workbench: frames go in, and each comes back with its verdict.
//!
//! Packets are made, read and checked by etherparse alone; of the system under test only its public
//! interface is used. Whatever is sent through [`Rig::process`] is also held against the counters
//! and against the rule that each frame is either sent or freed.

mod packet;

pub(crate) use packet::{Packet, echo_reply, echo_request, tcp, udp};

use arrayvec::ArrayVec;
use dataplane::burst::{BURST, Burst};
use dataplane::clock::Nanos;
use dataplane::frame::Frame;
use dataplane::identity::{Identity, Mac};
use dataplane::port::pcap::OwnedFrame;
use dataplane::worker::{CoreId, ServerId};
use krononat::config::{Config, CoreConfig, Filtering, Kind, Timers};
use krononat::pipeline::{Held, Pipeline};
use krononat::verdict::{Drop, Refusal, Verdict};
use krononat::worker;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The core's station, and that of its router.
pub(crate) const CORE: [u8; 6] = [0x02, 1, 0, 0, 0, 0];
pub(crate) const GATEWAY: [u8; 6] = [0x02, 9, 0, 0, 0, 0];

/// The core's own address.
pub(crate) const CORE_IP: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 1);

/// 1,024 subscribers with 64 ports each on two external addresses, room for 100 connections, 80 of
/// one subscriber.
pub(crate) fn config() -> Config {
    let core = CoreConfig {
        core: CoreId(0),
        cpu: None,
        identity: Identity {
            mac: Mac(CORE),
            vlan: None,
            ip: CORE_IP,
            asn: None,
            gateway: Mac(GATEWAY),
        },
        subscribers: vec!["100.64.0.0/22".parse().unwrap()],
        external: Some("198.18.0.0/31".parse().unwrap()),
        shards: Vec::new(),
        subscribers6: Vec::new(),
        ip6: None,
        ports: Vec::new(),
    };
    Config {
        server: ServerId(0),
        seed: 1,
        kind: Kind::Krononat,
        store: None,
        port_block: 64,
        connections_max: 100,
        shared_sessions_max: None,
        subscriber_connections_max: Some(80),
        half_open_max: None,
        filtering: Filtering::default(),
        connections6_max: 0,
        setups_per_s_max: None,
        cluster: None,
        timers: Timers::default(),
        cores: vec![core],
    }
}

/// An address and port from text, such as `192.0.2.1:53`.
pub(crate) fn at(text: &str) -> SocketAddrV4 {
    text.parse().unwrap()
}

/// What became of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    /// `forwarded`, `answered`, `held` or the name of the reason it was dropped for.
    pub(crate) verdict: &'static str,
    /// What was sent; nothing if it was dropped.
    pub(crate) sent: Vec<u8>,
}

/// A core and its clock.
pub(crate) struct Rig {
    pub(crate) pipeline: Pipeline,
    pub(crate) now: Nanos,
    /// Frames that were held and then sent, since somebody asked.
    pub(crate) released: Vec<Vec<u8>>,
    held: Held<OwnedFrame>,
    seen: HashMap<&'static str, u64>,
    /// Held frames that were sent, and freed.
    ended: [u64; 2],
}

impl Rig {
    /// The first core of `config`, a minute after the clock's origin.
    pub(crate) fn new(config: &Config) -> Rig {
        config.check().expect("a configuration that could be in a file");
        let pipeline = worker::pipeline(config, &config.cores[0]).expect("a core");
        Rig {
            pipeline,
            now: Nanos(60_000_000_000),
            released: Vec::new(),
            held: Held::new(),
            seen: HashMap::new(),
            ended: [0; 2],
        }
    }

    /// The fate of each frame, in order. They arrive in bursts as large as they get.
    ///
    /// # Panics
    /// When a frame is lost or has other than one verdict, or when the counters disagree.
    pub(crate) fn process(&mut self, frames: &[Vec<u8>]) -> Vec<Fate> {
        let fates: Vec<Fate> = frames.chunks(BURST).flat_map(|chunk| self.burst(chunk)).collect();
        for fate in &fates {
            *self.seen.entry(fate.verdict).or_default() += 1;
        }
        let (counts, seen) = (self.pipeline.counts(), |name| *self.seen.get(name).unwrap_or(&0));
        let [released, given_up] = self.ended;
        let forwarded = seen("forwarded") + released;
        assert_eq!((counts.forwarded, counts.answered), (forwarded, seen("answered")));
        let of_the_held = [Refusal::FragmentOverlap, Refusal::OrphanFragment, Refusal::HoldFull];
        let of_the_held = of_the_held.map(Drop::from);
        for reason in Drop::all().filter(|reason| !of_the_held.contains(reason)) {
            assert_eq!(counts.dropped[reason.index()], seen(reason.name()), "{}", reason.name());
        }
        let dropped = of_the_held.map(|reason| counts.dropped[reason.index()]);
        assert_eq!(dropped.iter().sum::<u64>(), given_up + seen(of_the_held[0].name()));
        assert_eq!(seen("held"), released + given_up + self.held.len() as u64);
        fates
    }

    fn burst(&mut self, frames: &[Vec<u8>]) -> Vec<Fate> {
        let mut burst: Burst<OwnedFrame> = frames.iter().map(|bytes| frame(bytes)).collect();
        // A verdict of an earlier burst must not survive.
        let mut verdicts = ArrayVec::from_iter([Verdict::Answered]);
        let (mut send, mut free) = (Burst::new(), Burst::new());
        self.pipeline.process(
            &mut burst,
            self.now,
            &mut verdicts,
            &mut send,
            &mut free,
            &mut self.held,
        );
        assert_eq!(verdicts.len(), frames.len(), "one verdict a frame");
        let dropped = |verdict: &&Verdict| matches!(verdict, Verdict::Dropped(_));
        let dropped = verdicts.iter().filter(dropped).count();
        let held = verdicts.iter().filter(|verdict| **verdict == Verdict::Held).count();
        assert_eq!(burst.len(), 0);
        assert_eq!(send.len(), frames.len() - dropped - held, "sent, held or freed");
        self.ended[1] += (free.len() - dropped) as u64;
        let mut sent = send.iter().map(|frame| frame.bytes().to_vec());
        let fates = verdicts.iter().map(|verdict| match verdict {
            Verdict::Dropped(reason) => Fate { verdict: reason.name(), sent: Vec::new() },
            Verdict::Forwarded => Fate { verdict: "forwarded", sent: sent.next().unwrap() },
            Verdict::Answered => Fate { verdict: "answered", sent: sent.next().unwrap() },
            Verdict::Held => Fate { verdict: "held", sent: Vec::new() },
        });
        let fates = fates.collect();
        assert!(sent.next().is_none(), "a dropped frame was sent");
        self.release();
        fates
    }

    /// What the core does between bursts with the frames it holds.
    pub(crate) fn release(&mut self) {
        let (mut send, mut free) = (Burst::new(), Burst::new());
        self.pipeline.release(&mut self.held, self.now, &mut send, &mut free);
        self.ended[0] += send.len() as u64;
        self.ended[1] += free.len() as u64;
        self.released.extend(send.iter().map(|frame| frame.bytes().to_vec()));
    }

    /// Frames held now.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }
}

fn frame(bytes: &[u8]) -> OwnedFrame {
    let mut frame = OwnedFrame::new();
    frame.set_len(bytes.len());
    frame.bytes_mut().copy_from_slice(bytes);
    frame
}
