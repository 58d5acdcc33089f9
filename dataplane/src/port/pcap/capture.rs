//! Both container formats as one sequence of packets.

use super::CaptureError;
use crate::clock::Nanos;
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::{Block, PcapNgReader};
use pcap_file::{DataLink, PcapError, TsResolution};
use std::fs::File;
use std::io::{Chain, Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// First bytes of every pcapng file, in either byte order.
const SECTION_HEADER: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

type Source = Chain<Cursor<[u8; 4]>, File>;

enum Format {
    Pcap(PcapReader<Source>),
    PcapNg(PcapNgReader<Source>, Vec<Interface>),
}

/// What a pcapng interface says about its packets.
struct Interface {
    link: DataLink,
    snaplen: usize,
    resolution: u8,
    offset_s: i64,
}

/// A packet whose bytes have been copied out.
pub(super) struct Packet {
    pub(super) when: Nanos,
    /// Bytes the packet had on the wire.
    pub(super) len: usize,
    /// Bytes the capture has of it.
    pub(super) captured: usize,
}

/// A capture file, read forwards.
pub(super) struct Capture {
    path: PathBuf,
    format: Format,
    packets: u64,
    last: Nanos,
}

impl Capture {
    pub(super) fn open(path: &Path) -> Result<Self, CaptureError> {
        let cannot = |source| CaptureError::Open { path: path.to_owned(), source };
        let damaged = |error| unreadable(path, 0, &error);
        let mut file = File::open(path).map_err(cannot)?;
        let mut magic = [0; 4];
        file.read_exact(&mut magic).map_err(|error| damaged(PcapError::IoError(error)))?;
        let source = Cursor::new(magic).chain(file);
        let format = if magic == SECTION_HEADER {
            Format::PcapNg(PcapNgReader::new(source).map_err(damaged)?, Vec::new())
        } else {
            let reader = PcapReader::new(source).map_err(damaged)?;
            ethernet(path, reader.header().datalink)?;
            Format::Pcap(reader)
        };
        Ok(Self { path: path.to_owned(), format, packets: 0, last: Nanos(0) })
    }

    /// Copies the next packet, as far as it fits; `None` at the end of the file.
    pub(super) fn next(&mut self, into: &mut [u8]) -> Result<Option<Packet>, CaptureError> {
        let next = match &mut self.format {
            Format::Pcap(reader) => next_pcap(reader, into),
            Format::PcapNg(reader, interfaces) => {
                next_pcapng(reader, interfaces, self.last, &self.path, into)
            }
        };
        self.packets += 1;
        match next {
            Ok(packet) => {
                self.last = packet.as_ref().map_or(self.last, |packet| packet.when);
                Ok(packet)
            }
            Err(Refusal::Container(error)) => Err(unreadable(&self.path, self.packets, &error)),
            Err(Refusal::Capture(error)) => Err(error),
        }
    }
}

enum Refusal {
    Container(PcapError),
    Capture(CaptureError),
}

impl From<PcapError> for Refusal {
    fn from(error: PcapError) -> Self {
        Refusal::Container(error)
    }
}

fn next_pcap(reader: &mut PcapReader<Source>, into: &mut [u8]) -> Result<Option<Packet>, Refusal> {
    let scale = match reader.header().ts_resolution {
        TsResolution::MicroSecond => 1000,
        TsResolution::NanoSecond => 1,
    };
    // The raw packet: the checked one is refused where the capture cut it off.
    let Some(packet) = reader.next_raw_packet() else { return Ok(None) };
    let packet = packet?;
    copy(&packet.data, into);
    let when = u64::from(packet.ts_sec) * 1_000_000_000 + u64::from(packet.ts_frac) * scale;
    let captured = packet.data.len();
    Ok(Some(Packet { when: Nanos(when), len: captured.max(packet.orig_len as usize), captured }))
}

fn next_pcapng(
    reader: &mut PcapNgReader<Source>,
    interfaces: &mut Vec<Interface>,
    last: Nanos,
    path: &Path,
    into: &mut [u8],
) -> Result<Option<Packet>, Refusal> {
    while let Some(block) = reader.next_block() {
        match block? {
            Block::SectionHeader(_) => interfaces.clear(),
            Block::InterfaceDescription(block) => interfaces.push(Interface::new(&block)),
            Block::EnhancedPacket(block) => {
                let interface = interfaces
                    .get(block.interface_id as usize)
                    .ok_or(PcapError::InvalidInterfaceId(block.interface_id))?;
                ethernet(path, interface.link).map_err(Refusal::Capture)?;
                copy(&block.data, into);
                let captured = block.data.len();
                return Ok(Some(Packet {
                    // The crate passes the interface's units off as nanoseconds.
                    when: interface.time(block.timestamp.as_nanos()),
                    len: captured.max(block.original_len as usize),
                    captured,
                }));
            }
            Block::SimplePacket(block) => {
                let interface = interfaces.first().ok_or(PcapError::InvalidInterfaceId(0))?;
                ethernet(path, interface.link).map_err(Refusal::Capture)?;
                let len = block.original_len as usize;
                // The block's data is padded, and its length is that of the shorter.
                let captured = len.min(interface.snaplen).min(block.data.len());
                copy(&block.data[..captured], into);
                return Ok(Some(Packet { when: last, len, captured }));
            }
            Block::Packet(_) => {
                return Err(PcapError::InvalidField(
                    "obsolete Packet Block; rewrite the file with `editcap -F pcapng`",
                )
                .into());
            }
            _ => {}
        }
    }
    Ok(None)
}

impl Interface {
    fn new(block: &InterfaceDescriptionBlock<'_>) -> Self {
        let mut interface = Interface {
            link: block.linktype,
            snaplen: if block.snaplen == 0 { usize::MAX } else { block.snaplen as usize },
            resolution: 6,
            offset_s: 0,
        };
        for option in &block.options {
            match option {
                InterfaceDescriptionOption::IfTsResol(units) => interface.resolution = *units,
                InterfaceDescriptionOption::IfTsOffset(s) => interface.offset_s = *s as i64,
                _ => {}
            }
        }
        interface
    }

    /// Nanoseconds since 1970 of a timestamp in the interface's units: negative powers of 10, or
    /// of 2 where the highest bit is set (if_tsresol of the pcapng specification).
    fn time(&self, units: u128) -> Nanos {
        let exponent = u32::from(self.resolution & 0x7f);
        let nanos = if self.resolution & 0x80 != 0 {
            (units * 1_000_000_000) >> exponent
        } else if exponent <= 9 {
            units * 10_u128.pow(9 - exponent)
        } else {
            10_u128.checked_pow(exponent - 9).map_or(0, |divisor| units / divisor)
        };
        let nanos = nanos as i128 + i128::from(self.offset_s) * 1_000_000_000;
        Nanos(nanos.clamp(0, i128::from(u64::MAX)) as u64)
    }
}

fn ethernet(path: &Path, found: DataLink) -> Result<(), CaptureError> {
    if found == DataLink::ETHERNET {
        return Ok(());
    }
    Err(CaptureError::LinkType { path: path.to_owned(), found })
}

fn copy(data: &[u8], into: &mut [u8]) {
    let len = data.len().min(into.len());
    into[..len].copy_from_slice(&data[..len]);
}

fn unreadable(path: &Path, packet: u64, error: &PcapError) -> CaptureError {
    let reason = match error {
        PcapError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            "the file ends too early".to_owned()
        }
        PcapError::IoError(error) => error.to_string(),
        other => other.to_string(),
    };
    CaptureError::Read { path: path.to_owned(), packet, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_follow_the_resolution_of_their_interface() {
        let time = |resolution, offset_s, units| {
            Interface { link: DataLink::ETHERNET, snaplen: 0, resolution, offset_s }.time(units).0
        };
        assert_eq!(time(6, 0, 1_500_000), 1_500_000_000);
        assert_eq!(time(9, 0, 7), 7);
        assert_eq!(time(12, 0, 7_000), 7);
        assert_eq!(time(0x80 | 10, 0, 512), 500_000_000);
        assert_eq!(time(0, 3, 2), 5_000_000_000);
        assert_eq!(time(0, -3, 2), 0);
        assert_eq!(time(0, 0, u128::from(u64::MAX)), u64::MAX);
        assert_eq!(time(127, 0, u128::from(u64::MAX)), 0);
    }
}
