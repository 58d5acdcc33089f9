//! What only the processor can say or do: its cycle counter, cache prefetch and vector compares.
//!
//! One of the three places with `unsafe`. Each function has a scalar twin that other processors use
//! and that the tests hold it against.
#![allow(unsafe_code)]

/// Reads the time stamp counter: constant rate, synchronised between cores, not serialising.
#[cfg(target_arch = "x86_64")]
#[inline]
pub fn cycles() -> u64 {
    // SAFETY: RDTSC reads a register and has no other effect.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Reads a monotonic counter where the processor has none we know: nanoseconds.
#[cfg(not(target_arch = "x86_64"))]
pub fn cycles() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    ORIGIN.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// Asks for the cache line of `target`, to be read.
#[inline]
pub fn prefetch<T: ?Sized>(target: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address has no architectural effect.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(core::ptr::from_ref(target).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = target;
}

/// Asks for the cache line of `target`, to be written: on a line another core has dirtied this
/// saves the second transfer (in a prototype 32 instead of 61 cycles per packet).
#[inline]
pub fn prefetch_write<T: ?Sized>(target: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address has no architectural effect; processors without PREFETCHW
    // execute it as a no-operation.
    unsafe {
        core::arch::asm!(
            "prefetchw [{}]",
            in(reg) core::ptr::from_ref(target).cast::<u8>(),
            options(nostack, preserves_flags, readonly)
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = target;
}

/// Bit i is set where `lanes[i] == wanted`.
#[inline]
pub fn equal_lanes(lanes: &[u16; 8], wanted: u16) -> u8 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE2 is part of x86-64; the unaligned load reads exactly the array.
    unsafe {
        use core::arch::x86_64::*;
        let lanes = _mm_loadu_si128(lanes.as_ptr().cast());
        let equal = _mm_cmpeq_epi16(lanes, _mm_set1_epi16(wanted as i16));
        _mm_movemask_epi8(_mm_packs_epi16(equal, _mm_setzero_si128())) as u8
    }
    #[cfg(not(target_arch = "x86_64"))]
    equal_lanes_scalar(lanes, wanted)
}

/// The scalar twin of [`equal_lanes`].
pub fn equal_lanes_scalar(lanes: &[u16; 8], wanted: u16) -> u8 {
    lanes.iter().enumerate().fold(0, |mask, (i, &lane)| mask | (u8::from(lane == wanted) << i))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn vector_compare_equals_its_scalar_twin(lanes: [u16; 8], pick in 0usize..8, other: u16) {
            for wanted in [lanes[pick], other] {
                prop_assert_eq!(equal_lanes(&lanes, wanted), equal_lanes_scalar(&lanes, wanted));
            }
        }
    }

    #[test]
    fn the_cycle_counter_advances() {
        let before = cycles();
        std::thread::sleep(std::time::Duration::from_millis(1));
        assert!(cycles() > before);
        prefetch(&before);
        prefetch_write(&before);
    }
}
