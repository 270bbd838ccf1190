//! Files that ask for more than they are worth, and files that are none.

use std::io::{Cursor, Write};

use costate::io::{Series, read_at_most, read_mask3, read_npy2, read_npy3, read_parameters, read_reference};
use ndarray::{Array1, Array3, array};
use ndarray_npy::{NpzWriter, WriteNpyExt};
use zip::write::SimpleFileOptions;

use crate::{Folder, assert_error, torch_field};

/// The bytes of an archive with these members, of which a name may occur twice: the second time with another last letter,
/// which is then written over.
fn archive(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let mut again = Vec::new();
    for (i, (name, bytes)) in members.iter().enumerate() {
        let twice = members[..i].iter().any(|(other, _)| other == name);
        let written = if twice { name.to_uppercase() } else { (*name).to_owned() };
        if twice {
            again.push((written.clone(), *name));
        }
        zip.start_file(written, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    let mut bytes = zip.finish().unwrap().into_inner();
    for (written, name) in again {
        replace(&mut bytes, written.as_bytes(), name.as_bytes());
    }
    bytes
}

fn npy(array: &impl WriteNpyExt) -> Vec<u8> {
    let mut bytes = Vec::new();
    array.write_npy(&mut bytes).unwrap();
    bytes
}

/// Writes `to` over every `from` of the same length.
fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) -> usize {
    assert_eq!(from.len(), to.len(), "only in place");
    let places: Vec<usize> = (0..=bytes.len() - from.len()).filter(|&at| bytes[at..].starts_with(from)).collect();
    places.iter().for_each(|&at| bytes[at..at + to.len()].copy_from_slice(to));
    places.len()
}

#[test]
fn an_archive_that_declares_too_much_is_not_inflated() {
    let folder = Folder::new();
    let long = Array1::<f64>::zeros(100_000);
    let [t, x] = [array![0.0, 1.0], array![1.0, 2.0]].map(|a| npy(&a));
    let good = archive(&[("t.npy", npy(&long)), ("x.npy", npy(&long))]);
    // Both headers of the archive hold the size, in four bytes.
    let size = u32::try_from(npy(&long).len()).unwrap().to_le_bytes();
    for declared in [3_000_000_000_u32, 1_600_000_000] {
        let mut bytes = good.clone();
        assert_eq!(replace(&mut bytes, &size, &declared.to_le_bytes()), 4, "each size is there twice");
        let total = format!("{:.1} MiB", 2.0 * f64::from(declared) / f64::from(1 << 20));
        assert_error(Series::read(folder.file("bomb.npz", bytes)), &["bomb.npz", &total, "1024.0 MiB", "savez"]);
    }
    for (declared, words) in
        [(900_000, ["899872 bytes of data", "800000"]), (700_000, ["699872 bytes of data", "800000"])]
    {
        let mut bytes = good.clone();
        replace(&mut bytes, &size, &u32::to_le_bytes(declared));
        assert_error(Series::read(folder.file("other.npz", bytes)), &words);
    }
    // The header of the array says what the archive does, but there is more or less in it.
    let cube = npy(&Array3::<f64>::zeros((50_000, 2, 1)));
    for (shape, declared) in [(b"(45000, 2, 1)", 720_128_u32), (b"(55000, 2, 1)", 880_128)] {
        let mut content = cube.clone();
        assert_eq!(replace(&mut content, b"(50000, 2, 1)", shape), 1, "the shape of the cube");
        let mut bytes = archive(&[("t.npy", t.clone()), ("x.npy", content)]);
        assert_eq!(replace(&mut bytes, &size, &declared.to_le_bytes()), 2, "the size of the cube");
        let words = ["lies.npz", "array x", &declared.to_string(), "the archive declares"];
        assert_error(Series::read(folder.file("lies.npz", bytes)), &words);
    }
    let bytes = archive(&[("t.npy", npy(&long)), ("x.npy", x)]);
    assert_error(Series::read(folder.file("axes.npz", bytes)), &["array x", "[2]"]);
    let bytes = archive(&[("t.npy", t), ("junk.npy", npy(&long))]);
    assert_error(Series::read(folder.file("junk.npz", bytes)), &["array junk has no place"]);
}

#[test]
fn what_is_there_twice_is_refused() {
    let folder = Folder::new();
    let [t, x] = [npy(&array![0.0, 1.0]), npy(&array![[1.0], [2.0]])];
    let members = [("t.npy", t.clone()), ("x.npy", x.clone())];
    Series::read(folder.file("good.npz", archive(&members))).unwrap();
    for again in ["x.npy", "t.npy", "x"] {
        let bytes = archive(&[&members[..], &[(again, x.clone())]].concat());
        let name = again.trim_end_matches(".npy");
        assert_error(
            Series::read(folder.file("twice.npz", bytes)),
            &["twice.npz", &format!("array {name} is there twice")],
        );
    }
    let values = archive(&[("times", t), ("values", x.clone()), ("values", x)]);
    assert_error(read_reference(folder.file("ref.npz", values)), &["array values is there twice"]);

    let header = |entries: &str| {
        let entries = format!("{{{entries}}}\n");
        let length = u16::try_from(entries.len()).unwrap().to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], entries.as_bytes(), &[0; 8]].concat()
    };
    let good = "'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), ";
    assert_eq!(read_npy2(folder.file("a.npy", header(good))).unwrap(), array![[0.0, 0.0]]);
    for (key, value) in [("shape", "(2, 1)"), ("descr", "'<i4'"), ("fortran_order", "True"), ("sh\\x61pe", "(2, 1)")] {
        let bytes = header(&format!("{good}'{key}': {value}"));
        assert_error(read_npy2(folder.file("a.npy", bytes)), &["a.npy", "twice"]);
    }
}

#[test]
fn archives_of_numpy_are_read_compressed_too() {
    let folder = Folder::new();
    let path = folder.path("zeros.npz");
    let mut npz = NpzWriter::new_compressed(std::fs::File::create(&path).unwrap());
    npz.add_array("t", &Array1::from_iter((0..1000).map(f64::from))).unwrap();
    npz.add_array("x", &Array3::<f32>::zeros((100, 1000, 2))).unwrap();
    npz.finish().unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() < 10_000, "well compressed");
    assert_eq!(Series::read(&path).unwrap().values.dim(), (100, 1000, 2));
}

#[test]
fn what_is_too_long_is_not_read() {
    let folder = Folder::new();
    let path = folder.file("text", "12345");
    assert_eq!(read_at_most(&path, 5).unwrap(), b"12345");
    assert_error(read_at_most(&path, 4), &["text", "5 bytes, more than 4 bytes"]);
    // A file with holes: 20 TiB long, and nothing in it.
    let sparse = folder.path("sparse.npy");
    if std::fs::File::create(&sparse).and_then(|file| file.set_len(20 << 40)).is_ok() {
        assert_error(read_npy2(&sparse), &["sparse.npy", "more than 16384.0 MiB"]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn devices_end_after_a_limit() {
    use std::os::unix::fs::symlink;
    let folder = Folder::new();
    symlink("/dev/zero", folder.path("zero.csv")).unwrap();
    symlink("/dev/zero", folder.path("zero.npz")).unwrap();
    let zero = "/dev/zero";
    assert_error(read_npy2(zero), &["/dev/zero", "more than 256.0 MiB"]);
    assert_error(read_npy3(zero), &["/dev/zero", "more than 256.0 MiB"]);
    assert_error(read_mask3(zero), &["/dev/zero", "more than 256.0 MiB"]);
    assert_error(read_reference(zero), &["/dev/zero", "more than 256.0 MiB"]);
    assert_error(read_parameters(zero, &torch_field()), &["/dev/zero", "more than 256.0 MiB"]);
    for name in ["zero.csv", "zero.npz"] {
        assert_error(Series::read(folder.path(name)), &[name, "more than 256.0 MiB"]);
    }
    assert_error(read_npy2("/dev/null"), &["/dev/null", "cut off"]);
    assert_error(read_npy2(folder.0.path()), &["cannot read"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_pipe_is_read_to_its_end() {
    let folder = Folder::new();
    let path = folder.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success(), "a named pipe");
    let bytes = npy(&array![[1.0_f32, 2.0]]);
    let writer = std::thread::spawn({
        let path = path.clone();
        move || std::fs::write(path, bytes).unwrap()
    });
    assert_eq!(read_npy2(&path).unwrap(), array![[1.0, 2.0]]);
    writer.join().unwrap();
}
