//! `summary.json`: values by path, criteria, and nulls that stay nulls.

use format::plan::{Criterion, SutKind};
use format::summary::*;
use format::{Host, METRICS, Summary};
use std::collections::BTreeMap;

fn recovery(p99: Option<f64>) -> Recovery {
    Recovery {
        event: "kill sut.server[1]".to_owned(),
        blocked: Some(1.0),
        p50: Some(2.0),
        p99,
        max: Some(4.0),
        resolution: Some(0.1),
        first_rerouted: Some(0.5),
        collateral_lost: Some(0),
        detected: Some(0.2),
        takeover: Some(0.4),
        back_at_rate: Some(5.0),
    }
}

/// A summary in which every value could be had.
fn complete() -> Summary {
    Summary {
        schema: SCHEMA.to_owned(),
        run: Run {
            id: "2026-11-20-imix-lab".to_owned(),
            started: "2026-11-20T10:00:00Z".to_owned(),
            scenario: "imix".to_owned(),
            question: "How fast?".to_owned(),
            scenario_hash: "0".repeat(64),
            plan_hash: "1".repeat(64),
            seed: 1,
            testbed: "embedded".to_owned(),
            git: None,
            version: "0.1.0".to_owned(),
            interrupted: false,
        },
        host: Host::default(),
        valid: true,
        invalid_reasons: Vec::new(),
        warnings: vec![Warning::unavailable("run.git", "built outside a repository")],
        throughput: Throughput {
            source: Source::BlackBox,
            offered_mpps: Some(5.0),
            forwarded_mpps: Some(4.5),
            forwarded_gbps: Some(13.0),
            layer: LAYER.to_owned(),
            genome: "imix-7-4-1".to_owned(),
            mean_frame_bytes: 361.83,
            bound: Some(Bound::Sut),
            at_least: false,
            mpps_per_core: Some(Estimate {
                value: 4.5,
                low: Some(4.4),
                high: Some(4.6),
                confidence: Some(0.95),
            }),
            trials: vec![
                Trial { offered_mpps: 5.0, forwarded_mpps: 4.5, lost: 3, seconds: 10.0 },
                Trial { offered_mpps: 5.0, forwarded_mpps: 4.5, lost: 7, seconds: 10.0 },
            ],
            search: Some(Found {
                goal: "ndr".to_owned(),
                loss_ratio: 0.0,
                exceed_ratio: 0.0,
                trial_s: 10.0,
                sum_s: 10.0,
                width: 0.01,
                lower_mpps: Some(5.0),
                upper_mpps: Some(5.05),
                conditional_mpps: Some(5.0),
                regular: true,
                bound: Some(Bound::Sut),
                at_least: false,
                trials: 12,
            }),
        },
        sut: Sut {
            source: Source::WhiteBox,
            kind: SutKind::Krononat,
            cores: vec![SutCore {
                server: 0,
                core: 0,
                forwarded: 45_000_000,
                mpps: Some(4.5),
                busy_share: Some(1.0),
                cycles_per_packet: Some(500.0),
                drops: BTreeMap::from([("no-port".to_owned(), 0)]),
            }],
            connections_peak: Some(1000),
            bytes_per_connection: Some(64.0),
            drops: BTreeMap::new(),
        },
        ledger: Ledger { planned: 10, on_time: 10, ..Ledger::default() },
        latency_us: Latency {
            p50: Some(5.0),
            p90: Some(6.0),
            p99: Some(7.0),
            p999: Some(8.0),
            max: Some(9.0),
            min: Some(1.0),
            pdv: Some(7.0),
        },
        latency_error_us: Some(LatencyError { rate_mpps: 5.0, packets: 10, ..Default::default() }),
        connections: Connections {
            open_rate_achieved: Some(0.0),
            close_rate_achieved: Some(0.0),
            kept: Some(1),
            remapped: Some(0),
            reset: Some(0),
            lost: Some(0),
            recovered: Some(0),
            ..Connections::default()
        },
        recovery_ms: vec![recovery(Some(3.0)), recovery(Some(30.0))],
        certificate: Certificate {
            headroom: Some(2.0),
            late_send_share: Some(0.0),
            rate_error: Some(0.0),
            core_spread: Some(0.0),
            steal_share: Some(0.0),
            twin_mpps: Some(20.0),
            forwarder_mpps: Some(10.0),
            forwarder_cycles_per_packet: Some(100.0),
            longest_gap_us: Some(3.0),
        },
        peers: Vec::new(),
        energy: Energy { package_j: Some(1200.0), seconds: Some(10.0), watts: Some(120.0) },
        pass: Pass { met: true, criteria: Vec::new() },
    }
}

#[test]
fn every_metric_names_a_value() {
    let summary = complete();
    for metric in METRICS {
        assert!(summary.metric(metric).is_some(), "{metric}");
    }
    assert_eq!(summary.metric("ledger.on_time"), Some(10.0));
    assert_eq!(summary.metric("recovery_ms.p99"), Some(30.0), "the largest of all events");
    assert_eq!(summary.metric("throughput.trials.lost"), Some(7.0), "the largest of all trials");
    assert_eq!(summary.metric("sut.drops.table_full"), Some(0.0), "counted, and none");
    for none in ["", "ledger", "ledger.on_time.x", "run.git", "host.cores", "no.such"] {
        assert_eq!(summary.metric(none), None, "{none}");
    }
}

#[test]
fn what_could_not_be_had_is_null_and_meets_no_limit() {
    let mut summary = complete();
    summary.latency_us.p99 = None;
    summary.recovery_ms.push(recovery(None));
    let text = serde_json::to_string(&summary).expect("JSON");
    assert!(text.contains("\"p99\":null"), "{text}");
    assert_eq!(serde_json::from_str::<Summary>(&text).expect("our own"), summary);

    let limit = |name: &str, min, max| Criterion { name: name.to_owned(), min, max };
    let kept = [limit("ledger.lost", None, Some(0.0)), limit("ledger.on_time", Some(10.0), None)];
    assert!(summary.judge(&kept).met);
    assert!(summary.judge(&[]).met);
    for broken in [
        limit("ledger.on_time", Some(10.5), None),
        limit("ledger.on_time", None, Some(9.0)),
        limit("latency_us.p99", None, Some(1e9)),
        limit("recovery_ms.p99", None, Some(1e9)),
    ] {
        let pass = summary.judge(&[kept[0].clone(), broken.clone()]);
        assert!(!pass.met && pass.criteria[0].met && !pass.criteria[1].met, "{broken:?}");
    }
}
