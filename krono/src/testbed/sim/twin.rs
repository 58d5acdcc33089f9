//! Clusters that are broken on purpose, for tests that a run catches them. The servers run the real
//! code; what they would do if they were broken is done to their frames at their ports, by somebody
//! who has the cluster's key.
//!
//! No command and no scenario makes one: the only way is [`crate::run::of_twin`].

use dataplane::burst::Burst;
use dataplane::clock::Nanos;
use dataplane::frame::Frame;
use dataplane::identity::{Identity, Mac};
use dataplane::port::dpdk::DpdkError;
use dataplane::port::{Port, PortStats};
use dataplane::wire::bfd as watch;
use krononat::config::Cluster;
use krononat::replicate::message::{self, Entry, Head};
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twin {
    /// A slave acknowledges all that it is told and forgets one entry in so many.
    ForgetsOneIn(u32),
    /// The walk that fills a copy passes over one record in so many, the same ones each time.
    SkipsOneIn(u32),
    /// A master of server 0 that is cut off hears all the time what the router said last: it does
    /// not stop.
    GoesOn,
}

impl Twin {
    /// Whether a core of `server` is broken.
    pub(super) fn is_of(self, server: u16) -> bool {
        self != Twin::GoesOn || server == 0
    }
}

/// A core's port, with somebody in front of it if it is a twin.
pub(super) struct Tampered<P: Port> {
    port: P,
    meddler: Option<Meddler>,
}

struct Meddler {
    twin: Twin,
    key: [u8; 16],
    random: Xoshiro256PlusPlus,
    now: Nanos,
    /// The router speaks at least so often.
    patience: Nanos,
    router_said: Vec<u8>,
    said_at: Nanos,
}

impl<P: Port> Tampered<P> {
    /// `port` of a core of a `cluster`; one that is in none is never broken.
    pub(super) fn new(port: P, twin: Option<Twin>, cluster: Option<&Cluster>, seed: u64) -> Self {
        let meddler = twin.zip(cluster).map(|(twin, cluster)| Meddler {
            twin,
            key: cluster.key.0,
            random: Xoshiro256PlusPlus::seed_from_u64(seed),
            now: Nanos(0),
            patience: Nanos(cluster.bfd_interval_us * 1_500),
            router_said: Vec::new(),
            said_at: Nanos(0),
        });
        Tampered { port, meddler }
    }
}

impl Meddler {
    fn receive<P: Port>(&mut self, port: &mut P, into: &mut Burst<P::Frame>, before: usize) {
        match self.twin {
            Twin::ForgetsOneIn(count) => {
                let Meddler { key, random, .. } = self;
                let mut forgets = |_: &Entry| random.next_u32().is_multiple_of(count);
                for frame in &mut into[before..] {
                    rewrite(frame, key, |_| true, &mut forgets);
                }
            }
            Twin::GoesOn => self.remind(port, into, before),
            Twin::SkipsOneIn(_) => {}
        }
    }

    fn send<F: Frame>(&mut self, burst: &mut Burst<F>) {
        let Twin::SkipsOneIn(count) = self.twin else { return };
        let mut skips = |entry: &Entry| {
            let slot = entry.read(0, 1 << 16).map(|copy| copy.slot);
            let place = slot.map(|slot| u32::from(slot.address()) << 16 | u32::from(slot.port()));
            // Fibonacci hashing (Knuth 1973, 6.4): places in a row are not skipped in a row.
            place.is_some_and(|it| (it.wrapping_mul(0x9e37_79b9) >> 8).is_multiple_of(count))
        };
        // While the copy is not whole, what is told is what the walk has met.
        let fills = |head: &Head| head.whole == u64::MAX;
        burst.iter_mut().for_each(|frame| rewrite(frame, &self.key, fills, &mut skips));
    }

    /// Repeats what the router said while the session was up, once it says nothing any more.
    fn remind<P: Port>(&mut self, port: &mut P, into: &mut Burst<P::Frame>, before: usize) {
        for frame in &into[before..] {
            let said = watch::read(frame.bytes());
            if said.is_ok_and(|said| said.control.state == watch::State::Up) {
                self.router_said = frame.bytes().to_vec();
                self.said_at = self.now;
            }
        }
        let is_due = self.now.since(self.said_at) > self.patience;
        if self.router_said.is_empty() || !is_due || into.is_full() {
            return;
        }
        let held = into.len();
        port.alloc(into, 1);
        if let Some(frame) = into.get_mut(held) {
            frame.set_len(self.router_said.len());
            frame.bytes_mut().copy_from_slice(&self.router_said);
            self.said_at = self.now;
        }
    }
}

/// Takes the entries that are `gone` out of a message that is `meant`.
fn rewrite<F: Frame>(
    frame: &mut F,
    key: &[u8; 16],
    meant: impl Fn(&Head) -> bool,
    gone: &mut impl FnMut(&Entry) -> bool,
) {
    let head = frame.head();
    let to = [head[30], head[31], head[32], head[33]];
    let mac = |at: usize| Mac(std::array::from_fn(|index| head[at + index]));
    let (gateway, sender) = (mac(0), mac(6));
    if head[23] != 17 || head[36..38] != message::PORT.to_be_bytes() {
        return;
    }
    let Ok((ip, head, entries)) = message::read(frame.bytes(), key) else { return };
    if entries.is_empty() || !meant(&head) {
        return;
    }
    let kept: Vec<Entry> = entries.iter().filter(|entry| !gone(entry)).copied().collect();
    let me = Identity { mac: sender, vlan: None, ip, asn: None, gateway };
    frame.set_len(message::frame_len(kept.len()));
    message::write(frame.bytes_mut(), &me, to.into(), key, &head, kept.into_iter());
}

impl<P: Port> Port for Tampered<P> {
    type Frame = P::Frame;

    fn attach(&mut self) -> Result<(), DpdkError> {
        self.port.attach()
    }

    fn has_carrier(&self) -> bool {
        self.port.has_carrier()
    }

    #[inline]
    fn tick(&mut self, now: Nanos) {
        self.port.tick(now);
        if let Some(meddler) = &mut self.meddler {
            meddler.now = now;
        }
    }

    #[inline]
    fn rx(&mut self, into: &mut Burst<P::Frame>) {
        let before = into.len();
        self.port.rx(into);
        if let Some(meddler) = &mut self.meddler {
            meddler.receive(&mut self.port, into, before);
        }
    }

    #[inline]
    fn tx(&mut self, burst: &mut Burst<P::Frame>) -> usize {
        if let Some(meddler) = &mut self.meddler {
            meddler.send(burst);
        }
        self.port.tx(burst)
    }

    #[inline]
    fn alloc(&mut self, into: &mut Burst<P::Frame>, count: usize) {
        self.port.alloc(into, count);
    }

    #[inline]
    fn free(&mut self, burst: &mut Burst<P::Frame>) {
        self.port.free(burst);
    }

    #[inline]
    fn room(&mut self) -> usize {
        self.port.room()
    }

    fn stats(&self) -> PortStats {
        self.port.stats()
    }
}
