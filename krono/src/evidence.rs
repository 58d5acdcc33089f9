//! `mistranslated.pcapng`: the frames that the SUT mistranslated, each with a comment that says what it
//! should have been.
//!
//! Written after the run, where there are any: at most as many of each generator core as
//! [`kronogen::evidence`] keeps. Every tool that reads pcapng shows the comments.

use crate::testbed::Outcome;
use dataplane::clock::Nanos;
use kronogen::evidence::Exhibit;
use kronogen::trial::Record;
use pcap_file::DataLink;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// Name of the file in a run directory.
pub(crate) const NAME: &str = "mistranslated.pcapng";

/// Timestamps in nanoseconds: if_tsresol of the pcapng specification.
pub(crate) const NANOSECONDS: u8 = 9;

/// The file of a run that began at `begun` since 1970; `None` without evidence.
pub(crate) fn capture(outcome: &Outcome, begun: Duration) -> anyhow::Result<Option<Vec<u8>>> {
    let records = || outcome.phases.iter().flat_map(|phase| &phase.generators);
    let Some(origin) = records().map(|record| record.start).min() else { return Ok(None) };
    let mut exhibits: Vec<(&Record, &Exhibit)> =
        records().flat_map(|record| record.evidence.iter().map(move |it| (record, it))).collect();
    if exhibits.is_empty() {
        return Ok(None);
    }
    exhibits.sort_by_key(|(_, exhibit)| exhibit.at);
    let mut writer = PcapNgWriter::new(Vec::new())?;
    writer.write_pcapng_block(InterfaceDescriptionBlock {
        linktype: DataLink::ETHERNET,
        snaplen: kronogen::evidence::BYTES_MAX as u32,
        options: vec![
            InterfaceDescriptionOption::IfName(Cow::Borrowed("kronogen")),
            InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
        ],
    })?;
    for (record, exhibit) in exhibits {
        let since = Duration::from_nanos(exhibit.at.since(origin.max(Nanos(0))).0);
        writer.write_pcapng_block(EnhancedPacketBlock {
            interface_id: 0,
            timestamp: begun + since,
            original_len: u32::try_from(exhibit.length)?,
            data: Cow::Borrowed(&exhibit.bytes),
            options: vec![EnhancedPacketOption::Comment(Cow::Owned(comment(record, exhibit)))],
        })?;
    }
    Ok(Some(writer.into_inner()))
}

/// What was expected and what came.
fn comment(record: &Record, exhibit: &Exhibit) -> String {
    let expected = match exhibit.source {
        Some(source) => source.to_string(),
        None => "any external address and port".to_owned(),
    };
    format!(
        "mistranslated in phase {}: expected {expected} > {}, got {}; connection {} of generator {}.{}",
        record.name,
        exhibit.destination,
        ends(&exhibit.bytes),
        exhibit.connection,
        record.server,
        record.core,
    )
}

/// Source and destination of an IPv4 packet without options, as all are that the generator verifies.
pub(crate) fn ends(bytes: &[u8]) -> String {
    let socket = |ip: usize, port: usize| {
        let ip = bytes.get(ip..)?.first_chunk::<4>()?;
        let port = bytes.get(port..)?.first_chunk::<2>()?;
        Some(SocketAddrV4::new(Ipv4Addr::from(*ip), u16::from_be_bytes(*port)))
    };
    match (socket(26, 34), socket(30, 36)) {
        (Some(source), Some(destination)) => format!("{source} > {destination}"),
        _ => "a frame cut short".to_owned(),
    }
}
