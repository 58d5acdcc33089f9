//! Frames without the padding of a cable, as a kernel hands them from one virtual interface to
//! another, and frames that lack more than that.

use crate::rig::{Rig, config, fill};
use dataplane::burst::Burst;
use dataplane::frame::{Arena, Frame};
use dataplane::port::link::{Link, loopback};
use dataplane::port::{Port, PortStats};
use kronogen::trial::Record;

const CONNECTIONS: u32 = 200;
const ETHERNET: usize = 14;

/// A wire that cuts every frame to what its IPv4 header says, and `more` bytes beyond.
struct Cut<'a> {
    link: Link<'a>,
    more: usize,
    cut: u64,
}

impl<'a> Port for Cut<'a> {
    type Frame = <Link<'a> as Port>::Frame;
    fn rx(&mut self, into: &mut Burst<Self::Frame>) {
        self.link.rx(into);
        for frame in into.iter_mut() {
            let bytes = frame.bytes();
            let total = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
            let left = ETHERNET + total - self.more;
            self.cut += u64::from(left < bytes.len());
            frame.set_len(left);
        }
    }
    fn tx(&mut self, burst: &mut Burst<Self::Frame>) -> usize {
        self.link.tx(burst)
    }
    fn alloc(&mut self, into: &mut Burst<Self::Frame>, count: usize) {
        self.link.alloc(into, count);
    }
    fn free(&mut self, burst: &mut Burst<Self::Frame>) {
        self.link.free(burst);
    }
    fn room(&mut self) -> usize {
        self.link.room()
    }
    fn stats(&self) -> PortStats {
        self.link.stats()
    }
}

/// A fill with as much UDP as TCP, and how many frames were cut.
fn filled(more: usize) -> (Record, u64) {
    let config = config(CONNECTIONS, vec![fill(CONNECTIONS)]);
    let mut arena = Arena::new(2048).expect("memory");
    let port = Cut { link: loopback(&mut arena, 1024), more, cut: 0 };
    let mut rig = Rig::new(&config, vec![port]);
    rig.run_phase(0);
    (rig.cores[0].records()[0].clone(), rig.cores[0].port().cut)
}

#[test]
fn a_frame_without_its_padding_is_whole() {
    let (record, cut) = filled(0);
    assert!(cut > 200, "every segment without data is shorter than a cable's frame: {cut}");
    assert_eq!((record.opened, record.failed, record.retried), (CONNECTIONS.into(), 0, 0));
    let ledger = &record.ledger;
    assert_eq!((ledger.corrupt, ledger.foreign, ledger.lost()), (0, 0, 0), "{ledger:?}");
}

#[test]
fn a_truncated_frame_is_no_proof_of_arrival() {
    let (record, cut) = filled(1);
    let ledger = &record.ledger;
    assert_eq!((record.opened, record.failed), (0, CONNECTIONS.into()));
    assert_eq!((cut, ledger.lost()), (ledger.sent, ledger.sent));
    assert_eq!(ledger.corrupt + ledger.foreign, ledger.sent, "{ledger:?}");
}
