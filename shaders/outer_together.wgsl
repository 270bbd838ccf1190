// The lanes of a subgroup, which is the workgroup, share a rectangle: each has a part of the wide side, and the narrow
// side is loaded once for all. Mirror: outer_alone.wgsl.

fn rectangle_of(group: u32, local: u32) -> u32 {
    return group;
}

fn lane_of(local: u32) -> u32 {
    return local;
}
