//! Datagrams at a steady rate both ways through the NAT, and which of them arrived.
//!
//! A subscriber sends to a server from some ports in turn; the server sends to the address and port
//! that it has seen each of them come from first, of its own accord, so that each way is observed for
//! itself. What is lost is told by when it was sent: a probe that is sent late, because the machine
//! was busy, makes the observation coarser and no outage longer than it was.

use super::network::{Network, SERVER};
use crate::process::wait_for;
use dataplane::thread::real_time;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Connections, each from a port of its own.
pub(crate) const FLOWS: usize = 8;

/// Time between two probes, each way.
pub(crate) const INTERVAL: Duration = Duration::from_millis(1);

/// How long a probe may be on its way.
const SETTLED: Duration = Duration::from_millis(200);

/// How long the first ones may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a receiver waits before it looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// One way: when each probe was sent, by its number, and whether it has arrived.
#[derive(Default)]
struct Way(Mutex<Vec<(Instant, bool)>>);

/// What became of the probes that were sent one way in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Probes.
    pub(crate) sent: usize,
    /// How many of them have not arrived.
    pub(crate) lost: usize,
    /// From the last that arrived before the longest run of lost ones to the first after it.
    pub(crate) outage: Duration,
    /// How long after the beginning of that time the first of them was sent.
    pub(crate) first: Option<Duration>,
}

#[derive(Default)]
struct Shared {
    up: Way,
    down: Way,
    /// Where each flow came from first, and whether it has come from elsewhere.
    sources: Mutex<[(Option<SocketAddr>, bool); FLOWS]>,
    stop: AtomicBool,
}

/// Probes of one subscriber, until dropped.
pub(crate) struct Probes {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Probes {
    /// Starts them between a subscriber and a port of the server, and returns once they go both ways.
    pub(crate) fn start(network: &Network, home: usize, port: u16) -> anyhow::Result<Probes> {
        let far = network.server.udp(port)?;
        let near: Result<Vec<_>, _> = (0..FLOWS).map(|_| network.homes[home].udp(0)).collect();
        let near = near?;
        let mut probes = Probes { shared: Arc::default(), threads: Vec::new() };
        for socket in near.iter().chain([&far]) {
            socket.set_read_timeout(Some(LOOK_EVERY))?;
        }
        for socket in &near {
            let socket = socket.try_clone()?;
            probes.spawn(move |shared| {
                shared.receive(&socket, |_, number, _| shared.down.arrives(number));
            });
        }
        let socket = far.try_clone()?;
        probes.spawn(move |shared| {
            shared.receive(&socket, |flow, number, from| {
                shared.up.arrives(number);
                shared.comes_from(flow, from);
            });
        });
        let to = SocketAddr::from((SERVER, port));
        probes.spawn(move |shared| shared.send(&shared.up, |flow| Some((&near[flow], to))));
        probes.spawn(move |shared| {
            shared.send(&shared.down, |flow| {
                let sources = shared.sources.lock().expect("nobody panics with it");
                sources[flow].0.map(|to| (&far, to))
            });
        });
        let shared = probes.shared.clone();
        wait_for("the first probes", PATIENCE, || {
            shared.up.has_begun() && shared.down.has_begun()
        })?;
        Ok(probes)
    }

    fn spawn(&mut self, work: impl FnOnce(&Shared) + Send + 'static) {
        let shared = self.shared.clone();
        self.threads.push(thread::spawn(move || work(&shared)));
    }

    /// What became of what was sent from `from` to `until`, up and down.
    pub(crate) fn seen(&self, from: Instant, until: Instant) -> [Seen; 2] {
        thread::sleep((until + SETTLED).saturating_duration_since(Instant::now()));
        [&self.shared.up, &self.shared.down].map(|way| way.seen(from, until))
    }

    /// Flows that have come from more than one address and port.
    pub(crate) fn remapped(&self) -> usize {
        let sources = self.shared.sources.lock().expect("nobody panics with it");
        sources.iter().filter(|(_, moved)| *moved).count()
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Sends one probe after the other; a flow that has no address yet is left out.
    fn send<'a>(&self, way: &Way, to: impl Fn(usize) -> Option<(&'a UdpSocket, SocketAddr)>) {
        real_time();
        let mut next = Instant::now();
        let mut turn = 0;
        while !self.stop.load(Ordering::Relaxed) {
            next += INTERVAL;
            thread::sleep(next.saturating_duration_since(Instant::now()));
            turn += 1;
            let flow = turn % FLOWS;
            let Some((socket, to)) = to(flow) else { continue };
            let [a, b, c, d] = way.leaves().to_be_bytes();
            // A router without a route says so; what was not sent does not arrive.
            let _ = socket.send_to(&[flow as u8, a, b, c, d], to);
        }
    }

    fn receive(&self, socket: &UdpSocket, note: impl Fn(usize, u32, SocketAddr)) {
        real_time();
        let mut bytes = [0; 5];
        while !self.stop.load(Ordering::Relaxed) {
            if let Ok((5, from)) = socket.recv_from(&mut bytes) {
                let [flow, number @ ..] = bytes;
                note(usize::from(flow) % FLOWS, u32::from_be_bytes(number), from);
            }
        }
    }

    fn comes_from(&self, flow: usize, from: SocketAddr) {
        let mut sources = self.sources.lock().expect("nobody panics with it");
        let (first, moved) = &mut sources[flow];
        *moved |= *first.get_or_insert(from) != from;
    }
}

impl Way {
    /// A probe is about to be sent; returns its number.
    fn leaves(&self) -> u32 {
        let mut probes = self.0.lock().expect("nobody panics with it");
        probes.push((Instant::now(), false));
        (probes.len() - 1) as u32
    }

    fn arrives(&self, number: u32) {
        let mut probes = self.0.lock().expect("nobody panics with it");
        if let Some((_, arrived)) = probes.get_mut(number as usize) {
            *arrived = true;
        }
    }

    /// Whether every flow has been heard of.
    fn has_begun(&self) -> bool {
        let probes = self.0.lock().expect("nobody panics with it");
        probes.iter().filter(|(_, arrived)| *arrived).count() >= 2 * FLOWS
    }

    fn seen(&self, from: Instant, until: Instant) -> Seen {
        let probes = self.0.lock().expect("nobody panics with it");
        let mut seen = Seen::default();
        let mut last = from;
        let mut is_out = false;
        for &(sent, arrived) in probes.iter().filter(|(sent, _)| (from..until).contains(sent)) {
            seen.sent += 1;
            if !arrived {
                (seen.lost, is_out) = (seen.lost + 1, true);
                seen.first.get_or_insert(sent - from);
                continue;
            }
            if is_out {
                seen.outage = seen.outage.max(sent - last);
            }
            (last, is_out) = (sent, false);
        }
        if is_out {
            seen.outage = seen.outage.max(until - last);
        }
        seen
    }
}
