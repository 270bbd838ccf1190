//! `.csv` and `.npz` data sets.

use std::path::Path;

use costate::io::Series;
use ndarray::{Array3, ArrayD, array};
use ndarray_npy::NpzWriter;

use crate::{Folder, assert_error};

#[test]
fn a_table_is_read() {
    let pelts = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/hudson-bay-lynx-hare.csv");
    let pelts = Series::read(pelts).unwrap();
    assert_eq!((pelts.values.dim(), pelts.names.join(" ")), ((1, 21, 2), "hare lynx".into()));
    assert_eq!((pelts.times[0], pelts.times[20]), (1900.0, 1920.0));
    assert_eq!(pelts.values[[0, 1, 1]], 6.1);
    assert!(pelts.is_uniform(), "one point a year");

    let folder = Folder::new();
    let text = "\u{feff}# two runs\r\nseries, t, x\r\na, 0, 1\r\nb, 0, 3\r\na, 0.5, 2\r\n\r\nb, 0.5, 4e0\r\n";
    let two = Series::read(folder.file("two.CSV", text)).unwrap();
    assert_eq!((two.times, two.values), (vec![0.0, 0.5], array![[[1.0], [2.0]], [[3.0], [4.0]]]));
}

#[test]
fn series_come_back() {
    let folder = Folder::new();
    let path = folder.path("s.npz");
    let values = Array3::from_shape_fn((2, 3, 2), |(i, j, k)| 1e9 + (i + 2 * j) as f64 - 0.1 * k as f64);
    let series = Series::new(vec![0.1, 0.2, 0.7], values, vec!["x0".into(), "x1".into()]);
    series.write_npz(&path).unwrap();
    let back = Series::read(&path).unwrap();
    assert_eq!(
        (back.times, back.values, back.names),
        (series.times.clone(), series.values.clone(), series.names.clone())
    );
    assert!(!series.is_uniform(), "intervals 0.1 and 0.5");

    let mut npz = NpzWriter::new_compressed(std::fs::File::create(&path).unwrap());
    npz.add_array("t", &array![0_i64, 1, 2]).unwrap();
    npz.add_array("y", &array![[1.0_f64, 2.0], [3.0, 4.0], [5.0, 6.0]]).unwrap();
    npz.finish().unwrap();
    let series = Series::read(&path).unwrap();
    assert_eq!((series.values.dim(), series.values[[0, 2, 1]]), ((1, 3, 2), 6.0), "y, one series, f64, deflated");
}

#[test]
fn broken_tables_are_named() {
    let folder = Folder::new();
    for (text, words) in [
        ("", &["empty"][..]),
        ("\n\n", &["empty"]),
        ("t,x\n", &["no line after the names"]),
        ("t\n0\n1\n", &["no component"]),
        ("0,1\n1,2\n", &["first line holds numbers", "0,1"]),
        ("t,x\n0,1\n1\n", &["line 3", "1 cells", "has 2"]),
        ("t,x\n0,1\n1,2,3\n", &["line 3", "3 cells"]),
        ("t,x\n0,1\n1,two\n", &["line 3", "column x", "'two'"]),
        ("t,x\n0,1\n1,inf\n", &["inf", "line 3, column x"]),
        ("t,x\ninf,1\n1,2\n", &["inf", "line 2, column t"]),
        ("t,x\nNaN,1\n1,2\n", &["NaN", "line 2, column t"]),
        ("t,x\n0,1\n,2\n", &["''", "line 3, column t", "no number"]),
        ("t,x\n0,1\n", &["times", "1 of them", "two"]),
        ("t,x\n0,1\n2,1\n2,1\n", &["time 2 is 2 after 2", "line 4, column t", "after line 3"]),
        ("t,x\n0,1\n2,1\n1,1\n", &["time 2 is 1 after 2"]),
        ("series,t,x\na,0,1\na,1,1\nb,0,1\nb,2,1\n", &["series 'b'", "other times", "'a'"]),
        ("series,t,x\na,0,1\na,1,1\nb,0,1\n", &["series 'b'", "other times"]),
    ] {
        assert_error(Series::read(folder.file("bad.csv", text)), &[words, &["bad.csv"]].concat());
    }
    assert_error(Series::read(folder.file("bad.csv", b"t,x\n0,\xff\xfe\n")), &["bad.csv", "UTF-8"]);
    assert_error(Series::read(folder.file("bad.txt", "t,x\n")), &[".txt", ".csv or .npz"]);
    assert_error(Series::read(folder.file("bad", "t,x\n")), &["extension is missing"]);
    assert_error(Series::read(folder.path("none.csv")), &["read", "none.csv"]);
}

#[test]
fn broken_archives_are_named() {
    let folder = Folder::new();
    let archive = |arrays: &[(&str, ArrayD<f64>)]| {
        let path = folder.path("bad.npz");
        let mut npz = NpzWriter::new(std::fs::File::create(&path).unwrap());
        for (name, array) in arrays {
            npz.add_array(*name, array).unwrap();
        }
        npz.finish().unwrap();
        path
    };
    let t = || ("t", array![0.0, 1.0].into_dyn());
    let x = || ("x", array![[1.0], [2.0]].into_dyn());
    Series::read(archive(&[t(), x()])).unwrap();
    assert_error(Series::read(archive(&[x()])), &["no array t", "found: x"]);
    assert_error(Series::read(archive(&[t()])), &["no array x or y", "found: t"]);
    assert_error(
        Series::read(archive(&[t(), ("z", x().1)])),
        &["array z has no place here", "t, x, y, mask are known"],
    );
    let more = [t(), x(), ("weights", x().1), ("params", x().1)];
    assert_error(Series::read(archive(&more)), &["arrays params, weights", "t, x, y, mask", "bad.npz"]);
    assert_error(Series::read(archive(&[t(), x(), ("y", x().1)])), &["both x and y"]);
    assert_error(Series::read(archive(&[t(), x(), ("mask", t().1)])), &["array mask", "[2]", "[2, 1]", "that of x"]);
    assert_error(Series::read(archive(&[("t", x().1), x()])), &["array t", "[2, 1]", "[time]"]);
    assert_error(Series::read(archive(&[t(), ("x", t().1)])), &["array x", "[2]", "[series, 2, dim]"]);
    assert_error(Series::read(archive(&[t(), ("x", array![[1.0]].into_dyn())])), &["array x", "[1, 1]", "[2, dim]"]);
    assert_error(
        Series::read(archive(&[t(), ("x", array![[1.0], [f64::INFINITY]].into_dyn())])),
        &["array x", "inf", "[1, 0]"],
    );
    assert_error(Series::read(archive(&[("t", array![0.0, f64::NAN].into_dyn()), x()])), &["array t", "NaN", "[1]"]);
    assert_error(Series::read(archive(&[("t", array![1.0, 0.0].into_dyn()), x()])), &["time 1 is 0 after 1"]);
    assert_error(Series::read(archive(&[])), &["found: nothing"]);

    let good = std::fs::read(archive(&[t(), x()])).unwrap();
    for n in 0..good.len() {
        assert_error(Series::read(folder.file("cut.npz", &good[..n])), &["cut.npz"]);
    }
    let mut flipped = good;
    let at = flipped.windows(6).position(|w| w == b"\x93NUMPY").unwrap();
    flipped[at + 130] ^= 0x40;
    assert_error(Series::read(folder.file("flipped.npz", flipped)), &["flipped.npz", "array t"]);
}

#[test]
fn what_was_not_observed_is_missing() {
    let folder = Folder::new();
    let path = folder.path("gaps.npz");
    let write = |seen: Option<&ArrayD<bool>>| {
        let mut npz = NpzWriter::new(std::fs::File::create(&path).unwrap());
        npz.add_array("t", &array![0.0, 1.0, 2.0]).unwrap();
        npz.add_array("x", &array![[1.0, f64::INFINITY], [f64::NAN, 4.0], [5.0, 6.0]]).unwrap();
        if let Some(seen) = seen {
            npz.add_array("mask", seen).unwrap();
        }
        npz.finish().unwrap();
        Series::read(&path)
    };
    let seen = array![[true, false], [true, true], [false, true]].into_dyn();
    let series = write(Some(&seen)).unwrap();
    assert_eq!(series.missing(), [2, 1], "masked or NaN");
    let observed: Vec<f64> = series.values.iter().copied().filter(|v| !v.is_nan()).collect();
    assert_eq!(observed, [1.0, 4.0, 6.0], "what is masked may be anything");
    assert_error(write(None), &["array x", "inf", "[0, 1]"]);
}
