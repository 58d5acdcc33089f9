//! Fills through a far end that is preempted, refuses, or drops what overfills its ring.

use crate::rig::{Rig, config, fill};
use dataplane::burst::Burst;
use dataplane::frame::Arena;
use dataplane::port::link::{Link, loopback};
use dataplane::port::{Port, PortStats};
use kronogen::trial::Record;

/// Slots of the far end's ring: as many as those of a memif.
const SLOTS: usize = 2048;

/// A far end that sends back what it gets, from a ring, and cannot tell its room. After every so many
/// frames it stands still; meanwhile what overfills the ring is lost.
struct FarEnd<'a> {
    link: Link<'a>,
    waiting: usize,
    served: usize,
    /// Frames from one standstill to the next.
    every: usize,
    /// Empty polls that a standstill lasts, and how many are left of this one: one for each step.
    standstill: u32,
    still: u32,
    dropped: u64,
}

impl<'a> FarEnd<'a> {
    fn new(arena: &'a mut Arena, every: usize, standstill: u32) -> FarEnd<'a> {
        let link = loopback(arena, 2 * SLOTS);
        FarEnd { link, waiting: 0, served: 0, every, standstill, still: 0, dropped: 0 }
    }
}

impl<'a> Port for FarEnd<'a> {
    type Frame = <Link<'a> as Port>::Frame;
    fn rx(&mut self, into: &mut Burst<Self::Frame>) {
        if self.still > 0 {
            self.still -= 1;
            return;
        }
        self.link.rx(into);
        self.waiting -= into.len();
        self.served += into.len();
        if self.served >= self.every {
            (self.served, self.still) = (0, self.standstill);
        }
    }
    fn tx(&mut self, burst: &mut Burst<Self::Frame>) -> usize {
        let taken = burst.len();
        let mut over: Burst<_> = burst.drain(taken.min(SLOTS - self.waiting)..).collect();
        self.dropped += over.len() as u64;
        self.link.free(&mut over);
        self.waiting += self.link.tx(burst);
        taken
    }
    fn alloc(&mut self, into: &mut Burst<Self::Frame>, count: usize) {
        self.link.alloc(into, count);
    }
    fn free(&mut self, burst: &mut Burst<Self::Frame>) {
        self.link.free(burst);
    }
    fn room(&mut self) -> usize {
        usize::MAX
    }
    fn stats(&self) -> PortStats {
        self.link.stats()
    }
}

/// The record of filling `connections` through a far end, and what it dropped.
fn run(connections: u32, every: usize, standstill: u32) -> (Record, u64) {
    let config = config(connections, vec![fill(connections)]);
    let mut arena = Arena::new(4 * SLOTS).expect("memory");
    let mut rig = Rig::new(&config, vec![FarEnd::new(&mut arena, every, standstill)]);
    rig.run_phase(0);
    let dropped = rig.cores[0].port().dropped;
    (rig.cores[0].records().remove(0), dropped)
}

#[test]
fn a_far_end_that_stands_still_is_not_overfilled() {
    // Standstills of 5, 20 and 50 ms. Meanwhile 1 M openings a second fall due, and those under way
    // are due for another attempt every 5 ms.
    for standstill in [500, 2_000, 5_000] {
        let (record, dropped) = run(30_000, 15_000, standstill);
        let ledger = &record.ledger;
        assert_eq!((record.opened, record.failed), (30_000, 0), "{record:?}");
        assert_eq!((ledger.lost(), dropped), (0, 0), "{standstill}: {ledger:?}");
        // What the window holds back is opened later, not given up.
        assert_eq!((ledger.unsent, ledger.planned), (0, ledger.on_time + ledger.late));
    }
}

#[test]
fn openings_that_are_all_refused_do_not_take_long() {
    let mut config = config(20_000, vec![fill(20_000)]);
    config.cores[0].gateways.fill(dataplane::identity::Mac::of(9, 9, 9));
    let mut arena = Arena::new(4 * SLOTS).expect("memory");
    let mut rig = Rig::new(&config, vec![FarEnd::new(&mut arena, usize::MAX, 0)]);
    rig.run_phase(0);
    let record = &rig.cores[0].records()[0];
    assert_eq!((record.failed, record.ledger.lost()), (20_000, 100_000));
    // 80 ms until silence is believed, a window of 1,024 packets a millisecond, and four intervals
    // between attempts.
    assert!(record.seconds < 0.3, "{record:?}");
}
