//! What a parser of `.safetensors` files does not notice: keys that are given twice, and files of other formats.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::FORMAT;
use crate::error::{Error, Result};
use crate::io::format_error;

/// Bytes before the header, which tell its length.
const LENGTH: usize = 8;

/// Refuses what is no `.safetensors` file but a known other one, and a header that names something twice: the parser would
/// take the last and be silent about the others. A header that is damaged is left to the parser.
///
/// # Errors
/// [`Error::Format`].
pub(super) fn check(path: &Path, bytes: &[u8]) -> Result<()> {
    if bytes.get(LENGTH) != Some(&b'{') {
        return other_format(path, bytes).map_or(Ok(()), Err);
    }
    let length = bytes.first_chunk::<LENGTH>().map(|b| u64::from_le_bytes(*b));
    let length = length.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
    let Some(header) = bytes[LENGTH..].get(..length) else { return Ok(()) };
    match serde_json::from_slice::<Unique>(header) {
        // Another mistake than of syntax can only be that one.
        Err(e) if e.is_data() => {
            Err(format_error(path, FORMAT, format!("its header is ambiguous: {e}"), "give every name once"))
        }
        _ => Ok(()),
    }
}

/// An error for a file of a format that people have weights in.
fn other_format(path: &Path, bytes: &[u8]) -> Option<Error> {
    let zip = bytes.starts_with(b"PK\x03\x04");
    let torch = zip && bytes.windows(8).any(|part| part == b"data.pkl");
    // A pickle begins with its protocol.
    let pickle = matches!(bytes, [0x80, 2..=5, ..]);
    if torch || pickle {
        let stem = path.file_stem().map_or("w".into(), |stem| stem.to_string_lossy());
        let problem = "it is a pickle of PyTorch's, which is a program that reading would run";
        let remedy = format!(
            "convert it with three lines of Python: `import torch, safetensors.torch; state = torch.load(\"{}\", \
             map_location=\"cpu\", weights_only=True); safetensors.torch.save_file({{k: v.contiguous() for k, v in \
             state.items()}}, \"{stem}.safetensors\")`",
            path.display()
        );
        return Some(format_error(path, FORMAT, problem, remedy));
    }
    let known: [(&str, bool); 3] = [
        ("a zip archive such as .npz", zip),
        ("an HDF5 file", bytes.starts_with(b"\x89HDF")),
        ("a .npy array", bytes.starts_with(b"\x93NUMPY")),
    ];
    let (name, _) = known.into_iter().find(|(_, is)| *is)?;
    let remedy = "write the weights with safetensors.torch.save_file or safetensors.numpy.save_file";
    Some(format_error(path, FORMAT, format!("it is {name}"), remedy))
}

/// Any JSON value whose objects name every key once.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(Keys)
    }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Unique, A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if seen.contains(&key) {
                return Err(A::Error::custom(format!("it names '{key}' twice")));
            }
            map.next_value::<Unique>()?;
            seen.insert(key);
        }
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Unique, A::Error> {
        while list.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    fn visit_bool<E>(self, _: bool) -> std::result::Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E>(self, _: i64) -> std::result::Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E>(self, _: u64) -> std::result::Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E>(self, _: f64) -> std::result::Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E>(self, _: &str) -> std::result::Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_unit<E>(self) -> std::result::Result<Unique, E> {
        Ok(Unique)
    }
}
