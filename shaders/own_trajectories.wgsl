// The lane family: every invocation owns TRAJECTORIES trajectories. Mirror: tile.wgsl.

/// The place of an invocation's trajectories in a dispatch, counted in invocations.
fn place_of(group: u32, local: u32) -> u32 {
    return group * WORKGROUP + local;
}

/// True if this invocation has trajectories of its own.
fn owns() -> bool {
    return true;
}
