//! Scenarios of several servers: what is done to them, and what cannot be.

use format::plan::{Action, Direction, Injection, Network, OneIn, Polling, Rate, Target, Testbed};
use format::scenario::Demand;
use format::{Plan, RunOptions, Scenario};

/// Three servers, one of which is killed. Tests put other lines in its place.
const KILL: &str = r#"schema = 1
question = "How long are connections of a dead server without service?"
[topology]
sut = { servers = 3, cores = 2 }
[traffic]
connections = 60_000
[[phase]]
name = "fill"
open = "1M/s"
[[phase]]
name = "fail"
rate = "100kpps"
sample = 256
for = "3s"
at = "1s..1.1s"
inject = { kill = "sut.server[1]" }
"#;

fn repeated(source: &str, repeat: u32) -> Result<Plan, String> {
    let options = RunOptions { repeat: Some(repeat), ..RunOptions::default() };
    Scenario::parse(source, "fail.toml")
        .and_then(|scenario| scenario.resolve(&options))
        .map_err(|error| error.to_string())
}

fn plan(source: &str) -> Result<Plan, String> {
    repeated(source, 1)
}

/// The scenario with `from` replaced by `to`.
fn with(from: &str, to: &str) -> String {
    assert!(KILL.contains(from), "`{from}` is not in the scenario");
    KILL.replacen(from, to, 1)
}

/// The scenario with one timed phase for each action.
fn script(actions: &[&str]) -> String {
    let (head, _) = KILL.split_once("[[phase]]\nname = \"fail\"").expect("a phase that fails");
    let phase = |(index, action): (usize, &&str)| {
        format!(
            "[[phase]]\nname = \"p{index}\"\nfor = \"2s\"\nat = \"1s\"\ninject = {{ {action} }}\n"
        )
    };
    head.to_owned() + &actions.iter().enumerate().map(phase).collect::<String>()
}

#[test]
fn cores_may_stand_for_others_where_servers_replicate() {
    let sut = "sut = { servers = 3, cores = 2";
    let plan_of = |more: &str| plan(&with(sut, &format!("{sut}, {more}")));
    let topology = plan_of("stands_for = 20").expect("valid").topology;
    assert_eq!((topology.suts(), topology.sut_stands_for), (6, 20));
    let topology = plan(KILL).expect("valid").topology;
    assert_eq!(topology.sut_stands_for, 1, "every core runs");
    for (more, says) in [
        ("stands_for = 0", "1 to 64"),
        ("stands_for = 65", "1 to 64"),
        ("stands_for = 2, kind = \"forwarder\"", "do not replicate"),
    ] {
        let error = plan_of(more).expect_err(more);
        assert!(error.contains(says), "{more}: {error}");
    }
}

#[test]
fn what_a_packet_costs_is_said_in_virtual_time_alone() {
    let of = |cost: &str, testbed| {
        let source = with("[traffic]", &format!("[sut]\npacket_cost_ns = {cost}\n[traffic]"));
        let options = RunOptions { testbed, ..RunOptions::default() };
        let resolved = Scenario::parse(&source, "a.toml").and_then(|it| it.resolve(&options));
        resolved.map(|plan| plan.sut.packet_cost_ps).map_err(|error| error.to_string())
    };
    assert_eq!(of("151.25", Testbed::Sim), Ok(Some(151_250)));
    assert_eq!(plan(KILL).expect("valid").sut.packet_cost_ps, None);
    for (cost, testbed, says) in [
        ("151.25", Testbed::Embedded, "--testbed sim"),
        ("0.5", Testbed::Sim, "1 to 1000000"),
        ("nan", Testbed::Sim, "1 to 1000000"),
    ] {
        let error = of(cost, testbed).expect_err(cost);
        assert!(error.contains(says), "{cost}: {error}");
    }
}

#[test]
fn a_kill_resolves_with_every_default_and_survives_the_file() {
    let plan = plan(KILL).expect("valid");
    let target = Target { server: 1, core: None };
    let (at_ns, spread_ns) = (1_000_000_000, 100_000_000);
    let kill = Injection { at_ns, spread_ns, target, action: Action::Kill };
    assert_eq!((plan.phases[0].injection, plan.phases[1].injection), (None, Some(kill)));
    assert_eq!((plan.phases[1].sample, plan.phases[1].rate), (Some(256), Rate::Pps(1e5)));
    assert_eq!((plan.sut.replicate, plan.sut.shards_per_core), (true, 2));
    let network = Network::default();
    assert_eq!((plan.network, plan.network.detection_ns()), (network, 9_900_000));
    assert_eq!((plan.topology.polling, plan.absent_at_start()), (Polling::Busy, vec![]));
    // While two servers of two cores are left, they hold every connection twice.
    assert_eq!(plan.sut.table_entries, 65_536);
    // Connections outside the sample are idle for the whole phase.
    let demand =
        Demand::of(&plan.phases, &plan.sut.timers, plan.traffic.udp_share, plan.traffic.zipf);
    assert_eq!(demand.phases[1].idle_s, 3.0);
    let text = plan.to_toml();
    assert!(text.contains("target = \"sut.server[1]\""), "{text}");
    assert_eq!(Plan::from_toml(&text).expect(&text), plan);
}

#[test]
fn one_server_is_no_cluster() {
    let one = with("servers = 3, cores = 2", "servers = 1");
    let one = one.replace("kill = \"sut.server[1]\"", "hang = \"sut.server[0].core[0]\"");
    let alone = plan(&one).expect("valid");
    assert_eq!((alone.sut.replicate, alone.sut.shards_per_core), (false, 1));
    assert_eq!(alone.sut.table_entries, 131_072);
    let many = with("servers = 3", "servers = 40");
    assert_eq!(plan(&many).expect("valid").sut.shards_per_core, 16);
    let forwarder = with("servers = 3", "kind = \"forwarder\", servers = 3");
    assert!(!plan(&forwarder).expect("valid").sut.replicate);
}

#[test]
fn a_plan_from_before_clusters_is_still_read() {
    let text = plan(KILL).expect("valid").to_toml();
    let new =
        ["polling = ", "replicate = ", "shards_per_core = ", "bfd_", "fib_delay", "[network]"];
    let old: String = text
        .lines()
        .filter(|line| !new.iter().any(|key| line.starts_with(key)))
        .flat_map(|line| [line, "\n"])
        .collect();
    let read = Plan::from_toml(&old).expect(&old);
    assert_eq!((read.network, read.topology.polling), (Network::default(), Polling::Busy));
    assert_eq!((read.sut.replicate, read.sut.shards_per_core), (false, 1));
}

#[test]
fn every_action_is_read_with_what_it_needs() {
    let core = "sut.server[1].core[1]";
    let actions = [
        (
            "loss = { target = \"sut.server[1].core[1]\", share = \"1/100\" }",
            Action::Loss(OneIn(100)),
        ),
        (
            "delay = { target = \"sut.server[1].core[1]\", by = \"1ms\" }",
            Action::Delay { by_ns: 1_000_000 },
        ),
        ("partition = { target = \"sut.server[1].core[1]\" }", Action::Partition(Direction::Both)),
        ("heal = \"sut.server[1].core[1]\"", Action::Heal),
        (
            "partition = { target = \"sut.server[1].core[1]\", direction = \"in\" }",
            Action::Partition(Direction::In),
        ),
        ("heal = \"sut.server[1]\"", Action::Heal),
        ("hang = \"sut.server[1].core[1]\"", Action::Hang),
        ("resume = \"sut.server[1].core[1]\"", Action::Resume),
        ("link-down = \"sut.server[1].core[1]\"", Action::LinkDown),
        ("link-up = \"sut.server[1].core[1]\"", Action::LinkUp),
        ("leave = \"sut.server[1]\"", Action::Leave),
        ("return = \"sut.server[1]\"", Action::Return),
        ("upgrade = \"sut.server[1]\"", Action::Upgrade),
        ("kill = \"sut.server[1]\"", Action::Kill),
        ("return = \"sut.server[1]\"", Action::Return),
        ("join = \"sut.server[2]\"", Action::Join),
    ];
    let texts: Vec<&str> = actions.iter().map(|(text, _)| *text).collect();
    let plan = plan(&script(&texts)).expect("valid");
    let found: Vec<Injection> = plan.phases.iter().filter_map(|phase| phase.injection).collect();
    for ((text, action), injection) in actions.iter().zip(&found) {
        assert_eq!(injection.action, *action, "{text}");
        assert_eq!(injection.target.core.is_some(), text.contains(core), "{text}");
    }
    assert_eq!((found.len(), plan.absent_at_start()), (actions.len(), vec![2]));
    assert_eq!(Plan::from_toml(&plan.to_toml()).expect("our own"), plan);
}

#[test]
fn what_cannot_happen_is_refused_with_its_line() {
    const INJECT: &str = "inject = { kill = \"sut.server[1]\" }";
    let inject = |to: &str| with(INJECT, &format!("inject = {{ {to} }}"));
    for (source, message) in [
        (
            inject("kill = \"sut.server[3]\""),
            "fail.toml:16: phase.fail.inject.kill: there is no \
          sut.server[3]; expected sut.server[0] to sut.server[2]",
        ),
        (
            inject("hang = \"sut.server[0].core[2]\""),
            "phase.fail.inject.hang: there is no \
          sut.server[0].core[2]; expected core[0] to core[1]",
        ),
        (
            inject("kill = \"sut.server[1].core[0]\""),
            "phase.fail.inject.kill: \
          sut.server[1].core[0] is a core; expected a server, such as \"sut.server[1]\"",
        ),
        (
            inject("kill = \"sut.sever[1]\""),
            "fail.toml:16: phase.fail.inject.kill: `sut.sever[1]` \
          is no target: expected a server or core of the SUT, such as",
        ),
        (
            inject("kil = \"sut.server[1]\""),
            "fail.toml:16: phase.fail.inject.kil: unknown key; did \
          you mean \"kill\"?",
        ),
        (inject("link_down = \"sut.server[1]\""), "did you mean \"link-down\"?"),
        (inject(""), "phase.fail.inject: no action; expected one action"),
        (
            inject("kill = \"sut.server[1]\", leave = \"sut.server[2]\""),
            "phase.fail.inject: kill \
          and leave; expected one action",
        ),
        (inject("loss = \"sut.server[1]\""), "fail.toml:16: phase.fail.inject.loss: invalid type"),
        (inject("loss = { target = \"sut.server[1]\" }"), "phase.fail.inject.loss.share: missing"),
        (
            inject("loss = { target = \"sut.server[1]\", share = \"1%\" }"),
            "`1%` is no share of frames",
        ),
        (
            inject("delay = { target = \"sut.server[1]\", by = \"2s\" }"),
            "fail.toml:16: \
          phase.fail.inject.delay.by: 2s; expected above 0s, at most 1s",
        ),
        (inject("delay = { target = \"sut.server[1]\", by = \"0s\" }"), "delay.by: 0s; expected"),
        (
            inject("partition = { target = \"sut.server[1]\", direction = \"inn\" }"),
            "phase.fail.inject.partition.direction: `inn` is not known; did you mean \"in\"?",
        ),
        (with(INJECT, ""), "fail.toml:15: phase.fail.at: nothing to inject then\n  Set inject"),
        (with("at = \"1s..1.1s\"\n", ""), "fail.toml:15: phase.fail.inject: no instant\n  Set at"),
        (
            with("1s..1.1s", "3s"),
            "fail.toml:15: phase.fail.at: 3s is not before the end of the \
          phase; expected less than 3s",
        ),
        (with("1s..1.1s", "1s..3s"), "phase.fail.at: 1s..3s is not before the end"),
        (
            with("1s..1.1s", "2s..1s"),
            "phase.fail.at: `2s..1s` is not understood; expected an \
          instant of the phase",
        ),
        (
            with("for = \"3s\"\n", "open = \"1k/s\"\n"),
            "phase.fail.inject: the phase has no fixed \
          length\n  Say how long it lasts",
        ),
        (
            with("sample = 256\nfor = \"3s\"", "validate = true"),
            "phase.fail.inject: a phase that \
          validates ends by itself",
        ),
        (with("for = \"3s\"", "validate = true"), "phase.fail.sample: a phase that validates"),
        (
            with("sample = 256", "sample = 0"),
            "fail.toml:13: phase.fail.sample: 0 connections; \
          expected 1, one for each generator core, to 60000, all of them",
        ),
        (with("sample = 256", "sample = 60_001"), "phase.fail.sample: 60001 connections; expected"),
        (
            with("sample = 256", "sample = 20_000"),
            "phase.fail.sample: each connection is seen once \
          in 200.0 ms only; expected once in 100 ms or less: a rate of 200000pps, or",
        ),
        (
            with("\"100kpps\"", "\"max\""),
            "phase.fail.sample: no rate of its own\n  Set the rate in",
        ),
        (with("rate = \"100kpps\"\n", ""), "phase.fail.sample: no rate of its own"),
        (
            with("cores = 2 }", "cores = 2 }\npolling = \"adaptive\"").replace("100kpps", "max"),
            "fail.toml:13: phase.fail.rate: cores that sleep do not send as fast as they can",
        ),
        (
            with("cores = 2 }", "cores = 2 }\npolling = \"adaptiv\""),
            "fail.toml:5: topology.polling: \
          `adaptiv` is not known; did you mean \"adaptive\"?",
        ),
        (
            with("[traffic]", "[network]\nbfd = { interval = \"999us\" }\n[traffic]"),
            "fail.toml:6: \
          network.bfd.interval: 999us is out of range; expected 1ms to 1s",
        ),
        (
            with("[traffic]", "[network]\nbfd = { interval = \"1001ms\" }\n[traffic]"),
            "1001ms is out",
        ),
        (
            with("[traffic]", "[network]\nbfd = { multiplier = 0 }\n[traffic]"),
            "fail.toml:6: \
          network.bfd.multiplier: 0 packets; expected 1 to 50",
        ),
        (with("[traffic]", "[network]\nbfd = { multiplier = 51 }\n[traffic]"), "51 packets; expec"),
        (
            with("[traffic]", "[network]\nfib_delay = \"11s\"\n[traffic]"),
            "fail.toml:6: \
          network.fib_delay: 11s is too long; expected at most 10s",
        ),
        (
            with("[traffic]", "[network]\nfib = \"11s\"\n[traffic]"),
            "fail.toml:6: network.fib: unknown key; did you mean \"fib_delay\"?",
        ),
        (
            with("[traffic]", "[sut]\nshards_per_core = 0\n[traffic]"),
            "fail.toml:6: \
          sut.shards_per_core: 0 shards; expected 1 to 16",
        ),
        (
            with("[traffic]", "[sut]\nshards_per_core = 17\n[traffic]"),
            "17 shards; expected 1 to 16",
        ),
        (
            with(
                "[traffic]",
                "[sut]\novercommit = true\nshards_per_core = 5\n[traffic]\nsubscribers = 20",
            ),
            "5 shards; expected 1 to 4, one for each subscriber of a pair",
        ),
        (
            with("servers = 3", "servers = 1")
                .replace("[traffic]", "[sut]\nreplicate = true\n[traffic]"),
            "sut.replicate: one server has no other to replicate to",
        ),
        (
            with("servers = 3", "kind = \"forwarder\", servers = 3")
                .replace("[traffic]", "[sut]\nreplicate = true\n[traffic]"),
            "fail.toml:6: sut.replicate: this SUT holds nothing to replicate",
        ),
    ] {
        let found = plan(&source).expect_err(&source);
        assert!(
            found.contains(message),
            "wanted: {message}
found:  {found}
{source}"
        );
    }
}

#[test]
fn what_does_not_suit_what_happened_before_is_refused() {
    const KILLED: &str = "kill = \"sut.server[1]\"";
    for (actions, message) in [
        (
            &[KILLED, KILLED][..],
            "phase.p1.inject.kill: sut.server[1]: it has been killed\n  Let it",
        ),
        (&["leave = \"sut.server[1]\"", KILLED], "sut.server[1]: it has left"),
        (&["return = \"sut.server[1]\""], "phase.p0.inject.return: sut.server[1]: it runs\n  Kill"),
        (&[KILLED, "join = \"sut.server[1]\""], "it has run before\n  Let it return."),
        (
            &["join = \"sut.server[1]\"", "join = \"sut.server[1]\""],
            "p1.inject.join: sut.server[1]: it",
        ),
        (
            &[KILLED, "leave = \"sut.server[0]\"", "kill = \"sut.server[2]\""],
            "phase.p2.inject.kill: sut.server[2]: no other server runs that could take over",
        ),
        (
            &["join = \"sut.server[1]\"", "join = \"sut.server[2]\"", "join = \"sut.server[0]\""],
            "phase: no server runs at the start",
        ),
        (&[KILLED, "hang = \"sut.server[1]\""], "phase.p1.inject.hang: sut.server[1]: it has been"),
        (&[KILLED, "upgrade = \"sut.server[1]\""], "it has been killed"),
        (&["hang = \"sut.server[1].core[0]\"", "hang = \"sut.server[1]\""], "it is so already"),
        (&["hang = \"sut.server[1].core[0]\"", "leave = \"sut.server[1]\""], "it hangs and cannot"),
        (
            &["hang = \"sut.server[1].core[0]\"", "upgrade = \"sut.server[1]\""],
            "it hangs and cannot",
        ),
        (
            &["hang = \"sut.server[1].core[0]\"", "resume = \"sut.server[1].core[1]\""],
            "nothing to end",
        ),
        (
            &[
                "hang = \"sut.server[1]\"",
                KILLED,
                "return = \"sut.server[1]\"",
                "resume = \"sut.server[1]\"",
            ],
            "phase.p3.inject.resume: sut.server[1]: there is nothing to end",
        ),
        (&["link-down = \"sut.server[1]\"", "heal = \"sut.server[1]\""], "nothing to end"),
        (&["link-down = \"sut.server[1]\"", "link-down = \"sut.server[1].core[0]\""], "so already"),
        (&["link-up = \"sut.server[1]\""], "nothing to end"),
    ] {
        let found = plan(&script(actions)).expect_err(message);
        assert!(found.contains(message), "wanted: {message}\nfound:  {found}");
    }
    let alone = |action: &str| {
        let source = script(&[action]);
        plan(&source.replace("servers = 3, cores = 2", "servers = 1"))
    };
    for action in ["kill", "leave", "upgrade"] {
        let found = alone(&format!("{action} = \"sut.server[0]\"")).expect_err(action);
        assert!(found.contains("no other server runs that could take over"), "{found}");
    }
    assert!(alone("join = \"sut.server[0]\"").expect_err("join").contains("no server runs"));
    for action in [
        "link-down = \"sut.server[0]\"",
        "hang = \"sut.server[0]\"",
        "loss = { target = \"sut.server[0]\", share = \"1/2\" }",
        "delay = { target = \"sut.server[0]\", by = \"1s\" }",
    ] {
        assert_eq!(alone(action).err(), None, "{action}");
    }
}

#[test]
fn what_is_repeated_must_suit_its_own_end() {
    let found = repeated(KILL, 2).expect_err("a kill without return");
    assert!(
        found.contains("sut.server[1] in the second repetition: it has been killed"),
        "{found}"
    );
    let both = ["kill = \"sut.server[1]\"", "return = \"sut.server[1]\""];
    assert!(repeated(&script(&both), 20).is_ok());
    let join = ["join = \"sut.server[1]\"", "leave = \"sut.server[1]\""];
    let plan = repeated(&script(&join), 20).expect("what has left may join again");
    assert_eq!(plan.absent_at_start(), [1]);
    let draws: Vec<u64> = (0..20)
        .map(|repetition| {
            let kill = repeated(KILL, 1).expect("valid").phases[1].injection;
            kill.expect("a kill").instant_ns(plan.seed, repetition)
        })
        .collect();
    let mut different = draws.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), 20, "{draws:?}");
}

#[test]
fn a_sample_leaves_the_other_connections_to_their_timers() {
    let source = with("[traffic]", "[sut]\ntimers = { udp = \"2s\" }\n[traffic]");
    let found = plan(&source).expect_err("UDP connections of 2 s in a phase of 3 s");
    assert!(found.contains("in phase `fail` they stay idle for up to 3.000 s"), "{found}");
}
