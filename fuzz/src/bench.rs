//! One core of Krononat on a workbench.

use crate::oracle;
use arrayvec::ArrayVec;
use dataplane::burst::{BURST, Burst};
use dataplane::clock::Nanos;
use dataplane::frame::{CAPACITY, Frame};
use dataplane::identity::{Identity, Mac};
use dataplane::port::pcap::OwnedFrame;
use dataplane::worker::{CoreId, ServerId};
use krononat::config::{Config, CoreConfig, Filtering, Kind, Timers};
use krononat::pipeline::{Held, Pipeline};
use krononat::verdict::{Drop, Refusal, Verdict};
use krononat::worker;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Once;

/// The core's station, and that of its router.
pub const CORE: [u8; 6] = [0x02, 1, 0, 0, 0, 0];
/// See [`CORE`].
pub const GATEWAY: [u8; 6] = [0x02, 9, 0, 0, 0, 0];
/// The core's own addresses.
pub const OWN: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 1);
/// See [`OWN`].
pub const OWN6: Ipv6Addr = Ipv6Addr::new(0x2001, 2, 0, 0xff, 0, 0, 0x12, 0x3456);
/// The first of 256 subscribers: 100.64.0.0/24.
pub const SUBSCRIBER: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 0);
/// The only external address.
pub const EXTERNAL: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
/// The first address inside: 2001:2:0:1::/64.
pub const INSIDE6: Ipv6Addr = Ipv6Addr::new(0x2001, 2, 0, 1, 0, 0, 0, 0);

/// Time between two sweeps of everything: the worker's.
const CHORE: Nanos = Nanos(2_000_000_000);
/// Longer than anything is remembered: a fragment of IPv6, 60 s.
const OBLIVION: Nanos = Nanos(80_000_000_000);

/// What became of a frame when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// The core's decision.
    pub verdict: Verdict,
    /// What was sent; nothing if it was dropped.
    pub sent: Vec<u8>,
}

impl Fate {
    /// Whether the frame was sent on.
    pub fn is_forwarded(&self) -> bool {
        self.verdict == Verdict::Forwarded
    }
}

/// A core, its clock, and what it must have counted.
pub struct Core {
    pipeline: Pipeline,
    now: Nanos,
    /// When everything was swept last.
    swept: Nanos,
    forwarded: u64,
    answered: u64,
    dropped: [u64; Drop::COUNT],
    held: Held<OwnedFrame>,
    /// What is held, as it came.
    waiting: Vec<Vec<u8>>,
    /// What was held and then sent, since somebody asked.
    pub released: Vec<Vec<u8>>,
}

/// 256 subscribers with 64 ports each on one external address; timers of seconds, so that waiting
/// is cheap, and little room, so that it is soon used up.
pub fn config(filtering: Filtering) -> Config {
    let identity =
        Identity { mac: Mac(CORE), vlan: None, ip: OWN, asn: None, gateway: Mac(GATEWAY) };
    let core = CoreConfig {
        core: CoreId(0),
        cpu: None,
        identity,
        subscribers: vec![ipnet(SUBSCRIBER, 24)],
        external: Some(ipnet(EXTERNAL, 32)),
        shards: Vec::new(),
        subscribers6: vec![format!("{INSIDE6}/64").parse().expect("a prefix")],
        ip6: Some(OWN6),
        ports: Vec::new(),
    };
    Config {
        server: ServerId(0),
        seed: 1,
        kind: Kind::Krononat,
        store: None,
        port_block: 64,
        connections_max: 48,
        shared_sessions_max: Some(16),
        subscriber_connections_max: Some(24),
        half_open_max: Some(8),
        filtering,
        connections6_max: 32,
        setups_per_s_max: None,
        cluster: None,
        timers: Timers {
            udp_ms: 5_000,
            icmp_ms: 1_000,
            tcp_half_open_ms: 3_000,
            tcp_transitory_ms: 4_000,
            tcp_established_ms: 10_000,
        },
        cores: vec![core],
    }
}

fn ipnet<N: std::str::FromStr<Err: std::fmt::Debug>>(address: Ipv4Addr, len: u8) -> N {
    format!("{address}/{len}").parse().expect("a prefix")
}

/// The pipeline of the only core of `config`.
///
/// # Panics
/// When it cannot be made.
pub fn pipeline(config: &Config) -> Pipeline {
    // A core is made for every input: huge pages would have it clear tens of megabytes.
    static SMALL_PAGES: Once = Once::new();
    SMALL_PAGES.call_once(|| nix::sys::prctl::set_thp_disable(true).expect("a Linux kernel"));
    config.check().expect("a configuration that could be in a file");
    worker::pipeline(config, &config.cores[0]).expect("a core")
}

impl Core {
    /// A core without connections, a minute after the clock's origin.
    pub fn new(filtering: Filtering) -> Core {
        let pipeline = pipeline(&config(filtering));
        let now = Nanos(60_000_000_000);
        Core {
            pipeline,
            now,
            swept: now,
            forwarded: 0,
            answered: 0,
            dropped: [0; Drop::COUNT],
            held: Held::new(),
            waiting: Vec::new(),
            released: Vec::new(),
        }
    }

    /// Now.
    pub fn now(&self) -> Nanos {
        self.now
    }

    /// The fate of one frame.
    pub fn frame(&mut self, bytes: &[u8]) -> Fate {
        self.burst(&[bytes.to_vec()]).remove(0)
    }

    /// The fates of up to 32 frames that arrive together.
    ///
    /// # Panics
    /// When a frame is lost or has other than one verdict, when the counters disagree, or when what
    /// is sent is not what may become of the frame.
    pub fn burst(&mut self, frames: &[Vec<u8>]) -> Vec<Fate> {
        let mut burst: Burst<OwnedFrame> = frames.iter().map(|bytes| owned(bytes)).collect();
        let (mut verdicts, mut send, mut free) = (ArrayVec::new(), Burst::new(), Burst::new());
        let (now, held) = (self.now, &mut self.held);
        self.pipeline.process(&mut burst, now, &mut verdicts, &mut send, &mut free, held);
        assert_eq!(verdicts.len(), frames.len(), "one verdict a frame");
        assert!(burst.is_empty(), "a frame is left over");
        let mut sent = send.iter().map(|frame| frame.bytes().to_vec());
        let mut fates = Vec::with_capacity(frames.len());
        let mut dropped = Vec::new();
        for (frame, &verdict) in frames.iter().zip(&verdicts) {
            let sent = match verdict {
                Verdict::Dropped(reason) => {
                    self.dropped[reason.index()] += 1;
                    dropped.push(&frame[..frame.len().min(CAPACITY)]);
                    Vec::new()
                }
                Verdict::Forwarded => {
                    self.forwarded += 1;
                    sent.next().expect("a frame that was forwarded")
                }
                Verdict::Answered => {
                    self.answered += 1;
                    sent.next().expect("a frame that was answered")
                }
                Verdict::Held => {
                    self.waiting.push(frame[..frame.len().min(CAPACITY)].to_vec());
                    Vec::new()
                }
            };
            oracle::check(frame, verdict, &sent);
            fates.push(Fate { verdict, sent });
        }
        assert_eq!(sent.next(), None, "sent or freed");
        let mut freed: Vec<&[u8]> = free.iter().map(Frame::bytes).collect();
        for frame in dropped {
            let was = freed.iter().position(|freed| *freed == frame);
            freed.remove(was.expect("a frame that was dropped, unchanged"));
        }
        // The others made room for some that wait.
        self.dropped[Drop::from(Refusal::HoldFull).index()] += freed.len() as u64;
        for frame in freed {
            let was = self.waiting.iter().position(|waiting| waiting == frame);
            self.waiting.remove(was.expect("a frame that was held, unchanged"));
        }
        self.release(self.now);
        self.add_up();
        fates
    }

    /// What a worker does with held frames, after each burst and in between.
    fn release(&mut self, now: Nanos) {
        let (mut send, mut free) = (Burst::new(), Burst::new());
        self.pipeline.release(&mut self.held, now, &mut send, &mut free);
        self.forwarded += send.len() as u64;
        let overlaps = Drop::from(Refusal::FragmentOverlap).index();
        let overlapping = self.pipeline.counts().dropped[overlaps] - self.dropped[overlaps];
        self.dropped[overlaps] += overlapping;
        let orphans = free.len() as u64 - overlapping;
        self.dropped[Drop::from(Refusal::OrphanFragment).index()] += orphans;
        for frame in &free {
            let was = self.waiting.iter().position(|waiting| waiting == frame.bytes());
            self.waiting.remove(was.expect("a frame that was held, unchanged"));
        }
        for frame in &send {
            let sent = frame.bytes();
            let was = self.waiting.iter().position(|waiting| oracle::may_be(waiting, sent));
            let was = self.waiting.remove(was.expect("a frame that was held"));
            oracle::check(&was, Verdict::Forwarded, sent);
            self.released.push(sent.to_vec());
        }
        assert_eq!(self.waiting.len(), self.held.len());
    }

    fn add_up(&self) {
        let counts = self.pipeline.counts();
        assert_eq!((counts.forwarded, counts.answered), (self.forwarded, self.answered));
        assert_eq!(counts.dropped, self.dropped);
        let (held, six) = (self.pipeline.connections(), self.pipeline.firewall6());
        assert!(held.len() <= 48 + 16, "{} connections", held.len());
        let six = six.expect("a firewall for IPv6").connections();
        assert!(six.len() <= 64, "{} connections of IPv6", six.len());
    }

    /// Lets time pass, and does what a worker does meanwhile. `also` is told when.
    pub fn wait(&mut self, time: Nanos, mut also: impl FnMut(Nanos)) {
        self.now = self.now + time;
        while self.now.since(self.swept) >= CHORE {
            self.swept = self.swept + CHORE;
            self.pipeline.sweep(self.swept, self.pipeline.connections().buckets());
            self.release(self.swept);
            also(self.swept);
        }
    }

    /// Frames seen, and how many of them were sent on, answered and dropped.
    pub fn totals(&self) -> [u64; 3] {
        [self.forwarded, self.answered, self.dropped.iter().sum()]
    }

    /// Waits until everything must be forgotten.
    ///
    /// # Panics
    /// When it is not.
    pub fn finish(mut self) {
        self.wait(OBLIVION, |_| {});
        assert!(self.held.is_empty(), "fragments are held for ever");
        assert!(self.pipeline.connections().is_empty(), "connections outlive their timers");
        let six = self.pipeline.firewall6().expect("a firewall for IPv6").connections();
        assert_eq!(six.len(), 0, "connections of IPv6 outlive their timers");
    }
}

/// A frame of its own, cut to what a buffer holds.
pub fn owned(bytes: &[u8]) -> OwnedFrame {
    let bytes = &bytes[..bytes.len().min(CAPACITY)];
    let mut frame = OwnedFrame::new();
    frame.set_len(bytes.len());
    frame.bytes_mut().copy_from_slice(bytes);
    frame
}

const _: () = assert!(BURST == 32);
