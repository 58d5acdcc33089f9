//! `sample.pcapng`: packets of the measured phase as they left the generator and as they came back.
//!
//! Two interfaces, `sent` and `received`, and a comment to each frame that says which packet of the
//! sample it is. Every tool that reads pcapng shows them.

use crate::evidence::{NANOSECONDS, ends};
use crate::testbed::Outcome;
use crate::testbed::tap::{BYTES_MAX, Sighting, Specimen};
use pcap_file::DataLink;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use std::borrow::Cow;
use std::time::Duration;

/// Name of the file in a run directory.
pub(crate) const NAME: &str = "sample.pcapng";

/// Interfaces of the file, in this order.
const INTERFACES: [&str; 2] = ["sent", "received"];

/// The file of a run that began at `begun` since 1970; `None` without a sample.
pub(crate) fn capture(outcome: &Outcome, begun: Duration) -> anyhow::Result<Option<Vec<u8>>> {
    let records = outcome.phases.iter().flat_map(|phase| &phase.generators);
    let Some(origin) = records.map(|record| record.start).min() else { return Ok(None) };
    if outcome.specimens.is_empty() {
        return Ok(None);
    }
    let mut writer = PcapNgWriter::new(Vec::new())?;
    for name in INTERFACES {
        writer.write_pcapng_block(InterfaceDescriptionBlock {
            linktype: DataLink::ETHERNET,
            snaplen: BYTES_MAX as u32,
            options: vec![
                InterfaceDescriptionOption::IfName(Cow::Borrowed(name)),
                InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
            ],
        })?;
    }
    let mut frames = frames(&outcome.specimens);
    frames.sort_by_key(|(_, sighting, _)| sighting.at);
    for (interface_id, sighting, comment) in frames {
        let since = Duration::from_nanos(sighting.at.since(origin).0);
        writer.write_pcapng_block(EnhancedPacketBlock {
            interface_id,
            timestamp: begun + since,
            original_len: u32::try_from(sighting.length)?,
            data: Cow::Borrowed(sighting.bytes()),
            options: vec![EnhancedPacketOption::Comment(Cow::Owned(comment))],
        })?;
    }
    Ok(Some(writer.into_inner()))
}

/// Interface, frame and comment of each side of each packet.
fn frames(specimens: &[Specimen]) -> Vec<(u32, &Sighting, String)> {
    let mut frames = Vec::new();
    for (number, specimen) in (1..).zip(specimens) {
        let Specimen { core, sent, arrived } = specimen;
        let name = format!("packet {number} of generator core {core}");
        let fate = if arrived.is_some() { "" } else { ", not back before the next was taken" };
        frames.push((0, sent, format!("{name}: sent {}{fate}", ends(sent.bytes()))));
        if let Some(arrived) = arrived {
            let us = arrived.at.since(sent.at).0 as f64 / 1e3;
            let ends = ends(arrived.bytes());
            frames.push((1, arrived, format!("{name}: received {ends} after {us} us")));
        }
    }
    frames
}
