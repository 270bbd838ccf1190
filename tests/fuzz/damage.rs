//! What may happen to the bytes of a file.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_pcg::Pcg64;

/// Pieces that mean something in one of the formats.
const PIECES: [&[u8]; 24] = [
    b"",
    b"\0",
    b"\xff\xff\xff\xff",
    b"\n",
    b"\r\n",
    b"\r",
    b",",
    b";",
    b"\t",
    b"\"",
    b"'",
    b"(",
    b"}",
    b"[",
    b":",
    b"\\",
    b"\xef\xbb\xbf",
    b"nan",
    b"-inf",
    b"1e400",
    b"99999999999999999999",
    b"-1",
    b"PK\x03\x04",
    b"\xc3\x28",
];

/// Integers that lengths and offsets are wrong by.
const LENGTHS: [u64; 8] = [0, 1, 127, 65_535, u32::MAX as u64, i64::MAX as u64, u64::MAX, 1 << 33];

/// The bytes after one to three accidents.
pub(super) fn some(rng: &mut Pcg64, good: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..rng.random_range(1..=3) {
        one(rng, &mut bytes);
    }
    bytes
}

fn one(rng: &mut Pcg64, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        bytes.extend_from_slice(any::<&[u8]>(rng, &PIECES));
        return;
    }
    let at = rng.random_range(0..bytes.len());
    let end = (at + rng.random_range(1..=16)).min(bytes.len());
    match rng.random_range(0..9_u8) {
        0 | 1 => bytes[at] ^= 1 << rng.random_range(0..8),
        2 => bytes[at] = *any(rng, &[0, 0xff, b' ', b'\n', b'9', b'"', b'{']),
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(at..end)),
        5 => {
            let again = bytes[at..end].to_vec();
            drop(bytes.splice(at..at, again));
        }
        6 => drop(bytes.splice(at..at, any::<&[u8]>(rng, &PIECES).to_vec())),
        7 => {
            let number = any(rng, &LENGTHS).to_le_bytes();
            let width = *any(rng, &[2, 4, 8]);
            let width = width.min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&number[..width]);
        }
        _ => bytes[at..end].reverse(),
    }
}

/// One of them.
pub(super) fn any<'a, T>(rng: &mut Pcg64, list: &'a [T]) -> &'a T {
    list.choose(rng).expect("there is something to choose from")
}

/// True once in so many times.
pub(super) fn rarely(rng: &mut Pcg64, times: u32) -> bool {
    rng.random_range(0..times) == 0
}

/// Rounded to f32.
#[expect(clippy::cast_possible_truncation, reason = "an infinity is a good value to try")]
pub(super) fn narrow(value: f64) -> f32 {
    value as f32
}
