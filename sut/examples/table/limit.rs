//! What the memory of this machine allows: random 64-byte lines a second.

use dataplane::cpu;
use dataplane::memory::Pages;
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::hint::black_box;

/// Lines asked for before the first of them is read.
const AHEAD: usize = 32;

/// An array of lines to load at random.
pub(crate) struct Limit(Pages<[u64; 8]>);

impl Limit {
    pub(crate) fn new(bytes: usize) -> std::io::Result<Limit> {
        Ok(Limit(Pages::zeroed((bytes / 64).max(1))?))
    }

    /// Loads `count` lines, the next batch asked for before one is read.
    pub(crate) fn load(&self, count: usize, seed: u64) {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let lines = &*self.0;
        let mut draw = || {
            let at = ((u128::from(random.next_u64()) * lines.len() as u128) >> 64) as usize;
            cpu::prefetch(&lines[at]);
            at
        };
        let mut batch: [usize; AHEAD] = std::array::from_fn(|_| draw());
        let mut sum = 0;
        for _ in 0..count / AHEAD {
            for at in &mut batch {
                sum ^= lines[*at][0];
                *at = draw();
            }
        }
        black_box(sum);
    }
}
