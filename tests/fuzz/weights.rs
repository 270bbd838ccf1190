//! Weights, `.safetensors`.

use std::path::Path;

use costate::io::{read_weights, write_weights};
use costate::{Activation, Init, Mlp, Parameters, Result};
use rand::RngExt;
use rand_pcg::Pcg64;

use crate::damage::{any, narrow, rarely};
use crate::{Trial, fixture, text};

fn small() -> Mlp {
    Mlp::builder(1).hidden(&[2], Activation::Tanh).build().unwrap()
}

fn read(field: &Mlp, path: &Path) -> Result<String> {
    let weights = read_weights(path, field)?;
    let parameters = weights.parameters.as_slice();
    assert_eq!(parameters.len(), field.parameter_count(), "one value per parameter");
    assert!(parameters.iter().all(|v| v.is_finite()), "not finite");
    if let Some(scaling) = &weights.scaling {
        assert_eq!((scaling.mean().len(), scaling.deviation().len()), (field.dim(), field.dim()), "components");
        assert!(scaling.mean().iter().all(|m| m.is_finite()), "means");
        assert!(scaling.deviation().iter().all(|d| d.is_finite() && *d > 0.0), "deviations");
    }
    Ok(text(&weights))
}

const SCALINGS: [&str; 18] = [
    r#"{\"scale\":\"standardise\",\"mean\":[1.5],\"deviation\":[2.0]}"#,
    r#"{\"scale\":\"log_standardise\",\"mean\":[1],\"deviation\":[1e-300]}"#,
    r#"{\"scale\":\"none\",\"mean\":[0.0],\"deviation\":[1.0]}"#,
    r#"{\"scale\":\"none\",\"mean\":[0.0],\"deviation\":[0.0]}"#,
    r#"{\"scale\":\"none\",\"mean\":[0.0],\"deviation\":[-1]}"#,
    r#"{\"scale\":\"none\",\"mean\":[1e400],\"deviation\":[1.0]}"#,
    r#"{\"scale\":\"none\",\"mean\":[NaN],\"deviation\":[1.0]}"#,
    r#"{\"scale\":\"none\",\"mean\":[null],\"deviation\":[1.0]}"#,
    r#"{\"scale\":\"none\",\"mean\":[],\"deviation\":[]}"#,
    r#"{\"scale\":\"none\",\"mean\":[1,2],\"deviation\":[1,2]}"#,
    r#"{\"scale\":\"none\",\"mean\":[1],\"deviation\":[1,2]}"#,
    r#"{\"scale\":\"other\nline\",\"mean\":[1],\"deviation\":[1]}"#,
    r#"{\"scale\":\"none\",\"mean\":[1],\"deviation\":[1],\"more\":1}"#,
    r#"{\"scale\":\"none\",\"mean\":[1],\"mean\":[1],\"deviation\":[1]}"#,
    r#"{\"scale\":\"none\",\"mean\":[1]}"#,
    r#"[\n\n1]"#,
    "",
    "[[[[[[[[",
];

/// Weights of [`small`] of which now and then something is wrong.
fn made(rng: &mut Pcg64, odd: u32) -> Vec<u8> {
    let mut data = Vec::new();
    let mut entries = Vec::new();
    let prefix = if rarely(rng, odd) { *any(rng, &["", "module.", "a\\nb.", "net"]) } else { "net." };
    for (name, shape) in [("0.weight", "[2,1]"), ("0.bias", "[2]"), ("2.weight", "[1,2]"), ("2.bias", "[1]")] {
        let count = if name == "2.bias" { 1 } else { 2 };
        let usual = *any(rng, &[("F32", 4), ("F64", 8), ("F16", 2), ("BF16", 2)]);
        let others = [("I64", 8), ("BOOL", 1), ("F8_E4M3", 1), ("f32", 4), ("", 4), ("F32", 8), ("C64", 8)];
        let (dtype, width) = if rarely(rng, odd * 3) { *any(rng, &others) } else { usual };
        let shapes = [
            "[1,2,1]",
            "[2]",
            "[]",
            "[0]",
            "[18446744073709551615,2]",
            "[4294967296,4294967296]",
            "[-1]",
            "[2.0]",
            "2",
        ];
        let shape = if rarely(rng, odd * 3) { *any(rng, &shapes) } else { shape };
        let start = data.len();
        for i in 0..count {
            let value =
                if rarely(rng, odd * 6) { *any(rng, &[f64::NAN, f64::INFINITY, 1e300, -0.0]) } else { f64::from(i) };
            match width {
                4 => data.extend_from_slice(&narrow(value).to_le_bytes()),
                8 => data.extend_from_slice(&value.to_le_bytes()),
                2 if value.is_finite() => data.extend_from_slice(&[0x00, 0x3c]),
                _ => data.extend_from_slice(&[0xff, 0x7f][..width.min(2)]),
            }
        }
        let (mut start, mut end) = (start as u64, data.len() as u64);
        if rarely(rng, odd * 3) {
            start = *any(rng, &[0, 1, end, u64::MAX]);
        }
        if rarely(rng, odd * 3) {
            end = *any(rng, &[0, end + 8, 1 << 40, u64::MAX]);
        }
        let names = ["0.weights", "1.weight", "99999999999999999999.weight", "x", "", "2.bias"];
        let name = if rarely(rng, odd * 3) { *any(rng, &names) } else { name };
        entries
            .push(format!(r#""{prefix}{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{end}]}}"#));
    }
    if rarely(rng, 2) {
        let scaling = if rarely(rng, odd / 4) { any(rng, &SCALINGS) } else { any(rng, &SCALINGS[..3]) };
        let more = if rarely(rng, odd) {
            *any(rng, &[",\"a\":1", ",\"costate.scaling\":\"\"", ",\"format\":\"pt\""])
        } else {
            ""
        };
        entries.insert(0, format!(r#""__metadata__":{{"costate.scaling":"{scaling}"{more}}}"#));
    }
    if rarely(rng, odd) {
        entries.remove(rng.random_range(0..entries.len()));
    }
    if rarely(rng, odd) {
        entries.push(entries[rng.random_range(0..entries.len())].clone());
    }
    let mut header = format!("{{{}}}", entries.join(",")).into_bytes();
    if rarely(rng, odd * 2) {
        header =
            any(rng, &[&b"{}"[..], b"", b"{", b"[]", b"{\"a\":{\"a\":", b"{\xff\xfe}", b"null", b"{\"a\":\"\n\"}"])
                .to_vec();
    }
    let lengths = [0, 1, 1 << 20, 100_000_001, 1 << 62, u64::MAX, u64::MAX - 7];
    let length = if rarely(rng, odd) { *any(rng, &lengths) } else { header.len() as u64 };
    match rng.random_range(0..odd * 3) {
        0 => data.truncate(data.len() / 2),
        1 => data.push(0),
        _ => {}
    }
    [&length.to_le_bytes()[..], &header, &data].concat()
}

#[test]
fn weights_are_read_or_refused() {
    let mut trial = Trial::new(8);
    let field = small();
    let small: crate::Reader<'_> = &|path| read(&field, path);
    for _ in 0..1500 {
        let bytes = made(&mut trial.rng, 24);
        trial.file("w.safetensors", &bytes, small);
    }
    let good = trial.folder.path().join("good.safetensors");
    let parameters = Parameters::init(&field, Init::Torch, 0).unwrap();
    let scaling = serde_json::from_str(r#"{"scale": "standardise", "mean": [20.0], "deviation": [5.0]}"#).unwrap();
    write_weights(&good, &parameters, &scaling).unwrap();
    trial.damaged("w.safetensors", &std::fs::read(good).unwrap(), 900, small);

    let torch = Mlp::builder(2).hidden(&[5, 3], Activation::Tanh).build().unwrap();
    let good = std::fs::read(fixture("torch_mlp.safetensors")).unwrap();
    trial.damaged("torch.safetensors", &good, 900, &|path| read(&torch, path));
    for bytes in [
        &b""[..],
        b"PK\x03\x04 archive/data.pkl \0",
        b"\x80\x02}q\0.",
        b"\x93NUMPY",
        b"\x89HDF\r\n\x1a\n",
        &[0xff; 64],
        &[[0; 8], [b'{'; 8]].concat(),
        &[&8000_u64.to_le_bytes()[..], &b"{\"a\":".repeat(1600)].concat(),
        &[&8000_u64.to_le_bytes()[..], b"{\"a\":", &b"[".repeat(7995)].concat(),
    ] {
        assert!(!trial.file("w.safetensors", bytes, small), "{}", bytes.escape_ascii());
    }
    trial.end(3300);
}
