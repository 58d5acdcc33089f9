//! The router of an in-memory network: it watches every core by BFD and steers around those it no
//! longer hears.
//!
//! It knows of a core what the core's packets say, and where it has the other end of the core's cable
//! whether that has carrier: no process table, no word from whoever runs the test. Packets themselves are routed by the cores that send them
//! ([`crate::switch`]), from the table that this worker writes; a real router's time to program its
//! forwarding plane is the delay between knowing and writing.

use crate::bfd::{self, Diagnostic, Session, Settings, State};
use crate::burst::{BURST, Burst};
use crate::clock::Nanos;
use crate::frame::Frame;
use crate::identity::Identity;
use crate::port::Port;
use crate::port::plug::Socket;
use crate::run::Load;
use crate::switch::{Fib, PortId};
use crate::wire::bfd as wire;
use crate::worker::{Busy, Next, Worker};
use rtrb::Producer;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::sync::Arc;

/// What the router has noticed or done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Nanos,
    /// Which core it is about.
    pub port: PortId,
    /// What.
    pub what: What,
}

/// See [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// The session with the core came up.
    Up,
    /// It went down, and whether the core itself said that it would.
    Down {
        /// The core withdrew: it was not missed.
        withdrawn: bool,
    },
    /// Its link went down: nothing was waited for.
    Unplugged,
    /// The table has been written accordingly: packets go the new way from here on.
    Steered {
        /// Whether the core is used.
        up: bool,
    },
}

/// One core, as the router knows it.
struct Watch {
    port: PortId,
    address: Ipv4Addr,
    session: Session,
    /// To be written into the table, and when.
    pending: Option<(Nanos, bool)>,
}

/// Time between two steps after which a router has slept; and what of a sleep counts as silence of
/// the cores, so that one that sleeps again and again still misses a dead core in the end.
pub(crate) const SLEPT: Nanos = Nanos(1_000_000);

/// Bursts it receives then, at most, before it misses anybody.
pub(crate) const ROUNDS_AFTER_SLEEP: u32 = 64;

/// What a router knows and decides, without a port: its sessions, and the table it writes.
pub struct Control {
    me: Identity,
    fib: Arc<Fib>,
    watches: Vec<Watch>,
    delay: Nanos,
    /// Nothing is due before.
    due: Nanos,
    events: Producer<Event>,
}

/// See the [module](self).
pub struct Router<P: Port> {
    port: P,
    control: Control,
    /// The cables of the cores, in their order; none where they are not to be seen.
    links: Vec<Arc<Socket>>,
    stepped: Nanos,
}

impl Control {
    /// A router that is `me` and writes `fib`, `delay` after it knows. It watches `cores`, none of
    /// which is used before its session has come up. Events that nobody reads are dropped.
    pub fn new(
        me: Identity,
        fib: Arc<Fib>,
        cores: &[(PortId, Ipv4Addr)],
        settings: Settings,
        delay: Nanos,
        events: Producer<Event>,
    ) -> Control {
        let watch = |(number, &(port, address)): (u32, &(PortId, Ipv4Addr))| {
            fib.set_up(port, false);
            let discriminator = NonZeroU32::new(number + 1).unwrap_or(NonZeroU32::MIN);
            let session = Session::new(settings, discriminator, u64::from(number));
            Watch { port, address, session, pending: None }
        };
        let watches = (0..).zip(cores).map(watch).collect();
        Control { me, fib, watches, delay, due: Nanos(0), events }
    }

    /// What the router is on the network.
    pub fn me(&self) -> &Identity {
        &self.me
    }

    /// Takes a frame that came for the router. What is none of its cores' packets is ignored.
    pub fn hear(&mut self, frame: &[u8], now: Nanos) {
        let Ok(received) = wire::read(frame) else { return };
        let of = |watch: &Watch| watch.address == received.source;
        let Some(at) = self.watches.iter().position(of) else { return };
        if let Ok(change) = self.watches[at].session.receive(&received.control, now) {
            self.note(at, change, now);
        }
        self.due = now;
    }

    /// The router was not run for `gap`, up to `now`. On a machine that has too much to do its cores
    /// were not run either, and are not silent because nobody was there to hear them.
    pub fn wake(&mut self, gap: Nanos, now: Nanos) {
        let span = gap.since(SLEPT);
        self.watches.iter_mut().for_each(|watch| watch.session.excuse(span, now));
        self.due = now;
    }

    /// The link to core number `at` is down.
    fn unplug(&mut self, at: usize, now: Nanos) {
        let change = self.watches[at].session.lose_path();
        if change.is_some() {
            self.note(at, change, now);
            self.due = now;
        }
    }

    fn note(&mut self, at: usize, change: Option<bfd::Change>, now: Nanos) {
        let Some(change) = change else { return };
        let watch = &mut self.watches[at];
        let up = change.to == State::Up;
        if !up && change.from != State::Up {
            return;
        }
        let withdrawn = watch.session.remote_state() == State::AdminDown;
        let what = match change.diagnostic {
            _ if up => What::Up,
            Diagnostic::PathDown => What::Unplugged,
            _ => What::Down { withdrawn },
        };
        watch.pending = Some((now + self.delay, up));
        let _ = self.events.push(Event { at: now, port: watch.port, what });
    }

    /// Does what is due for each core, if anything is; returns frames sent to `port`. Whoever was not
    /// heard of in time is missed here if `all_heard`: if what has come has been heard.
    pub fn attend<P: Port>(&mut self, port: &mut P, all_heard: bool, now: Nanos) -> usize {
        if now < self.due {
            return 0;
        }
        let mut sent = 0;
        for first in (0..self.watches.len()).step_by(BURST) {
            let last = (first + BURST).min(self.watches.len());
            let mut burst = Burst::new();
            for at in first..last {
                if all_heard {
                    let change = self.watches[at].session.expire(now);
                    self.note(at, change, now);
                }
                self.steer(at, now);
                let Some(packet) = self.watches[at].session.due(now) else { continue };
                let ends = wire::Ends {
                    source_mac: self.me.mac,
                    destination_mac: self.me.gateway,
                    source: self.me.ip,
                    destination: self.watches[at].address,
                };
                let held = burst.len();
                port.alloc(&mut burst, 1);
                if let Some(frame) = burst.get_mut(held) {
                    frame.set_len(wire::FRAME_LEN);
                    frame.bytes_mut().copy_from_slice(&wire::encapsulate(&ends, &packet));
                }
            }
            if !burst.is_empty() {
                sent += port.tx(&mut burst);
            }
        }
        let due = |watch: &Watch| {
            let pending = watch.pending.map_or(Nanos(u64::MAX), |(at, _)| at);
            watch.session.next_due().min(pending)
        };
        self.due = self.watches.iter().map(due).min().unwrap_or(Nanos(u64::MAX));
        sent
    }

    fn steer(&mut self, at: usize, now: Nanos) {
        let watch = &mut self.watches[at];
        if let Some((when, up)) = watch.pending
            && when <= now
        {
            watch.pending = None;
            self.fib.set_up(watch.port, up);
            let _ =
                self.events.push(Event { at: now, port: watch.port, what: What::Steered { up } });
        }
    }
}

impl<P: Port> Router<P> {
    /// A router on a port of its own; the rest as for [`Control::new`].
    pub fn new(
        port: P,
        me: Identity,
        fib: Arc<Fib>,
        cores: &[(PortId, Ipv4Addr)],
        settings: Settings,
        delay: Nanos,
        events: Producer<Event>,
    ) -> Router<P> {
        let control = Control::new(me, fib, cores, settings, delay, events);
        Router { port, control, links: Vec::new(), stepped: Nanos(0) }
    }

    /// The same with the far end of each core's cable in view.
    ///
    /// # Panics
    /// If there is not one for each core.
    #[must_use]
    pub fn with_links(self, links: Vec<Arc<Socket>>) -> Router<P> {
        assert_eq!(links.len(), self.control.watches.len(), "a cable for each core");
        Router { links, ..self }
    }
}

impl<P: Port> Worker for Router<P> {
    /// What has come is heard before anybody is missed: a router that has slept finds its cores'
    /// packets waiting, or cores that have slept as well.
    fn step(&mut self, now: Nanos) -> Busy {
        let mut received = 0;
        let gap = now.since(self.stepped);
        let slept = gap > SLEPT;
        if slept {
            self.control.wake(gap, now);
        }
        self.stepped = now;
        for round in 0..if slept { ROUNDS_AFTER_SLEEP } else { 1 } {
            let mut burst = Burst::new();
            self.port.rx(&mut burst);
            if burst.is_empty() && round > 0 {
                break; // The first may hand out what an earlier one has taken: nothing.
            }
            received += burst.len();
            for frame in &burst {
                self.control.hear(frame.bytes(), now);
            }
            if !burst.is_empty() {
                self.port.free(&mut burst);
            }
        }
        for (at, link) in self.links.iter().enumerate() {
            if !link.has_carrier() {
                self.control.unplug(at, now);
            }
        }
        let sent = self.control.attend(&mut self.port, true, now);
        Busy((received + sent) as u32)
    }

    fn housekeeping(&mut self, _: Nanos, _: &Load) -> Next {
        Next::Continue
    }
}
