//! The rules of the summary, on runs that never happened.

use super::*;
use crate::testbed::Reference;
use dataplane::clock::Nanos;
use dataplane::worker::{CoreId, ServerId};
use format::summary::Bound;
use format::{RunOptions, Scenario};
use kronogen::attack::AttackLedger;
use kronogen::latency::Quantiles;

fn plan(rate: &str) -> Plan {
    let source = format!(
        "schema = 1\nquestion = \"?\"\n[traffic]\nconnections = 1000\n[[phase]]\nname = \"fill\"\n\
         open = \"100k/s\"\n[[phase]]\nname = \"steady\"\nrate = \"{rate}\"\nfor = \"1s\"\n[pass]\n\
         \"ledger.lost\" = {{ max = 0 }}\n"
    );
    let scenario = Scenario::parse(&source, "t.toml").expect("well formed");
    scenario.resolve(&RunOptions::default()).expect("sensible")
}

/// A record of a second in which `sent` of `planned` packets left and `arrived` of these came back.
fn record(planned: u64, sent: u64, arrived: u64) -> Record {
    let ledger = kronogen::ledger::Ledger {
        planned,
        sent,
        unsent: planned - sent,
        on_time: arrived,
        arrived_bytes: arrived * 100,
        ..Default::default()
    };
    Record {
        server: ServerId(0),
        core: CoreId(0),
        phase: 1,
        name: "steady".into(),
        interrupted: false,
        start: Nanos(5_000_000_000),
        seconds: 1.0,
        ledger,
        attack: AttackLedger::default(),
        latency: Quantiles { count: arrived, min_ns: 900, ..Quantiles::default() },
        histogram: vec![(1_000, arrived / 2), (50_000, arrived / 2)],
        opened: 0,
        closed: 0,
        failed: 0,
        retried: 0,
        held_peak: 1000,
        batches: 1000,
        room_limited: 0,
        longest_gap_ns: 20_000,
        // Of the generator; here the SUT is as busy as it.
        busy_share: Some(0.9),
        verdicts: Default::default(),
        outages: Vec::new(),
        timeline: None,
        resolution_ns: None,
        evidence: Vec::new(),
    }
}

fn outcome(records: &[Record]) -> Outcome {
    let phase = |(repetition, record): (usize, &Record)| PhaseOutcome {
        name: record.name.clone(),
        repetition: repetition as u32,
        generators: vec![record.clone()],
        sut: vec![crate::testbed::SutCore {
            received: record.ledger.sent,
            forwarded: record.ledger.arrived(),
            busy_ns: record.busy_share.map_or(0, |share| (share * 1000.0) as u64),
            idle_ns: record.busy_share.map_or(0, |share| 1000 - (share * 1000.0) as u64),
            cycles_per_packet: Some(100.0),
            connections: 1000,
            bytes: 64_000,
            ..Default::default()
        }],
    };
    Outcome {
        phases: records.iter().enumerate().map(phase).collect(),
        forwarder: Some(Reference { mpps: 3.0, cycles_per_packet: Some(40.0) }),
        ..Outcome::default()
    }
}

fn summary_of(rate: &str, records: &[Record]) -> Summary {
    let plan = plan(rate);
    let run = Run {
        id: "r".into(),
        started: "2026-11-23T00:00:00Z".into(),
        scenario: plan.scenario.clone(),
        question: plan.question.clone(),
        scenario_hash: plan.scenario_hash.clone(),
        plan_hash: plan.hash(),
        seed: plan.seed,
        testbed: plan.testbed.to_string(),
        git: None,
        version: "0".into(),
        interrupted: false,
    };
    let host = Host::default();
    let energy = Energy::default();
    let context = Context { plan: &plan, run, host, steal_share: Some(0.0), samples: &[], energy };
    summarise(context, &outcome(records))
}

#[test]
fn a_run_that_kept_its_rate_is_valid_and_judged() {
    let good = summary_of("1Mpps", &[record(1_000_000, 1_000_000, 1_000_000)]);
    assert_eq!((good.valid, good.pass.met), (true, true), "{:?}", good.invalid_reasons);
    assert_eq!(good.throughput.forwarded_mpps, Some(1.0));
    assert_eq!(good.throughput.forwarded_gbps, Some(0.8));
    assert_eq!((good.throughput.bound, good.throughput.at_least), (Some(Bound::Link), true));
    assert_eq!(good.certificate.headroom, Some(3.0));
    assert_eq!(good.certificate.rate_error, Some(0.0));
    assert_eq!(good.sut.cores[0].busy_share, Some(0.9));
    assert_eq!(good.sut.bytes_per_connection, Some(64.0));
    assert_eq!(good.latency_us.min, Some(0.9));
    assert!(good.latency_us.p99.is_some_and(|p99| (49.0..51.0).contains(&p99)));
    let lossy = summary_of("1Mpps", &[record(1_000_000, 1_000_000, 999_990)]);
    assert_eq!((lossy.valid, lossy.pass.met, lossy.ledger.lost), (true, false, 10));
}

#[test]
fn a_throttled_generator_is_never_mistaken_for_a_slow_sut() {
    // Half of the planned rate left, and the network had room all the time.
    let late = summary_of("1Mpps", &[record(1_000_000, 500_000, 500_000)]);
    assert_eq!((late.valid, late.throughput.bound), (false, Some(Bound::Generator)));
    assert!(late.invalid_reasons[0].contains("generator was late"), "{:?}", late.invalid_reasons);
    // The same, but the port had no room: that is the SUT's doing.
    let waited = Record { room_limited: 990, ..record(1_000_000, 500_000, 500_000) };
    let slow = summary_of("1Mpps", std::slice::from_ref(&waited));
    assert_eq!((slow.valid, slow.throughput.bound), (true, Some(Bound::Sut)));
    // And if the SUT had time to spare, neither of them was the limit.
    let spare = Record { busy_share: Some(0.6), ..waited.clone() };
    let idle = summary_of("1Mpps", std::slice::from_ref(&spare));
    assert_eq!((idle.throughput.bound, idle.throughput.at_least), (Some(Bound::Link), true));
    let warning = idle.warnings.iter().find(|warning| warning.kind == "idle-sut");
    assert!(warning.is_some_and(|it| it.message.contains("60 %")), "{:?}", idle.warnings);
    let at_max = summary_of("max", &[record(500_000, 500_000, 500_000)]);
    assert_eq!((at_max.valid, at_max.throughput.at_least), (true, true));
    assert_eq!(at_max.throughput.bound, Some(Bound::Generator));
    let refused = summary_of("max", &[record(1_000_000, 900_000, 900_000)]);
    assert_eq!(refused.throughput.bound, Some(Bound::Sut));
    let at_max = summary_of("max", &[Record { room_limited: 990, ..waited }]);
    assert_eq!((at_max.throughput.bound, at_max.throughput.at_least), (Some(Bound::Sut), false));
}

#[test]
fn late_packets_make_a_planned_rate_invalid() {
    let mut late = record(1_000_000, 1_000_000, 1_000_000);
    late.ledger.sent_late = 9_000;
    assert!(summary_of("1Mpps", &[late.clone()]).valid);
    late.ledger.sent_late = 11_000;
    let invalid = summary_of("1Mpps", &[late]);
    assert!(!invalid.valid);
    assert!(invalid.invalid_reasons[0].contains("1.1 %"), "{:?}", invalid.invalid_reasons);
}

#[test]
fn trials_have_a_median_and_a_range() {
    let records: Vec<Record> =
        [90, 110, 100].map(|k| record(k * 10_000, k * 10_000, k * 10_000)).into();
    let summary = summary_of("max", &records);
    let estimate = summary.throughput.mpps_per_core.expect("three trials");
    assert_eq!((estimate.value, estimate.low, estimate.high), (1.0, Some(0.9), Some(1.1)));
    assert_eq!(summary.throughput.trials.len(), 3);
    let sorted = summary.warnings.is_sorted_by_key(|warning| warning.kind == "unavailable");
    assert!(sorted && summary.warnings.len() > 2, "{:?}", summary.warnings);
}

#[test]
fn nothing_measured_is_invalid_and_never_zero() {
    let summary = summary_of("max", &[]);
    assert!(!summary.valid);
    assert_eq!(summary.throughput.forwarded_mpps, None);
    assert_eq!(summary.latency_us.p50, None);
    let unavailable: Vec<_> =
        summary.warnings.iter().filter_map(|warning| warning.field.as_deref()).collect();
    assert!(unavailable.contains(&"throughput.forwarded_mpps"), "{unavailable:?}");
}

#[test]
fn what_a_core_had_in_hand_when_cut_short_never_left() {
    let mut cut = record(1_000, 900, 800);
    (cut.interrupted, cut.ledger.unsent) = (true, 0);
    let ledger = ledger(&cut);
    assert!(ledger.conserved());
    assert_eq!((ledger.unsent, ledger.lost), (100, 100));
}

#[test]
fn the_latency_log_is_read_back_by_tag() {
    let plan = plan("max");
    let outcome = outcome(&[record(1_000, 1_000, 1_000)]);
    let log = latency_log(&plan, &outcome, std::time::SystemTime::now()).expect("written");
    let log = analysis::latency::read_log(&log).expect("our own log");
    assert_eq!(log.by_tag.len(), 1);
    let histogram = &log.by_tag["gen.0.0"];
    assert_eq!(histogram.len(), 1_000);
    assert!((49_000..51_000).contains(&histogram.max()));
}
