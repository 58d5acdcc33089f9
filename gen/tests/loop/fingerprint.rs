//! The first 10,000 frames of a core, hashed: changed only on purpose.

use crate::rig::{Rig, config, fill, steady};
use dataplane::burst::Burst;
use dataplane::frame::{Arena, Frame};
use dataplane::port::link::{Link, loopback};
use dataplane::port::{Port, PortStats};
use kronogen::config::Rate;
use sha2::{Digest, Sha256};

const FRAMES: usize = 10_000;

/// A wire that hashes what passes.
struct Hashed<'a> {
    link: Link<'a>,
    hash: Sha256,
    frames: usize,
}

impl<'a> Port for Hashed<'a> {
    type Frame = <Link<'a> as Port>::Frame;
    fn rx(&mut self, into: &mut Burst<Self::Frame>) {
        self.link.rx(into);
    }
    fn tx(&mut self, burst: &mut Burst<Self::Frame>) -> usize {
        for frame in burst.iter().take(FRAMES - self.frames) {
            self.frames += 1;
            self.hash.update((frame.len() as u32).to_be_bytes());
            self.hash.update(frame.bytes());
        }
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

fn fingerprint(seed: u64) -> String {
    let mut config = config(1000, vec![fill(1000), steady(Rate::Pps(1e6), 20)]);
    config.seed = seed;
    let mut arena = Arena::new(2048).expect("memory");
    let link = loopback(&mut arena, 1024);
    let mut rig = Rig::new(&config, vec![Hashed { link, hash: Sha256::new(), frames: 0 }]);
    (0..2).for_each(|phase| rig.run_phase(phase));
    let port = rig.cores[0].port();
    assert_eq!(port.frames, FRAMES);
    let hash = std::mem::take(&mut port.hash).finalize();
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_frames_of_a_seed_do_not_change() {
    assert_eq!(fingerprint(24301), "3ead3668fc487a7f");
    assert_eq!(fingerprint(24301), fingerprint(24301));
    assert_ne!(fingerprint(24301), fingerprint(24302));
}
