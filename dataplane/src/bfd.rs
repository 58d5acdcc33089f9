//! A BFD session (RFC 5880): whether the router at the other end of the link is there, within
//! milliseconds.
//!
//! [`Session`] is a value that does no input or output and reads no clock. Its owner hands it what
//! [`crate::wire::bfd::read`] made of the frames that came ([`Session::receive`]), then moves time
//! on ([`Session::expire`]) and sends what is due ([`Session::due`]), in this order, in every round
//! of its packet loop. Nothing here allocates.
//!
//! Asynchronous mode in the active role, and no other: no echo, no authentication, and no demand
//! mode of our own; that of the other end is honoured (§6.6). Packets go out at least a second
//! apart until the session is Up (§6.8.3). A change of state is sent at once (§6.8.7): after the
//! first packet that is heard, coming up takes two more, and a session that its owner takes down is
//! Down at the other end as soon as a packet gets there.

mod timing;

use crate::clock::Nanos;
use crate::wire::bfd::Control;
use std::num::{NonZeroU8, NonZeroU32};
use timing::{Intervals, Limit, Poll, Schedule};

pub use crate::wire::bfd::{Diagnostic, Refused, State};

/// What we ask for. Intervals are rounded up to microseconds, which is what the protocol speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Least interval at which we want to send while Up. The router may ask for a longer one.
    pub min_tx: Nanos,
    /// Least interval at which we want to receive.
    pub min_rx: Nanos,
    /// Packets of ours that must be missing in a row for the router to find us dead.
    pub multiplier: NonZeroU8,
}

impl Settings {
    fn rounded(self) -> Settings {
        assert!(self.min_tx > Nanos(0), "BFD: a transmit interval of zero is reserved");
        assert!(self.min_rx > Nanos(0), "BFD: a receive interval of zero is no asynchronous mode");
        let Settings { min_tx, min_rx, multiplier } = self;
        Settings { min_tx: nanos(micros(min_tx)), min_rx: nanos(micros(min_rx)), multiplier }
    }
}

fn nanos(micros: u32) -> Nanos {
    Nanos(u64::from(micros) * 1000)
}

fn micros(nanos: Nanos) -> u32 {
    u32::try_from(nanos.0.div_ceil(1000)).unwrap_or(u32::MAX)
}

/// A change of the session's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// State before.
    pub from: State,
    /// State now.
    pub to: State,
    /// Why; [`Diagnostic::None`] on the way up.
    pub diagnostic: Diagnostic,
}

/// What the last packet said of the other end.
#[derive(Clone, Copy, Debug)]
struct Remote {
    discriminator: NonZeroU32,
    state: State,
    demand: bool,
    multiplier: NonZeroU8,
    min_tx: Nanos,
    min_rx: Nanos,
    heard_at: Nanos,
}

/// One end of a session.
#[derive(Clone, Debug)]
pub struct Session {
    discriminator: NonZeroU32,
    settings: Settings,
    state: State,
    diagnostic: Diagnostic,
    /// None before anything is heard, and when nothing was for a detection time (§6.8.1).
    remote: Option<Remote>,
    /// Intervals in force; behind the advertised ones while a poll sequence lasts (§6.8.3).
    used: Intervals,
    poll: Poll,
    /// A packet came with P and awaits one with F.
    owes_final: bool,
    /// The state has changed since the last packet.
    has_news: bool,
    schedule: Schedule,
    extra: Limit,
}

impl Session {
    /// A session that is Down and whose first packet is due at once. `discriminator` tells it from
    /// all others of this system (§6.8.1); `seed` is that of its jitter.
    ///
    /// # Panics
    /// If an interval is zero.
    pub fn new(settings: Settings, discriminator: NonZeroU32, seed: u64) -> Session {
        let settings = settings.rounded();
        Session {
            discriminator,
            settings,
            state: State::Down,
            diagnostic: Diagnostic::None,
            remote: None,
            used: Intervals::advertised(&settings, State::Down),
            poll: Poll::Idle,
            owes_final: false,
            has_news: false,
            schedule: Schedule::new(seed),
            extra: Limit::default(),
        }
    }

    /// A control packet for this session came in: from the router's address on our link, and in a
    /// frame that [`crate::wire::bfd::read`] accepted (§6.8.6).
    ///
    /// # Errors
    /// [`Refused::OtherSession`] or [`Refused::YourDiscriminator`]; the packet then had no effect.
    pub fn receive(&mut self, packet: &Control, now: Nanos) -> Result<Option<Change>, Refused> {
        match packet.your_discriminator {
            Some(other) if other != self.discriminator => return Err(Refused::OtherSession),
            None if matches!(packet.state, State::Init | State::Up) => {
                return Err(Refused::YourDiscriminator);
            }
            _ => {}
        }
        self.remote = Some(Remote {
            discriminator: packet.my_discriminator,
            state: packet.state,
            demand: packet.demand,
            multiplier: packet.multiplier,
            min_tx: nanos(packet.min_tx_us),
            min_rx: nanos(packet.min_rx_us),
            heard_at: now,
        });
        if packet.is_final && self.poll.answered() {
            self.used = self.advertised();
        }
        if self.state == State::AdminDown {
            return Ok(None);
        }
        self.owes_final |= packet.poll;
        Ok(match (self.state, packet.state) {
            (State::Init | State::Up, State::AdminDown) | (State::Up, State::Down) => {
                self.enter(State::Down, Diagnostic::NeighborSignaledDown)
            }
            (State::Down, State::Down) => self.enter(State::Init, Diagnostic::None),
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => {
                self.enter(State::Up, Diagnostic::None)
            }
            _ => None,
        })
    }

    /// Moves time on: the session goes Down if nothing was heard for a detection time (§6.8.4).
    pub fn expire(&mut self, now: Nanos) -> Option<Change> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return None;
        }
        self.forget(Diagnostic::TimeExpired)
    }

    /// The link has gone down: nobody can be heard, and nothing need be waited for. The session comes
    /// up again as after silence.
    pub fn lose_path(&mut self) -> Option<Change> {
        self.forget(Diagnostic::PathDown)
    }

    fn forget(&mut self, diagnostic: Diagnostic) -> Option<Change> {
        // A discriminator that is not forgotten would keep a router that restarts from being heard.
        (self.remote, self.poll, self.owes_final) = (None, Poll::Idle, false);
        match self.state {
            State::Init | State::Up => self.enter(State::Down, diagnostic),
            State::AdminDown | State::Down => None,
        }
    }

    /// Its owner was not there to hear for `span`, up to `now`: that was no silence of the other end.
    pub fn excuse(&mut self, span: Nanos, now: Nanos) {
        if let Some(remote) = &mut self.remote {
            remote.heard_at = now.min(remote.heard_at + span);
        }
    }

    /// The packet to send now. There may be a second one at the same instant, an answer to a poll
    /// and a periodic packet: call until there is none, or again in the next round.
    pub fn due(&mut self, now: Nanos) -> Option<Control> {
        let is_extra = self.extra_at().is_some_and(|at| at <= now);
        if !is_extra && self.periodic_at().is_none_or(|at| now < at) {
            return None;
        }
        let is_final = is_extra && self.owes_final;
        if is_extra {
            // At most as often as we announce to send, which §6.8.7 asks of a limit on answers.
            self.extra.count(now, self.settings.min_tx);
        }
        if is_final {
            self.owes_final = false;
        } else {
            // Answers leave the schedule alone: a neighbour that polls without end must not keep
            // our own polls, which cannot be in the same packet (§6.5), from being sent.
            self.poll.sent();
            self.schedule.sent(now, self.settings.multiplier);
        }
        self.has_news = false;
        Some(self.control(is_final))
    }

    /// Earliest instant at which [`Session::expire`] or [`Session::due`] has something to do, if
    /// nothing is received until then.
    pub fn next_due(&self) -> Nanos {
        let all = [self.deadline(), self.extra_at(), self.periodic_at()];
        all.into_iter().flatten().min().unwrap_or(Nanos(u64::MAX))
    }

    /// Takes the session down for the other end to know (§6.8.16): AdminDown is in the next packet,
    /// which is due at once, and in one a second from then on, as long as [`Session::due`] is asked.
    /// If the first is lost, the other end will rather miss us than know why: §6.8.3 allows no
    /// second one within its detection time.
    pub fn set_admin_down(&mut self, diagnostic: Diagnostic) -> Option<Change> {
        self.owes_final = false;
        self.enter(State::AdminDown, diagnostic)
    }

    /// Lets the session come up again.
    pub fn set_admin_up(&mut self) -> Option<Change> {
        if self.state != State::AdminDown {
            return None;
        }
        self.enter(State::Down, Diagnostic::None)
    }

    /// Asks for other intervals or another multiplier. While Up, what would make one end expect
    /// more than the other sends waits until the other has answered a poll (§6.8.3).
    ///
    /// # Panics
    /// If an interval is zero.
    pub fn set(&mut self, settings: Settings) {
        let before = self.advertised();
        self.settings = settings.rounded();
        self.retime(before);
    }

    /// State of this end.
    pub fn state(&self) -> State {
        self.state
    }

    /// State of the other end, as far as it is known: Down, if it is not.
    pub fn remote_state(&self) -> State {
        self.remote.map_or(State::Down, |remote| remote.state)
    }

    /// Silence after which the other end is dead: its multiplier times the longer of what we can
    /// receive and what it wants to send (§6.8.4). None while nothing is known of it.
    pub fn detection_time(&self) -> Option<Nanos> {
        let remote = self.remote?;
        let interval = remote.min_tx.max(self.used.rx);
        Some(Nanos(interval.0 * u64::from(remote.multiplier.get())))
    }

    fn deadline(&self) -> Option<Nanos> {
        Some(self.remote?.heard_at + self.detection_time()?)
    }

    /// When something may be sent beside the schedule, if there is something.
    fn extra_at(&self) -> Option<Nanos> {
        (self.owes_final || self.has_news).then(|| self.extra.free_at(self.settings.min_tx))
    }

    /// When the next periodic packet is due; never, if the other end wants none (§6.8.7).
    fn periodic_at(&self) -> Option<Nanos> {
        let Some(remote) = self.remote else { return Some(self.schedule.next(self.used.tx)) };
        let both_up = self.state == State::Up && remote.state == State::Up;
        if remote.min_rx == Nanos(0) || remote.demand && both_up && !self.poll.is_active() {
            return None;
        }
        Some(self.schedule.next(self.used.tx.max(remote.min_rx)))
    }

    fn enter(&mut self, to: State, diagnostic: Diagnostic) -> Option<Change> {
        let (from, before) = (self.state, self.advertised());
        if from == to {
            return None;
        }
        (self.state, self.diagnostic, self.has_news) = (to, diagnostic, true);
        self.retime(before);
        Some(Change { from, to, diagnostic })
    }

    /// Puts new intervals in force as far as §6.8.3 lets us, and starts a poll for the rest.
    fn retime(&mut self, before: Intervals) {
        let wanted = self.advertised();
        if wanted != before {
            self.poll.request();
        }
        self.used = match self.state {
            State::Up => {
                Intervals { tx: self.used.tx.min(wanted.tx), rx: self.used.rx.max(wanted.rx) }
            }
            _ => wanted,
        };
    }

    fn advertised(&self) -> Intervals {
        Intervals::advertised(&self.settings, self.state)
    }

    fn control(&self, is_final: bool) -> Control {
        let Intervals { tx, rx } = self.advertised();
        Control {
            state: self.state,
            diagnostic: self.diagnostic,
            poll: !is_final && self.poll.is_active(),
            is_final,
            demand: false,
            multiplier: self.settings.multiplier,
            my_discriminator: self.discriminator,
            your_discriminator: self.remote.map(|remote| remote.discriminator),
            min_tx_us: micros(tx),
            min_rx_us: micros(rx),
        }
    }
}
