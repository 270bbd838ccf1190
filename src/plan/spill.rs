//! Which kernels keep their arrays in a buffer rather than to themselves, and how much of it a trajectory takes.
//!
//! llvmpipe makes the zeros that a private array starts with by eight stores for each element, and a pass of LLVM compares
//! the uses of an array pair by pair: compiling takes a time that grows with the square of the length, two minutes for
//! 1-1024-1. An element of a buffer costs more to read and to write, but in fields of this size products take the time.

use super::arrangement::Family;
use super::kernel::{Lane, Terms, WeightFetch};
use super::layout::{FieldLayout, Packed};
use crate::model::Mlp;

/// Squares of the lengths of private arrays, summed over those of a kernel, from which on some go to a buffer: about two
/// seconds of compiling. Four trajectories of fields of width 64 are below, with their tangents too.
const MOST_SQUARES: u64 = 36_000;
/// What is left of them where that is so: few, since every place at which a text reads a buffer costs time too.
pub(crate) const LEFT_SQUARES: u64 = 8_000;
/// Inputs of a product that come to registers at a time, by way of a short array.
pub(crate) const COPIED: usize = 32;
/// The same of one loop trip, where inputs come block by block.
pub(crate) const COPIED_AT_ONCE: usize = 4;

/// True if a kernel with these arrays keeps some of them in a buffer.
pub(crate) fn spills(field: &Mlp, stages: u32, lane: Lane, terms: Terms) -> bool {
    if lane.family != Family::Lane || lane.fetch != WeightFetch::Broadcast8 {
        return false;
    }
    let layout = FieldLayout::new(field);
    let own = u64::from(lane.own_trajectories());
    let rows = u64::from(terms.evaluation_rows());
    let components = field.dim() as u64 * own;
    let of_stages = u64::from(stages) * components;
    let (hidden, wide) = (width(&layout), rows * own * wide_rows(&layout));
    let squares = 10 * components.pow(2) + rows * of_stages.pow(2) + rows * own * hidden.pow(2) + wide.pow(2);
    squares > MOST_SQUARES
}

/// Values in the buffer for each trajectory of a dispatch, at most; 0 if no kernel of the pass has any there.
pub(crate) fn spilled_values(field: &Mlp, stages: u32, lanes: [Lane; 3], terms: Terms) -> u64 {
    if !lanes.into_iter().any(|lane| spills(field, stages, lane, terms)) {
        return 0;
    }
    let layout = FieldLayout::new(field);
    let rows = u64::from(terms.evaluation_rows());
    let components = field.dim() as u64 + 1;
    // The state and its like; those over stages; the arguments and what goes along; activations and sums of wide layers.
    14 * components
        + 3 * u64::from(stages) * components
        + 2 * Packed::padded(field.dim() + 1) as u64
        + rows * (width(&layout) + wide_rows(&layout))
}

/// Trips of the loops that make zeros of what is read beyond the last value.
pub(super) fn start_trips(field: &Mlp, stages: u32, lane: Lane, terms: Terms) -> u64 {
    if !spills(field, stages, lane, terms) {
        return 0;
    }
    let layout = FieldLayout::new(field);
    let arguments = u64::from(lane.own_trajectories()) * Packed::padded(layout.layers[0].forward.inputs) as u64;
    let rows = u64::from(terms.evaluation_rows());
    rows * (arguments + 1 + u64::from(lane.own_trajectories()) * (width(&layout) + 1))
}

/// Length of an array of activations.
fn width(layout: &FieldLayout) -> u64 {
    layout.layers.iter().map(|l| Packed::padded(l.forward.rows)).max().unwrap_or(1) as u64
}

/// Sums that a layer keeps whose inputs come block by block.
fn wide_rows(layout: &FieldLayout) -> u64 {
    let products = layout.layers.iter().flat_map(|l| [l.forward, l.transposed]);
    products.filter(|p| p.blocks() > 1).map(|p| p.rows).max().unwrap_or(0) as u64
}
