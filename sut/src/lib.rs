//! sut
#![forbid(unsafe_code)]

pub mod ports;
pub mod table;
