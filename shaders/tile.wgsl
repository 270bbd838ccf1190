// The tile family: a workgroup owns TILE trajectories, its first invocations one each; all of them share the products of
// the field. State and adjoint stay with the owners, activations in workgroup memory: rows of four units, a vector for each
// trajectory. Everything there is written before it is read. Control flow around mlp_eval and mlp_pull is uniform: both
// have barriers. Plan: src/plan/tile.rs. Mirror: own_trajectories.wgsl.

// One vector more than trajectories, so that neighbouring rows begin in different banks.
const TILE_STRIDE: u32 = TILE + 1u;
// Trajectories of a block are so far apart: neighbours in a row belong to neighbouring invocations.
const QUARTER: u32 = TILE / 4u;

// Number of this invocation in its workgroup.
var<private> lane: u32;

var<workgroup> tile: array<vec4<f32>, TILE_ROWS * TILE_STRIDE>;

/// The place of an invocation's trajectory in a dispatch. Those without one read along with the last that has one.
fn place_of(group: u32, local: u32) -> u32 {
    return group * TILE + min(local, TILE - 1u);
}

/// True if this invocation has a trajectory of its own.
fn owns() -> bool {
    return lane < TILE;
}

/// Zero beyond the last of `count` units: four of them, from row `row`.
fn within(v: vec4<f32>, row: u32, count: u32) -> vec4<f32> {
    let units = vec4<u32>(4u * row) + vec4<u32>(0u, 1u, 2u, 3u);
    return select(vec4<f32>(), v, units < vec4<u32>(count));
}
