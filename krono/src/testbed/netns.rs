//! A network that Linux routes, in namespaces of one machine: the generator and each server under
//! test are processes on packet sockets, and between them is a router of the kernel's, told by BIRD
//! or FRR what each core announces by BGP and whom it misses by BFD.
//!
//! ```text
//!  kronogen ─ gen0 ═══ gen0 ┐        ┌ core0 ═══ nat0 ─ krononat of server 0
//!  both sides               ├ router ┤
//!                           ┘        └ core1 ═══ nat0 ─ krononat of server 1
//! ```
//!
//! Whoever is killed is killed by SIGKILL, and nobody is told. The cable keeps its link, and no FIN
//! and no RST comes from a dead server, for the cores' TCP is in the process: the kernel has no
//! connection to reset and no address to answer for. Should a frame come all the same, the run is
//! invalid. So whatever the router knows it knows by packets, and by a link that goes down where a
//! plan says so.
//!
//! Servers that keep no copies have fixed routes. It refuses several generator cores, systems whose
//! packets no route would lead back to, rates that packet sockets do not carry, and disturbances of
//! a link other than unplugging it. It takes root.

mod daemon;
mod network;
mod news;

use self::daemon::Router;
use self::network::Network;
use self::news::News;
use super::conduct::{Conduct, Surroundings};
use super::fleet::{self, Fleet};
use super::process::toml_of;
use super::program;
use super::watch::Seen;
use super::{Observation, Outcome, TestbedError};
use crate::layout::Layout;
use crate::peer::namespace;
use anyhow::{Context, ensure};
use dataplane::clock::Tsc;
use dataplane::port::dpdk::{self, PortKind};
use dataplane::run::{Idle, Stop};
use dataplane::thread::allowed_cpus;
use format::plan::{Action, Injection, Plan, Rate};
use krononat::config::{Bgp, Mark};
use krononat::route::bgp::Community;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The AS of the cores, which is one, so that their MEDs are compared.
const ASN: u16 = 65_001;
/// The router's.
const ROUTER_ASN: u16 = 65_000;
/// The community of subscribers' prefixes: [`ASN`], and this.
const SUBSCRIBERS: u16 = 2;

/// How long a core goes on serving what it has handed over, in milliseconds: a routing daemon that
/// shares the processors with all of this has been seen to take longer than the default to move a
/// route.
const DRAIN_MS: u64 = 200;

/// Most packets a second that are asked of packet sockets and a router on the same processors.
const RATE_MAX_PPS: f64 = 100_000.0;

/// Most packets under way where a plan names no rate: half of a packet socket's ring, and of Linux'
/// queue to a processor (`net.core.netdev_max_backlog`, 1,000).
const WINDOW: u32 = 512;

/// How long the router may take until it uses all cores: BFD sends a packet a second before its
/// session, and both ends of BGP wait about as long between attempts.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Time between two looks at the router before the run.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long a process that was killed may take to be gone, its last frames with it.
const GONE_WITHIN: Duration = Duration::from_millis(5);

/// What this testbed cannot do, if the plan asks for it.
pub(crate) fn lacking(plan: &Plan) -> Option<String> {
    let topology = &plan.topology;
    if topology.generators() != 1 {
        return Some(format!(
            "it has one generator core, not {}: set topology.generators to servers = 1 and \
             cores = 1, or use the embedded testbed",
            topology.generators()
        ));
    }
    if topology.sut_stands_for > 1 {
        return Some(
            "a core that runs stands for others (topology.sut.stands_for), which is for virtual \
             time; use --testbed sim"
                .to_owned(),
        );
    }
    if topology.suts() > 100 {
        return Some(format!("it has at most 100 SUT cores, not {}", topology.suts()));
    }
    if topology.sut_kind.translates_nothing() {
        return Some(format!(
            "the router finds what comes for subscribers by external addresses, and `{}` has none: \
             use krononat or another NAT, or the embedded testbed",
            topology.sut_kind
        ));
    }
    if plan.faults.is_some() {
        return Some("[faults] are a matter of the embedded testbed: remove them".to_owned());
    }
    if plan.network.fib_delay_ns > 0 {
        return Some(
            "its router takes the time that it takes: leave out network.fib_delay, or use the \
             embedded testbed"
                .to_owned(),
        );
    }
    let fast = plan.phases.iter().find_map(|phase| match phase.rate {
        Rate::Pps(pps) if pps > RATE_MAX_PPS => Some((phase, pps)),
        _ => None,
    });
    if let Some((phase, pps)) = fast {
        return Some(format!(
            "phase `{}` asks for {pps} packets a second, and packet sockets are asked for \
             {RATE_MAX_PPS} at most: --set phase.{}.rate=20kpps",
            phase.name, phase.name
        ));
    }
    daemon::lacking(plan).or_else(|| fleet::lacking(plan, true))
}

/// What this machine lacks for it, and the remedy.
pub(crate) fn missing(plan: &Plan) -> Option<String> {
    let programs = [
        ("ip", "iproute2"),
        ("ethtool", "ethtool"),
        ("sysctl", "procps"),
        ("setpriv", "util-linux"),
    ];
    dpdk::available()
        .err()
        .map(|error| error.to_string())
        .or_else(|| namespace::missing(&programs))
        .or_else(|| Layout::new(plan).is_cluster().then(|| daemon::missing(plan.network.router))?)
        .or_else(|| namespace::lacking(&programs))
        .or_else(|| ["kronogen", "krononat"].into_iter().find_map(|it| program::beside(it).err()))
}

/// Runs a plan.
///
/// # Errors
/// [`TestbedError::Unavailable`] without what it takes; [`TestbedError::Failed`] when a process
/// broke or the router did not come to use all cores.
pub fn run(
    plan: &Plan,
    stop: &Stop,
    observe: &mut dyn FnMut(Observation),
) -> Result<Outcome, TestbedError> {
    if let Some(missing) = lacking(plan).or_else(|| missing(plan)) {
        return Err(TestbedError::Unavailable { testbed: plan.testbed.clone(), missing });
    }
    measure(plan, stop, observe).map_err(|error| TestbedError::failed(plan, error))
}

fn measure(
    plan: &Plan,
    stop: &Stop,
    observe: &mut dyn FnMut(Observation),
) -> anyhow::Result<Outcome> {
    let layout = Layout::new(plan);
    let clock = Tsc::calibrate();
    // Locals go in the opposite order: whoever uses a namespace or a file before it.
    let folder = daemon::folder()?;
    let configured = Configured::write(plan, &layout, &folder)?;
    let network = Network::build(&layout).context("the network")?;
    let mut news = News::listen(&network, &layout, clock, folder.path())?;
    let router = match layout.is_cluster() {
        true => Some(Router::start(plan, &network, &layout, &folder, &mut news)?),
        false => network.route_statically(&layout).map(|()| None)?,
    };
    let programs =
        ["kronogen", "krononat"].map(|name| program::beside(name).map_err(anyhow::Error::msg));
    let [kronogen, krononat] = programs;
    let (kronogen, krononat) = (kronogen?, krononat?);
    let more: &[&str] = if layout.idle() == Idle::Sleep { &["--adaptive"] } else { &[] };
    let launch = |server: usize| {
        let name = format!("krononat of sut.server[{server}]");
        let file = &configured.servers[server];
        let start = || program::start(name, &krononat, file, &clock, more);
        network.servers[server].enter(start)?
    };
    let absent = plan.absent_at_start();
    let fleet = Fleet::start(&layout, plan.topology.sut_servers, Box::new(launch), &absent)?;
    if let Some(router) = &router {
        await_routes(&layout, &network, router, &absent, stop)?;
    }
    let start =
        || program::start("kronogen".to_owned(), &kronogen, &configured.generator, &clock, &[]);
    let mut generator = network.generator.enter(start)??;
    match generator.hear()? {
        Some(kronogen::report::Line::Listening { .. }) => {}
        other => anyhow::bail!("kronogen began with {other:?}"),
    }
    let conduct = Conduct { plan, layout: &layout, clock: &clock, stop, generator, fleet };
    let mut around = Around { network: &network, news, killed: Vec::new(), faults: Vec::new() };
    let outcome = conduct.run(&mut around, observe)?;
    around.listen_to_the_dead()?;
    let facts = router.iter().map(|router| ("router".to_owned(), router.version()));
    Ok(Outcome { facts: facts.collect(), faults: around.faults, ..outcome })
}

/// Waits until each shard's packets go to the core that is to serve it, both ways, and the router
/// knows every core that could.
fn await_routes(
    layout: &Layout<'_>,
    network: &Network,
    router: &Router,
    absent: &[u16],
    stop: &Stop,
) -> anyhow::Result<()> {
    let steered = layout.steered();
    let runs = |core: &u32| !absent.contains(&layout.sut_place(*core).0);
    let wanted: Vec<Option<u32>> =
        steered.iter().map(|it| it.cores.iter().copied().find(runs)).collect();
    let paths = steered.iter().flat_map(|it| &it.cores).filter(|core| runs(core)).count();
    let begun = Instant::now();
    loop {
        let used = network.steers(layout)?;
        let known = router.paths();
        if used == wanted && known == paths || stop.is_set() {
            return Ok(());
        }
        let late = begun.elapsed() > READY_WITHIN;
        ensure!(
            !late,
            "the router has {known} of {paths} routes after {READY_WITHIN:?}, and uses the cores \
             {used:?} of {wanted:?}"
        );
        thread::sleep(LOOK_EVERY);
    }
}

/// Configurations of all programs, as files.
struct Configured {
    generator: PathBuf,
    servers: Vec<PathBuf>,
}

impl Configured {
    fn write(plan: &Plan, layout: &Layout<'_>, folder: &TempDir) -> anyhow::Result<Configured> {
        // Workers that sleep may run wherever there is room.
        let spins = layout.idle() == Idle::Spin;
        let mut cpus = allowed_cpus().into_iter().filter(|_| spins);
        let write = |name: String, text: String| -> anyhow::Result<PathBuf> {
            let file: &Path = &folder.path().join(name);
            std::fs::write(file, text).with_context(|| file.display().to_string())?;
            Ok(file.to_owned())
        };
        let mut generator = layout.generator(0);
        generator.idle = layout.idle();
        generator.window = WINDOW.max(2 * generator.batch as u32);
        let core = &mut generator.cores[0];
        core.cpu = cpus.next();
        core.gateways.fill(layout.router().mac);
        core.ports = vec![PortKind::AfPacket { interface: network::GENERATOR.to_owned() }];
        let mut servers = Vec::new();
        for number in 0..plan.topology.sut_servers {
            let mut server = layout.sut(number);
            for (index, core) in server.cores.iter_mut().enumerate() {
                core.cpu = cpus.next();
                core.ports = vec![PortKind::AfPacket { interface: network::inner(index) }];
                core.identity.asn = layout.is_cluster().then_some(ASN.into());
            }
            if let Some(cluster) = &mut server.cluster {
                cluster.drain_ms = DRAIN_MS;
                let community = u32::from(ASN) << 16 | u32::from(SUBSCRIBERS);
                cluster.bgp = Some(Bgp {
                    asn: ROUTER_ASN.into(),
                    hold_s: 90,
                    ttl_security: false,
                    subscribers: Some(Mark(Community(community))),
                });
            }
            servers.push(write(format!("krononat{number}.toml"), toml_of(&server)?)?);
        }
        let generator = write("kronogen.toml".to_owned(), toml_of(&generator)?)?;
        Ok(Configured { generator, servers })
    }
}

/// The network while the run lasts.
struct Around<'a> {
    network: &'a Network,
    news: News,
    /// Servers that were killed and have not been started again, with the frames that had come from
    /// each when it was dead.
    killed: Vec<(u16, u64)>,
    faults: Vec<String>,
}

impl Around<'_> {
    /// Whoever is dead must have said nothing since: a frame would have told the router.
    fn listen_to_the_dead(&mut self) -> anyhow::Result<()> {
        for (server, frames) in std::mem::take(&mut self.killed) {
            let since = self.network.frames_from(server)?.saturating_sub(frames);
            if since > 0 {
                self.faults.push(format!(
                    "{since} frames came from sut.server[{server}] after it was killed, which may \
                     have told the router"
                ));
            }
        }
        Ok(())
    }
}

impl Surroundings for Around<'_> {
    fn inject(&mut self, injection: Injection) -> anyhow::Result<()> {
        let server = injection.target.server;
        match injection.action {
            Action::Kill => {
                thread::sleep(GONE_WITHIN);
                self.killed.push((server, self.network.frames_from(server)?));
                Ok(())
            }
            // What it has said until now: it is started already, and takes longer to say something.
            Action::Return => self.listen_to_the_dead(),
            Action::LinkDown => self.network.set_link(injection.target, false),
            Action::LinkUp => self.network.set_link(injection.target, true),
            _ => Ok(()),
        }
    }

    fn look(&mut self) -> anyhow::Result<Vec<Seen>> {
        Ok(self.news.read())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use format::{RunOptions, Scenario};

    fn refusal(settings: &[(&str, &str)]) -> Option<String> {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/server-failure.toml");
        let source = std::fs::read_to_string(file).expect("a scenario");
        let scenario = Scenario::with_overrides(&source, file, settings).expect("well formed");
        lacking(&scenario.resolve(&RunOptions::default()).expect("sensible"))
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_remedy() {
        assert_eq!(refusal(&[]), None);
        let frr = ("network.router", "frr");
        assert_eq!(refusal(&[frr, ("network.bfd.interval", "50ms")]), None);
        for (settings, remedy) in [
            (&[frr][..], "network.bfd.interval=10ms"),
            (&[("network.fib_delay", "20ms")], "leave out network.fib_delay"),
            (&[("phase.fail.rate", "1Mpps")], "--set phase.fail.rate=20kpps"),
            (&[("topology.generators.cores", "2")], "cores = 1"),
            (&[("topology.sut.kind", "forwarder"), ("sut.replicate", "false")], "another NAT"),
        ] {
            let said = refusal(settings).unwrap_or_default();
            assert!(said.contains(remedy), "{settings:?}: {said}");
        }
    }
}
