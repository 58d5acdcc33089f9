//! What a plan does to the SUT, done: on the cores and plugs of an in-memory network.

use super::core::Order;
use super::network::Hands;
use crate::layout::Layout;
use dataplane::clock::Nanos;
use format::plan::{Action, Direction, Injection, Plan};

/// An injection that is due at an instant on the clock of the run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub at: Nanos,
    /// Number of the phase in the order they run.
    pub phase: usize,
    pub what: Injection,
}

/// What is to be injected into the phase that runs as number `index` and begins at `start`.
pub(super) fn due(plan: &Plan, layout: &Layout<'_>, index: usize, start: Nanos) -> Option<Due> {
    let (phase, repetition) = layout.phase_of(index);
    let injection = phase.injection?;
    let at = start + Nanos(injection.instant_ns(plan.seed, repetition));
    Some(Due { at, phase: index, what: injection })
}

impl Hands {
    /// Does it.
    pub(super) fn inject(&self, layout: &Layout<'_>, due: &Due) {
        for (index, (hand, socket)) in (0..).zip(self.hands.iter().zip(&self.sockets)) {
            let (server, core) = layout.sut_place(index);
            let is_meant = due.what.target.core.is_none_or(|meant| meant == core);
            if server != due.what.target.server || !is_meant {
                continue;
            }
            match due.what.action {
                Action::Kill => hand.order(Order::Die),
                Action::Leave => hand.order(Order::Leave),
                Action::Return | Action::Join | Action::Resume => hand.order(Order::Run),
                Action::Hang => hand.order(Order::Hang),
                Action::Upgrade => hand.order(Order::Renew),
                Action::Partition(Direction::In) => socket.set(false, true),
                Action::Partition(Direction::Out) => socket.set(true, false),
                Action::Partition(Direction::Both) => socket.set(false, false),
                Action::Loss(share) => socket.lose_one_in(share.0),
                Action::Heal => {
                    socket.set(true, true);
                    socket.lose_one_in(0);
                    socket.set_delay(Nanos(0));
                }
                Action::LinkDown => socket.set_carrier(false),
                Action::LinkUp => socket.set_carrier(true),
                Action::Delay { by_ns } => socket.set_delay(Nanos(by_ns)),
            }
        }
    }
}
