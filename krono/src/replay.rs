//! `krono replay`: a capture through the SUT, in the capture's own time or at a given rate.
//!
//! One core of Krononat receives the frames of a pcap or pcapng file at the instants they were
//! captured, so that timers run as they would have, or evenly at a rate; with other addresses and
//! several times, if asked. What it sends can be written to another capture. In a capture from the
//! inside of another NAT replies are addressed to subscribers directly and are refused as foreign,
//! since only the SUT's own external addresses lead back in.
//!
//! It measures nothing: see `krono run` for rates.

mod address;
pub(crate) mod rewrite;

use crate::cli::{self, Format};
use crate::exit::{Answer, Refusal};
use analysis::figure;
use arrayvec::ArrayVec;
use dataplane::burst::Burst;
use dataplane::clock::Nanos;
use dataplane::frame::Frame;
use dataplane::identity::{Identity, Mac};
use dataplane::port::Port;
use dataplane::port::pcap::{CaptureError, Pcap, PcapCounts};
use dataplane::wire::{self, Fragment, Parsed, Transport};
use dataplane::worker::{CoreId, ServerId};
use format::unit::PacketRate;
use krononat::config::{Config, CoreConfig, Filtering, Kind, Timers};
use krononat::pipeline::{Held, Pipeline};
use krononat::verdict::{Drop, Verdict};
use rewrite::Rewrite;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::Path;

/// Connections the core has room for.
const CONNECTIONS_MAX: u32 = 1 << 20;
/// Capture time between two sweeps of the table: timers are honoured to within a second.
const SWEEP_EVERY: Nanos = Nanos::SECOND;
/// Sweeps of one gap in a capture; a connection is forgotten after at most 7,440 of them.
const SWEEPS_MAX: u64 = 10_000;
/// The core's own address: answers echo requests. Of a range for documentation (RFC 5737), so that
/// no capture is likely to hold it.
const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// Replays a capture.
///
/// # Errors
/// [`Refusal::Usage`] for a file that is no capture, an output that exists, or addresses that do
/// not fit; a failure to write otherwise.
pub fn replay(args: &cli::Replay) -> anyhow::Result<Answer> {
    let (config, rewrite) = config(args)?;
    let core = &config.cores[0];
    let mut port = Pcap::open(&args.capture).map_err(refuse)?;
    if let Some(out) = &args.out {
        if out.exists() {
            let text = format!("{}: exists; name a new file for --out", out.display());
            return Err(Refusal::Usage(text).into());
        }
        port.record(out).map_err(refuse)?;
    }
    let pipeline = krononat::worker::pipeline(&config, core)?.promiscuous();
    let verbose = args.verbose && args.format == Format::Text;
    let mut replay = Replay::new(pipeline, Pace::new(args.rate)?, rewrite, verbose);
    replay.run(&mut port);
    let counts = port.finish().map_err(refuse)?;
    let report = replay.report(core, counts);
    Ok(Answer::good(match args.format {
        Format::Text => replay.lines + &report.text(args.out.as_deref()),
        Format::Json => serde_json::to_string_pretty(&report)? + "\n",
    }))
}

fn refuse(error: CaptureError) -> anyhow::Error {
    match error {
        CaptureError::Write { .. } => error.into(),
        other => Refusal::Usage(other.to_string()).into(),
    }
}

/// One core with the addresses that were named, or that the capture suggests.
fn config(args: &cli::Replay) -> Result<(Config, Rewrite), Refusal> {
    let mut subscribers = match &args.subscribers[..] {
        [] => address::private_sources(&args.capture, &args.maps)?,
        named => named.to_vec(),
    };
    let rewrite = Rewrite::new(&args.maps, &subscribers, args.copies)?;
    subscribers.extend(rewrite.copied());
    let (external, port_block) = address::external(&subscribers, args.external)?;
    let config = Config {
        server: ServerId(0),
        seed: 1,
        kind: Kind::Krononat,
        store: None,
        port_block,
        connections_max: CONNECTIONS_MAX,
        shared_sessions_max: None,
        subscriber_connections_max: None,
        half_open_max: None,
        filtering: Filtering::default(),
        connections6_max: 0,
        setups_per_s_max: None,
        cluster: None,
        timers: Timers::default(),
        cores: vec![CoreConfig {
            core: CoreId(0),
            cpu: None,
            identity: Identity {
                mac: Mac::of(1, 0, 0),
                vlan: None,
                ip: OWN,
                asn: None,
                gateway: Mac::of(9, 0, 0),
            },
            subscribers,
            external: Some(external),
            shards: Vec::new(),
            subscribers6: Vec::new(),
            ip6: None,
            ports: Vec::new(),
        }],
    };
    config.check().map_err(|error| Refusal::Usage(error.to_string()))?;
    Ok((config, rewrite))
}

/// When packets are sent.
#[derive(Clone, Copy, Debug)]
enum Pace {
    /// As they were captured.
    Captured,
    /// So many a second, evenly, copies included.
    Pps(f64),
}

impl Pace {
    fn new(rate: Option<PacketRate>) -> Result<Pace, Refusal> {
        match rate {
            None => Ok(Pace::Captured),
            Some(PacketRate::Pps(pps)) if pps > 0.0 => Ok(Pace::Pps(pps)),
            Some(other) => Err(Refusal::Usage(format!(
                "--rate: `{other}`; expected packets per second above 0, such as \"10kpps\""
            ))),
        }
    }
}

/// Frames of a capture.
type PcapFrame = <Pcap as Port>::Frame;

/// A core and what it made of the packets so far.
struct Replay {
    pipeline: Pipeline,
    pace: Pace,
    rewrite: Rewrite,
    verbose: bool,
    /// When the first packet was captured.
    first: Option<Nanos>,
    now: Nanos,
    swept: Nanos,
    received: u64,
    held: Held<PcapFrame>,
    lines: String,
}

impl Replay {
    fn new(pipeline: Pipeline, pace: Pace, rewrite: Rewrite, verbose: bool) -> Replay {
        Replay {
            pipeline,
            pace,
            rewrite,
            verbose,
            first: None,
            now: Nanos(0),
            swept: Nanos(0),
            received: 0,
            held: Held::new(),
            lines: String::new(),
        }
    }

    fn run(&mut self, port: &mut Pcap) {
        while let Some(captured) = port.next_timestamp() {
            let first = *self.first.get_or_insert(captured);
            port.advance(captured);
            let mut burst = Burst::new();
            port.rx(&mut burst);
            match self.pace {
                Pace::Captured => {
                    // Captures of several interfaces go back a little now and then; timers do not.
                    self.now = self.now.max(captured.since(first));
                    self.copies(port, burst, None);
                }
                Pace::Pps(pps) => {
                    for frame in burst {
                        self.copies(port, Burst::from_iter([frame]), Some((first, pps)));
                    }
                }
            }
        }
        // A second later nothing waits any more.
        let last = self.now;
        self.now = last + Nanos::SECOND;
        self.release(port);
        self.now = last;
    }

    /// Ends what has expired since the last packet.
    fn sweep(&mut self) {
        let buckets = self.pipeline.connections().buckets();
        for _ in 0..SWEEPS_MAX {
            if self.now.since(self.swept) < SWEEP_EVERY {
                return;
            }
            self.swept = self.swept + SWEEP_EVERY;
            if self.pipeline.connections().is_empty() {
                break;
            }
            self.pipeline.sweep(self.swept, buckets);
        }
        self.swept = self.now;
    }

    /// Sends a burst as often as asked, each time with the addresses of its copy; evenly from an instant
    /// on where there is a rate.
    fn copies(&mut self, port: &mut Pcap, mut burst: Burst<PcapFrame>, rate: Option<(Nanos, f64)>) {
        for copy in 0..self.rewrite.copies() {
            if let Some((first, pps)) = rate {
                self.now = Nanos((self.received as f64 / pps * 1e9) as u64);
                port.advance(first + self.now);
            }
            self.sweep();
            if self.rewrite.is_nothing() {
                return self.burst(port, burst);
            }
            let mut copied = Burst::new();
            port.alloc(&mut copied, burst.len());
            assert_eq!(copied.len(), burst.len(), "the pool is larger than what can be held back");
            for (from, to) in burst.iter().zip(&mut copied) {
                to.set_len(from.len());
                to.bytes_mut().copy_from_slice(from.bytes());
                self.rewrite.apply(to.bytes_mut(), copy);
            }
            self.burst(port, copied);
        }
        port.free(&mut burst);
    }

    fn burst(&mut self, port: &mut Pcap, mut burst: Burst<PcapFrame>) {
        let (mut send, mut free) = (Burst::new(), Burst::new());
        let before: Vec<String> = match self.verbose {
            true => burst.iter().map(|frame| describe(frame.bytes())).collect(),
            false => Vec::new(),
        };
        let mut verdicts = ArrayVec::new();
        self.pipeline.process(
            &mut burst,
            self.now,
            &mut verdicts,
            &mut send,
            &mut free,
            &mut self.held,
        );
        let mut sent = send.iter();
        for (at, verdict) in verdicts.iter().enumerate() {
            self.received += 1;
            let (words, leaves) = match verdict {
                Verdict::Forwarded => ("forwarded as", sent.next()),
                Verdict::Answered => ("answered by", sent.next()),
                Verdict::Held => ("held until its first fragment comes", None),
                Verdict::Dropped(reason) => (reason.name(), None),
            };
            if let Some(packet) = before.get(at) {
                let (number, at_s) = (self.received, self.now.as_secs_f64());
                let line = format!("{number:>7}  {at_s:>12.6}  {packet}  {words}");
                let after = leaves.map(|frame| format!(" {}", describe(frame.bytes())));
                let _ = writeln!(self.lines, "{line}{}", after.unwrap_or_default());
            }
        }
        port.tx(&mut send);
        port.free(&mut free);
        self.release(port);
    }

    /// What waited for what has come, or too long.
    fn release(&mut self, port: &mut Pcap) {
        let (mut send, mut free) = (Burst::new(), Burst::new());
        self.pipeline.release(&mut self.held, self.now, &mut send, &mut free);
        for frame in send.iter().filter(|_| self.verbose) {
            let (at_s, after) = (self.now.as_secs_f64(), describe(frame.bytes()));
            let _ = writeln!(
                self.lines,
                "{:>7}  {at_s:>12.6}  held until now, forwarded as {after}",
                ""
            );
        }
        port.tx(&mut send);
        port.free(&mut free);
    }

    fn report(&self, core: &CoreConfig, counts: PcapCounts) -> Report {
        let (connections, done) = (self.pipeline.connections(), self.pipeline.counts());
        let dropped = Drop::all().map(|reason| (reason.name(), done.dropped[reason.index()]));
        Report {
            schema: "krono.replay/1",
            subscribers: core.subscribers.iter().map(ToString::to_string).collect(),
            external: core.external.map_or_else(String::new, |net| net.to_string()),
            seconds: self.now.as_secs_f64(),
            copies: self.rewrite.copies(),
            packets: self.received,
            forwarded: done.forwarded,
            answered: done.answered,
            dropped: dropped.filter(|(_, count)| *count > 0).collect(),
            oversized: counts.oversized,
            truncated: counts.truncated,
            connections_opened: connections.opened,
            connections_held: connections.len() as u64,
        }
    }
}

/// What became of the packets.
#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    subscribers: Vec<String>,
    external: String,
    /// From the first packet to the last.
    seconds: f64,
    /// How often each packet of the capture was sent.
    copies: u32,
    packets: u64,
    forwarded: u64,
    answered: u64,
    dropped: BTreeMap<&'static str, u64>,
    /// Left out: longer than a buffer.
    oversized: u64,
    /// Filled up with zeros: the capture kept their first bytes only.
    truncated: u64,
    connections_opened: u64,
    connections_held: u64,
}

impl Report {
    fn text(&self, out: Option<&Path>) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<12}  {value}");
        };
        line("subscribers", self.subscribers.join(", "));
        line("external", self.external.clone());
        let seconds = figure::significant(self.seconds, 4);
        let copies = match self.copies {
            1 => String::new(),
            copies => format!(", each {copies} times"),
        };
        line("packets", format!("{} in {seconds} s{copies}", figure::count(self.packets)));
        line("forwarded", figure::count(self.forwarded));
        line("answered", figure::count(self.answered));
        line("dropped", figure::count(self.dropped.values().sum()));
        for (reason, count) in &self.dropped {
            line("", format!("{} {reason}", figure::count(*count)));
        }
        if self.oversized + self.truncated > 0 {
            let [long, cut] = [self.oversized, self.truncated].map(figure::count);
            line(
                "capture",
                format!("{long} packets too long, left out; {cut} cut off, zeros added"),
            );
        }
        let [opened, held] = [self.connections_opened, self.connections_held].map(figure::count);
        line("connections", format!("{opened} opened, {held} held at the end"));
        if let Some(out) = out {
            line("written", out.display().to_string());
        }
        text
    }
}

/// A packet in a few words: `udp 10.0.0.1:5000 > 1.1.1.1:53`.
fn describe(frame: &[u8]) -> String {
    let bytes = frame.len();
    let datagram = match wire::parse(frame) {
        Ok(Parsed::Ipv4(datagram)) => datagram,
        Ok(Parsed::Arp { .. }) => return format!("arp, {bytes} bytes"),
        Ok(_) => return format!("other, {bytes} bytes"),
        Err(_) => return format!("unreadable, {bytes} bytes"),
    };
    let (from, to) = (datagram.source, datagram.destination);
    match datagram.transport {
        Transport::Udp { source, destination, .. } => {
            format!("udp {from}:{source} > {to}:{destination}")
        }
        Transport::Tcp { source, destination, .. } => {
            format!("tcp {from}:{source} > {to}:{destination}")
        }
        Transport::Icmp { id, .. } => format!("icmp {from} > {to} id {id}"),
        Transport::Fragment(Fragment { id, offset, .. }) => {
            format!("fragment {from} > {to} id {id} at {offset}")
        }
        Transport::Other => format!("protocol {} {from} > {to}", datagram.protocol),
    }
}
