//! From what a core is for a shard to what it announces: which preference, if any.
//!
//! The network decides who serves: it sends a shard's packets to whoever announces them best, and
//! that core takes over with the first packet ([`crate::membership`]). So preference follows duty,
//! not role: the master by duty comes first, the slave second, and when the first one's routes go
//! away the packets come to the slave. A core announces nothing before it can serve what comes: the
//! master by duty once its copy is whole and the other one is ready to let go, the slave once its
//! copy is whole or nobody is there to make it so.
//!
//! Pure: [`Speaker`](super::Speaker) hands the result to the session.

use super::bgp::Preference;
use crate::membership::{Member, Role};
use dataplane::clock::Nanos;

/// What to announce of a shard now, where `before` is what was announced until now. What is announced
/// stays, for a route that comes and goes costs more than one that leads to a core in doubt, but for
/// a master that has been replaced and must synchronise first.
pub fn preference(member: &Member, before: Option<Preference>, now: Nanos) -> Option<Preference> {
    if member.must_withdraw() {
        return None;
    }
    if before.is_some() {
        return before;
    }
    if member.is_preferred() {
        return member.is_ready(now).then_some(Preference::First);
    }
    let can_take = member.role() != Role::Joining || member.may_take(now);
    can_take.then_some(Preference::Second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::{Heard, Patience};

    const MS: u64 = 1_000_000;
    const ALONE: Nanos = Nanos(200 * MS);

    fn member(preferred: bool) -> Member {
        let patience =
            Patience { silent: Nanos(3 * MS), alone: ALONE, answer: ALONE, drain: Nanos(20 * MS) };
        Member::new(preferred, patience, Nanos(0))
    }

    fn heard(role: Role, epoch: u32) -> Heard {
        Heard { role, epoch, yields: false, wants: false, answers: true }
    }

    #[test]
    fn a_slave_is_second_once_its_copy_is_whole() {
        let mut slave = member(false);
        slave.hear(heard(Role::Master, 1), Nanos(MS));
        assert_eq!(preference(&slave, None, Nanos(2 * MS)), None, "its copy is not whole");
        slave.set_whole(true, Nanos(3 * MS));
        assert_eq!(preference(&slave, None, Nanos(3 * MS)), Some(Preference::Second));
        slave.take(Nanos(9 * MS));
        let now = Nanos(10 * MS);
        assert_eq!(
            preference(&slave, None, now),
            Some(Preference::Second),
            "it serves, by no duty"
        );
    }

    #[test]
    fn a_slave_whose_master_never_came_is_there_after_a_while() {
        let slave = member(false);
        assert_eq!(preference(&slave, None, Nanos(ALONE.0)), None);
        assert_eq!(preference(&slave, None, Nanos(ALONE.0 + MS)), Some(Preference::Second));
    }

    #[test]
    fn a_master_that_returns_synchronises_first() {
        let mut master = member(true);
        assert_eq!(preference(&master, None, Nanos(MS)), None);
        master.hear(heard(Role::Master, 7), Nanos(MS));
        assert_eq!(preference(&master, None, Nanos(MS)), None, "the slave serves");
        master.set_whole(true, Nanos(2 * MS));
        assert_eq!(preference(&master, None, Nanos(2 * MS)), None, "the slave does not yield yet");
        master.hear(Heard { yields: true, ..heard(Role::Master, 7) }, Nanos(3 * MS));
        let first = Some(Preference::First);
        assert_eq!(preference(&master, None, Nanos(3 * MS)), first);
        master.hear(heard(Role::Master, 7), Nanos(4 * MS));
        assert_eq!(preference(&master, first, Nanos(4 * MS)), first, "it does not flap");
    }

    #[test]
    fn a_master_that_was_replaced_withdraws() {
        let mut master = member(true);
        master.take(Nanos(MS));
        let first = Some(Preference::First);
        assert_eq!(preference(&master, None, Nanos(MS)), first);
        master.doubt(Nanos(2 * MS), Nanos(2 * MS));
        assert_eq!(preference(&master, first, Nanos(2 * MS)), first);
        assert_eq!(preference(&master, None, Nanos(2 * MS)), None, "in doubt nothing is begun");
        master.hear(heard(Role::Master, 9), Nanos(3 * MS));
        assert_eq!(master.role(), Role::Joining);
        assert_eq!(preference(&master, first, Nanos(3 * MS)), None);
    }
}
