//! What is left when a file cannot be written.

use std::path::{Path, PathBuf};

use costate::io::{Series, write_atomically, write_npy, write_parameters};
use costate::{Error, Init, Parameters};
use ndarray::{Array3, array};

use crate::{Folder, torch_field};

#[test]
fn nothing_is_written_by_halves() {
    let folder = Folder::new();
    let old = folder.file("old.txt", "old");
    let error = write_atomically(&old, |writer| {
        writer.write_all(b"new")?;
        Err(std::io::Error::other("the disk is full"))
    });
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Io { action: "write", .. }) && !error.is_usage(), "{error:?}");
    assert!(error.to_string().contains("old.txt: the disk is full"), "{error}");
    assert_eq!(std::fs::read_to_string(&old).unwrap(), "old");
    assert_eq!(folder.entries(), ["old.txt"], "no temporary file is left");

    write_atomically(&old, |writer| writer.write_all(b"new")).unwrap();
    assert_eq!(std::fs::read_to_string(&old).unwrap(), "new");
    assert_eq!(folder.entries(), ["old.txt"], "no temporary file is left");
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let folder = Folder::new();
    let file = folder.file("file", "");
    let matrix = array![[1.0_f32]];
    let theta = Parameters::init(&torch_field(), Init::Xavier, 0).unwrap();
    std::fs::create_dir(folder.path("sub")).unwrap();
    for bad in [file.join("out"), folder.path("none").join("out"), folder.path("sub"), PathBuf::new()] {
        let series = Series::new(vec![], Array3::zeros((0, 0, 0)), vec![]);
        for result in [write_npy(&bad, matrix.view()), write_parameters(&bad, &theta), series.write_npz(&bad)] {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::Io { action: "write", .. }), "{error:?} should be a failed write");
            assert!(!error.is_usage(), "a failed write is a failed run");
        }
    }
    let mut entries = folder.entries();
    entries.sort_unstable();
    assert_eq!(entries, ["file", "sub"], "nothing new");
}

#[cfg(unix)]
#[test]
fn results_are_as_readable_as_other_files() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
    let plain = folder.file("plain", "");
    write_npy(folder.path("a.npy"), array![1.0_f32].view()).unwrap();
    assert_eq!(mode(&folder.path("a.npy")), mode(&plain), "not private as temporary files are");
}
