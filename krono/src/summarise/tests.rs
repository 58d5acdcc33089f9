//! The rules of the summary, on runs that never happened.

use super::*;
use crate::layout::Layout;
use crate::testbed::{Calibration, Injected, PeerRun, Reference};
use dataplane::clock::Nanos;
use dataplane::frame::Arena;
use dataplane::port::link::{Network, frames_per_lane};
use dataplane::run::Load;
use dataplane::worker::{CoreId, ServerId, Worker};
use format::plan::SutKind;
use format::summary::Bound;
use format::{RunOptions, Scenario};
use kronogen::attack::AttackLedger;
use kronogen::control::{Control, Field, Progress};
use kronogen::latency::Quantiles;
use kronogen::worker::Generator;
use std::sync::Arc;

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
        opened: 1000,
        closed: 0,
        failed: 0,
        retried: 0,
        held_peak: 1000,
        batches: 1000,
        room_limited: 0,
        paused: 0,
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
    summarised(&plan(rate), &outcome(records))
}

fn summarised(plan: &Plan, outcome: &Outcome) -> Summary {
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
        interrupted: outcome.interrupted,
    };
    let host = Host::default();
    let energy = Energy::default();
    let context = Context { plan, run, host, steal_share: Some(0.0), samples: &[], energy };
    summarise(context, outcome)
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

/// Records of the steady phase of cores on plain wires, in virtual time. Only core 7 is throttled: it
/// has a turn each 640 us, and sends 32 packets in it.
fn throttled(plan: &Plan) -> Vec<Record> {
    const DEPTH: usize = 64;
    let mut config = Layout::new(plan).all_generators();
    config.translated = false;
    let cores = config.cores.len();
    config.cores.iter_mut().for_each(|core| core.gateways.fill(core.identity.mac));
    let frames = frames_per_lane(DEPTH);
    let mut arena = Arena::new(frames * cores).expect("memory");
    let mut network = Network::new(&mut arena, &vec![frames; cores], DEPTH);
    (0..cores).for_each(|core| network.connect(core, core));
    let control = Arc::new(Control::default());
    let progress: Vec<Arc<Progress>> = (0..cores).map(|_| Arc::default()).collect();
    let make = |(index, port)| {
        Generator::new(&config, index, port, control.clone(), progress[index].clone())
            .expect("memory")
    };
    let mut generators: Vec<_> = network.into_ports().into_iter().enumerate().map(make).collect();
    let mut now = Nanos(1_000_000);
    for phase in 0..2 {
        control.begin(phase, now + Nanos(1_000_000));
        for step in 0..100_000 {
            now = now + Nanos(10_000);
            for (index, generator) in generators.iter_mut().enumerate() {
                if phase == 0 || index != 7 || step % 64 == 0 {
                    generator.step(now);
                }
                if step % 16 == 0 {
                    generator.housekeeping(now, &Load::default());
                }
            }
            let ended = |it: &Arc<Progress>| it.get(Field::PhasesEnded as usize) > phase as u64;
            if progress.iter().all(ended) {
                break;
            }
        }
    }
    generators.iter_mut().map(|generator| generator.records().remove(1)).collect()
}

#[test]
fn one_throttled_core_of_many_does_not_disappear_in_their_sum() {
    let source = "schema = 1\nquestion = \"?\"\n[topology]\ngenerators = { servers = 1, cores = 64 }\n\
                  [traffic]\nconnections = 6400\n[[phase]]\nname = \"fill\"\nopen = \"6.4M/s\"\n\
                  [[phase]]\nname = \"steady\"\nrate = \"6.4Mpps\"\nfor = \"100ms\"\n";
    let scenario = Scenario::parse(source, "t.toml").expect("well formed");
    let plan = scenario.resolve(&RunOptions::default()).expect("sensible");
    let records = throttled(&plan);
    let phase = |generators| PhaseOutcome {
        name: "steady".into(),
        repetition: 0,
        generators,
        sut: Vec::new(),
    };
    let of = |records: Vec<Record>| {
        summarised(&plan, &Outcome { phases: vec![phase(records)], ..Outcome::default() })
    };
    let summary = of(records.clone());
    // The sum is good enough: less than a hundredth is missing, and less than that was late.
    let certificate = summary.certificate;
    assert!(certificate.rate_error.is_some_and(|error| (-0.01..-0.005).contains(&error)));
    assert!(certificate.late_send_share.is_some_and(|share| (0.005..0.01).contains(&share)));
    assert!(certificate.core_spread.is_some_and(|it| (0.4..0.6).contains(&it)), "{certificate:?}");
    let [reason] = &summary.invalid_reasons[..] else { panic!("{:?}", summary.invalid_reasons) };
    assert!(reason.starts_with(LATE) && reason.contains("1 of 64 cores"), "{reason}");
    assert!(reason.contains("core 0.7 the least"), "{reason}");
    // Where the network had no room it is not the generator's doing, and a reader is told.
    let mut waited = records.clone();
    waited[7].room_limited = waited[7].batches;
    let summary = of(waited);
    assert!(summary.valid, "{:?}", summary.invalid_reasons);
    assert!(summary.warnings.iter().any(|warning| warning.kind == "core-spread"));
    // The others alone kept theirs to a packet.
    let mut even = records;
    even[7] = Record { core: CoreId(7), ..even[6].clone() };
    let summary = of(even);
    assert!(summary.valid && summary.certificate.core_spread < Some(0.0001), "{summary:?}");
}

#[test]
fn the_wire_bounds_the_error_of_each_latency() {
    let calibration = Calibration {
        rate_pps: 1e6,
        packets: 1_000_000,
        p90_ns: 300,
        p95_ns: 400,
        p99_ns: 500,
        p999_ns: 900,
        p9999_ns: 7_000,
        max_ns: 90_000,
    };
    let plan = plan("1Mpps");
    let records = [record(1_000_000, 1_000_000, 1_000_000)];
    let known = Outcome { calibration: Some(calibration), ..outcome(&records) };
    let summary = summarised(&plan, &known);
    let error = summary.latency_error_us.expect("calibrated");
    // Half took 1 us and half 50: a tick of 64 ns, and what a bucket of 4 or 256 ns leaves open.
    assert_eq!((error.rate_mpps, error.packets), (1.0, 1_000_000));
    assert_eq!((error.min, error.p50, error.p90), (0.367, 0.467, 0.819));
    assert_eq!((error.p99, error.p999, error.max), (1.219, 7.319, 90.319));
    assert_eq!(error.pdv, error.p999);
    let doubted = summary.warnings.iter().any(|warning| warning.kind == "latency-error");
    assert!(doubted, "0.47 us of 1: {:?}", summary.warnings);
    for (rate, outcome, why) in [
        ("1Mpps", outcome(&records), "not measured alone"),
        ("max", outcome(&records), "full queues"),
        ("1Mpps", Outcome { calibration: Some(calibration), ..outcome(&[]) }, "no latency"),
    ] {
        let summary = summarised(&self::plan(rate), &outcome);
        assert_eq!(summary.latency_error_us, None, "{rate}");
        let field = |warning: &&Warning| warning.field.as_deref() == Some("latency_error_us");
        let warning = summary.warnings.iter().find(field).expect("a reason");
        assert!(warning.message.contains(why), "{warning:?}");
    }
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

#[test]
fn mistranslated_packets_are_no_throughput_and_give_no_ratio() {
    let good = record(1_000_000, 1_000_000, 1_000_000);
    let mut wrong = good.clone();
    wrong.ledger.mistranslated = 400_000;
    let plan = plan("1Mpps");
    let run_of = |subject: &Record, peer: &Record| {
        let phases = outcome(std::slice::from_ref(peer)).phases;
        let peer = PeerRun { kind: SutKind::LockedNat, facts: Default::default(), phases };
        summarised(&plan, &Outcome { peers: vec![peer], ..outcome(std::slice::from_ref(subject)) })
    };
    let both_right = run_of(&good, &good);
    assert_eq!(both_right.peers[0].ratio.map(|it| it.value), Some(1.0));
    let subject_wrong = run_of(&wrong, &good);
    assert_eq!(subject_wrong.throughput.forwarded_mpps, Some(0.6));
    assert_eq!((subject_wrong.peers[0].ratio, subject_wrong.peers[0].verified), (None, true));
    let about = |field: &str| {
        let mut all = subject_wrong.warnings.iter();
        all.find(|it| it.field.as_deref() == Some(field)).map(|it| it.message.as_str())
    };
    assert!(about("throughput.forwarded_mpps").is_some_and(|it| it.starts_with("400,000 packets")));
    assert!(about("peers.ratio").is_some_and(|it| it.contains("400000 packets")));
    assert_eq!(run_of(&good, &wrong).peers[0].ratio, None);
}

#[test]
fn a_run_cut_short_before_any_trial_ended_proves_nothing() {
    let cut = Record { interrupted: true, ..record(1_000_000, 1_000_000, 1_000_000) };
    let whole = record(1_000_000, 1_000_000, 1_000_000);
    for (records, valid) in [(vec![], false), (vec![cut.clone()], false), (vec![whole, cut], true)]
    {
        let summary =
            summarised(&plan("1Mpps"), &Outcome { interrupted: true, ..outcome(&records) });
        assert_eq!(summary.valid, valid, "{:?}", summary.invalid_reasons);
        assert!(summary.run.interrupted);
        let text = analysis::report::text(&summary);
        assert!(text.contains("not judged") && !text.contains("passed"), "{text}");
    }
}

#[test]
fn handshakes_do_not_water_down_the_share_sent_late() {
    let mut late = record(2_000_000, 2_000_000, 2_000_000);
    (late.ledger.control, late.ledger.sent_late) = (1_000_000, 11_000);
    let summary = summary_of("1Mpps", &[late]);
    assert_eq!(summary.certificate.late_send_share, Some(0.011));
    assert!(!summary.valid);
    // Openings that were not sent are not taken from the data that was.
    let mut full = record(2_000_000, 1_000_000, 1_000_000);
    (full.ledger.control, full.ledger.control_unsent) = (1_000_000, 1_000_000);
    let full = summary_of("1Mpps", &[full]);
    assert_eq!((full.certificate.rate_error, full.valid), (Some(0.0), true));
}

/// Two events, of which the last is the measured phase; each phase is a record.
fn eventful(happened: usize, records: [Record; 2]) -> Summary {
    let source = "schema = 1\nquestion = \"?\"\n[topology]\nsut = { servers = 2, cores = 1 }\n\
                  [traffic]\nconnections = 1000\n[[phase]]\nname = \"fill\"\nopen = \"100k/s\"\n\
                  [[phase]]\nname = \"hang\"\nrate = \"1Mpps\"\nfor = \"1s\"\nat = \"100ms\"\n\
                  inject = { hang = \"sut.server[0].core[0]\" }\n\
                  [[phase]]\nname = \"wake\"\nrate = \"1Mpps\"\nfor = \"1s\"\nat = \"100ms\"\n\
                  inject = { resume = \"sut.server[0].core[0]\" }\n";
    let scenario = Scenario::parse(source, "t.toml").expect("well formed");
    let plan = scenario.resolve(&RunOptions::default()).expect("sensible");
    let mut outcome = outcome(&records);
    let named = outcome.phases.iter_mut().zip(["hang", "wake"]);
    named.for_each(|(phase, name)| phase.name = name.to_owned());
    let injections = plan.phases.iter().filter_map(|phase| phase.injection).enumerate();
    let injected = injections.map(|(phase, what)| Injected {
        phase,
        at: Nanos(5_100_000_000),
        t_s: 0.1,
        what,
    });
    outcome.injected = injected.take(happened).collect();
    summarised(&plan, &outcome)
}

#[test]
fn the_recovery_of_every_event_needs_a_generator_in_time() {
    let good = record(1_000_000, 1_000_000, 1_000_000);
    let mut late = good.clone();
    late.ledger.sent_late = 20_000;
    assert!(eventful(2, [good.clone(), good.clone()]).valid);
    let hang = eventful(2, [late.clone(), good.clone()]);
    assert!(hang.invalid_reasons.iter().any(|why| why.contains("`hang`")), "{hang:?}");
    let wake = eventful(2, [good, late]);
    assert_eq!(wake.invalid_reasons.len(), 1, "{:?}", wake.invalid_reasons);
}

#[test]
fn an_event_that_did_not_happen_is_missed() {
    let good = record(1_000_000, 1_000_000, 1_000_000);
    let one = eventful(1, [good.clone(), good]);
    assert_eq!(one.invalid_reasons, ["1 of the 2 events that were asked for happened"]);
}

#[test]
fn outages_are_told_in_steps_of_two_probes() {
    let mut sampled = record(1_000_000, 1_000_000, 1_000_000);
    sampled.resolution_ns = Some(1_000_000);
    let summary = eventful(2, [sampled.clone(), sampled]);
    assert_eq!(summary.recovery_ms[0].resolution, Some(2.0));
}

#[test]
fn a_sut_that_lets_nobody_in_is_no_late_generator() {
    let mut fill =
        Record { name: "fill".into(), opened: 0, failed: 1000, ..record(5_000, 5_000, 0) };
    fill.ledger.control = 5_000;
    let steady = Record { opened: 0, ..record(1_000_000, 0, 0) };
    let dead = summary_of("1Mpps", &[fill.clone(), steady.clone()]);
    assert_eq!((dead.valid, dead.pass.met), (true, false), "{:?}", dead.invalid_reasons);
    assert_eq!((dead.throughput.bound, dead.throughput.at_least), (Some(Bound::Sut), false));
    assert_eq!(dead.throughput.forwarded_mpps, Some(0.0));
    // With somebody to send to it is the generator's fault.
    let idle = summary_of("1Mpps", &[Record { opened: 1, ..fill }, steady]);
    assert!(!idle.valid);
}
