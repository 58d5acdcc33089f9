//! A speaker and a router that talk TCP: smoltcp at both ends, frames in between, some of them lost.

use crate::rig::{ADDRESS, ASN, Heard, ROUTER_ASN, Router};
use arrayvec::ArrayVec;
use dataplane::burst::Burst;
use dataplane::clock::Nanos;
use dataplane::frame::{Arena, Buffer, Frame};
use dataplane::identity::{Identity, Mac};
use krononat::route::bgp::{Preference, State};
use krononat::route::{Settings, Speaker};
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::SplitMix64;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use std::collections::VecDeque;
use std::net::Ipv4Addr;

const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 254);
const CORE_MAC: Mac = Mac([2, 1, 0, 0, 0, 1]);
const GATEWAY: Mac = Mac([2, 9, 0, 0, 0, 1]);

/// IP packets that come to the router and go from it.
#[derive(Default)]
struct Wire {
    come: VecDeque<Vec<u8>>,
    go: VecDeque<Vec<u8>>,
}

struct Taken(Vec<u8>);

impl RxToken for Taken {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

struct Given<'a>(&'a mut VecDeque<Vec<u8>>);

impl TxToken for Given<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut packet = vec![0; len];
        let result = write(&mut packet);
        self.0.push_back(packet);
        result
    }
}

impl Device for Wire {
    type RxToken<'a> = Taken;
    type TxToken<'a> = Given<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Taken, Given<'_>)> {
        let packet = self.come.pop_front()?;
        Some((Taken(packet), Given(&mut self.go)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Given<'_>> {
        Some(Given(&mut self.go))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        (capabilities.medium, capabilities.max_transmission_unit) = (Medium::Ip, 1500);
        capabilities
    }
}

/// The router: listens, answers an OPEN, keeps what it hears.
struct Peer {
    router: Router,
    wire: Wire,
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    heard: Vec<u8>,
    greeted: bool,
}

impl Peer {
    fn new() -> Peer {
        let mut wire = Wire::default();
        let config = Config::new(HardwareAddress::Ip);
        let mut interface = Interface::new(config, &mut wire, Instant::ZERO);
        interface.update_ip_addrs(|all| {
            all.push(IpCidr::new(IpAddress::Ipv4(ROUTER), 24)).unwrap();
        });
        let buffer = || tcp::SocketBuffer::new(vec![0; 4096]);
        let mut sockets = SocketSet::new(Vec::new());
        let handle = sockets.add(tcp::Socket::new(buffer(), buffer()));
        let router = Router::new(true);
        Peer { router, wire, interface, sockets, handle, heard: vec![], greeted: false }
    }

    fn work(&mut self, now: Instant) {
        self.interface.poll(now, &mut self.wire, &mut self.sockets);
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(self.handle);
        if !socket.is_open() {
            socket.listen(179).unwrap();
            (self.heard, self.greeted) = (vec![], false);
        }
        if socket.may_send() && !self.greeted {
            let greeting = [self.router.open(|_| {}), self.router.keepalive()].concat();
            socket.send_slice(&greeting).unwrap();
            self.greeted = true;
        }
        while socket.can_recv() {
            let heard = &mut self.heard;
            socket
                .recv(|bytes| {
                    heard.extend_from_slice(bytes);
                    (bytes.len(), ())
                })
                .unwrap();
        }
        self.interface.poll(now, &mut self.wire, &mut self.sockets);
    }

    fn heard(&self) -> Vec<Heard> {
        self.router.read(&self.heard)
    }
}

struct Net<'a> {
    speaker: Speaker,
    peer: Peer,
    frames: Burst<&'a mut Buffer>,
    now: Nanos,
    /// One frame in so many is lost; 0 for none, 1 for all.
    lost: u64,
    random: SplitMix64,
}

impl<'a> Net<'a> {
    fn new(arena: &'a mut Arena, lost: u64, ttl_security: bool) -> Net<'a> {
        let me = Identity { mac: CORE_MAC, vlan: None, ip: ADDRESS, asn: None, gateway: GATEWAY };
        let router_asn = ROUTER_ASN;
        let settings =
            Settings { me, asn: ASN, router: ROUTER, router_asn, hold_s: 90, ttl_security };
        let shard = |at: u8| vec![(format!("198.18.{at}.0/24").parse().unwrap(), None)];
        let mut speaker = Speaker::new(settings, (0..60).map(shard).collect(), 3);
        speaker.begin();
        let frames: ArrayVec<_, 32> = arena.buffers().take(32).collect();
        let random = SplitMix64::seed_from_u64(lost);
        Net { speaker, peer: Peer::new(), frames, now: Nanos(1), lost, random }
    }

    fn is_lost(&mut self) -> bool {
        self.lost > 0 && self.random.next_u64().is_multiple_of(self.lost)
    }

    /// One millisecond.
    fn step(&mut self) {
        self.now = self.now + Nanos(1_000_000);
        let mut sent = Burst::new();
        let (speaker, frames, now) = (&mut self.speaker, &mut self.frames, self.now);
        let heap = allocation_counter::measure(|| speaker.work(now, frames, &mut sent));
        assert_eq!(heap.count_total, 0, "a packet loop allocates nothing");
        for frame in sent {
            let bytes = frame.bytes();
            assert!(bytes.len() >= 60 && bytes[..12] == [GATEWAY.0, CORE_MAC.0].concat()[..]);
            assert_eq!((bytes[15], bytes[22]), (0xc0, 255), "traffic class, time to live");
            let packet = bytes[14..].to_vec();
            let headers = etherparse::PacketHeaders::from_ip_slice(&packet).unwrap();
            assert!(headers.transport.is_some_and(|it| it.tcp().is_some()));
            if !self.is_lost() {
                self.peer.wire.come.push_back(packet);
            }
            self.frames.push(frame);
        }
        self.peer.work(Instant::from_micros((self.now.0 / 1_000) as i64));
        while let Some(packet) = self.peer.wire.go.pop_front() {
            if self.is_lost() {
                continue;
            }
            let frame = self.frames.last_mut().unwrap();
            frame.set_len((14 + packet.len()).max(60));
            frame.bytes_mut()[..14].copy_from_slice(&[2; 14]);
            frame.bytes_mut()[12..14].copy_from_slice(&[8, 0]);
            frame.bytes_mut()[14..14 + packet.len()].copy_from_slice(&packet);
            assert!(self.speaker.is_for(frame.head(), frame.len()));
            let (speaker, bytes) = (&mut self.speaker, frame.bytes());
            let heap = allocation_counter::measure(|| speaker.receive(bytes));
            assert_eq!(heap.count_total, 0, "a packet loop allocates nothing");
        }
    }

    fn run_until(&mut self, what: &str, done: impl Fn(&Net<'_>) -> bool) {
        for _ in 0..30_000 {
            if done(self) {
                return;
            }
            self.step();
        }
        panic!("not in half a minute: {what}");
    }

    fn is_told(&self) -> bool {
        self.speaker.session().is_told()
    }

    /// Prefixes the router has heard of, less those withdrawn.
    fn table(&self) -> usize {
        self.peer.heard().iter().fold(0, |count, heard| match heard {
            Heard::Announced { prefixes, .. } => count + prefixes.len(),
            Heard::Withdrawn(prefixes) => count - prefixes.len(),
            _ => count,
        })
    }
}

fn whole_life(lost: u64) {
    let mut arena = Arena::new(32).unwrap();
    let mut net = Net::new(&mut arena, lost, false);
    (0..60).for_each(|at| net.speaker.say(at, Some(Preference::First)));
    net.run_until("all announced", |net| net.table() == 60);
    net.speaker.say(7, None);
    net.run_until("one withdrawn", |net| net.table() == 59);
    net.speaker.leave();
    net.run_until("all about to go away", |net| net.table() == 59 + 59);
    net.speaker.end();
    let cease = |net: &Net<'_>| net.peer.heard().last() == Some(&Heard::Notification(6, 2));
    net.run_until("the end", cease);
    net.run_until("silence", |net| net.speaker.is_silent());
    let frames = net.frames.len();
    assert_eq!(frames, 32, "frames are neither lost nor kept");
}

#[test]
fn routes_come_and_go() {
    whole_life(0);
}

#[test]
fn frames_get_lost() {
    whole_life(5);
}

#[test]
fn a_router_that_is_cut_off_is_told_all_again() {
    let mut arena = Arena::new(32).unwrap();
    let mut net = Net::new(&mut arena, 0, false);
    (0..60).for_each(|at| net.speaker.say(at, Some(Preference::Second)));
    net.run_until("all announced", |net| net.table() == 60);
    let now = net.now;
    net.speaker.cut(now);
    assert_eq!(net.speaker.session().state(), State::Idle);
    net.step();
    assert_eq!(net.table(), 0, "the router has been reset");
    net.run_until("all announced again", |net| net.is_told() && net.table() == 60);
    assert!(net.now.since(now) > Nanos(700_000_000), "not at once");
}

/// A keepalive of the core is due after 30 s, and this router never has another.
#[test]
fn a_silent_router_keeps_its_session_while_nothing_is_unacknowledged() {
    let mut arena = Arena::new(32).unwrap();
    let mut net = Net::new(&mut arena, 0, false);
    net.speaker.say(0, Some(Preference::First));
    net.run_until("announced", |net| net.is_told() && net.table() == 1);
    for _ in 0..25_000 {
        net.step();
        assert_eq!(net.speaker.session().state(), State::Established, "at {:?}", net.now);
    }
    net.speaker.say(0, None);
    net.lost = 1;
    let now = net.now;
    net.run_until("given up", |net| net.speaker.session().state() == State::Idle);
    let patience = net.now.since(now).0 / 1_000_000_000;
    assert!((9..=11).contains(&patience), "{patience} s without an acknowledgement");
}

/// The router of this test sends with a time to live of 64 (RFC 5082).
#[test]
fn a_distant_router_is_not_heard_where_it_must_be_near() {
    let mut arena = Arena::new(32).unwrap();
    let mut net = Net::new(&mut arena, 0, true);
    (0..3_000).for_each(|_| net.step());
    assert_eq!(net.speaker.session().state(), State::Idle);
    assert!(net.peer.heard().is_empty());
}

#[test]
fn only_frames_of_the_session_are_taken() {
    let mut arena = Arena::new(32).unwrap();
    let net = Net::new(&mut arena, 0, false);
    let mut head = [0; 60];
    head[12..15].copy_from_slice(&[8, 0, 0x45]);
    head[23] = 6;
    head[26..30].copy_from_slice(&ROUTER.octets());
    head[30..34].copy_from_slice(&ADDRESS.octets());
    head[36..38].copy_from_slice(&179u16.to_be_bytes());
    assert!(net.speaker.is_for(&head, 60));
    assert!(!net.speaker.is_for(&head, 53) && !net.speaker.is_for(&head, 1515), "its length");
    for at in [12, 14, 23, 29, 33, 37] {
        let mut other = head;
        other[at] ^= 1;
        assert!(!net.speaker.is_for(&other, 60), "byte {at}");
    }
    (head[35], head[37]) = (179, 7);
    assert!(net.speaker.is_for(&head, 60), "answers come from that port");
}
