//! Large fixed arrays on huge pages: tables and frame arenas that are made once and never grow.
//!
//! 4 KiB pages cost a table of a million entries 15 to 30 % of its speed in address translation, so
//! the kernel is asked for 2 MiB pages (`madvise(MADV_HUGEPAGE)`); where it has none the array
//! still works. Memory is touched at start, so that no page fault falls into a measurement.

use memmap2::{Advice, MmapMut};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A zeroed array of `T` in its own mapping.
pub struct Pages<T> {
    map: MmapMut,
    bytes: usize,
    element: PhantomData<T>,
}

const HUGE: usize = 2 << 20;

impl<T: FromBytes + IntoBytes + KnownLayout + Immutable> Pages<T> {
    /// An array of `count` zeroed elements, resident when this returns.
    ///
    /// # Errors
    /// When the kernel refuses the address space.
    pub fn zeroed(count: usize) -> std::io::Result<Self> {
        let bytes = count
            .checked_mul(size_of::<T>())
            .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::OutOfMemory))?;
        let mut map = MmapMut::map_anon(bytes.next_multiple_of(HUGE).max(HUGE))?;
        // Refused where transparent huge pages are off; the array is then merely slower.
        let _ = map.advise(Advice::HugePage);
        for page in map[..bytes].chunks_mut(4096) {
            page[0] = 0;
        }
        Ok(Self { map, bytes, element: PhantomData })
    }

    /// Bytes of memory held, whole pages included.
    pub fn resident_bytes(&self) -> usize {
        self.map.len()
    }
}

impl<T: FromBytes + IntoBytes + KnownLayout + Immutable> Deref for Pages<T> {
    type Target = [T];
    #[inline]
    fn deref(&self) -> &[T] {
        <[T]>::ref_from_bytes(&self.map[..self.bytes]).expect("a mapping is page-aligned")
    }
}

impl<T: FromBytes + IntoBytes + KnownLayout + Immutable> DerefMut for Pages<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        <[T]>::mut_from_bytes(&mut self.map[..self.bytes]).expect("a mapping is page-aligned")
    }
}
