//! What the network is told of a core: when it may send packets here, and how a server leaves.
//!
//! A core announces itself once each shard that is its duty is served here, or will be from the first
//! packet on; it withdraws when it has been replaced. A server that leaves hands over first, and is
//! gone when what was on its way to it has come.

use super::Cluster;
use super::half::Half;
use crate::membership::Role;
use crate::route::{Speaker, announce};
use dataplane::clock::Nanos;
use dataplane::wire::bfd as watch;

/// How long a server that leaves waits for its copies to be complete.
const LEAVE_WITHIN: Nanos = Nanos(200_000_000);

/// How long it waits for the router to send elsewhere what it has announced as about to go away.
const MOVED_WITHIN: Nanos = Nanos(1_000_000_000);

/// What the server has been told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    Serving,
    /// Since when: what it serves is handed over first.
    Leaving(Nanos),
    /// The router has been told.
    Withdrawn(Nanos),
}

impl Cluster {
    /// Hands over what is served here, and withdraws from the network then.
    pub fn leave(&mut self, now: Nanos) {
        if self.course == Course::Serving {
            self.course = Course::Leaving(now);
            for half in &mut self.halves {
                half.member.leave();
                half.asked = half.link.next_counter();
                (half.answered, self.dirty) = (half.member.role() != Role::Master, true);
                half.link.has_news();
            }
            if let Some(speaker) = &mut self.speaker {
                speaker.leave();
            }
        }
    }

    /// Whether a server that leaves has nothing left to do.
    pub fn is_gone(&self, now: Nanos) -> bool {
        let Course::Withdrawn(since) = self.course else { return false };
        let idle =
            |half: &Half| half.member.role() != Role::Master && !half.member.is_draining(now);
        let told = self.speaker.as_ref().is_none_or(Speaker::is_silent);
        told && self.halves.iter().all(idle) || now.since(since) > LEAVE_WITHIN
    }

    /// Lets the session not come up again before what is this core's duty can be served.
    pub(super) fn withdraw(&mut self) {
        if let Some(session) = &mut self.session {
            session.set_admin_down(watch::Diagnostic::AdminDown);
        }
        (self.announced, self.seen) = (false, false);
    }

    /// Announces or withdraws the core when its time has come.
    pub(super) fn go_on(&mut self, now: Nanos) {
        let is_moved = self.is_moved(now);
        let Some(session) = &mut self.session else { return };
        match self.course {
            // Each shard is announced for itself.
            Course::Serving if self.speaker.is_some() => {
                self.announced = true;
                session.set_admin_up();
            }
            Course::Serving if self.announced => {
                if self.halves.iter().any(|half| half.member.must_withdraw()) {
                    self.withdraw();
                }
            }
            Course::Serving => {
                if self.halves.iter().all(|half| half.member.is_ready(now)) {
                    self.announced = true;
                    session.set_admin_up();
                }
            }
            Course::Leaving(since) => {
                // Withdrawn is what the other core knows of and has all of.
                let told = |half: &Half| half.answered && half.link.backlog() == 0;
                let told = self.halves.iter().all(told);
                let (done, within) = match &self.speaker {
                    None => (told, LEAVE_WITHIN),
                    Some(_) => (told && is_moved, MOVED_WITHIN),
                };
                if done || now.since(since) > within {
                    self.course = Course::Withdrawn(now);
                    // Where there is BGP, the session with the router ends before the watch does.
                    if self.speaker.is_none() {
                        session.set_admin_down(watch::Diagnostic::AdminDown);
                    }
                }
            }
            Course::Withdrawn(_) => {
                if self.speaker.as_ref().is_none_or(Speaker::is_silent) {
                    session.set_admin_down(watch::Diagnostic::AdminDown);
                }
            }
        }
    }

    /// Whether others serve what was served here, and what was on its way has come.
    fn is_moved(&self, now: Nanos) -> bool {
        let serves = |half: &Half| half.member.role() == Role::Master || half.member.serves(now);
        !self.halves.iter().any(serves)
    }

    /// Has BGP say what the core is for each of its shards.
    pub(super) fn announce(&mut self, now: Nanos) {
        let Some(speaker) = &mut self.speaker else { return };
        let withdrawn = matches!(self.course, Course::Withdrawn(_));
        for (at, half) in self.halves.iter().enumerate() {
            let announced = self.seen && !withdrawn;
            let preference = announced
                .then(|| announce::preference(&half.member, speaker.said(at), now))
                .flatten();
            speaker.say(at, preference);
        }
        match withdrawn {
            true => speaker.end(),
            false => speaker.begin(),
        }
    }
}
