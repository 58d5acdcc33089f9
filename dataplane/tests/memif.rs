//! A memif connection between two processes, one of which is killed.
//!
//! This process is the server: it sends every frame back. The test runs itself again as the
//! client, which numbers its frames, keeps some in flight and checks every byte that returns. The
//! first client is killed in full traffic once it has verified its frames, while the server goes on
//! polling; a second one takes its place, verifies as many and ends by itself.

use dataplane::burst::{BURST, Burst};
use dataplane::frame::{CAPACITY, Frame};
use dataplane::port::dpdk::{Dpdk, Eal, EalConfig, Mbuf, PortKind, available};
use dataplane::port::{Lanes, Port};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Frames each client sends and gets back: 100,000 both ways, twice.
const FRAMES: u64 = 50_000;

/// Frames in flight: less than a ring holds, so that none is refused.
const WINDOW: u64 = 512;

const PATIENCE: Duration = Duration::from_secs(20);
const POOL_FRAMES: u32 = 8192;
const SOCKET: &str = "KRONO_TEST_MEMIF_SOCKET";
const LIMIT: &str = "KRONO_TEST_MEMIF_FRAMES";

/// What is written into frame number `number`, by the client or, in return, by the server.
struct Content {
    number: u64,
    /// Frames the client has verified when it sends this one.
    verified: u64,
    returned: bool,
}

impl Content {
    /// Every length from the shortest frame to a full buffer.
    fn len(number: u64) -> usize {
        60 + (number * 37 % (CAPACITY as u64 - 59)) as usize
    }

    fn filler(number: u64, returned: bool) -> u8 {
        (number as u8).wrapping_mul(31) ^ if returned { 0xff } else { 0 }
    }

    fn write(&self, frame: &mut Mbuf) {
        frame.set_len(Self::len(self.number));
        let bytes = frame.bytes_mut();
        bytes[16..].fill(Self::filler(self.number, self.returned));
        bytes[..8].copy_from_slice(&self.number.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.verified.to_be_bytes());
    }

    /// Reads a frame that must be number `number`, every byte of it.
    fn check(frame: &Mbuf, number: u64, returned: bool) -> Self {
        let bytes = frame.bytes();
        let word = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        assert_eq!(word(0), number, "a frame is missing, doubled or out of order");
        assert_eq!(bytes.len(), Self::len(number), "length of frame {number}");
        assert_eq!(frame.head()[..60], bytes[..60], "head of frame {number}");
        let filler = Self::filler(number, returned);
        assert!(bytes[16..].iter().all(|&byte| byte == filler), "content of frame {number}");
        Content { number, verified: word(8), returned }
    }
}

/// A client process that does not survive its test.
struct Client(Child);

impl Client {
    fn start(socket: &str, frames: u64) -> Self {
        let this_test = std::env::current_exe().expect("a test is a program");
        let child = Command::new(this_test)
            .args(["a_killed_client_is_replaced", "--exact", "--nocapture"])
            .env(SOCKET, socket)
            .env(LIMIT, frames.to_string())
            .spawn()
            .expect("a second process");
        Client(child)
    }

    fn ends_well_before(&mut self, deadline: Instant) -> bool {
        loop {
            if let Some(status) = self.0.try_wait().expect("the client is ours") {
                return status.success();
            }
            assert!(Instant::now() < deadline, "the client does not end");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn kill(&mut self) {
        self.0.kill().expect("the client runs");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn eal() -> Eal {
    let config = EalConfig { memory_mb: 128, ..EalConfig::new(file_prefix()) };
    Eal::init(&config).expect("the EAL starts without privileges")
}

fn file_prefix() -> String {
    format!("krono-memif-{}", std::process::id())
}

fn assert_nothing_left() {
    let places = ["/var/run/dpdk".into(), std::env::var("XDG_RUNTIME_DIR").unwrap_or_default()];
    for place in places {
        let left = Path::new(&place).join(file_prefix());
        assert!(!left.exists(), "{} was left behind", left.display());
    }
}

/// Sends back what arrives until `enough` says so of a frame; returns frames seen.
fn reflect(port: &mut Dpdk, until: Instant, mut enough: impl FnMut(&Content) -> bool) -> u64 {
    let mut burst = Burst::new();
    let mut seen = 0;
    let mut done = false;
    while !done {
        assert!(Instant::now() < until, "the client stopped after {seen} frames");
        port.rx(&mut burst);
        for frame in &mut burst {
            let content = Content::check(frame, seen, false);
            seen += 1;
            done |= enough(&content);
            Content { returned: true, ..content }.write(frame);
        }
        port.tx_lane(0, &mut burst);
        assert!(burst.is_empty());
    }
    seen
}

/// Sends `frames` numbered frames and verifies their return.
fn client(socket: String, frames: u64) {
    let eal = eal();
    let kinds = [PortKind::MemifClient { socket, id: 7 }];
    let mut port = eal.open(&kinds, POOL_FRAMES, PATIENCE).expect("the server is there");
    port.wait_link(PATIENCE).expect("the server takes the client");
    let deadline = Instant::now() + PATIENCE;
    let (mut sent, mut verified) = (0, 0);
    let mut burst = Burst::new();
    while verified < frames {
        assert!(Instant::now() < deadline, "{verified} of {sent} frames came back");
        let room = (WINDOW - (sent - verified)).min(frames - sent).min(BURST as u64);
        port.alloc(&mut burst, room as usize);
        for frame in &mut burst {
            Content { number: sent, verified, returned: false }.write(frame);
            sent += 1;
        }
        let offered = burst.len();
        assert_eq!(port.tx(&mut burst), offered, "the ring has room for the window");
        port.rx(&mut burst);
        for frame in &burst {
            Content::check(frame, verified, true);
            verified += 1;
        }
        port.free(&mut burst);
    }
    let stats = port.stats();
    assert_eq!((stats.sent, stats.received), (frames, frames));
    assert_eq!((stats.refused, stats.no_buffer, port.malformed()), (0, 0, 0));
    assert_eq!(port.frames_in_use(), 0, "every frame is back in the pool");
}

/// Goes on polling, as a core does that knows of its neighbours by their packets alone.
fn poll_until_down(port: &mut Dpdk, deadline: Instant) {
    let mut burst = Burst::new();
    while port.link_up(0) {
        assert!(Instant::now() < deadline, "the end of the client went unnoticed");
        for _ in 0..256 {
            port.rx(&mut burst);
            port.free(&mut burst);
        }
    }
}

#[test]
fn a_killed_client_is_replaced() {
    if let Ok(socket) = std::env::var(SOCKET) {
        let frames = std::env::var(LIMIT).ok().and_then(|text| text.parse().ok());
        client(socket, frames.expect("a number of frames"));
        assert_nothing_left();
        return;
    }
    if let Err(absent) = available() {
        println!("skipped: {absent}");
        return;
    }
    let socket = format!("krono-memif-{}", std::process::id());
    let deadline = Instant::now() + PATIENCE;
    let eal = eal();
    assert_nothing_left();
    let kinds = [PortKind::MemifServer { socket: socket.clone(), id: 7 }];
    let mut port = eal.open(&kinds, POOL_FRAMES, PATIENCE).expect("a server needs nobody");
    assert!(!port.link_up(0));

    let mut first = Client::start(&socket, u64::MAX);
    port.wait_link(PATIENCE).expect("the first client comes");
    reflect(&mut port, deadline, |content| content.verified >= FRAMES);
    first.kill();
    poll_until_down(&mut port, deadline);
    let (mut burst, before) = (Burst::new(), port.stats());
    port.alloc(&mut burst, BURST);
    assert_eq!(port.tx(&mut burst), 0, "nobody is there to receive");
    assert_eq!(port.stats().refused, before.refused + BURST as u64);

    let mut second = Client::start(&socket, FRAMES);
    port.wait_link(PATIENCE).expect("the second client comes");
    let seen = reflect(&mut port, deadline, |content| content.number + 1 == FRAMES);
    assert_eq!(seen, FRAMES);
    assert!(second.ends_well_before(deadline), "the client's own checks");
    poll_until_down(&mut port, deadline);

    assert_eq!(port.malformed(), 0);
    assert_eq!(port.frames_in_use(), 0, "every frame is back in the pool");
    drop(port);
    assert_nothing_left();
}
