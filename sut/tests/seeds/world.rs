//! One world: servers with the real code, the real router, a network that can be broken, and a host
//! that is all users. One thread, one virtual clock; the seed decides everything else.
//!
//! The clock goes in small steps around faults and in larger ones where nothing happens, always
//! shorter than anything that is to be told apart.

use crate::checks::strangers::{Fingerprint, forged};
use crate::checks::{Checked, Checks, ensure};
use crate::dice::Dice;
use crate::middle::Middle;
use crate::net::{Net, Plug, Trouble, Wire};
use crate::packet::Fields;
use crate::schedule::{self, Fault};
use crate::traffic::{Stage, Traffic};
use crate::view::{CoreView, HalfView, ShardView, View};
use dataplane::bfd;
use dataplane::clock::Nanos;
use dataplane::frame::Frame;
use dataplane::identity::{Identity, Mac};
use dataplane::router::Router;
use dataplane::run::Load;
use dataplane::switch::{Fib, NextHop, NextHopId, PortId};
use dataplane::worker::{CoreId, ServerId, Worker};
use krononat::cluster::Cluster;
use krononat::config::{self, Config, CoreConfig, Duty, ShardConfig, Timers};
use krononat::membership::Role;
use krononat::placement::{Assignment, initial};
use krononat::shard::Part;
use krononat::worker::{Counters, Krononat, pipeline};
use rtrb::RingBuffer;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::num::NonZeroU8;
use std::rc::Rc;
use std::sync::Arc;

pub(crate) const KEY: [u8; 16] = [0x5a; 16];
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const MS: u64 = 1_000_000;

/// A step where nothing happens.
const LONG: Nanos = Nanos(250_000);

/// How long after a fault steps are short.
const NEAR: Nanos = Nanos(30 * MS);

/// In service after a start, and after all is well again: two seconds for sessions to come up
/// (RFC 5880 §6.8.3), and what it takes to fill copies and to hand over.
const SERVICE_WITHIN: Nanos = Nanos(5_000 * MS);

/// Most sessions of a world.
const SESSIONS_MAX: usize = 400;

thread_local! {
    /// Tables of 128 MiB of address space, by servers and shards of each; a router begins with
    /// everything down.
    static FIBS: RefCell<HashMap<(usize, u16), Arc<Fib>>> = RefCell::default();
}

pub(crate) fn core_address(server: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, server as u8, 0)
}

pub(crate) fn subscriber_base(shard: usize) -> u32 {
    u32::from(Ipv4Addr::new(100, 64, shard as u8, 0))
}

/// The shard of a user's packet.
pub(crate) fn shard_of(source: u32, destination: u32) -> Option<usize> {
    let of = |address: u32, net: [u8; 2]| {
        let [a, b, shard, _] = address.to_be_bytes();
        ([a, b] == net).then_some(usize::from(shard))
    };
    of(source, [100, 64]).or_else(|| of(destination, [198, 18]))
}

type Core = Krononat<Wire>;

struct Server {
    core: Option<Box<Core>>,
    asleep: bool,
    leaving: bool,
    incarnation: u64,
    troubled_at: Nanos,
    cut_at: Nanos,
}

pub(crate) struct World {
    pub(crate) now: Nanos,
    seed: u64,
    dice: Dice,
    shards: Vec<Assignment>,
    servers: Vec<Server>,
    pub(crate) net: Rc<RefCell<Net>>,
    router: Router<Wire>,
    fib: Arc<Fib>,
    schedule: Vec<(Nanos, Fault)>,
    near_until: Nanos,
    short: Nanos,
    measures: bool,
    steps: u64,
    starts: u64,
    pub(crate) view: View,
    pub(crate) traffic: Traffic,
    checks: Checks,
    /// What was done, and when.
    pub(crate) trace: Vec<String>,
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        let mut dice = Dice::new(seed);
        let servers = dice.within(2..5) as usize;
        let per_core = if dice.permille(300) { 2 } else { 1 };
        let shards = initial(servers as u16, 1, per_core);
        let fib = FIBS.with_borrow_mut(|fibs| {
            let made = || fib(&shards, servers);
            fibs.entry((servers, per_core)).or_insert_with(made).clone()
        });
        let net = Rc::new(RefCell::new(Net::new(servers, fib.clone(), dice.number())));
        let router = router(&net, &fib, servers);
        let schedule = schedule::schedule(&mut dice, servers);
        let short = Nanos([20_000, 50_000, 100_000][dice.below(3)]);
        let view = View { now: Nanos(0), cores: Vec::new(), shards: Vec::new() };
        let mut world = World {
            now: Nanos(1_000 * MS),
            seed,
            dice,
            servers: (0..servers).map(|_| Server::none()).collect(),
            net,
            router,
            fib,
            schedule,
            near_until: Nanos(0),
            short,
            measures: seed.is_multiple_of(8),
            steps: 0,
            starts: 0,
            view,
            traffic: Traffic::default(),
            checks: Checks::new(shards.len()),
            shards,
            trace: Vec::new(),
        };
        (0..servers).for_each(|server| world.start(server));
        world.look();
        world
    }

    /// All of it: start, use, faults, repair, and everything is as it was.
    pub(crate) fn run(&mut self) -> Checked {
        self.until_in_service()?;
        self.pass(Nanos(30 * MS))?;
        let began = self.now;
        for (at, fault) in std::mem::take(&mut self.schedule) {
            while self.now < began + at {
                self.step()?;
            }
            self.apply(fault);
        }
        let tail = Nanos(self.dice.within(0..60 * MS));
        self.pass(tail)?;
        self.heal();
        self.until_in_service()?;
        self.pass(Nanos(20 * MS))?;
        self.verify()
    }

    pub(crate) fn pass(&mut self, span: Nanos) -> Checked {
        let end = self.now + span;
        while self.now < end {
            self.step()?;
        }
        Ok(())
    }

    pub(crate) fn until_in_service(&mut self) -> Checked {
        let since = self.now;
        while !self.is_in_service() {
            self.step()?;
            ensure(self.now.since(since) <= SERVICE_WITHIN, "service", || {
                format!("{:?} after all was well: {:#?}", SERVICE_WITHIN, self.view.shards)
            })?;
        }
        Ok(())
    }

    fn is_in_service(&self) -> bool {
        self.view.shards.iter().all(|shard| {
            let [Some(master), Some(standby)] = shard.halves else { return false };
            let roles = (master.role, standby.role) == (Role::Master, Role::Standby);
            roles && master.serves && shard.steered == Some(master.core) && !standby.serves
        })
    }

    /// Every session still works, and so do new ones.
    fn verify(&mut self) -> Checked {
        let open = |it: &World, session: usize| {
            let stage = it.traffic.sessions[session].stage;
            matches!(stage, Stage::Established)
        };
        let sessions: Vec<usize> =
            (0..self.traffic.sessions.len()).filter(|&it| open(self, it)).collect();
        for group in sessions.chunks(16) {
            for outbound in [true, false] {
                let sent_at = self.now;
                let these: Vec<usize> =
                    group.iter().copied().filter(|&it| open(self, it)).collect();
                for &session in &these {
                    self.transmit(self.traffic.fields(session, outbound, crate::packet::ACK));
                }
                (0..6).try_for_each(|_| self.step())?;
                for session in these.into_iter().filter(|&it| open(self, it)) {
                    let mapping = self.traffic.sessions[session].mapping;
                    let shard = self.traffic.mappings[mapping].shard;
                    let core = self.view.shards[shard].cores[0];
                    if self.checks.established.came_at(session) < sent_at {
                        self.checks.established.lost(session, core, &self.view, &self.traffic)?;
                    }
                }
            }
        }
        for shard in 0..self.shards.len() {
            let session = self.traffic.open_apart(shard, &mut self.dice, self.now);
            for _ in 0..40 {
                let fields = self.traffic.next(session, &mut self.dice);
                self.transmit(fields);
                (0..3).try_for_each(|_| self.step())?;
            }
            let stage = self.traffic.sessions[session].stage;
            let came = matches!(stage, Stage::Established | Stage::Closing);
            ensure(came, "service", || format!("nothing new opens in shard {shard}: {stage:?}"))?;
        }
        Ok(())
    }

    pub(crate) fn step(&mut self) -> Checked {
        let near = self.now < self.near_until;
        self.now = self.now + if near { self.short } else { LONG };
        self.steps += 1;
        self.net.borrow_mut().advance(self.now);
        self.net.borrow_mut().remembers = self.steps.is_multiple_of(16);
        let count = self.servers.len();
        let first = self.dice.below(count);
        for at in 0..count {
            self.step_server((first + at) % count)?;
        }
        self.router.step(self.now);
        self.look();
        self.receive()?;
        self.checks.step(&self.view, &self.traffic)?;
        if self.steps.is_multiple_of(64) {
            self.insult()?;
        }
        self.chatter(near);
        Ok(())
    }

    fn step_server(&mut self, at: usize) -> Checked {
        let (now, server) = (self.now, &mut self.servers[at]);
        let Some(core) = &mut server.core else {
            self.net.borrow_mut().drain(at);
            return Ok(());
        };
        if server.asleep {
            return Ok(());
        }
        if self.measures {
            let counted = allocation_counter::measure(|| {
                core.step(now);
            });
            ensure(counted.count_total == 0, "bounded", || {
                format!("core {at} has allocated in a step: {counted:?}")
            })?;
        } else {
            core.step(now);
        }
        if self.steps.is_multiple_of(64) {
            core.housekeeping(now, &Load::default());
        }
        let is_gone = |core: &Core| core.cluster().is_some_and(|cluster| cluster.is_gone(now));
        if server.leaving && is_gone(core) {
            self.kill(at);
        }
        Ok(())
    }

    /// What has come to the host.
    fn receive(&mut self) -> Checked {
        let host = self.net.borrow().host();
        let mut inbox = self.net.borrow_mut().take_inbox(host);
        let mut checked = Ok(());
        for frame in inbox.drain(..) {
            let shards = &self.view.shards;
            let passed = self.traffic.arrived(&frame, |shard| shards[shard].reign);
            if let Some(passed) = passed.filter(|_| checked.is_ok()) {
                checked = self.checks.see(&passed, &self.view, &mut self.traffic);
            }
            self.net.borrow_mut().give_back(frame);
        }
        self.net.borrow_mut().put_inbox(host, inbox);
        checked
    }

    /// Users go on with what they do.
    fn chatter(&mut self, near: bool) {
        let packets = if near { self.dice.below(4) } else { usize::from(self.dice.permille(300)) };
        for _ in 0..packets {
            let count = self.traffic.sessions.len();
            let opens = count == 0 || self.dice.permille(120) && count < SESSIONS_MAX;
            let session = if opens {
                let shard = self.dice.below(self.shards.len());
                self.traffic.open(shard, &mut self.dice, self.now)
            } else if self.dice.permille(700) {
                count - 1 - self.dice.below(count.min(24))
            } else {
                self.dice.below(count)
            };
            let fields = self.traffic.next(session, &mut self.dice);
            if self.traffic.is_settled(session) {
                let mapping = self.traffic.sessions[session].mapping;
                let shard = &self.view.shards[self.traffic.mappings[mapping].shard];
                self.checks.established.grow(&self.traffic);
                self.checks.established.expect(session, shard, self.now);
            }
            self.transmit(fields);
        }
    }

    fn transmit(&mut self, fields: Fields) {
        let mut net = self.net.borrow_mut();
        let (host, mut frame) = (net.host(), net.blank());
        fields.write(&mut frame);
        net.send(host, frame);
    }

    /// A stranger tries to be heard.
    fn insult(&mut self) -> Checked {
        let at = self.dice.below(self.servers.len());
        let (now, server) = (self.now, &mut self.servers[at]);
        let Some(core) = server.core.as_mut().filter(|_| !server.asleep) else { return Ok(()) };
        let (bytes, how) = forged(&mut self.dice, at, self.net.borrow().remembered_by(at));
        let inbox = self.net.borrow_mut().take_inbox(at);
        core.step(now);
        let before = Fingerprint::of(core);
        {
            let mut net = self.net.borrow_mut();
            let mut frame = net.blank();
            frame.set_len(bytes.len());
            frame.bytes_mut().copy_from_slice(&bytes);
            let plug = net.plug(at);
            net.set_plug(at, Plug::IN);
            net.deliver(at, frame);
            net.set_plug(at, plug);
        }
        core.step(now);
        let checked = Fingerprint::of(core).same_as(&before, at, how);
        self.net.borrow_mut().put_inbox(at, inbox);
        checked
    }

    fn start(&mut self, at: usize) {
        let config = config(at, &self.shards);
        let pipeline = pipeline(&config, &config.cores[0]).expect("a core");
        self.starts += 1;
        let random = self.seed << 16 | self.starts;
        let cluster = Cluster::new(&config, &config.cores[0], pipeline.shard(), random);
        let port = Wire { net: self.net.clone(), station: at };
        let core = Krononat::new(port, pipeline, Arc::new(Counters::default()));
        self.net.borrow_mut().drain(at);
        let server = &mut self.servers[at];
        *server = Server {
            core: Some(Box::new(core.with_cluster(cluster))),
            incarnation: self.starts,
            troubled_at: self.now,
            cut_at: server.cut_at,
            ..Server::none()
        };
    }

    fn kill(&mut self, at: usize) {
        let cut_at = self.servers[at].cut_at;
        self.servers[at] = Server { troubled_at: self.now, cut_at, ..Server::none() };
        self.net.borrow_mut().drain(at);
    }

    fn apply(&mut self, fault: Fault) {
        let ms = self.now.0 as f64 / MS as f64;
        self.trace.push(format!("{ms:9.2} ms  {fault:?}"));
        self.near_until = self.now + NEAR;
        match fault {
            Fault::Kill(at) => self.kill(at),
            Fault::Start(at) => {
                let server = &self.servers[at];
                if server.core.is_none() || server.leaving {
                    self.kill(at);
                    self.start(at);
                }
            }
            Fault::Leave(at) => {
                let (now, server) = (self.now, &mut self.servers[at]);
                if let Some(core) = &mut server.core {
                    core.leave(now);
                    server.leaving = true;
                }
            }
            Fault::Hang(at) => self.servers[at].asleep = self.servers[at].core.is_some(),
            Fault::Wake(at) => self.servers[at].asleep = false,
            Fault::Plug(at, plug) => self.net.borrow_mut().set_plug(at, plug),
            Fault::Trouble(from, to, trouble) => {
                self.net.borrow_mut().set_trouble(from, to, trouble);
            }
        }
    }

    /// All that is broken is mended, and who is not there is started.
    fn heal(&mut self) {
        let count = self.servers.len();
        self.trace.push(format!("{:9.2} ms  all is mended", self.now.0 as f64 / MS as f64));
        for at in 0..count {
            self.net.borrow_mut().set_plug(at, Plug::IN);
            for other in 0..count + 2 {
                self.net.borrow_mut().set_trouble(at, other, Trouble::default());
                self.net.borrow_mut().set_trouble(other, at, Trouble::default());
            }
            self.servers[at].asleep = false;
            if self.servers[at].core.is_none() || self.servers[at].leaving {
                self.kill(at);
                self.start(at);
            }
        }
    }

    pub(crate) fn set_middle(&mut self, middle: Middle) {
        self.net.borrow_mut().middle = middle;
    }

    /// The shards whose master by duty a core is.
    pub(crate) fn duties_of(&self, core: usize) -> Vec<usize> {
        let is_its = |shard: &usize| usize::from(self.shards[*shard].master.server) == core;
        (0..self.shards.len()).filter(is_its).collect()
    }
}

impl Server {
    fn none() -> Server {
        Server {
            core: None,
            asleep: false,
            leaving: false,
            incarnation: 0,
            troubled_at: Nanos(0),
            cut_at: Nanos(0),
        }
    }
}

/// Looking at all of it.
impl World {
    fn look(&mut self) {
        let (now, net) = (self.now, self.net.borrow());
        for (at, server) in self.servers.iter_mut().enumerate() {
            let others = 0..net.router() + 1;
            let is_bad = |other| net.has_trouble(at, other) || net.has_trouble(other, at);
            let recent = now.since(server.troubled_at).0 < 10 * MS;
            let late = recent && net.has_late();
            let is_cut = late || net.plug(at) != Plug::IN || others.into_iter().any(is_bad);
            if is_cut || server.asleep {
                (server.troubled_at, server.cut_at) = (now, now);
            } else if server.core.is_none() || server.leaving {
                server.troubled_at = now;
            }
        }
        let cores = self.servers.iter().enumerate().map(|(at, server)| CoreView {
            troubled_at: server.troubled_at,
            cut_at: server.cut_at,
            frames_sent: net.sent[at],
        });
        let cores: Vec<CoreView> = cores.collect();
        let before = std::mem::take(&mut self.view.shards);
        let shards = (0..self.shards.len()).map(|id| self.look_at(id, &cores, before.get(id)));
        let shards: Vec<ShardView> = shards.collect();
        for (id, (it, was)) in shards.iter().zip(&before).enumerate() {
            if it.outline() != was.outline() {
                let ms = now.0 as f64 / MS as f64;
                self.trace.push(format!("{ms:9.2} ms      shard {id}: {}", it.outline()));
            }
        }
        self.view = View { now, cores, shards };
    }

    fn look_at(&self, id: usize, cores: &[CoreView], before: Option<&ShardView>) -> ShardView {
        let assigned = &self.shards[id];
        let slave = assigned.slave.expect("more than one server");
        let pair = [usize::from(assigned.master.server), usize::from(slave.server)];
        let halves = pair.map(|core| self.half(id, core));
        let steered = self.fib.route(subscriber_base(id), 0xc000_0201);
        let steered = steered.map(|port| usize::from(port.0));
        let now = self.now;
        let mut it = ShardView {
            halves,
            cores: pair,
            steered,
            steered_at: now,
            reign: 0,
            reigns_since: now,
            sound_since: None,
            calm_since: None,
        };
        let is_sound = |core: usize| cores[core].troubled_at < now;
        let Some(before) = before else { return it };
        (it.reign, it.reigns_since) = (before.reign, before.reigns_since);
        let is_new = |half: &HalfView| {
            let was = before.half(half.core);
            let is_master = |it: &HalfView| it.role == Role::Master;
            is_master(half) && was.is_none_or(|was| !is_master(was) || was.epoch != half.epoch)
        };
        if halves.iter().flatten().any(is_new) {
            (it.reign, it.reigns_since) = (before.reign + 1, now);
        }
        if steered == before.steered {
            it.steered_at = before.steered_at;
        }
        if pair.into_iter().all(is_sound) {
            it.sound_since = before.sound_since.or(Some(now));
        }
        let serves =
            |core| it.half(core).is_some_and(|half| half.serves && half.role == Role::Master);
        let is_calm = steered.is_some_and(|core| is_sound(core) && serves(core));
        if is_calm && it.reign == before.reign && steered == before.steered {
            it.calm_since = before.calm_since.or(Some(now));
        }
        it
    }

    fn half(&self, id: usize, core: usize) -> Option<HalfView> {
        let server = &self.servers[core];
        let it = server.core.as_ref()?;
        let shards = it.cluster()?.shards().enumerate();
        let (part, (_, member, link)) =
            shards.into_iter().find(|(_, (shard, ..))| *shard as usize == id)?;
        Some(HalfView {
            core,
            incarnation: server.incarnation,
            role: member.role(),
            epoch: member.epoch(),
            backlog: link.backlog(),
            refused: link.counts.not_restored,
            serves: it.pipeline().shard().is_served(Part(part as u8)),
        })
    }
}

fn identity(role: u8, server: usize, ip: Ipv4Addr) -> Identity {
    let mac = Mac::of(role, server as u16, 0);
    Identity { mac, vlan: None, ip, asn: None, gateway: Mac::of(9, 0, 0) }
}

fn part(id: usize, it: &Assignment, server: usize) -> Option<ShardConfig> {
    let slave = it.slave.expect("more than one server");
    let (master, slave) = (usize::from(it.master.server), usize::from(slave.server));
    let (duty, other) = match server {
        _ if server == master => (Duty::Master, slave),
        _ if server == slave => (Duty::Slave, master),
        _ => return None,
    };
    Some(ShardConfig {
        id: id as u32,
        subscribers: vec![format!("100.64.{id}.0/28").parse().expect("a prefix")],
        external: format!("198.18.{id}.0/32").parse().expect("a prefix"),
        duty,
        peer: core_address(other),
    })
}

fn config(server: usize, shards: &[Assignment]) -> Config {
    Config {
        server: ServerId(server as u16),
        seed: 7,
        kind: config::Kind::Krononat,
        port_block: 64,
        connections_max: 2048,
        shared_sessions_max: None,
        subscriber_connections_max: None,
        half_open_max: None,
        filtering: config::Filtering::default(),
        connections6_max: 0,
        cluster: Some(config::Cluster {
            key: config::Key(KEY),
            router: Some(ROUTER),
            bgp: None,
            bfd_interval_us: 3_300,
            bfd_multiplier: 3,
            beat_us: 1_000,
            drain_ms: 20,
        }),
        timers: Timers::default(),
        cores: vec![CoreConfig {
            core: CoreId(0),
            cpu: None,
            identity: identity(1, server, core_address(server)),
            subscribers: Vec::new(),
            external: None,
            shards: shards.iter().enumerate().filter_map(|(id, it)| part(id, it, server)).collect(),
            subscribers6: Vec::new(),
            ip6: None,
            ports: Vec::new(),
        }],
    }
}

/// Where users' packets go: to a shard's master, or its slave while that is down.
fn fib(shards: &[Assignment], servers: usize) -> Arc<Fib> {
    let macs: Vec<Mac> = (0..servers + 2).map(|server| Mac::of(1, server as u16, 0)).collect();
    let port = |place: krononat::placement::Place| PortId(place.server);
    let hops: Vec<NextHop> =
        shards.iter().map(|it| NextHop::via(port(it.master), it.slave.map(port))).collect();
    let net = |text: String| text.parse().expect("a prefix");
    let routes = |of: &dyn Fn(usize) -> String| -> Vec<_> {
        (0..shards.len()).map(|id| (net(of(id)), NextHopId(id as u16))).collect()
    };
    let to = routes(&|id| format!("198.18.{id}.0/32"));
    let from = routes(&|id| format!("100.64.{id}.0/28"));
    Arc::new(Fib::new(&macs, &hops, &to, &from))
}

fn router(net: &Rc<RefCell<Net>>, fib: &Arc<Fib>, servers: usize) -> Router<Wire> {
    let station = net.borrow().router();
    let port = Wire { net: net.clone(), station };
    let watched: Vec<_> =
        (0..servers).map(|server| (PortId(server as u16), core_address(server))).collect();
    let interval = Nanos(3_300_000);
    let multiplier = NonZeroU8::new(3).expect("three");
    let timing = bfd::Settings { min_tx: interval, min_rx: interval, multiplier };
    // Nobody reads what it has noticed: the checkers look at its table.
    let (events, _) = RingBuffer::new(1);
    Router::new(port, identity(9, 0, ROUTER), fib.clone(), &watched, timing, Nanos(0), events)
}
