//! Replay: a capture as the network.
//!
//! [`Pcap`] receives the frames of a pcap or pcapng file, in order, and writes what is sent to
//! another file. Time is the capture's: [`Pcap::next_timestamp`] says when the next frame was seen,
//! and whoever replays sets the clock to it and calls [`Pcap::advance`], so that a worker cannot
//! receive a frame of the future. What is sent bears the time of the last advance.
//!
//! It refuses link types other than Ethernet, and it is no packet path: it reads files and converts
//! timestamps as it goes. A packet longer than a buffer (segmentation offload leaves such in
//! captures) is left out and counted. A packet of which the capture kept only the first bytes is
//! restored to its length with zeros, which suits a NAT, as it reads no payload; that is counted
//! too.

mod capture;

use super::{Port, PortStats};
use crate::burst::Burst;
use crate::clock::Nanos;
use crate::frame::{CAPACITY, Frame, HEAD};
use capture::Capture;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::{DataLink, PcapError, TsResolution};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Frames of a port's pool.
pub const POOL: usize = 1024;

/// Why a capture cannot be replayed or written.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file cannot be opened or created.
    #[error("cannot open {path}: {source}", path = .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is no capture, or damaged.
    #[error("{path}, packet {packet}: {reason}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Packet that could not be read, counted from 1; 0 is the file's header.
        packet: u64,
        /// What is wrong.
        reason: String,
    },
    /// The capture is of another network than Ethernet.
    #[error(
        "{path}: link type {found:?}; only captures of Ethernet can be replayed",
        path = .path.display()
    )]
    LinkType {
        /// The file.
        path: PathBuf,
        /// Its link type.
        found: DataLink,
    },
    /// What was sent cannot be written.
    #[error("cannot write {path}: {reason}", path = .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// What a replay left out or altered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PcapCounts {
    /// Packets left out because they exceed [`CAPACITY`] bytes.
    pub oversized: u64,
    /// Packets cut off in the capture, restored to their length with zeros.
    pub truncated: u64,
}

/// A frame with memory of its own.
pub struct OwnedFrame {
    len: usize,
    data: Box<[u8; CAPACITY]>,
}

impl OwnedFrame {
    /// An empty frame of zeros.
    pub fn new() -> Self {
        Self { len: 0, data: Box::new([0; CAPACITY]) }
    }
}

impl Default for OwnedFrame {
    fn default() -> Self {
        Self::new()
    }
}

impl Frame for OwnedFrame {
    fn len(&self) -> usize {
        self.len
    }
    fn set_len(&mut self, len: usize) {
        assert!(len <= CAPACITY, "a frame holds at most {CAPACITY} bytes, not {len}");
        self.len = len;
    }
    fn bytes(&self) -> &[u8] {
        &self.data[..self.len]
    }
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.data[..self.len]
    }
    fn head(&self) -> &[u8; HEAD] {
        self.data.first_chunk().expect("the buffer is longer than its head")
    }
    fn head_mut(&mut self) -> &mut [u8; HEAD] {
        self.data.first_chunk_mut().expect("the buffer is longer than its head")
    }
}

struct Output {
    path: PathBuf,
    writer: PcapWriter<BufWriter<File>>,
}

/// A port whose neighbour is a capture file.
pub struct Pcap {
    capture: Capture,
    /// The next packet, already in a frame; `None` at the end.
    next: Option<(Nanos, OwnedFrame)>,
    output: Option<Output>,
    pool: Vec<OwnedFrame>,
    /// Set by [`Pcap::advance`].
    now: Option<Nanos>,
    /// Capture time of the last frame received.
    seen: Nanos,
    writable: bool,
    stats: PortStats,
    counts: PcapCounts,
    failure: Option<CaptureError>,
}

impl Pcap {
    /// Replays a pcap or pcapng file. What is sent is only counted.
    ///
    /// # Errors
    /// When the file cannot be opened, is no capture, or its first packet is damaged or of another
    /// network than Ethernet.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let mut port = Self {
            capture: Capture::open(path)?,
            next: None,
            output: None,
            pool: (0..POOL).map(|_| OwnedFrame::new()).collect(),
            now: None,
            seen: Nanos(0),
            writable: true,
            stats: PortStats::default(),
            counts: PcapCounts::default(),
            failure: None,
        };
        port.read_next(OwnedFrame::new())?;
        Ok(port)
    }

    /// Writes what is sent to a pcap file with timestamps in nanoseconds.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn record(&mut self, path: &Path) -> Result<(), CaptureError> {
        let file = File::create(path)
            .map_err(|source| CaptureError::Open { path: path.to_owned(), source })?;
        let header = PcapHeader { ts_resolution: TsResolution::NanoSecond, ..Default::default() };
        let writer = PcapWriter::with_header(BufWriter::new(file), header)
            .map_err(|error| unwritable(path, error.to_string()))?;
        self.output = Some(Output { path: path.to_owned(), writer });
        Ok(())
    }

    /// When the next frame was captured, since 1970; `None` when all have been received.
    pub fn next_timestamp(&self) -> Option<Nanos> {
        self.next.as_ref().map(|(when, _)| *when)
    }

    /// Sets the time: frames captured later than `now` are not received yet. Without a first call
    /// nothing is held back, and what is sent bears the time of the last frame received.
    pub fn advance(&mut self, now: Nanos) {
        self.now = Some(now);
    }

    /// What was left out or altered so far.
    pub fn counts(&self) -> PcapCounts {
        self.counts
    }

    /// Ends the replay and completes the output.
    ///
    /// # Errors
    /// The first failure. One of reading ends the replay early; after one of writing, nothing more
    /// is sent.
    pub fn finish(mut self) -> Result<PcapCounts, CaptureError> {
        if let Some(output) = self.output.take() {
            let flushed = output.writer.into_writer().flush();
            if let Err(error) = flushed {
                let failure = unwritable(&output.path, error.to_string());
                self.failure.get_or_insert(failure);
            }
        }
        self.failure.map_or(Ok(self.counts), Err)
    }

    /// Reads the next packet that fits into `frame`.
    fn read_next(&mut self, mut frame: OwnedFrame) -> Result<(), CaptureError> {
        while let Some(packet) = self.capture.next(&mut frame.data[..])? {
            if packet.len > CAPACITY {
                self.counts.oversized += 1;
                continue;
            }
            if packet.captured < packet.len {
                self.counts.truncated += 1;
                frame.data[packet.captured..packet.len].fill(0);
            }
            frame.len = packet.len;
            self.next = Some((packet.when, frame));
            return Ok(());
        }
        self.pool.push(frame);
        Ok(())
    }

    fn write(&mut self, frame: &[u8]) -> bool {
        let Some(output) = &mut self.output else { return self.writable };
        let when = Duration::from_nanos(self.now.unwrap_or(self.seen).0);
        let written = output.writer.write_packet(&PcapPacket::new(when, frame.len() as u32, frame));
        if let Err(error) = written {
            let reason = match &error {
                PcapError::IoError(error) => error.to_string(),
                other => other.to_string(),
            };
            let failure = unwritable(&output.path, reason);
            self.failure.get_or_insert(failure);
            self.output = None;
            self.writable = false;
        }
        self.writable
    }
}

fn unwritable(path: &Path, reason: String) -> CaptureError {
    CaptureError::Write { path: path.to_owned(), reason }
}

impl Port for Pcap {
    type Frame = OwnedFrame;

    fn rx(&mut self, into: &mut Burst<OwnedFrame>) {
        while !into.is_full() {
            let due = |&mut (when, _): &mut (Nanos, _)| self.now.is_none_or(|now| when <= now);
            let Some((when, frame)) = self.next.take_if(due) else { return };
            let Some(spare) = self.pool.pop() else {
                self.stats.no_buffer += 1;
                self.next = Some((when, frame));
                return;
            };
            self.seen = when;
            self.stats.received += 1;
            into.push(frame);
            if let Err(failure) = self.read_next(spare) {
                self.failure.get_or_insert(failure);
            }
        }
    }

    fn tx(&mut self, burst: &mut Burst<OwnedFrame>) -> usize {
        let sent = burst.iter().take_while(|frame| self.write(frame.bytes())).count();
        self.stats.sent += sent as u64;
        self.stats.refused += (burst.len() - sent) as u64;
        self.free(burst);
        sent
    }

    fn alloc(&mut self, into: &mut Burst<OwnedFrame>, count: usize) {
        let rest = self.pool.len().saturating_sub(count);
        self.stats.no_buffer += count.saturating_sub(self.pool.len()) as u64;
        into.extend(self.pool.drain(rest..));
    }

    fn free(&mut self, burst: &mut Burst<OwnedFrame>) {
        self.pool.extend(burst.drain(..));
    }

    fn room(&mut self) -> usize {
        if self.writable { usize::MAX } else { 0 }
    }

    fn stats(&self) -> PortStats {
        self.stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pcap_file::Endianness;
    use pcap_file::pcap::RawPcapPacket;
    use pcap_file::pcapng::PcapNgWriter;
    use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
    use pcap_file::pcapng::blocks::interface_description::{
        InterfaceDescriptionBlock, InterfaceDescriptionOption,
    };
    use std::borrow::Cow;
    use tempfile::TempDir;

    fn pcap(to: &Path, resolution: TsResolution, link: DataLink, packets: &[(u32, u32, &[u8])]) {
        let header = PcapHeader {
            ts_resolution: resolution,
            datalink: link,
            snaplen: 64,
            endianness: Endianness::Big,
            ..Default::default()
        };
        let mut writer = PcapWriter::with_header(File::create(to).unwrap(), header).unwrap();
        for &(ts_frac, orig_len, data) in packets {
            let incl_len = data.len() as u32;
            let data = Cow::Borrowed(data);
            let packet = RawPcapPacket { ts_sec: 1, ts_frac, incl_len, orig_len, data };
            writer.write_raw_packet(&packet).unwrap();
        }
    }

    fn drain(port: &mut Pcap) -> Vec<(usize, u8)> {
        let mut burst = Burst::new();
        port.rx(&mut burst);
        let got = burst.iter().map(|frame| (frame.len(), frame.head()[0])).collect();
        port.free(&mut burst);
        got
    }

    #[test]
    fn a_capture_is_received_in_its_own_time() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("in.pcap");
        let packets: [(u32, u32, &[u8]); 3] =
            [(10, 60, &[1; 60]), (20, 60, &[2; 60]), (30, 60, &[3; 60])];
        for (resolution, unit) in [(TsResolution::MicroSecond, 1000), (TsResolution::NanoSecond, 1)]
        {
            pcap(&path, resolution, DataLink::ETHERNET, &packets);
            let mut port = Pcap::open(&path).unwrap();
            port.advance(Nanos(1_000_000_000));
            assert_eq!(drain(&mut port), []);
            assert_eq!(port.next_timestamp(), Some(Nanos(1_000_000_000 + 10 * unit)));
            port.advance(Nanos(1_000_000_000 + 20 * unit));
            assert_eq!(drain(&mut port), [(60, 1), (60, 2)]);
            port.advance(Nanos(u64::MAX));
            assert_eq!(drain(&mut port), [(60, 3)]);
            assert_eq!(port.next_timestamp(), None);
            assert_eq!(port.finish().unwrap(), PcapCounts::default());
        }
    }

    #[test]
    fn long_and_cut_packets_are_counted() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("in.pcap");
        let huge = [7; CAPACITY + 1];
        let packets: [(u32, u32, &[u8]); 4] = [
            (0, 1514, &[9; 1514]),
            (1, huge.len() as u32, &huge),
            (1, 64, &[2; 64]),
            (2, 1514, &[1; 64]),
        ];
        pcap(&path, TsResolution::NanoSecond, DataLink::ETHERNET, &packets);
        let mut port = Pcap::open(&path).unwrap();
        for expected in [(1514, 9), (64, 2)] {
            port.advance(port.next_timestamp().unwrap());
            assert_eq!(drain(&mut port), [expected]);
        }
        port.advance(Nanos(u64::MAX));
        let mut burst = Burst::new();
        port.rx(&mut burst);
        let (captured, restored) = burst[0].bytes().split_at(64);
        assert_eq!((burst.len(), captured), (1, &[1; 64][..]));
        assert_eq!(restored, [0; 1450], "not what the buffer held before");
        assert_eq!(port.counts(), PcapCounts { oversized: 1, truncated: 1 });
    }

    #[test]
    fn what_is_sent_can_be_received_again() {
        let dir = TempDir::new().unwrap();
        let (first, second) = (dir.path().join("in.pcap"), dir.path().join("out.pcap"));
        let packets: [(u32, u32, &[u8]); 2] = [(10, 60, &[1; 60]), (21, 42, &[2; 42])];
        pcap(&first, TsResolution::NanoSecond, DataLink::ETHERNET, &packets);
        let mut port = Pcap::open(&first).unwrap();
        port.record(&second).unwrap();
        while let Some(now) = port.next_timestamp() {
            port.advance(now);
            let mut burst = Burst::new();
            port.rx(&mut burst);
            assert_eq!(port.tx(&mut burst), 1);
        }
        port.finish().unwrap();
        let mut again = Pcap::open(&second).unwrap();
        assert_eq!(again.next_timestamp(), Some(Nanos(1_000_000_010)));
        assert_eq!(drain(&mut again), [(60, 1), (42, 2)]);
        assert_eq!(again.seen, Nanos(1_000_000_021));
    }

    #[test]
    fn pcapng_interfaces_have_their_own_units_and_link_types() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("in.pcapng");
        let mut writer = PcapNgWriter::new(File::create(&path).unwrap()).unwrap();
        let interface = |linktype, resolution| InterfaceDescriptionBlock {
            linktype,
            snaplen: 0,
            options: vec![InterfaceDescriptionOption::IfTsResol(resolution)],
        };
        for (link, resolution) in
            [(DataLink::ETHERNET, 9), (DataLink::ETHERNET, 3), (DataLink::RAW, 9)]
        {
            writer.write_pcapng_block(interface(link, resolution)).unwrap();
        }
        for (interface_id, units) in [(0, 5), (1, 7), (2, 9)] {
            let packet = EnhancedPacketBlock {
                interface_id,
                timestamp: Duration::from_nanos(units),
                original_len: 61,
                data: Cow::Owned(vec![interface_id as u8; 61]),
                options: Vec::new(),
            };
            writer.write_pcapng_block(packet).unwrap();
        }
        let mut port = Pcap::open(&path).unwrap();
        assert_eq!(port.next_timestamp(), Some(Nanos(5)));
        port.advance(Nanos(5));
        assert_eq!(drain(&mut port), [(61, 0)]);
        assert_eq!(port.next_timestamp(), Some(Nanos(7_000_000)));
        port.advance(Nanos(7_000_000));
        assert_eq!(drain(&mut port), [(61, 1)]);
        let message = port.finish().unwrap_err().to_string();
        assert!(message.contains("in.pcapng") && message.contains("RAW"), "{message}");
    }

    #[test]
    fn a_file_that_is_no_capture_is_named() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("notes.txt");
        let message = |path: &Path| Pcap::open(path).err().unwrap().to_string();
        assert!(message(&path).starts_with("cannot open"));
        for text in ["", "no capture, though long enough to be mistaken for one"] {
            std::fs::write(&path, text).unwrap();
            assert!(message(&path).contains("notes.txt, packet 0"), "{}", message(&path));
        }
        pcap(&path, TsResolution::MicroSecond, DataLink::IEEE802_11, &[]);
        assert!(message(&path).contains("only captures of Ethernet"), "{}", message(&path));
        pcap(&path, TsResolution::MicroSecond, DataLink::ETHERNET, &[(0, 60, &[1; 60])]);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(message(&path).ends_with("packet 1: the file ends too early"));
    }
}
