// Packed weights, one value per load. Mirror: weights_uniform.wgsl.

@group(0) @binding(0) var<storage, read> weights: array<f32>;
