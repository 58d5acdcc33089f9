//! Bindings to the DPDK functions krono uses: the only crate that links C.
//!
//! DPDK is found by pkg-config (`libdpdk`, 22.11 or later) and linked shared; `shim.c` gives a
//! symbol to what DPDK has only inline, and the declarations are written by hand, one for each
//! function of the shim. Drivers are not linked: the EAL opens those of the distribution's driver
//! directory when it starts. `gate.c` keeps the EAL's interrupt thread from unmapping a memif
//! peer's memory under a burst.
//!
//! Where DPDK is missing, or `KRONO_WITHOUT_DPDK=1` is set when building, nothing is declared here
//! and the build script does not set `DEP_DPDK_SHIM_FOUND` for its dependents; [`hash`] is there all
//! the same and says what to install.
//!
//! The declarations are not safe to call as they stand: `dataplane::port::dpdk` is the only caller
//! and says which rules it keeps. [`hash`], which nothing on a packet path uses, is safe.
#![cfg_attr(not(dpdk_found), forbid(unsafe_code))]

pub mod hash;
#[cfg(dpdk_found)]
mod raw;

#[cfg(dpdk_found)]
pub use raw::*;
