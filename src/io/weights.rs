//! `.safetensors` files in PyTorch naming.
//!
//! Linear layer `i` is `net.{2i}.weight` `[out, in]` and `net.{2i}.bias` `[out]`: the odd places of the
//! `nn.Sequential` are the activations, which have no parameters. The values are in the order of the flat vector θ.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::path::Path;

use ndarray::{ArrayView, ArrayView2, Dimension, aview1};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, View};

use super::{format_error, read_bytes, write_atomically};
use crate::error::{Error, Result};
use crate::model::{Mlp, Parameters};

const FORMAT: &str = "safetensors";

/// Reads the parameters of `field`. f64, f16 and bf16 are converted to f32.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Format`] if it is corrupt or truncated, if a tensor is missing,
/// is one too many or has a dtype that is not a float; [`Error::Shape`] naming the tensor and the shape that `field`
/// needs; [`Error::NonFiniteData`] for a NaN or an infinity; [`Error::Invalid`] for an f64 beyond f32.
pub fn read_parameters(path: impl AsRef<Path>, field: &Mlp) -> Result<Parameters> {
    let path = path.as_ref();
    let bytes = read_bytes(path)?;
    let tensors = SafeTensors::deserialize(&bytes)
        .map_err(|e| format_error(path, FORMAT, e.to_string(), "the file is truncated or corrupt: write it again"))?;
    let expected = slots(field);
    check_names(path, field, &expected, &tensors)?;
    let mut values = Vec::with_capacity(field.parameter_count());
    for slot in &expected {
        let tensor = tensors.tensor(&slot.name).map_err(|e| format_error(path, FORMAT, e.to_string(), REMEDY))?;
        if tensor.shape() != slot.shape {
            return Err(Error::shape(
                format!("tensor {} of {}", slot.name, path.display()),
                tensor.shape(),
                format!("{:?} for a {} field", slot.shape, field.summary()),
                "describe the field as it was when the weights were saved",
            ));
        }
        values.extend(floats(path, &slot.name, &tensor)?);
    }
    Parameters::from_flat(field, values)
}

/// Writes parameters as f32 so that an `nn.Sequential` of the same layers, saved under the name `net`, loads them.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written; it is then as it was before.
pub fn write_parameters(path: impl AsRef<Path>, parameters: &Parameters) -> Result<()> {
    let tensors = slots(parameters.field()).into_iter().map(|slot| slot.tensor(parameters.as_slice())).collect();
    write(path.as_ref(), tensors, None)
}

/// Writes a gradient: tensors named as the weights, `x0` `[batch, dim]`, and `loss` `[1]` when it is given.
///
/// `theta_grad` is `dJ/dθ` in the order of the flat vector, `x0` is `dJ/dx(t0)`. Values that are not finite are
/// written as they are.
///
/// # Errors
/// [`Error::Shape`] if `theta_grad` has not one value per parameter or `x0` not `dim` columns, [`Error::Io`] if the
/// file cannot be written.
pub fn write_gradient(
    path: impl AsRef<Path>,
    field: &Mlp,
    theta_grad: &[f32],
    x0: ArrayView2<'_, f32>,
    loss: Option<f32>,
) -> Result<()> {
    if x0.ncols() != field.dim() {
        let expected = format!("[batch, {}]", field.dim());
        return Err(Error::shape("gradient of x0", x0.shape(), expected, "use one field throughout"));
    }
    let tensors = Tensors::new().theta(field, theta_grad)?.array("x0", x0);
    match loss {
        Some(loss) => tensors.array("loss", aview1(&[loss])),
        None => tensors,
    }
    .write(path)
}

/// Tensors on their way to a `.safetensors` file, f32: what [`write_gradient`] writes, and more.
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
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Tensors(Vec<Tensor>, Option<HashMap<String, String>>);

impl Tensors {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
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
        self.0.extend(slots(field).into_iter().map(|slot| slot.tensor(flat)));
        Ok(self)
    }

    /// Adds an array.
    pub fn array<D: Dimension>(mut self, name: &str, values: ArrayView<'_, f32, D>) -> Self {
        self.0.push(Tensor::new(name.to_owned(), values.shape().to_vec(), values.iter()));
        self
    }

    /// Adds an entry to the metadata of the file.
    pub fn metadata(mut self, name: &str, text: String) -> Self {
        self.1.get_or_insert_default().insert(name.to_owned(), text);
        self
    }

    /// Writes the file.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written; it is then as it was before.
    pub fn write(self, path: impl AsRef<Path>) -> Result<()> {
        write(path.as_ref(), self.0, self.1)
    }
}

const REMEDY: &str = "save the state dict of an nn.Sequential of Linear layers and activations under the name net";

/// The place of one tensor in the flat vector.
struct Slot {
    name: String,
    shape: Vec<usize>,
    start: usize,
}

impl Slot {
    fn tensor(self, flat: &[f32]) -> Tensor {
        let end = self.start + self.shape.iter().product::<usize>();
        Tensor::new(self.name, self.shape, &flat[self.start..end])
    }
}

/// The tensors of a field, in the order of the flat vector without gaps.
fn slots(field: &Mlp) -> Vec<Slot> {
    let layers = field.layers().iter().enumerate();
    layers
        .flat_map(|(i, layer)| {
            let name = |kind| format!("net.{}.{kind}", 2 * i);
            [
                Slot { name: name("weight"), shape: vec![layer.n_out, layer.n_in], start: layer.weight },
                Slot { name: name("bias"), shape: vec![layer.n_out], start: layer.bias },
            ]
        })
        .collect()
}

fn check_names(path: &Path, field: &Mlp, expected: &[Slot], tensors: &SafeTensors<'_>) -> Result<()> {
    let mut found = tensors.names();
    found.sort_unstable();
    let list = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
    if let Some(missing) = expected.iter().find(|slot| !found.contains(&slot.name.as_str())) {
        let problem = format!("tensor {} {:?} is missing; found: {list}", missing.name, missing.shape);
        return Err(format_error(path, FORMAT, problem, REMEDY));
    }
    if let Some(extra) = found.iter().find(|name| expected.iter().all(|slot| slot.name != **name)) {
        let problem = format!("tensor {extra} has no place in a {} field", field.summary());
        let remedy = "describe the field as it was when the weights were saved, or remove the tensor";
        return Err(format_error(path, FORMAT, problem, remedy));
    }
    Ok(())
}

/// The values of one tensor as f32, all of them finite.
fn floats(path: &Path, name: &str, tensor: &TensorView<'_>) -> Result<Vec<f32>> {
    let data = tensor.data();
    let wide: Vec<f64> = match tensor.dtype() {
        Dtype::F32 => chunks(data).map(|b| f32::from_le_bytes(b).into()).collect(),
        Dtype::F64 => chunks(data).map(f64::from_le_bytes).collect(),
        Dtype::F16 => chunks(data).map(|b| half::f16::from_le_bytes(b).into()).collect(),
        Dtype::BF16 => chunks(data).map(|b| half::bf16::from_le_bytes(b).into()).collect(),
        other => {
            let problem = format!("tensor {name} has dtype {other}");
            return Err(format_error(
                path,
                FORMAT,
                problem,
                "save the weights as F32 (F64, F16 and BF16 are read too)",
            ));
        }
    };
    let wide = ndarray::ArrayD::from_shape_vec(tensor.shape(), wide)
        .map_err(|e| format_error(path, FORMAT, format!("tensor {name}: {e}"), "write it again"))?;
    let narrow = super::npy::narrow(path, &format!("tensor {name}"), &wide)?;
    Ok(narrow.into_raw_vec_and_offset().0)
}

fn chunks<const N: usize>(data: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    data.as_chunks().0.iter().copied()
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

fn write(path: &Path, tensors: Vec<Tensor>, metadata: Option<HashMap<String, String>>) -> Result<()> {
    let named: Vec<(String, Tensor)> = tensors.into_iter().map(|t| (t.name.clone(), t)).collect();
    write_atomically(path, |writer| {
        let bytes = safetensors::serialize(named, metadata).map_err(io::Error::other)?;
        writer.write_all(&bytes)
    })
}
