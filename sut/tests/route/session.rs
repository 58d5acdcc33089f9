//! States, timers and errors of a session.

use crate::rig::{ADDRESS, ASN, Heard, Router, SECOND, established, say, settings};
use dataplane::clock::Nanos;
use krononat::route::bgp::{End, Notification, Session, State};

const NOW: Nanos = Nanos(7 * SECOND);

fn ours(session: &Session) -> Option<(u8, u8)> {
    match session.end() {
        Some(End::Ours(Notification { code, subcode, .. })) => Some((*code, *subcode)),
        _ => None,
    }
}

fn in_state(state: State) -> Session {
    let router = Router::new(true);
    let mut session = Session::new(settings(), 8, 1);
    if state != State::Idle {
        session.connected(NOW);
    }
    if matches!(state, State::OpenConfirm | State::Established) {
        session.receive(&router.open(|_| {}), NOW);
    }
    if state == State::Established {
        session.receive(&router.keepalive(), NOW);
    }
    say(&mut session, NOW);
    assert_eq!(session.state(), state);
    session
}

#[test]
fn a_session_comes_up() {
    let router = Router::new(true);
    let mut session = Session::new(settings(), 8, 1);
    assert!(say(&mut session, NOW).is_empty(), "there is no connection");
    session.connected(NOW);
    let open = Heard::Open { asn: ASN, hold_s: 90, id: ADDRESS, families: 1 };
    assert_eq!(router.read(&say(&mut session, NOW)), [open]);
    session.receive(&router.open(|_| {}), NOW);
    assert_eq!(session.state(), State::OpenConfirm);
    assert_eq!(router.read(&say(&mut session, NOW)), [Heard::Keepalive]);
    session.receive(&router.keepalive(), NOW);
    assert_eq!(session.state(), State::Established);
    assert!(say(&mut session, NOW).is_empty());
}

/// RFC 4271 §8.2.2: what each state makes of each message, and the error it answers with.
#[test]
fn every_state_and_message() {
    use State::{Established, Idle, OpenConfirm, OpenSent};
    let router = Router::new(true);
    let (open, keepalive) = (router.open(|_| {}), router.keepalive());
    let (update, cease) = (router.update(), router.notification(6, 2));
    for (from, message, to, error) in [
        (Idle, &open, Idle, None),
        (Idle, &update, Idle, None),
        (OpenSent, &open, OpenConfirm, None),
        (OpenSent, &keepalive, Idle, Some((5, 1))),
        (OpenSent, &update, Idle, Some((5, 1))),
        (OpenSent, &cease, Idle, None),
        (OpenConfirm, &open, Idle, Some((5, 2))),
        (OpenConfirm, &keepalive, Established, None),
        (OpenConfirm, &update, Idle, Some((5, 2))),
        (OpenConfirm, &cease, Idle, None),
        (Established, &open, Idle, Some((5, 3))),
        (Established, &keepalive, Established, None),
        (Established, &update, Established, None),
        (Established, &cease, Idle, None),
    ] {
        let mut session = in_state(from);
        session.receive(message, NOW);
        let what = format!("{from:?} and message {}", message[18]);
        assert_eq!(session.state(), to, "{what}");
        assert_eq!(ours(&session), error, "{what}");
        let said = router.read(&say(&mut session, NOW));
        let notified: Vec<_> = error.map(|(a, b)| Heard::Notification(a, b)).into_iter().collect();
        if error.is_some() {
            assert_eq!(said, notified, "{what}");
        }
        if message == &cease && from != Idle {
            assert!(matches!(session.end(), Some(End::Theirs(it)) if it.code == 6), "{what}");
            assert!(said.is_empty(), "{what}: {said:?}");
        }
    }
}

#[test]
fn an_open_that_is_no_good() {
    let router = Router::new(true);
    type Change = fn(&mut Vec<u8>);
    let cases: [(&str, Change, (u8, u8)); 9] = [
        ("another version", |it| it[19] = 3, (2, 1)),
        ("another AS", |it| *it.last_mut().unwrap() ^= 1, (2, 2)),
        ("no identifier", |it| it[24..28].fill(0), (2, 3)),
        ("hold time 2 s", |it| it[22..24].copy_from_slice(&[0, 2]), (2, 6)),
        ("an unknown parameter", |it| it[29] = 9, (2, 4)),
        ("parameters too short", |it| it[28] -= 1, (2, 0)),
        ("a capability too long", |it| it[30] += 40, (2, 0)),
        ("another family alone", |it| it[34] = 2, (2, 7)),
        ("a marker with a zero", |it| it[3] = 0, (1, 1)),
    ];
    for (what, change, error) in cases {
        let mut session = in_state(State::OpenSent);
        let mut open = router.open(|_| {});
        change(&mut open);
        session.receive(&open, NOW);
        assert_eq!(ours(&session), Some(error), "{what}");
        let said = router.read(&say(&mut session, NOW));
        assert_eq!(said, [Heard::Notification(error.0, error.1)], "{what}");
    }
}

#[test]
fn lengths_and_types_that_cannot_be() {
    let router = Router::new(true);
    let (keepalive, update) = (router.keepalive(), router.update());
    type Case<'a> = (&'a str, &'a [u8], fn(&mut Vec<u8>), (u8, u8));
    let cases: [Case<'_>; 8] = [
        ("a short message", &keepalive, |it| it[17] = 18, (1, 2)),
        ("a long keepalive", &keepalive, |it| it[17] = 20, (1, 2)),
        ("a long message", &update, |it| it[16] = 0x10, (1, 2)),
        ("route refresh, never offered", &keepalive, |it| it[18] = 5, (1, 3)),
        ("withdrawals beyond the end", &update, |it| it[20] = 200, (3, 1)),
        ("attributes beyond the end", &update, |it| it[22] = 200, (3, 1)),
        ("an attribute beyond the end", &update, |it| it[25] = 200, (3, 1)),
        ("a prefix of 33 bits", &update, |it| *it.last_mut().unwrap() = 33, (3, 10)),
    ];
    for (what, message, change, error) in cases {
        let mut session = in_state(State::Established);
        let mut message = message.to_vec();
        change(&mut message);
        session.receive(&message, NOW);
        assert_eq!(ours(&session), Some(error), "{what}");
    }
}

#[test]
fn a_router_that_is_silent_for_the_hold_time_is_gone() {
    let router = Router::new(true);
    let mut session = Session::new(settings(), 8, 1);
    session.connected(NOW);
    session.receive(&router.open(|open| open.hold_time = 30), NOW);
    session.receive(&router.keepalive(), NOW);
    let later = NOW + Nanos(29 * SECOND);
    session.expire(later);
    assert_eq!(session.state(), State::Established);
    session.receive(&router.keepalive(), later);
    session.expire(later + Nanos(29 * SECOND));
    assert_eq!(session.state(), State::Established, "what is heard counts");
    session.expire(later + Nanos(30 * SECOND));
    assert_eq!(ours(&session), Some((4, 0)));
}

/// RFC 4271 §4.4: a third of the hold time, the lower of the two proposed.
#[test]
fn keepalives_come_three_times_in_a_hold_time() {
    let router = Router::new(true);
    let mut session = Session::new(settings(), 8, 1);
    session.connected(NOW);
    session.receive(&router.open(|open| open.hold_time = 30), NOW);
    session.receive(&router.keepalive(), NOW);
    say(&mut session, NOW);
    let mut last = NOW;
    let mut gaps = Vec::new();
    for step in 1..600 {
        let now = NOW + Nanos(step * SECOND / 10);
        session.receive(&router.keepalive(), now);
        session.expire(now);
        if !say(&mut session, now).is_empty() {
            gaps.push(now.since(last).0);
            last = now;
        }
    }
    assert!(gaps.len() >= 5, "{gaps:?}");
    let bounds = 75 * SECOND / 10..=101 * SECOND / 10;
    assert!(gaps.iter().all(|gap| bounds.contains(gap)), "{gaps:?}");
}

#[test]
fn without_a_hold_time_nothing_is_due() {
    let router = Router::new(true);
    let mut session = Session::new(settings(), 8, 1);
    session.connected(NOW);
    session.receive(&router.open(|open| open.hold_time = 0), NOW);
    session.receive(&router.keepalive(), NOW);
    say(&mut session, NOW);
    let later = NOW + Nanos(3600 * SECOND);
    session.expire(later);
    assert_eq!(session.state(), State::Established);
    assert!(say(&mut session, later).is_empty());
}

#[test]
fn messages_come_in_any_pieces() {
    let router = Router::new(true);
    let stream = [router.open(|_| {}), router.keepalive(), router.update(), router.keepalive()];
    let stream = stream.concat();
    for piece in 1..stream.len() {
        let mut session = in_state(State::OpenSent);
        stream.chunks(piece).for_each(|bytes| session.receive(bytes, NOW));
        assert_eq!(session.state(), State::Established, "pieces of {piece}");
    }
}

#[test]
fn a_session_that_ended_begins_anew() {
    let router = Router::new(true);
    let mut session = established(&router, NOW);
    session.shut_down();
    assert_eq!(router.read(&say(&mut session, NOW)), [Heard::Notification(6, 2)]);
    assert!(say(&mut session, NOW).is_empty());
    session.disconnected();
    assert_eq!(ours(&session), Some((6, 2)), "how it ended is still known");
    session.connected(NOW);
    assert_eq!((session.state(), session.end()), (State::OpenSent, None));
    session.disconnected();
    assert_eq!(session.end(), Some(&End::Lost));
}
