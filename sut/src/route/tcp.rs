//! The TCP connection below a BGP session, on the core's own port: smoltcp between the frames of a
//! burst.
//!
//! [`Connection`] opens one connection to one router and takes none. Its owner hands it the frames
//! that came for it ([`Connection::is_for`], [`Connection::receive`]) and lends it empty ones when
//! it may send ([`Connection::poll`]). The router's Ethernet address is configured, so there is no
//! ARP here; [`crate::local`] answers the router's. Memory is fixed at start; a poll handles at most
//! [`INBOX`] frames and sends at most [`SENT_PER_POLL`].
//!
//! Packets go out with a time to live of 255, so that a router may insist on it (RFC 5082) and so
//! find out that they have passed no other router; whether we insist is the owner's choice.

use arrayvec::ArrayVec;
use dataplane::burst::Burst;
use dataplane::clock::Nanos;
use dataplane::frame::{Frame, HEAD, SHORTEST};
use dataplane::identity::Identity;
use dataplane::wire::checksum;
use dataplane::wire::ethernet::HEADER_LEN;
use dataplane::wire::ipv4::{self, Ipv4};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use zerocopy::{FromBytes, IntoBytes};

/// Port of BGP (RFC 4271 §2).
pub const PORT: u16 = 179;

/// Frames that wait for a poll; more are lost, and sent again by the router.
pub const INBOX: usize = 8;

/// Frames one poll may send.
pub const SENT_PER_POLL: usize = 4;

/// Longest packet, as on any Ethernet.
const MTU: usize = 1500;

/// Time to live of what we send, and of what a neighbour sends that does so too (RFC 5082 §3).
const TTL: u8 = 255;

/// Class selector 6: network control (RFC 4594 §3.2), which queues on the way shall not delay.
const TRAFFIC_CLASS: u8 = 0xc0;

/// Bytes that wait, each way; a message has 4,096 at most.
const BUFFER: usize = 8192;

/// Silence after which a connection with something unacknowledged is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Local ports are chosen from the dynamic range (RFC 6335 §6).
const DYNAMIC_PORTS: u16 = 0xc000;

/// What a connection is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// There is none.
    Closed,
    /// The router has not answered yet.
    Opening,
    /// Bytes go both ways.
    Open,
    /// One end has closed it, or both.
    Closing,
}

struct Packet {
    bytes: ArrayVec<u8, MTU>,
}

/// A connection to the router, or none.
pub struct Connection {
    me: Identity,
    router: Ipv4Addr,
    /// Only what has passed no other router is taken.
    neighbours_only: bool,
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    inbox: VecDeque<Packet>,
}

impl Connection {
    /// None yet. `seed` is that of sequence numbers and must differ from start to start.
    pub fn new(me: Identity, router: Ipv4Addr, neighbours_only: bool, seed: u64) -> Connection {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut Nowhere, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            // There is room for one at least.
            let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(me.ip), 32));
        });
        // All packets go to the gateway.
        let _ = interface.routes_mut().add_default_ipv4_route(router);
        let buffer = || SocketBuffer::new(vec![0; BUFFER]);
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let handle = sockets.add(Socket::new(buffer(), buffer()));
        let inbox = VecDeque::with_capacity(INBOX);
        Connection { me, router, neighbours_only, interface, sockets, handle, inbox }
    }

    fn socket(&self) -> &Socket<'static> {
        self.sockets.get(self.handle)
    }

    fn socket_mut(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    /// What it is.
    pub fn status(&self) -> Status {
        match self.socket().state() {
            State::Closed | State::Listen => Status::Closed,
            State::SynSent | State::SynReceived => Status::Opening,
            State::Established => Status::Open,
            // What came before the router closed is still to be read.
            State::CloseWait if self.socket().can_recv() => Status::Open,
            _ => Status::Closing,
        }
    }

    /// Opens a connection from one of the dynamic ports, where there is none.
    pub fn open(&mut self, port: u16) {
        let Connection { interface, sockets, handle, .. } = self;
        let socket = sockets.get_mut::<Socket<'_>>(*handle);
        let remote = (IpAddress::Ipv4(self.router), PORT);
        let local = (IpAddress::Ipv4(self.me.ip), DYNAMIC_PORTS | port);
        if socket.connect(interface.context(), remote, local).is_ok() {
            socket.set_nagle_enabled(false);
        }
    }

    /// Closes it once all has been sent.
    pub fn close(&mut self) {
        self.socket_mut().close();
    }

    /// Ends it at once; the router is told by the next poll.
    pub fn abort(&mut self) {
        self.socket_mut().abort();
        self.inbox.clear();
    }

    /// Bytes that may be written now.
    pub fn room(&self) -> usize {
        let socket = self.socket();
        if socket.may_send() { socket.send_capacity() - socket.send_queue() } else { 0 }
    }

    /// Writes bytes, of which there are no more than there is [`Connection::room`] for.
    pub fn write(&mut self, bytes: &[u8]) {
        let written = self.socket_mut().send_slice(bytes);
        assert!(bytes.is_empty() || written == Ok(bytes.len()), "written beyond the room");
    }

    /// Reads what has come, up to the end of the ring it is in. `false` if there was nothing.
    pub fn read(&mut self, take: impl FnOnce(&[u8])) -> bool {
        let socket = self.socket_mut();
        if !socket.can_recv() {
            return false;
        }
        let read = socket.recv(|bytes| {
            take(bytes);
            (bytes.len(), ())
        });
        read.is_ok()
    }

    /// Whether a frame of this length that begins so is for this connection.
    #[inline]
    pub fn is_for(&self, head: &[u8; HEAD], len: usize) -> bool {
        let word =
            |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let port = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        // Ethertype, then version and length of the header: with options, nothing is.
        head[12..15] == [0x08, 0x00, ipv4::VERSION_IHL]
            && head[23] == ipv4::TCP
            && word(26) == u32::from(self.router)
            && word(30) == u32::from(self.me.ip)
            && (port(34) == PORT || port(36) == PORT)
            && (HEAD - 6..=HEADER_LEN + MTU).contains(&len)
    }

    /// Takes a frame for which [`Connection::is_for`] holds, until the next poll.
    pub fn receive(&mut self, frame: &[u8]) {
        let is_near = !self.neighbours_only || frame[22] == TTL;
        if is_near && self.inbox.len() < INBOX {
            let bytes = frame[HEADER_LEN..].iter().copied().collect();
            self.inbox.push_back(Packet { bytes });
        }
    }

    /// Handles what has come, and moves what is to be sent from `free` frames to `out`.
    pub fn poll<F: Frame>(&mut self, now: Nanos, free: &mut Burst<F>, out: &mut Burst<F>) {
        self.limit_patience();
        let Connection { interface, sockets, inbox, me, .. } = self;
        let mut wire = Wire { me: *me, inbox, free, out, left: SENT_PER_POLL };
        let now = Instant::from_micros((now.0 / 1_000) as i64);
        interface.poll(now, &mut wire, sockets);
    }

    /// smoltcp ends a connection after so long a silence whether or not it waits for anything, and a
    /// router with nothing to say is silent for a third of the hold time.
    fn limit_patience(&mut self) {
        let is_opening = self.status() == Status::Opening;
        let socket = self.socket_mut();
        let waits = is_opening || socket.send_queue() > 0;
        socket.set_timeout(waits.then_some(PATIENCE));
    }
}

/// The network of one poll.
struct Wire<'a, F> {
    me: Identity,
    inbox: &'a mut VecDeque<Packet>,
    free: &'a mut Burst<F>,
    out: &'a mut Burst<F>,
    left: usize,
}

impl<F> Wire<'_, F> {
    fn may_send(&self) -> bool {
        self.left > 0 && !self.free.is_empty() && !self.out.is_full()
    }
}

/// Permission to send one frame.
struct Sending<'a, 'b, F>(&'a mut Wire<'b, F>);

impl<F: Frame> phy::TxToken for Sending<'_, '_, F> {
    fn consume<R, W: FnOnce(&mut [u8]) -> R>(self, len: usize, write: W) -> R {
        let Wire { me, free, out, left, .. } = self.0;
        let mut frame = free.pop().expect("there was one when the token was made");
        frame.set_len((HEADER_LEN + len).max(SHORTEST));
        let bytes = frame.bytes_mut();
        bytes[..6].copy_from_slice(&me.gateway.0);
        bytes[6..12].copy_from_slice(&me.mac.0);
        bytes[12..14].copy_from_slice(&[0x08, 0x00]);
        let (packet, padding) = bytes[HEADER_LEN..].split_at_mut(len);
        padding.fill(0);
        let result = write(packet);
        // smoltcp knows a time to live of its answers' own, and no traffic class.
        if let Ok((ip, _)) = Ipv4::mut_from_prefix(packet) {
            (ip.ttl, ip.traffic_class, ip.checksum) = (TTL, TRAFFIC_CLASS, 0.into());
            ip.checksum = checksum::ipv4_header(ip.as_bytes()).into();
        }
        out.push(frame);
        *left -= 1;
        result
    }
}

impl phy::RxToken for Packet {
    fn consume<R, W: FnOnce(&[u8]) -> R>(self, read: W) -> R {
        read(&self.bytes)
    }
}

impl<'b, F: Frame> Device for Wire<'b, F> {
    type RxToken<'a>
        = Packet
    where
        Self: 'a;
    type TxToken<'a>
        = Sending<'a, 'b, F>
    where
        Self: 'a;

    fn receive(&mut self, _: Instant) -> Option<(Packet, Sending<'_, 'b, F>)> {
        // What is received may have to be answered at once.
        if !self.may_send() {
            return None;
        }
        let packet = self.inbox.pop_front()?;
        Some((packet, Sending(self)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_, 'b, F>> {
        self.may_send().then_some(Sending(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities()
    }
}

fn capabilities() -> DeviceCapabilities {
    let mut capabilities = DeviceCapabilities::default();
    (capabilities.medium, capabilities.max_transmission_unit) = (Medium::Ip, MTU);
    capabilities
}

/// A network that carries nothing: what an interface is made on.
struct Nowhere;

/// There is no such token.
enum Never {}

impl phy::RxToken for Never {
    fn consume<R, W: FnOnce(&[u8]) -> R>(self, _: W) -> R {
        match self {}
    }
}

impl phy::TxToken for Never {
    fn consume<R, W: FnOnce(&mut [u8]) -> R>(self, _: usize, _: W) -> R {
        match self {}
    }
}

impl Device for Nowhere {
    type RxToken<'a> = Never;
    type TxToken<'a> = Never;

    fn receive(&mut self, _: Instant) -> Option<(Never, Never)> {
        None
    }

    fn transmit(&mut self, _: Instant) -> Option<Never> {
        None
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities()
    }
}
