//! The router's routing daemon: BIRD 2, or FRR.
//!
//! Both speak BGP with each core, watch it by BFD, and install the better route of two for each
//! shard's external prefix. Both have a static default route for what the subscribers of a shard
//! send, in the shard's own table, whose next hop is recursive: it follows a route that the cores
//! announce, so that both ways move with one decision ([`configuration`]).
//!
//! They run in real time where that is allowed: BFD must not miss somebody because a compiler runs
//! beside.

mod configuration;

use self::configuration::{Bfd, Cable, Setting, Shard};
use super::network::{Network, outer, table};
use super::news::News;
use super::{ASN, ROUTER_ASN, SUBSCRIBERS};
use crate::layout::Layout;
use crate::peer::namespace::{Namespace, installed, missing as not_installed};
use crate::peer::service::Service;
use anyhow::Context;
use format::plan::{Daemon, Plan};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Where FRR has its daemons, which are in no path.
const FRR: [&str; 2] = ["/usr/lib/frr", "/usr/libexec/frr"];

/// Shortest interval of BFD that FRR takes, and its unit, in nanoseconds.
const FRR_INTERVAL_MIN_NS: u64 = 10_000_000;
const FRR_INTERVAL_UNIT_NS: u64 = 1_000_000;

/// What the daemon of a plan cannot do.
pub(super) fn lacking(plan: &Plan) -> Option<String> {
    let interval_ns = plan.network.bfd_interval_ns;
    let fits =
        interval_ns >= FRR_INTERVAL_MIN_NS && interval_ns.is_multiple_of(FRR_INTERVAL_UNIT_NS);
    (plan.network.router == Daemon::Frr && !fits).then(|| {
        format!(
            "FRR's BFD takes whole milliseconds from 10 on, not {} ms: --set \
             network.bfd.interval=10ms, or network.router=bird",
            interval_ns as f64 / 1e6
        )
    })
}

/// What this machine lacks for a daemon, and the remedy.
pub(super) fn missing(kind: Daemon) -> Option<String> {
    match kind {
        Daemon::Bird => not_installed(&[("bird", "bird2"), ("birdc", "bird2")]),
        Daemon::Frr if frr_folder().is_none() => {
            Some("not installed: apt-get install frr".to_owned())
        }
        Daemon::Frr => not_installed(&[("vtysh", "frr")]),
    }
}

fn frr_folder() -> Option<&'static Path> {
    FRR.into_iter().map(Path::new).find(|folder| folder.join("bgpd").is_file())
}

/// A folder for what programs of a run read and say; FRR's run as a user of their own.
pub(super) fn folder() -> anyhow::Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("krono-").tempdir_in("/run");
    let folder = folder.context("a folder in /run")?;
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o711))?;
    Ok(folder)
}

/// The daemon, until dropped.
pub(super) struct Router {
    kind: Daemon,
    state: PathBuf,
    _daemons: Vec<Service>,
}

impl Router {
    /// Starts it in the router's namespace.
    pub(super) fn start(
        plan: &Plan,
        network: &Network,
        layout: &Layout<'_>,
        folder: &TempDir,
        news: &mut News,
    ) -> anyhow::Result<Router> {
        let setting = setting(plan, layout);
        let state = folder.path().join("router");
        std::fs::create_dir(&state).context("the router's folder")?;
        let (kind, inside) = (plan.network.router, &network.router);
        let daemons = match kind {
            Daemon::Bird => start_bird(&setting, inside, &state, news),
            Daemon::Frr => start_frr(&setting, inside, &state, news),
        };
        Ok(Router { kind, state, _daemons: daemons? })
    }

    /// Routes that it has from the cores, the best ones and others.
    pub(super) fn paths(&self) -> usize {
        match self.kind {
            Daemon::Bird => {
                let said =
                    self.ask("birdc", "-s", "bird.ctl", &["show", "route", "table", "cores"]);
                // One for each shard's subscribers and one for its external addresses.
                said.matches("via ").count() / 2
            }
            Daemon::Frr => {
                let said =
                    self.ask("vtysh", "--vty_socket", "", &["-c", "show bgp ipv4 unicast json"]);
                let said: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
                let routes = said["routes"].as_object();
                let paths = |route: &serde_json::Value| route.as_array().map_or(0, Vec::len);
                routes.map_or(0, |routes| routes.values().map(paths).sum())
            }
        }
    }

    /// In words.
    pub(super) fn version(&self) -> String {
        let said = match self.kind {
            Daemon::Bird => self.ask("birdc", "-s", "bird.ctl", &["show", "status"]),
            Daemon::Frr => self.ask("vtysh", "--vty_socket", "", &["-c", "show version"]),
        };
        let name = if self.kind == Daemon::Bird { "BIRD" } else { "FRR" };
        let line = said.lines().find(|line| line.starts_with(name)).unwrap_or(name);
        line.split(" ready").next().unwrap_or(line).trim().to_owned()
    }

    fn ask(&self, program: &str, option: &str, socket: &str, question: &[&str]) -> String {
        let Some(program) = installed(program) else { return String::new() };
        let mut command = Command::new(program);
        command.arg(option).arg(self.state.join(socket)).args(question).stdin(Stdio::null());
        let said = command.stderr(Stdio::null()).output();
        said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned()).unwrap_or_default()
    }
}

fn setting(plan: &Plan, layout: &Layout<'_>) -> Setting {
    let cable = |index| {
        let (server, core) = layout.sut_of(index);
        let core = server.cores[core].identity.ip;
        Cable { interface: outer(index), router: layout.router().ip, core }
    };
    let steered = layout.steered();
    let shards = steered.iter().enumerate().filter_map(|(shard, it)| {
        let inside = it.subscribers.first()?.network();
        Some(Shard { table: table(shard), inside, outside: it.external.broadcast() })
    });
    Setting {
        router_id: layout.router().ip,
        asn: ROUTER_ASN.into(),
        cores_asn: ASN.into(),
        subscribers: (ASN.into(), SUBSCRIBERS.into()),
        bfd: Bfd {
            interval_us: plan.network.bfd_interval_ns / 1_000,
            multiplier: plan.network.bfd_multiplier.into(),
        },
        cables: (0..layout.suts()).map(cable).collect(),
        shards: shards.collect(),
    }
}

/// How to start something so that nothing but the kernel keeps it waiting, if the system allows it.
fn in_real_time(line: &[&str]) -> (String, Vec<String>) {
    const PREFIX: [&str; 3] = ["chrt", "--fifo", "2"];
    let trial = Command::new(PREFIX[0]).args(&PREFIX[1..]).arg("true").output();
    let allowed = trial.is_ok_and(|trial| trial.status.success());
    let all = PREFIX.iter().filter(|_| allowed).chain(line);
    let mut all = all.map(|&word| word.to_owned());
    (all.next().unwrap_or_default(), all.collect())
}

fn start_bird(
    setting: &Setting,
    inside: &Namespace,
    state: &Path,
    news: &News,
) -> anyhow::Result<Vec<Service>> {
    let [file, socket, pid] = ["bird.conf", "bird.ctl", "bird.pid"].map(|name| state.join(name));
    std::fs::write(&file, configuration::bird(setting)).context("BIRD's configuration")?;
    let [conf, control, number] = [&file, &socket, &pid].map(|path| path.to_string_lossy());
    let bird = installed("bird").context("bird")?;
    let bird = bird.to_string_lossy();
    let line = [&bird, "-f", "-c", &conf, "-s", &control, "-P", &number];
    let (program, arguments) = in_real_time(&line);
    let (mut service, said) = Service::heard("bird", &program, &arguments, state, Some(inside))?;
    news.hear(said);
    service.wait(|| socket.exists())?;
    Ok(vec![service])
}

fn start_frr(
    setting: &Setting,
    inside: &Namespace,
    state: &Path,
    news: &News,
) -> anyhow::Result<Vec<Service>> {
    let folder = frr_folder().context("no daemons of FRR")?;
    inside.must(&format!("chown frr:frr {}", state.display()))?;
    let start = |(name, text): (&str, String)| -> anyhow::Result<Service> {
        let path = |file: &str| state.join(file).to_string_lossy().into_owned();
        let file = path(&format!("{name}.conf"));
        std::fs::write(&file, text).with_context(|| file.clone())?;
        let program = folder.join(name).to_string_lossy().into_owned();
        // They write to /var/tmp what they would say in a crash.
        let script = "mount -t tmpfs tmpfs /var/tmp && exec \"$@\"";
        let (zserv, pid) = (path("zserv.api"), path(&format!("{name}.pid")));
        let (place, control) = (state.to_string_lossy(), path("bfdd.sock"));
        let mut line = vec!["-f", &file, "-z", &zserv, "-i", &pid, "--vty_socket", &place];
        if name == "bfdd" {
            line.extend(["--bfdctl", &control, "--log", "stdout", "--log-level", "debugging"]);
        }
        let line: Vec<&str> = [&program[..]].into_iter().chain(line).collect();
        let (first, rest) = in_real_time(&line);
        let arguments = ["-c", script, "sh", &first].map(str::to_owned);
        let arguments: Vec<String> = arguments.into_iter().chain(rest).collect();
        let (mut service, said) = Service::heard(name, "sh", &arguments, state, Some(inside))?;
        news.hear(said);
        let socket = state.join(format!("{name}.vty"));
        service.wait(|| socket.exists())?;
        Ok(service)
    };
    configuration::frr(setting).into_iter().map(start).collect()
}
