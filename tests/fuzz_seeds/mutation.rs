//! Damage to seeds, the same in every run.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The most bytes of a case: growth is the fuzzer's matter.
const LONGEST: usize = 64 << 10;

/// What damage puts in: signs that mean something to some reader.
const PIECES: [&[u8]; 34] = [
    b"\0",
    b"\n",
    b"\r\n",
    b"\t",
    b"\"",
    b"'",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b": ",
    b",",
    b"- ",
    b"#",
    b"!",
    b"!env X",
    b"!age |",
    b"&a ",
    b"*a",
    b"null",
    b"true",
    b"-1",
    b"0",
    b"18446744073709551616",
    b"1e400",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xae",
    b"w[1-5000]",
    b"10.0.0.[1-9]",
    b"@revoked ",
    b"|1|",
];

pub struct Mutation(StdRng);

impl Mutation {
    /// Each target has cases of its own.
    pub fn new(target: &str) -> Mutation {
        let seed = target.bytes().fold(4, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
        Mutation(StdRng::seed_from_u64(seed))
    }

    /// One of the seeds with some damage.
    pub fn case(&mut self, seeds: &[&[u8]]) -> Vec<u8> {
        let mut bytes = self.choose(seeds).to_vec();
        for _ in 0..self.0.random_range(1..6) {
            self.damage(&mut bytes, seeds);
            bytes.truncate(LONGEST);
        }
        bytes
    }

    fn damage(&mut self, bytes: &mut Vec<u8>, seeds: &[&[u8]]) {
        let (from, to) = self.range(bytes.len());
        match self.0.random_range(0..9) {
            0 => drop(bytes.drain(from..to)),
            1 => bytes.truncate(from),
            2 if !bytes.is_empty() => {
                let at = from.min(bytes.len() - 1);
                bytes[at] ^= 1 << self.0.random_range(0..8);
            }
            3 if !bytes.is_empty() => {
                let at = from.min(bytes.len() - 1);
                bytes[at] = self.0.random();
            }
            4 => {
                let part = bytes[from..to].to_vec();
                let at = self.range(bytes.len()).0;
                drop(bytes.splice(at..at, part.repeat(self.0.random_range(1..20))));
            }
            // A part of another seed, or of the same.
            5 => {
                let other = self.choose(seeds);
                let (first, last) = self.range(other.len());
                drop(bytes.splice(from..to, other[first..last].to_vec()));
            }
            // Digits count and measure.
            6 => {
                let digits: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at].is_ascii_digit()).collect();
                if !digits.is_empty() {
                    let at = *self.choose(&digits);
                    drop(bytes.splice(at..=at, self.0.random_range(0..u64::MAX).to_string().into_bytes()));
                }
            }
            _ => {
                let piece = self.choose(&PIECES);
                drop(bytes.splice(from..from, piece.repeat(self.0.random_range(1..4))));
            }
        }
    }

    /// A part of so many bytes, which is often short.
    fn range(&mut self, length: usize) -> (usize, usize) {
        let from = self.0.random_range(0..=length);
        let most = if self.0.random_bool(0.8) { 16 } else { length };
        (from, length.min(from + self.0.random_range(0..=most)))
    }

    fn choose<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.0.random_range(0..from.len())]
    }
}

#[test]
fn cases_are_the_same_in_every_run_and_differ() {
    let seeds: [&[u8]; 2] = [b"masters: {m1: 10.0.0.1}", b"labels: {}"];
    let cases = |target| {
        let mut mutation = Mutation::new(target);
        (0..100).map(|_| mutation.case(&seeds)).collect::<Vec<_>>()
    };
    assert_eq!(cases("a"), cases("a"));
    assert_ne!(cases("a"), cases("b"));
    let mut different = cases("a");
    different.sort();
    different.dedup();
    assert!(different.len() > 80, "{} of 100 differ", different.len());
}
