//! Where things lie inside the buffers that the field's shape decides: packed weights, scratch units.

use crate::model::{Activation, Mlp};

/// Rows of packed weights are padded to this many values, so that one load per lane brings a whole block.
const ROW: usize = 8;
/// Layers with more inputs than this are read block by block instead of all inputs at once.
const WIDE: usize = 128;
/// Inputs per block of a wide layer.
pub(crate) const BLOCK: usize = 64;
/// Values that one load of a subgroup brings at most: from the start of any row so many can be read.
pub(crate) const LOAD: usize = 16;
/// Marks a packed value that no parameter fills.
pub(crate) const NO_PARAMETER: u32 = u32::MAX;

/// A matrix of packed weights: `rows` rows of `stride` values, zero where padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    /// Index of the first value.
    pub offset: usize,
    /// Number of rows: outputs of the product.
    pub rows: usize,
    /// Number of inputs that are used, without padding.
    pub inputs: usize,
    /// Distance between rows.
    pub stride: usize,
    /// Position of the bias in a row.
    pub bias: Option<usize>,
}

impl Packed {
    fn new(offset: usize, rows: usize, inputs: usize, with_bias: bool) -> Self {
        let padded = Self::padded(inputs);
        let stride = (padded + usize::from(with_bias)).next_multiple_of(ROW);
        Self { offset, rows, inputs, stride, bias: with_bias.then_some(padded) }
    }

    /// Number of inputs as the kernels read them: wide layers are rounded up to whole blocks.
    pub(crate) fn padded(inputs: usize) -> usize {
        if inputs > WIDE { inputs.next_multiple_of(BLOCK) } else { inputs }
    }

    /// Number of blocks in which the inputs are read; 1 for layers that are not wide.
    pub(crate) fn blocks(&self) -> usize {
        if self.inputs > WIDE { self.inputs.div_ceil(BLOCK) } else { 1 }
    }

    fn end(&self) -> usize {
        self.offset + self.rows * self.stride
    }
}

/// One layer as the kernels see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LayerLayout {
    /// `W` and `b` by rows of outputs, for the evaluation.
    pub forward: Packed,
    /// `Wᵀ` by rows of inputs, for the product of the deltas. The row of the time is the last one of layer 0.
    pub transposed: Packed,
    /// First scratch unit of the inputs `v`; the unit after the last input holds ones, for the bias.
    pub input_unit: usize,
    /// First scratch unit of the deltas; between recording and back-propagation it holds the slopes φ'.
    pub delta_unit: usize,
    /// The function applied to the outputs.
    pub activation: Activation,
}

/// The layouts of all layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldLayout {
    pub layers: Vec<LayerLayout>,
    /// Length of the packed weights in values.
    pub packed: usize,
    /// Scratch units (rows of activations and deltas) per evaluation, with the slack that block reads may touch.
    pub units: usize,
}

impl FieldLayout {
    pub(crate) fn new(field: &Mlp) -> Self {
        let mut layers = Vec::with_capacity(field.layers().len());
        let (mut packed, mut unit) = (0, 0);
        for layer in field.layers() {
            let forward = Packed::new(packed, layer.n_out, layer.n_in, true);
            let transposed = Packed::new(forward.end(), layer.n_in, layer.n_out, false);
            packed = transposed.end();
            let delta_unit = unit + layer.n_in + 1;
            layers.push(LayerLayout {
                forward,
                transposed,
                input_unit: unit,
                delta_unit,
                activation: layer.activation,
            });
            unit = delta_unit + layer.n_out;
        }
        Self { layers, packed: packed + LOAD, units: unit + BLOCK }
    }

    /// For every packed value the index of its parameter, or [`NO_PARAMETER`].
    pub(crate) fn pack_table(&self, field: &Mlp) -> Vec<u32> {
        let mut table = vec![NO_PARAMETER; self.packed];
        let index = |i: usize| u32::try_from(i).unwrap_or(NO_PARAMETER);
        for (layout, layer) in self.layers.iter().zip(field.layers()) {
            for j in 0..layer.n_out {
                let row = layout.forward.offset + j * layout.forward.stride;
                for k in 0..layer.n_in {
                    table[row + k] = index(layer.weight + j * layer.n_in + k);
                }
                // A bias that is none stays zero, as padding does.
                if let Some((bias, parameter)) = layout.forward.bias.zip(layer.biases().nth(j)) {
                    table[row + bias] = index(parameter);
                }
                for k in 0..layout.transposed.rows {
                    table[layout.transposed.offset + k * layout.transposed.stride + j] =
                        index(layer.weight + j * layer.n_in + k);
                }
            }
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(dim: usize, hidden: &[usize], time: bool) -> Mlp {
        let builder = Mlp::builder(dim).hidden(hidden, Activation::Tanh).time_input(time);
        // Two inputs: without biases.
        builder.bias(dim != 2).build().expect("a valid field")
    }

    #[test]
    fn every_parameter_is_packed_once_forward_and_once_transposed() {
        for (dim, hidden, time) in [(2, vec![5, 9], false), (3, vec![], true), (1, vec![200], true)] {
            let mlp = field(dim, &hidden, time);
            let mut seen = vec![0; mlp.parameter_count()];
            for p in FieldLayout::new(&mlp).pack_table(&mlp).into_iter().filter(|&p| p != NO_PARAMETER) {
                seen[p as usize] += 1;
            }
            for (l, layer) in mlp.layers().iter().enumerate() {
                for (i, &count) in seen[layer.weights()].iter().enumerate() {
                    assert_eq!(count, 2, "layer {l}, weight {i}");
                }
                let biases = &seen[layer.biases()];
                assert!(biases.iter().all(|&c| c == 1), "layer {l}: biases {biases:?}");
            }
        }
    }
}
