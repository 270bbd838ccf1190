// Every invocation has a rectangle of its own. Mirror: outer_together.wgsl.

fn rectangle_of(group: u32, local: u32) -> u32 {
    return group * WORKGROUP + local;
}

fn lane_of(local: u32) -> u32 {
    return 0u;
}
