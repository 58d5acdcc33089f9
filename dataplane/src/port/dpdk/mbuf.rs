//! A packet buffer of DPDK as an owned handle.

use crate::frame::{CAPACITY, Frame, HEAD};
use std::ptr::NonNull;

/// An owned packet buffer of one segment with [`CAPACITY`] bytes after its headroom.
///
/// Exactly one handle exists for each buffer outside its pool and the devices, and the buffer has
/// one owner in DPDK's count, too: that is what makes `&mut [u8]` on its bytes sound. Every byte
/// of a buffer was zeroed when its pool was made.
///
/// A handle that is dropped gives its buffer back to the pool, at the price of a call each; the
/// packet path uses `Port::free` and `Port::tx`, which move bursts. A handle may outlive the port
/// it came from: pools last as long as the process.
#[derive(Debug)]
#[repr(transparent)]
pub struct Mbuf(NonNull<dpdk_sys::Mbuf>);

// SAFETY: the handle is the only way to the buffer, and pools take buffers back from any thread.
unsafe impl Send for Mbuf {}
// SAFETY: a shared handle only reads the buffer.
unsafe impl Sync for Mbuf {}

impl Mbuf {
    /// Whether the buffer keeps what this type promises. Devices hand over nothing else when they
    /// are set up as ours are, unless a memif peer sends frames longer than its buffers.
    ///
    /// All fields read are in the line that receiving has just written.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        let mbuf = self.descriptor();
        mbuf.nb_segs == 1
            && mbuf.refcnt == 1
            && usize::from(mbuf.data_off) + CAPACITY <= usize::from(mbuf.buf_len)
            && usize::from(mbuf.data_len) <= CAPACITY
    }

    #[inline]
    fn descriptor(&self) -> &dpdk_sys::Mbuf {
        // SAFETY: a pool's memory is never unmapped, and DPDK does not write the descriptor of a
        // buffer that is neither in the pool nor with a device.
        unsafe { self.0.as_ref() }
    }

    #[inline]
    fn data(&self) -> *mut u8 {
        let mbuf = self.descriptor();
        // SAFETY: `is_plain` held when the handle was made, so the offset is inside the buffer.
        unsafe { mbuf.buf_addr.add(usize::from(mbuf.data_off)) }
    }
}

impl Frame for Mbuf {
    #[inline]
    fn len(&self) -> usize {
        usize::from(self.descriptor().data_len)
    }

    #[inline]
    fn set_len(&mut self, len: usize) {
        assert!(len <= CAPACITY, "a frame holds at most {CAPACITY} bytes, not {len}");
        // SAFETY: as in `descriptor`, and `&mut self` excludes readers.
        let mbuf = unsafe { self.0.as_mut() };
        mbuf.data_len = len as u16;
        mbuf.pkt_len = len as u32;
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        // SAFETY: `data` is followed by CAPACITY initialised bytes, of which `len` is no more, and
        // the borrow of the only handle keeps writers out.
        unsafe { std::slice::from_raw_parts(self.data(), self.len()) }
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `&mut self` excludes readers.
        unsafe { std::slice::from_raw_parts_mut(self.data(), self.len()) }
    }

    #[inline]
    fn head(&self) -> &[u8; HEAD] {
        // SAFETY: as in `bytes`; HEAD is less than CAPACITY.
        unsafe { &*self.data().cast::<[u8; HEAD]>() }
    }

    #[inline]
    fn head_mut(&mut self) -> &mut [u8; HEAD] {
        // SAFETY: as in `head`, and `&mut self` excludes readers.
        unsafe { &mut *self.data().cast::<[u8; HEAD]>() }
    }
}

const _: () = assert!(HEAD <= CAPACITY);

impl Drop for Mbuf {
    fn drop(&mut self) {
        // SAFETY: the only handle gives up its buffer; pools take them back from any thread.
        unsafe { dpdk_sys::krono_mbuf_free(self.0.as_ptr()) };
    }
}
