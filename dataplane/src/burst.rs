//! Packets travel in bursts of up to 32: enough to hide the latency of one cache miss behind the
//! others, few enough to stay in the first-level cache.

use arrayvec::ArrayVec;

/// Largest number of frames one call receives or sends.
pub const BURST: usize = 32;

/// Frames in flight between two stages of one core, in order of arrival.
pub type Burst<F> = ArrayVec<F, BURST>;
