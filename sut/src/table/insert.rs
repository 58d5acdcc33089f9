//! Making room: a free lane at home, else the lane of a guest that can go home, else one in the
//! secondary bucket, else by moving others.

use super::bucket::{Bucket, Content, LANES};
use super::place::Places;
use super::{Entry, Hash, Table};
use arrayvec::ArrayVec;
use dataplane::cpu;

/// The table has no room for another connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("flow table full")]
pub struct Full;

/// Buckets a search may visit. At load 0.95 about every fifth bucket has a free lane, and all 128
/// are taken once in 10¹².
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
        if self.len >= self.capacity {
            return Err(Full);
        }
        let content = Content { tag: hash.tag, slot, expiry };
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
        Ok(Entry { bucket, lane, slot })
    }

    /// A free lane in one of the two buckets of `hash`, whose home is full.
    #[cold]
    fn make_room(&mut self, hash: Hash) -> Result<(u32, u8), Full> {
        let buckets = &mut *self.buckets;
        if let Some(lane) = send_one_home(buckets, &self.places, hash.home) {
            return Ok((hash.home, lane));
        }
        let secondary = self.places.other(hash.home, hash.tag);
        if let Some(lane) = buckets[secondary as usize].free_lane() {
            return Ok((secondary, lane));
        }
        let mut search = Search::new();
        search.push(Node { bucket: hash.home, parent: None });
        search.push(Node { bucket: secondary, parent: None });
        let (found, free) = find_free(buckets, &self.places, &mut search).ok_or(Full)?;
        Ok(shift(buckets, &self.places, &search, found, free))
    }
}

/// Has a guest of `bucket` go home, if one can: the lane it leaves.
///
/// Without this, guests hold lanes that residents need, those become guests elsewhere, and under
/// churn a quarter of all entries ends up away.
fn send_one_home(buckets: &mut [Bucket], places: &Places, bucket: u32) -> Option<u8> {
    let here = &buckets[bucket as usize];
    for lane in here.guest_lanes() {
        cpu::prefetch(&buckets[places.other(bucket, here.tag(lane)) as usize]);
    }
    here.guest_lanes().find(|&lane| send_home(buckets, places, bucket, lane))
}

/// Moves the guest in `lane` of `bucket` to its home, if that has a free lane.
pub(super) fn send_home(buckets: &mut [Bucket], places: &Places, bucket: u32, lane: u8) -> bool {
    let home = places.other(bucket, buckets[bucket as usize].tag(lane));
    let Some(free) = buckets[home as usize].free_lane() else { return false };
    let (content, _) = buckets[bucket as usize].take(lane);
    let home = &mut buckets[home as usize];
    home.put(free, content, false);
    home.note_return();
    true
}

/// Breadth first, so the chain is the shortest: the first visited bucket with a free lane. Nothing
/// moves before one is found. A bucket is asked for when it is queued, its line read when its turn
/// comes.
fn find_free(buckets: &[Bucket], places: &Places, search: &mut Search) -> Option<(usize, u8)> {
    let mut turn = 0;
    while let Some(&Node { bucket, .. }) = search.get(turn) {
        let here = &buckets[bucket as usize];
        if let Some(lane) = here.free_lane() {
            return Some((turn, lane));
        }
        for lane in 0..LANES as u8 {
            let child = places.other(bucket, here.tag(lane));
            let node = Node { bucket: child, parent: Some((turn as u8, lane)) };
            if search.try_push(node).is_err() {
                break;
            }
            cpu::prefetch(&buckets[child as usize]);
        }
        turn += 1;
    }
    None
}

/// Moves one entry along each link of the chain, last first: the lane that is free at its root.
///
/// No bucket occurs twice in a chain: had it been reached before, its neighbours would have been
/// queued then, ahead of those of the second visit.
fn shift(
    buckets: &mut [Bucket],
    places: &Places,
    search: &Search,
    found: usize,
    mut free: u8,
) -> (u32, u8) {
    let mut node = search[found];
    while let Some((parent, lane)) = node.parent {
        let from = search[usize::from(parent)];
        let (content, was_guest) = buckets[from.bucket as usize].take(lane);
        assert_eq!(places.other(from.bucket, content.tag), node.bucket, "flow table: chain broken");
        buckets[node.bucket as usize].put(free, content, !was_guest);
        if was_guest {
            buckets[node.bucket as usize].note_return();
        } else {
            buckets[from.bucket as usize].note_departure(content.tag);
        }
        (node, free) = (from, lane);
    }
    (node.bucket, free)
}
