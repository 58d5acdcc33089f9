//! Packet buffers: fixed memory, moved between owners, never copied or allocated after start.
//!
//! A [`Buffer`] keeps its 4 bytes of metadata in the same cache line as the packet's headers, so a
//! packet costs one line: 4 + Ethernet 14 + IPv4 20 + TCP 20 + 6 bytes of payload = 64. Payload
//! beyond that line is written once, when the arena is made, and never touched again.

use crate::memory::Pages;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of every frame that can be reached without a length check.
pub const HEAD: usize = 60;

/// Bytes a [`Buffer`] holds: an Ethernet frame of 1,518 with room for tunnels.
pub const CAPACITY: usize = 2108;

/// Shortest Ethernet frame without its frame check sequence (IEEE 802.3 §3.2.7).
pub const SHORTEST: usize = 60;

/// The frame check sequence, which is part of every published frame size and of no buffer.
pub const FCS: usize = 4;

/// An owned handle on one packet buffer. Dropping it without `Port::free` or `Port::tx` loses the
/// buffer to its pool.
pub trait Frame {
    /// Bytes of the frame, headers first, without frame check sequence.
    fn len(&self) -> usize;
    /// Whether the frame has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Sets the length; bytes that become visible keep their old content.
    ///
    /// # Panics
    /// If `len` exceeds the buffer.
    fn set_len(&mut self, len: usize);
    /// The frame's bytes.
    fn bytes(&self) -> &[u8];
    /// The frame's bytes, to change.
    fn bytes_mut(&mut self) -> &mut [u8];
    /// The first 60 bytes of the buffer, present whatever the frame's length: check [`Frame::len`]
    /// once, then use fixed offsets.
    fn head(&self) -> &[u8; HEAD];
    /// The first 60 bytes of the buffer, to change.
    fn head_mut(&mut self) -> &mut [u8; HEAD];
}

/// One packet buffer of an [`Arena`]. 33 cache lines: an odd stride spreads the header lines over
/// all sets of the caches, which a stride of 2,048 does not (5 cycles per packet in a prototype).
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C, align(64))]
pub struct Buffer {
    len: u16,
    /// Port whose pool the buffer belongs to.
    pub(crate) owner: u16,
    data: [u8; CAPACITY],
}

impl Frame for &mut Buffer {
    #[inline]
    fn len(&self) -> usize {
        usize::from(self.len)
    }
    #[inline]
    fn set_len(&mut self, len: usize) {
        assert!(len <= CAPACITY, "a frame holds at most {CAPACITY} bytes, not {len}");
        self.len = len as u16;
    }
    #[inline]
    fn bytes(&self) -> &[u8] {
        &self.data[..usize::from(self.len)]
    }
    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.data[..usize::from(self.len)]
    }
    #[inline]
    fn head(&self) -> &[u8; HEAD] {
        self.data.first_chunk().expect("the buffer is longer than its head")
    }
    #[inline]
    fn head_mut(&mut self) -> &mut [u8; HEAD] {
        self.data.first_chunk_mut().expect("the buffer is longer than its head")
    }
}

/// The memory of all buffers of one in-memory network.
pub struct Arena(Pages<Buffer>);

impl Arena {
    /// Zeroed memory for `frames` buffers, on huge pages where the kernel has them.
    pub fn new(frames: usize) -> std::io::Result<Self> {
        Pages::zeroed(frames).map(Self)
    }

    /// Every buffer once, to be divided among pools.
    pub fn buffers(&mut self) -> std::slice::IterMut<'_, Buffer> {
        self.0.iter_mut()
    }
}
