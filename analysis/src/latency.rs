//! Latency percentiles, as points of a curve whose x axis counts nines.
//!
//! A percentile p is drawn at −log₁₀(1 − p): the median at 0.3, 99 % at 2, 99.9 % at 3. On that
//! axis the tail, which is what users feel, gets the room. The points come from the HdrHistogram
//! log when the run has one, else from the few percentiles of the summary. Values of the log are
//! nanoseconds, measured from the planned instant (no coordinated omission); one tag per generator
//! core.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use format::summary::Latency;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use std::collections::BTreeMap;
use std::io::Cursor;
use thiserror::Error;

/// Points a curve has per factor of ten of rarity.
const POINTS_PER_NINE: usize = 16;

/// A percentile and its latency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// −log₁₀(1 − p) of the percentile p.
    pub nines: f64,
    /// Latency in microseconds.
    pub latency_us: f64,
}

/// Histograms of `latency.hlog`, nanoseconds, merged by tag.
#[derive(Clone, Debug, Default)]
pub struct LatencyLog {
    /// One histogram per tag; entries without a tag are under the empty string.
    pub by_tag: BTreeMap<String, Histogram<u64>>,
    /// One histogram per trial, of all tags: the first interval of each tag, the second, and so on.
    pub by_trial: Vec<Histogram<u64>>,
}

/// Why a latency log could not be read.
#[derive(Clone, Debug, Error)]
#[error("entry {entry}: {why}")]
pub struct LogError {
    /// The entry, counted from 1.
    pub entry: usize,
    /// What is wrong with it.
    pub why: String,
}

/// Reads an HdrHistogram interval log.
///
/// # Errors
/// A line that is no log entry, or a histogram that does not decode.
pub fn read_log(bytes: &[u8]) -> Result<LatencyLog, LogError> {
    let mut log = LatencyLog::default();
    let mut deserializer = Deserializer::new();
    let mut seen = BTreeMap::<String, usize>::new();
    for (index, line) in IntervalLogIterator::new(bytes).enumerate() {
        let failed = |why: String| LogError { entry: index + 1, why };
        let line = line.map_err(|error| failed(format!("{error:?}")))?;
        let LogEntry::Interval(interval) = line else { continue };
        let coded =
            STANDARD.decode(interval.encoded_histogram()).map_err(|e| failed(e.to_string()))?;
        let mut histogram: Histogram<u64> = deserializer
            .deserialize(&mut Cursor::new(coded))
            .map_err(|error| failed(format!("{error:?}")))?;
        // Written no larger than its values; the next of its core may hold larger ones.
        histogram.auto(true);
        let tag = interval.tag().map_or("", |tag| tag.as_str()).to_owned();
        let trial = seen.entry(tag.clone()).or_default();
        match log.by_trial.get_mut(*trial) {
            Some(sum) => sum.add(&histogram).map_err(|error| failed(format!("{error:?}")))?,
            None => log.by_trial.push(histogram.clone()),
        }
        *trial += 1;
        match log.by_tag.get_mut(&tag) {
            Some(sum) => sum.add(&histogram).map_err(|error| failed(format!("{error:?}")))?,
            None => {
                log.by_tag.insert(tag, histogram);
            }
        }
    }
    Ok(log)
}

/// The histogram of all cores; `None` if the log holds no value.
pub fn all_cores(log: &LatencyLog) -> Option<Histogram<u64>> {
    let mut histograms = log.by_tag.values().filter(|histogram| !histogram.is_empty());
    let mut sum = histograms.next()?.clone();
    for histogram in histograms {
        // Cannot fail on a histogram that resizes; if it did, the curve would be of fewer cores.
        sum.add(histogram).ok()?;
    }
    Some(sum)
}

/// The curve of a histogram of nanoseconds, from the median to the largest value. Ends where one
/// more nine would be a fraction of a packet.
pub fn curve(histogram: &Histogram<u64>) -> Vec<Point> {
    if histogram.is_empty() {
        return Vec::new();
    }
    let last = (histogram.len() as f64).log10();
    let steps = (last * POINTS_PER_NINE as f64).floor() as usize;
    let mut points: Vec<Point> = (0..=steps)
        .map(|step| step as f64 / POINTS_PER_NINE as f64)
        .map(|nines| Point {
            nines,
            latency_us: histogram.value_at_quantile(1.0 - 10f64.powf(-nines)) as f64 / 1e3,
        })
        .collect();
    points.push(Point { nines: last, latency_us: histogram.max() as f64 / 1e3 });
    points
}

/// The percentiles of a summary, where known; its smallest and largest value have no place on the
/// axis, since the count behind them is not known.
pub fn curve_of_summary(latency: &Latency) -> Vec<Point> {
    [(0.5f64, latency.p50), (0.9, latency.p90), (0.99, latency.p99), (0.999, latency.p999)]
        .into_iter()
        .filter_map(|(p, value)| {
            let latency_us = value.filter(|value| value.is_finite())?;
            Some(Point { nines: -(1.0 - p).log10(), latency_us })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::V2Serializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
    use std::time::Duration;

    fn log_of(cores: &[(&str, std::ops::Range<u64>)]) -> Vec<u8> {
        let mut text = Vec::new();
        let mut serializer = V2Serializer::new();
        let mut writer = IntervalLogWriterBuilder::new()
            .begin_log_with(&mut text, &mut serializer)
            .expect("a vector takes everything");
        for (tag, values) in cores {
            let mut histogram = Histogram::<u64>::new(3).expect("three digits");
            values.clone().for_each(|value| histogram.record(value).expect("resizes"));
            writer
                .write_histogram(&histogram, Duration::ZERO, Duration::ZERO, Tag::new(tag))
                .expect("a vector takes everything");
        }
        drop(writer);
        text
    }

    #[test]
    fn a_log_is_read_back_by_core_and_in_sum() {
        let text = log_of(&[("a", 1_000..2_000), ("b", 9_000..10_000), ("a", 2_000..3_000)]);
        let log = read_log(&text).expect("our own log");
        assert_eq!(log.by_tag["a"].len(), 2_000);
        let trials: Vec<u64> = log.by_trial.iter().map(|trial| trial.len()).collect();
        assert_eq!(trials, [2_000, 1_000], "first intervals of both tags, then the second of one");
        let sum = all_cores(&log).expect("values");
        assert_eq!((sum.len(), sum.min()), (3_000, 1_000));
        let curve = curve(&sum);
        assert!(curve.windows(2).all(|pair| {
            pair[0].nines <= pair[1].nines && pair[0].latency_us <= pair[1].latency_us
        }));
        let last = curve.last().expect("points");
        assert!((last.nines - 3_000f64.log10()).abs() < 1e-9);
        assert!((last.latency_us - 10.0).abs() < 0.02, "{last:?}");
        // 99 % of 3,000 values is the 2,970th: 9.969 µs at three digits.
        let p99 = curve.iter().find(|point| point.nines == 2.0).expect("a whole nine");
        assert!((p99.latency_us - 9.969).abs() < 0.02, "{p99:?}");
    }

    #[test]
    fn a_damaged_log_is_an_error() {
        assert!(read_log(b"Tag=a,0.0,1.0,2.0,notbase64!\n").is_err());
        assert!(read_log(b"nonsense\n").is_err());
        assert!(all_cores(&read_log(b"").expect("an empty log")).is_none());
    }

    #[test]
    fn unknown_percentiles_leave_gaps() {
        let latency = Latency {
            p50: Some(10.0),
            p999: Some(90.0),
            p99: Some(f64::NAN),
            ..Latency::default()
        };
        let nines: Vec<f64> = curve_of_summary(&latency).iter().map(|point| point.nines).collect();
        assert_eq!(nines.len(), 2);
        assert!((nines[1] - 3.0).abs() < 1e-9);
    }
}
