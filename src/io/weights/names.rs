//! The names of the tensors of a field.

use std::path::Path;

use safetensors::tensor::SafeTensors;

use super::{FORMAT, REMEDY};
use crate::error::Result;
use crate::io::format_error;
use crate::model::Mlp;

/// What stands before the number of a layer in files that are written here.
pub(crate) const PREFIX: &str = "net.";

/// The place of one tensor in the flat vector.
pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) start: usize,
}

/// The tensors of a field, in the order of the flat vector without gaps.
pub(crate) fn slots(field: &Mlp, prefix: &str) -> Vec<Slot> {
    let layers = field.layers().iter().enumerate();
    layers
        .flat_map(|(i, layer)| {
            let name = |kind| format!("{prefix}{}.{kind}", 2 * i);
            let weight = Slot { name: name("weight"), shape: vec![layer.n_out, layer.n_in], start: layer.weight };
            let bias = Slot { name: name("bias"), shape: vec![layer.n_out], start: layer.bias };
            [Some(weight), layer.has_bias.then_some(bias)].into_iter().flatten()
        })
        .collect()
}

/// What stands before the number of a layer, which depends on how the model was wrapped when it was saved: `net.` for a
/// field that is called so, `_orig_mod.net.` once it was compiled, nothing for a bare `nn.Sequential`.
///
/// # Errors
/// [`Error::Format`] if there are several.
pub(super) fn prefix(path: &Path, tensors: &SafeTensors<'_>) -> Result<String> {
    let mut found: Vec<&str> = tensors.names().into_iter().filter_map(before_number).collect();
    found.sort_unstable();
    found.dedup();
    match found.as_slice() {
        [] => Ok(PREFIX.to_owned()),
        [one] => Ok((*one).to_owned()),
        several => {
            let shown: Vec<String> = several.iter().map(|prefix| format!("'{prefix}'")).collect();
            let problem = format!("it holds several networks, whose tensors begin with {}", shown.join(", "));
            Err(format_error(path, FORMAT, problem, "save the state dict of the field alone"))
        }
    }
}

/// `module.net.` of `module.net.0.weight`; none of a name of another form.
fn before_number(name: &str) -> Option<&str> {
    let layer = name.strip_suffix(".weight").or_else(|| name.strip_suffix(".bias"))?;
    let prefix = layer.trim_end_matches(|c: char| c.is_ascii_digit());
    (prefix.len() < layer.len() && (prefix.is_empty() || prefix.ends_with('.'))).then_some(prefix)
}

/// Refuses a file in which a tensor is missing or one too many.
pub(super) fn check(path: &Path, field: &Mlp, expected: &[Slot], tensors: &SafeTensors<'_>) -> Result<()> {
    let mut found = tensors.names();
    found.sort_unstable();
    let list = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
    let is_bias = |name: &str| name.ends_with(".bias");
    if let Some(missing) = expected.iter().find(|slot| !found.contains(&slot.name.as_str())) {
        let problem = format!("tensor {} {:?} is missing; found: {list}", missing.name, missing.shape);
        let none = is_bias(&missing.name) && !found.iter().any(|name| is_bias(name));
        let remedy = if none { "say [field] bias = false if the layers have no biases" } else { REMEDY };
        return Err(format_error(path, FORMAT, problem, remedy));
    }
    if let Some(extra) = found.iter().find(|name| expected.iter().all(|slot| slot.name != **name)) {
        let problem = format!("tensor {extra} has no place in a {} field", field.summary());
        let remedy = if is_bias(extra) && !field.bias() {
            "remove [field] bias = false: all layers must have biases, or none"
        } else {
            "describe the field as it was when the weights were saved, or remove the tensor"
        };
        return Err(format_error(path, FORMAT, problem, remedy));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::before_number;

    #[test]
    fn what_stands_before_the_number_of_a_layer_is_found() {
        for (name, prefix) in [
            ("net.0.weight", Some("net.")),
            ("0.weight", Some("")),
            ("12.bias", Some("")),
            ("_orig_mod.module.func.net.10.bias", Some("_orig_mod.module.func.net.")),
            ("layer0.weight", None),
            ("net.0.weights", None),
            ("net.weight", None),
            (".weight", None),
            ("0weight", None),
            ("bias", None),
        ] {
            assert_eq!(before_number(name), prefix, "{name}");
        }
    }
}
