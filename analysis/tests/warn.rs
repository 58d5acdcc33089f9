//! Every doubt is raised by what calls for it, and by nothing else.

mod fixture;

use analysis::warn::{split_remedy, warnings};
use format::Summary;
use format::summary::{Bound, LatencyError, Recovery, Warning};

fn kinds(summary: &Summary) -> Vec<String> {
    warnings(summary, &fixture::samples()).into_iter().map(|warning| warning.kind).collect()
}

fn clean() -> Summary {
    let mut summary = fixture::summary();
    summary.throughput.bound = Some(Bound::Sut);
    summary.throughput.at_least = false;
    summary
}

#[test]
fn a_clean_run_has_no_warning() {
    assert_eq!(kinds(&clean()), Vec::<String>::new());
}

#[test]
fn each_cause_raises_its_warning_and_no_other() {
    type Change = fn(&mut Summary);
    let table: [(&str, Change); 17] = [
        ("interrupted", |s| s.run.interrupted = true),
        ("generator-bound", |s| s.throughput.bound = Some(Bound::Generator)),
        ("link-bound", |s| s.throughput.bound = Some(Bound::Link)),
        ("headroom", |s| s.certificate.headroom = Some(1.19)),
        ("late-sends", |s| s.certificate.late_send_share = Some(0.002)),
        ("rate-error", |s| s.certificate.rate_error = Some(-0.02)),
        ("core-spread", |s| s.certificate.core_spread = Some(0.002)),
        ("latency-error", |s| {
            // A quarter of 11.9 µs and a little.
            s.latency_error_us = s.latency_error_us.map(|it| LatencyError { p50: 2.98, ..it });
        }),
        ("steal", |s| s.certificate.steal_share = Some(0.04)),
        ("long-gap", |s| s.certificate.longest_gap_us = Some(1_500.0)),
        ("unsent", |s| {
            s.ledger.unsent = 5;
            s.ledger.on_time -= 5;
        }),
        ("not-conserved", |s| s.ledger.on_time -= 1),
        ("few-trials", |s| s.throughput.trials.truncate(5)),
        ("clock", |s| s.host.tsc_hz = None),
        ("coarse-resolution", |s| {
            let c = &mut s.connections;
            (c.kept, c.remapped, c.lost, c.recovered) = (Some(9), Some(0), Some(0), Some(1));
            let (p50, p99, resolution) = (Some(10.0), Some(10.0), Some(2.6));
            s.recovery_ms = vec![Recovery { p50, p99, resolution, ..Recovery::default() }];
        }),
        ("unavailable", |s| s.latency_us.p99 = None),
        ("unavailable", |s| s.sut.cores[0].cycles_per_packet = None),
    ];
    for (kind, change) in table {
        let mut summary = clean();
        change(&mut summary);
        assert_eq!(kinds(&summary), [kind]);
        // Once recorded it is not raised again.
        summary.warnings = warnings(&summary, &fixture::samples());
        assert_eq!(kinds(&summary), Vec::<String>::new(), "{kind} is raised twice");
        let (what, remedy) = split_remedy(&summary.warnings[0]);
        assert!(what.ends_with('.') && remedy.is_some_and(|remedy| remedy.len() > 10));
    }
}

#[test]
fn a_resolution_of_a_quarter_of_the_outage_will_do() {
    let mut summary = clean();
    let event = |p50, resolution| Recovery { p50, p99: p50, resolution, ..Recovery::default() };
    for (p50, resolution, coarse) in [
        (Some(10.0), Some(2.5), false),
        (Some(10.0), Some(2.51), true),
        (Some(0.0), Some(2.5), false),
        (Some(10.0), None, false),
    ] {
        summary.recovery_ms = vec![event(Some(100.0), Some(1.0)), event(p50, resolution)];
        let found = kinds(&summary).contains(&"coarse-resolution".to_owned());
        assert_eq!(found, coarse, "{p50:?} {resolution:?}");
    }
}

#[test]
fn a_reason_already_given_for_a_gap_is_kept() {
    let mut summary = clean();
    summary.sut.bytes_per_connection = None;
    summary.warnings = vec![Warning::unavailable("sut.bytes_per_connection", "no table")];
    assert_eq!(kinds(&summary), Vec::<String>::new());
}

#[test]
fn samples_are_looked_at() {
    let few: Vec<_> = fixture::samples().into_iter().take(4).collect();
    assert_eq!(warnings(&clean(), &few)[0].kind, "few-samples");
    let mut back = fixture::samples();
    back[10].t_s = 0.1;
    assert_eq!(warnings(&clean(), &back)[0].kind, "clock");
    assert!(warnings(&clean(), &[]).is_empty(), "no samples is the loader's matter");
}
