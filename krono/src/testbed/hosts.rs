//! Each server a machine of its own, listed in a file ([`format::hosts`]) and started by its agent
//! ([`crate::agent`]); the network between them is a real one.
//!
//! A server under test hands everything to the router; generators send to the cores under test at
//! their Ethernet addresses. All generators begin each phase at one instant, which each is told on
//! its own clock ([`lead`]). What they count is added up as that of cores of one server is; what
//! becomes of a server that is lost, hangs or begins late is said in the result, which is then
//! invalid, and what the others have counted is kept.
//!
//! It refuses clusters, which take a router that watches them, and whatever is done to servers or
//! links meanwhile.

mod lead;
mod player;

use self::lead::Lead;
use self::player::Player;
use super::fleet::Fleet;
use super::program::Server;
use super::{Observation, Outcome, TestbedError};
use crate::agent::client::{Agent, Controller, Reach};
use crate::agent::wire::{Program, Start};
use crate::exit::Refusal;
use crate::layout::Layout;
use anyhow::{Context, ensure};
use dataplane::clock::Tsc;
use dataplane::identity::Mac;
use dataplane::port::dpdk::PortKind;
use dataplane::run::{Idle, Stop};
use format::Host;
use format::hosts::{Hosts, Port, Role};
use format::plan::Plan;
use kronogen::report::Line;
use serde::Serialize;
use std::path::Path;

/// A server of a run, for `servers.json`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Record {
    /// Its name in the hosts file.
    pub name: String,
    /// `generator` or `sut`.
    pub role: String,
    /// Its number among those of its role.
    pub server: u16,
    /// How it was reached.
    pub reached: String,
    /// Fingerprint of the machine.
    pub host: Host,
    /// Answer of `chronyc -n tracking` there; `null` where there is none.
    pub chrony: Option<String>,
    /// Answer of `pmc` to GET TIME_STATUS_NP there; `null` where there is none.
    pub ptp: Option<String>,
    /// Its clock at the start of each phase, of a generator.
    pub phases: Vec<Began>,
    /// Its clock after the last phase, of a generator that came so far.
    pub after: Option<Compared>,
}

/// How a clock differs from the controller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// It less the controller's, in ns.
    pub offset_ns: i64,
    /// The true difference is no further from it, in ns.
    pub bound_ns: u64,
}

/// How a generator began a phase.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Began {
    /// Name of the phase.
    pub phase: String,
    /// Its clock, before.
    #[serde(flatten)]
    pub clock: Compared,
    /// How long after the common instant it heard of it, in ns: 0 but for one that is late.
    pub late_ns: Option<u64>,
}

/// Reads a hosts file and compares it with the plan.
///
/// # Errors
/// [`Refusal::Usage`] with file, line, key and remedy.
pub fn read(plan: &Plan, file: &str) -> Result<Hosts, Refusal> {
    let source = std::fs::read_to_string(file)
        .map_err(|error| Refusal::Usage(format!("{file}: {error}")))?;
    let hosts = Hosts::parse(&source, file);
    let hosts = hosts.and_then(|hosts| hosts.fits(&plan.topology, file).map(|()| hosts));
    let hosts = hosts.map_err(|error| Refusal::Usage(error.to_string()))?;
    match hosts.network.gateway.as_deref().map(str::parse::<Mac>) {
        Some(Err(error)) => Err(Refusal::Usage(format!("{file}: network.gateway: {error}"))),
        _ => Ok(hosts),
    }
}

/// What this testbed cannot do, if the plan asks for it.
pub fn lacking(plan: &Plan) -> Option<String> {
    if Layout::new(plan).is_cluster() {
        return Some(
            "a cluster takes a router that watches it, which is not led in this version: set \
             sut.replicate = false, or use the embedded or process testbed"
                .to_owned(),
        );
    }
    if plan.faults.is_some() || plan.phases.iter().any(|phase| phase.injection.is_some()) {
        return Some(
            "nothing is done to servers or links in this version: remove [faults] and inject, or \
             use the embedded or process testbed"
                .to_owned(),
        );
    }
    None
}

/// Runs a plan on the servers of a file.
///
/// # Errors
/// [`TestbedError::Unavailable`] when a server cannot be reached; [`TestbedError::Failed`] when one
/// was lost before the first phase.
pub fn run(
    plan: &Plan,
    file: &str,
    stop: &Stop,
    observe: &mut dyn FnMut(Observation),
) -> Result<Outcome, TestbedError> {
    let failed = |error| TestbedError::failed(plan, error);
    let hosts = read(plan, file).map_err(|refusal| failed(refusal.into()))?;
    let clock = Tsc::calibrate();
    let controller = Controller::new(clock).map_err(failed)?;
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    let members: anyhow::Result<Vec<Member>> = [Role::Generator, Role::Sut]
        .into_iter()
        .flat_map(|role| (0..).zip(hosts.of(role)))
        .map(|(number, server)| Member::reach(&controller, number, server, folder))
        .collect();
    let members = members.map_err(|error| TestbedError::Unavailable {
        testbed: plan.testbed.clone(),
        missing: format!("{error:#}"),
    })?;
    measure(plan, &hosts, &members, &clock, stop, observe).map_err(failed)
}

/// A server that has been reached.
struct Member {
    agent: Agent,
    record: Record,
    ports: Vec<Port>,
    cpus: Vec<usize>,
}

impl Member {
    fn reach(
        controller: &Controller,
        number: u16,
        server: &format::hosts::Server,
        folder: &Path,
    ) -> anyhow::Result<Member> {
        let (reached, reach) = match (&server.agent, &server.ssh) {
            (Some(address), _) => {
                let tls = server.tls.as_ref().map(|tls| folder.join(tls));
                (address.clone(), Reach::Running { address: address.clone(), tls })
            }
            (None, ssh) => {
                let target = ssh.clone().unwrap_or_default();
                let krono = server.krono.clone().unwrap_or_else(|| "krono".to_owned());
                let options = server.ssh_options.clone();
                (format!("ssh {target}"), Reach::Ssh { target, options, krono })
            }
        };
        let name = format!("{} ({reached})", server.name);
        let agent = Agent::reach(controller, name, &reach)?;
        let hello = agent.hello();
        let host = serde_json::from_str(&hello.host_json)
            .with_context(|| format!("{}: its fingerprint", server.name))?;
        let found = hello.synchronisation.clone().unwrap_or_default();
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let record = Record {
            name: server.name.clone(),
            role: server.role.to_string(),
            server: number,
            reached,
            host,
            chrony: some(found.chrony),
            ptp: some(found.ptp),
            phases: Vec::new(),
            after: None,
        };
        let (ports, cpus) = (server.ports.clone(), server.cpus.clone());
        Ok(Member { agent, record, ports, cpus })
    }

    /// As it is named in whatever goes wrong with it.
    fn title(&self, program: &str) -> String {
        format!("{} ({program} at {})", self.record.name, self.record.reached)
    }

    /// Port of a core; of shared memory, generators are the long-lived side.
    fn port(&self, core: usize) -> PortKind {
        match &self.ports[core] {
            Port::Pci(address) => PortKind::Pci { address: address.clone() },
            Port::AfPacket(interface) => PortKind::AfPacket { interface: interface.clone() },
            Port::Memif(name) if self.record.role == Role::Generator.to_string() => {
                PortKind::MemifServer { socket: name.clone(), id: 0 }
            }
            Port::Memif(name) => PortKind::MemifClient { socket: name.clone(), id: 0 },
        }
    }

    fn cpu(&self, core: usize) -> Option<usize> {
        self.cpus.get(core).copied()
    }

    fn generate(&self, layout: &Layout<'_>) -> anyhow::Result<Server<Line>> {
        let mut config = layout.generator(self.record.server);
        config.idle = layout.idle();
        for (index, core) in config.cores.iter_mut().enumerate() {
            (core.cpu, core.ports) = (self.cpu(index), vec![self.port(index)]);
        }
        let start = Start {
            program: Program::Kronogen.into(),
            config: toml::to_string(&config)?,
            adaptive: false,
            led: true,
        };
        self.agent.run(self.title("kronogen"), start)
    }

    fn translate(
        &self,
        layout: &Layout<'_>,
        gateway: Mac,
    ) -> anyhow::Result<Server<krononat::report::Line>> {
        let mut config = layout.sut(self.record.server);
        for (index, core) in config.cores.iter_mut().enumerate() {
            (core.cpu, core.ports) = (self.cpu(index), vec![self.port(index)]);
            core.identity.gateway = gateway;
        }
        let start = Start {
            program: Program::Krononat.into(),
            config: toml::to_string(&config)?,
            adaptive: layout.idle() == Idle::Sleep,
            led: false,
        };
        self.agent.run(self.title("krononat"), start)
    }
}

fn measure(
    plan: &Plan,
    hosts: &Hosts,
    members: &[Member],
    clock: &Tsc,
    stop: &Stop,
    observe: &mut dyn FnMut(Observation),
) -> anyhow::Result<Outcome> {
    let layout = Layout::new(plan);
    let (generators, suts) = members.split_at(hosts.of(Role::Generator).count());
    let mut players = Vec::with_capacity(generators.len());
    for member in generators {
        players.push(Player::new(&member.agent, member.generate(&layout)?, clock));
    }
    players.iter_mut().try_for_each(Player::await_ports)?;
    // With one generator core that core is the next hop.
    let only = layout.generator(0).cores.first().map(|core| core.identity.mac);
    let gateway = match hosts.network.gateway.as_deref() {
        Some(text) => text.parse()?,
        None => only.context("no generator core")?,
    };
    let launch = |server: usize| suts[server].translate(&layout, gateway);
    let fleet = Fleet::start(&layout, plan.topology.sut_servers, Box::new(launch), &[])?;
    players.iter_mut().try_for_each(Player::await_cores)?;
    let hz = |member: &Member| member.record.host.tsc_hz.unwrap_or_default() as f64;
    let sut_hz: Vec<f64> = suts.iter().map(hz).collect();
    ensure!(sut_hz.iter().all(|&hz| hz > 0.0), "a server does not know its counter's frequency");
    let lead = Lead { plan, layout: &layout, players, fleet, clock, stop };
    let mut outcome = lead.run(sut_hz, observe)?;
    let began = std::mem::take(&mut outcome.servers);
    outcome.servers = members.iter().map(|member| member.record.clone()).collect();
    for (all, one) in outcome.servers.iter_mut().zip(began) {
        (all.phases, all.after) = (one.phases, one.after);
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use format::{RunOptions, Scenario};

    fn plan(text: &str) -> Plan {
        let scenario = Scenario::with_overrides(text, "a.toml", &[]).expect("a scenario");
        scenario.resolve(&RunOptions::default()).expect("a plan")
    }

    #[test]
    fn what_is_not_led_here_is_refused_with_a_remedy() {
        let file = |name: &str| {
            let path = format!("{}/../scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
            std::fs::read_to_string(path).expect("a scenario")
        };
        assert_eq!(lacking(&plan(&file("imix"))), None);
        let refused = lacking(&plan(&file("server-failure"))).expect("a cluster");
        assert!(refused.contains("sut.replicate"), "{refused}");
    }
}
