//! `krono explain`: the resolved plan in words and numbers.
//!
//! What will be sent, held and remembered, how much memory it takes and how long, computed from the
//! plan alone; nothing here looks at the machine. [`crate::capacity`] compares the figures with it.

use crate::capacity::{Memory, cpus_needed};
use crate::layout::Layout;
use crate::peer::external;
use analysis::figure;
use comfy_table::{CellAlignment, Table, presets};
use format::Plan;
use format::plan::{
    Action, Attack, Criterion, Daemon, Faults, Peers, Rate, Shape, SutKind, Testbed, Until,
};
use format::scenario::Demand;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Packets that open a connection: the first and its answer; TCP adds the acknowledgement.
const OPENING_UDP: f64 = 2.0;
const OPENING_TCP: f64 = 3.0;

/// The plan for people.
pub fn explain(plan: &Plan) -> String {
    let demand =
        Demand::of(&plan.phases, &plan.sut.timers, plan.traffic.udp_share, plan.traffic.zipf);
    let mut text = format!("{}\n\n", plan.question);
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12}  {value}");
    };
    line("scenario", format!("{}, {}", plan.scenario, short(&plan.scenario_hash)));
    line("plan", format!("{}, seed {}, testbed {}", short(&plan.hash()), plan.seed, plan.testbed));
    line("cores", cores(plan));
    line("frames", frames(plan));
    line("connections", connections(plan, &demand));
    line("addresses", addresses(plan));
    line("timing", timing(plan));
    if let Some(attacks) = attacks(plan) {
        line("attacks", attacks);
    }
    if let Some(Peers { kinds, rounds }) = &plan.peers {
        let names: Vec<String> = kinds.iter().map(SutKind::to_string).collect();
        let runs = figure::count(u64::from(*rounds) * (kinds.len() as u64 + 1));
        line("peers", format!("{}; {rounds} rounds, {runs} runs as below", names.join(", ")));
    }
    if plan.external.is_some() {
        let wanted = external::wanted(plan).unwrap_or_else(|error| format!("{error:#}"));
        line("device", format!("is to translate {wanted}"));
    }
    if let Some(faults) = &plan.faults {
        line("faults", faulty(faults));
    }
    let _ = writeln!(text, "\n{}\n", phases(plan, &demand));
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12}  {value}");
    };
    line("packets", packets(plan, &demand));
    line("resolution", resolution(plan, &demand));
    if let Some(events) = events(plan) {
        line("events", events);
        line("detection", detection(plan));
    }
    line("duration", duration(plan, &demand));
    line("memory", Memory::of(plan, &demand).to_string());
    line("pass", criteria(&plan.pass));
    if let Testbed::Hosts(_) = plan.testbed {
        let _ = write!(text, "\n{}", routes(plan));
    }
    text
}

/// What the router of a network between machines has to be told, as Linux takes it.
fn routes(plan: &Plan) -> String {
    let mut text =
        "routes of the router behind `network.gateway`, as `ip -batch` takes them, on an \
                    interface with an address in 10.0.0.0/8:\n"
            .to_owned();
    let routes = Layout::new(plan).routes_to_generators();
    let cores: BTreeMap<_, _> = routes.iter().map(|(_, core)| (core.ip, core.mac)).collect();
    for (ip, mac) in cores {
        let _ = writeln!(text, "neighbour replace {ip} lladdr {mac} nud permanent dev INTERFACE");
    }
    for (prefix, core) in routes {
        let _ = writeln!(text, "route replace {prefix} via {} dev INTERFACE", core.ip);
    }
    text
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

fn cores(plan: &Plan) -> String {
    let to = &plan.topology;
    let side = |servers: u16, cores: u16| {
        let cores_text = figure::plural(cores.into(), "core");
        match servers {
            1 => cores_text,
            servers => format!("{servers} servers of {cores_text}"),
        }
    };
    let times = match to.sut_stands_for {
        1 => String::new(),
        times => format!(", each of which stands for {times}"),
    };
    let cost = match plan.sut.packet_cost_ps {
        None => String::new(),
        Some(ps) => format!(", {} ns a packet", figure::trimmed(ps as f64 / 1e3, 6)),
    };
    format!(
        "{} of traffic generator, {} of {}{times}{cost}: {} busy",
        side(to.generator_servers, to.generator_cores),
        side(to.sut_servers, to.sut_cores),
        to.sut_kind,
        figure::plural(cpus_needed(plan), "CPU")
    )
}

fn frames(plan: &Plan) -> String {
    let traffic = &plan.traffic;
    let mut sizes: Vec<(u16, usize)> = Vec::new();
    for &size in &traffic.sizes {
        match sizes.iter_mut().find(|(known, _)| *known == size) {
            Some((_, count)) => *count += 1,
            None => sizes.push((size, 1)),
        }
    }
    let parts: Vec<String> = sizes.iter().map(|(size, count)| format!("{count}x{size}")).collect();
    format!(
        "{}: {}, mean {} bytes ({})",
        figure::genome(&traffic.genome),
        parts.join(" + "),
        figure::significant(traffic.mean_frame_bytes, 5),
        traffic.genome_layer
    )
}

fn connections(plan: &Plan, demand: &Demand) -> String {
    let traffic = &plan.traffic;
    let aggregate = match u64::from(plan.topology.sut_stands_for) {
        1 => String::new(),
        times => format!(" (for {})", figure::count(times * demand.held_peak)),
    };
    let shares = match traffic.zipf {
        0.0 => String::new(),
        zipf => format!(", shared out by Zipf's law with exponent {zipf}"),
    };
    format!(
        "{} held at most{aggregate}, {} tracked with closed ones; {} UDP, {} TCP; {} of the packets \
         come from subscribers{shares}",
        figure::count(demand.held_peak),
        figure::count(demand.tracked_peak),
        figure::percent(traffic.udp_share),
        figure::percent(1.0 - traffic.udp_share),
        figure::percent(traffic.up_share),
    )
}

fn addresses(plan: &Plan) -> String {
    let addresses = &plan.addresses;
    let subscribers = plan.topology.pairs() * u64::from(addresses.subscribers_per_pair);
    format!(
        "{} subscribers of {}, each with {} ports of {}, talk to {}",
        figure::count(subscribers),
        addresses.subscribers,
        addresses.port_block,
        addresses.external,
        addresses.internet
    )
}

fn timing(plan: &Plan) -> String {
    format!(
        "late after {}, lost {} after the last packet of a phase; up to {} a burst",
        seconds(plan.traffic.deadline_ns as f64 / 1e9),
        seconds(plan.traffic.drain_ns as f64 / 1e9),
        figure::plural(plan.traffic.batch as usize, "frame"),
    )
}

/// What is sent to do harm, and when; `None` where nothing is.
fn attacks(plan: &Plan) -> Option<String> {
    let phases = plan.phases.iter().filter(|phase| !phase.attack.is_none()).map(|phase| {
        let Attack { syn_flood_per_s, attackers, scan_per_s } = phase.attack;
        let flood = (syn_flood_per_s > 0.0).then(|| {
            let who = figure::plural(attackers as usize, "subscriber");
            format!("{} SYNs/s of {who}", per_second(syn_flood_per_s))
        });
        let scan =
            (scan_per_s > 0.0).then(|| format!("{} packets/s of a scan", per_second(scan_per_s)));
        let both: Vec<String> = [flood, scan].into_iter().flatten().collect();
        format!("{} in {}", both.join(" and "), phase.name)
    });
    let phases: Vec<String> = phases.collect();
    (!phases.is_empty()).then(|| phases.join("; "))
}

fn faulty(faults: &Faults) -> String {
    let all = [
        ("dropped", faults.drop),
        ("duplicated", faults.duplicate),
        ("delayed", faults.delay),
        ("reordered", faults.reorder),
        ("corrupted", faults.corrupt),
        ("mistranslated", faults.mistranslate),
        ("misdelivered", faults.misdeliver),
        ("misrouted", faults.misroute),
    ];
    let given = all.iter().filter_map(|(name, share)| share.map(|share| format!("{share} {name}")));
    format!("an impaired network, on purpose: {}", given.collect::<Vec<_>>().join(", "))
}

fn phases(plan: &Plan, demand: &Demand) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["phase", "opens/s", "closes/s", "packets/s", "ends", "takes", "held at end"]);
    for (phase, asked) in plan.phases.iter().zip(&demand.phases) {
        table.add_row([
            phase.name.clone(),
            per_second(phase.open_per_s),
            per_second(phase.close_per_s),
            match (phase.search, phase.rate) {
                (Some(search), _) => search.to_string(),
                (None, Rate::None) => "none".to_owned(),
                (None, Rate::Max) => "max".to_owned(),
                (None, Rate::Pps(pps)) => course(pps, phase.shape),
            },
            match phase.until {
                Until::Held(count) => format!("at {} held", figure::count(count)),
                Until::For(_) => "by time".to_owned(),
                Until::Validated => "with the last".to_owned(),
            },
            seconds(asked.seconds),
            figure::count(asked.held_after.round() as u64),
        ]);
    }
    for column in [1, 2, 3, 5, 6] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn per_second(rate: f64) -> String {
    figure::significant(rate, 4)
}

/// A mean rate, and how it changes.
fn course(pps: f64, shape: Option<Shape>) -> String {
    let ns = |ns: u64| seconds(ns as f64 / 1e9);
    match shape {
        None => per_second(pps),
        Some(Shape::Ramp { from }) => {
            format!("{} to {}", per_second(pps * from), per_second(pps * (2.0 - from)))
        }
        Some(Shape::Wave { swing, period_ns }) => {
            format!("{} ± {} in {}", per_second(pps), figure::percent(swing), ns(period_ns))
        }
        Some(shape @ Shape::Bursts { on_ns, off_ns }) => {
            let burst = per_second(pps * shape.peak());
            format!("{burst} for {}, 0 for {}", ns(on_ns), ns(off_ns))
        }
    }
}

fn packets(plan: &Plan, demand: &Demand) -> String {
    let udp = plan.traffic.udp_share;
    let per_opening = OPENING_UDP * udp + OPENING_TCP * (1.0 - udp);
    let (mut opening, mut data, mut most) = (0.0, 0.0, false);
    for (index, (phase, asked)) in plan.phases.iter().zip(&demand.phases).enumerate() {
        let times = if index == 0 { 1.0 } else { f64::from(plan.repeat) };
        opening += times * phase.open_per_s * asked.seconds * per_opening;
        match phase.rate {
            Rate::Pps(pps) => data += times * pps * asked.seconds,
            Rate::Max => most = true,
            Rate::None => {}
        }
    }
    let count = |packets: f64| figure::count(packets.round() as u64);
    let data = match (most, data > 0.0) {
        (true, true) => format!("{} of data and, at max, as many as pass", count(data)),
        (true, false) => "as many of data as pass".to_owned(),
        (false, _) => format!("{} of data", count(data)),
    };
    format!("{data}; {} to open connections", count(opening))
}

/// What the probes can tell apart in time: each connection is probed once in so long.
fn resolution(plan: &Plan, demand: &Demand) -> String {
    let of = |rate: Rate, held: f64, name: &str| match rate {
        Rate::Pps(pps) if pps > 0.0 => Some(format!("{} in {name}", seconds(held / pps))),
        Rate::Max => Some(format!("{} in {name} at 10 Mpps", seconds(held / 10e6))),
        Rate::Pps(_) | Rate::None => None,
    };
    let phases = plan.phases.iter().zip(&demand.phases);
    let all: Vec<String> = phases
        .filter_map(|(phase, asked)| {
            let probed = phase.sample.map_or(asked.held_after, |sample| sample as f64);
            of(phase.rate, probed, &phase.name)
        })
        .collect();
    if all.is_empty() {
        return "none: no phase sends data".to_owned();
    }
    format!("a connection is probed once in {}", all.join(", "))
}

/// What is done to the SUT, and when; `None` where nothing is.
fn events(plan: &Plan) -> Option<String> {
    let all = plan.phases.iter().filter_map(|phase| {
        let injection = phase.injection?;
        let (earliest, spread) = (injection.at_ns as f64 / 1e9, injection.spread_ns as f64 / 1e9);
        let at = match injection.spread_ns {
            0 => seconds(earliest),
            _ => format!("{} to {}", seconds(earliest), seconds(earliest + spread)),
        };
        Some(format!("{injection} at {at} of {}", phase.name))
    });
    let mut all: Vec<String> = all.collect();
    let absent = plan.absent_at_start();
    if !absent.is_empty() {
        let servers: Vec<String> =
            absent.iter().map(|server| format!("sut.server[{server}]")).collect();
        all.insert(0, format!("at the start without {}", servers.join(", ")));
    }
    (!all.is_empty()).then(|| all.join("; "))
}

/// How the router finds out, and who takes over.
fn detection(plan: &Plan) -> String {
    let network = &plan.network;
    let slaves = match (plan.sut.replicate, plan.sut.shards_per_core) {
        (true, shards) => {
            format!("{} a core with a slave each", figure::plural(shards.into(), "shard"))
        }
        (false, _) => "no slaves".to_owned(),
    };
    let mut injections = plan.phases.iter().filter_map(|phase| phase.injection);
    let links = match injections.any(|injection| injection.action == Action::LinkDown) {
        true => ", a link that goes down at once",
        false => "",
    };
    let routes = match (&plan.testbed, network.router) {
        (Testbed::Netns, Daemon::Bird) => "routes when BIRD has changed them".to_owned(),
        (Testbed::Netns, Daemon::Frr) => "routes when FRR has changed them".to_owned(),
        _ => format!("routes {} later", seconds(network.fib_delay_ns as f64 / 1e9)),
    };
    format!(
        "BFD within {}{links}, {routes}; {slaves}",
        seconds(network.detection_ns() as f64 / 1e9),
    )
}

fn duration(plan: &Plan, demand: &Demand) -> String {
    let first = demand.phases.first().map_or(0.0, |phase| phase.seconds);
    let rest = (demand.seconds - first) * f64::from(plan.repeat);
    let drained = 1.0 + (plan.phases.len().saturating_sub(1) as f64) * f64::from(plan.repeat);
    let all = first + rest + drained * plan.traffic.drain_ns as f64 / 1e9;
    let trials = match plan.repeat {
        1 => String::new(),
        repeat => format!(", {repeat} trials of all phases but the first"),
    };
    format!("about {}{trials}, set-up and certificate aside", seconds(all))
}

fn criteria(criteria: &[Criterion]) -> String {
    if criteria.is_empty() {
        return "no criterion: every valid run passes".to_owned();
    }
    let value = |value: f64| figure::trimmed(value, 6);
    let words = criteria.iter().map(|criterion| match (criterion.min, criterion.max) {
        (Some(min), Some(max)) => format!("{} {} to {}", criterion.name, value(min), value(max)),
        (Some(min), None) => format!("{} at least {}", criterion.name, value(min)),
        (None, Some(max)) => format!("{} at most {}", criterion.name, value(max)),
        (None, None) => criterion.name.clone(),
    });
    words.collect::<Vec<_>>().join("; ")
}

/// A time with a unit that suits it.
fn seconds(seconds: f64) -> String {
    let (scaled, unit) = match seconds {
        s if s >= 120.0 => (s / 60.0, "min"),
        s if s >= 1.0 || s == 0.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s => (s * 1e6, "µs"),
    };
    format!("{} {unit}", figure::significant(scaled, 3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use format::{RunOptions, Scenario};

    const SCENARIO: &str = r#"
        schema = 1
        question = "What does one core forward?"
        [traffic]
        genome = "imix-7-4-1"
        connections = 64512
        [[phase]]
        name = "fill"
        open = "100k/s"
        [[phase]]
        name = "steady"
        rate = "2Mpps"
        for = "10s"
        [pass]
        "ledger.lost" = { max = 0 }
    "#;

    fn plan(source: &str, repeat: u32) -> Plan {
        let options = RunOptions { repeat: Some(repeat), ..RunOptions::default() };
        let scenario = Scenario::parse(source, "steady.toml").expect("well formed");
        scenario.resolve(&options).expect("a scenario that makes sense")
    }

    #[test]
    fn every_number_a_reader_plans_with_is_there() {
        let text = explain(&plan(SCENARIO, 3));
        for part in [
            "What does one core forward?",
            "1 core of traffic generator, 1 core of krononat: 2 CPUs busy",
            "7x64 + 4x594 + 1x1518, mean 361.83 bytes (L2, frame with FCS)",
            "64,512 held at most",
            "60,000,000 of data; 161,280 to open connections",
            "a connection is probed once in 32.3 ms in steady",
            "about 32.6 s, 3 trials",
            "ledger.lost at most 0",
            "at 64,512 held",
        ] {
            assert!(text.contains(part), "`{part}` is not in\n{text}");
        }
    }

    #[test]
    fn a_rate_of_max_promises_no_number() {
        let text = explain(&plan(&SCENARIO.replace("2Mpps", "max"), 1));
        assert!(text.contains("as many of data as pass"), "{text}");
        assert!(text.contains("6.45 ms in steady at 10 Mpps"), "{text}");
    }

    #[test]
    fn what_is_done_to_the_sut_is_told_with_its_instant() {
        let source = SCENARIO.replace("[traffic]", "[topology]\nsut = { servers = 3 }\n[traffic]");
        let source = source.replace(
            "for = \"10s\"",
            "sample = 256\nfor = \"10s\"\nat = \"3s..3.1s\"\ninject = { kill = \"sut.server[1]\" }",
        );
        let text = explain(&plan(&source, 1));
        for part in [
            "kill sut.server[1] at 3.00 s to 3.10 s of steady",
            "BFD within 9.90 ms, routes 0 s later; 2 shards a core with a slave each",
            "a connection is probed once in 128 µs in steady",
        ] {
            assert!(text.contains(part), "`{part}` is not in\n{text}");
        }
        let netns = RunOptions { testbed: Testbed::Netns, ..RunOptions::default() };
        let scenario = Scenario::parse(&source, "t.toml").expect("well formed");
        let text = explain(&scenario.resolve(&netns).expect("sensible"));
        assert!(text.contains("9.90 ms, routes when BIRD has changed them;"), "{text}");
        let text = explain(&plan(&source.replace("kill", "link-down"), 1));
        let links = "BFD within 9.90 ms, a link that goes down at once, routes 0 s later";
        assert!(text.contains("link-down sut.server[1] at") && text.contains(links), "{text}");
    }

    #[test]
    fn times_have_the_unit_that_suits_them() {
        let table = [(0.0, "0 s"), (0.0321, "32.1 ms"), (2e-6, "2.00 µs"), (600.0, "10.0 min")];
        for (value, text) in table {
            assert_eq!(seconds(value), text);
        }
    }
}
