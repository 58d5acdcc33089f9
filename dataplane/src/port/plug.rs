//! A plug between a core and its port: what fails in a test fails here, either silently or with the
//! link going down.
//!
//! A frame that meets a pulled plug is gone, as between two switches that still hold up their ends of
//! the link: its sender counts it as sent, and nobody is told. Without carrier the port says so
//! ([`Port::has_carrier`]) and refuses what is to be sent; nothing comes in. The other end of the cable
//! sees that at the same instant, by the [`Socket`]. A cable may be longer for a while: frames then come
//! and go so much later, on the clock of [`Port::tick`]. Frames are given back to their pools, because
//! memory is not what is to be tested.

mod line;

use super::dpdk::DpdkError;
use super::{Lanes, Port, PortStats};
use crate::burst::{BURST, Burst};
use crate::clock::Nanos;
use line::Line;
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Most frames that leave a long cable in one step.
const LEAVING_MAX: usize = 8 * BURST;

/// The hand on a plug: pulled and put back by one thread, obeyed by another.
#[derive(Debug, Default)]
pub struct Socket {
    no_rx: AtomicBool,
    no_tx: AtomicBool,
    no_carrier: AtomicBool,
    /// Of frames that come or go, one in so many is lost; 0 is none.
    lost_one_in: AtomicU32,
    /// Nanoseconds that a frame takes, each way.
    delay_ns: AtomicU64,
}

impl Socket {
    /// Lets frames come in, and go out, or not.
    pub fn set(&self, rx: bool, tx: bool) {
        self.no_rx.store(!rx, Ordering::Relaxed);
        self.no_tx.store(!tx, Ordering::Relaxed);
    }

    /// Takes the link down or up, which both ends see.
    pub fn set_carrier(&self, up: bool) {
        self.no_carrier.store(!up, Ordering::Relaxed);
    }

    /// Whether the link is up.
    #[inline]
    pub fn has_carrier(&self) -> bool {
        !self.no_carrier.load(Ordering::Relaxed)
    }

    /// Loses one frame in `count`, either way; 0 is none.
    pub fn lose_one_in(&self, count: u32) {
        self.lost_one_in.store(count, Ordering::Relaxed);
    }

    /// Lets frames take `by` longer, each way. Those under way keep their time.
    pub fn set_delay(&self, by: Nanos) {
        self.delay_ns.store(by.0, Ordering::Relaxed);
    }

    #[inline]
    fn delay(&self) -> Nanos {
        Nanos(self.delay_ns.load(Ordering::Relaxed))
    }
}

/// A port behind a plug.
pub struct Plug<P: Lanes> {
    port: P,
    socket: Arc<Socket>,
    random: Xoshiro256PlusPlus,
    lost: u64,
    refused: u64,
    now: Nanos,
    coming: Line<P::Frame>,
    going: Line<P::Frame>,
}

impl<P: Lanes> Plug<P> {
    /// `port` behind `socket`; `seed` decides which frames a lossy wire loses. Its cable has room for
    /// no frame under way: see [`Plug::with_cable`].
    pub fn new(port: P, socket: Arc<Socket>, seed: u64) -> Plug<P> {
        Plug {
            port,
            socket,
            random: Xoshiro256PlusPlus::seed_from_u64(seed),
            lost: 0,
            refused: 0,
            now: Nanos(0),
            coming: Line::new(0),
            going: Line::new(0),
        }
    }

    /// The same with a cable that holds up to `room` frames each way, once it is long: what finds it
    /// full is lost.
    #[must_use]
    pub fn with_cable(self, room: usize) -> Plug<P> {
        Plug { coming: Line::new(room), going: Line::new(room), ..self }
    }

    /// Frames lost so far, those that were refused not counted.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether nothing that passes `closed` is lost.
    #[inline]
    fn is_sound(&self, closed: &AtomicBool) -> bool {
        let is_open = !closed.load(Ordering::Relaxed) && self.socket.has_carrier();
        is_open && self.socket.lost_one_in.load(Ordering::Relaxed) == 0
    }

    /// Takes what is lost out of a burst.
    #[cold]
    fn lose(&mut self, burst: &mut Burst<P::Frame>, all: bool) {
        let one_in = self.socket.lost_one_in.load(Ordering::Relaxed).max(1);
        let (mut lost, mut kept) = (Burst::new(), Burst::new());
        for frame in burst.drain(..) {
            let is_lost = all || self.random.next_u32().is_multiple_of(one_in);
            if is_lost { lost.push(frame) } else { kept.push(frame) }
        }
        *burst = kept;
        self.lost += lost.len() as u64;
        self.port.free(&mut lost);
    }

    /// Puts what has arrived at the far end of the cable into it, and takes out what has come.
    #[cold]
    fn delay_received(&mut self, into: &mut Burst<P::Frame>, before: usize) {
        let arrived: Burst<P::Frame> = into.drain(before..).collect();
        self.set_out(arrived, 0, false);
        while !into.is_full() {
            let Some((_, frame)) = self.coming.take(self.now) else { break };
            into.push(frame);
        }
    }

    /// Lets frames set out, away from here if they are `going`.
    fn set_out(&mut self, frames: Burst<P::Frame>, lane: usize, going: bool) {
        let due = self.now + self.socket.delay();
        let line = if going { &mut self.going } else { &mut self.coming };
        let put = |frame| line.put(frame, lane, due).err();
        let mut lost: Burst<P::Frame> = frames.into_iter().filter_map(put).collect();
        self.lost += lost.len() as u64;
        if !lost.is_empty() {
            self.port.free(&mut lost);
        }
    }

    /// Sends what has come to the far end of the cable.
    #[cold]
    fn arrive(&mut self) {
        let (mut out, mut lane) = (Burst::new(), 0);
        for _ in 0..LEAVING_MAX {
            let Some((next, frame)) = self.going.take(self.now) else { break };
            if out.is_full() || next != lane && !out.is_empty() {
                self.port.tx_lane(lane, &mut out);
            }
            lane = next;
            out.push(frame);
        }
        if !out.is_empty() {
            self.port.tx_lane(lane, &mut out);
        }
    }

    /// Whether frames that go along a line take time, or are still under way.
    #[inline]
    fn is_long(&self, line: &Line<P::Frame>) -> bool {
        self.socket.delay() > Nanos(0) || !line.is_empty()
    }

    /// Takes out of a burst what does not leave; returns how many of these frames count as sent.
    #[inline]
    fn lose_sent(&mut self, burst: &mut Burst<P::Frame>) -> usize {
        if self.is_sound(&self.socket.no_tx) {
            return 0;
        }
        if !self.socket.has_carrier() {
            self.refused += burst.len() as u64;
            self.port.free(burst);
            return 0;
        }
        let count = burst.len();
        self.lose(burst, self.socket.no_tx.load(Ordering::Relaxed));
        count - burst.len()
    }
}

impl<P: Lanes> Port for Plug<P> {
    type Frame = P::Frame;

    fn attach(&mut self) -> Result<(), DpdkError> {
        self.port.attach()
    }

    #[inline]
    fn has_carrier(&self) -> bool {
        self.socket.has_carrier() && self.port.has_carrier()
    }

    #[inline]
    fn tick(&mut self, now: Nanos) {
        self.now = now;
        self.port.tick(now);
        if !self.going.is_empty() {
            self.arrive();
        }
    }

    #[inline]
    fn rx(&mut self, into: &mut Burst<P::Frame>) {
        let before = into.len();
        self.port.rx(into);
        if self.is_long(&self.coming) {
            self.delay_received(into, before);
        }
        if into.len() > before && !self.is_sound(&self.socket.no_rx) {
            let mut arrived = into.drain(before..).collect();
            let all = self.socket.no_rx.load(Ordering::Relaxed) || !self.socket.has_carrier();
            self.lose(&mut arrived, all);
            into.extend(arrived);
        }
    }

    #[inline]
    fn tx(&mut self, burst: &mut Burst<P::Frame>) -> usize {
        self.tx_lane(0, burst)
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
        let stats = self.port.stats();
        PortStats { refused: stats.refused + self.refused, ..stats }
    }
}

impl<P: Lanes> Lanes for Plug<P> {
    fn lanes(&self) -> usize {
        self.port.lanes()
    }

    #[inline]
    fn tx_lane(&mut self, lane: usize, burst: &mut Burst<P::Frame>) -> usize {
        let lost = self.lose_sent(burst);
        if burst.is_empty() {
            return lost;
        }
        if self.is_long(&self.going) {
            let count = burst.len();
            let frames = burst.drain(..).collect();
            self.set_out(frames, lane, true);
            return lost + count;
        }
        lost + self.port.tx_lane(lane, burst)
    }

    #[inline]
    fn room_lane(&mut self, lane: usize) -> usize {
        self.port.room_lane(lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Arena, Frame};
    use crate::port::link::{Link, pair};

    fn send(port: &mut Plug<Link<'_>>, count: usize) -> usize {
        let mut burst = Burst::new();
        port.alloc(&mut burst, count);
        burst.iter_mut().for_each(|frame| frame.set_len(60));
        port.tx(&mut burst)
    }

    fn arrived<P: Port>(port: &mut P) -> usize {
        let mut burst = Burst::new();
        port.rx(&mut burst);
        port.rx(&mut burst);
        let count = burst.len();
        port.free(&mut burst);
        count
    }

    #[test]
    fn a_pulled_plug_swallows_either_way_and_says_nothing() {
        let mut arena = Arena::new(64).unwrap();
        let (near, far) = pair(&mut arena, 16);
        let [here, there] = [(); 2].map(|()| Arc::new(Socket::default()));
        let mut near = Plug::new(near, here.clone(), 1);
        let mut far = Plug::new(far, there, 2);
        for (rx, tx, out, back) in
            [(true, true, 5, 4), (true, false, 0, 4), (false, true, 5, 0), (false, false, 0, 0)]
        {
            here.set(rx, tx);
            assert_eq!((send(&mut near, 5), send(&mut far, 4)), (5, 4));
            assert_eq!((arrived(&mut far), arrived(&mut near)), (out, back), "{rx} {tx}");
        }
        assert_eq!(near.lost(), 18);
        assert_eq!((near.port.pooled(), far.port.pooled()), (32, 32), "no frame is lost for good");
    }

    #[test]
    fn without_carrier_the_port_says_so_and_refuses() {
        let mut arena = Arena::new(64).unwrap();
        let (near, mut far) = pair(&mut arena, 16);
        let socket = Arc::new(Socket::default());
        let mut near = Plug::new(near, socket.clone(), 1);
        let send_back = |far: &mut Link<'_>| {
            let mut burst = Burst::new();
            far.alloc(&mut burst, 4);
            burst.iter_mut().for_each(|frame| frame.set_len(60));
            far.tx(&mut burst)
        };
        for (up, out, back) in [(true, 5, 4), (false, 0, 0), (true, 5, 4)] {
            socket.set_carrier(up);
            assert_eq!(near.has_carrier(), up);
            assert_eq!((send(&mut near, 5), send_back(&mut far)), (out, 4), "{up}");
            assert_eq!((arrived(&mut far), arrived(&mut near)), (out, back), "{up}");
        }
        let stats = near.stats();
        assert_eq!((stats.sent, stats.refused, near.lost()), (10, 5, 4));
        assert_eq!((near.port.pooled(), far.pooled()), (32, 32), "no frame is lost for good");
    }

    /// Numbers of the frames that arrive.
    fn numbers<P: Port>(port: &mut P) -> Vec<u8> {
        let mut burst = Burst::new();
        port.rx(&mut burst);
        port.rx(&mut burst);
        let numbers = burst.iter().map(|frame| frame.head()[0]).collect();
        port.free(&mut burst);
        numbers
    }

    fn send_number<P: Port>(port: &mut P, number: u8) {
        let mut burst = Burst::new();
        port.alloc(&mut burst, 1);
        burst.iter_mut().for_each(|frame| {
            frame.set_len(60);
            frame.head_mut()[0] = number;
        });
        port.tx(&mut burst);
    }

    #[test]
    fn a_long_cable_takes_its_time_both_ways_and_lets_nothing_overtake() {
        let mut arena = Arena::new(64).unwrap();
        let (near, mut far) = pair(&mut arena, 32);
        let socket = Arc::new(Socket::default());
        let mut near = Plug::new(near, socket.clone(), 1).with_cable(16);
        let (mut out, mut back) = (Vec::new(), Vec::new());
        for at in 0..40 {
            match at {
                0 => socket.set_delay(Nanos(7)),
                15 => socket.set_delay(Nanos(3)),
                30 => socket.set_delay(Nanos(0)),
                _ => {}
            }
            near.tick(Nanos(at));
            send_number(&mut near, at as u8);
            send_number(&mut far, at as u8);
            out.extend(numbers(&mut far).into_iter().map(|number| (number, at as u8)));
            back.extend(numbers(&mut near).into_iter().map(|number| (number, at as u8)));
        }
        // Sent by 7 later, then none overtakes those that were, then by 3 and not at all.
        let due = |number: u8| match number {
            0..15 => number + 7,
            15..30 => (number + 3).max(21),
            _ => number.max(32),
        };
        let sent: Vec<(u8, u8)> = (0..40).map(|number| (number, due(number))).collect();
        assert_eq!(back, sent);
        // What is sent leaves at the next tick, which comes before it is sent.
        assert_eq!(out, sent);
        assert_eq!((near.port.pooled(), far.pooled()), (32, 32), "no frame is lost for good");
    }

    #[test]
    fn a_cable_that_is_full_loses_what_is_sent_and_nothing_else() {
        let mut arena = Arena::new(64).unwrap();
        let (near, mut far) = pair(&mut arena, 32);
        let socket = Arc::new(Socket::default());
        socket.set_delay(Nanos(5));
        let mut near = Plug::new(near, socket, 1).with_cable(4);
        assert_eq!(send(&mut near, 6), 6);
        assert_eq!((near.lost(), arrived(&mut far)), (2, 0));
        near.tick(Nanos(5));
        assert_eq!((arrived(&mut far), near.port.pooled()), (4, 32));
    }

    #[test]
    fn a_bad_wire_loses_its_share() {
        let mut arena = Arena::new(64).unwrap();
        let (near, mut far) = pair(&mut arena, 32);
        let socket = Arc::new(Socket::default());
        socket.lose_one_in(10);
        let mut near = Plug::new(near, socket, 3);
        let got: usize = (0..1000)
            .map(|_| {
                send(&mut near, 10);
                arrived(&mut far)
            })
            .sum();
        assert_eq!(got as u64 + near.lost(), 10_000);
        assert!((800..1200).contains(&near.lost()), "{} of 10,000", near.lost());
    }
}
