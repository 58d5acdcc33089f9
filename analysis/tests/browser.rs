//! Pages in a real browser: pictures to look at, and no width at which a page scrolls sideways. Where
//! Chromium is not installed, it says so and tests what needs no browser.

mod fixture;

use analysis::Run;
use analysis::report::{paper, render, render_all};
use format::Paper;
use format::sample::{ConnectionRow, Event, EventKind, Protocol, Role, Sample, Verdict, Window};
use format::summary::Recovery;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names under which distributions have it.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Narrowest width that pages are made for, in pixels: a telephone held upright.
const NARROW: u32 = 390;

fn steady() -> Run {
    let mut run = Run::from_summary("run", fixture::summary());
    run.samples = fixture::samples();
    run.events = fixture::events();
    run.latency = analysis::latency::read_log(&fixture::latency_log()).ok();
    run.summary.sut.drops = [("unknown_inbound".to_owned(), 1_204), ("ttl".to_owned(), 3)].into();
    run.summary.sut.cores[0].drops = [("unknown_inbound".to_owned(), 1_100)].into();
    run
}

/// Server 1 of three is killed, with an outage of `ms`.
fn failed(id: &str, ms: f64, bfd_ns: u64) -> Run {
    let at_s = 7.2;
    let mut run = Run::from_summary("run", fixture::summary());
    run.summary.run.id = id.to_owned();
    run.summary.run.question = "For how long does a server that dies block its users?".to_owned();
    run.summary.recovery_ms = vec![Recovery {
        event: "kill sut.server[1]".to_owned(),
        blocked: Some(ms - 2.0),
        p50: Some(ms - 1.0),
        p99: Some(ms),
        max: Some(ms),
        resolution: Some(1.0),
        first_rerouted: None,
        collateral_lost: Some(0),
        detected: Some(ms - 2.0),
        takeover: Some(ms - 1.5),
        back_at_rate: Some(ms),
    }];
    let connections = &mut run.summary.connections;
    (connections.kept, connections.recovered) = (Some(156), Some(100));
    (connections.remapped, connections.reset, connections.lost) = (Some(0), Some(0), Some(0));
    let event = |after: f64, kind, what: &str| Event {
        t_s: at_s + after / 1e3,
        kind,
        what: what.to_owned(),
    };
    run.events = vec![
        Event { t_s: 3.0, kind: EventKind::Phase, what: "fail".to_owned() },
        event(0.0, EventKind::Injected, "kill sut.server[1]"),
        event(ms - 2.0, EventKind::Detected, "sut.server[1].core[0] is silent"),
        event(ms - 2.0, EventKind::Steered, "routes of server 1"),
        event(ms - 1.5, EventKind::Takeover, "shard 3 by sut.server[2].core[0]"),
    ];
    let window = |i: i32| {
        let within = f64::from(i) >= 0.0 && f64::from(i) < ms;
        let arrived = if within { 200 } else { 300 };
        Window { t_s: at_s + f64::from(i) / 1e3, planned: 300, arrived }
    };
    run.windows = (-80..80).map(window).collect();
    run.connections = (0..100).map(|i| connection(at_s, i, ms)).collect();
    run.samples = (0..3).flat_map(|server| samples(at_s, server)).collect();
    let network =
        format!("\n[network]\nbfd_interval_ns = {bfd_ns}\nbfd_multiplier = 3\nfib_delay_ns = 0\n");
    run.plan = Some(include_str!("stored/run/plan.toml").to_owned() + &network);
    run
}

fn connection(at_s: f64, i: u16, ms: f64) -> ConnectionRow {
    let at = |last, port| SocketAddr::from((Ipv4Addr::new(198, 18, 0, last), port));
    ConnectionRow {
        t_s: at_s + 0.000_5,
        shard: 3,
        subscriber: at(1, 1024 + i),
        external: Some(at(2, 2048 + i)),
        server: at(3, 80),
        protocol: Protocol::Udp,
        verdict: Verdict::Recovered,
        outage_ms: Some(ms - 4.0 + f64::from(i) * 4.0 / 99.0),
    }
}

fn samples(at_s: f64, server: u16) -> Vec<Sample> {
    let row = |i: i32| {
        let t_s = at_s + f64::from(i) / 10.0;
        let rate = match (i > 0, server) {
            (false, _) => 1e6,
            (true, 1) => 0.0,
            (true, _) => 1.5e6,
        };
        let held = if i > 0 && server == 1 { 0 } else { 344_064 };
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
            connections: Some(held),
            latency_p50_us: None,
            latency_p99_us: None,
            drops: None,
            backlog: Some((7 * i.unsigned_abs() % 31).into()),
        }
    };
    (-30..30).map(row).collect()
}

/// Name and page.
fn pages() -> Vec<(&'static str, String)> {
    let mut second = steady();
    second.summary.run.id = "2026-11-24-imix-lab1".to_owned();
    second.summary.sut.cores.push(fixture::core(1, 13.9));
    second.summary.throughput.forwarded_mpps = Some(28.1);
    second.summary.throughput.at_least = false;
    let set = [steady(), second, failed("a", 11.2, 3_300_000), failed("b", 34.0, 10_000_000)];
    let claims: Paper =
        serde_json::from_str(include_str!("stored/paper.json")).expect("a stored report");
    vec![
        ("run", render(&steady()).expect("a page")),
        ("event", render(&failed("kill", 14.0, 3_300_000)).expect("a page")),
        ("set", render_all(&set).expect("a page")),
        ("claims", paper::render(&claims).expect("a page")),
    ]
}

fn chromium() -> Option<&'static str> {
    NAMES.into_iter().find(|name| Command::new(name).arg("--version").output().is_ok())
}

fn browse(chromium: &str, profile: &Path, more: &[&str]) -> String {
    let profile = format!("--user-data-dir={}", profile.display());
    let output = Command::new("timeout")
        .args(["60", chromium, "--headless", "--no-sandbox", "--disable-gpu", &profile])
        .args(["--hide-scrollbars", "--disable-dev-shm-usage", "--allow-file-access-from-files"])
        .args(more)
        .output()
        .expect("timeout starts");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let folder = target.unwrap_or(beside).join("pages");
    fs::create_dir_all(&folder).expect("made");
    folder
}

/// Width of what a page wants to show in a window of `NARROW`.
fn width(chromium: &str, profile: &Path, page: &str) -> u32 {
    let escaped = page.replace('&', "&amp;").replace('"', "&quot;");
    let around = format!(
        "<body><iframe id=\"f\" style=\"border:0\" width=\"{NARROW}\" height=\"800\" \
         srcdoc=\"{escaped}\"></iframe><script>onload=()=>{{document.body.textContent='width '+\
         document.getElementById('f').contentDocument.documentElement.scrollWidth+' px'}}</script>"
    );
    let file = profile.join("around.html");
    fs::write(&file, around).expect("written");
    let dom = browse(chromium, profile, &["--dump-dom", &format!("file://{}", file.display())]);
    let number = dom.split("width ").nth(1).and_then(|text| text.split(" px").next());
    number.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no width in {dom:.300}"))
}

#[test]
fn pages_in_a_browser() {
    let Some(chromium) = chromium() else {
        println!("skipped: no Chromium on this host (apt-get install chromium)");
        return;
    };
    let (folder, profile) = (folder(), tempfile::tempdir().expect("a folder"));
    for (name, page) in pages() {
        let file = folder.join(format!("{name}.html"));
        fs::write(&file, &page).expect("written");
        let address = format!("file://{}", file.display());
        let wide = width(chromium, profile.path(), &page);
        assert!(wide <= NARROW, "{name} is {wide} pixels wide where there are {NARROW}");
        // No window is as narrow as a telephone.
        let frame = profile.path().join("frame.html");
        let text =
            format!("<iframe width=\"{NARROW}\" height=\"2300\" src=\"{address}\"></iframe>");
        fs::write(&frame, text).expect("written");
        let framed = format!("file://{}", frame.display());
        let light = &["--blink-settings=preferredColorScheme=1"][..];
        let dark = &["--force-dark-mode", "--blink-settings=preferredColorScheme=0"][..];
        for (form, address, more) in
            [("light", &address, light), ("dark", &address, dark), ("narrow", &framed, light)]
        {
            let picture = folder.join(format!("{name}-{form}.png"));
            let _ = fs::remove_file(&picture);
            let to = format!("--screenshot={}", picture.display());
            let size = &[&to[..], "--window-size=1000,2400"][..];
            browse(chromium, profile.path(), &[size, more, &[address]].concat());
            let bytes = fs::metadata(&picture).map_or(0, |it| it.len());
            assert!(bytes > 20_000, "{}: {bytes} bytes", picture.display());
        }
        let print = folder.join(format!("{name}.pdf"));
        let to = format!("--print-to-pdf={}", print.display());
        browse(chromium, profile.path(), &[&to, "--no-pdf-header-footer", &address]);
        let bytes = fs::metadata(&print).map_or(0, |it| it.len());
        assert!(bytes > 10_000, "{}: {bytes} bytes", print.display());
    }
}

/// The colours of a rule of the style, by name.
fn colours(rule: &str) -> Vec<(String, [f64; 3])> {
    let parts = rule.split(';').filter_map(|part| part.trim().strip_prefix("--")?.split_once(':'));
    let channel = |text: &str| {
        let share = f64::from(u8::from_str_radix(text, 16).expect("hexadecimal")) / 255.0;
        if share <= 0.040_45 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
    };
    let colour = |hex: &str| match hex.len() {
        3 => [0, 1, 2].map(|i| channel(&hex[i..=i].repeat(2))),
        _ => [0, 2, 4].map(|i| channel(&hex[i..i + 2])),
    };
    parts.map(|(name, hex)| (name.to_owned(), colour(hex.trim().trim_start_matches('#')))).collect()
}

#[test]
fn text_stands_out_in_light_and_dark() {
    let style = include_str!("../templates/style.css");
    let rules: Vec<_> =
        style.split(":root{").skip(1).filter_map(|it| it.split('}').next()).collect();
    assert_eq!(rules.len(), 2, "a light and a dark one");
    for rule in rules {
        let colours = colours(rule);
        let luminance = |name: &str| {
            let (_, [r, g, b]) = colours.iter().find(|(it, _)| it == name).expect(name);
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        for (text, grounds) in [
            ("ink", &["ground", "panel"][..]),
            ("soft", &["ground", "panel"]),
            ("link", &["ground"]),
            ("good", &["ground", "good-ground"]),
            ("bad", &["ground", "bad-ground"]),
            ("doubtful", &["ground", "doubtful-ground"]),
        ] {
            for ground in grounds {
                let (a, b) = (luminance(text), luminance(ground));
                let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                // WCAG 2.2, 1.4.3.
                assert!(contrast >= 4.5, "{text} on {ground}: {contrast:.2}");
            }
        }
    }
}
