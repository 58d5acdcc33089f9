//! In-memory network: ports of one process joined by single-producer single-consumer rings.
//!
//! A frame is an exclusive reference into an [`Arena`]; handing it to a ring hands over the
//! ownership, so nothing is copied, nothing is allocated and the compiler proves that two cores
//! never hold the same packet. Each port has a fixed pool; a frame that a neighbour drops travels
//! home through a ring of its own.
//!
//! A full ring refuses frames, as a full queue of a NIC does; a sender that wants back-pressure asks
//! for the [`Port::room`] first.

mod pool;

use self::pool::Pool;
use super::{Lanes, Port, PortStats};
use crate::burst::{BURST, Burst};
use crate::cpu;
use crate::frame::{Arena, Buffer};
use rtrb::chunks::ChunkError;
use rtrb::{Consumer, Producer, RingBuffer};

/// Frames a ring holds: rides out a preemption of about 0.1 ms at 20 Mpps and stays in the
/// second-level cache.
pub const DEPTH: usize = 2048;

/// Frames a pool of a sending port needs per lane: both rings full and some bursts in hand.
pub const fn frames_per_lane(depth: usize) -> usize {
    2 * depth + 16 * BURST
}

/// Room that nobody asks more than at a time.
const ROOM_ENOUGH: usize = 4 * BURST;

type Handle<'a> = &'a mut Buffer;

struct Lane<'a> {
    peer: u16,
    /// Room in `tx` as last known: there may be more.
    room: usize,
    tx: Producer<Handle<'a>>,
    rx: Consumer<Handle<'a>>,
    /// Frames of the peer's pool on their way home.
    give_back: Producer<Handle<'a>>,
    /// Frames of this port's pool that the peer has dropped.
    returned: Consumer<Handle<'a>>,
}

/// One port of an in-memory network.
pub struct Link<'a> {
    id: u16,
    pool: Pool<'a>,
    lanes: Vec<Lane<'a>>,
    turn: usize,
    /// Frames taken from the rings whose header lines are on their way here.
    staged: Burst<Handle<'a>>,
    stats: PortStats,
}

/// Joins ports before the cores start.
pub struct Network<'a> {
    ports: Vec<Link<'a>>,
    frames: usize,
    depth: usize,
}

impl<'a> Network<'a> {
    /// A network of unconnected ports with `pools[i]` frames in the pool of port i. Rings hold
    /// `depth` frames each way.
    ///
    /// # Panics
    /// If the arena has fewer frames than the pools want, or there are more than 65,535 ports.
    pub fn new(arena: &'a mut Arena, pools: &[usize], depth: usize) -> Self {
        let frames = pools.iter().sum();
        let mut buffers = arena.buffers();
        assert!(frames <= buffers.len(), "the arena has {} of {frames} frames", buffers.len());
        let ports = pools
            .iter()
            .enumerate()
            .map(|(id, &count)| {
                let id = u16::try_from(id).expect("at most 65,535 ports");
                let mut pool = Pool::with_capacity(frames);
                for buffer in buffers.by_ref().take(count) {
                    buffer.owner = id;
                    pool.push(buffer);
                }
                Link {
                    id,
                    pool,
                    lanes: Vec::new(),
                    turn: 0,
                    staged: Burst::new(),
                    stats: PortStats::default(),
                }
            })
            .collect();
        Network { ports, frames, depth }
    }

    /// Joins two ports, or a port with itself, by a lane each; the lane gets the next free number.
    pub fn connect(&mut self, a: usize, b: usize) {
        let ring = |capacity| RingBuffer::<Handle<'a>>::new(capacity);
        let ((to_b, from_a), (home_to_b, home_from_a)) = (ring(self.depth), ring(self.frames));
        if a == b {
            self.attach(a, b, to_b, from_a, home_to_b, home_from_a);
            return;
        }
        let ((to_a, from_b), (home_to_a, home_from_b)) = (ring(self.depth), ring(self.frames));
        self.attach(a, b, to_b, from_b, home_to_b, home_from_b);
        self.attach(b, a, to_a, from_a, home_to_a, home_from_a);
    }

    fn attach(
        &mut self,
        port: usize,
        peer: usize,
        tx: Producer<Handle<'a>>,
        rx: Consumer<Handle<'a>>,
        give_back: Producer<Handle<'a>>,
        returned: Consumer<Handle<'a>>,
    ) {
        let lane = Lane { peer: peer as u16, room: 0, tx, rx, give_back, returned };
        self.ports[port].lanes.push(lane);
    }

    /// The ports, in order.
    pub fn into_ports(self) -> Vec<Link<'a>> {
        self.ports
    }
}

/// Two ports joined by one lane; each pool holds half of the arena.
pub fn pair(arena: &mut Arena, depth: usize) -> (Link<'_>, Link<'_>) {
    let half = arena.buffers().len() / 2;
    let mut network = Network::new(arena, &[half, half], depth);
    network.connect(0, 1);
    let mut ports = network.into_ports().into_iter();
    (ports.next().expect("port 0"), ports.next().expect("port 1"))
}

/// A plain wire: a port that receives what it sends.
pub fn loopback(arena: &mut Arena, depth: usize) -> Link<'_> {
    let all = arena.buffers().len();
    let mut network = Network::new(arena, &[all], depth);
    network.connect(0, 0);
    network.into_ports().pop().expect("one port")
}

impl<'a> Link<'a> {
    fn collect_returned(&mut self) {
        for lane in &mut self.lanes {
            let waiting = lane.returned.slots();
            if let Ok(chunk) = lane.returned.read_chunk(waiting) {
                chunk.into_iter().for_each(|frame| self.pool.push(frame));
            }
        }
    }

    /// Frames in the pool now.
    pub fn pooled(&mut self) -> usize {
        self.collect_returned();
        self.pool.len()
    }
}

impl<'a> Lane<'a> {
    /// Takes what has arrived and asks for its header lines.
    fn receive(&mut self, into: &mut Burst<Handle<'a>>) {
        let want = into.remaining_capacity();
        let chunk = match self.rx.read_chunk(want) {
            Ok(chunk) => chunk,
            Err(ChunkError::TooFewSlots(0)) => return,
            Err(ChunkError::TooFewSlots(ready)) => match self.rx.read_chunk(ready) {
                Ok(chunk) => chunk,
                Err(_) => return,
            },
        };
        for frame in chunk {
            cpu::prefetch_write(&*frame);
            into.push(frame);
        }
    }

    fn send(&mut self, burst: &mut Burst<Handle<'a>>) -> usize {
        let wanted = burst.len();
        self.room = self.room.saturating_sub(wanted);
        match self.tx.write_chunk_uninit(wanted) {
            Ok(chunk) => chunk.fill_from_iter(burst.drain(..)),
            Err(ChunkError::TooFewSlots(room)) => match self.tx.write_chunk_uninit(room) {
                Ok(chunk) => chunk.fill_from_iter(burst.drain(..room)),
                Err(_) => 0,
            },
        }
    }
}

impl<'a> Port for Link<'a> {
    type Frame = Handle<'a>;

    /// Hands out the frames that the call before has taken from the rings, and takes the next: the
    /// other core has dirtied their header lines, and while one burst is worked on those of the
    /// next come over. Costs a frame one step of latency.
    #[inline]
    fn rx(&mut self, into: &mut Burst<Handle<'a>>) {
        let count = self.staged.len().min(into.remaining_capacity());
        into.extend(self.staged.drain(..count));
        self.stats.received += count as u64;
        for _ in 0..self.lanes.len() {
            if self.staged.is_full() {
                break;
            }
            self.turn = if self.turn + 1 < self.lanes.len() { self.turn + 1 } else { 0 };
            self.lanes[self.turn].receive(&mut self.staged);
        }
    }

    #[inline]
    fn tx(&mut self, burst: &mut Burst<Handle<'a>>) -> usize {
        self.tx_lane(0, burst)
    }

    #[inline]
    fn alloc(&mut self, into: &mut Burst<Handle<'a>>, count: usize) {
        if self.pool.len() < count {
            self.collect_returned();
        }
        let held = into.len();
        self.pool.take(into, count);
        self.stats.no_buffer += (held + count - into.len()) as u64;
    }

    #[inline]
    fn free(&mut self, burst: &mut Burst<Handle<'a>>) {
        if burst.iter().all(|frame| frame.owner == self.id) {
            return self.pool.put(burst);
        }
        for frame in burst.drain(..) {
            let home = if frame.owner == self.id {
                None
            } else {
                self.lanes.iter_mut().find(|lane| lane.peer == frame.owner)
            };
            match home {
                // The ring home holds every frame there is, so it is never full.
                Some(lane) => drop(lane.give_back.push(frame)),
                // A frame from a port that is no neighbour is adopted, not lost.
                None => {
                    frame.owner = self.id;
                    self.pool.push(frame);
                }
            }
        }
    }

    #[inline]
    fn room(&mut self) -> usize {
        self.room_lane(0)
    }

    fn stats(&self) -> PortStats {
        self.stats
    }
}

impl<'a> Lanes for Link<'a> {
    fn lanes(&self) -> usize {
        self.lanes.len()
    }

    #[inline]
    fn tx_lane(&mut self, lane: usize, burst: &mut Burst<Handle<'a>>) -> usize {
        let sent = self.lanes[lane].send(burst);
        self.stats.sent += sent as u64;
        if !burst.is_empty() {
            self.stats.refused += burst.len() as u64;
            self.free(burst);
        }
        sent
    }

    /// Asking how far the peer has read costs a cache miss, so it is asked only when what is known
    /// to be free runs short.
    #[inline]
    fn room_lane(&mut self, lane: usize) -> usize {
        if self.pool.len() < ROOM_ENOUGH {
            self.collect_returned();
        }
        let lane = &mut self.lanes[lane];
        if lane.room < ROOM_ENOUGH {
            lane.room = lane.tx.slots();
        }
        lane.room.min(self.pool.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frame;

    fn numbered(port: &mut Link<'_>, count: usize, first: u8) -> usize {
        let mut burst = Burst::new();
        port.alloc(&mut burst, count);
        for (i, frame) in burst.iter_mut().enumerate() {
            frame.set_len(60);
            frame.head_mut()[0] = first + i as u8;
        }
        port.tx(&mut burst)
    }

    fn received(port: &mut Link<'_>) -> Vec<u8> {
        let mut burst = Burst::new();
        port.rx(&mut burst);
        port.rx(&mut burst);
        let numbers = burst.iter().map(|frame| frame.head()[0]).collect();
        port.free(&mut burst);
        numbers
    }

    #[test]
    fn frames_arrive_in_order_and_return_to_their_pool() {
        let mut arena = Arena::new(16).unwrap();
        let (mut a, mut b) = pair(&mut arena, 8);
        assert_eq!(numbered(&mut a, 5, 10), 5);
        assert_eq!(a.pooled(), 3);
        assert_eq!(received(&mut b), [10, 11, 12, 13, 14]);
        assert_eq!((a.pooled(), b.pooled()), (8, 8));
    }

    #[test]
    fn a_full_ring_refuses_counts_and_loses_nothing() {
        let mut arena = Arena::new(32).unwrap();
        let (mut a, mut b) = pair(&mut arena, 4);
        assert_eq!(a.room(), 4);
        assert_eq!(numbered(&mut a, 6, 0), 4);
        assert_eq!((a.stats().sent, a.stats().refused, a.room()), (4, 2, 0));
        assert_eq!(a.pooled(), 12);
        assert_eq!(received(&mut b), [0, 1, 2, 3]);
        assert_eq!((a.pooled(), a.room()), (16, 4));
    }

    #[test]
    fn an_empty_pool_gives_what_it_has() {
        let mut arena = Arena::new(4).unwrap();
        let (mut a, _b) = pair(&mut arena, 4);
        let mut burst = Burst::new();
        a.alloc(&mut burst, 3);
        assert_eq!((burst.len(), a.stats().no_buffer), (2, 1));
    }

    #[test]
    fn a_loopback_receives_what_it_sends() {
        let mut arena = Arena::new(8).unwrap();
        let mut wire = loopback(&mut arena, 4);
        assert_eq!(numbered(&mut wire, 3, 7), 3);
        assert_eq!(received(&mut wire), [7, 8, 9]);
        assert_eq!(wire.pooled(), 8);
    }

    #[test]
    fn a_hub_sends_by_lane_and_hears_all() {
        let mut arena = Arena::new(30).unwrap();
        let mut network = Network::new(&mut arena, &[10, 10, 10], 8);
        network.connect(0, 1);
        network.connect(0, 2);
        let mut ports = network.into_ports();
        let mut burst = Burst::new();
        ports[0].alloc(&mut burst, 2);
        assert_eq!(ports[0].tx_lane(1, &mut burst), 2);
        assert_eq!((received(&mut ports[1]).len(), received(&mut ports[2]).len()), (0, 2));
        numbered(&mut ports[1], 1, 1);
        numbered(&mut ports[2], 1, 2);
        let mut heard = received(&mut ports[0]);
        heard.sort_unstable();
        assert_eq!(heard, [1, 2]);
        assert_eq!(ports.iter_mut().map(Link::pooled).collect::<Vec<_>>(), [10, 10, 10]);
    }
}
