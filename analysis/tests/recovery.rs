//! What a report says of an injected event: sentence, plots and tables from hand-made files.

mod fixture;

use analysis::report::{plots, render, write};
use analysis::warn::flaps;
use analysis::{Run, load, recovery};
use format::sample::{ConnectionRow, Event, EventKind, Protocol, Role, Sample, Verdict, Window};
use format::summary::{Recovery, Warning};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

/// When server 1 is killed, in seconds.
const KILLED_S: f64 = 7.2;

fn kill() -> Recovery {
    Recovery {
        event: "kill sut.server[1]".to_owned(),
        blocked: Some(11.62),
        p50: Some(11.8),
        p99: Some(13.9),
        max: Some(14.0),
        resolution: Some(2.56),
        first_rerouted: Some(10.6),
        collateral_lost: Some(0),
        detected: Some(9.9),
        takeover: Some(10.4),
        back_at_rate: Some(14.0),
    }
}

/// Server 1 of three is killed; its third of 300 probes per millisecond is lost for 14 ms.
fn run() -> Run {
    let mut run = Run::from_summary("run", fixture::summary());
    run.summary.run.question = "How long are users of a dead server without service?".to_owned();
    run.summary.recovery_ms = vec![kill()];
    let connections = &mut run.summary.connections;
    (connections.kept, connections.remapped) = (Some(156), Some(0));
    (connections.reset, connections.lost, connections.recovered) = (Some(0), Some(0), Some(100));
    let event =
        |ms: f64, kind, what: &str| Event { t_s: KILLED_S + ms / 1e3, kind, what: what.to_owned() };
    run.events = vec![
        Event { t_s: 3.0, kind: EventKind::Phase, what: "fail".to_owned() },
        event(0.0, EventKind::Injected, "kill sut.server[1]"),
        event(9.9, EventKind::Detected, "sut.server[1].core[0] is silent"),
        event(11.1, EventKind::Detected, "sut.server[1].core[1] is silent"),
        event(9.9, EventKind::Steered, "routes of server 1"),
        event(10.4, EventKind::Takeover, "shard 3 by sut.server[2].core[0]"),
    ];
    run.windows = (-60..60).map(window).collect();
    run.connections = (0..100).map(|i| connection(i, 9.6 + f64::from(i) * 4.4 / 99.0)).collect();
    run.samples = (0..3).flat_map(samples).collect();
    run
}

fn window(ms: i32) -> Window {
    let arrived = if (0..14).contains(&ms) { 200 } else { 300 };
    Window { t_s: KILLED_S + f64::from(ms) / 1e3, planned: 300, arrived }
}

fn connection(i: u16, outage_ms: f64) -> ConnectionRow {
    let at = |last, port| SocketAddr::from((Ipv4Addr::new(198, 18, 0, last), port));
    ConnectionRow {
        t_s: KILLED_S + 0.000_5,
        shard: 3,
        subscriber: at(1, 1024 + i),
        external: Some(at(2, 2048 + i)),
        server: at(3, 80),
        protocol: Protocol::Udp,
        verdict: Verdict::Recovered,
        outage_ms: Some(outage_ms),
    }
}

/// A row each tenth of a second of the only core of a server.
fn samples(server: u16) -> Vec<Sample> {
    let row = |i: i32| {
        let t_s = KILLED_S + f64::from(i) / 10.0;
        let rate = match (t_s > KILLED_S, server) {
            (false, _) => 1e6,
            (true, 1) => 0.0,
            (true, _) => 1.5e6,
        };
        Sample {
            t_s,
            phase: "fail".to_owned(),
            role: Role::Sut,
            server,
            core: 0,
            offered_pps: rate,
            forwarded_pps: rate,
            lost: None,
            busy_share: None,
            connections: None,
            latency_p50_us: None,
            latency_p99_us: None,
            drops: None,
            backlog: None,
        }
    };
    (-30..30).map(row).collect()
}

fn page(run: &Run) -> String {
    fixture::plain(&render(run).expect("a page"))
}

/// The SVG documents of the section: by the millisecond, and by connection.
fn drawn(run: &Run) -> (String, String) {
    let plots = plots(run);
    let named = |name: &str| {
        let plot = plots.iter().find(|plot| plot.name == name);
        plot.map(|plot| plot.document()).unwrap_or_default()
    };
    for plot in &plots {
        roxmltree::Document::parse(&plot.document()).expect("well-formed SVG");
    }
    (named("recovery"), named("outages"))
}

fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
}

#[test]
fn the_section_opens_with_question_and_answer() {
    let page = page(&run());
    assert_has(
        &page,
        &[
            "<h3>How long are users of a dead server without service?</h3>",
            "A silent kill of server 1 blocked its connections for 11.8 ms (median), 14 ms at \
             most; 0 connections lost; none of the others noticed.</p>",
        ],
    );
    let mut other = run();
    other.summary.run.question = "What does one core forward?".to_owned();
    other.summary.recovery_ms[0].collateral_lost = Some(17);
    other.summary.connections.lost = Some(1);
    let page = render(&other).expect("a page");
    assert_has(&page, &["1 connection lost; 17 packets of the others were lost."]);
    assert_has(&page, &["<h3>How long were connections without service, and did others notice?"]);
}

#[test]
fn a_run_without_events_has_no_section() {
    let mut run = run();
    run.summary.recovery_ms.clear();
    let page = page(&run);
    assert!(!page.contains("class=\"recovery\"") && !page.contains("Time without service"));
    assert_eq!(drawn(&run), (String::new(), String::new()));
}

#[test]
fn the_timeline_shows_what_happened_when() {
    let (timeline, _) = drawn(&run());
    assert_has(
        &timeline,
        &[
            "<title>After “kill sut.server[1]” the rate was back within 14.0 ms; the loss was that \
             of 11.6 ms</title>",
            "kill sut.server[1]\n",
            "detected 9.90 ms",
            "steered 9.90 ms",
            "takeover 10.4 ms",
            "opacity=\"0.12\" fill=\"#C24A00\"",
            "14.0 ms\n",
            "−10",
            "prefers-color-scheme:dark",
        ],
    );
    let incidents = recovery::incidents(&run());
    let [incident] = &incidents[..] else { panic!("{} incidents", incidents.len()) };
    let detected = &incident.marks[0];
    assert_eq!((detected.kind, detected.count), (EventKind::Detected, 2));
    assert!((detected.first_ms - 9.9).abs() < 1e-6 && (detected.last_ms - 11.1).abs() < 1e-6);
    let dip: f64 = incident.rates.iter().map(|r| r.planned_kpps - r.arrived_kpps).sum();
    assert_eq!((dip, incident.over_ms()), (1400.0, Some(14.0)));
    let page = page(&run());
    assert_has(&page, &["<td class=\"number\">9.90</td><td class=\"number\">11.1</td>"]);
    assert_has(&page, &["<td>shard 3 by sut.server[2].core[0]</td>"]);
}

#[test]
fn outages_are_a_share_of_all_connections_concerned() {
    let (_, outages) = drawn(&run());
    assert_has(
        &outages,
        &[
            "<title>Of 100 connections half were without service for at most 11.8 ms, all for at \
             most 14.0 ms</title>",
            "50 %: 11.8 ms",
            "all: 14.0 ms",
        ],
    );
    let mut lossy = run();
    for row in &mut lossy.connections[..40] {
        (row.verdict, row.outage_ms) = (Verdict::Lost, None);
    }
    let (_, outages) = drawn(&lossy);
    // Of 100 connections 60 came back; the 50th of those took 13.6 ms.
    assert_has(&outages, &["half were without service for at most 13.6 ms; 40 never came back<"]);
    assert!(!outages.contains("all: "), "{outages}");
    let page = page(&lossy);
    assert_has(&page, &["99 %</th><td>never came back</td>"]);
    assert_has(&page, &["of them never back</th><td class=\"number\">40</td>"]);
}

#[test]
fn both_definitions_and_the_resolution_stand_beside_each_other() {
    let page = page(&run());
    let row = ["11.6", "14.0", "11.8", "13.9", "14.0", "2.56", "9.90", "10.6", "10.4", "0"]
        .map(|value| format!("<td class=\"number\">{value}</td>"));
    assert_has(&page, &[&format!("kill sut.server[1]</th>{}", row.concat())]);
    let mut unknown = run();
    unknown.summary.recovery_ms[0].takeover = None;
    unknown.summary.warnings =
        vec![Warning::unavailable("recovery_ms.takeover", "a forwarder has no slaves")];
    assert_has(&render(&unknown).expect("a page"), &["not available: a forwarder has no slaves"]);
}

#[test]
fn the_cores_are_compared_before_and_after() {
    let page = page(&run());
    let row = |core: &str, after: &str, change: &str| {
        format!(
            "{core}</th><td class=\"number\">1.00</td><td class=\"number\">{after}</td>\
             <td class=\"number\">{change}</td>"
        )
    };
    let rows =
        [row("0.0", "1.50", "+50 %"), row("1.0", "0", "−100 %"), row("2.0", "1.50", "+50 %")];
    assert_has(&page, &[&rows[0], &rows[1], &rows[2]]);
}

#[test]
fn a_core_is_judged_by_whole_intervals_near_the_event() {
    let mut run = run();
    let ramp = |(i, sample): (usize, Sample)| Sample {
        // From 2.95 s before to 2.95 s after the event, a tenth of a second each.
        t_s: KILLED_S - 2.95 + i as f64 / 10.0,
        forwarded_pps: i as f64 * 1e6,
        ..sample
    };
    run.samples = samples(0).into_iter().enumerate().map(ramp).collect();
    let incident = &recovery::incidents(&run)[0];
    let loads = recovery::balance(incident, &run.samples);
    // Intervals that end 1.85 to 0.05 s before, and 0.15 to 1.95 s after: the outage is 14 ms.
    assert_eq!((loads[0].before_mpps, loads[0].after_mpps), (Some(20.0), Some(40.0)));
    run.samples.truncate(5);
    let loads = recovery::balance(incident, &run.samples);
    assert_eq!((loads[0].before_mpps, loads[0].after_mpps), (None, None));
}

#[test]
fn of_several_events_the_worst_is_told_and_the_middle_one() {
    let mut run = run();
    let event = |t_s, kind, what: &str| Event { t_s, kind, what: what.to_owned() };
    for (t_s, max) in [(10.2, 30.0), (13.2, 12.0)] {
        run.events.push(event(t_s, EventKind::Injected, "kill sut.server[1]"));
        run.events.push(event(t_s + 0.02, EventKind::Detected, "sut.server[1].core[0]"));
        run.summary.recovery_ms.push(Recovery { max: Some(max), p50: Some(max), ..kill() });
        run.connections.push(ConnectionRow { t_s: t_s + 0.001, ..connection(0, max) });
    }
    let page = page(&run);
    assert_has(
        &page,
        &[
            "for 30 ms (median), 30 ms at most",
            "It is the worst of 3 events, whose longest outage is 14 ms in the median.",
        ],
    );
    let incidents = recovery::incidents(&run);
    assert_eq!(incidents[1].outages_ms, [30.0], "only its own");
    assert_eq!((incidents[0].outages_ms.len(), incidents[0].until_s), (100, 10.2));
    assert_eq!(incidents[0].marks[0].count, 2, "what came after the next event is not its own");
    // One curve for each event and one for all.
    let (timeline, outages) = drawn(&run);
    assert_eq!(timeline, "", "no windows were recorded around the worst event");
    assert_has(&outages, &["each event", "Of 102 connections"]);
}

#[test]
fn a_graceful_departure_blocks_nobody() {
    let mut run = run();
    run.summary.recovery_ms[0] = Recovery {
        event: "leave sut.server[1]".to_owned(),
        blocked: Some(0.0),
        p50: Some(0.0),
        p99: Some(0.0),
        max: Some(0.0),
        back_at_rate: Some(0.0),
        ..kill()
    };
    run.connections.clear();
    run.windows.iter_mut().for_each(|window| window.arrived = window.planned);
    let page = page(&run);
    assert_has(&page, &["A graceful departure of server 1 blocked no connection; 0 connections"]);
    let (timeline, outages) = drawn(&run);
    assert!(!timeline.contains("opacity=\"0.12\"") && outages.is_empty());
}

#[test]
fn what_is_missing_is_said() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut summary = fixture::summary();
    summary.recovery_ms = vec![kill()];
    fixture::write(dir.path(), &summary);
    fs::remove_file(dir.path().join("events.csv")).expect("written before");
    let page = fs::read_to_string(write(dir.path()).expect("a report").page).expect("written");
    assert_has(
        &page,
        &[
            "recovery.csv is missing: no rate by the millisecond",
            "connections.csv is missing: outages of connections are not drawn",
            "not available: events.csv has no `injected` row for it",
        ],
    );
    assert!(!dir.path().join("recovery.svg").exists());
}

#[test]
fn a_run_directory_gets_both_plots() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let run = run();
    fixture::write(dir.path(), &run.summary);
    let path = |name: &str| dir.path().join(name);
    fixture::rows(&path("events.csv"), &run.events);
    fixture::rows(&path("recovery.csv"), &run.windows);
    fixture::rows(&path("connections.csv"), &run.connections);
    write(dir.path()).expect("a report");
    let loaded = load::load(dir.path()).expect("our own files");
    assert_eq!((&loaded.windows, &loaded.connections), (&run.windows, &run.connections));
    let has = |name: &str| Path::new(&path(name)).exists();
    assert!(has("recovery.svg") && has("outages.svg") && has("rate.svg"));
    fs::write(path("connections.csv"), "t_s,shard\n1,2\n").expect("a file");
    assert!(load::load(dir.path()).expect_err("half a table").to_string().contains("damaged"));
}

#[test]
fn a_detection_without_cause_is_a_flap() {
    let mut events = run().events;
    assert_eq!(flaps(&events, Some(0.0099)), []);
    let detected = |t_s| Event { t_s, kind: EventKind::Detected, what: "silent".to_owned() };
    events.push(detected(6.5));
    events.push(detected(KILLED_S + 2.0));
    let found = flaps(&events, None);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].kind, "flap");
    assert_has(&found[0].message, &["silent 2 times", "first at 6.5", "network.bfd.interval"]);
    // A router that is told to wait longer is given longer.
    assert_has(&flaps(&events, Some(1.5))[0].message, &["silent 1 time "]);
    let mut flapping = run();
    flapping.events = events;
    assert_has(&page(&flapping), &["silent 2 times"]);
}
