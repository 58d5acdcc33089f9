//! DPDK's `rte_hash`, safe to use: the yardstick of the flow table (`sut/examples/table`).
//!
//! Keys have 16 bytes, the hash function is CRC32C (the default of `rte_hash`), and no flag for
//! concurrency is set. A table has memory of its own on transparent huge pages, as krono's tables
//! have, so that a comparison does not compare page sizes. Where DPDK is not built in the module is
//! there with the same items and [`Hash::new`] says what to install.
//!
//! It refuses to be part of a data plane: nothing in krono's packet path calls it.

/// Bytes of a key.
pub const KEY_BYTES: usize = 16;

/// Keys one call looks up at most.
pub const BURST_MAX: usize = 32;

/// Why a table was not made, or a key not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// DPDK was not found, or not wanted, when this program was built.
    #[error(
        "DPDK is not built in: run `apt-get install libdpdk-dev pkg-config` (22.11 or later), \
         then rebuild"
    )]
    Absent,
    /// The EAL has not been started.
    #[error("DPDK is not started: call `dataplane::port::dpdk::Eal::init` first")]
    NotStarted,
    /// DPDK takes 1 to 2^30 entries.
    #[error("rte_hash has 1 to 2^30 entries, not {0}")]
    Entries(u32),
    /// The table is full for this key.
    #[error("rte_hash is full")]
    Full,
    /// DPDK refused with this errno.
    #[error("rte_hash: errno {0} (12 is want of memory)")]
    Refused(i32),
}

#[cfg(dpdk_found)]
pub use found::Hash;

#[cfg(not(dpdk_found))]
pub use absent::Hash;

#[cfg(dpdk_found)]
mod found {
    use super::{BURST_MAX, HashError, KEY_BYTES};
    use crate::raw;
    use std::ffi::{c_int, c_void};
    use std::ptr::NonNull;
    use std::sync::atomic::{AtomicU32, Ordering};

    const ENOSPC: c_int = 28;

    /// A table of 16-byte keys, each of which has a position: a small number to index an array by.
    #[derive(Debug)]
    pub struct Hash {
        raw: NonNull<raw::RteHash>,
        entries: u32,
    }

    // SAFETY: the table is made of memory alone and knows no thread; without `Sync`, and with the
    // calls that change it behind `&mut`, one thread at a time uses it.
    unsafe impl Send for Hash {}

    impl Hash {
        /// A table with room for `entries` keys; DPDK rounds its buckets up to a power of two.
        ///
        /// # Errors
        /// [`HashError::NotStarted`] before the EAL, [`HashError::Entries`] and
        /// [`HashError::Refused`], usually for want of memory.
        pub fn new(entries: u32) -> Result<Hash, HashError> {
            static NUMBER: AtomicU32 = AtomicU32::new(0);
            if raw::krono_eal_started() == 0 {
                return Err(HashError::NotStarted);
            }
            if !(1..=1 << 30).contains(&entries) {
                return Err(HashError::Entries(entries));
            }
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let mut error = 0;
            // SAFETY: the EAL is running; `error` is written before the return.
            let table = unsafe { raw::krono_hash_create(number, entries, &mut error) };
            let raw = NonNull::new(table).ok_or(HashError::Refused(-error))?;
            Ok(Hash { raw, entries })
        }

        /// Slots of the table's buckets: its load is the keys held by this.
        pub fn slots(&self) -> usize {
            (self.entries as usize).next_power_of_two().max(8)
        }

        /// Bytes of memory held.
        pub fn bytes(&self) -> usize {
            // SAFETY: the table lives as long as `self`.
            unsafe { raw::krono_hash_bytes(self.raw.as_ptr()) }
        }

        /// Adds a key, or finds it: its position, below [`Hash::slots`].
        ///
        /// # Errors
        /// [`HashError::Full`] when there is no room, [`HashError::Refused`] otherwise.
        #[inline]
        pub fn add(&mut self, key: &[u8; KEY_BYTES]) -> Result<u32, HashError> {
            // SAFETY: the table lives and is borrowed alone; DPDK copies the 16 bytes of the key.
            let position = unsafe { raw::krono_hash_add(self.raw.as_ptr(), key.as_ptr().cast()) };
            u32::try_from(position).map_err(|_| match -position {
                ENOSPC => HashError::Full,
                errno => HashError::Refused(errno),
            })
        }

        /// Removes a key: the position it had, if it was there.
        pub fn remove(&mut self, key: &[u8; KEY_BYTES]) -> Option<u32> {
            // SAFETY: as in `add`.
            let gone = unsafe { raw::krono_hash_remove(self.raw.as_ptr(), key.as_ptr().cast()) };
            u32::try_from(gone).ok()
        }

        /// Looks up to 32 keys up at once; `positions[i]` is that of `keys[i]`, negative where it
        /// is not in the table.
        ///
        /// # Panics
        /// On more than 32 keys.
        #[inline]
        pub fn lookup_burst(&self, keys: &[[u8; KEY_BYTES]], positions: &mut [i32; BURST_MAX]) {
            assert!(keys.len() <= BURST_MAX, "rte_hash: {} keys in a burst", keys.len());
            if keys.is_empty() {
                return;
            }
            let mut pointers = [std::ptr::null::<c_void>(); BURST_MAX];
            for (pointer, key) in pointers.iter_mut().zip(keys) {
                *pointer = key.as_ptr().cast();
            }
            // SAFETY: as many pointers to keys of 16 bytes as told, none beyond what DPDK takes,
            // and room for as many positions; the table lives and is only read.
            unsafe {
                raw::krono_hash_lookup_bulk(
                    self.raw.as_ptr(),
                    pointers.as_mut_ptr(),
                    keys.len() as u32,
                    positions.as_mut_ptr(),
                );
            }
        }
    }

    impl Drop for Hash {
        fn drop(&mut self) {
            // SAFETY: nobody else has the table.
            unsafe { raw::krono_hash_free(self.raw.as_ptr()) }
        }
    }
}

#[cfg(not(dpdk_found))]
mod absent {
    use super::{BURST_MAX, HashError, KEY_BYTES};

    /// A table of DPDK, which this build cannot have.
    #[derive(Debug)]
    pub enum Hash {}

    impl Hash {
        /// Always [`HashError::Absent`] in this build.
        ///
        /// # Errors
        /// As said.
        pub fn new(_entries: u32) -> Result<Hash, HashError> {
            Err(HashError::Absent)
        }

        /// Not reached.
        pub fn slots(&self) -> usize {
            match *self {}
        }

        /// Not reached.
        pub fn bytes(&self) -> usize {
            match *self {}
        }

        /// Not reached.
        ///
        /// # Errors
        /// None: it is not reached.
        pub fn add(&mut self, _key: &[u8; KEY_BYTES]) -> Result<u32, HashError> {
            match *self {}
        }

        /// Not reached.
        pub fn remove(&mut self, _key: &[u8; KEY_BYTES]) -> Option<u32> {
            match *self {}
        }

        /// Not reached.
        pub fn lookup_burst(&self, _keys: &[[u8; KEY_BYTES]], _at: &mut [i32; BURST_MAX]) {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_not_made_without_dpdk_running() {
        let error = Hash::new(1024).expect_err("refused");
        if cfg!(dpdk_found) {
            assert_eq!(error, HashError::NotStarted);
        } else {
            assert!(error.to_string().contains("apt-get install libdpdk-dev pkg-config"));
        }
    }
}
