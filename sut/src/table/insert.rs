//! Making room: a free lane at home, else the lane of a guest that can go home, else one in the
//! secondary bucket, else by moving others.

use super::bucket::Content;
use super::layout::{Layout, lanes};
use super::place::Places;
use super::{Cuckoo, Entry, Hash, Table};
use arrayvec::ArrayVec;
use dataplane::cpu;

/// The table has no room for another connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("flow table full")]
pub struct Full;

/// Buckets a search may visit. With seven lanes at load 0.95 about every fifth bucket has a free
/// lane, and all 128 are taken once in 10¹².
const VISITED_MAX: usize = 128;

/// A bucket that the search reached, and the lane of an earlier one whose entry could move into it.
#[derive(Clone, Copy)]
struct Node {
    bucket: u32,
    parent: Option<(u8, u8)>,
}

type Search = ArrayVec<Node, VISITED_MAX>;

const _: () = assert!(VISITED_MAX <= 1 << u8::BITS);

impl Table {
    /// Adds a connection that is not in the table. Bounded: a table at its capacity refuses at
    /// once, so that a flood of new connections costs no searches.
    ///
    /// # Errors
    /// [`Full`] at capacity, or where no short chain of moves frees a lane; nothing has changed.
    #[inline]
    pub fn insert(&mut self, hash: Hash, slot: u32, expiry: u16) -> Result<Entry, Full> {
        let content = Content { tag: hash.tag, slot, expiry };
        let (bucket, lane) = self.insert_content(hash, content)?;
        Ok(Entry { bucket, lane, slot })
    }
}

impl<B: Layout> Cuckoo<B> {
    /// Adds an entry: its bucket and lane.
    #[inline]
    pub(crate) fn insert_content(
        &mut self,
        hash: Hash,
        content: B::Content,
    ) -> Result<(u32, u8), Full> {
        if self.len >= self.capacity {
            return Err(Full);
        }
        let (bucket, lane) = match self.buckets[hash.home as usize].free_lane() {
            Some(lane) => (hash.home, lane),
            None => self.make_room(hash)?,
        };
        let guest = bucket != hash.home;
        if guest {
            self.buckets[hash.home as usize].note_departure(hash.tag);
        }
        self.buckets[bucket as usize].put(lane, content, guest);
        self.len += 1;
        Ok((bucket, lane))
    }

    /// A free lane in one of the two buckets of `hash`, whose home is full.
    #[cold]
    fn make_room(&mut self, hash: Hash) -> Result<(u32, u8), Full> {
        let mut room = self.moves();
        if let Some(lane) = room.send_one_home(hash.home) {
            return Ok((hash.home, lane));
        }
        let secondary = room.places.other(hash.home, hash.tag);
        if let Some(lane) = room.buckets[secondary as usize].free_lane() {
            return Ok((secondary, lane));
        }
        let mut search = Search::new();
        search.push(Node { bucket: hash.home, parent: None });
        search.push(Node { bucket: secondary, parent: None });
        let (found, free) = room.find_free(&mut search).ok_or(Full)?;
        Ok(room.shift(&search, found, free))
    }

    pub(super) fn moves(&mut self) -> Moves<'_, B> {
        Moves { buckets: &mut self.buckets, places: &self.places }
    }
}

/// A table while entries of it move.
pub(super) struct Moves<'a, B> {
    buckets: &'a mut [B],
    places: &'a Places,
}

impl<B: Layout> Moves<'_, B> {
    /// The other bucket of the entry in a lane.
    fn other(&self, bucket: u32, lane: u8) -> u32 {
        self.places.other(bucket, self.buckets[bucket as usize].tag(lane))
    }

    /// Has a guest of `bucket` go home, if one can: the lane it leaves.
    ///
    /// Without this, guests hold lanes that residents need, those become guests elsewhere, and
    /// under churn a quarter of all entries ends up away.
    fn send_one_home(&mut self, bucket: u32) -> Option<u8> {
        let guests = self.buckets[bucket as usize].guests();
        for lane in lanes(guests) {
            cpu::prefetch(&self.buckets[self.other(bucket, lane) as usize]);
        }
        lanes(guests).find(|&lane| self.send_home(bucket, lane))
    }

    /// Moves the guest in `lane` of `bucket` to its home, if that has a free lane.
    pub(super) fn send_home(&mut self, bucket: u32, lane: u8) -> bool {
        let home = self.other(bucket, lane) as usize;
        let Some(free) = self.buckets[home].free_lane() else { return false };
        let (content, _) = self.buckets[bucket as usize].take(lane);
        self.buckets[home].put(free, content, false);
        self.buckets[home].note_return();
        true
    }

    /// Breadth first, so the chain is the shortest: the first visited bucket with a free lane.
    /// Nothing moves before one is found. A bucket is asked for when it is queued, its line read
    /// when its turn comes.
    fn find_free(&self, search: &mut Search) -> Option<(usize, u8)> {
        let mut turn = 0;
        while let Some(&Node { bucket, .. }) = search.get(turn) {
            if let Some(lane) = self.buckets[bucket as usize].free_lane() {
                return Some((turn, lane));
            }
            for lane in 0..B::LANES as u8 {
                let child = self.other(bucket, lane);
                let node = Node { bucket: child, parent: Some((turn as u8, lane)) };
                if search.try_push(node).is_err() {
                    break;
                }
                cpu::prefetch(&self.buckets[child as usize]);
            }
            turn += 1;
        }
        None
    }

    /// Moves one entry along each link of the chain, last first: the lane that is free at its root.
    ///
    /// No bucket occurs twice in a chain: had it been reached before, its neighbours would have
    /// been queued then, ahead of those of the second visit.
    fn shift(&mut self, search: &Search, found: usize, mut free: u8) -> (u32, u8) {
        let mut node = search[found];
        while let Some((parent, lane)) = node.parent {
            let from = search[usize::from(parent)];
            let tag = self.buckets[from.bucket as usize].tag(lane);
            let to = self.places.other(from.bucket, tag);
            assert_eq!(to, node.bucket, "flow table: chain broken");
            let (content, was_guest) = self.buckets[from.bucket as usize].take(lane);
            self.buckets[to as usize].put(free, content, !was_guest);
            if was_guest {
                self.buckets[to as usize].note_return();
            } else {
                self.buckets[from.bucket as usize].note_departure(tag);
            }
            (node, free) = (from, lane);
        }
        (node.bucket, free)
    }
}
