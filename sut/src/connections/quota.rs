//! What each subscriber holds, and the most it may: so that a host gone wrong uses up its own share
//! and nobody else's.
//!
//! Counted are a subscriber's connections (RFC 6888 REQ-5) and, of these, the half-open ones: TCP
//! whose handshake is not complete, which is all that a flood of SYNs can make. The ports of a
//! subscriber are counted by its port block (REQ-4). What is over counts until the sweep has passed
//! it or the next connection has taken its place, as it holds its record until then.
//!
//! A packet of a connection that is open already comes nowhere near: an account is looked at when a
//! connection opens, changes state or ends. Nothing is ever evicted to make room.

use super::NotOpened;
use super::pace::Pace;
use crate::conntrack::State;
use crate::ports::Subscriber;
use dataplane::clock::Nanos;
use dataplane::memory::Pages;
use std::num::NonZeroU32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The most that one subscriber may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Connections, half-open ones included.
    pub connections: u32,
    /// Half-open TCP connections.
    pub half_open: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Account {
    connections: u32,
    half_open: u32,
}

/// What every subscriber of a core holds.
pub(super) struct Accounts {
    accounts: Pages<Account>,
    quota: Quota,
    half_open: u64,
    /// How fast all of them together may open connections.
    pace: Option<Pace>,
}

impl Accounts {
    pub(super) fn new(subscribers: u32, quota: Quota) -> std::io::Result<Accounts> {
        Ok(Accounts {
            accounts: Pages::zeroed(subscribers as usize)?,
            quota,
            half_open: 0,
            pace: None,
        })
    }

    /// Lets connections be opened at most `per_s` a second.
    pub(super) fn limit_setups(&mut self, per_s: NonZeroU32) {
        self.pace = Some(Pace::new(per_s));
    }

    #[inline]
    pub(super) fn pass_time(&mut self, now: Nanos) {
        if let Some(pace) = &mut self.pace {
            pace.pass(now);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.accounts.resident_bytes()
    }

    /// Half-open connections of all subscribers.
    pub(super) fn half_open(&self) -> u64 {
        self.half_open
    }

    /// Whether the subscriber may have one more connection, which begins in `state`.
    pub(super) fn admit(&mut self, who: Subscriber, state: State) -> Result<(), NotOpened> {
        let account = &self.accounts[who.0 as usize];
        if account.connections >= self.quota.connections {
            return Err(NotOpened::SubscriberQuota);
        }
        self.admit_half_open(account, state)?;
        match self.pace.as_mut().is_none_or(Pace::take) {
            true => Ok(()),
            false => Err(NotOpened::SetupLimit),
        }
    }

    /// Whether a connection of the subscriber may go from `before` to `state`.
    pub(super) fn admit_turn(
        &self,
        who: Subscriber,
        before: State,
        state: State,
    ) -> Result<(), NotOpened> {
        match before.is_half_open() {
            true => Ok(()),
            false => self.admit_half_open(&self.accounts[who.0 as usize], state),
        }
    }

    fn admit_half_open(&self, account: &Account, state: State) -> Result<(), NotOpened> {
        match state.is_half_open() && account.half_open >= self.quota.half_open {
            true => Err(NotOpened::HalfOpenLimit),
            false => Ok(()),
        }
    }

    /// A connection has begun in `state`.
    pub(super) fn enter(&mut self, who: Subscriber, state: State) {
        let half_open = u32::from(state.is_half_open());
        let account = &mut self.accounts[who.0 as usize];
        account.connections += 1;
        account.half_open += half_open;
        self.half_open += u64::from(half_open);
    }

    /// A connection that was in `state` is gone.
    ///
    /// # Panics
    /// When the subscriber held none: its account and its connections disagree.
    pub(super) fn leave(&mut self, who: Subscriber, state: State) {
        let half_open = u32::from(state.is_half_open());
        let account = &mut self.accounts[who.0 as usize];
        assert!(
            account.connections > 0 && account.half_open >= half_open,
            "a connection in {state:?} ends that {who:?} did not hold: {account:?}"
        );
        account.connections -= 1;
        account.half_open -= half_open;
        self.half_open -= u64::from(half_open);
    }

    /// A connection has gone from one state to another.
    pub(super) fn turn(&mut self, who: Subscriber, before: State, after: State) {
        if before.is_half_open() != after.is_half_open() {
            self.leave(who, before);
            self.enter(who, after);
        }
    }

    /// Connections of a subscriber, and how many of them are half-open.
    pub(super) fn held(&self, who: Subscriber) -> (u32, u32) {
        let account = &self.accounts[who.0 as usize];
        (account.connections, account.half_open)
    }
}
