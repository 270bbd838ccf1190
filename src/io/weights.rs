//! `.safetensors` files in PyTorch naming.
//!
//! Linear layer `i` is `net.{2i}.weight` `[out, in]` and `net.{2i}.bias` `[out]`: the odd places of the
//! `nn.Sequential` are the activations, which have no parameters. The values are in the order of the flat vector θ.
//! Instead of `net.` any other prefix may stand there, the same for all tensors.

mod header;
pub(super) mod names;

use std::path::Path;

use ndarray::{ArrayView2, aview1};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::{Standardiser, Tensors, format_error, read_bytes};
use crate::error::{Error, Result};
use crate::model::{Mlp, Parameters};

const FORMAT: &str = "safetensors";
const REMEDY: &str = "save the state dict of an nn.Sequential of Linear layers and activations under the name net";
/// The key of the metadata under which the scaling is found, as JSON.
pub(super) const SCALING: &str = "costate.scaling";

/// A file of weights as it was read.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Weights {
    /// The parameters.
    pub parameters: Parameters,
    /// What stands before the number of the layer in the names of the tensors, for instance `net.`.
    pub prefix: String,
    /// The scaling of the data that the weights were trained on, if the file tells: the field is one of scaled states.
    pub scaling: Option<Standardiser>,
}

/// Reads the weights of `field`. f64, f16 and bf16 are converted to f32.
///
/// The tensors may have any prefix, the same for all: `net.`, `module.`, `_orig_mod.func.`, none.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Format`] if it is of another format, corrupt or truncated, if its
/// header names something twice, if a tensor is missing, is one too many or has a dtype that is not a float, or if the
/// scaling in its metadata is none for `field`; [`Error::Shape`] naming the tensor and the shape that `field` needs;
/// [`Error::NonFiniteData`] for a NaN or an infinity; [`Error::Invalid`] for an f64 beyond f32.
pub fn read_weights(path: impl AsRef<Path>, field: &Mlp) -> Result<Weights> {
    let path = path.as_ref();
    let bytes = read_bytes(path)?;
    header::check(path, &bytes)?;
    let damaged = |e: safetensors::SafeTensorError| {
        format_error(path, FORMAT, e.to_string(), "the file is truncated or corrupt: write it again")
    };
    let tensors = SafeTensors::deserialize(&bytes).map_err(damaged)?;
    let prefix = names::prefix(path, &tensors)?;
    let expected = names::slots(field, &prefix);
    names::check(path, field, &expected, &tensors)?;
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
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
    let text = metadata.metadata().as_ref().and_then(|texts| texts.get(SCALING));
    let scaling = text.map(|text| scaling(path, text, field)).transpose()?;
    Ok(Weights { parameters: Parameters::from_flat(field, values)?, prefix, scaling })
}

/// Reads the parameters of `field` and nothing else: see [`read_weights`], which also tells in which units their states are.
///
/// # Errors
/// As [`read_weights`].
pub fn read_parameters(path: impl AsRef<Path>, field: &Mlp) -> Result<Parameters> {
    Ok(read_weights(path, field)?.parameters)
}

fn scaling(path: &Path, text: &str, field: &Mlp) -> Result<Standardiser> {
    let remedy = "write the file again, or remove the metadata";
    let scaling: Standardiser = serde_json::from_str(text)
        .map_err(|e| format_error(path, FORMAT, format!("metadata {SCALING}: {e}"), remedy))?;
    if scaling.mean().len() != field.dim() {
        let problem = format!("metadata {SCALING} scales {} components", scaling.mean().len());
        let remedy = format!("a {} field needs {}: {remedy}", field.summary(), field.dim());
        return Err(format_error(path, FORMAT, problem, remedy));
    }
    Ok(scaling)
}

/// Writes parameters as f32 so that an `nn.Sequential` of the same layers, saved under the name `net`, loads them.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written; it is then as it was before.
pub fn write_parameters(path: impl AsRef<Path>, parameters: &Parameters) -> Result<()> {
    Tensors::new().theta(parameters.field(), parameters.as_slice())?.write(path)
}

/// As [`write_parameters`], with the scaling of the data that they were trained on: the field means nothing without it.
///
/// ```
/// use costate::io::{Scale, Standardiser, read_weights, write_weights};
/// use costate::{Init, Mlp, Parameters};
/// # let folder = std::env::temp_dir().join(format!("costate-doc-weights-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("w.safetensors");
/// let scaling: Standardiser =
///     serde_json::from_str(r#"{"scale": "standardise", "mean": [20.0], "deviation": [5.0]}"#)?;
/// let field = Mlp::builder(1).build()?;
/// write_weights(&path, &Parameters::init(&field, Init::Torch, 0)?, &scaling)?;
/// assert_eq!(read_weights(&path, &field)?.scaling, Some(scaling));
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`write_parameters`].
pub fn write_weights(path: impl AsRef<Path>, parameters: &Parameters, scaling: &Standardiser) -> Result<()> {
    Tensors::new().theta(parameters.field(), parameters.as_slice())?.scaling(scaling)?.write(path)
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
