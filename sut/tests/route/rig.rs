//! A session with a router that the test plays, and what zettabgp makes of what the session says.

use dataplane::clock::Nanos;
use krononat::route::bgp::{Session, Settings, State};
use std::net::{IpAddr, Ipv4Addr};
use zettabgp::message::BgpMessageType;
use zettabgp::message::attributes::aspath::BgpASitem;
use zettabgp::message::notification::BgpNotificationMessage;
use zettabgp::message::open::BgpOpenMessage;
use zettabgp::message::update::BgpUpdateMessage;
use zettabgp::prelude::*;
use zettabgp::{BgpCapability, BgpSessionParams, BgpTransportMode};

pub(crate) const ASN: u32 = 4_200_000_001;
pub(crate) const ROUTER_ASN: u32 = 64_512;
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
const ROUTER_ID: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 254);

pub(crate) const SECOND: u64 = 1_000_000_000;

pub(crate) fn settings() -> Settings {
    Settings { asn: ASN, router_asn: ROUTER_ASN, address: ADDRESS, hold_s: 90 }
}

/// What the router hears, as zettabgp reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Open { asn: u32, hold_s: u16, id: Ipv4Addr, families: usize },
    Announced { prefixes: Vec<String>, path: Vec<u32>, med: u32, communities: Vec<u32> },
    Withdrawn(Vec<String>),
    Keepalive,
    Notification(u8, u8),
}

/// The router's view of the session; it speaks numbers of four octets or not.
pub(crate) struct Router {
    params: BgpSessionParams,
}

impl Router {
    pub(crate) fn new(four_octets: bool) -> Router {
        let mut capabilities = vec![BgpCapability::SafiIPv4u];
        capabilities.extend(four_octets.then_some(BgpCapability::CapASN32(ROUTER_ASN)));
        let mode = BgpTransportMode::IPv4;
        let mut params = BgpSessionParams::new(ROUTER_ASN, 90, mode, ROUTER_ID, capabilities);
        params.has_as32bit = four_octets;
        params.fuzzy_pathid = false;
        Router { params }
    }

    fn message(&self, kind: BgpMessageType, encode: impl Fn(&mut [u8]) -> usize) -> Vec<u8> {
        let mut buffer = vec![0; 4096];
        let len = encode(&mut buffer[19..]);
        let len = self.params.prepare_message_buf(&mut buffer, kind, len).unwrap();
        buffer.truncate(len);
        buffer
    }

    pub(crate) fn open(&self, change: impl Fn(&mut BgpOpenMessage)) -> Vec<u8> {
        let mut open = self.params.open_message();
        change(&mut open);
        self.message(BgpMessageType::Open, |to| open.encode_to(&self.params, to).unwrap())
    }

    pub(crate) fn keepalive(&self) -> Vec<u8> {
        self.message(BgpMessageType::Keepalive, |_| 0)
    }

    pub(crate) fn notification(&self, code: u8, subcode: u8) -> Vec<u8> {
        self.message(BgpMessageType::Notification, |to| {
            to[..2].copy_from_slice(&[code, subcode]);
            2
        })
    }

    /// An UPDATE with a route that the session has no use for.
    pub(crate) fn update(&self) -> Vec<u8> {
        self.message(BgpMessageType::Update, |to| {
            let path = [0x40, 1, 1, 0, 0x40, 2, 0, 0x40, 3, 4, 10, 1, 0, 254];
            to[..4].copy_from_slice(&[0, 0, 0, path.len() as u8]);
            to[4..4 + path.len()].copy_from_slice(&path);
            to[4 + path.len()] = 0;
            5 + path.len()
        })
    }

    pub(crate) fn read(&self, mut stream: &[u8]) -> Vec<Heard> {
        let mut all = Vec::new();
        while !stream.is_empty() {
            let (kind, len) = self.params.decode_message_head(stream).unwrap();
            let body = &stream[19..19 + len];
            all.push(self.read_one(kind, body));
            stream = &stream[19 + len..];
        }
        all
    }

    fn read_one(&self, kind: BgpMessageType, body: &[u8]) -> Heard {
        match kind {
            BgpMessageType::Open => {
                let mut open = BgpOpenMessage::new();
                open.decode_from(&self.params, body).unwrap();
                let long = open.caps.iter().find_map(|it| match it {
                    BgpCapability::CapASN32(asn) => Some(*asn),
                    _ => None,
                });
                let families = open.caps.iter().filter(|&it| *it == BgpCapability::SafiIPv4u);
                Heard::Open {
                    asn: long.unwrap_or(open.as_num),
                    hold_s: open.hold_time,
                    id: open.router_id,
                    families: families.count(),
                }
            }
            BgpMessageType::Keepalive => Heard::Keepalive,
            BgpMessageType::Notification => {
                let mut it = BgpNotificationMessage::new();
                it.decode_from(&self.params, body).unwrap();
                Heard::Notification(it.error_code, it.error_subcode)
            }
            BgpMessageType::Update => self.read_update(body),
        }
    }

    fn read_update(&self, body: &[u8]) -> Heard {
        let mut update = BgpUpdateMessage::new();
        update.decode_from(&self.params, body).unwrap();
        let texts = |addresses: &BgpAddrs| match addresses {
            BgpAddrs::IPV4U(all) => all.iter().map(ToString::to_string).collect(),
            _ => Vec::new(),
        };
        if update.attrs.is_empty() {
            return Heard::Withdrawn(texts(&update.withdraws));
        }
        let (mut path, mut med, mut communities, mut next_hop) = (vec![], None, vec![], None);
        for attribute in &update.attrs {
            match attribute {
                BgpAttrItem::ASPath(it) => {
                    for item in &it.value {
                        match item {
                            BgpASitem::Seq(seq) => {
                                path.extend(seq.value.iter().map(|number| number.value));
                            }
                            BgpASitem::Set(_) => panic!("a set in the path"),
                        }
                    }
                }
                BgpAttrItem::MED(it) => med = Some(it.value),
                BgpAttrItem::NextHop(it) => next_hop = Some(it.value),
                BgpAttrItem::CommunityList(it) => {
                    communities = it.value.iter().map(|it| it.value).collect();
                }
                _ => {}
            }
        }
        assert_eq!(next_hop, Some(IpAddr::V4(ADDRESS)));
        let prefixes = texts(&update.updates);
        Heard::Announced { prefixes, path, med: med.unwrap(), communities }
    }
}

/// All that the session has to say now.
pub(crate) fn say(session: &mut Session, now: Nanos) -> Vec<u8> {
    let mut buffer = [0; 4096];
    let len = session.send(&mut buffer, now);
    buffer[..len].to_vec()
}

/// A session that stands, at time `now`.
pub(crate) fn established(router: &Router, now: Nanos) -> Session {
    let mut session = Session::new(settings(), 64, 1);
    session.connected(now);
    session.receive(&router.open(|_| {}), now);
    session.receive(&router.keepalive(), now);
    assert_eq!(session.state(), State::Established);
    say(&mut session, now);
    session
}
