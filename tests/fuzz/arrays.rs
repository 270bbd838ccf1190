//! `.npy` arrays.

use std::path::Path;

use costate::io::{Standardiser, read_mask3, read_npy2, read_npy2_f64, read_npy3, read_npy3_f64, read_npy3_masked};
use ndarray::{Array3, ArrayView3, array};
use rand::RngExt;
use rand_pcg::Pcg64;

use crate::damage::{any, narrow, rarely};
use crate::{Reader, Trial, npy, text};

/// dtypes as NumPy writes them, those that are read first.
const DTYPES: [(&str, usize); 19] = [
    ("'<f4'", 4),
    ("'<f8'", 8),
    ("'<i8'", 8),
    ("'<i4'", 4),
    ("'|u1'", 1),
    ("'|b1'", 1),
    ("'<u2'", 2),
    ("'|i1'", 1),
    ("'>f4'", 4),
    ("'>i8'", 8),
    ("'<f2'", 2),
    ("'<c8'", 8),
    ("'|O'", 8),
    ("'<U2'", 8),
    ("'|V8'", 8),
    ("'f4'", 4),
    ("[('a', '<f4')]", 4),
    ("7", 8),
    ("'<f4\\n'", 4),
];

const SHAPES: [&str; 22] = [
    "(2, 3)",
    "(1, 1)",
    "(2, 1, 2)",
    "(3, 2, 1)",
    "(0, 2)",
    "(2, 0, 3)",
    "(4,)",
    "()",
    "(1, 1, 1, 1)",
    "(2, 2)",
    "(18446744073709551615,)",
    "(18446744073709551616, 1)",
    "(9223372036854775808, 2)",
    "(4294967296, 4294967296)",
    "(1000000, 1000000, 1)",
    "(0, 18446744073709551615)",
    "(-1, 2)",
    "(1.5, 2)",
    "('2', 2)",
    "2",
    "[2, 2]",
    "None",
];

/// The numbers of a shape, if it is one.
fn sizes(shape: &str) -> Option<Vec<usize>> {
    let inside = shape.strip_prefix('(')?.strip_suffix(')')?;
    inside.split(',').map(str::trim).filter(|n| !n.is_empty()).map(|n| n.parse().ok()).collect()
}

/// An array of which now and then something is wrong, and the shape that it says it has.
pub(super) fn made(rng: &mut Pcg64, shape: &str, odd: u32) -> Vec<u8> {
    let usual = DTYPES[rng.random_range(0..6)];
    let (dtype, width) = if rarely(rng, odd) { *any(rng, &DTYPES) } else { usual };
    let order = if rarely(rng, odd) { *any(rng, &["True", "0", "'C'", "None"]) } else { any(rng, &["False", "True"]) };
    let mut entries =
        vec![format!("'descr': {dtype}"), format!("'fortran_order': {order}"), format!("'shape': {shape}")];
    if rarely(rng, odd) {
        entries.push((*any(rng, &["'more': 1", "'shape': (1,)", "'descr': '<f8'", "7: 7", "'x': {'y': ((((("])).into());
    }
    if rarely(rng, odd) {
        entries.remove(rng.random_range(0..3));
    }
    let mut header = format!("{{{}, }}", entries.join(", ")).into_bytes();
    header.resize(header.len().next_multiple_of(16) + 5, b' ');
    header.push(b'\n');
    let [long, major] = if rarely(rng, odd) { *any(rng, &[[1, 2], [1, 3], [0, 9], [1, 1], [0, 2]]) } else { [0, 1] };
    let length = if rarely(rng, odd) {
        *any(rng, &[0, 1, 65_535, 20_000, 64, u32::MAX])
    } else {
        u32::try_from(header.len()).unwrap()
    };
    let length = if long == 1 { length.to_le_bytes().to_vec() } else { length.to_le_bytes()[..2].to_vec() };
    let count = sizes(shape).and_then(|s| s.iter().try_fold(width, |n, &m| n.checked_mul(m))).unwrap_or(16).min(4096);
    let mut data: Vec<u8> = if width == 1 {
        (0..count).map(|_| rng.random_range(0..2)).collect()
    } else if dtype.contains('f') {
        let values = (0..count.div_ceil(width)).map(|i| i as f64 * 0.25 + 1.0);
        values
            .flat_map(|v| if width == 4 { narrow(v).to_le_bytes().to_vec() } else { v.to_le_bytes().to_vec() })
            .collect()
    } else {
        (0..count).map(|_| if rarely(rng, 4) { rng.random() } else { 0 }).collect()
    };
    if rarely(rng, odd) && data.len() >= width {
        let place = rng.random_range(0..data.len() / width) * width;
        let odd: f64 = *any(rng, &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -0.0, 1e-310]);
        let bytes = if width == 4 { narrow(odd).to_le_bytes().to_vec() } else { odd.to_le_bytes().to_vec() };
        data[place..place + width].copy_from_slice(&bytes[..width.min(bytes.len())]);
    }
    match rng.random_range(0..odd.saturating_mul(3)) {
        0 => data.truncate(data.len() / 2),
        1 => data.push(0),
        2 => data.clear(),
        _ => {}
    }
    [&b"\x93NUMPY"[..], &[major, 0], &length, &header, &data].concat()
}

/// Returns the shape, and all of it as text.
type Read = Box<dyn Fn(&Path) -> costate::Result<(Vec<usize>, String)>>;

/// All readers of arrays, each with the number of axes that it wants.
fn readers() -> Vec<(usize, Read)> {
    fn single<'a>(values: impl IntoIterator<Item = &'a f32>) {
        assert!(values.into_iter().all(|v| v.is_finite()), "not finite");
    }
    fn double<'a>(values: impl IntoIterator<Item = &'a f64>) {
        assert!(values.into_iter().all(|v| v.is_finite()), "not finite");
    }
    let mask = Array3::from_shape_fn((2, 1, 2), |(i, _, k)| i != k);
    let scaling: Standardiser =
        serde_json::from_str(r#"{"scale": "standardise", "mean": [1.0, 2.0], "deviation": [0.5, 2.0]}"#).unwrap();
    let logarithms: Standardiser =
        serde_json::from_str(r#"{"scale": "log_standardise", "mean": [1.0, 2.0], "deviation": [0.5, 2.0]}"#).unwrap();
    vec![
        (2, Box::new(|p| read_npy2(p).inspect(|a| single(a)).map(|a| (a.shape().to_vec(), text(&a))))),
        (3, Box::new(|p| read_npy3(p).inspect(|a| single(a)).map(|a| (a.shape().to_vec(), text(&a))))),
        (2, Box::new(|p| read_npy2_f64(p).inspect(|a| double(a)).map(|a| (a.shape().to_vec(), text(&a))))),
        (3, Box::new(|p| read_npy3_f64(p).inspect(|a| double(a)).map(|a| (a.shape().to_vec(), text(&a))))),
        (3, Box::new(|p| read_mask3(p).map(|a| (a.shape().to_vec(), text(&a))))),
        (
            3,
            Box::new(move |p| {
                let read = read_npy3_masked(p, mask.view()).inspect(|a| single(a));
                read.map(|a| (a.shape().to_vec(), text(&a)))
            }),
        ),
        (
            2,
            Box::new(move |p| {
                let read = scaling.read_npy::<ndarray::Ix2>(p, None).inspect(|a| single(a));
                read.map(|a| (a.shape().to_vec(), text(&a)))
            }),
        ),
        (
            3,
            Box::new(move |p| {
                let read = logarithms.read_npy(p, None::<ArrayView3<'_, bool>>).inspect(|a| single(a));
                read.map(|a| (a.shape().to_vec(), text(&a)))
            }),
        ),
    ]
}

#[test]
fn arrays_are_read_or_refused() {
    let mut trial = Trial::new(1);
    let readers = readers();
    for case in 0..1600 {
        let shape =
            if rarely(&mut trial.rng, 2) { any(&mut trial.rng, &SHAPES) } else { any(&mut trial.rng, &SHAPES[..4]) };
        let bytes = made(&mut trial.rng, shape, 12);
        // Usually one that wants so many axes.
        let axes = sizes(shape).map_or(2, |s| s.len());
        let start = case % readers.len();
        let fitting = (start..start + readers.len()).map(|i| &readers[i % readers.len()]).find(|r| r.0 == axes);
        let (_, read) = if case % 5 == 0 { &readers[start] } else { fitting.unwrap_or(&readers[start]) };
        let reader: Reader<'_> = &|path| {
            let (found, text) = read(path)?;
            // A damaged key of the shape may be a good one; what is read has the shape that was declared.
            assert_eq!(Some(found), sizes(shape), "another shape than declared");
            Ok(text)
        };
        trial.file("array.npy", &bytes, reader);
    }
    for (axes, read) in &readers {
        let good = if *axes == 3 { npy(&Array3::from_elem((2, 1, 2), 1.5)) } else { npy(&array![[1.5_f32, 2.0]]) };
        trial.damaged("damaged.npy", &good, 150, &|path| read(path).map(|(_, text)| text));
    }
    trial.end(2800);
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_read_or_refused() {
    let mut trial = Trial::new(2);
    let folder = trial.folder.path().join("folder.npy");
    std::fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink("nowhere", trial.folder.path().join("dangling.npy")).unwrap();
    let pipe = trial.folder.path().join("pipe.npy");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success(), "a named pipe");
    let good = npy(&array![[1.5_f32, 2.0], [3.0, 4.0]]);
    for (axes, read) in readers() {
        let reader: Reader<'_> = &|path| read(path).map(|(_, text)| text);
        let none = || "no regular file".to_owned();
        for name in ["folder.npy", "dangling.npy", "missing.npy"] {
            let path = trial.folder.path().join(name);
            assert_eq!(trial.path(&path, &none, reader), None, "{name}");
        }
        for content in [&good[..], &good[..40], b""] {
            let (path, content) = (pipe.clone(), content.to_vec());
            // The other end may have been closed: then the reader had enough.
            let writer = std::thread::spawn(move || drop(std::fs::write(path, content)));
            let read = trial.path(&pipe, &none, reader);
            writer.join().unwrap();
            assert!(read.is_none() || axes == 2, "an array of two axes");
        }
    }
    assert!(trial.read >= 3, "{} pipes were read", trial.read);
}
