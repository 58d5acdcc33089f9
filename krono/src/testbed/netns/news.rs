//! What the router notices, as it says itself: its daemon of BFD sessions, its kernel of routes and
//! links. Each line gets the time at which it is read, a fraction of a millisecond after it was
//! written, more where the processors have too much to do.

use super::network::{Network, Route};
use crate::layout::Layout;
use crate::peer::service::Service;
use crate::testbed::watch::Seen;
use dataplane::clock::{Clock, Nanos, Tsc};
use dataplane::thread::real_time;
use format::plan::Target;
use format::sample::EventKind;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

/// A line, and when it was read.
type Line = (Nanos, String);

/// Everything that is said, until dropped.
pub(super) struct News {
    clock: Tsc,
    tell: Sender<Line>,
    lines: Receiver<Line>,
    reader: Reader,
    _monitor: Service,
}

impl News {
    /// Listens to the kernel of the router.
    pub(super) fn listen(
        network: &Network,
        layout: &Layout<'_>,
        clock: Tsc,
        folder: &Path,
    ) -> anyhow::Result<News> {
        let arguments = ["-o", "-4", "monitor", "link", "route"].map(str::to_owned);
        let inside = Some(&network.router);
        let (monitor, said) = Service::heard("ip", "ip", &arguments, folder, inside)?;
        let (tell, lines) = mpsc::channel();
        let news = News { clock, tell, lines, reader: Reader::new(layout), _monitor: monitor };
        news.hear(said);
        Ok(news)
    }

    /// Listens to somebody else as well.
    pub(super) fn hear(&self, from: impl Read + Send + 'static) {
        let (clock, tell) = (self.clock, self.tell.clone());
        thread::spawn(move || {
            // It must not wait for whoever computes beside.
            real_time();
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                if tell.send((clock.now(), line)).is_err() {
                    return;
                }
            }
        });
    }

    /// What has been said since the last call.
    pub(super) fn read(&mut self) -> Vec<Seen> {
        let reader = &mut self.reader;
        let news = |(at, line): Line| {
            let (kind, what) = reader.read(&line)?;
            Some(Seen { at, kind, what })
        };
        self.lines.try_iter().filter_map(news).collect()
    }
}

/// Makes events of lines.
struct Reader {
    /// The cores by their addresses, and by the router's interfaces.
    cores: HashMap<Ipv4Addr, Target>,
    interfaces: HashMap<String, Target>,
    /// Whom BFD has just missed: the end of a session that is said next was not announced.
    missed: Option<Target>,
    /// Cores whose cables have no link.
    unplugged: Vec<Target>,
}

impl Reader {
    fn new(layout: &Layout<'_>) -> Reader {
        let (mut cores, mut interfaces) = (HashMap::new(), HashMap::new());
        for index in 0..layout.suts() {
            let (server, core) = layout.sut_place(index);
            let target = Target { server, core: Some(core) };
            let (config, place) = layout.sut_of(index);
            cores.insert(config.cores[place].identity.ip, target);
            interfaces.insert(super::network::outer(index), target);
        }
        Reader { cores, interfaces, missed: None, unplugged: Vec::new() }
    }

    fn read(&mut self, line: &str) -> Option<(EventKind, String)> {
        if let Some((_, session)) = line.split_once(": Session to ") {
            return self.bird(session);
        }
        if let Some((_, change)) = line.split_once("state-change: [") {
            return self.frr(change);
        }
        if let Some((_, link)) = line.split_once(": ").filter(|_| line.contains('<')) {
            return self.link(link);
        }
        let (gone, route) = match line.strip_prefix("Deleted ") {
            Some(route) => (true, route),
            None => (false, line),
        };
        let route = Route::parse(route)?;
        let core = self.cores.get(&route.via?)?;
        let to = match route.table {
            super::network::MAIN => route.to.to_string(),
            table => format!("what is looked up in table {table}"),
        };
        let way = if gone { "away from" } else { "to" };
        Some((EventKind::Steered, format!("{way} {core}: {to}")))
    }

    /// `10.1.0.0 expired`, `10.1.0.0 changed state from Up to Down`.
    fn bird(&mut self, session: &str) -> Option<(EventKind, String)> {
        let mut words = session.split_whitespace();
        let core = *self.cores.get(&words.next()?.parse().ok()?)?;
        if words.next()? == "expired" {
            self.missed = Some(core);
            return Some((EventKind::Detected, format!("{core} is silent")));
        }
        let missed = self.missed.take_if(|missed| *missed == core).is_some();
        let (from, to) = session.split_once(" from ")?.1.split_once(" to ")?;
        session_changed(core, from, to.trim()).filter(|_| !missed)
    }

    /// `mhop:no peer:10.1.0.0 local:10.254.0.1 …] up -> down reason:…`.
    fn frr(&self, change: &str) -> Option<(EventKind, String)> {
        let (session, states) = change.split_once(']')?;
        let address = session.split_once("peer:")?.1.split_whitespace().next()?;
        let core = *self.cores.get(&address.parse().ok()?)?;
        let (from, to) = states.split_once("->")?;
        let (to, reason) = to.split_once("reason:").unwrap_or((to, ""));
        if reason.contains("expired") {
            return Some((EventKind::Detected, format!("{core} is silent")));
        }
        session_changed(core, from.trim(), to.trim())
    }

    /// `core0@if2: <NO-CARRIER,BROADCAST,MULTICAST,UP> mtu …`; of an interface that is said to be
    /// as before there is nothing to tell.
    fn link(&mut self, link: &str) -> Option<(EventKind, String)> {
        let name = link.split(['@', ':']).next()?;
        let core = *self.interfaces.get(name)?;
        let has_link = link.contains("LOWER_UP");
        let had_link = !self.unplugged.contains(&core);
        self.unplugged.retain(|it| *it != core);
        if has_link {
            return None;
        }
        self.unplugged.push(core);
        had_link.then(|| (EventKind::Detected, format!("{core} has no carrier")))
    }
}

/// A BFD session that nobody was missed in. A core that leaves says so.
fn session_changed(core: Target, from: &str, to: &str) -> Option<(EventKind, String)> {
    let is_up = |state: &str| state.eq_ignore_ascii_case("up");
    match (is_up(from), is_up(to)) {
        (false, true) => Some((EventKind::Announced, core.to_string())),
        (true, false) => Some((EventKind::Withdrawn, core.to_string())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use format::{RunOptions, Scenario};

    fn reader() -> Reader {
        let source = "schema = 1\nquestion = \"?\"\n[topology]\nsut = { servers = 2 }\n[traffic]\n\
                      connections = 1000\n[[phase]]\nname = \"fill\"\nopen = \"1M/s\"\n";
        let scenario = Scenario::parse(source, "t.toml").expect("well formed");
        let plan = scenario.resolve(&RunOptions::default()).expect("sensible");
        Reader::new(&Layout::new(&plan))
    }

    const CORE: &str = "sut.server[1].core[0]";

    #[test]
    fn a_core_that_is_missed_has_not_said_good_bye() {
        let mut reader = reader();
        let said = |text: &str| format!("2026-11-24 05:31:07.123 <TRACE> bfd1: Session to {text}");
        let silent = (EventKind::Detected, format!("{CORE} is silent"));
        let down = said("10.1.1.0 changed state from Up to Down");
        assert_eq!(reader.read(&said("10.1.1.0 expired")), Some(silent));
        assert_eq!(reader.read(&down), None);
        let up = said("10.1.1.0 changed state from Init to Up");
        assert_eq!(reader.read(&up), Some((EventKind::Announced, CORE.to_owned())));
        assert_eq!(reader.read(&down), Some((EventKind::Withdrawn, CORE.to_owned())));
        assert_eq!(reader.read(&said("192.0.2.1 expired")), None, "nobody's");
    }

    #[test]
    fn frr_says_why_a_session_ends() {
        let mut reader = reader();
        let said = |text: &str| {
            format!(
                "2026/11/24 05:31:07 BFD: [SEY1D-NT8EQ] state-change: [mhop:no peer:10.1.1.0 \
                 local:10.254.0.1 vrf:default ifname:core1] {text}"
            )
        };
        let expired = said("up -> down reason:control-expired");
        let silent = (EventKind::Detected, format!("{CORE} is silent"));
        assert_eq!(reader.read(&expired), Some(silent));
        let left = said("up -> down reason:neighbor-down");
        assert_eq!(reader.read(&left), Some((EventKind::Withdrawn, CORE.to_owned())));
        assert_eq!(reader.read(&said("down -> init")), None);
        let up = said("init -> up");
        assert_eq!(reader.read(&up), Some((EventKind::Announced, CORE.to_owned())));
    }

    #[test]
    fn the_kernel_tells_of_routes_and_cables() {
        let mut reader = reader();
        let route = "198.18.0.0 via 10.1.1.0 dev core1 proto bird metric 32";
        let to = (EventKind::Steered, format!("to {CORE}: 198.18.0.0/32"));
        assert_eq!(reader.read(route), Some(to));
        let away = (EventKind::Steered, format!("away from {CORE}: 198.18.0.0/32"));
        assert_eq!(reader.read(&format!("Deleted {route}")), Some(away));
        let link = |flags: &str| format!("5: core1@if2: <{flags}> mtu 1500 state DOWN");
        let dead = (EventKind::Detected, format!("{CORE} has no carrier"));
        let (down, up) = (link("NO-CARRIER,UP,M-DOWN"), link("BROADCAST,UP,LOWER_UP"));
        assert_eq!(reader.read(&down), Some(dead.clone()));
        assert_eq!(reader.read(&down), None, "it is said again");
        assert_eq!(reader.read(&up), None);
        assert_eq!(reader.read(&down), Some(dead));
    }
}
