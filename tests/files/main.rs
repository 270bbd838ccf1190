//! Does every file come back as it was written, does every broken file give a clear error, and do weights and
//! gradients mean the same as in PyTorch?
//!
//! Blind spots: a disk that fills up half-way and a machine that crashes between writing and renaming are not tried;
//! PyTorch is compared through files that it wrote once (`tests/fixtures/make_torch_fixture.py`), and the way back
//! into PyTorch through a file of ours that it loaded once (`tests/fixtures/check_loads_in_torch.py`).

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod arrays;
mod atomicity;
mod hostile;
mod scaling;
mod series;
mod tables;
mod weights;

use std::path::{Path, PathBuf};

use costate::{Activation, Error, Mlp};
use ndarray_npy::WriteNpyExt;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn torch_field() -> Mlp {
    Mlp::builder(2).hidden(&[5, 3], Activation::Tanh).build().unwrap()
}

/// A folder with a helper that writes bytes into it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    fn npy(&self, array: &impl WriteNpyExt) -> PathBuf {
        let mut bytes = Vec::new();
        array.write_npy(&mut bytes).unwrap();
        self.file("array.npy", bytes)
    }

    fn entries(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// The message of an error of bad input, which must hold all `words`.
#[track_caller]
fn assert_error<T: std::fmt::Debug>(result: costate::Result<T>, words: &[&str]) -> Error {
    let error = result.unwrap_err();
    let message = error.to_string();
    assert!(error.is_usage(), "'{message}' should count as bad input");
    for word in words {
        assert!(message.contains(word), "'{message}' should contain '{word}'");
    }
    error
}
