//! Two BFD sessions and a wire that delays, loses and breaks, in virtual time.

use dataplane::bfd::{Change, Diagnostic, Session, Settings, State};
use dataplane::clock::Nanos;
use dataplane::identity::Mac;
use dataplane::wire::bfd::{Ends, FRAME_LEN, encapsulate, read};
use proptest::prelude::*;
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::SplitMix64;
use std::net::Ipv4Addr;
use std::num::{NonZeroU8, NonZeroU32};

const DIRECTIONS: [usize; 2] = [0, 1];

/// A frame under way.
#[derive(Debug)]
struct Flight {
    arrives: Nanos,
    to: usize,
    frame: [u8; FRAME_LEN],
}

/// Two ends, the wire between them, and all that happened.
#[derive(Debug)]
struct Pair {
    ends: [Session; 2],
    asked: [Settings; 2],
    now: Nanos,
    delay: Nanos,
    /// Whether what an end sends is lost, all of it.
    is_cut: [bool; 2],
    /// Most packets of an end that are lost in a row, and how many were.
    losses_max: [u8; 2],
    lost: [u8; 2],
    random: SplitMix64,
    flights: Vec<Flight>,
    changes: Vec<(Nanos, usize, Change)>,
    sent: [Vec<Nanos>; 2],
    heard: [Nanos; 2],
}

impl Pair {
    fn new(asked: [Settings; 2], delay: Nanos, seed: u64) -> Pair {
        let end = |index: usize| {
            let discriminator = NonZeroU32::new(index as u32 + 1).unwrap();
            Session::new(asked[index], discriminator, seed ^ index as u64)
        };
        Pair {
            ends: DIRECTIONS.map(end),
            asked,
            now: Nanos(0),
            delay,
            is_cut: [false; 2],
            losses_max: [0; 2],
            lost: [0; 2],
            random: SplitMix64::seed_from_u64(!seed),
            flights: Vec::new(),
            changes: Vec::new(),
            sent: [Vec::new(), Vec::new()],
            heard: [Nanos(0); 2],
        }
    }

    /// The agreed interval of what an end sends, once both are Up.
    fn interval(&self, from: usize) -> Nanos {
        self.asked[from].min_tx.max(self.asked[1 - from].min_rx)
    }

    /// What the detection time of an end must be, once both are Up.
    fn detection(&self, at: usize) -> Nanos {
        let multiplier = self.asked[1 - at].multiplier.get();
        Nanos(self.interval(1 - at).0 * u64::from(multiplier))
    }

    /// How long the ends need to come Up on a wire that loses nothing.
    fn startup(&self) -> Nanos {
        Nanos(1_000_000_000 + 4 * self.delay.0)
    }

    fn states(&self) -> [State; 2] {
        [self.ends[0].state(), self.ends[1].state()]
    }

    fn run(&mut self, span: Nanos) {
        let until = self.now + span;
        self.act();
        loop {
            let wakes = self.ends.iter().map(Session::next_due);
            let next = wakes.chain(self.flights.iter().map(|it| it.arrives)).min().unwrap();
            if next > until {
                self.now = until;
                return;
            }
            assert!(next > self.now, "nothing is due twice at one instant");
            self.now = next;
            self.act();
        }
    }

    /// One round of each end's packet loop.
    fn act(&mut self) {
        let now = self.now;
        while let Some(at) = self.flights.iter().position(|flight| flight.arrives <= now) {
            let flight = self.flights.remove(at);
            let packet = read(&flight.frame).unwrap().control;
            if let Ok(change) = self.ends[flight.to].receive(&packet, now) {
                self.heard[flight.to] = now;
                self.changes.extend(change.map(|change| (now, flight.to, change)));
            }
        }
        for from in DIRECTIONS {
            let change = self.ends[from].expire(now);
            self.changes.extend(change.map(|change| (now, from, change)));
            while let Some(packet) = self.ends[from].due(now) {
                self.sent[from].push(now);
                if self.loses(from) {
                    continue;
                }
                let ends = Ends {
                    source_mac: Mac::of(0, 0, 1),
                    destination_mac: Mac::of(0, 0, 2),
                    source: Ipv4Addr::LOCALHOST,
                    destination: Ipv4Addr::LOCALHOST,
                };
                let frame = encapsulate(&ends, &packet);
                let arrives = now + self.delay;
                self.flights.push(Flight { arrives, to: 1 - from, frame });
            }
        }
    }

    fn loses(&mut self, from: usize) -> bool {
        let is_hit =
            self.lost[from] < self.losses_max[from] && !self.random.next_u32().is_multiple_of(4);
        self.lost[from] = if is_hit { self.lost[from] + 1 } else { 0 };
        is_hit || self.is_cut[from]
    }

    /// Most packets an end sent within any second.
    fn most_in_a_second(&self, from: usize) -> usize {
        let sent = &self.sent[from];
        let within = |&at: &Nanos| {
            let begin = sent.partition_point(|&other| other < at);
            sent.partition_point(|&other| other < at + Nanos::SECOND) - begin
        };
        sent.iter().map(within).max().unwrap_or(0)
    }
}

fn settings() -> impl Strategy<Value = Settings> {
    (2_000..40_000_u64, 2_000..40_000_u64, 1..=5_u8).prop_map(|(tx_us, rx_us, multiplier)| {
        let multiplier = NonZeroU8::new(multiplier).unwrap();
        Settings { min_tx: Nanos(tx_us * 1000), min_rx: Nanos(rx_us * 1000), multiplier }
    })
}

/// Two ends that have run long enough to be Up, and a little longer by chance.
fn pairs() -> impl Strategy<Value = Pair> {
    let delay = (1..5_000_000_u64).prop_map(Nanos);
    (settings(), settings(), delay, any::<u64>(), 0..100_000_000_u64).prop_map(
        |(one, two, delay, seed, more)| {
            let mut pair = Pair::new([one, two], delay, seed);
            pair.run(pair.startup() + Nanos(more));
            assert_eq!(pair.states(), [State::Up; 2]);
            pair
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn ends_come_up_and_keep_to_their_intervals(mut pair in pairs()) {
        let ups = pair.changes.iter().filter(|(_, _, change)| change.to == State::Up);
        prop_assert!(ups.into_iter().all(|(at, ..)| at.0 <= 4 * pair.delay.0));
        prop_assert_eq!(pair.changes.len(), 4, "each by way of Init");
        pair.sent = [Vec::new(), Vec::new()];
        pair.run(Nanos::SECOND);
        prop_assert_eq!(pair.changes.len(), 4);
        for end in DIRECTIONS {
            prop_assert_eq!(pair.ends[end].detection_time(), Some(pair.detection(end)));
            let most = if pair.asked[end].multiplier.get() == 1 { 0.9 } else { 1.0 };
            let interval = pair.interval(end).as_secs_f64();
            for gap in pair.sent[end].windows(2).map(|pair| pair[1].since(pair[0])) {
                let share = gap.as_secs_f64() / interval;
                prop_assert!((0.7499..most).contains(&share), "{share} of the interval");
            }
        }
    }

    #[test]
    fn ends_come_up_when_the_wire_is_mended(one in settings(), two in settings(), seed: u64,
                                            cut in 1..3_u8, after in 0..9_000_000_000_u64) {
        let mut pair = Pair::new([one, two], Nanos::MILLISECOND, seed);
        pair.is_cut = [cut & 1 != 0, cut & 2 != 0];
        pair.run(Nanos(after));
        prop_assert!(!pair.states().contains(&State::Up));
        pair.is_cut = [false; 2];
        pair.run(pair.startup());
        prop_assert_eq!(pair.states(), [State::Up; 2]);
    }

    #[test]
    fn a_cut_is_noticed_in_time_on_both_sides(mut pair in pairs(), cut in 1..=3_usize) {
        pair.is_cut = [cut & 1 != 0, cut & 2 != 0];
        let (at, before) = (pair.now, pair.changes.len());
        let deaf: Vec<usize> = DIRECTIONS.into_iter().filter(|end| pair.is_cut[1 - end]).collect();
        let bound = deaf.iter().map(|&end| pair.detection(end)).max().unwrap();
        // What was under way still arrives, and who hears learns from who does not.
        pair.run(Nanos(bound.0 + 2 * pair.delay.0));
        prop_assert!(!pair.states().contains(&State::Up));
        let downs = || pair.changes[before..].iter().filter(|(_, _, it)| it.to == State::Down);
        prop_assert_eq!(downs().count(), 2);
        for &(when, end, change) in downs() {
            let why = change.diagnostic;
            if deaf.contains(&end) && why == Diagnostic::TimeExpired {
                prop_assert_eq!(when, pair.heard[end] + pair.detection(end));
                prop_assert!(when >= at);
            } else {
                prop_assert_eq!((deaf.len(), why), (1, Diagnostic::NeighborSignaledDown));
            }
        }
        // Nobody is Up again before the wire is whole, and both are when it is.
        pair.run(Nanos(5 * Nanos::SECOND.0));
        prop_assert!(pair.changes[before..].iter().all(|(_, _, it)| it.to != State::Up));
        pair.is_cut = [false; 2];
        pair.run(pair.startup());
        prop_assert_eq!(pair.states(), [State::Up; 2]);
    }

    #[test]
    fn losses_below_the_multiplier_change_nothing(mut pair in pairs()) {
        let before = pair.changes.len();
        pair.losses_max = pair.asked.map(|asked| asked.multiplier.get() - 1);
        pair.run(Nanos(3 * Nanos::SECOND.0));
        prop_assert_eq!(&pair.changes[before..], &[]);
        // One more and it would: the losses were as many as are bearable.
        if let Some(end) = DIRECTIONS.into_iter().find(|&end| pair.losses_max[end] > 0) {
            pair.losses_max[end] += 4;
            pair.run(Nanos(3 * Nanos::SECOND.0));
            prop_assert!(pair.changes.len() > before);
        }
    }

    #[test]
    fn losses_delay_the_start_at_most(one in settings(), two in settings(), seed: u64) {
        let mut pair = Pair::new([one, two], Nanos::MILLISECOND, seed);
        pair.losses_max = [2; 2];
        pair.run(Nanos(15 * Nanos::SECOND.0));
        let first_up = pair.changes.iter().find(|(_, _, change)| change.to == State::Up);
        prop_assert!(first_up.is_some());
    }

    #[test]
    fn admin_down_is_heard_at_once_and_stays(mut pair in pairs(), end in 0..2_usize) {
        let before = pair.changes.len();
        pair.ends[end].set_admin_down(Diagnostic::AdminDown);
        let at = pair.now;
        pair.run(Nanos(10 * Nanos::SECOND.0));
        let down = Change {
            from: State::Up,
            to: State::Down,
            diagnostic: Diagnostic::NeighborSignaledDown,
        };
        prop_assert_eq!(&pair.changes[before..], &[(at + pair.delay, 1 - end, down)]);
        prop_assert_eq!(pair.ends[1 - end].remote_state(), State::AdminDown);
        pair.ends[end].set_admin_up();
        pair.run(pair.startup());
        prop_assert_eq!(pair.states(), [State::Up; 2]);
    }

    #[test]
    fn a_restarted_end_is_taken_back(mut pair in pairs(), end in 0..2_usize) {
        let discriminator = NonZeroU32::new(77).unwrap();
        pair.ends[end] = Session::new(pair.asked[end], discriminator, 5);
        pair.run(Nanos(2 * pair.startup().0));
        prop_assert_eq!(pair.states(), [State::Up; 2]);
    }

    #[test]
    fn packets_are_bounded_whatever_happens(mut pair in pairs(),
                                            events in prop::collection::vec(0..6_usize, 1..60)) {
        for event in events {
            match event {
                0 | 1 => pair.is_cut[event] = !pair.is_cut[event],
                2 | 3 => drop(pair.ends[event - 2].set_admin_down(Diagnostic::AdminDown)),
                _ => drop(pair.ends[event - 4].set_admin_up()),
            }
            pair.run(Nanos(7_000_000));
        }
        pair.run(Nanos::SECOND);
        for end in DIRECTIONS {
            let own = 1e9 / pair.asked[end].min_tx.0 as f64;
            let scheduled = 1e9 / (0.75 * pair.interval(end).0 as f64);
            let bound = (own + scheduled + 8.0 + 2.0) as usize;
            prop_assert!(pair.most_in_a_second(end) <= bound, "more than {bound} in a second");
        }
    }
}
