//! How the gradient of the weights is cut into rectangles, each the work of an invocation or of a subgroup.

use bytemuck::{Pod, Zeroable};

use super::kernel::{Lane, WeightFetch};
use super::layout::FieldLayout;
use crate::model::Mlp;

/// Lanes that share a rectangle.
pub(crate) const OUTER_LANES: usize = 8;
/// Marks the absence of the bias.
const NO_BIAS: u32 = u32::MAX;

/// How `outer_product` is specialised.
///
/// Sums stay in registers, 64 of each invocation. Alone it has 8 × 8 weights, so it loads 16 values for 64 products. On
/// llvmpipe every load costs as much as eight, one for each lane, and a broadcast next to nothing: there the lanes of a
/// subgroup have 32 × 16 weights together, four wide by sixteen narrow each, and six loads do for 64 products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Outer {
    pub workgroup: u32,
    /// True if the lanes of a subgroup, which is the workgroup, share a rectangle.
    pub together: bool,
}

impl From<Lane> for Outer {
    fn from(lane: Lane) -> Self {
        Self { workgroup: lane.workgroup, together: lane.fetch != WeightFetch::Uniform }
    }
}

impl Outer {
    /// Places on the wide side of an invocation.
    pub(crate) fn lane_wide(self) -> usize {
        if self.together { 4 } else { 8 }
    }

    /// Places on the wide side of a rectangle.
    pub(crate) fn wide(self) -> usize {
        if self.together { self.lane_wide() * OUTER_LANES } else { self.lane_wide() }
    }

    /// Places on the narrow side of a rectangle.
    pub(crate) fn narrow(self) -> usize {
        if self.together { 16 } else { 8 }
    }

    /// Workgroups for so many rectangles.
    pub(crate) fn groups(self, rectangles: u64) -> u64 {
        if self.together { rectangles } else { rectangles.div_ceil(self.workgroup.into()) }
    }
}

/// A rectangle as the kernel gets it: shaders/outer_product.wgsl.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Rectangle {
    pub wide_unit: u32,
    pub narrow_unit: u32,
    pub wide: u32,
    pub narrow: u32,
    pub weight: u32,
    pub wide_step: u32,
    pub narrow_step: u32,
    pub bias: u32,
    pub bias_wide: u32,
    pub bias_narrow: u32,
}

/// The rectangles that cover every parameter once.
pub(crate) fn rectangles(layout: &FieldLayout, field: &Mlp, outer: Outer) -> Vec<Rectangle> {
    let word = |i: usize| u32::try_from(i).unwrap_or(u32::MAX);
    let mut rectangles = Vec::new();
    for (place, layer) in layout.layers.iter().zip(field.layers()) {
        // The bias is the weight of an input that is 1.
        let (deltas, inputs) = (layer.n_out, layer.n_in + usize::from(layer.has_bias));
        let cut = |wide: usize, narrow: usize| wide.div_ceil(outer.wide()) * narrow.div_ceil(outer.narrow());
        let inputs_wide = cut(inputs, deltas) < cut(deltas, inputs);
        let [wide, narrow] = if inputs_wide { [inputs, deltas] } else { [deltas, inputs] };
        let [per_delta, per_input] = [layer.n_in, 1];
        for w in (0..wide).step_by(outer.wide()) {
            for n in (0..narrow).step_by(outer.narrow()) {
                let [delta, input] = if inputs_wide { [n, w] } else { [w, n] };
                let (delta_unit, input_unit) = (place.delta_unit + delta, place.input_unit + input);
                // Where it is in this rectangle, if it is.
                let bias = if layer.has_bias && input <= layer.n_in { word(layer.n_in - input) } else { NO_BIAS };
                let common = Rectangle {
                    wide: word((wide - w).min(outer.wide())),
                    narrow: word((narrow - n).min(outer.narrow())),
                    weight: word(layer.weight + delta * layer.n_in + input),
                    bias: word(layer.bias + delta),
                    ..Rectangle::default()
                };
                rectangles.push(if inputs_wide {
                    Rectangle {
                        wide_unit: word(input_unit),
                        narrow_unit: word(delta_unit),
                        wide_step: word(per_input),
                        narrow_step: word(per_delta),
                        bias_wide: bias,
                        bias_narrow: NO_BIAS,
                        ..common
                    }
                } else {
                    Rectangle {
                        wide_unit: word(delta_unit),
                        narrow_unit: word(input_unit),
                        wide_step: word(per_delta),
                        narrow_step: word(per_input),
                        bias_wide: NO_BIAS,
                        bias_narrow: bias,
                        ..common
                    }
                });
            }
        }
    }
    rectangles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Activation;

    #[test]
    fn rectangles_cover_every_parameter_once() {
        let alone = Outer { workgroup: 64, together: false };
        let together = Outer { workgroup: 8, together: true };
        for (dim, hidden, time) in [
            (2, vec![5, 9], false),
            (3, vec![], true),
            (8, vec![16, 7], true),
            (2, vec![64, 64], false),
            (40, vec![33], true),
        ] {
            let builder = Mlp::builder(dim).hidden(&hidden, Activation::Tanh).time_input(time);
            let fields = [true, false].map(|bias| builder.clone().bias(bias).build().expect("a field"));
            for (mlp, outer) in fields.iter().flat_map(|mlp| [(mlp, alone), (mlp, together)]) {
                let layout = FieldLayout::new(mlp);
                let mut seen = vec![0; mlp.parameter_count()];
                for r in rectangles(&layout, mlp, outer) {
                    for (w, n) in (0..r.wide).flat_map(|w| (0..r.narrow).map(move |n| (w, n))) {
                        let at = if w == r.bias_wide {
                            r.bias + n
                        } else if n == r.bias_narrow {
                            r.bias + w
                        } else {
                            r.weight + w * r.wide_step + n * r.narrow_step
                        };
                        seen[at as usize] += 1;
                    }
                }
                assert!(seen.iter().all(|&c| c == 1), "{outer:?}: parameters hit {seen:?} times");
            }
        }
    }
}
