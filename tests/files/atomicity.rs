//! What is left when a file cannot be written.

use std::path::{Path, PathBuf};

use costate::io::{Series, remove_leftovers, write_atomically, write_npy, write_parameters};
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

/// Devices are tried through the binary (tests/cli/outputs.rs), where the tests may make copies of them.
#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_written_to_and_stays() {
    use std::os::unix::fs::{FileTypeExt, symlink};
    let folder = Folder::new();
    let target = folder.file("target", "old");
    std::fs::create_dir(folder.path("sub")).unwrap();
    symlink("../target", folder.path("sub/link")).unwrap();
    symlink("sub/link", folder.path("link")).unwrap();
    symlink("none", folder.path("dangling")).unwrap();
    write_atomically(&folder.path("link"), |writer| writer.write_all(b"new")).unwrap();
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "new");
    write_atomically(&folder.path("dangling"), |writer| writer.write_all(b"new")).unwrap();
    assert_eq!(std::fs::read_to_string(folder.path("none")).unwrap(), "new");
    for link in ["link", "sub/link", "dangling"] {
        assert!(std::fs::symlink_metadata(folder.path(link)).unwrap().is_symlink(), "{link} is still a link");
    }
    let failing = write_atomically(&folder.path("link"), |_| Err(std::io::Error::other("no")));
    assert!(failing.is_err() && std::fs::read_to_string(&target).unwrap() == "new", "the target is as it was");

    let pipe = folder.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success(), "a named pipe is needed");
    let reader = {
        let pipe = pipe.clone();
        std::thread::spawn(move || std::fs::read(pipe).unwrap())
    };
    write_atomically(&pipe, |writer| writer.write_all(b"through")).unwrap();
    assert_eq!(reader.join().unwrap(), b"through");
    assert!(std::fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo(), "still a pipe");
    assert_eq!(folder.entries().len(), 6, "no temporary file is left: {:?}", folder.entries());
}

#[test]
fn what_killed_writes_have_left_is_removed() {
    let folder = Folder::new();
    folder.file(".costate-left.tmp", "half");
    folder.file(".costate-other", "kept");
    folder.file("costate-other.tmp", "kept");
    std::fs::create_dir(folder.path(".costate-folder.tmp")).unwrap();
    let mut removed = 0;
    write_atomically(&folder.path("out"), |writer| {
        writer.write_all(b"a write that goes on")?;
        removed = remove_leftovers(&folder.path("")).unwrap();
        Ok(())
    })
    .unwrap();
    assert_eq!(removed, 1, "the file that is being written to stays");
    assert_eq!(std::fs::read_to_string(folder.path("out")).unwrap(), "a write that goes on");
    let mut entries = folder.entries();
    entries.sort_unstable();
    assert_eq!(entries, [".costate-folder.tmp", ".costate-other", "costate-other.tmp", "out"]);
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
