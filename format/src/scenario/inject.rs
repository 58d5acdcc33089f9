//! What is done to the SUT: read from the keys of a phase, then walked through phase by phase.
//!
//! The walk keeps what state each server and core is in, so that nobody is killed twice, nothing
//! returns that has not gone, and something is always left that can take over. Phases that are
//! repeated are walked twice: what the last one leaves behind must suit the first.

use super::document::{Places, part};
use super::keys::PhaseKeys;
use crate::error::Diagnostic;
use crate::plan::{Action, Injection, PhasePlan, Target, Topology, Until};
use crate::unit::Duration;

/// Longest delay of frames: more than that is a partition.
const DELAY_MAX: Duration = Duration(1_000_000_000);

/// The injection of a phase, as far as the phase alone can tell.
pub(super) fn read(
    phase: &PhaseKeys,
    places: &Places,
    topology: &Topology,
    until: Until,
) -> Result<Option<Injection>, Diagnostic> {
    let refuse = |key: &str, problem: String| {
        let key = format!("phase.{}.{key}", part(&phase.name));
        Diagnostic::new(places.of(&key), &key, problem)
    };
    let (at, keys) = match (phase.at, &phase.inject) {
        (None, None) => return Ok(None),
        (Some(at), Some(keys)) => (at, keys),
        (Some(_), None) => {
            let error = refuse("at", "nothing to inject then".to_owned());
            return Err(error.remedy("Set inject, such as { kill = \"sut.server[1]\" }."));
        }
        (None, Some(_)) => {
            let error = refuse("inject", "no instant".to_owned());
            return Err(error.remedy("Set at, such as at = \"1s\"."));
        }
    };
    let given = keys.given();
    let &[(action, target)] = &given[..] else {
        let names: Vec<&str> = given.iter().map(|(action, _)| action.name()).collect();
        let found = if names.is_empty() { "no action".to_owned() } else { names.join(" and ") };
        return Err(refuse("inject", found).expected("one action, such as { kill = … }"));
    };
    let Until::For(length_ns) = until else {
        let error = refuse("inject", "the phase has no fixed length".to_owned());
        return Err(error.remedy("Say how long it lasts, such as for = \"10s\"."));
    };
    if at.latest.0 >= length_ns {
        let error = refuse("at", format!("{at} is not before the end of the phase"));
        return Err(error.expected(format!("less than {}", Duration(length_ns))));
    }
    let key = format!("inject.{}", action.name());
    exists(target, topology)
        .map_err(|expected| refuse(&key, format!("there is no {target}")).expected(expected))?;
    if target.core.is_some() && of_servers(action) {
        let error = refuse(&key, format!("{target} is a core"));
        let server = Target { core: None, ..target };
        return Err(error.expected(format!("a server, such as \"{server}\"")));
    }
    if let Action::Delay { by_ns } = action
        && !(1..=DELAY_MAX.0).contains(&by_ns)
    {
        let error = refuse("inject.delay.by", format!("{}", Duration(by_ns)));
        return Err(error.expected(format!("above 0s, at most {DELAY_MAX}")));
    }
    let spread_ns = at.latest.0 - at.earliest.0;
    Ok(Some(Injection { at_ns: at.earliest.0, spread_ns, target, action }))
}

/// What would have been a target, if this one is none.
fn exists(target: Target, topology: &Topology) -> Result<(), String> {
    if target.server >= topology.sut_servers {
        return Err(match topology.sut_servers - 1 {
            0 => "sut.server[0]".to_owned(),
            last => format!("sut.server[0] to sut.server[{last}]"),
        });
    }
    match (target.core, topology.sut_cores - 1) {
        (Some(core), 0) if core > 0 => Err("core[0]".to_owned()),
        (Some(core), last) if core > last => Err(format!("core[0] to core[{last}]")),
        _ => Ok(()),
    }
}

/// Whether an action is one of whole servers.
fn of_servers(action: Action) -> bool {
    use Action::{Join, Kill, Leave, Return, Upgrade};
    matches!(action, Kill | Leave | Return | Join | Upgrade)
}

/// Whether a server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Absent,
    Running,
    Killed,
    Left,
}

/// What a core suffers; one bit each.
const HANGS: u8 = 1;
const LINK_DOWN: u8 = 2;
const PARTED: u8 = 4;
const LOSES: u8 = 8;
const DELAYED: u8 = 16;
/// What `heal` ends.
const HEALED: u8 = PARTED | LOSES | DELAYED;

/// The SUT as the injections so far have left it.
struct Cluster {
    servers: Vec<(Life, Vec<u8>)>,
    /// Fewest servers that ran at any time.
    fewest: u16,
}

/// Walks through the phases as they run; the fewest servers that ever run at once.
pub(super) fn walk(
    places: &Places,
    topology: &Topology,
    phases: &[PhasePlan],
    repeat: u32,
) -> Result<u16, Diagnostic> {
    let mut cluster = Cluster::at_start(topology, phases);
    let rounds = [phases, phases.get(1..).filter(|_| repeat > 1).unwrap_or_default()];
    for (round, phases) in rounds.into_iter().enumerate() {
        for phase in phases {
            let Some(injection) = phase.injection else { continue };
            cluster.suffer(injection, round > 0).map_err(|(problem, remedy)| {
                let again = if round > 0 { " in the second repetition" } else { "" };
                let action = injection.action.name();
                let key = format!("phase.{}.inject.{action}", part(&phase.name));
                let problem = format!("{}{again}: {problem}", injection.target);
                Diagnostic::new(places.of(&key), &key, problem).remedy(remedy)
            })?;
        }
    }
    if cluster.fewest == 0 {
        let problem = "no server runs at the start: all of them join later";
        let error = Diagnostic::new(places.of("phase"), "phase", problem);
        return Err(error.remedy("Take another server, or leave one of them out."));
    }
    Ok(cluster.fewest)
}

impl Cluster {
    /// Absent are those to which `join` happens first.
    fn at_start(topology: &Topology, phases: &[PhasePlan]) -> Cluster {
        let life = |server| {
            let mut all = phases.iter().filter_map(|phase| phase.injection);
            match all.find(|injection| injection.target.server == server) {
                Some(Injection { action: Action::Join, .. }) => Life::Absent,
                _ => Life::Running,
            }
        };
        let cores = vec![0; usize::from(topology.sut_cores)];
        let servers = (0..topology.sut_servers).map(|server| (life(server), cores.clone()));
        let mut cluster = Cluster { servers: servers.collect(), fewest: 0 };
        cluster.fewest = cluster.running();
        cluster
    }

    fn running(&self) -> u16 {
        self.servers.iter().filter(|(life, _)| *life == Life::Running).count() as u16
    }

    /// What becomes of the SUT, or the problem and its remedy.
    fn suffer(
        &mut self,
        injection: Injection,
        repeated: bool,
    ) -> Result<(), (&'static str, &'static str)> {
        let Injection { target, action, .. } = injection;
        let others = self.running() > 1;
        let (life, cores) = &mut self.servers[usize::from(target.server)];
        let cores = match target.core {
            Some(core) => &mut cores[usize::from(core)..=usize::from(core)],
            None => &mut cores[..],
        };
        let any = |bits: u8| cores.iter().any(|core| core & bits != 0);
        let (begins, ends) = match action {
            Action::Kill | Action::Leave | Action::Upgrade => {
                if *life != Life::Running {
                    return Err(gone(*life));
                }
                if !others {
                    let remedy = "Take more servers, or let another return or join before.";
                    return Err(("no other server runs that could take over", remedy));
                }
                if any(HANGS) && action != Action::Kill {
                    return Err(("it hangs and cannot leave", "Resume or kill it."));
                }
                *life = match action {
                    Action::Kill => Life::Killed,
                    Action::Leave => Life::Left,
                    _ => Life::Running,
                };
                cores.iter_mut().for_each(|core| *core &= !HANGS);
                // An upgrade is for a while as a server that has left.
                let gone = u16::from(action == Action::Upgrade);
                self.fewest = self.fewest.min(self.running() - gone);
                return Ok(());
            }
            Action::Return | Action::Join => {
                return match (action, *life) {
                    (_, Life::Running) => Err(("it runs", "Kill it or let it leave before.")),
                    (Action::Return, Life::Absent) => {
                        Err(("it has not run so far", "Let it join."))
                    }
                    (Action::Join, Life::Killed | Life::Left) if !repeated => {
                        Err(("it has run before", "Let it return."))
                    }
                    _ => {
                        *life = Life::Running;
                        Ok(())
                    }
                };
            }
            Action::Resume => (0, HANGS),
            Action::LinkUp => (0, LINK_DOWN),
            Action::Heal => (0, HEALED),
            Action::Hang => (HANGS, 0),
            Action::LinkDown => (LINK_DOWN, 0),
            Action::Partition(_) => (PARTED, 0),
            Action::Loss(_) => (LOSES, 0),
            Action::Delay { .. } => (DELAYED, 0),
        };
        if ends != 0 && !any(ends) {
            return Err(("there is nothing to end", "Begin it before, or leave this out."));
        }
        if begins != 0 && *life != Life::Running {
            return Err(gone(*life));
        }
        if any(begins) {
            return Err(("it is so already", "End it before, or leave this out."));
        }
        cores.iter_mut().for_each(|core| *core = *core & !ends | begins);
        Ok(())
    }
}

fn gone(life: Life) -> (&'static str, &'static str) {
    match life {
        Life::Running => ("it runs", "Leave this out."),
        Life::Absent => ("it does not run yet", "Let it join before."),
        Life::Killed => ("it has been killed", "Let it return before."),
        Life::Left => ("it has left", "Let it return before."),
    }
}
