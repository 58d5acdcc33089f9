//! How many entries a table holds: double until it does not hold them any more, then bisect
//! (RFC 9693 section 4.8).

use super::Range;
use super::bisect::{Bracket, narrow};

/// Doubles from the least size of `range` until one does not hold, then bisects to `precision`.
///
/// # Errors
/// The first one of `holds`.
pub fn search<E>(
    range: Range,
    precision: f64,
    mut holds: impl FnMut(f64) -> Result<bool, E>,
) -> Result<Bracket, E> {
    let mut lower = None;
    let mut size = range.min;
    loop {
        if !holds(size)? {
            return match lower {
                Some(lower) => narrow(lower, size, precision, holds),
                None => Ok(Bracket { lower: None, upper: Some(size) }),
            };
        }
        lower = Some(size);
        if size >= range.max {
            return Ok(Bracket { lower, upper: None });
        }
        size = (size * 2.0).min(range.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    proptest! {
        #[test]
        fn the_size_is_found_and_never_more_than_doubled(table in 1u64..4_000_000, from in 1u64..5_000) {
            let (table, range) = (table as f64, Range::new(from as f64, 2_000_000.0));
            let mut largest = 0.0f64;
            let found = search(range, 0.0, |size| {
                largest = largest.max(size);
                Ok::<_, Infallible>(size <= table)
            });
            let Ok(found) = found;
            if table < from as f64 {
                prop_assert_eq!(found.lower, None);
            } else {
                prop_assert_eq!(found.lower, Some(table.min(2_000_000.0)), "{:?}", found);
                prop_assert!(largest <= 2.0 * table, "{largest} asked of {table}");
            }
        }
    }
}
