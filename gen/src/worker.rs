//! One core of the generator: both ends of its connections, and the judge of what comes back.
//!
//! A step receives and verifies ([`rx`](self)), answers handshakes in the frames they came in,
//! opens, retries and closes connections that are due, and sends data. All of it is bounded: a few
//! bursts received, one batch sent. Per packet, a step touches one line of the frame, both ways,
//! and one 64-byte record, asked for a batch ahead when sending and a pass ahead when receiving.
//!
//! Phases are ordered by a [`Control`]: run, drain for a fixed time, end, wait. Each is a trial
//! with a ledger, a histogram, verdicts and a number of its own, all made at construction.

mod attack;
mod churn;
mod classes;
mod data;
mod receive;
mod sample;
mod validate;
mod window;

use crate::config::{Config, CoreConfig, Phase, Rate, Until};
use crate::control::{Control, Field, Order, Progress};
use crate::ends::Ends;
use crate::evidence::Evidence;
use crate::flow::Flow;
use crate::inspect::Inspector;
use crate::mix::Mix;
use crate::popularity::Popularity;
use crate::population::{Ages, Population};
use crate::schedule::{BACKLOG, Course, Pacer};
use crate::segment::Segment;
use crate::stamp::{Direction, Source, TrialId, UdpStamp, ticks, window};
use crate::template::{self, Hop};
use crate::trial::{Record, Trial};
use crate::tuple::{ConnectionId, Tuples};
use attack::Attacks;
use churn::Retry;
use data::{LATE, Picks};
use dataplane::burst::{BURST, Burst};
use dataplane::clock::Nanos;
use dataplane::frame::{FCS, HEAD, SHORTEST};
use dataplane::port::{Port, PortStats};
use dataplane::run::Load;
use dataplane::worker::{Busy, Next, ServerId, Worker};
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::ops::Range;
use std::sync::Arc;
use window::Window;

/// Time between two publications of latency quantiles, which cost a pass over the histogram.
const QUANTILES_EVERY: Nanos = Nanos(100_000_000);

/// Batches in which a phase sends, at its end, what fell due in its last steps: as much as a ring
/// holds.
const LAST_BATCHES: usize = 64;

/// Lengths of a burst of control segments and first datagrams.
const SHORT: [u16; BURST] = [SHORTEST as u16; BURST];

/// What a core is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No phase is under way: whatever arrives belongs to an earlier one.
    Waiting,
    /// The phase is set up and its start has not come.
    Ready,
    Running,
    /// Nothing new is sent; answers still are.
    Draining,
    /// What has not come is lost; the verdicts are being made of it.
    Judging,
}

/// One generator core on one port.
pub struct Generator<P: Port> {
    port: P,
    population: Population,
    /// Who gets how many packets; `None` where all get as many.
    popularity: Option<Popularity>,
    inspector: Inspector,
    sender: Sender,
    rng: Xoshiro256PlusPlus,
    mix: Mix,
    picks: Picks,
    window: Window,
    /// Positions of connections that this phase is still to validate.
    unvalidated: Range<u64>,
    /// Connections that it still has to judge, as members of its sample or as positions.
    unjudged: Range<u64>,
    retry: Retry,
    lingering: Ages,
    opening: Pacer,
    closing: Pacer,
    sending: Pacer,
    attacks: Attacks,
    stage: Stage,
    /// Phase under way or ended last, and its trial.
    phase: usize,
    trials: Vec<Trial>,
    evidence: Evidence,
    /// Of the held connections: established, and given up.
    established: u32,
    failed: u32,
    last_step: Nanos,
    /// First step after the last pause, which is longer than a packet may be late.
    back: Nanos,
    /// Whether this step comes after a pause so long that what fell due in it is given up.
    away: bool,
    /// When data was due last and the port had no room.
    no_room: Nanos,
    drained_at: Nanos,
    quantiles_at: Nanos,
    ended: usize,
    plan: Plan,
    control: Arc<Control>,
    progress: Arc<Progress>,
}

/// What stays as configured.
struct Plan {
    server: ServerId,
    core: CoreConfig,
    phases: Vec<Phase>,
    batch: usize,
    window: u32,
    deadline: Nanos,
    drain: Nanos,
    /// Whether a packet up must come out with another address than its subscriber's.
    translated: bool,
    /// Data goes up where 32 drawn bits are below this.
    up_below: u64,
    /// TCP is closed by RST where 32 drawn bits are below this.
    reset_below: u64,
}

/// What it takes to write a packet of any connection.
struct Sender {
    source: Source,
    trial: TrialId,
    tuples: Tuples,
    hops: Box<[Hop]>,
}

/// Where a packet of a connection comes from and goes to when it is sent. Down, the subscriber is
/// known by what was learnt outside.
#[inline]
fn ends(flow: &Flow, direction: Direction) -> Ends {
    match direction {
        Direction::Up => flow.inner(),
        Direction::Down => flow.outer().reversed(),
    }
}

impl Sender {
    /// Writes the first datagram of a connection, or the answer to it.
    fn put_first(
        &self,
        head: &mut [u8; HEAD],
        id: ConnectionId,
        flow: &Flow,
        direction: Direction,
        sequence: u32,
        now: Nanos,
    ) {
        let (trial, source, planned) = (self.trial, self.source, ticks(now));
        let stamp = UdpStamp { trial, source, id, direction, sequence, planned };
        let (hop, ends) = (&self.hops[flow.shard()], ends(flow, direction));
        template::put_udp(head, hop, ends, SHORTEST as u16, stamp.pack());
    }

    /// Writes a segment without payload.
    fn put_control(
        &self,
        head: &mut [u8; HEAD],
        id: ConnectionId,
        flow: &Flow,
        segment: Segment,
        sequence: u32,
    ) {
        let numbers = segment.numbers(id, self.source);
        let (hop, ends) = (&self.hops[flow.shard()], ends(flow, segment.direction()));
        let window = window(self.trial, sequence);
        template::put_tcp(head, hop, ends, template::CONTROL_TOTAL, numbers, window, 0);
    }
}

impl<P: Port> Generator<P> {
    /// Core `index` of `config` on `port`, waiting for `control`.
    ///
    /// # Errors
    /// When the kernel refuses the memory for connection records.
    ///
    /// # Panics
    /// If the configuration does not hold [`Config::validate`].
    pub fn new(
        config: &Config,
        index: usize,
        port: P,
        control: Arc<Control>,
        progress: Arc<Progress>,
    ) -> std::io::Result<Generator<P>> {
        let core = &config.cores[index];
        let source = Source::new(config.server, core.core).expect("validated");
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(config.seed);
        for _ in 0..source.number() {
            rng.jump();
        }
        let tuples = Tuples::new(core, rng.next_u64(), config.udp_share);
        let population = Population::new(config.records(core), tuples.cycle())?;
        let mix = config.mix(rng.next_u64());
        let places = config.seed ^ u64::from(source.number()) << 32;
        let popularity =
            (config.zipf > 0.0).then(|| Popularity::new(config.zipf, core.connections, places));
        let own = core.identity.mac;
        let hops = core.gateways.iter().map(|&gateway| Hop::new(gateway, own)).collect();
        let idle = Pacer::new(Nanos(0), 0.0, 0);
        let plan = Plan {
            server: config.server,
            core: core.clone(),
            phases: config.phases.clone(),
            batch: config.batch,
            window: config.window,
            deadline: Nanos(config.deadline_ns),
            drain: Nanos(config.drain_ns),
            translated: config.translated,
            up_below: (config.up_share * (1u64 << 32) as f64) as u64,
            reset_below: (config.reset_share * (1u64 << 32) as f64) as u64,
        };
        Ok(Generator {
            port,
            population,
            popularity,
            inspector: Inspector::new(core, source, mix.clone()),
            sender: Sender { source, trial: TrialId(0), tuples, hops },
            rng,
            mix,
            picks: Picks::default(),
            window: Window::default(),
            unvalidated: 0..0,
            unjudged: 0..0,
            retry: Retry::new(Nanos(config.retry_ns), config.attempts),
            lingering: Ages::new(Nanos(config.linger_ns)),
            opening: idle.clone(),
            closing: idle.clone(),
            sending: idle,
            attacks: Attacks::none(),
            stage: Stage::Waiting,
            phase: 0,
            trials: plan.phases.iter().map(|phase| Trial::new(phase, plan.drain)).collect(),
            evidence: Evidence::new(),
            established: 0,
            failed: 0,
            last_step: Nanos(0),
            back: Nanos(0),
            away: false,
            no_room: Nanos(0),
            drained_at: Nanos(0),
            quantiles_at: Nanos(0),
            ended: 0,
            plan,
            control,
            progress,
        })
    }

    /// Records of all phases that began, ended or not.
    ///
    /// # Panics
    /// If the ledger of a phase that ended is not conserved.
    pub fn records(&mut self) -> Vec<Record> {
        let begun = self.ended + usize::from(self.stage != Stage::Waiting);
        let names = self.plan.phases.iter().map(|phase| &phase.name);
        let trials = self.trials.iter_mut().take(begun).zip(names).enumerate();
        let (server, core) = (self.plan.server, self.plan.core.core);
        trials
            .map(|(index, (trial, name))| Record {
                evidence: self.evidence.of(index),
                ..trial.record(server, core, index, name)
            })
            .collect()
    }

    /// What the port has done.
    pub fn port_stats(&self) -> PortStats {
        self.port.stats()
    }

    /// The port, to look at.
    pub fn port(&mut self) -> &mut P {
        &mut self.port
    }

    /// Bytes of memory held for connection records.
    pub fn resident_bytes(&self) -> usize {
        self.population.resident_bytes()
    }

    fn begin(&mut self, phase: usize, start: Nanos, load: &Load) {
        let Phase { open_per_s, close_per_s, rate, shape, until, ref attack, .. } =
            self.plan.phases[phase];
        self.unvalidated = self.to_validate(until);
        self.attacks.begin(start, attack);
        self.opening = Pacer::new(start, open_per_s, self.rng.next_u64());
        self.closing = Pacer::new(start, close_per_s, self.rng.next_u64());
        let pps = if let Rate::Pps(pps) = rate { pps } else { 0.0 };
        let first = self.rng.next_u64();
        self.sending = match (shape, until) {
            (Some(shape), Until::For(span)) => {
                Pacer::shaped(start, Course::new(shape, pps, Nanos(span)), first)
            }
            _ => Pacer::new(start, pps, first),
        };
        self.rank(until);
        self.picks = Picks::default();
        self.window = Window::since(start, &self.plan.phases[phase], self.plan.window);
        self.sender.trial = TrialId(u8::try_from(phase + 1).expect("at most 255 phases"));
        self.phase = phase;
        self.stage = Stage::Ready;
        let trial = &mut self.trials[phase];
        (trial.start, trial.load_before) = (start, *load);
        trial.held_peak = self.population.held();
        self.choose_sample(start);
        self.unjudged = self.to_judge();
    }

    /// Gives each connection that the phase has from the start, or fills up to, a place of its own.
    fn rank(&mut self, until: Until) {
        let Some(popularity) = &mut self.popularity else { return };
        popularity.begin(match until {
            Until::Held(wanted) => wanted,
            Until::For(_) | Until::Validated => self.population.held(),
        });
    }

    /// Moves to the next stage when its time has come.
    #[inline]
    fn turn(&mut self, now: Nanos) {
        let trial = &mut self.trials[self.phase];
        match self.stage {
            Stage::Waiting => {}
            Stage::Ready if now >= trial.start => {
                self.stage = Stage::Running;
                self.last_step = now;
            }
            Stage::Ready => {}
            Stage::Running => {
                let before = self.last_step;
                let gap = now.since(before);
                trial.longest_gap = trial.longest_gap.max(gap);
                self.last_step = now;
                if gap > LATE {
                    self.back = now;
                }
                self.away = gap > BACKLOG;
                if let Until::For(span) = self.plan.phases[self.phase].until
                    && now.since(trial.start).0 >= span
                {
                    let end = trial.start + Nanos(span);
                    self.end_sending(before, now, end);
                }
            }
            Stage::Draining if now >= self.drained_at => {
                self.sender.trial = TrialId(0);
                self.stage = Stage::Judging;
            }
            Stage::Draining | Stage::Judging => {}
        }
    }

    /// Sends what was due before the end of the phase, as far as it goes, and nothing after. What fell
    /// due since the step `before` goes out however much it is; who was behind by then sends one
    /// batch, as in any step.
    #[cold]
    fn end_sending(&mut self, before: Nanos, now: Nanos, end: Nanos) {
        let last = Nanos(end.0 - 1);
        let paced = self.plan.phases[self.phase].rate != Rate::Max;
        let behind =
            [&self.opening, &self.closing, &self.sending].iter().any(|it| it.is_due(before));
        for _ in 0..if behind { 1 } else { LAST_BATCHES } {
            let sent = self.churn(now, last) + if paced { self.send(now, last) } else { 0 };
            if sent == 0 {
                break;
            }
        }
        let (opening, sending) = (self.opening.give_up(last), self.sending.give_up(last));
        self.withhold(opening);
        self.book_paused(opening + sending);
        let trial = &mut self.trials[self.phase];
        trial.ledger.planned += sending;
        trial.ledger.unsent += sending;
        trial.stop = end;
        self.drain(now);
    }

    /// Counts what is given up, of whichever kind, where a pause of this core is to blame.
    #[inline]
    fn book_paused(&mut self, given_up: u64) {
        if self.away {
            self.trials[self.phase].paused += given_up;
        }
    }

    fn drain(&mut self, now: Nanos) {
        self.stage = Stage::Draining;
        self.drained_at = now + self.plan.drain;
    }

    /// Whether as many connections are held as the phase asks for, each established or given up.
    fn is_filled(&self) -> bool {
        let Until::Held(wanted) = self.plan.phases[self.phase].until else { return false };
        let held = self.population.held();
        held == wanted && self.established + self.failed == held
    }

    /// Hands a burst to the port and books what it took. All its packets are planned already;
    /// `lengths` are those of its frames.
    #[inline]
    fn transmit(&mut self, burst: &mut Burst<P::Frame>, lengths: &[u16; BURST]) -> u32 {
        let count = burst.len();
        let accepted = self.port.tx(burst);
        let bytes: u32 = lengths[..accepted].iter().map(|&length| u32::from(length)).sum();
        let ledger = &mut self.trials[self.phase].ledger;
        ledger.sent += accepted as u64;
        ledger.unsent += (count - accepted) as u64;
        ledger.sent_bytes += u64::from(bytes) + (accepted * FCS) as u64;
        accepted as u32
    }

    /// The same for control segments and first datagrams.
    fn transmit_control(&mut self, burst: &mut Burst<P::Frame>) -> u32 {
        let count = burst.len() as u32;
        let accepted = self.transmit(burst, &SHORT);
        self.trials[self.phase].ledger.control_unsent += u64::from(count - accepted);
        accepted
    }

    fn publish(&mut self, now: Nanos, load: &Load) {
        let trial = &mut self.trials[self.phase];
        let ledger = &trial.ledger;
        let set = |field: Field, value: u64| self.progress.set(field as usize, value);
        set(Field::Phase, self.phase as u64);
        set(Field::Held, u64::from(self.population.held()));
        set(Field::Established, u64::from(self.established));
        set(Field::Planned, ledger.planned);
        set(Field::Sent, ledger.sent);
        set(Field::Unsent, ledger.unsent);
        set(Field::OnTime, ledger.on_time);
        set(Field::Late, ledger.late);
        set(Field::Duplicate, ledger.duplicate);
        set(Field::Corrupt, ledger.corrupt);
        set(Field::Misrouted, ledger.misrouted);
        set(Field::Mistranslated, ledger.mistranslated);
        set(Field::SentBytes, ledger.sent_bytes);
        set(Field::ArrivedBytes, ledger.arrived_bytes);
        set(Field::Opened, trial.opened);
        set(Field::Closed, trial.closed);
        set(Field::Failed, trial.failed);
        set(Field::BusyNs, load.busy.0);
        set(Field::IdleNs, load.idle.0);
        if now.since(self.quantiles_at) >= QUANTILES_EVERY {
            self.quantiles_at = now;
            let quantiles = trial.latency.quantiles();
            set(Field::LatencyP50, quantiles.p50_ns);
            set(Field::LatencyP99, quantiles.p99_ns);
        }
        set(Field::PhasesEnded, self.ended as u64);
    }
}

impl<P: Port> Worker for Generator<P> {
    #[inline]
    fn step(&mut self, now: Nanos) -> Busy {
        self.turn(now);
        self.port.tick(now);
        let received = self.receive(now);
        let sent = if self.stage == Stage::Running {
            self.churn(now, now) + self.send(now, now) + self.attack(now)
        } else {
            0
        };
        Busy(received + sent)
    }

    fn housekeeping(&mut self, now: Nanos, load: &Load) -> Next {
        self.retry.age(now, self.population.newest());
        let over = self.lingering.note(now, self.population.closing());
        self.population.forget(over);
        if self.stage == Stage::Running {
            let trial = &mut self.trials[self.phase];
            trial.held_peak = trial.held_peak.max(self.population.held());
            trial.load = load.since(&trial.load_before);
            // An end of sending in case the phase is interrupted.
            trial.stop = now;
            if self.is_filled() || self.is_validated() {
                self.drain(now);
            }
        }
        if self.stage == Stage::Judging {
            self.judge_some(now);
        }
        self.publish(now, load);
        match self.control.order() {
            Order::Finish => return Next::Finished,
            Order::Begin(phase, start) if self.stage == Stage::Waiting && phase == self.ended => {
                self.begin(phase, start, load);
            }
            Order::Begin(..) | Order::Wait => {}
        }
        Next::Continue
    }
}
