//! The file of what was measured.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use etcetera::{BaseStrategy, choose_base_strategy};
use serde::{Deserialize, Serialize};

use super::shape::{Phase, Shape};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::io::{read_at_most, write_atomically};
use crate::plan::KernelOptions;
use crate::problem::{NeuralOde, NeuralOdeBuilder};

/// Of the file; rises when what it holds changes its meaning.
const VERSION: u32 = 1;
/// Most bytes of the file that are read.
const LARGEST: u64 = 64 << 20;

/// What was measured on; other drivers and other versions of the kernels have other winners.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Name of the adapter.
    pub adapter: String,
    /// Driver and its version.
    pub driver: String,
    /// Version of this crate.
    pub costate: String,
}

impl Device {
    /// A device as this version of the crate sees it.
    #[must_use]
    pub fn of(gpu: &Gpu) -> Self {
        Self {
            adapter: gpu.adapter().to_owned(),
            driver: gpu.driver().to_owned(),
            costate: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// The winner for a shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuned {
    /// What it holds for.
    pub shape: Shape,
    /// What is given of the arrangement; nothing, if the plan's own choice won and has no name.
    pub kernels: KernelOptions,
    /// Seconds of a call with it.
    pub seconds: f64,
    /// Seconds with what the plan chooses.
    pub default_seconds: Option<f64>,
    /// When it was measured, in seconds since 1970.
    pub measured: u64,
}

/// The winners of all devices and shapes that were measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TuneCache {
    devices: Vec<OfDevice>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct OfDevice {
    #[serde(flatten)]
    device: Device,
    entries: Vec<Tuned>,
}

/// What is read first: the rest may be anything in other versions.
#[derive(Deserialize)]
struct Head {
    version: u32,
}

#[derive(Deserialize)]
struct File {
    devices: Vec<OfDevice>,
}

/// A problem with what a cache had for it.
#[derive(Debug)]
pub struct Chosen {
    /// The problem.
    pub ode: NeuralOde,
    /// The entry that was used.
    pub tuned: Option<Tuned>,
    /// Why the entry of this shape was not: the device refuses its arrangement.
    pub refused: Option<Error>,
}

impl TuneCache {
    /// Where the cache of the user is: `costate/kernels.json` in `$XDG_CACHE_HOME`, by default `~/.cache`, on Windows in the
    /// local application data.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the user has no home.
    pub fn default_path() -> Result<PathBuf> {
        let strategy = choose_base_strategy().map_err(|e| {
            let remedy = "set HOME, or give a path of your own";
            Error::invalid("the user's cache directory", e.to_string(), remedy)
        })?;
        Ok(strategy.cache_dir().join("costate").join("kernels.json"))
    }

    /// Reads a cache; a file that does not exist is an empty one. A file that is refused is best ignored and written anew.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Format`] if it is damaged or of another version.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = match read_at_most(path, LARGEST) {
            Ok(text) => text,
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(e),
        };
        let refused = |problem| Error::Format {
            path: path.to_owned(),
            format: "tuning cache",
            problem,
            remedy: "delete it, or measure again with `costate bench --tune`".into(),
        };
        let head: Head = serde_json::from_slice(&text).map_err(|e| refused(e.to_string()))?;
        if head.version != VERSION {
            return Err(refused(format!("it has version {}, this program has {VERSION}", head.version)));
        }
        let file: File = serde_json::from_slice(&text).map_err(|e| refused(e.to_string()))?;
        Ok(Self { devices: file.devices })
    }

    /// The winner for a shape on a device.
    #[must_use]
    pub fn lookup(&self, device: &Device, shape: &Shape) -> Option<&Tuned> {
        let entries = &self.devices.iter().find(|d| d.device == *device)?.entries;
        entries.iter().find(|entry| entry.shape == *shape)
    }

    /// Keeps a winner, in place of an earlier one for the same shape.
    pub fn insert(&mut self, device: &Device, tuned: Tuned) {
        let place = match self.devices.iter().position(|d| d.device == *device) {
            Some(place) => place,
            None => {
                self.devices.push(OfDevice { device: device.clone(), entries: Vec::new() });
                self.devices.len() - 1
            }
        };
        let entries = &mut self.devices[place].entries;
        match entries.iter_mut().find(|entry| entry.shape == tuned.shape) {
            Some(entry) => *entry = tuned,
            None => entries.push(tuned),
        }
    }

    /// Writes the cache in one piece, and makes its folder. What the file holds by then for other shapes, or has newer, stays:
    /// another process may have measured too. A damaged file is replaced.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let mut all = Self::load(path).unwrap_or_default();
        for OfDevice { device, entries } in &self.devices {
            for entry in entries {
                let newer = all.lookup(device, &entry.shape).is_some_and(|there| there.measured > entry.measured);
                if !newer {
                    all.insert(device, entry.clone());
                }
            }
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|source| Error::Io {
                action: "create",
                path: folder.to_owned(),
                source,
            })?;
        }
        let text = serde_json::json!({ "version": VERSION, "devices": all.devices });
        write_atomically(path, |writer| writeln!(writer, "{text:#}"))
    }

    /// Builds a problem with the winner for its shape, or without any if there is none or the device refuses it. What the
    /// builder was given of the arrangement is replaced.
    ///
    /// # Errors
    /// As [`NeuralOdeBuilder::build`].
    pub fn build(&self, builder: &NeuralOdeBuilder, gpu: &Gpu, phase: Phase, batch: usize) -> Result<Chosen> {
        let ode = builder.clone().kernels(KernelOptions::default()).build(gpu)?;
        let Some(tuned) = self.lookup(&Device::of(gpu), &Shape::of(&ode, phase, batch)) else {
            return Ok(Chosen { ode, tuned: None, refused: None });
        };
        let arranged = builder.clone().kernels(tuned.kernels).build(gpu);
        let planned = arranged.and_then(|arranged| phase.kernels(&arranged, batch).map(|_| arranged));
        Ok(match planned {
            Ok(ode) => Chosen { ode, tuned: Some(tuned.clone()), refused: None },
            // A problem that does not fit the device either way is not the cache's fault.
            Err(_) if phase.kernels(&ode, batch).is_err() => Chosen { ode, tuned: None, refused: None },
            Err(error) => Chosen { ode, tuned: None, refused: Some(error) },
        })
    }
}
