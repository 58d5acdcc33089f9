//! Reverse validation (RFC 9693): one packet down each connection held, in the order of opening.
//!
//! What is opened was seen from both sides when it was; that all of it is *still* held is known only
//! when every connection has carried a packet from the Internet, the side on which a NAT has nothing
//! to make state from.

use super::{Generator, Stage};
use crate::config::Until;
use crate::stamp::Direction;
use dataplane::cpu;
use dataplane::port::Port;
use std::ops::Range;

impl<P: Port> Generator<P> {
    /// Positions of the connections that the phase is to validate.
    pub(super) fn to_validate(&self, until: Until) -> Range<u64> {
        match until {
            Until::Validated => self.population.closing()..self.population.newest(),
            Until::Held(_) | Until::For(_) => 0..0,
        }
    }

    /// Whether the phase validates.
    #[inline]
    pub(super) fn validates(&self) -> bool {
        self.plan.phases[self.phase].until == Until::Validated
    }

    /// Whether the phase validates and has nothing left to send.
    #[inline]
    pub(super) fn is_validated(&self) -> bool {
        self.validates() && self.unvalidated.is_empty() && self.picks.is_empty()
    }

    /// Picks the connections that are next, in place of a draw. Those that were given up are left
    /// out.
    pub(super) fn pick_in_turn(&mut self) {
        debug_assert_eq!(self.stage, Stage::Running);
        let Generator { population, picks, unvalidated, plan, .. } = self;
        while picks.waiting().len() < plan.batch
            && let Some(position) = unvalidated.next()
        {
            let place = population.at(position);
            let flow = population.flow(place.slot);
            if flow.is_established() {
                cpu::prefetch_write(flow);
                picks.push(place, Direction::Down);
            }
        }
    }
}
