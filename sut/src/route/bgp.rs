//! A BGP session (RFC 4271) with the router: the prefixes a core wants packets for.
//!
//! [`Session`] is a value that does no input or output and reads no clock; the TCP connection below
//! it is its owner's. It is told that the connection stands ([`Session::connected`]) or has gone
//! ([`Session::disconnected`]), is handed what came ([`Session::receive`]), moves time on
//! ([`Session::expire`]) and fills a buffer with what is to be sent ([`Session::send`]). When it has
//! ended ([`Session::end`]) and [`Session::send`] has nothing more, the connection is to be closed.
//! Nothing here allocates after [`Session::new`], and a packet loop may call all of it.
//!
//! It keeps, for each prefix, what is wanted and what the router has been told, and sends the
//! difference: there is no queue to overflow, and a router that reads slowly hears only the latest.
//!
//! External BGP for IPv4 unicast and no more: what the router announces is skipped. No route
//! refresh, no graceful restart (a core whose session is gone must lose its routes, that is the
//! point), and no collision detection (§6.8): we open the connection and take none, so a router had
//! best be configured as passive.

pub mod message;
mod update;

pub use message::Notification;
pub use update::{Community, GRACEFUL_SHUTDOWN, Offer, Preference};

use dataplane::clock::Nanos;
use ipnet::Ipv4Net;
use message::{MESSAGE_MAX, Message, Open};
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::SplitMix64;
use std::net::Ipv4Addr;
use update::{Origin, write_update};

/// How long the router may take for its OPEN (RFC 4271 §8.2.2 suggests 4 minutes).
const OPEN_WITHIN: Nanos = Nanos(240_000_000_000);

/// Room that any one message of ours needs, with one prefix at least.
pub const SEND_MIN: usize = 128;

/// What a session is between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Our AS number.
    pub asn: u32,
    /// The router's, which must be another.
    pub router_asn: u32,
    /// Our address: BGP identifier and next hop.
    pub address: Ipv4Addr,
    /// Hold time that we propose, in seconds: 0 for none, or at least 3.
    pub hold_s: u16,
}

/// State of a session (RFC 4271 §8.2.2). Connect and Active are its owner's, who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// There is no connection, or the session on it has ended.
    Idle,
    /// Our OPEN is on its way.
    OpenSent,
    /// The router's OPEN is good; its KEEPALIVE has not come.
    OpenConfirm,
    /// Routes are exchanged.
    Established,
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// We ended it, with this.
    Ours(Notification),
    /// The router did.
    Theirs(Notification),
    /// The connection went away.
    Lost,
}

struct Route {
    prefix: Ipv4Net,
    wanted: Option<(Preference, Option<Community>)>,
    told: Option<Offer>,
}

impl Route {
    fn offer(&self, leaving: bool) -> Option<Offer> {
        let (preference, community) = self.wanted?;
        let preference = if leaving { Preference::Last } else { preference };
        Some(Offer { preference, community, leaving })
    }

    fn is_news(&self, leaving: bool) -> bool {
        self.told != self.offer(leaving)
    }
}

/// Our end of a session.
pub struct Session {
    settings: Settings,
    state: State,
    end: Option<End>,
    routes: Vec<Route>,
    leaving: bool,
    four_octets: bool,
    /// Hold time in force; None for none.
    hold: Option<Nanos>,
    heard_at: Nanos,
    /// When a KEEPALIVE is due, if nothing else is sent.
    keepalive_at: Nanos,
    owes_open: bool,
    owes_keepalive: bool,
    owes_notification: bool,
    /// Bytes of a message that is not complete.
    partial: Box<[u8; MESSAGE_MAX]>,
    partial_len: usize,
    random: SplitMix64,
}

impl Session {
    /// A session without a connection, with room for so many prefixes. `seed` is that of its jitter.
    ///
    /// # Panics
    /// If the hold time is 1 or 2 s, which RFC 4271 §4.2 forbids.
    pub fn new(settings: Settings, prefixes_max: usize, seed: u64) -> Session {
        assert!(!matches!(settings.hold_s, 1 | 2), "BGP: a hold time below 3 s");
        Session {
            settings,
            state: State::Idle,
            end: None,
            routes: Vec::with_capacity(prefixes_max),
            leaving: false,
            four_octets: false,
            hold: None,
            heard_at: Nanos(0),
            keepalive_at: Nanos(0),
            owes_open: false,
            owes_keepalive: false,
            owes_notification: false,
            partial: Box::new([0; MESSAGE_MAX]),
            partial_len: 0,
            random: SplitMix64::seed_from_u64(seed),
        }
    }

    /// State of our end.
    pub fn state(&self) -> State {
        self.state
    }

    /// How the last session ended; None while there is one, and before the first.
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Wants packets for a prefix, or wants them more or less than before. `false` if there is no
    /// room for another prefix.
    pub fn announce(
        &mut self,
        prefix: Ipv4Net,
        preference: Preference,
        community: Option<Community>,
    ) -> bool {
        let wanted = Some((preference, community));
        if let Some(route) = self.routes.iter_mut().find(|route| route.prefix == prefix) {
            route.wanted = wanted;
            return true;
        }
        // A prefix that nobody speaks of any more makes room.
        let idle = |route: &Route| route.wanted.is_none() && route.told.is_none();
        let route = Route { prefix, wanted, told: None };
        match self.routes.iter().position(idle) {
            Some(place) => self.routes[place] = route,
            None if self.routes.len() < self.routes.capacity() => self.routes.push(route),
            None => return false,
        }
        true
    }

    /// Wants no packets for a prefix any more.
    pub fn withdraw(&mut self, prefix: Ipv4Net) {
        if let Some(route) = self.routes.iter_mut().find(|route| route.prefix == prefix) {
            route.wanted = None;
        }
    }

    /// Whether all routes are about to go away (RFC 8326): each is announced once more, as such.
    pub fn set_graceful_shutdown(&mut self, leaving: bool) {
        self.leaving = leaving;
    }

    /// Whether the router has been told all there is to tell, as far as we have sent it.
    pub fn is_told(&self) -> bool {
        self.state == State::Established
            && !self.routes.iter().any(|route| route.is_news(self.leaving))
    }

    /// The connection stands.
    pub fn connected(&mut self, now: Nanos) {
        self.forget();
        (self.state, self.end) = (State::OpenSent, None);
        (self.owes_open, self.hold) = (true, Some(OPEN_WITHIN));
        self.heard_at = now;
    }

    /// The connection has gone, or its owner has cut it: nothing is sent any more.
    pub fn disconnected(&mut self) {
        self.forget();
        if self.state != State::Idle {
            (self.state, self.end) = (State::Idle, Some(End::Lost));
        }
    }

    /// Ends the session by will (RFC 4486): the router is told so and forgets our routes at once.
    pub fn shut_down(&mut self) {
        self.fail(Notification::new(Notification::CEASE, Notification::SHUTDOWN, &[]));
    }

    fn forget(&mut self) {
        self.routes.iter_mut().for_each(|route| route.told = None);
        (self.owes_open, self.owes_keepalive, self.owes_notification) = (false, false, false);
        (self.partial_len, self.four_octets) = (0, false);
    }

    fn fail(&mut self, notification: Notification) {
        if self.state == State::Idle {
            return;
        }
        // Who has heard no OPEN has no use for a NOTIFICATION.
        let spoken = !self.owes_open;
        self.forget();
        self.owes_notification = spoken;
        (self.state, self.end) = (State::Idle, Some(End::Ours(notification)));
    }

    /// Bytes came. What they make of the session is its state thereafter.
    pub fn receive(&mut self, mut bytes: &[u8], now: Nanos) {
        while !bytes.is_empty() && self.state != State::Idle {
            let room = &mut self.partial[self.partial_len..];
            let taken = bytes.len().min(room.len());
            room[..taken].copy_from_slice(&bytes[..taken]);
            self.partial_len += taken;
            bytes = &bytes[taken..];
            self.take_messages(now);
        }
    }

    /// All messages that are complete. A buffer that is full holds one, so there is room afterwards.
    fn take_messages(&mut self, now: Nanos) {
        let mut at = 0;
        while self.state != State::Idle {
            let message = match message::split(&self.partial[at..self.partial_len]) {
                Ok(None) => break,
                Ok(Some(raw)) => {
                    at += raw.len;
                    message::read(raw.kind, raw.body)
                }
                Err(notification) => Err(notification),
            };
            match message {
                Ok(message) => self.take(message, now),
                Err(notification) => self.fail(notification),
            }
        }
        if self.state != State::Idle {
            self.partial.copy_within(at..self.partial_len, 0);
            self.partial_len -= at;
        }
    }

    fn take(&mut self, message: Message, now: Nanos) {
        self.heard_at = now;
        match (self.state, message) {
            (_, Message::Notification(notification)) => {
                self.forget();
                (self.state, self.end) = (State::Idle, Some(End::Theirs(notification)));
            }
            (State::OpenSent, Message::Open(open)) => self.agree(&open, now),
            (State::OpenConfirm, Message::Keepalive) => self.state = State::Established,
            (State::Established, Message::Keepalive | Message::Update) => {}
            (state, _) => {
                let subcode = match state {
                    State::Idle => 0,
                    State::OpenSent => 1,
                    State::OpenConfirm => 2,
                    State::Established => 3,
                };
                self.fail(Notification::new(Notification::STATE, subcode, &[]));
            }
        }
    }

    fn agree(&mut self, open: &Open, now: Nanos) {
        if open.asn != self.settings.router_asn {
            return self.fail(Notification::new(Notification::OPEN, 2, &[]));
        }
        let hold_s = self.settings.hold_s.min(open.hold_s);
        self.hold = (hold_s > 0).then(|| Nanos(u64::from(hold_s) * 1_000_000_000));
        self.four_octets = open.four_octets;
        (self.state, self.owes_keepalive) = (State::OpenConfirm, true);
        self.postpone(now);
    }

    /// A third of the hold time (RFC 4271 §10), less up to a quarter of that.
    fn postpone(&mut self, now: Nanos) {
        if let Some(hold) = self.hold {
            let jitter = hold.0 / 12;
            self.keepalive_at = now + Nanos(hold.0 / 3 - self.random.next_u64() % jitter.max(1));
        }
    }

    /// Moves time on: the session ends if nothing was heard for the hold time (RFC 4271 §6.5).
    pub fn expire(&mut self, now: Nanos) {
        let Some(hold) = self.hold.filter(|_| self.state != State::Idle) else { return };
        if now.since(self.heard_at) >= hold {
            return self.fail(Notification::new(Notification::HOLD_TIMER, 0, &[]));
        }
        let speaks = matches!(self.state, State::OpenConfirm | State::Established);
        self.owes_keepalive |= speaks && now >= self.keepalive_at;
    }

    /// Fills `buffer` with whole messages as far as they fit, and returns how many bytes they have.
    /// They count as said: all of them must reach the connection. What does not fit comes next time,
    /// if there are [`SEND_MIN`] bytes then.
    pub fn send(&mut self, buffer: &mut [u8], now: Nanos) -> usize {
        let mut at = 0;
        while let Some(len) = self.send_one(&mut buffer[at..], now) {
            at += len;
        }
        at
    }

    fn send_one(&mut self, buffer: &mut [u8], now: Nanos) -> Option<usize> {
        if self.owes_notification {
            let Some(End::Ours(notification)) = &self.end else { return None };
            let len = message::write_notification(buffer, notification)?;
            self.owes_notification = false;
            return Some(len);
        }
        if self.owes_open {
            let Settings { asn, hold_s, address: id, .. } = self.settings;
            let open = Open { asn, hold_s, id, four_octets: true };
            let len = message::write_open(buffer, &open)?;
            self.owes_open = false;
            return Some(len);
        }
        if self.owes_keepalive {
            let len = message::write_keepalive(buffer)?;
            self.owes_keepalive = false;
            self.postpone(now);
            return Some(len);
        }
        if self.state != State::Established {
            return None;
        }
        let len = self.send_update(buffer)?;
        self.postpone(now);
        Some(len)
    }

    /// One UPDATE: what has changed in the same way as the first route that has.
    fn send_update(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let leaving = self.leaving;
        let first = self.routes.iter().position(|route| route.is_news(leaving))?;
        let offer = self.routes[first].offer(leaving);
        let Settings { asn, address: next_hop, .. } = self.settings;
        let origin = Origin { asn, next_hop, four_octets: self.four_octets };
        let alike = |route: &Route| route.is_news(leaving) && route.offer(leaving) == offer;
        let prefixes = self.routes[first..].iter().filter(|route| alike(route));
        let prefixes = prefixes.map(|route| route.prefix);
        let (len, count) = write_update(buffer, &origin, offer.as_ref(), prefixes)?;
        let told = self.routes[first..].iter_mut().filter(|route| alike(route));
        told.take(count).for_each(|route| route.told = offer);
        Some(len)
    }
}
