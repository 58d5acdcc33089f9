//! Scenarios from text to plan: those shipped, those that are wrong, and those that are noise.

use format::plan::{Attack, Rate, Search, Shape, Testbed, Until};
use format::scenario::Demand;
use format::{Plan, RunOptions, Scenario};
use proptest::prelude::*;

const SHIPPED: [(&str, &str); 22] = [
    ("scenarios/imix.toml", include_str!("../../scenarios/imix.toml")),
    ("scenarios/imix-60m.toml", include_str!("../../scenarios/imix-60m.toml")),
    ("scenarios/min-size.toml", include_str!("../../scenarios/min-size.toml")),
    ("scenarios/churn.toml", include_str!("../../scenarios/churn.toml")),
    ("scenarios/syn-flood.toml", include_str!("../../scenarios/syn-flood.toml")),
    ("scenarios/capacity.toml", include_str!("../../scenarios/capacity.toml")),
    ("scenarios/capacity-ports.toml", include_str!("../../scenarios/capacity-ports.toml")),
    ("scenarios/server-failure.toml", include_str!("../../scenarios/server-failure.toml")),
    ("scenarios/server-leave.toml", include_str!("../../scenarios/server-leave.toml")),
    ("scenarios/server-join.toml", include_str!("../../scenarios/server-join.toml")),
    ("scenarios/server-return.toml", include_str!("../../scenarios/server-return.toml")),
    ("scenarios/core-hang.toml", include_str!("../../scenarios/core-hang.toml")),
    ("scenarios/rolling-upgrade.toml", include_str!("../../scenarios/rolling-upgrade.toml")),
    ("scenarios/partition.toml", include_str!("../../scenarios/partition.toml")),
    ("scenarios/link-down.toml", include_str!("../../scenarios/link-down.toml")),
    ("scenarios/gate.toml", include_str!("../../scenarios/gate.toml")),
    ("scenarios/scale-64.toml", include_str!("../../scenarios/scale-64.toml")),
    ("scenarios/scale-cores.toml", include_str!("../../scenarios/scale-cores.toml")),
    ("scenarios/uneven.toml", include_str!("../../scenarios/uneven.toml")),
    ("scenarios/peers.toml", include_str!("../../scenarios/peers.toml")),
    ("scenarios/peers-filter.toml", include_str!("../../scenarios/peers-filter.toml")),
    ("scenarios/per-subscriber.toml", include_str!("../../scenarios/per-subscriber.toml")),
];

fn plan(source: &str, file: &str, overrides: &[(&str, &str)]) -> Result<Plan, String> {
    Scenario::with_overrides(source, file, overrides)
        .and_then(|scenario| scenario.resolve(&RunOptions::default()))
        .map_err(|error| error.to_string())
}

fn imix(overrides: &[(&str, &str)]) -> Result<Plan, String> {
    plan(SHIPPED[0].1, SHIPPED[0].0, overrides)
}

/// The message that imix gives with `from` replaced by `to`.
fn wrong(from: &str, to: &str) -> String {
    let source = SHIPPED[0].1.replacen(from, to, 1);
    assert_ne!(source, SHIPPED[0].1, "`{from}` is not in imix.toml");
    plan(&source, "imix.toml", &[]).expect_err(to)
}

#[test]
fn every_shipped_scenario_resolves_and_its_plan_survives_the_file() {
    for (file, source) in SHIPPED {
        let plan = plan(source, file, &[]).unwrap_or_else(|error| panic!("{error}"));
        let text = plan.to_toml();
        let read = Plan::from_toml(&text).unwrap_or_else(|error| panic!("{file}: {error}\n{text}"));
        assert_eq!(read, plan, "{file}");
        assert_eq!(read.hash(), plan.hash(), "{file}");
        assert!(plan.question.ends_with('?'), "{file}: {}", plan.question);
    }
}

#[test]
fn no_shipped_scenario_is_forgotten_here() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios");
    let files = std::fs::read_dir(folder).expect("the scenarios");
    let tomls = files.filter(|file| {
        file.as_ref().is_ok_and(|file| file.path().extension().is_some_and(|e| e == "toml"))
    });
    assert_eq!(tomls.count(), SHIPPED.len());
}

#[test]
fn imix_is_what_its_comments_say() {
    let plan = imix(&[]).expect("imix");
    assert_eq!(plan.scenario, "imix");
    assert_eq!((plan.seed, plan.repeat, &plan.testbed), (24301, 1, &Testbed::Embedded));
    assert_eq!((plan.addresses.subscribers_per_pair, plan.addresses.port_block), (16_384, 64));
    assert_eq!(plan.traffic.sizes.len(), 12);
    assert_eq!(plan.phases[0].until, Until::Held(1_032_192));
    assert_eq!((plan.phases[0].rate, plan.phases[0].open_per_s), (Rate::None, 1e6));
    assert_eq!(plan.phases[1].until, Until::For(10_000_000_000));
    assert_eq!(plan.phases[1].rate, Rate::Max);
    assert_eq!(plan.sut.table_entries, 1 << 21);
    assert_eq!(plan.pass.len(), 4);
}

#[test]
fn churn_is_what_its_comments_say() {
    let plan = plan(SHIPPED[3].1, SHIPPED[3].0, &[]).expect("churn");
    let demand =
        Demand::of(&plan.phases, &plan.sut.timers, plan.traffic.udp_share, plan.traffic.zipf);
    assert_eq!((demand.held_peak, demand.tracked_peak), (462_144, 942_144));
    assert_eq!(plan.addresses.subscribers_per_pair, 8192);
}

#[test]
fn attackers_are_counted_in_with_what_they_may_hold() {
    let plan = plan(SHIPPED[4].1, SHIPPED[4].0, &[]).expect("syn-flood");
    let expected = Attack { syn_flood_per_s: 5e5, attackers: 16, scan_per_s: 2.5e5 };
    assert_eq!((plan.phases[1].attack, plan.phases[0].attack.is_none()), (expected, true));
    // 262,144 connections and 16 x 64 half-open ones, a quarter more, the next power of two.
    assert_eq!((plan.sut.half_open_max, plan.sut.table_entries), (64, 1 << 19));
    assert_eq!(plan.sut.subscriber_connections_max, 512);
}

#[test]
fn more_than_there_is_room_for_is_asked_on_purpose_only() {
    for (index, message) in [
        (5, "traffic.connections: 589824 connections, closed ones included"),
        (6, "traffic.connections: 458752 connections, closed ones included"),
    ] {
        let (file, source) = SHIPPED[index];
        assert!(plan(source, file, &[]).is_ok(), "{file}");
        let text = source.replace("overcommit = true", "");
        let error = plan(&text, file, &[]).expect_err("too many");
        assert!(error.contains(message) && error.contains("overcommit = true"), "{error}");
    }
    let text = SHIPPED[5].1.replace("overcommit = true", "half_open_max = 1");
    let error = plan(&text, SHIPPED[5].0, &[]).expect_err("too many for the table alone");
    let message =
        "sut.table_entries: 262144 are too few; expected at least 331776 on each SUT core";
    assert!(error.contains(message) && error.contains("overcommit = true"), "{error}");
}

#[test]
fn a_search_takes_the_place_of_a_rate_and_what_it_found_is_no_part_of_the_plan() {
    let searched = |to: &str| SHIPPED[0].1.replacen("rate = \"max\"", to, 1);
    let mut asked = plan(&searched("search = \"pdr\""), "imix.toml", &[]).expect("sensible");
    let hash = asked.hash();
    let phase = asked.phases.last_mut().expect("two phases");
    assert_eq!((phase.search, phase.rate), (Some(Search::Pdr), Rate::Max));
    phase.rate = Rate::Pps(5e6);
    assert_eq!(asked.hash(), hash);
    let other = plan(&searched("search = \"ndr\""), "imix.toml", &[]).expect("sensible");
    assert_ne!(other.hash(), hash);
    let error = wrong("rate = \"max\"", "search = \"nrd\"");
    assert!(error.contains("phase.search") || error.contains("steady.search"), "{error}");
    assert!(error.contains("ndr"), "{error}");
    let text =
        searched("search = \"ndr\"").replace("for = \"10s\"", "count = 1000\nopen = \"1/s\"");
    let text = text.replacen("open = \"0/s\"", "", 1);
    let error = plan(&text, "imix.toml", &[]).expect_err("no length");
    assert!(error.contains("phase.steady.search: trials without a length"), "{error}");
}

/// What imix becomes with another rate of its last phase.
fn rated(rate: &str) -> Result<Plan, String> {
    let source = SHIPPED[0].1.replacen("rate = \"max\"", &format!("rate = {rate}"), 1);
    plan(&source, "imix.toml", &[])
}

#[test]
fn a_rate_may_change_around_its_mean() {
    let (ns, period_ns) = (10_000_000, 1_000_000_000);
    for (rate, mean, shape) in [
        ("{ from = \"1Mpps\", to = \"5Mpps\" }", 3e6, Some(Shape::Ramp { from: 1.0 / 3.0 })),
        ("{ from = \"2Mpps\", to = \"2Mpps\" }", 2e6, None),
        (
            "{ mean = \"3Mpps\", swing = 0.5, period = \"1s\" }",
            3e6,
            Some(Shape::Wave { swing: 0.5, period_ns }),
        ),
        (
            "{ burst = \"8Mpps\", on = \"10ms\", off = \"30ms\" }",
            2e6,
            Some(Shape::Bursts { on_ns: ns, off_ns: 3 * ns }),
        ),
    ] {
        let plan = rated(rate).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((plan.phases[1].rate, plan.phases[1].shape), (Rate::Pps(mean), shape));
        assert_eq!(Plan::from_toml(&plan.to_toml()).as_ref(), Ok(&plan));
    }
    let phases = rated("{ from = \"0pps\", to = \"0pps\" }").expect("nothing").phases;
    assert_eq!((phases[1].rate, phases[1].shape), (Rate::None, None));
}

#[test]
fn a_rate_that_cannot_change_so_is_refused() {
    for (rate, part) in [
        (
            "{ from = \"1Mpps\" }",
            "imix.toml:27: phase.steady.rate: a course that is not understood",
        ),
        ("{ from = \"max\", to = \"1Mpps\" }", "no rate of them max"),
        ("{ from = \"1Mpps\", to = \"2Mpps\", swing = 0.1 }", "{ mean, swing, period }"),
        ("{ form = \"1Mpps\", to = \"2Mpps\" }", "did you mean \"from\""),
        ("{ mean = \"1Mpps\", swing = 1.5, period = \"1s\" }", "a swing above 0 and at most 1"),
        ("{ mean = \"1Mpps\", swing = 0.5, period = \"3s\" }", "a whole number of periods"),
        ("{ burst = \"1Mpps\", on = \"1us\", off = \"9us\" }", "at least 10us"),
        ("{ burst = \"1Mpps\", on = \"1ms\", off = \"2ms\" }", "bursts and pauses, so that"),
        ("5", "expected \"max\", packets per second"),
    ] {
        let error = rated(rate).expect_err(rate);
        assert!(error.contains("imix.toml:27") && error.contains(part), "{rate}: {error}");
    }
    let slope = "{ from = \"1Mpps\", to = \"5Mpps\" }\n";
    let error = rated(&format!("{slope}sample = 1000")).expect_err("outages");
    assert!(error.contains("outages of a sample are told by an even one"), "{error}");
    let fill = wrong("open = \"1M/s\"", &format!("open = \"1M/s\"\nrate = {slope}"));
    assert!(fill.contains("phase.fill.rate: a rate that changes in a phase without"), "{fill}");
}

#[test]
fn shares_of_connections_are_by_zipf_or_alike() {
    let plan = imix(&[("traffic.zipf", "1.1"), ("phase.steady.rate", "10Mpps")]).expect("valid");
    assert_eq!(plan.traffic.zipf, 1.1);
    assert_eq!(imix(&[]).expect("imix").traffic.zipf, 0.0);
    for value in ["1.6", "-0.1", "nan"] {
        let error = imix(&[("traffic.zipf", value)]).expect_err(value);
        assert!(error.contains("an exponent from 0 to 1.5"), "{error}");
    }
    for value in ["1.1", "-0.1", "nan"] {
        let error = imix(&[("traffic.reset", value)]).expect_err(value);
        assert!(error.contains("traffic.reset") && error.contains("a share from 0"), "{error}");
    }
    // The least used of a million connections has hardly a packet in five minutes.
    let slow = imix(&[("traffic.zipf", "1.4"), ("phase.steady.rate", "100kpps")]);
    let error = slow.expect_err("timers end");
    assert!(error.contains("sut.timers.udp: ends while connections are in use"), "{error}");
}

#[test]
fn an_attack_that_cannot_be_is_refused() {
    let flood = |from: &str, to: &str| {
        let source = SHIPPED[4].1.replacen("half_open_max = 64", "half_open_max = 1", 1);
        let source = source.replacen(from, to, 1);
        plan(&source, "flood.toml", &[]).expect_err(to)
    };
    for (from, to, part) in [
        ("attackers = 16", "attackers = 0", "phase.steady.attackers: 0 attackers; expected at le"),
        ("attackers = 16", "attackers = 4_097", "4097 of 4096 subscribers; expected at most 4096"),
        ("syn_flood = \"500k/s\"", "", "phase.steady.attackers: no one floods"),
        ("\"500k/s\"", "\"max\"", "phase.steady.syn_flood: `max` is not understood"),
        ("half_open_max = 1", "half_open_max = 0", "sut.half_open_max: 0 connections"),
        ("port_block = 128", "overcommit = 1", "sut.overcommit"),
    ] {
        let error = flood(from, to);
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn overrides_replace_what_is_written() {
    let plan = imix(&[
        ("traffic.connections", "64_512"),
        ("phase.steady.rate", "5Mpps"),
        ("phase.fill.open", "2M/s"),
        ("topology.sut.cores", "2"),
        ("sut.timers.udp", "1min"),
        ("pass.\"ledger.late\".max", "3"),
    ])
    .expect("valid overrides");
    assert_eq!(plan.traffic.connections, 64_512);
    assert_eq!((plan.phases[0].open_per_s, plan.phases[1].rate), (2e6, Rate::Pps(5e6)));
    assert_eq!((plan.topology.sut_cores, plan.sut.timers.udp_ns), (2, 60_000_000_000));
    assert_eq!(plan.addresses.subscribers_per_pair, 512);
    assert!(plan.pass.iter().any(|c| c.name == "ledger.late" && c.max == Some(3.0)));
    assert_ne!(plan.scenario_hash, imix(&[]).expect("imix").scenario_hash);

    let plan = imix(&[("traffic.rate_pps", "5e6"), ("traffic.genome", "64")]).expect("valid");
    assert_eq!((plan.phases[0].rate, plan.phases[1].rate), (Rate::None, Rate::Pps(5e6)));
    assert_eq!(plan.traffic.sizes, [64]);
}

#[test]
fn a_rate_for_nobody_is_refused() {
    let source = "schema = 1\nquestion = \"?\"\n[traffic]\nconnections = 1000\n[[phase]]\n\
                  name = \"fill\"\nopen = \"1M/s\"\n";
    let error = plan(source, "fill.toml", &[("traffic.rate_pps", "5e6")]).expect_err("no rate");
    assert!(
        error.starts_with("--set traffic.rate_pps=5e6: traffic.rate_pps: no phase has"),
        "{error}"
    );
    let rate = format!("{source}[[phase]]\nname = \"steady\"\nrate = \"1kpps\"\nfor = \"1s\"\n");
    let plan = plan(&rate, "rate.toml", &[("traffic.rate_pps", "5e6")]).expect("a rate");
    assert_eq!(plan.phases[1].rate, Rate::Pps(5e6));
}

#[test]
fn a_wrong_override_is_named() {
    let error = |path: &str, value: &str| imix(&[(path, value)]).expect_err(path);
    assert_eq!(
        error("traffic.conections", "5"),
        "--set traffic.conections=5: traffic.conections: unknown key; \
         did you mean \"connections\"?"
    );
    assert_eq!(
        error("phase.stedy.rate", "max"),
        "--set phase.stedy.rate=max: phase.stedy.rate: no phase is named `stedy`; \
         did you mean \"steady\"?"
    );
    for (path, value, part) in [
        ("phase.steady.rate", "5", "expected \"max\", packets per second"),
        ("traffic.connections", "0", "--set traffic.connections=0: traffic.connections: 0 conn"),
        ("traffic.connections", "many", "invalid type: string \"many\""),
        ("traffic", "5", "--set traffic=5: traffic: invalid type"),
        ("phase", "5", "--set phase=5: phase: invalid type"),
        ("phase.steady", "5", "expected the name of one of them"),
        ("seed.x", "5", "`seed` has a value and no keys"),
        ("a = 1\nb", "5", "no path of a key"),
        ("", "5", "no path of a key"),
        ("traffic.genome", "{ sizes = [64] }", "tables and lists cannot be set"),
    ] {
        let error = error(path, value);
        assert!(error.starts_with("--set ") && error.contains(part), "{error}");
    }
}

#[test]
fn wrong_keys_are_told_the_nearest() {
    assert_eq!(
        wrong("connections =", "conections ="),
        "imix.toml:13: traffic.conections: unknown key; did you mean \"connections\"?"
    );
    assert_eq!(
        wrong("sut = { kind", "sut = { knd"),
        "imix.toml:7: topology.sut.knd: unknown key; did you mean \"kind\"?"
    );
    assert_eq!(
        wrong("kind = \"krononat\"", "kind = \"kronomat\""),
        "imix.toml:7: topology.sut.kind: `kronomat` is not known; did you mean \"krononat\"?"
    );
    assert_eq!(
        wrong("\"ledger.lost\"", "\"ledger.losses\""),
        "imix.toml:35: pass.\"ledger.losses\": no value of the summary; \
         did you mean \"ledger.lost\"?"
    );
    let unquoted = wrong("\"ledger.lost\"", "ledger.lost");
    assert!(unquoted.contains("Quote the path of a value"), "{unquoted}");
}

#[test]
fn wrong_values_are_told_what_was_expected() {
    for (from, to, message) in [
        ("schema = 1", "schema = 2", "imix.toml:1: schema: version 2 is not known; expected 1"),
        (
            "open = \"1M/s\"",
            "open = 5",
            "imix.toml:22: phase.fill.open: invalid type: integer `5`, \
          expected a number per second such as \"1M/s\"",
        ),
        ("\"1M/s\"", "\"1M\"", "imix.toml:22: phase.fill.open: `1M` is not understood; expected"),
        ("\"10s\"", "\"10\"", "imix.toml:29: phase.steady.for: `10` is not understood"),
        ("imix-7-4-1\"\n", "imix\"\n", "imix.toml:11: traffic.genome: `imix` is no size mix"),
        ("\"imix-7-4-1\"\n", "63\n", "traffic.genome: 63 bytes is no frame size"),
        ("\"imix-7-4-1\"\n", "\"aj\"\n", "traffic.genome: letter `j` of RFC 6985 means 16,000"),
        ("\"imix-7-4-1\"\n", "{ sizes = [64], weight = [1] }\n", "did you mean \"weights\"?"),
        ("up = 0.5", "up = 0.6", "imix.toml:14: traffic.direction: shares 0.6 and 0.5 sum to 1.1"),
        ("1_032_192", "0", "imix.toml:13: traffic.connections: 0 connections; expected at least 1"),
        ("1_032_192", "-1", "expected a whole number, 0 to 2^63 - 1"),
        ("cores = 1 }\nsut", "cores = 0 }\nsut", "imix.toml:6: topology.generators.cores: 0 is"),
        ("\"krononat\"", "\"external\"", "external: missing: `external` is to be tested"),
        (
            "rate = \"max\"",
            "rate = \"max\"\nsearch = \"ndr\"",
            "phase.steady.search: does not go together with `rate`\n  Leave one of them out.",
        ),
        (
            "for = \"10s\"",
            "at = \"3s\"\nfor = \"10s\"",
            "imix.toml:29: phase.steady.at: nothing to inject then",
        ),
        ("for = \"10s\"", "", "imix.toml:25: phase.steady.for: missing"),
        (
            "for = \"10s\"",
            "validate = true\nfor = \"10s\"",
            "imix.toml:30: phase.steady.for: a phase that validates ends by itself",
        ),
        (
            "rate = \"max\"",
            "validate = true",
            "imix.toml:29: phase.steady.for: a phase that validates ends by itself",
        ),
        (
            "rate = \"max\"\nopen = \"0/s\"\nfor = \"10s\"",
            "validate = true",
            "imix.toml:25: phase.steady.rate: no packets to validate with",
        ),
        (
            "name = \"fill\"\nopen = \"1M/s\"",
            "name = \"fill\"\nfor = \"1s\"",
            "imix.toml:27: phase.steady.rate: no connection is held",
        ),
        (
            "\"1M/s\"",
            "\"1k/s\"",
            "sut.timers.udp: ends while connections are in use: in phase \
          `fill` they stay idle for up to 1032.192 s",
        ),
        (
            "name = \"steady\"",
            "name = \"fill\"",
            "phase.fill.name: `fill`; expected a name that no",
        ),
        ("question =", "# question =", "question: missing; it has no default"),
        ("{ max = 0 }", "{ max = 0, min = 1 }", "min 1 is above max 0"),
        (
            "connections =",
            "drain = \"5s\"\nconnections =",
            "imix.toml:13: traffic.drain: 5s is too long; expected at most 4s",
        ),
        (
            "connections =",
            "drain = \"50ms\"\nconnections =",
            "traffic.drain: 50ms ends before the deadline of 100ms",
        ),
        ("seed =", "seed = = ", "imix.toml:3: "),
    ] {
        let found = wrong(from, to);
        assert!(found.contains(message), "wanted: {message}\nfound:  {found}");
    }
}

#[test]
fn more_connections_than_ports_or_addresses_are_refused() {
    let ports = imix(&[("traffic.subscribers", "8000"), ("sut.port_block", "64")]);
    let ports = ports.expect_err("512,000 ports");
    assert!(ports.contains("Set sut.port_block = 128"), "{ports}");
    assert!(imix(&[("traffic.subscribers", "8000"), ("sut.port_block", "128")]).is_ok());
    let small = imix(&[("sut.port_block", "32")]).expect_err("less than the SUT takes");
    assert!(small.contains("a power of two, 64 to 32768"), "{small}");
    let addresses = imix(&[("topology.sut.servers", "64"), ("topology.sut.cores", "100")]);
    assert!(addresses.is_ok(), "{addresses:?}");
    let addresses = imix(&[
        ("topology.sut.servers", "64"),
        ("topology.sut.cores", "100"),
        ("topology.generators.cores", "64"),
        ("topology.generators.servers", "16"),
        ("traffic.connections", "60_000_000"),
        ("phase.fill.open", "60M/s"),
    ]);
    let addresses = addresses.expect_err("6,553,600 pairs");
    assert!(addresses.contains("do not fit into the 4194304 addresses"), "{addresses}");
    let table = imix(&[("sut.table_entries", "1_000_000")]).expect_err("too small a table");
    assert!(table.contains("at least 1032192 on each SUT core"), "{table}");
}

#[test]
fn resolving_is_pure_and_the_seed_is_part_of_the_plan() {
    let scenario = Scenario::parse(SHIPPED[0].1, "imix.toml").expect("imix");
    let resolve = |seed| {
        let options = RunOptions { seed, ..RunOptions::default() };
        scenario.resolve(&options).expect("imix").hash()
    };
    assert_eq!(resolve(None), resolve(Some(24301)));
    assert_ne!(resolve(None), resolve(Some(24302)));
    assert!(scenario.resolve(&RunOptions { seed: Some(u64::MAX), ..Default::default() }).is_err());
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    for deep in [
        format!("{}a = 1", "a.".repeat(100_000)),
        format!("[{}a]", "a.".repeat(100_000)),
        format!("{}a = 1", "'a'.".repeat(60_000)),
        format!("a = {}", "[".repeat(100_000)),
        format!("a = {}", "{a=".repeat(60_000)),
        format!("a = {}", "[\n".repeat(100_000)),
    ] {
        assert!(plan(&deep, "deep.toml", &[]).is_err());
    }
}

proptest! {
    #[test]
    fn noise_never_panics(source in "\\PC{0,200}", path in "\\PC{0,20}", value in "\\PC{0,20}") {
        let _ = plan(&source, "noise.toml", &[]);
        let _ = imix(&[(&path, &value)]);
    }

    #[test]
    fn mutations_never_panic(
        which in 0..SHIPPED.len(),
        at in any::<prop::sample::Index>(),
        cut in 0usize..12,
        paste in "[a-z0-9.=\"{}\\[\\]\n-]{0,12}",
    ) {
        let mut chars: Vec<char> = SHIPPED[which].1.chars().collect();
        let start = at.index(chars.len());
        let end = (start + cut).min(chars.len());
        chars.splice(start..end, paste.chars());
        let source: String = chars.into_iter().collect();
        if let Err(error) = plan(&source, "mutated.toml", &[]) {
            prop_assert!(error.starts_with("mutated.toml"), "{}", error);
        }
    }

    #[test]
    fn any_number_in_any_place_is_judged(
        key in prop::sample::select(vec![
            "traffic.connections", "traffic.rate_pps", "traffic.subscribers", "traffic.batch",
            "topology.sut.cores", "topology.generators.servers", "sut.port_block", "seed",
            "sut.table_entries", "phase.fill.count", "traffic.genome", "traffic.direction.up",
            "sut.shards_per_core", "sut.replicate", "phase.steady.sample", "phase.steady.at",
            "topology.sut.servers", "network.bfd.multiplier", "network.fib_delay",
        ]),
        value in prop_oneof![
            any::<i64>().prop_map(|n| n.to_string()),
            any::<u64>().prop_map(|n| n.to_string()),
            any::<f64>().prop_map(|x| format!("{x:?}")),
            Just("nan".to_owned()), Just("inf".to_owned()), Just("0".to_owned()),
        ],
    ) {
        if let Ok(plan) = imix(&[(key, &value)]) {
            prop_assert_eq!(Plan::from_toml(&plan.to_toml()).ok(), Some(plan));
        }
    }
}
