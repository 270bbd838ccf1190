// Backsolve adjoint, reverse: a first round of stages with -h reconstructs the state before step n from the one after.

const PHASES: u32 = 2u;

fn recover(n: u32) {}

/// Takes the state to the start of the step, whose stages are known.
fn reconstructed(h: f32) {
    advance(-h);
}
