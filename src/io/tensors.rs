//! `.safetensors` files on their way out.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::path::Path;

use ndarray::{ArrayView, Dimension};
use safetensors::tensor::{Dtype, View};

use super::weights::SCALING;
use super::weights::names::{PREFIX, Slot, slots};
use super::{Standardiser, write_atomically};
use crate::error::{Error, Result};
use crate::model::Mlp;

/// Tensors on their way to a `.safetensors` file, f32: what [`write_gradient`](super::write_gradient) writes, and more.
///
/// ```
/// use costate::Mlp;
/// use costate::io::Tensors;
/// # let folder = std::env::temp_dir().join(format!("costate-doc-tensors-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("g.safetensors");
/// let field = Mlp::builder(1).build()?;
/// Tensors::new().theta(&field, &[0.5, -1.0])?.array("t1", ndarray::aview1(&[0.25])).write(&path)?;
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Tensors {
    prefix: String,
    list: Vec<Tensor>,
    metadata: HashMap<String, String>,
}

impl Default for Tensors {
    fn default() -> Self {
        Self::new()
    }
}

impl Tensors {
    /// None yet. Parameters will be named `net.0.weight`, …
    pub fn new() -> Self {
        Self::with_prefix(PREFIX)
    }

    /// None yet. Parameters will be named `{prefix}0.weight`, …: as in the file that [`Weights`](super::Weights) came from.
    pub fn with_prefix(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), list: Vec::new(), metadata: HashMap::new() }
    }

    /// Adds what is in the order of the flat vector of the parameters of `field`, as tensors named like the weights.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one value per parameter.
    pub fn theta(mut self, field: &Mlp, flat: &[f32]) -> Result<Self> {
        if flat.len() != field.parameter_count() {
            let expected = format!("[{}] for a {} field", field.parameter_count(), field.summary());
            return Err(Error::shape("parameter gradient", &[flat.len()], expected, "use one field throughout"));
        }
        self.list.extend(slots(field, &self.prefix).into_iter().map(|Slot { name, shape, start }| {
            let end = start + shape.iter().product::<usize>();
            Tensor::new(name, shape, &flat[start..end])
        }));
        Ok(self)
    }

    /// Adds an array.
    pub fn array<D: Dimension>(mut self, name: &str, values: ArrayView<'_, f32, D>) -> Self {
        self.list.push(Tensor::new(name.to_owned(), values.shape().to_vec(), values.iter()));
        self
    }

    /// Adds an entry to the metadata of the file.
    pub fn metadata(mut self, name: &str, text: String) -> Self {
        self.metadata.insert(name.to_owned(), text);
        self
    }

    /// Adds the scaling of the data that weights were trained on to the metadata of the file.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is not finite.
    pub fn scaling(self, scaling: &Standardiser) -> Result<Self> {
        let text = serde_json::to_string(scaling)
            .map_err(|e| Error::invalid("scaling", e.to_string(), "use finite means and deviations"))?;
        Ok(self.metadata(SCALING, text))
    }

    /// Writes the file.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written; it is then as it was before.
    pub fn write(self, path: impl AsRef<Path>) -> Result<()> {
        let named: Vec<(String, Tensor)> = self.list.into_iter().map(|t| (t.name.clone(), t)).collect();
        let metadata = (!self.metadata.is_empty()).then_some(self.metadata);
        write_atomically(path.as_ref(), |writer| {
            let bytes = safetensors::serialize(named, metadata).map_err(io::Error::other)?;
            writer.write_all(&bytes)
        })
    }
}

/// One tensor on its way to a file, f32.
#[derive(Clone, Debug)]
struct Tensor {
    name: String,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Tensor {
    fn new<'a>(name: String, shape: Vec<usize>, values: impl IntoIterator<Item = &'a f32>) -> Self {
        Self { name, shape, bytes: values.into_iter().flat_map(|v| v.to_le_bytes()).collect() }
    }
}

impl View for Tensor {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}
