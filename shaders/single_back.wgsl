// What the reverse kernels of one state share, discrete and continuous: bindings, the adjoint, and the way in and out.
// Companions: stages.wgsl, step_call.wgsl, pull_back.wgsl.

@group(0) @binding(1) var<uniform> schedule: Schedule;
@group(0) @binding(2) var<storage, read_write> state: array<f32>;
@group(0) @binding(3) var<storage, read_write> adjoint: array<f32>;
@group(0) @binding(4) var<storage, read> observed: array<f32>;
@group(0) @binding(5) var<storage, read_write> status: array<u32>;

const ADJOINT_ROWS: u32 = 2u * DIM;

// Adjoint, and what it lacks of its sum: see stages.wgsl.
var<private> a: array<f32, COMPONENTS>;
var<private> a_rest: array<f32, COMPONENTS>;

fn add_to_adjoint(q: u32, v: f32) {
    let both = two_sum(a[q], v + a_rest[q]);
    a[q] = both.x;
    a_rest[q] = both.y;
}

/// Takes state and adjoint of the trajectories that take part.
fn enter(local: u32, in_tile: u32) {
    first = call.first_trajectory + in_tile * TRAJECTORIES;
    lane = local;
    count_in();
    for (var q = 0u; q < COMPONENTS; q++) {
        let behind = DIM * call.stride + element(q);
        x[q] = select(0.0, state[element(q)], alive[q % TRAJECTORIES]);
        rest[q] = select(0.0, state[behind], alive[q % TRAJECTORIES]);
        a[q] = select(0.0, adjoint[element(q)], alive[q % TRAJECTORIES]);
        a_rest[q] = select(0.0, adjoint[behind], alive[q % TRAJECTORIES]);
    }
    begin_charging();
}

/// Quarantines trajectories that are no longer finite.
fn check(n: u32) {
    for (var q = 0u; q < COMPONENTS; q++) {
        let r = q % TRAJECTORIES;
        bad[r] = bad[r] || !is_finite(a[q]) || !is_finite(x[q]);
    }
    quarantine(n);
}

fn leave() {
    if (!owns()) {
        return;
    }
    for (var q = 0u; q < COMPONENTS; q++) {
        let behind = DIM * call.stride + element(q);
        state[element(q)] = x[q];
        state[behind] = rest[q];
        adjoint[element(q)] = select(0.0, a[q], alive[q % TRAJECTORIES]);
        adjoint[behind] = select(0.0, a_rest[q], alive[q % TRAJECTORIES]);
    }
}
