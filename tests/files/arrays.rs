//! `.npy` files.

use costate::Error;
use costate::io::{read_npy2, read_npy2_f64, read_npy3, read_npy3_f64, write_npy};
use ndarray::{Array1, Array2, Array3, array};

use crate::{Folder, assert_error};

#[test]
fn arrays_come_back_in_any_memory_order() {
    let folder = Folder::new();
    let path = folder.path("a.npy");
    let matrix = array![[1.5_f32, -2.0, f32::MAX], [f32::MIN_POSITIVE, 1e-45, -0.0]];
    for view in [matrix.view(), matrix.t()] {
        write_npy(&path, view).unwrap();
        assert_eq!(read_npy2(&path).unwrap(), view);
        let header = std::fs::read(&path).unwrap()[..128].to_vec();
        let header = String::from_utf8_lossy(&header).into_owned();
        assert!(header.contains("<f4") && header.contains("'fortran_order': False"), "{header}");
    }
    let cube = Array3::from_shape_fn((2, 3, 4), |(i, j, k)| (100 * i + 10 * j + k) as f32);
    write_npy(&path, cube.view()).unwrap();
    assert_eq!(read_npy3(&path).unwrap(), cube);
    write_npy(&path, cube.slice(ndarray::s![.., ..;2, ..;-1])).unwrap();
    assert_eq!(read_npy3(&path).unwrap(), cube.slice(ndarray::s![.., ..;2, ..;-1]));
    let empty = Array2::<f32>::zeros((0, 2));
    write_npy(&path, empty.view()).unwrap();
    assert_eq!(read_npy2(&path).unwrap(), empty);
}

#[test]
fn other_dtypes_are_converted() {
    let folder = Folder::new();
    let expected = array![[1.0_f32, 2.0], [3.0, 100.0]];
    let small = array![[1_u8, 2], [3, 100]];
    assert_eq!(read_npy2(folder.npy(&expected.mapv(f64::from))).unwrap(), expected);
    macro_rules! integers {
        ($($type:ty),*) => {$(
            let whole = small.mapv(|v| <$type>::try_from(v).unwrap());
            assert_eq!(read_npy2(folder.npy(&whole)).unwrap(), expected, stringify!($type));
        )*};
    }
    integers!(i8, u8, i16, u16, i32, u32, i64, u64);
    assert_eq!(read_npy2(folder.npy(&array![[-1_i8], [-128]])).unwrap(), array![[-1.0], [-128.0]]);
    assert_eq!(read_npy2(folder.npy(&array![[-5_i64]])).unwrap(), array![[-5.0]]);
    let offset = array![[1e7 + 0.1, 1e300]];
    assert_eq!(read_npy2_f64(folder.npy(&offset)).unwrap(), offset, "all digits");
    assert_eq!(read_npy3_f64(folder.npy(&array![[[0.1_f64]]])).unwrap(), array![[[0.1]]], "all digits");
    assert_error(read_npy2_f64(folder.npy(&array![[1.0, f64::NAN]])), &["NaN", "[0, 1]"]);
    let fortran = expected.t();
    assert_eq!(read_npy2(folder.npy(&fortran)).unwrap(), fortran, "Fortran order");
}

#[test]
fn broken_arrays_are_named() {
    let folder = Folder::new();
    let good = std::fs::read(folder.npy(&array![[1.0_f32, 2.0]])).unwrap();
    let replaced = |from: &str, to: &str| {
        let at = good.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        let mut bytes = good.clone();
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    let bad: [(Vec<u8>, &[&str]); 10] = [
        (Vec::new(), &["npy", "cut off"]),
        (b"x,y\n1,2\n".to_vec(), &["npy"]),
        (good[..20].to_vec(), &["cut off"]),
        (good[..good.len() - 1].to_vec(), &["7 bytes", "[1, 2]", "8", "truncated"]),
        ([&good[..], b"more"].concat(), &["12 bytes"]),
        (replaced("<f4", "<c8"), &["dtype", "<c8", "f32"]),
        (replaced("<f4", "|b1"), &["dtype", "|b1"]),
        (replaced("<f4", ">f4"), &["dtype", ">f4"]),
        (replaced("(1, 2)", "(9**9)"), &["npy"]),
        ([b"\x93NUMPY\x02\x00\x00\x00\x01\x00".to_vec(), vec![b'('; 65536]].concat(), &["65536 bytes"]),
    ];
    for (bytes, words) in bad {
        let error = assert_error(read_npy2(folder.file("bad.npy", bytes)), words);
        assert!(matches!(error, Error::Format { .. }), "{error:?} should be a format error");
    }
    // A header that claims more than there is memory must not be believed.
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (4000000000000, 2), }\n";
    for shape in ["4000000000000", "9223372036854775807", "99999999999999999999"] {
        let header = header.replace("4000000000000", shape);
        let bytes =
            [b"\x93NUMPY\x01\x00", &u16::try_from(header.len()).unwrap().to_le_bytes()[..], header.as_bytes()].concat();
        assert_error(read_npy2(folder.file("huge.npy", bytes)), &["huge.npy", shape]);
    }

    let error =
        assert_error(read_npy2(folder.npy(&Array3::<f32>::zeros((2, 3, 4)))), &["[2, 3, 4]", "[rows, columns]"]);
    assert!(matches!(error, Error::Shape { .. }), "{error:?} should be a shape error");
    assert_error(read_npy3(folder.npy(&Array1::<f32>::zeros(4))), &["[4]", "[time, batch, dim]"]);
    assert_error(read_npy2(folder.path("none.npy")), &["read", "none.npy"]);

    let error = assert_error(read_npy2(folder.npy(&array![[1.0_f32, 2.0], [f32::NAN, 4.0]])), &["NaN", "[1, 0]"]);
    assert!(matches!(error, Error::NonFiniteData { .. }), "{error:?} should be about the data");
    assert_error(read_npy2(folder.npy(&array![[1.0_f64, f64::NEG_INFINITY]])), &["-inf", "[0, 1]"]);
    assert_error(read_npy2(folder.npy(&array![[1.0_f64], [1e39]])), &["1e39", "[1, 0]", "largest f32"]);
    assert_eq!(read_npy2(folder.npy(&array![[1e-60_f64]])).unwrap(), array![[0.0]], "underflow is rounding");
}
