//! `.npz` archives: data sets and references.

use std::io::{Cursor, Write};
use std::path::Path;

use costate::Result;
use costate::io::{Series, read_reference};
use rand::RngExt;
use rand_pcg::Pcg64;
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use crate::arrays::made as array;
use crate::damage::{any, rarely};
use crate::{Trial, npy, tables, text};

/// An archive of members whose names differ.
fn archive(members: &[(String, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        zip.start_file(name.as_str(), SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Times that increase, mostly.
fn times(rng: &mut Pcg64, count: usize, odd: u32) -> Vec<u8> {
    let mut times: Vec<f64> = (0..count).map(|i| i as f64 * 0.5).collect();
    if rarely(rng, odd) && count > 0 {
        let at = rng.random_range(0..count);
        times[at] = *any(rng, &[f64::NAN, f64::INFINITY, -1.0, 0.5, 1e308, -1e308, 1e-320]);
    }
    npy(&ndarray::Array1::from(times))
}

/// An archive with arrays of these names, of which now and then something is wrong.
fn made(rng: &mut Pcg64, names: [&str; 3], odd: u32) -> Vec<u8> {
    let count = if rarely(rng, odd) { *any(rng, &[0, 1, 3]) } else { 2 };
    let shape = if rarely(rng, odd) {
        *any(rng, &["(2,)", "(2, 0)", "(0, 2)", "(3, 3)", "(1, 1, 2, 1)", "(2, 18446744073709551615)", "()"])
    } else {
        *any(rng, &["(2, 3)", "(2, 2, 1)", "(2, 2)"])
    };
    let mut members = vec![(names[0], times(rng, count, odd)), (names[1], array(rng, shape, odd * 3))];
    if rarely(rng, 2) {
        let shape = if rarely(rng, odd) { "(2, 1)" } else { shape };
        members.push((names[2], array(rng, shape, odd * 3)));
    }
    if rarely(rng, odd) {
        members.remove(rng.random_range(0..members.len()));
    }
    if rarely(rng, odd) {
        let name = *any(rng, &["weights", "y", "T", "", "x\n", "../x", "a/b", "\u{2028}", "x.npy.npy"]);
        members.push((name, array(rng, "(2, 2)", odd)));
    }
    let mut named: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, bytes) in members {
        let suffix = if rarely(rng, odd) { "" } else { ".npy" };
        let name = format!("{name}{suffix}");
        if named.iter().all(|(other, _)| *other != name) {
            named.push((name, bytes));
        }
    }
    let method = *any(rng, &[CompressionMethod::Stored, CompressionMethod::Deflated]);
    archive(&named, method)
}

fn reference(path: &Path) -> Result<String> {
    let reference = read_reference(path)?;
    let (values, slopes) = (reference.values(), reference.slopes());
    assert_eq!(values.shape(), slopes.shape(), "one slope per value");
    assert_eq!(values.shape()[0], reference.times().len(), "one value per time");
    assert!(values.iter().chain(slopes).all(|v| v.is_finite()), "not finite");
    assert!(reference.times().iter().all(|t| t.is_finite()), "times are not finite");
    Ok(text(&reference))
}

fn data(path: &Path) -> Result<String> {
    let series = Series::read(path)?;
    tables::assert_sound(&series);
    Ok(text(&series))
}

#[test]
fn data_sets_are_read_or_refused() {
    let mut trial = Trial::new(3);
    for _ in 0..700 {
        let bytes = made(&mut trial.rng, ["t", "x", "mask"], 12);
        trial.file("data.npz", &bytes, &data);
    }
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let members = [
            ("t.npy".to_owned(), times(&mut trial.rng, 2, u32::MAX)),
            ("x.npy".to_owned(), npy(&ndarray::array![[1.0, 2.0], [3.0, 4.0]])),
            ("mask.npy".to_owned(), npy(&ndarray::array![[true, true], [false, true]])),
        ];
        let good = archive(&members, method);
        trial.damaged("data.npz", &good, 500, &data);
        // One bit in every byte: the headers of the archive are where the sizes are.
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << (at % 8);
            trial.file("data.npz", &bytes, &data);
        }
    }
    trial.end(1700);
}

#[test]
fn references_are_read_or_refused() {
    let mut trial = Trial::new(4);
    for _ in 0..500 {
        let bytes = made(&mut trial.rng, ["times", "values", "slopes"], 12);
        trial.file("reference.npz", &bytes, &reference);
    }
    let members = [
        ("times.npy".to_owned(), times(&mut trial.rng, 3, u32::MAX)),
        ("values.npy".to_owned(), npy(&ndarray::array![[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]])),
    ];
    let good = archive(&members, CompressionMethod::Stored);
    trial.damaged("reference.npz", &good, 300, &reference);
    trial.end(800);
}

/// Bytes of a value or time may be anything, and what follows from them must be finite too.
#[test]
fn numbers_of_any_size_are_read_or_refused() {
    const NUMBERS: [f64; 12] =
        [0.0, -0.0, 1.0, 1.5, -2.0, 1e-320, 5e-324, 1e-300, 1e30, -3.4e38, 1.7e308, f64::EPSILON];
    let mut trial = Trial::new(5);
    for case in 0..600 {
        let count = trial.rng.random_range(2..5);
        let draw = |rng: &mut Pcg64| *any(rng, &NUMBERS);
        let mut times: Vec<f64> = (0..count).map(|_| draw(&mut trial.rng)).collect();
        times.sort_by(f64::total_cmp);
        times.dedup();
        let values = ndarray::Array2::from_shape_fn((times.len(), 2), |_| draw(&mut trial.rng));
        let [t, x] = [npy(&ndarray::Array1::from(times)), npy(&values)];
        let named =
            |a: &str, b: &str| archive(&[(a.into(), t.clone()), (b.into(), x.clone())], CompressionMethod::Stored);
        if case % 3 == 0 {
            trial.file("data.npz", &named("t.npy", "x.npy"), &data);
        } else {
            trial.file("reference.npz", &named("times.npy", "values.npy"), &reference);
        }
    }
    trial.end(600);
}
