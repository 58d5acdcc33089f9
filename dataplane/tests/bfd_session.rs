//! One end of a BFD session, rule by rule of RFC 5880 §6.8.

use dataplane::bfd::{Change, Diagnostic, Refused, Session, Settings, State};
use dataplane::clock::Nanos;
use dataplane::wire::bfd::Control;
use proptest::prelude::*;
use std::num::{NonZeroU8, NonZeroU32};

const OURS: NonZeroU32 = NonZeroU32::new(0x1234).unwrap();
const THEIRS: NonZeroU32 = NonZeroU32::new(0x9876).unwrap();

fn ms(count: u64) -> Nanos {
    Nanos(count * 1_000_000)
}

fn settings(tx_ms: u64, rx_ms: u64, multiplier: u8) -> Settings {
    let multiplier = NonZeroU8::new(multiplier).unwrap();
    Settings { min_tx: ms(tx_ms), min_rx: ms(rx_ms), multiplier }
}

fn session() -> Session {
    Session::new(settings(10, 20, 3), OURS, 1)
}

/// A packet of the other end, which wants 30 ms both ways and five losses in a row.
fn packet(state: State) -> Control {
    Control {
        state,
        diagnostic: Diagnostic::None,
        poll: false,
        is_final: false,
        demand: false,
        multiplier: NonZeroU8::new(5).unwrap(),
        my_discriminator: THEIRS,
        your_discriminator: Some(OURS),
        min_tx_us: 30_000,
        min_rx_us: 30_000,
    }
}

/// A session brought into a state at time zero, with nothing left to say.
fn in_state(state: State) -> Session {
    let mut session = session();
    let steps: &[State] = match state {
        State::AdminDown | State::Down => &[],
        State::Init => &[State::Down],
        State::Up => &[State::Down, State::Init],
    };
    for &step in steps {
        session.receive(&packet(step), Nanos(0)).unwrap();
    }
    if state == State::AdminDown {
        session.set_admin_down(Diagnostic::AdminDown).unwrap();
    }
    assert_eq!(session.state(), state);
    while session.due(Nanos(0)).is_some() {}
    session
}

#[test]
fn a_path_that_is_lost_is_not_waited_for() {
    for state in [State::AdminDown, State::Down, State::Init, State::Up] {
        let mut session = in_state(state);
        let change = matches!(state, State::Init | State::Up).then_some(Change {
            from: state,
            to: State::Down,
            diagnostic: Diagnostic::PathDown,
        });
        assert_eq!(session.lose_path(), change, "{state:?}");
        assert_eq!((session.lose_path(), session.remote_state()), (None, State::Down));
    }
    let mut session = in_state(State::Up);
    session.lose_path();
    assert_eq!(session.due(ms(30)).map(|it| it.diagnostic), Some(Diagnostic::PathDown));
    for heard in [State::Down, State::Init] {
        session.receive(&packet(heard), ms(40)).unwrap();
    }
    assert_eq!(session.state(), State::Up, "the path is there again");
}

/// §6.8.6, and the figure of §6.2: state, state that is heard, state then, and why.
#[test]
fn every_state_hears_every_state() {
    use State::{AdminDown, Down, Init, Up};
    let rows = [
        (AdminDown, AdminDown, AdminDown),
        (AdminDown, Down, AdminDown),
        (AdminDown, Init, AdminDown),
        (AdminDown, Up, AdminDown),
        (Down, AdminDown, Down),
        (Down, Down, Init),
        (Down, Init, Up),
        (Down, Up, Down),
        (Init, AdminDown, Down),
        (Init, Down, Init),
        (Init, Init, Up),
        (Init, Up, Up),
        (Up, AdminDown, Down),
        (Up, Down, Down),
        (Up, Init, Up),
        (Up, Up, Up),
    ];
    for (from, heard, to) in rows {
        let mut session = in_state(from);
        let change = session.receive(&packet(heard), ms(1)).unwrap();
        let why = if to == Down { Diagnostic::NeighborSignaledDown } else { Diagnostic::None };
        let expected = (from != to).then_some(Change { from, to, diagnostic: why });
        assert_eq!(change, expected, "{from:?} hears {heard:?}");
        assert_eq!((session.state(), session.remote_state()), (to, heard));
        // A change is sent at once (§6.8.7), and nothing is without one.
        let sent = session.due(ms(1));
        assert_eq!(sent.map(|it| (it.state, it.diagnostic)), expected.map(|it| (it.to, why)));
        assert_eq!(session.due(ms(1)), None);
    }
}

#[test]
fn silence_ends_init_and_up_only() {
    for state in [State::AdminDown, State::Down, State::Init, State::Up] {
        let mut session = in_state(state);
        // Settles what is known of the other end without a change of state.
        let heard = if state == State::Down { State::Up } else { state };
        let heard = if state == State::Init { State::Down } else { heard };
        assert_eq!(session.receive(&packet(heard), ms(1)), Ok(None));
        assert_eq!(session.detection_time(), Some(ms(150)));
        assert_eq!(session.expire(Nanos(151_000_000 - 1)), None);
        assert!(session.next_due() <= ms(151));
        let expired = matches!(state, State::Init | State::Up).then_some(Change {
            from: state,
            to: State::Down,
            diagnostic: Diagnostic::TimeExpired,
        });
        assert_eq!(session.expire(ms(151)), expired, "{state:?}");
        // §6.8.1: the discriminator of who is not heard is forgotten.
        assert_eq!((session.detection_time(), session.remote_state()), (None, State::Down));
        let sent = session.due(ms(3000)).unwrap();
        assert_eq!(sent.your_discriminator, None);
    }
}

#[test]
fn packets_of_no_session_have_no_effect() {
    let other = NonZeroU32::new(7);
    let rows = [
        (other, State::Down, Refused::OtherSession),
        (other, State::Up, Refused::OtherSession),
        (None, State::Init, Refused::YourDiscriminator),
        (None, State::Up, Refused::YourDiscriminator),
    ];
    for (your_discriminator, state, reason) in rows {
        let mut session = in_state(State::Up);
        let stray = Control { your_discriminator, poll: true, ..packet(state) };
        assert_eq!(session.receive(&stray, ms(149)), Err(reason));
        assert_eq!(session.due(ms(1)), None, "a stray poll is not answered");
        assert!(session.expire(ms(150)).is_some(), "a stray packet is no sign of life");
    }
    for state in [State::Down, State::AdminDown] {
        let first = Control { your_discriminator: None, ..packet(state) };
        assert!(session().receive(&first, ms(1)).is_ok(), "{state:?}");
    }
}

#[test]
fn polls_are_answered_at_once_except_in_admin_down() {
    for state in [State::Down, State::Init, State::Up] {
        let mut session = in_state(state);
        let heard = if state == State::Up { State::Up } else { State::AdminDown };
        let asked = session.receive(&Control { poll: true, ..packet(heard) }, ms(1));
        assert!(asked.is_ok());
        assert_eq!(session.next_due(), Nanos(0), "{state:?}");
        let answer = session.due(ms(1)).unwrap();
        assert!(answer.is_final && !answer.poll, "{state:?}");
        assert_eq!(session.due(ms(1)), None);
    }
    let mut session = in_state(State::AdminDown);
    session.receive(&Control { poll: true, ..packet(State::Up) }, ms(1)).unwrap();
    assert_eq!(session.due(ms(1)), None);
}

/// §6.8.3: a second until Up, then what was asked for, announced by a poll.
#[test]
fn coming_up_makes_the_session_fast() {
    let mut session = session();
    let first = session.due(Nanos(0)).unwrap();
    assert_eq!((first.min_tx_us, first.min_rx_us, first.poll), (1_000_000, 20_000, false));
    assert!((ms(750)..ms(1000)).contains(&session.next_due()));
    session.receive(&packet(State::Init), ms(1)).unwrap();
    let up = session.due(ms(1)).unwrap();
    assert_eq!((up.state, up.min_tx_us, up.poll), (State::Up, 10_000, true));
    // The other end takes one in 30 ms at most.
    assert!((Nanos(23_500_000)..ms(31)).contains(&session.next_due()));
    assert!(session.due(ms(31)).unwrap().poll, "asked until answered");
    session.receive(&Control { is_final: true, ..packet(State::Up) }, ms(32)).unwrap();
    assert!(!session.due(ms(61)).unwrap().poll);
    // It takes them faster: at once (§6.8.3).
    session.receive(&Control { min_rx_us: 1, ..packet(State::Up) }, ms(70)).unwrap();
    assert!((Nanos(68_500_000)..ms(71)).contains(&session.next_due()));
    session.receive(&packet(State::Down), ms(70)).unwrap();
    assert_eq!(session.due(ms(70)).unwrap().min_tx_us, 1_000_000);
    assert!(session.next_due() >= ms(220), "the next event is the detection timeout");
}

/// §6.8.3: slower sending and faster receiving wait for the answer to a poll that told of them.
#[test]
fn new_settings_wait_for_their_answer() {
    let mut session = in_state(State::Up);
    session.receive(&Control { is_final: true, min_rx_us: 1, ..packet(State::Up) }, ms(1)).unwrap();
    session.set(settings(100, 40, 3));
    assert_eq!(session.detection_time(), Some(ms(5 * 40)), "slower receiving holds at once");
    session.set(settings(100, 1, 3));
    assert_eq!(session.detection_time(), Some(ms(5 * 40)));
    let asked = session.due(ms(10)).unwrap();
    assert_eq!((asked.poll, asked.min_tx_us, asked.min_rx_us), (true, 100_000, 1000));
    assert!(session.next_due() < ms(20), "still at the old interval");
    // The next change meets an answer to a poll that did not know of it.
    session.set(settings(200, 1, 3));
    let answer = Control { is_final: true, min_rx_us: 1, ..packet(State::Up) };
    session.receive(&answer, ms(11)).unwrap();
    assert!(session.next_due() < ms(20));
    assert!(session.due(ms(20)).unwrap().poll);
    session.receive(&answer, ms(21)).unwrap();
    assert_eq!(session.detection_time(), Some(ms(5 * 30)));
    assert!((ms(150)..ms(220)).contains(&session.next_due()));
    assert!(!session.due(ms(220)).unwrap().poll);
}

#[test]
fn demand_and_zero_silence_the_schedule_but_not_the_answers() {
    let demand = Control { demand: true, is_final: true, ..packet(State::Up) };
    let zero = Control { min_rx_us: 0, is_final: true, ..packet(State::Up) };
    for quiet in [demand, zero] {
        let mut session = in_state(State::Up);
        session.receive(&quiet, ms(1)).unwrap();
        assert_eq!(session.next_due(), ms(151), "only the detection time is left");
        assert_eq!(session.due(ms(150)), None);
        session.receive(&Control { poll: true, is_final: false, ..quiet }, ms(150)).unwrap();
        assert!(session.due(ms(150)).unwrap().is_final);
        // Demand mode is that of two ends which are Up.
        session.receive(&packet(State::Down), ms(151)).unwrap();
        assert_eq!(session.due(ms(151)).unwrap().state, State::Down);
    }
}

#[test]
fn admin_down_is_sent_at_once_and_lasts() {
    let mut session = in_state(State::Up);
    let change = session.set_admin_down(Diagnostic::PathDown).unwrap();
    assert_eq!((change.from, change.to), (State::Up, State::AdminDown));
    assert_eq!(session.set_admin_down(Diagnostic::AdminDown), None);
    let told = session.due(ms(1)).unwrap();
    assert_eq!((told.state, told.diagnostic), (State::AdminDown, Diagnostic::PathDown));
    assert_eq!(session.due(ms(700)), None);
    assert_eq!(session.due(ms(1001)).unwrap().state, State::AdminDown);
    assert_eq!(session.set_admin_up().map(|it| it.to), Some(State::Down));
    assert_eq!(session.set_admin_up(), None);
    assert_eq!(session.due(ms(1002)).unwrap().state, State::Down);
}

/// A neighbour that asks and changes without end is answered at a bounded rate, and does not keep
/// us from asking ourselves.
#[test]
fn floods_are_answered_at_a_bounded_rate() {
    let mut session = in_state(State::Down);
    let (mut sent, mut asked) = (0, 0);
    for us in 0..1_000_000 {
        let now = Nanos(us * 1000);
        let state = [State::Down, State::Init, State::AdminDown][us as usize % 3];
        session.receive(&Control { poll: true, min_rx_us: 1, ..packet(state) }, now).unwrap();
        session.expire(now);
        while let Some(packet) = session.due(now) {
            sent += 1;
            asked += u32::from(packet.poll);
        }
    }
    // One in 10 ms, eight in advance, and those of the schedule.
    assert!((100..=100 + 8 + 134).contains(&sent), "{sent} packets in a second");
    assert!(asked > 0);
}

#[test]
fn a_neighbour_that_polls_without_end_is_polled_too() {
    let mut session = in_state(State::Up);
    let mut asked = 0;
    for at in 1..300 {
        session.receive(&Control { poll: true, ..packet(State::Up) }, ms(at)).unwrap();
        while let Some(packet) = session.due(ms(at)) {
            asked += u32::from(packet.poll);
        }
    }
    // One in 22.5 to 30 ms, rounded up to the next millisecond.
    assert!((9..=13).contains(&asked), "{asked} polls in 300 ms");
}

proptest! {
    #[test]
    fn detection_time_is_their_multiplier_of_the_slower_interval(
        rx_us in 1..10_000_000_u32, tx_us: u32, theirs in 1..=255_u8, ours in 1..=255_u8,
    ) {
        let multiplier = NonZeroU8::new(ours).unwrap();
        let min_rx = Nanos(u64::from(rx_us) * 1000);
        let mut session = Session::new(Settings { min_tx: ms(1), min_rx, multiplier }, OURS, 0);
        prop_assert_eq!(session.detection_time(), None);
        let multiplier = NonZeroU8::new(theirs).unwrap();
        let heard = Control { multiplier, min_tx_us: tx_us, ..packet(State::Down) };
        session.receive(&heard, ms(3)).unwrap();
        let expected = Nanos(u64::from(theirs) * u64::from(rx_us.max(tx_us)) * 1000);
        prop_assert_eq!(session.detection_time(), Some(expected));
        prop_assert_eq!(session.expire(Nanos(ms(3).0 + expected.0 - 1)), None);
        prop_assert!(session.expire(ms(3) + expected).is_some());
    }

    #[test]
    fn waits_are_shortened_by_up_to_a_quarter(multiplier in 1..=4_u8, seed: u64) {
        let mut session = Session::new(settings(1, 1, multiplier), OURS, seed);
        let mut now = Nanos(0);
        let (mut least, mut most) = (f64::MAX, 0.0_f64);
        for _ in 0..200 {
            prop_assert!(session.due(now).is_some());
            let share = session.next_due().since(now).as_secs_f64();
            (least, most) = (least.min(share), most.max(share));
            now = session.next_due();
        }
        let bound = if multiplier == 1 { 0.9 } else { 1.0 };
        prop_assert!(least >= 0.75 && most <= bound, "{least} to {most} of the interval");
        prop_assert!(least < 0.77 && most > bound - 0.02, "{least} to {most} is no jitter");
    }
}
