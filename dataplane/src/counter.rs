//! Counters that one core writes and others read.
//!
//! A core counts in its own plain integers and publishes them at housekeeping by relaxed stores into
//! a block of its own cache lines: no read-modify-write, no line with two writers.

use crossbeam_utils::CachePadded;
use std::sync::atomic::{AtomicU64, Ordering};

/// `N` published values of one writer. The writer and its readers agree on the meaning of each
/// index; values of one block may come from two neighbouring turns of housekeeping.
#[derive(Debug)]
pub struct Published<const N: usize>(CachePadded<[AtomicU64; N]>);

impl<const N: usize> Default for Published<N> {
    fn default() -> Self {
        Self(CachePadded::new(std::array::from_fn(|_| AtomicU64::new(0))))
    }
}

impl<const N: usize> Published<N> {
    /// Publishes one value; only the owning core calls this.
    #[inline]
    pub fn set(&self, index: usize, value: u64) {
        self.0[index].store(value, Ordering::Relaxed);
    }

    /// Publishes all values.
    pub fn set_all(&self, values: &[u64; N]) {
        for (slot, &value) in self.0.iter().zip(values) {
            slot.store(value, Ordering::Relaxed);
        }
    }

    /// Reads one value.
    pub fn get(&self, index: usize) -> u64 {
        self.0[index].load(Ordering::Relaxed)
    }

    /// Reads all values.
    pub fn get_all(&self) -> [u64; N] {
        std::array::from_fn(|i| self.get(i))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_read() {
        let block = Published::<3>::default();
        block.set_all(&[1, 2, 3]);
        block.set(1, 20);
        assert_eq!(block.get_all(), [1, 20, 3]);
        assert_eq!(std::mem::align_of_val(&block) % 64, 0);
    }
}
