//! Where the sums of dJ/dθ lie that reverse kernels make themselves: every workgroup owns a row of partials.
//!
//! In the lane family a workgroup is a subgroup of 8 lanes. The gradient of one unit of a hidden layer fills
//! words of 64 bits: its weights, its bias, and in the last hidden layer the weights that lead from it to the outputs.
//! Lane `l` of word group `c` holds values `16 c + l` and `16 c + 8 + l`, so that an addition is one load and one store
//! for sixteen weights. The biases of the outputs come last.

use super::layout::LOAD;
use crate::model::Mlp;

/// Most components of the state: sums over them are written out.
pub(crate) const MAX_DIM: usize = 8;
/// Widest layer: a row of weights stays in registers, or near them.
pub(crate) const MAX_WIDTH: usize = 128;
/// Lanes of a subgroup.
const LANES: usize = 8;

/// A row of partials that a workgroup of a reverse kernel adds to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SumRow {
    /// Of the tile family: in the order of the parameters.
    Flat {
        /// Values of the row.
        parameters: u64,
    },
    /// Of the lane family.
    Units(InsideLayout),
}

impl SumRow {
    /// Bytes of a row.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Flat { parameters } => 4 * parameters,
            Self::Units(layout) => layout.bytes(),
        }
    }

    /// The layout, if the order is not that of the parameters.
    pub(crate) fn units(&self) -> Option<&InsideLayout> {
        match self {
            Self::Flat { .. } => None,
            Self::Units(layout) => Some(layout),
        }
    }
}

/// The place of the sums of one unit after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SumRows {
    /// First word of the layer's first unit.
    pub offset: usize,
    /// Words of a unit.
    pub stride: usize,
}

/// The row of partials of a workgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InsideLayout {
    /// The hidden layers, then the biases of the outputs.
    pub rows: Vec<SumRows>,
    /// Words of 64 bits of the whole row.
    pub words: usize,
}

impl InsideLayout {
    /// Bytes of a row.
    pub(crate) fn bytes(&self) -> u64 {
        self.words as u64 * 8
    }

    pub(crate) fn new(field: &Mlp) -> Self {
        let layers = field.layers();
        let hidden = layers.len() - 1;
        let mut rows = Vec::with_capacity(layers.len());
        let mut words = 0;
        for (l, layer) in layers.iter().enumerate() {
            let (units, values) = match hidden.checked_sub(l) {
                Some(0) | None => (1, layer.n_out),
                Some(left) => (layer.n_out, layer.n_in + 1 + if left == 1 { field.dim() } else { 0 }),
            };
            let stride = values.div_ceil(LOAD) * LANES;
            rows.push(SumRows { offset: words, stride });
            words += units * stride;
        }
        Self { rows, words }
    }

    /// For every parameter the place of its sum, in values of 32 bits.
    pub(crate) fn table(&self, field: &Mlp) -> Vec<u32> {
        let layers = field.layers();
        let hidden = layers.len() - 1;
        let mut table = vec![0; field.parameter_count()];
        let mut put = |parameter: usize, rows: SumRows, unit: usize, value: usize| {
            let (group, half, lane) = (value / LOAD, value % LOAD / LANES, value % LANES);
            let place = 2 * (rows.offset + unit * rows.stride + group * LANES + lane) + half;
            table[parameter] = u32::try_from(place).unwrap_or(u32::MAX);
        };
        for (l, layer) in layers[..hidden].iter().enumerate() {
            for j in 0..layer.n_out {
                for k in 0..layer.n_in {
                    put(layer.weight + j * layer.n_in + k, self.rows[l], j, k);
                }
            }
            for (j, bias) in layer.biases().enumerate() {
                put(bias, self.rows[l], j, layer.n_in);
            }
        }
        let (last, output) = (&layers[hidden - 1], &layers[hidden]);
        for o in 0..output.n_out {
            for j in 0..output.n_in {
                put(output.weight + o * output.n_in + j, self.rows[hidden - 1], j, last.n_in + 1 + o);
            }
        }
        for (o, bias) in output.biases().enumerate() {
            put(bias, self.rows[hidden], 0, o);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Activation;

    #[test]
    fn every_parameter_has_a_place_of_its_own() {
        for (dim, hidden, time) in
            [(1, vec![1], false), (2, vec![5], true), (3, vec![16, 9], false), (8, vec![4, 33, 7], true)]
        {
            let builder = Mlp::builder(dim).hidden(&hidden, Activation::Tanh).time_input(time);
            // Two components: without biases.
            let field = builder.bias(dim != 2).build().expect("a field");
            let layout = InsideLayout::new(&field);
            let mut places = layout.table(&field);
            places.sort_unstable();
            places.dedup();
            assert_eq!(places.len(), field.parameter_count(), "{dim}, {hidden:?}: parameters share a place");
            let last = places.last().copied().expect("parameters");
            assert!((last as usize) < 2 * layout.words, "{dim}, {hidden:?}: {last} beyond {} words", layout.words);
        }
    }
}
