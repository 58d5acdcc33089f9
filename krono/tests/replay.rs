//! A capture through `krono replay`, written by one library and judged by another.

use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use pcap_file::pcap::{PcapPacket, PcapReader, PcapWriter};
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

const HOST: [u8; 4] = [10, 1, 2, 3];
const SERVER: [u8; 4] = [93, 184, 216, 34];

fn udp(from: [u8; 4], from_port: u16, to: [u8; 4], to_port: u16) -> Vec<u8> {
    let builder =
        PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(from, to, 64).udp(from_port, to_port);
    let mut frame = Vec::new();
    builder.write(&mut frame, b"a payload of some bytes").expect("a vector takes everything");
    frame
}

/// Writes frames, each with its time in seconds.
fn capture(path: &Path, frames: &[(u64, Vec<u8>)]) {
    let file = File::create(path).expect("created");
    let mut writer = PcapWriter::new(file).expect("a header");
    for (at_s, frame) in frames {
        let packet = PcapPacket::new(Duration::from_secs(*at_s), frame.len() as u32, frame);
        writer.write_packet(&packet).expect("written");
    }
}

fn frames(path: &Path) -> Vec<Vec<u8>> {
    let mut reader = PcapReader::new(File::open(path).expect("there")).expect("a capture");
    let mut frames = Vec::new();
    while let Some(packet) = reader.next_packet() {
        frames.push(packet.expect("whole").data.into_owned());
    }
    frames
}

/// Source and destination of a UDP packet with valid checksums.
fn ends(frame: &[u8]) -> ((Ipv4Addr, u16), (Ipv4Addr, u16)) {
    let packet = SlicedPacket::from_ethernet(frame).expect("a packet");
    let Some(etherparse::NetSlice::Ipv4(ip)) = &packet.net else { panic!("no IPv4") };
    let Some(TransportSlice::Udp(udp)) = &packet.transport else { panic!("no UDP") };
    let header = ip.header().to_header();
    assert_eq!(header.header_checksum, header.calc_header_checksum());
    let expected = udp.to_header().calc_checksum_ipv4(&header, udp.payload());
    assert_eq!(udp.checksum(), expected.expect("short enough"));
    let (from, to) = (ip.header().source_addr(), ip.header().destination_addr());
    ((from, udp.source_port()), (to, udp.destination_port()))
}

fn replay(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_krono"))
        .arg("replay")
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("krono starts")
}

fn report(output: &Output) -> serde_json::Value {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn packets_are_translated_both_ways_and_judged() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let out = udp(HOST, 5000, SERVER, 53);
    capture(&path("lan.pcap"), &[(1000, out.clone())]);
    let first = replay(folder.path(), &["lan.pcap", "--out", "a.pcap", "--format", "json"]);
    let first = report(&first);
    assert_eq!((&first["forwarded"], &first["external"]), (&1.into(), &"198.18.0.0/32".into()));
    let (outer, server) = ends(&frames(&path("a.pcap"))[0]);
    assert_eq!((outer.0, server), (Ipv4Addr::new(198, 18, 0, 0), (SERVER.into(), 53)));
    // The same seed gives the same port, so the answer can be written beforehand.
    let answer = udp(SERVER, 53, outer.0.octets(), outer.1);
    let stranger = udp([192, 0, 2, 77], 53, outer.0.octets(), outer.1);
    let frames_in = [(1000, out), (1001, answer.clone()), (1002, stranger), (1400, answer)];
    capture(&path("wan.pcap"), &frames_in);
    let both = ["wan.pcap", "--out", "b.pcap", "--format", "json"];
    let report = report(&replay(folder.path(), &both));
    assert_eq!((&report["packets"], &report["forwarded"]), (&4.into(), &2.into()));
    assert_eq!(report["dropped"]["filtered_inbound"], 1);
    // 398 s after the last packet: the timer of 300 s has forgotten the connection.
    assert_eq!(report["dropped"]["unknown_inbound"], 1, "{report}");
    assert_eq!(report["connections_held"], 0);
    let back = frames(&path("b.pcap"));
    assert_eq!(back.len(), 2);
    assert_eq!(ends(&back[1]), ((SERVER.into(), 53), (HOST.into(), 5000)));
}

#[test]
fn flows_are_multiplied_and_sent_at_a_rate_from_other_addresses() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let packets: Vec<(u64, Vec<u8>)> =
        (0..20u16).map(|i| (u64::from(i) * 100, udp(HOST, 5000 + i % 2, SERVER, 53))).collect();
    capture(&path("lan.pcap"), &packets);
    let arguments = ["lan.pcap", "--map", "10.1.2.0/24=172.16.9.0/24", "--copies", "50"];
    let sent = ["--rate", "1kpps", "--out", "a.pcap", "--format", "json"];
    let report = report(&replay(folder.path(), &[&arguments[..], &sent].concat()));
    assert_eq!(report["subscribers"], serde_json::json!(["172.16.9.3/32", "100.64.0.0/26"]));
    assert_eq!((&report["copies"], &report["packets"]), (&50.into(), &1000.into()));
    assert_eq!((&report["forwarded"], &report["connections_opened"]), (&1000.into(), &100.into()));
    // The capture is 1,900 s long; at a thousand a second, a second.
    assert_eq!(report["seconds"], 0.999);
    let mut reader =
        PcapReader::new(File::open(path("a.pcap")).expect("there")).expect("a capture");
    let (mut count, mut outer) = (0u32, std::collections::HashSet::new());
    while let Some(packet) = reader.next_packet() {
        let packet = packet.expect("whole");
        assert_eq!(packet.timestamp, Duration::from_millis(count.into()));
        outer.insert(ends(&packet.data).0);
        count += 1;
    }
    // Checksums are right, and each flow has a port of its own.
    assert_eq!((count, outer.len()), (1000, 100));
}

#[test]
fn each_packet_has_a_line_with_what_became_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    capture(&folder.path().join("lan.pcap"), &[(5, udp(HOST, 5000, SERVER, 53)), (6, vec![0; 10])]);
    let output = replay(folder.path(), &["lan.pcap", "--verbose"]);
    let text = String::from_utf8(output.stdout).expect("text");
    let mut lines = text.lines();
    let forwarded = lines.next().unwrap_or_default();
    assert!(
        forwarded.contains("udp 10.1.2.3:5000 > 93.184.216.34:53  forwarded as udp 198.18.0.0:")
    );
    let dropped = lines.next().unwrap_or_default();
    assert!(dropped.contains("1.000000") && dropped.ends_with("ethernet_short"), "{dropped}");
}

#[test]
fn what_is_no_capture_or_would_be_written_over_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("no.pcap"), "no capture").expect("written");
    let public = [(0, udp(SERVER, 1, SERVER, 2))];
    capture(&folder.path().join("public.pcap"), &public);
    capture(&folder.path().join("lan.pcap"), &[(0, udp(HOST, 1, SERVER, 2))]);
    for (arguments, part) in [
        (&["missing.pcap"][..], "missing.pcap"),
        (&["no.pcap"], "no.pcap"),
        (&["public.pcap"], "--subscriber"),
        (&["lan.pcap", "--out", "no.pcap"], "exists"),
        (&["lan.pcap", "--external", "10.0.0.0/8"], "overlaps"),
        (&["lan.pcap", "--subscriber", "10.0.0.0/40"], "--subscriber"),
        (&["lan.pcap", "--map", "10.0.0.0/8=10.0.0.0/9"], "expected FROM=TO"),
        (&["lan.pcap", "--copies", "0"], "--copies"),
        (&["lan.pcap", "--rate", "max"], "expected packets per second above 0"),
        (&["lan.pcap", "--subscriber", "10.0.0.0/8", "--copies", "2"], "do not fit"),
    ] {
        let output = replay(folder.path(), arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(part), "{text}");
    }
    let kept = std::fs::read(folder.path().join("no.pcap")).expect("there");
    assert_eq!(kept, b"no capture");
}
