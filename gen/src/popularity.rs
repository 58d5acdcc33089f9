//! How unequally data packets are shared out among the connections of a core: by Zipf's law.
//!
//! The k-th most used of n connections gets packets in proportion to 1 / kˢ. A draw is a look into the
//! inverse of the cumulated shares at 8,192 equidistant points, and a straight line between two of them:
//! O(1), no rejection, no floating point, whatever n. A line is exact for connections with a share above
//! one in 8,192, to which all of it belongs, and misses the others by as much as shares differ within it:
//! 0.1 % at s = 1 and 1 % at s = 1.2 for a million connections, and more in the far tail above that,
//! which is why s ends at 1.5.
//!
//! Places are dealt over a ring of as many as the phase has connections, in an order that the seed draws.
//! The n-th connection ever opened has the place n modulo the ring: it keeps it for life, and whoever is
//! opened when it is closed inherits it. So connections that live equally long have lengths, in packets,
//! with Pareto's tail of index 1/s.

/// Largest exponent.
pub const EXPONENT_MAX: f64 = 1.5;

/// Points of the inverse, as a power of two: 64 KiB.
const POINTS_LOG: u32 = 13;
/// Places summed one by one; beyond them the sum is an integral, off by less than 10⁻¹⁰.
const EXACT: u32 = 1 << 16;

/// Shares of the connections of one core.
#[derive(Clone, Debug)]
pub struct Popularity {
    /// The place at which so many 8,192ths of all packets are shared out, times 2³².
    points: Box<[u64]>,
    /// Places of the phase, at most as many as points were made for.
    ring: u32,
    /// Share of the packets, times 2⁶⁴, that these places have among all.
    top: u64,
    /// Residue of the most used place, and distance from one place to the next less used one.
    first: u64,
    stride: u64,
    seed: u64,
}

impl Popularity {
    /// Shares by `exponent` for up to `connections`, dealt by `seed`.
    ///
    /// # Panics
    /// If there are no connections; `Config::validate` refuses that.
    pub fn new(exponent: f64, connections: u32, seed: u64) -> Popularity {
        assert!(connections > 0, "shares are of something");
        let mut popularity = Popularity {
            points: points(exponent, connections),
            ring: 0,
            top: 0,
            first: 0,
            stride: 0,
            seed,
        };
        popularity.begin(connections);
        popularity
    }

    /// Deals the places for a phase of so many connections; at least one, and at most as many as there
    /// are shares for.
    pub fn begin(&mut self, connections: u32) {
        let most = self.points[self.points.len() - 1] >> 32;
        self.ring = connections.clamp(1, most as u32);
        self.top = self.share_below(self.ring);
        let ring = u64::from(self.ring);
        self.first = self.seed % ring;
        // Near the golden section, so that often used connections are far from each other.
        let golden = (ring as f64 * 0.618_033_988_75) as u64;
        let coprime = |stride: &u64| gcd(*stride, ring) == 1;
        self.stride = (golden.max(1)..).find(coprime).expect("ring + 1 is coprime to ring") % ring;
    }

    /// Share of the packets, times 2⁶⁴, that go to the `count` most used places.
    fn share_below(&self, count: u32) -> u64 {
        let wanted = u64::from(count) << 32;
        let after = self.points.partition_point(|&point| point <= wanted);
        if after == self.points.len() {
            return u64::MAX;
        }
        let (low, high) = (self.points[after - 1], self.points[after]);
        let width = 1u128 << (64 - POINTS_LOG);
        let into = u128::from(wanted - low) * width / u128::from(high - low);
        ((after as u128 - 1) * width + into) as u64
    }

    /// The place, counted from the most used one, that 64 random bits draw.
    #[inline]
    fn place(&self, random: u64) -> u32 {
        let share = ((u128::from(random) * u128::from(self.top)) >> 64) as u64;
        let point = (share >> (64 - POINTS_LOG)) as usize;
        let (low, high) = (self.points[point], self.points[point + 1]);
        let into = (u128::from(high - low) * u128::from(share << POINTS_LOG)) >> 64;
        // The last place may be missed by rounding.
        (((low + into as u64) >> 32) as u32).min(self.ring - 1)
    }

    /// The residue by which a position has its place.
    #[inline]
    pub fn residue(&self, position: u64) -> u32 {
        (position % u64::from(self.ring)) as u32
    }

    /// How far behind the oldest of `held` connections, whose residue is `closing`, the one is that
    /// `random` draws; `None` where nobody holds its place. Of several that do, `spare` picks one.
    #[inline]
    pub fn draw(&self, random: u64, closing: u32, held: u32, spare: u32) -> Option<u32> {
        let ring = u64::from(self.ring);
        let place = u64::from(self.place(random));
        let residue = ((place * self.stride + self.first) % ring) as u32;
        let behind = residue + if residue < closing { self.ring } else { 0 } - closing;
        if behind >= held {
            return None;
        }
        if held <= self.ring {
            return Some(behind);
        }
        let sharers = (held - 1 - behind) / self.ring + 1;
        Some(behind + self.ring * ((u64::from(spare) * u64::from(sharers)) >> 32) as u32)
    }
}

/// Inverse of the cumulated shares, from 0 to `connections`.
fn points(exponent: f64, connections: u32) -> Box<[u64]> {
    let share = |place: u32| f64::from(place).powf(-exponent);
    let exact = connections.min(EXACT);
    let head: f64 = (1..=exact).map(share).sum();
    // ∫ x^-s dx, and its inverse.
    let slope = 1.0 - exponent;
    let flat = slope.abs() < 1e-9;
    let integral = |x: f64| if flat { x.ln() } else { x.powf(slope) / slope };
    let inverse = |y: f64| if flat { y.exp() } else { (y * slope).powf(1.0 / slope) };
    let from = integral(f64::from(exact) + 0.5);
    let all = head + integral(f64::from(connections) + 0.5) - from;
    let (mut place, mut below) = (0, 0.0);
    let mut point = |index: u32| {
        let wanted = all * f64::from(index) / f64::from(1 << POINTS_LOG);
        while place < exact && below + share(place + 1) <= wanted {
            place += 1;
            below += share(place);
        }
        let x = if place < exact {
            f64::from(place) + (wanted - below) / share(place + 1)
        } else {
            inverse(from + wanted - head) - 0.5
        };
        (x.clamp(0.0, f64::from(connections)) * (1u64 << 32) as f64) as u64
    };
    let mut points: Box<[u64]> = (0..=1 << POINTS_LOG).map(&mut point).collect();
    // All of them have been shared out at the end, whatever was lost in sums.
    points[1 << POINTS_LOG] = u64::from(connections) << 32;
    points
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand_core::{RngCore, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    /// Largest error of a share, relative to Zipf's, over places that `among` says.
    fn error(exponent: f64, of: u32, ring: u32, among: impl Iterator<Item = u32>) -> f64 {
        let mut popularity = Popularity::new(exponent, of, 7);
        popularity.begin(ring);
        let all: f64 = (1..=ring).map(|k| f64::from(k).powf(-exponent)).sum();
        let top = popularity.top as f64;
        let error = |place: u32| {
            let [from, to] = [place - 1, place].map(|count| popularity.share_below(count));
            let expected = f64::from(place).powf(-exponent) / all;
            ((to - from) as f64 / top / expected - 1.0).abs()
        };
        among.map(error).fold(0.0, f64::max)
    }

    #[test]
    fn shares_are_those_of_zipf() {
        assert!(error(1.0, 1000, 1000, 1..=1000) < 1e-3);
        assert!(error(0.5, 1000, 300, 1..=300) < 1e-3);
        assert!(error(1.5, 1000, 1000, 1..=1000) < 0.02);
        let million = || (1..1000).chain((1000..1_000_000).step_by(997));
        assert!(error(0.8, 1_000_000, 1_000_000, million()) < 2e-3);
        assert!(error(1.0, 1_000_000, 1_000_000, million()) < 2e-3);
        assert!(error(1.2, 1_000_000, 1_000_000, million()) < 0.01);
    }

    #[test]
    fn draws_fit_zipf_by_chi_square() {
        let (exponent, places, draws) = (1.0, 100u32, 200_000u32);
        let popularity = Popularity::new(exponent, places, 0);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(24301);
        let mut counts = vec![0u32; places as usize];
        for _ in 0..draws {
            counts[popularity.place(rng.next_u64()) as usize] += 1;
        }
        let all: f64 = (1..=places).map(|k| 1.0 / f64::from(k)).sum();
        let square: f64 = (1..)
            .zip(&counts)
            .map(|(k, &count)| {
                let expected = f64::from(draws) / f64::from(k) / all;
                (f64::from(count) - expected).powi(2) / expected
            })
            .sum();
        // 99 degrees of freedom: mean 99, and 148.2 is exceeded once in a thousand times.
        assert!(square < 148.2, "{square}");
        // The test can tell: of an even distribution it is far beyond.
        let even = f64::from(draws) / f64::from(places);
        assert!(counts.iter().map(|&n| (f64::from(n) - even).powi(2) / even).sum::<f64>() > 1e5);
    }

    proptest! {
        #[test]
        fn each_place_belongs_to_one_connection(
            ring in 1u32..300, seed: u64, closing in 0u64..10_000, held in 0u32..600,
        ) {
            let mut popularity = Popularity::new(0.1, 300, seed);
            popularity.begin(ring);
            let residue = popularity.residue(closing);
            let mut drawn = vec![false; held as usize];
            for place in 0..ring {
                // The middle of the place's share draws it.
                let [a, b] = [place, place + 1].map(|count| popularity.share_below(count) >> 1);
                let random = ((u128::from(a + b) << 64) / u128::from(popularity.top)) as u64;
                prop_assert_eq!(popularity.place(random), place);
                for spare in [0, u32::MAX] {
                    if let Some(index) = popularity.draw(random, residue, held, spare) {
                        prop_assert!(index < held);
                        drawn[index as usize] = true;
                    }
                }
                // Whoever follows in the queue does not move it.
                let later = popularity.draw(random, residue, held.max(1) + ring, 0);
                prop_assert!(later.is_some());
            }
            let seen = drawn.iter().filter(|&&drawn| drawn).count() as u32;
            prop_assert!(seen >= held.min(ring));
        }
    }

    #[test]
    fn a_place_is_kept_for_life() {
        let mut popularity = Popularity::new(1.0, 1000, 99);
        popularity.begin(100);
        let holder = |closing: u64, held: u32| {
            let residue = popularity.residue(closing);
            popularity.draw(1 << 40, residue, held, 0).map(|behind| closing + u64::from(behind))
        };
        let first = holder(0, 100).expect("all places are held");
        // The same connection until it closes, and then the one a ring further.
        assert!((0..=first).all(|closing| holder(closing, 100) == Some(first)));
        assert_eq!(holder(first + 1, 100), Some(first + 100));
        assert_eq!(holder(first + 1, 99), None);
    }
}
