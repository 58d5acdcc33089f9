//! One world: servers with the real code, the real router, a network that can be broken, and a host
//! that is all users. One thread, one virtual clock; the seed decides everything else.
//!
//! The clock goes in small steps around faults and in larger ones where nothing happens, always
//! shorter than anything that is to be told apart.

mod faults;
mod look;
mod setting;
mod verify;

pub(crate) use setting::{KEY, core_address, shard_of, subscriber_base};

use crate::checks::{Checked, Checks, ensure};
use crate::dice::Dice;
use crate::middle::Middle;
use crate::net::{Net, Wire};
use crate::packet::Fields;
use crate::schedule::{self, Fault};
use crate::traffic::Traffic;
use crate::view::View;
use dataplane::clock::Nanos;
use dataplane::router::Router;
use dataplane::run::Load;
use dataplane::switch::Fib;
use dataplane::worker::Worker;
use krononat::placement::{Assignment, initial};
use krononat::worker::Krononat;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

const MS: u64 = 1_000_000;

/// A step where nothing happens.
const LONG: Nanos = Nanos(250_000);

/// How long after a fault steps are short.
const NEAR: Nanos = Nanos(30 * MS);

/// In service after a start, and after all is well again: two seconds for sessions to come up
/// (RFC 5880 §6.8.3), and what it takes to fill copies and to hand over.
const SERVICE_WITHIN: Nanos = Nanos(5_000 * MS);

/// How long users open sessions before the first pause.
const WARM: Nanos = Nanos(60 * MS);

/// Most sessions of a world.
const SESSIONS_MAX: usize = 400;

thread_local! {
    /// Tables of 128 MiB of address space, by servers and shards of each; a router begins with
    /// everything down.
    static FIBS: RefCell<HashMap<(usize, u16), Arc<Fib>>> = RefCell::default();
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
    router_asleep: bool,
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
        World::with(seed, schedule::schedule)
    }

    fn with(seed: u64, plan: impl Fn(&mut Dice, usize) -> Vec<(Nanos, Fault)>) -> World {
        let mut dice = Dice::new(seed);
        let servers = dice.within(2..5) as usize;
        let per_core = if dice.permille(300) { 2 } else { 1 };
        let shards = initial(servers as u16, 1, per_core);
        let fib = FIBS.with_borrow_mut(|fibs| {
            let made = || setting::fib(&shards, servers);
            fibs.entry((servers, per_core)).or_insert_with(made).clone()
        });
        let net = Rc::new(RefCell::new(Net::new(servers, fib.clone(), dice.number())));
        let router = setting::router(&net, &fib, servers);
        let schedule = plan(&mut dice, servers);
        let short = Nanos([20_000, 50_000, 100_000][dice.below(3)]);
        let view = View { now: Nanos(0), cores: Vec::new(), shards: Vec::new() };
        let mut world = World {
            now: Nanos(1_000 * MS),
            seed,
            dice,
            servers: (0..servers).map(|_| Server::none()).collect(),
            net,
            router,
            router_asleep: false,
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

    /// A world where nobody is run for some milliseconds now and then, and one core may die.
    pub(crate) fn of_pauses(seed: u64) -> World {
        let world = World::with(seed, schedule::pauses);
        // As the rings of a network in memory: what comes while nobody receives is not lost.
        world.net.borrow_mut().inbox_max = 4096;
        world
    }

    /// Start, use, pauses; everything that was there before is there all the time.
    pub(crate) fn run_pauses(&mut self) -> Checked {
        self.until_in_service()?;
        self.near_until = self.now + WARM;
        self.pass(WARM)?;
        self.checks.prompt.begin(self.now);
        let mut began = self.now;
        for (at, fault) in std::mem::take(&mut self.schedule) {
            while self.now < began + at {
                self.step()?;
            }
            if let Fault::Kill(_) = fault {
                self.until_in_service()?;
                self.pass(Nanos(10 * MS))?;
                self.checks.prompt.killed(self.servers.len(), self.now);
                began = Nanos(self.now.0 - at.0);
            }
            self.apply(fault);
        }
        self.pass(Nanos(60 * MS))?;
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

    pub(crate) fn step(&mut self) -> Checked {
        let waits = |server: &Server| server.core.as_ref().is_some_and(|core| core.waiting() > 0);
        let near = self.now < self.near_until || self.servers.iter().any(waits);
        self.now = self.now + if near { self.short } else { LONG };
        self.steps += 1;
        self.net.borrow_mut().advance(self.now);
        self.net.borrow_mut().remembers = self.steps.is_multiple_of(16);
        let count = self.servers.len();
        let first = self.dice.below(count);
        for at in 0..count {
            self.step_server((first + at) % count)?;
        }
        if !self.router_asleep {
            self.router.step(self.now);
        }
        self.look();
        let paused = self.router_asleep || self.servers.iter().any(|server| server.asleep);
        self.checks.prompt.step(paused, self.now);
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
                let Checks { established, prompt, .. } = &mut self.checks;
                established.expect(session, shard, self.now);
                prompt.expect(session, established.settled_at(session), self.now);
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
