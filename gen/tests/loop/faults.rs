//! Faults in known numbers: the ledger equals them.

use crate::rig::{Rig, config, core, fill, steady};
use dataplane::frame::Arena;
use dataplane::port::fault::{Fault, FaultCounts, FaultPlan, OneLane, Rate as Every};
use dataplane::port::link::{Network, loopback};
use kronogen::config::{Config, Phase, Rate};
use kronogen::evidence::{BYTES_MAX, FRAMES_MAX};
use kronogen::ledger::Ledger;

/// Packets of a phase of 40 ms at 1 Mpps.
const PACKETS: u64 = 40_000;

/// One of every eight frames from `first` on, well inside the steady phase, hit by fault `kind`.
fn every(first: u64, kind: u64) -> Option<Every> {
    Some(Every::Exactly((first..first + 20_000).skip(kind as usize * 3).step_by(97).collect()))
}

/// Frames of a fill: two per UDP connection, three per TCP connection.
fn frames_of_fill(config: &Config) -> u64 {
    let mut clean = config.clone();
    clean.phases.truncate(1);
    let mut arena = Arena::new(2048).expect("memory");
    let mut rig = Rig::new(&clean, vec![loopback(&mut arena, 1024)]);
    rig.run_phase(0);
    rig.cores[0].records()[0].ledger.sent
}

fn base(connections: u32) -> Config {
    config(connections, vec![fill(connections), steady(Rate::Pps(1e6), PACKETS / 1000)])
}

fn run(config: &Config, plan: impl Fn(u64) -> FaultPlan) -> (Ledger, FaultCounts) {
    let plan = plan(frames_of_fill(config) + 100);
    let mut arena = Arena::new(4096).expect("memory");
    let port = Fault::new(OneLane(loopback(&mut arena, 2048)), &plan);
    let mut rig = Rig::new(config, vec![port]);
    (0..2).for_each(|phase| rig.run_phase(phase));
    let records = rig.cores[0].records();
    assert_eq!(records[0].ledger.lost(), 0);
    (records[1].ledger, rig.cores[0].port().counts())
}

#[test]
fn every_fault_is_booked_once() {
    // A flipped bit beyond the first 60 bytes is not seen, and only TCP leaves the bit so far.
    let udp = Config { udp_share: 1.0, ..base(1000) };
    let tcp = Config { udp_share: 0.0, sizes: vec![64], ..base(1000) };
    for config in [udp, tcp] {
        let (ledger, faults) = run(&config, |first| FaultPlan {
            seed: 5,
            drop: every(first, 0),
            duplicate: every(first, 1),
            delay: every(first, 2),
            corrupt: every(first, 3),
            mistranslate: every(first, 4),
            misdeliver: every(first, 5),
            ..FaultPlan::default()
        });
        assert!(faults.injected() > 6 * 190, "{faults:?}");
        assert_eq!(faults.skipped, 0);
        assert_eq!((ledger.planned, ledger.unsent), (PACKETS, 0));
        // A flip in the first bytes of the IPv4 header makes the frame none of ours.
        assert_eq!(ledger.corrupt + ledger.foreign, faults.corrupted);
        assert!(ledger.corrupt > 9 * ledger.foreign);
        assert_eq!(ledger.lost(), faults.dropped + faults.corrupted);
        assert_eq!(ledger.duplicate, faults.duplicated);
        assert_eq!(ledger.late, faults.delayed);
        assert_eq!(ledger.mistranslated, faults.mistranslated + faults.misdelivered);
        // They have arrived, and nobody was served by them.
        assert_eq!(ledger.verified(), ledger.arrived() - ledger.mistranslated);
        assert_eq!(
            (ledger.misrouted, ledger.stray, ledger.other_trial, ledger.stale),
            (0, 0, 0, 0)
        );
    }
}

#[test]
fn mistranslated_frames_are_kept_with_what_was_expected() {
    let config = base(1000);
    let mistranslate = every(frames_of_fill(&config) + 100, 0);
    let plan = FaultPlan { seed: 5, mistranslate, ..FaultPlan::default() };
    let mut arena = Arena::new(4096).expect("memory");
    let mut rig = Rig::new(&config, vec![Fault::new(OneLane(loopback(&mut arena, 2048)), &plan)]);
    rig.run_phase(0);
    let count = allocation_counter::measure(|| rig.run_phase(1));
    assert_eq!(count.count_total, 0, "{count:?}");
    let records = rig.cores[0].records();
    assert!(records[0].evidence.is_empty());
    let ledger = records[1].ledger;
    assert!(ledger.mistranslated > 190 && ledger.lost() == 0);
    assert!(ledger.arrived_bytes + 64 * ledger.mistranslated <= ledger.sent_bytes, "{ledger:?}");
    assert_eq!(records[1].evidence.len(), FRAMES_MAX);
    for exhibit in &records[1].evidence {
        let bytes = &exhibit.bytes;
        let headers = etherparse::LaxSlicedPacket::from_ethernet(bytes).expect("a packet");
        let Some(etherparse::LaxNetSlice::Ipv4(ip)) = &headers.net else { panic!("no IPv4") };
        let (source, destination) = match &headers.transport {
            Some(etherparse::TransportSlice::Udp(it)) => (it.source_port(), it.destination_port()),
            Some(etherparse::TransportSlice::Tcp(it)) => (it.source_port(), it.destination_port()),
            other => panic!("{other:?}"),
        };
        // The fault changes the source port of a frame, and nothing else.
        let expected = exhibit.source.expect("something has arrived before");
        assert_eq!(*expected.ip(), ip.header().source_addr());
        assert_ne!(expected.port(), source);
        assert_eq!(*exhibit.destination.ip(), ip.header().destination_addr());
        assert_eq!(exhibit.destination.port(), destination);
        assert!((60..=1514).contains(&exhibit.length) && exhibit.bytes.len() <= BYTES_MAX);
    }
}

#[test]
fn a_system_that_forwards_untouched_is_not_taken_for_a_nat() {
    let wire = config(100, vec![fill(100), steady(Rate::Pps(1e6), 5)]);
    for (translated, opened) in [(false, 100), (true, 0)] {
        let config = Config { translated, ..wire.clone() };
        let mut arena = Arena::new(2048).expect("memory");
        let mut rig = Rig::new(&config, vec![loopback(&mut arena, 1024)]);
        (0..2).for_each(|phase| rig.run_phase(phase));
        let [fill, steady] = &rig.cores[0].records()[..] else { panic!("two phases") };
        assert_eq!((fill.opened, fill.failed), (opened, 100 - opened), "{:?}", fill.ledger);
        assert_eq!(fill.ledger.verified() > 0, !translated);
        assert_eq!(steady.ledger.verified() > 0, !translated);
        let as_shown = fill.ledger.mistranslated >= 100;
        assert_eq!(as_shown, translated, "{:?}", fill.ledger);
    }
}

#[test]
fn openings_that_find_no_room_take_nothing_from_the_data_sent() {
    let full = Phase { open_per_s: 1e6, ..steady(Rate::Pps(1e6), PACKETS / 1000) };
    let config = config(100, vec![fill(100), full]);
    let mut arena = Arena::new(2048).expect("memory");
    let mut rig = Rig::new(&config, vec![loopback(&mut arena, 1024)]);
    (0..2).for_each(|phase| rig.run_phase(phase));
    let ledger = rig.cores[0].records()[1].ledger;
    assert_eq!((ledger.control, ledger.control_unsent), (PACKETS, PACKETS));
    assert_eq!((ledger.data_sent(), ledger.unsent), (PACKETS, PACKETS));
}

#[test]
fn packets_of_one_stream_are_noticed_out_of_order() {
    let (ledger, faults) = run(&Config { up_share: 1.0, ..base(1) }, |first| FaultPlan {
        seed: 6,
        reorder: every(first, 0),
        delay: every(first, 1),
        delay_frames: 20,
        ..FaultPlan::default()
    });
    assert!(faults.reordered > 190 && faults.delayed > 190);
    assert_eq!(ledger.reordered, faults.reordered + faults.delayed);
    assert_eq!((ledger.lost(), ledger.duplicate, ledger.stale), (0, 0, 0));
}

#[test]
fn a_packet_older_than_the_window_is_no_proof_of_arrival() {
    let (ledger, faults) = run(&Config { up_share: 1.0, ..base(1) }, |first| FaultPlan {
        seed: 7,
        delay: every(first, 0),
        delay_frames: 100,
        ..FaultPlan::default()
    });
    assert_eq!(ledger.stale, faults.delayed);
    assert_eq!(ledger.lost(), faults.delayed);
}

#[test]
fn a_duplicate_never_cancels_a_loss() {
    let (ledger, faults) = run(&base(10), |first| FaultPlan {
        seed: 8,
        drop: every(first, 0),
        duplicate: every(first, 1),
        ..FaultPlan::default()
    });
    assert_eq!((ledger.lost(), ledger.duplicate), (faults.dropped, faults.duplicated));
}

#[test]
fn lossy_openings_complete_by_retry() {
    let config = config(1000, vec![fill(1000)]);
    let plan = FaultPlan {
        seed: 9,
        drop: Some(Every::OneIn(5.try_into().expect("five"))),
        ..FaultPlan::default()
    };
    let mut arena = Arena::new(2048).expect("memory");
    let mut rig = Rig::new(&config, vec![Fault::new(OneLane(loopback(&mut arena, 1024)), &plan)]);
    rig.run_phase(0);
    let record = &rig.cores[0].records()[0];
    let faults = rig.cores[0].port().counts();
    assert_eq!(record.ledger.lost(), faults.dropped);
    assert_eq!(record.opened + record.failed, 1000);
    assert!(record.opened > 980 && record.retried > 200, "{record:?}");
}

#[test]
fn a_packet_that_reaches_another_core_is_noticed_there() {
    let phases = vec![fill(500), steady(Rate::Pps(1e6), PACKETS / 1000)];
    let mut config = config(500, phases);
    config.cores.push(core(1, 500));
    let first = frames_of_fill(&config_of_one(&config)) + 100;
    let plan = FaultPlan { misroute: every(first, 0), ..FaultPlan::default() };
    let mut arena = Arena::new(8192).expect("memory");
    let mut network = Network::new(&mut arena, &[4096, 4096], 1024);
    for (a, b) in [(0, 0), (1, 1), (0, 1)] {
        network.connect(a, b);
    }
    let plans = [plan, FaultPlan::default()];
    let ports = network.into_ports().into_iter().zip(&plans);
    let ports = ports.map(|(port, plan)| Fault::new(port, plan)).collect();
    let mut rig = Rig::new(&config, ports);
    (0..2).for_each(|phase| rig.run_phase(phase));
    let faults = rig.cores[0].port().counts();
    let (mine, theirs) = (rig.cores[0].records()[1].ledger, rig.cores[1].records()[1].ledger);
    assert!(faults.misrouted > 190);
    assert_eq!((mine.lost(), mine.misrouted), (faults.misrouted, 0));
    assert_eq!((theirs.lost(), theirs.misrouted), (0, faults.misrouted));
}

fn config_of_one(config: &Config) -> Config {
    let mut one = config.clone();
    one.cores.truncate(1);
    one
}
