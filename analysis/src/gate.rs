//! The performance gate: is the candidate slower than the base, and how sure is that.
//!
//! Pure functions of numbers that others measured. [`row`] is the verdict on one metric in the words
//! that tables and exporters share. The caller is `krono gate`.

pub mod row;

pub use row::{Class, Direction, Row};
