//! What the router is told, read by zettabgp; and bytes of all kinds.

use crate::rig::{ASN, Heard, Router, SECOND, established, say, settings};
use dataplane::clock::Nanos;
use ipnet::Ipv4Net;
use krononat::route::bgp::message::{self, Open};
use krononat::route::bgp::{Community, GRACEFUL_SHUTDOWN, Preference, SEND_MIN, Session, State};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

const NOW: Nanos = Nanos(SECOND);

fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

fn announced(prefixes: &[&str], path: &[u32], med: u32, communities: &[u32]) -> Heard {
    let prefixes = prefixes.iter().map(ToString::to_string).collect();
    let (path, communities) = (path.to_vec(), communities.to_vec());
    Heard::Announced { prefixes, path, med, communities }
}

#[test]
fn the_router_hears_what_is_wanted_and_what_has_changed() {
    let router = Router::new(true);
    let mut session = established(&router, NOW);
    let mut hear = |change: &dyn Fn(&mut Session)| {
        change(&mut session);
        let heard = router.read(&say(&mut session, NOW));
        assert!(session.is_told());
        heard
    };
    let [a, b, c] = ["198.18.0.0/31", "198.18.0.2/31", "100.64.0.0/10"].map(net);
    let mark = Community(0xfde8_0002);
    let heard = hear(&|it| {
        assert!(it.announce(a, Preference::First, None));
        assert!(it.announce(b, Preference::Second, None));
        assert!(it.announce(c, Preference::First, Some(mark)));
    });
    let expected = [
        announced(&["198.18.0.0/31"], &[ASN], 0, &[]),
        announced(&["198.18.0.2/31"], &[ASN, ASN], 100, &[]),
        announced(&["100.64.0.0/10"], &[ASN], 0, &[mark.0]),
    ];
    assert_eq!(heard, expected);
    assert_eq!(hear(&|it| _ = it.announce(a, Preference::First, None)), [], "no news");
    let heard = hear(&|it| _ = it.announce(b, Preference::First, None));
    assert_eq!(heard, [announced(&["198.18.0.2/31"], &[ASN], 0, &[])]);
    let heard = hear(&|it| it.set_graceful_shutdown(true));
    let shutdown = GRACEFUL_SHUTDOWN.0;
    let expected = [
        announced(&["198.18.0.0/31", "198.18.0.2/31"], &[ASN; 3], 200, &[shutdown]),
        announced(&["100.64.0.0/10"], &[ASN; 3], 200, &[mark.0, shutdown]),
    ];
    assert_eq!(heard, expected);
    let heard = hear(&|it| [a, b, c].into_iter().for_each(|prefix| it.withdraw(prefix)));
    let all = ["198.18.0.0/31", "198.18.0.2/31", "100.64.0.0/10"].map(str::to_owned).to_vec();
    assert_eq!(heard, [Heard::Withdrawn(all)]);
}

#[test]
fn a_router_of_two_octets_is_told_of_as_trans() {
    let router = Router::new(false);
    let mut session = established(&router, NOW);
    session.announce(net("192.0.2.0/24"), Preference::Second, None);
    let said = say(&mut session, NOW);
    assert_eq!(router.read(&said), [announced(&["192.0.2.0/24"], &[23_456; 2], 100, &[])]);
    // AS4_PATH (RFC 6793 §3), which zettabgp does not read: optional, transitive, two numbers.
    let [a, b, c, d] = ASN.to_be_bytes();
    let attribute = [0xc0, 17, 10, 2, 2, a, b, c, d, a, b, c, d];
    assert!(said.windows(attribute.len()).any(|window| window == attribute), "{said:02x?}");
}

#[test]
fn nothing_is_told_twice_and_all_again_to_a_router_that_returns() {
    let router = Router::new(true);
    let mut session = established(&router, NOW);
    session.announce(net("192.0.2.0/24"), Preference::First, None);
    let first = say(&mut session, NOW);
    assert!(say(&mut session, NOW).is_empty());
    session.disconnected();
    assert!(!session.is_told());
    session.connected(NOW);
    session.receive(&[router.open(|_| {}), router.keepalive()].concat(), NOW);
    let again = say(&mut session, NOW);
    assert!(again.ends_with(&first), "{again:02x?}");
}

#[test]
fn there_is_room_for_as_many_prefixes_as_were_agreed_on() {
    let mut session = Session::new(settings(), 2, 1);
    assert!(session.announce(net("10.0.0.0/24"), Preference::First, None));
    assert!(session.announce(net("10.0.1.0/24"), Preference::First, None));
    assert!(!session.announce(net("10.0.2.0/24"), Preference::First, None));
    session.withdraw(net("10.0.0.0/24"));
    assert!(session.announce(net("10.0.2.0/24"), Preference::First, None));
}

#[derive(Clone, Debug)]
enum Step {
    Announce(u8, Preference),
    Withdraw(u8),
    Leave(bool),
    /// The connection takes so many bytes.
    Send(usize),
    Reconnect,
}

fn step() -> impl Strategy<Value = Step> {
    let preference =
        prop::sample::select(vec![Preference::First, Preference::Second, Preference::Last]);
    prop_oneof![
        4 => (0..40u8, preference).prop_map(|(at, it)| Step::Announce(at, it)),
        2 => (0..40u8).prop_map(Step::Withdraw),
        1 => any::<bool>().prop_map(Step::Leave),
        3 => (SEND_MIN..600).prop_map(Step::Send),
        1 => Just(Step::Reconnect),
    ]
}

fn prefix(at: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(10, at, 0, 0), 16 + at % 17)
}

proptest! {
    /// However changes and sending alternate, the router ends with what is wanted.
    #[test]
    fn the_routers_table_becomes_what_is_wanted(steps in prop::collection::vec(step(), 1..80)) {
        let router = Router::new(true);
        let mut session = established(&router, NOW);
        let (mut wanted, mut table) = (BTreeMap::new(), BTreeMap::new());
        let mut leaving = false;
        let hear = |bytes: &[u8], table: &mut BTreeMap<String, usize>| {
            for heard in router.read(bytes) {
                match heard {
                    Heard::Announced { prefixes, path, .. } => {
                        prefixes.into_iter().for_each(|it| _ = table.insert(it, path.len()));
                    }
                    Heard::Withdrawn(prefixes) => {
                        prefixes.iter().for_each(|it| _ = table.remove(it));
                    }
                    _ => {}
                }
            }
        };
        for step in steps {
            match step {
                Step::Announce(at, it) => {
                    session.announce(prefix(at), it, None);
                    wanted.insert(prefix(at).to_string(), 1 + it.prepended() as usize);
                }
                Step::Withdraw(at) => {
                    session.withdraw(prefix(at));
                    wanted.remove(&prefix(at).to_string());
                }
                Step::Leave(it) => {
                    leaving = it;
                    session.set_graceful_shutdown(it);
                }
                Step::Send(room) => {
                    let mut buffer = vec![0; room];
                    let len = session.send(&mut buffer, NOW);
                    hear(&buffer[..len], &mut table);
                }
                Step::Reconnect => {
                    session.disconnected();
                    session.connected(NOW);
                    session.receive(&[router.open(|_| {}), router.keepalive()].concat(), NOW);
                    table.clear();
                }
            }
        }
        hear(&say(&mut session, NOW), &mut table);
        prop_assert!(session.is_told());
        if leaving {
            wanted.values_mut().for_each(|length| *length = 3);
        }
        prop_assert_eq!(table, wanted);
    }

    #[test]
    fn no_bytes_are_too_strange(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..6),
        state in 0..3,
    ) {
        let router = Router::new(true);
        let mut session = Session::new(settings(), 4, 1);
        session.connected(NOW);
        let greeting = [router.open(|_| {}), router.keepalive()];
        greeting.iter().take(state as usize).for_each(|it| session.receive(it, NOW));
        chunks.iter().for_each(|bytes| session.receive(bytes, NOW));
        say(&mut session, NOW);
    }

    /// Bytes that look like messages come further than those that do not.
    #[test]
    fn no_body_is_too_strange(
        kind in 1..6u8,
        body in prop::collection::vec(any::<u8>(), 0..120),
        state in 0..3,
    ) {
        let router = Router::new(true);
        let mut session = Session::new(settings(), 4, 1);
        session.connected(NOW);
        let greeting = [router.open(|_| {}), router.keepalive()];
        greeting.iter().take(state as usize).for_each(|it| session.receive(it, NOW));
        let mut message = vec![0xff; 16];
        message.extend((19 + body.len() as u16).to_be_bytes());
        message.push(kind);
        message.extend(&body);
        session.receive(&message, NOW);
        let ended = session.state() == State::Idle;
        prop_assert_eq!(ended, session.end().is_some());
        say(&mut session, NOW);
    }

    #[test]
    fn an_open_is_read_as_it_was_written(
        asn in 1..u32::MAX, hold_s in 3..u16::MAX, id in 1..u32::MAX, four_octets: bool,
    ) {
        let asn = if four_octets { asn } else { asn % 65_535 + 1 };
        let open = Open { asn, hold_s, id: id.into(), four_octets };
        let mut buffer = [0; 64];
        let len = message::write_open(&mut buffer, &open).unwrap();
        let raw = message::split(&buffer[..len]).unwrap().unwrap();
        prop_assert_eq!(raw.len, len);
        prop_assert_eq!(message::read(raw.kind, raw.body), Ok(message::Message::Open(open)));
    }
}
