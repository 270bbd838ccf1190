// Every observation has a weight, negative where it is masked. Companion: a binding `weighting`. Mirror: weight_one.wgsl.

fn weight_of(i: u32) -> f32 {
    return weighting[i];
}
