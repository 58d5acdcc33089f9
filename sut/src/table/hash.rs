//! From a 5-tuple to a bucket and a tag, keyed by a secret.
//!
//! Two folded 64x64→128-bit multiplications for IPv4, one for every two words and one more for
//! longer keys. A CRC would be faster still, but it is linear: keys
//! that collide under one seed collide under all, and a flood of them makes every lookup a walk.

use super::place::Places;
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// A connection as its packets show it, in host byte order. ICMP queries have their identifier in
/// place of the subscriber's port, and 0 in place of the remote's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Key {
    /// Source IPv4 address.
    pub src: u32,
    /// Destination IPv4 address.
    pub dst: u32,
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// IPv4 protocol number.
    pub protocol: u8,
}

/// What a table needs of a key: its home bucket, and a tag that is never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hash {
    pub(crate) home: u32,
    pub(crate) tag: u16,
}

impl Hash {
    /// Of no key: what a packet carries that needs no lookup.
    pub const NONE: Hash = Hash { home: 0, tag: 1 };
}

/// The secret part of the hash.
pub(crate) struct Secret([u64; 4]);

impl Secret {
    pub(crate) fn new(seed: u64) -> Secret {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut words = [0; 4].map(|_: u64| random.next_u64());
        // Ports and protocol fill 40 bits: with the top bit set no factor is zero for any of them.
        words[1] |= 1 << 63;
        words[3] |= 1 << 63;
        Secret(words)
    }

    #[inline]
    pub(crate) fn hash(&self, key: &Key, places: &Places) -> Hash {
        place(self.bits(key), places)
    }

    #[inline]
    pub(crate) fn hash_words<const N: usize>(&self, words: &[u64; N], places: &Places) -> Hash {
        place(self.bits_of_words(words), places)
    }

    #[inline]
    fn bits(&self, key: &Key) -> u64 {
        let [s0, s1, s2, s3] = self.0;
        let addresses = u64::from(key.src) << 32 | u64::from(key.dst);
        let ports =
            u64::from(key.src_port) << 24 | u64::from(key.dst_port) << 8 | u64::from(key.protocol);
        let (low, high) = product(addresses ^ s0, ports ^ s1);
        // The ports again, for the one address pair that equals the secret: a factor of zero.
        let (low, high) = product(low ^ s2, high ^ ports ^ s3);
        low ^ high
    }

    /// Two words a multiplication, each a factor that the words before it and the secret have
    /// changed, and one multiplication more so that the last words reach every bit.
    #[inline]
    fn bits_of_words<const N: usize>(&self, words: &[u64; N]) -> u64 {
        let [s0, s1, s2, s3] = self.0;
        let (mut low, mut high) = (s0, s1);
        let (pairs, last) = words.as_chunks::<2>();
        for [a, b] in pairs {
            (low, high) = product(low ^ a, high ^ b);
        }
        if let [last] = last {
            (low, high) = product(low ^ last, high ^ s3);
        }
        let (low, high) = product(low ^ s2, high ^ s3);
        low ^ high
    }
}

/// Home from the upper 32 bits, tag from the lower 16: independent of each other.
#[inline]
fn place(bits: u64, places: &Places) -> Hash {
    Hash { home: places.home((bits >> 32) as u32), tag: tag(bits) }
}

#[inline]
fn tag(bits: u64) -> u16 {
    let tag = bits as u16;
    tag | u16::from(tag == 0)
}

#[inline]
fn product(a: u64, b: u64) -> (u64, u64) {
    let wide = u128::from(a) * u128::from(b);
    (wide as u64, (wide >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BITS: usize = 104;

    fn key(bits: u128) -> Key {
        Key {
            src: bits as u32,
            dst: (bits >> 32) as u32,
            src_port: (bits >> 64) as u16,
            dst_port: (bits >> 80) as u16,
            protocol: (bits >> 96) as u8,
        }
    }

    #[test]
    fn each_key_bit_flips_each_hash_bit_half_of_the_time() {
        let secret = Secret::new(1);
        flips_half(BITS, |bits| secret.bits(&key(bits[0])));
    }

    #[test]
    fn each_bit_of_five_words_flips_each_hash_bit_half_of_the_time() {
        let secret = Secret::new(1);
        flips_half(5 * 64, |bits| {
            let words = [0, 1, 2, 3, 4].map(|i| (bits[i / 2] >> (64 * (i % 2))) as u64);
            secret.bits_of_words(&words)
        });
    }

    fn flips_half(key_bits: usize, hash: impl Fn(&[u128; 3]) -> u64) {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(2);
        let mut flips = vec![[0u32; 64]; key_bits];
        let rounds = 2000;
        for _ in 0..rounds {
            let mut wide = || u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
            let bits = [wide(), wide(), wide()];
            for (i, flips) in flips.iter_mut().enumerate() {
                let mut other = bits;
                other[i / 128] ^= 1 << (i % 128);
                let changed = hash(&bits) ^ hash(&other);
                for (j, flips) in flips.iter_mut().enumerate() {
                    *flips += (changed >> j & 1) as u32;
                }
            }
        }
        // 1,000 expected, sigma 22: 20,480 cells stay within six sigma of it.
        for (i, flips) in flips.iter().enumerate() {
            for (j, &n) in flips.iter().enumerate() {
                assert!((866..=1134).contains(&n), "key bit {i}, hash bit {j}: {n} of {rounds}");
            }
        }
    }

    #[test]
    fn another_seed_sends_a_key_elsewhere() {
        let places = Places::for_buckets(1e6).unwrap();
        let (a, b) = (Secret::new(1), Secret::new(2));
        let moved = (0..1000u32)
            .map(|i| Key { src: i, dst: 9, src_port: 1, dst_port: 2, protocol: 6 })
            .filter(|key| a.hash(key, &places).home != b.hash(key, &places).home)
            .count();
        assert!(moved >= 995, "{moved} of 1000 moved");
    }

    #[test]
    fn keys_that_share_a_bucket_under_one_seed_part_under_another() {
        let places = Places::for_buckets(1000.0).unwrap();
        let (a, b) = (Secret::new(1), Secret::new(2));
        let homes: std::collections::HashSet<u32> = (0..200_000u32)
            .map(|i| Key { src: 0x0a00_0000 + i, dst: 9, src_port: 1, dst_port: 2, protocol: 17 })
            .filter(|key| a.hash(key, &places).home == 7)
            .map(|key| b.hash(&key, &places).home)
            .collect();
        assert!(homes.len() > 150, "200 colliding keys fall into {} buckets", homes.len());
    }

    #[test]
    fn neighbouring_keys_fill_buckets_like_random_ones() {
        let places = Places::for_buckets(4096.0).unwrap();
        let secret = Secret::new(3);
        let mut load = [0u32; 4096];
        for port in 0..=u16::MAX {
            let key = Key { src: 0x0a00_0001, dst: 9, src_port: port, dst_port: 443, protocol: 6 };
            load[secret.hash(&key, &places).home as usize] += 1;
        }
        let chi2: f64 = load.iter().map(|&n| (f64::from(n) - 16.0).powi(2) / 16.0).sum();
        // 4,095 degrees of freedom: mean 4,095, sigma 90.5.
        assert!((3600.0..4600.0).contains(&chi2), "chi-square {chi2}");
    }

    #[test]
    fn words_of_neighbouring_ipv6_connections_fill_buckets_like_random_ones() {
        let places = Places::for_buckets(4096.0).unwrap();
        let secret = Secret::new(3);
        let mut load = [0u32; 4096];
        for i in 0..=u64::from(u16::MAX) {
            let words = [0x2001_0002 << 32, i & 0xff, 0x2001_0db8 << 32, 1, i >> 8 << 24 | 443];
            load[secret.hash_words(&words, &places).home as usize] += 1;
        }
        let chi2: f64 = load.iter().map(|&n| (f64::from(n) - 16.0).powi(2) / 16.0).sum();
        assert!((3600.0..4600.0).contains(&chi2), "chi-square {chi2}");
    }

    #[test]
    fn no_key_has_the_tag_of_a_free_lane() {
        let places = Places::for_buckets(100.0).unwrap();
        let secret = Secret::new(4);
        assert!((0..300_000).all(|i| secret.hash(&key(i), &places).tag != 0));
    }
}
