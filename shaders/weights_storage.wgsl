// Packed weights, one value per load. Where two come at once the binding is generated: src/kernels/step.rs, words.wgsl.

@group(0) @binding(0) var<storage, read> weights: array<f32>;
