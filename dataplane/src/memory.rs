//! Large fixed arrays on huge pages: tables and frame arenas that are made once and never grow.
//!
//! 4 KiB pages cost a large table (15 to 30 % in prototypes) in address translation, so
//! the kernel is asked for 2 MiB pages (`madvise(MADV_HUGEPAGE)`); where it has none the array
//! still works. Arrays of 1 GiB and more lie on pages of 1 GiB where enough of them have been reserved
//! (`hugepages-1048576kB/nr_hugepages`). Reserved pages of 2 MiB are left to DPDK: transparent ones are
//! as good here. Memory is touched at start, so that no page fault falls into a measurement.
#![allow(unsafe_code)]

use memmap2::{Advice, MmapMut, MmapOptions};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A zeroed array of `T` in its own mapping.
///
/// The typed pointer is kept beside the mapping it points into: checking alignment and length anew
/// at every access is paid several times a packet (`docs/adr/0007-typed-pages.md`).
pub struct Pages<T> {
    first: NonNull<T>,
    count: usize,
    map: MmapMut,
}

// SAFETY: the pointer is into the mapping beside it, which nobody else has; sending or sharing the
// array is sending or sharing its elements.
unsafe impl<T: Send> Send for Pages<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Pages<T> {}

const HUGE: usize = 2 << 20;
const GIGANTIC: usize = 1 << 30;

impl<T: FromBytes + IntoBytes + KnownLayout + Immutable> Pages<T> {
    /// An array of `count` zeroed elements, resident when this returns.
    ///
    /// # Errors
    /// When the kernel refuses the address space.
    pub fn zeroed(count: usize) -> std::io::Result<Self> {
        let bytes = count
            .checked_mul(size_of::<T>())
            .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::OutOfMemory))?;
        let mut map = match gigantic(bytes) {
            Some(map) => map,
            None => {
                let map = MmapMut::map_anon(bytes.next_multiple_of(HUGE).max(HUGE))?;
                // Refused where transparent huge pages are off; the array is then merely slower.
                let _ = map.advise(Advice::HugePage);
                map
            }
        };
        for page in map[..bytes].chunks_mut(4096) {
            page[0] = 0;
        }
        let elements = <[T]>::mut_from_bytes(&mut map[..bytes]);
        let elements = elements.unwrap_or_else(|_| panic!("a mapping is page-aligned"));
        let first = NonNull::from(&mut *elements).cast();
        Ok(Self { first, count, map })
    }

    /// Bytes of memory held, whole pages included.
    pub fn resident_bytes(&self) -> usize {
        self.map.len()
    }
}

/// A mapping of reserved 1 GiB pages, if the array fills one and so many are free: the kernel sets
/// them aside here or refuses, so that touching them cannot fail later.
fn gigantic(bytes: usize) -> Option<MmapMut> {
    if bytes < GIGANTIC {
        return None;
    }
    let len = bytes.checked_next_multiple_of(GIGANTIC)?;
    MmapOptions::new().len(len).huge(Some(GIGANTIC.trailing_zeros() as u8)).map_anon().ok()
}

impl<T> Deref for Pages<T> {
    type Target = [T];
    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: `first` and `count` were taken from a slice over the mapping, which lives as long
        // as `self` and is never moved, resized or reached otherwise.
        unsafe { slice::from_raw_parts(self.first.as_ptr(), self.count) }
    }
}

impl<T> DerefMut for Pages<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`; the exclusive borrow of `self` makes this the only reference.
        unsafe { slice::from_raw_parts_mut(self.first.as_ptr(), self.count) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_zeroed_aligned_and_keeps_what_is_written() {
        let mut pages = Pages::<u64>::zeroed(1_000).unwrap();
        assert!(pages.iter().all(|&word| word == 0));
        assert_eq!((pages.len(), pages.resident_bytes()), (1_000, HUGE));
        pages[999] = 7;
        let moved = pages;
        assert_eq!((moved[999], moved.as_ptr().align_offset(4096)), (7, 0));
        assert_eq!(Pages::<u64>::zeroed(0).unwrap().len(), 0);
    }

    #[test]
    fn an_array_of_a_gigabyte_works_whether_such_pages_are_reserved_or_not() {
        let mut pages = Pages::<u64>::zeroed(GIGANTIC / 8 + 1).unwrap();
        let reserved = pages.resident_bytes() == 2 * GIGANTIC;
        assert!(reserved || pages.resident_bytes() == GIGANTIC + HUGE);
        *pages.last_mut().unwrap() = 7;
        assert_eq!((pages[0], pages[GIGANTIC / 8]), (0, 7));
    }

    #[test]
    fn more_than_the_address_space_is_refused() {
        assert!(Pages::<[u8; 4096]>::zeroed(usize::MAX / 2).is_err());
        assert!(Pages::<u64>::zeroed(1 << 58).is_err());
    }
}
