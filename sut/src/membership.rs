//! Who serves a shard: what one of its two cores makes of what it hears, and of what it does not.
//!
//! Each core of a shard is *joining* (its copy is not whole), *standby* (it is), *master* (it serves
//! the shard), or *in doubt* (it was master, was cut off or asleep, and does not know whether it
//! still is). Whoever becomes master begins a new *epoch*; an older one gives way to a newer one,
//! whatever else it believes.
//!
//! Taking over needs two witnesses. The network must have steered the shard's packets to this core,
//! which it does when its own watch (BFD) has missed the master; and the master must be silent to
//! this core as well, or say itself that it is no master or hands over. So neither a router that
//! flaps nor a lost replication packet makes two masters; and a master that has slept for as long as
//! the router waits serves nothing until the other core has answered a question put after it woke.
//!
//! Pure: time and what was heard come in, a role comes out. The simulator, the packet thread and the
//! tests drive the same code.

use dataplane::clock::Nanos;

/// What a core is for a shard at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    /// Its copy is not whole yet.
    Joining = 0,
    /// It holds a whole copy, and serves nothing.
    Standby = 1,
    /// It serves the shard.
    Master = 2,
    /// It was master and must learn whether it still is.
    Doubt = 3,
}

impl Role {
    /// The role with this number.
    pub fn numbered(number: u8) -> Option<Role> {
        [Role::Joining, Role::Standby, Role::Master, Role::Doubt].get(usize::from(number)).copied()
    }
}

/// How long a core waits for the other one.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Without a word for this long, the other core is silent.
    pub silent: Nanos,
    /// Without a word for this long, it is not there.
    pub alone: Nanos,
    /// A question that nobody has answered for this long has found nobody.
    pub answer: Nanos,
    /// How long one that has handed over still serves what was on its way.
    pub drain: Nanos,
}

/// What the other core says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// What it is.
    pub role: Role,
    /// The newest epoch it knows of.
    pub epoch: u32,
    /// It hands over: whoever gets the shard's packets may serve them.
    pub yields: bool,
    /// It holds a whole copy, is master by duty, and wants to serve again.
    pub wants: bool,
    /// It has heard the question asked in doubt.
    pub answers: bool,
}

/// One core's view of one shard.
#[derive(Clone, Debug)]
pub struct Member {
    role: Role,
    epoch: u32,
    /// Master by duty.
    preferred: bool,
    /// Whether the copy is whole.
    whole: bool,
    /// The server is about to leave.
    leaving: bool,
    yields: bool,
    heard: Option<(Heard, Nanos)>,
    started: Nanos,
    /// Since when it is what it is.
    since: Nanos,
    draining: Option<Nanos>,
    /// The network and this core have missed the other one, and nothing was heard of it since.
    missed: bool,
    patience: Patience,
    /// When it became master last.
    pub taken_at: Nanos,
    /// How often it has become master, and ceased to be.
    pub takeovers: u64,
    /// See [`Member::takeovers`].
    pub demotions: u64,
}

impl Member {
    /// A core that has just started, at `now`.
    pub fn new(preferred: bool, patience: Patience, now: Nanos) -> Member {
        Member {
            role: Role::Joining,
            epoch: 0,
            preferred,
            whole: false,
            leaving: false,
            yields: false,
            heard: None,
            started: now,
            since: now,
            draining: None,
            missed: false,
            patience,
            taken_at: Nanos(0),
            takeovers: 0,
            demotions: 0,
        }
    }

    /// Counts its patience from `now` on.
    pub fn start(&mut self, now: Nanos) {
        (self.started, self.since) = (now, now);
    }

    /// What it is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The newest epoch it knows of.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Whether it hands over to whoever gets the packets.
    pub fn yields(&self) -> bool {
        self.yields
    }

    /// Whether it is master by duty.
    pub fn is_preferred(&self) -> bool {
        self.preferred
    }

    /// Whether it asks the other one to hand over.
    pub fn wants(&self) -> bool {
        self.preferred && self.role == Role::Standby && !self.leaving
    }

    /// Whether packets of the shard are translated here.
    pub fn serves(&self, now: Nanos) -> bool {
        self.role == Role::Master || self.draining.is_some_and(|until| now < until)
    }

    /// Whether new connections of the shard are opened here.
    pub fn opens(&self) -> bool {
        self.role == Role::Master
    }

    /// Whether the network may send the shard's packets here for good: it is served here, or will be
    /// from the first packet on.
    pub fn is_ready(&self, now: Nanos) -> bool {
        match self.role {
            Role::Master => true,
            // A slave by duty has nothing to announce, and is there for when it must.
            Role::Joining | Role::Standby | Role::Doubt if !self.preferred => true,
            Role::Standby => self.other_is_off(),
            // It may have nobody to ask, and asks again once the network sees it.
            Role::Doubt => self.silence(now) > self.patience.answer,
            Role::Joining => false,
        }
    }

    /// Whether the network must not send the shard's packets here, though it is this core's duty: it
    /// has been replaced, and holds nothing yet of what has happened since.
    pub fn must_withdraw(&self) -> bool {
        self.preferred && self.role == Role::Joining
    }

    fn other_is_off(&self) -> bool {
        self.heard.is_some_and(|(it, _)| it.yields || it.role != Role::Master)
    }

    fn silence(&self, now: Nanos) -> Nanos {
        let heard = self.heard.map_or(self.started, |(_, at)| at);
        // One in doubt has just asked.
        let asked = if self.role == Role::Doubt { self.since } else { self.started };
        now.since(heard.max(asked))
    }

    /// Whether packets of the shard that arrive here may be served from now on.
    pub fn may_take(&self, now: Nanos) -> bool {
        let silence = self.silence(now);
        match self.role {
            _ if self.leaving => false,
            Role::Master | Role::Doubt => false,
            Role::Standby => silence > self.patience.silent || self.other_is_off(),
            Role::Joining => silence > self.patience.alone,
        }
    }

    /// Becomes master, in a new epoch.
    pub fn take(&mut self, now: Nanos) {
        self.missed = self.silence(now) > self.patience.silent;
        let newest = self.heard.map_or(0, |(it, _)| it.epoch);
        self.epoch = self.epoch.max(newest) + 1;
        self.turn_into(Role::Master, now);
        (self.yields, self.draining, self.whole) = (false, None, true);
        (self.taken_at, self.takeovers) = (now, self.takeovers + 1);
    }

    fn turn_into(&mut self, role: Role, now: Nanos) {
        (self.role, self.since) = (role, now);
    }

    /// The copy is whole, or is no longer.
    pub fn set_whole(&mut self, whole: bool, now: Nanos) {
        self.whole = whole;
        match self.role {
            Role::Joining if whole => self.turn_into(Role::Standby, now),
            Role::Standby if !whole => self.turn_into(Role::Joining, now),
            _ => {}
        }
    }

    /// The server is going to leave: what it serves is handed over.
    pub fn leave(&mut self) {
        self.leaving = true;
        self.yields = self.role == Role::Master;
    }

    /// It was cut off or asleep since `then`: a master must ask before it goes on, unless the other core
    /// was gone before, and cannot have come back so soon. `true` if there is something to ask.
    pub fn doubt(&mut self, then: Nanos, now: Nanos) -> bool {
        self.draining = None;
        let doubts = match self.role {
            Role::Master => !self.goes_on_alone(then, now),
            Role::Doubt => true,
            Role::Joining | Role::Standby => false,
        };
        match self.role {
            // What it has listened already counts, and what it was away does not.
            Role::Doubt => self.since = now.min(self.since + now.since(then)),
            // It hands over nothing that it may have lost before.
            _ if doubts => {
                self.yields = false;
                self.turn_into(Role::Doubt, now);
            }
            _ => {}
        }
        doubts
    }

    /// It has slept, and knows whether it must ask. To one that might take over, what was said before
    /// says nothing any more, and nobody has been silent yet.
    pub fn wake(&mut self, now: Nanos) {
        if matches!(self.role, Role::Joining | Role::Standby) {
            (self.heard, self.started) = (None, now);
        }
    }

    /// Whether nobody can have taken over since `then`. One that begins anew waits for as long as
    /// makes another alone; one that was missed, and is only cut off or asleep, wakes in doubt.
    fn goes_on_alone(&self, then: Nanos, now: Nanos) -> bool {
        let away = now.since(then);
        let was_alone = self.silence(then) > self.patience.alone;
        was_alone && away < self.patience.alone || self.missed && away < self.patience.answer
    }

    /// Whether the other core was missed, by the network and by this core, and is still.
    pub fn has_missed(&self) -> bool {
        self.missed
    }

    /// The other core was missed in another shard, which this core has taken over at `now`: it serves
    /// none, and nobody is there to answer.
    pub fn miss(&mut self, now: Nanos) {
        self.missed = true;
        if self.role == Role::Doubt {
            self.turn_into(Role::Master, now);
        }
    }

    /// The other core has spoken. `true`: what this core holds is out of date, and it must be told
    /// all of it anew.
    pub fn hear(&mut self, it: Heard, now: Nanos) -> bool {
        self.heard = Some((it, now));
        self.missed = false;
        if it.epoch > self.epoch {
            self.epoch = it.epoch;
            // It may be in doubt itself: its epoch is newer all the same, and so is what it holds.
            if it.role == Role::Master || matches!(self.role, Role::Master | Role::Doubt) {
                return self.give_way(now);
            }
        }
        let tie = it.role == Role::Master && it.epoch == self.epoch;
        if tie && self.role == Role::Master && !self.preferred {
            return self.give_way(now);
        }
        match self.role {
            _ if self.leaving => {}
            // One that begins anew counts epochs anew: of the same number, it is another's.
            Role::Doubt if it.answers && it.role == Role::Master => return self.give_way(now),
            Role::Doubt if it.answers => self.turn_into(Role::Master, now),
            // Both begin: nothing is lost that anybody has.
            Role::Joining if it.role == Role::Joining && self.preferred => self.take(now),
            // The other one has lost what this one has.
            Role::Standby if it.role == Role::Joining => self.take(now),
            Role::Standby if it.role == Role::Standby && self.preferred => self.take(now),
            _ => {}
        }
        self.yields = self.role == Role::Master && (self.leaving || !self.preferred && it.wants);
        false
    }

    /// Another is master now.
    fn give_way(&mut self, now: Nanos) -> bool {
        let handed_over = std::mem::take(&mut self.yields);
        let served = matches!(self.role, Role::Master | Role::Doubt);
        if served {
            self.demotions += 1;
            // What it has, it has told: it has served until this moment.
            let role = if handed_over { Role::Standby } else { Role::Joining };
            self.draining = handed_over.then(|| now + self.patience.drain);
            self.whole = handed_over;
            self.turn_into(role, now);
        }
        served && !handed_over
    }

    /// Time passes, on a core that the network sees: one that is cut off hears nobody, and learns
    /// nothing from it.
    pub fn tick(&mut self, now: Nanos) {
        let silence = self.silence(now);
        let is_alone = silence > self.patience.alone;
        match self.role {
            Role::Joining if is_alone && self.preferred && !self.leaving => self.take(now),
            // Nobody is there who could have taken over.
            Role::Doubt if silence > self.patience.answer => self.miss(now),
            _ => {}
        }
    }

    /// Whether it has anything to do with what is on its way after a hand-over.
    pub fn is_draining(&self, now: Nanos) -> bool {
        self.draining.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const PATIENCE: Patience =
        Patience { silent: at(3), alone: at(100), answer: at(100), drain: at(20) };

    const fn at(ms: u64) -> Nanos {
        Nanos(ms * MS)
    }

    fn says(member: &Member) -> Heard {
        Heard {
            role: member.role,
            epoch: member.epoch,
            yields: member.yields,
            wants: member.wants(),
            answers: true,
        }
    }

    fn talk(a: &mut Member, b: &mut Member, ms: u64) {
        let (from_a, from_b) = (says(a), says(b));
        a.hear(from_b, at(ms));
        b.hear(from_a, at(ms));
    }

    /// Master by duty and slave, in service.
    fn pair() -> (Member, Member) {
        let [mut a, mut b] = [true, false].map(|duty| Member::new(duty, PATIENCE, at(0)));
        talk(&mut a, &mut b, 1);
        talk(&mut a, &mut b, 2);
        b.set_whole(true, at(2));
        talk(&mut a, &mut b, 3);
        assert_eq!((a.role, b.role, a.epoch, b.epoch), (Role::Master, Role::Standby, 1, 1));
        (a, b)
    }

    #[test]
    fn two_that_begin_agree_on_the_one_whose_duty_it_is() {
        let (a, b) = pair();
        assert!(a.serves(at(4)) && a.is_ready(at(4)) && !b.serves(at(4)));
    }

    #[test]
    fn packets_alone_make_no_master_while_the_other_speaks() {
        let (mut a, mut b) = pair();
        for ms in 4..50 {
            talk(&mut a, &mut b, ms);
            assert!(!b.may_take(at(ms + 2)));
        }
        assert!(b.may_take(at(53)), "49 was the last word");
    }

    #[test]
    fn a_master_that_was_cut_off_gives_way() {
        let (mut a, mut b) = pair();
        b.take(at(20));
        assert_eq!((b.role, b.epoch), (Role::Master, 2));
        assert!(a.doubt(at(21), at(21)) && !a.serves(at(21)));
        let stale = a.hear(says(&b), at(22));
        assert!(stale, "what it holds is out of date");
        assert_eq!((a.role, a.epoch, a.demotions), (Role::Joining, 2, 1));
        assert!(!a.is_ready(at(23)) && !a.may_take(at(23)));
    }

    #[test]
    fn of_two_in_doubt_the_newer_master_goes_on() {
        let (mut a, mut b) = pair();
        b.take(at(20));
        assert!(a.doubt(at(21), at(21)) && b.doubt(at(22), at(150)));
        let (from_a, from_b) = (says(&a), says(&b));
        assert!(a.hear(from_b, at(151)), "what it holds is out of date");
        b.hear(from_a, at(151));
        assert_eq!((a.role, b.role, a.epoch, b.epoch), (Role::Joining, Role::Master, 2, 2));
    }

    #[test]
    fn doubt_ends_where_another_is_master_in_an_epoch_of_the_same_number() {
        let (mut a, _) = pair();
        a.doubt(at(10), at(10));
        let mut b = Member::new(false, PATIENCE, at(11));
        b.take(at(200));
        assert_eq!((a.epoch, b.epoch), (1, 1));
        assert!(a.hear(says(&b), at(201)), "what it holds is out of date");
        assert_eq!((a.role, b.role), (Role::Joining, Role::Master));
    }

    #[test]
    fn doubt_ends_with_an_answer_or_with_nobody_there() {
        let (mut a, b) = pair();
        a.doubt(at(10), at(10));
        a.hear(Heard { answers: false, ..says(&b) }, at(11));
        assert_eq!(a.role, Role::Doubt, "that was said before it was asked");
        a.hear(says(&b), at(12));
        assert_eq!((a.role, a.epoch), (Role::Master, 1));
        a.doubt(at(20), at(20));
        a.tick(at(119));
        assert_eq!(a.role, Role::Doubt);
        a.tick(at(121));
        assert_eq!(a.role, Role::Master);
    }

    #[test]
    fn one_whose_other_has_long_been_gone_does_not_ask_it() {
        let (mut a, _) = pair();
        assert!(!a.doubt(at(200), at(200)), "3 was its last word");
        a.wake(at(200));
        assert!(!a.doubt(at(201), at(230)), "it has not come back by being missed again");
        assert_eq!(a.role, Role::Master);
        assert!(a.clone().doubt(at(230), at(330)), "it may have come back");
        assert!(a.doubt(at(100), at(5_000)), "it had not been gone when this one fell asleep");
    }

    #[test]
    fn one_that_has_replaced_another_sleeps_shorter_than_that_one_must_wait() {
        let (mut a, mut b) = pair();
        b.take(at(20));
        assert!(
            b.has_missed() && !b.clone().doubt(at(30), at(129)) && b.clone().doubt(at(30), at(130))
        );
        b.hear(says(&a), at(31));
        assert!(b.clone().doubt(at(40), at(50)), "it is there again");
        assert!(a.doubt(at(40), at(50)));
        a.miss(at(51));
        assert!(
            a.role == Role::Master && !a.doubt(at(52), at(60)),
            "it was missed in another shard"
        );
        let (mut a, mut b) = pair();
        a.leave();
        talk(&mut a, &mut b, 5);
        b.take(at(6));
        assert!(!b.has_missed() && b.doubt(at(10), at(20)), "that was no failure");
    }

    #[test]
    fn one_that_was_told_to_leave_while_it_slept_hands_over_nothing() {
        let (mut a, mut b) = pair();
        b.take(at(20));
        a.leave();
        assert!(a.doubt(at(10), at(50)), "it was replaced meanwhile");
        assert!(a.hear(says(&b), at(51)), "what it holds is out of date");
        assert!(a.role == Role::Joining && !a.serves(at(52)));
    }

    #[test]
    fn one_that_wakes_takes_nobody_for_silent() {
        let (_, mut b) = pair();
        b.doubt(at(10), at(500));
        b.wake(at(500));
        assert!(!b.may_take(at(503)), "it has not listened yet");
        assert!(b.may_take(at(504)));
    }

    #[test]
    fn one_that_has_never_heard_another_does_not_ask_it() {
        let mut a = Member::new(true, PATIENCE, at(0));
        a.tick(at(101));
        assert!(!a.doubt(at(102), at(102)) && a.serves(at(102)));
    }

    #[test]
    fn one_that_is_cut_off_again_asks_again() {
        let (mut a, _) = pair();
        assert!(a.doubt(at(10), at(10)) && a.doubt(at(10), at(500)));
        a.tick(at(590));
        assert_eq!(a.role, Role::Doubt);
        a.tick(at(601));
        assert_eq!(a.role, Role::Master);
    }

    #[test]
    fn one_that_returns_is_given_its_duty_back_and_nothing_is_dropped_on_the_way() {
        let (_, mut b) = pair();
        b.take(at(20));
        let mut a = Member::new(true, PATIENCE, at(30));
        talk(&mut a, &mut b, 31);
        assert_eq!((a.role, b.role), (Role::Joining, Role::Master));
        assert!(!a.is_ready(at(31)));
        a.set_whole(true, at(40));
        talk(&mut a, &mut b, 41);
        talk(&mut a, &mut b, 42);
        assert!(b.yields && b.serves(at(42)) && a.is_ready(at(43)), "{b:?}");
        assert!(a.may_take(at(43)));
        a.take(at(43));
        assert_eq!((a.role, a.epoch), (Role::Master, 3));
        assert!(!b.hear(says(&a), at(43)), "it has all of it");
        assert_eq!(b.role, Role::Standby);
        assert!(b.serves(at(62)) && !b.opens() && !b.serves(at(64)));
    }

    #[test]
    fn one_that_leaves_hands_over() {
        let (mut a, mut b) = pair();
        a.leave();
        talk(&mut a, &mut b, 5);
        assert!(a.serves(at(5)) && b.may_take(at(5)));
        b.take(at(6));
        assert!(!a.hear(says(&b), at(6)));
        assert!(a.serves(at(7)) && !a.may_take(at(500)));
    }

    #[test]
    fn one_that_restarts_before_anybody_missed_it_finds_its_copy_serving() {
        let (_, mut b) = pair();
        let mut a = Member::new(true, PATIENCE, at(5));
        talk(&mut a, &mut b, 6);
        assert_eq!((a.role, b.role, b.epoch), (Role::Joining, Role::Master, 2));
        talk(&mut a, &mut b, 7);
        assert_eq!((a.role, a.epoch), (Role::Joining, 2));
    }

    #[test]
    fn one_without_another_serves_after_a_while() {
        let mut a = Member::new(true, PATIENCE, at(0));
        a.tick(at(100));
        assert_eq!(a.role, Role::Joining);
        a.tick(at(101));
        assert_eq!((a.role, a.epoch), (Role::Master, 1));
        let mut b = Member::new(false, PATIENCE, at(0));
        b.tick(at(500));
        assert!(b.role == Role::Joining && b.may_take(at(500)), "the slave waits for packets");
    }

    #[test]
    fn of_two_masters_of_one_epoch_the_one_by_duty_stays() {
        let [mut a, mut b] = [true, false].map(|duty| Member::new(duty, PATIENCE, at(0)));
        a.take(at(1));
        b.take(at(1));
        let (from_a, from_b) = (says(&a), says(&b));
        assert!(!a.hear(from_b, at(2)) && b.hear(from_a, at(2)));
        assert_eq!((a.role, b.role), (Role::Master, Role::Joining));
    }
}
