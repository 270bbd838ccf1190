// Pulls the adjoint of a pair back through a run of updates (math.md sections 3.1 to 3.4):
//   target' = alpha target + beta source + s Psi(source)  gives
//   a_source += beta a_target + s a_target dPsi/dsource,   a_target <- alpha a_target,
// with drifts before and after, and the contraction, which is symmetric. Activations and deltas go to
// scratch, or the sums of dJ/dtheta are made here: pull_scratch.wgsl, pull_inside.wgsl. The rounding of fixed point passes
// straight through.
// In: weights, schedule, cotangents of the observations; in/out: adjoint [2 dim, stride],
// status. Where the sources come from is up to source_stored.wgsl (pair_walk has left them) or source_walked.wgsl (this
// kernel walks back itself, with the increments that it evaluates anyway). Companions: common, schedule, entry_update,
// status, stages, step_call, pull_back, pull_scratch or pull_inside, pair_early or pair_late, charge_*, clock_*, source_*, and
// what those name.
// Mirror: pair_walk.wgsl. Twin:
// src/reference/pair.rs.

@group(0) @binding(1) var<uniform> schedule: Schedule;
@group(0) @binding(2) var<storage, read_write> adjoint: array<f32>;
@group(0) @binding(3) var<storage, read> observed: array<f32>;
@group(0) @binding(4) var<storage, read_write> status: array<u32>;

const ADJOINT_ROWS: u32 = 2u * DIM;

// Adjoints of y and z.
var<private> a: array<f32, 2u * COMPONENTS>;
// Which copy is the target, and the sign of the increment.
var<private> target_side: u32;
var<private> sign: f32;

// No element is addressed by the side: a private array that is stays out of the registers.

fn target_adjoint(q: u32) -> f32 {
    return select(a[q], a[COMPONENTS + q], target_side == 1u);
}

fn source_adjoint(q: u32) -> f32 {
    return select(a[q], a[COMPONENTS + q], target_side == 0u);
}

/// Replaces the adjoints of target and source.
fn put_adjoints(q: u32, of_target: f32, of_source: f32) {
    a[q] = select(of_target, of_source, target_side == 1u);
    a[COMPONENTS + q] = select(of_source, of_target, target_side == 1u);
}

/// What the stages are pulled back with.
fn pull(q: u32) -> f32 {
    return sign * target_adjoint(q);
}

/// Adds the cotangent of an observation to both copies.
fn receive(slot: u32) {
    if (slot == NO_SLOT) {
        return;
    }
    let base = (slot - call.slot_base) * DIM * call.stride;
    for (var q = 0u; q < COMPONENTS; q++) {
        let seed = select(0.0, observed[base + element(q)], alive[q % TRAJECTORIES]);
        a[q] += schedule.pair.y * seed;
        a[COMPONENTS + q] += schedule.pair.z * seed;
    }
}

/// The contraction: the mean passes, the difference is divided.
fn contract_adjoint() {
    let factor = 0.5 * power_of_two(-i32(call.bits));
    for (var q = 0u; q < COMPONENTS; q++) {
        let mean = 0.5 * (a[q] + a[COMPONENTS + q]);
        let half = factor * (a[q] - a[COMPONENTS + q]);
        a[q] = mean + half;
        a[COMPONENTS + q] = mean - half;
    }
}

/// The increment, evaluated again and pulled back: k holds the cotangents of its stages afterwards.
fn pull_increment(entry: Entry, n: u32, in_tile: u32) {
    find_source(entry, n);
    for (var i = 0u; i < RECORDED; i++) {
        stage_argument(i, entry.h);
        record_stage(i, n, in_tile, entry.t + schedule.nodes[i].c * entry.h);
    }
    before_pull(entry, n);
    pull_stages(n, in_tile, entry.t, entry.h, paid_length(entry));
}

fn update(entry: Entry, n: u32, in_tile: u32) {
    target_side = entry.word & SIDE;
    sign = select(1.0, -1.0, has(entry, NEGATIVE));
    for (var q = 0u; q < COMPONENTS; q++) {
        let of_source = source_adjoint(q);
        put_adjoints(q, target_adjoint(q) + entry.drift * of_source, of_source);
    }
    pull_increment(entry, n, in_tile);
    let whole = has(entry, NEGATIVE);
    let alpha = select(select(schedule.pair.alpha, 1.0, whole), 0.0, has(entry, START));
    let beta = select(schedule.pair.beta, 0.0, whole || has(entry, START));
    for (var q = 0u; q < COMPONENTS; q++) {
        let of_target = target_adjoint(q);
        var sum = beta * of_target;
        for (var i = 0u; i < STAGES; i++) {
            sum += k[i * COMPONENTS + q];
        }
        let of_source = source_adjoint(q) + sum;
        put_adjoints(q, alpha * of_target + entry.drift * of_source, of_source);
    }
    drift_behind(entry, n);
    turn_clock(call.first_step + n, paid_rate(entry));
}

/// Quarantines trajectories that are no longer finite.
fn check(n: u32) {
    for (var q = 0u; q < COMPONENTS; q++) {
        let r = q % TRAJECTORIES;
        bad[r] = bad[r] || !is_finite(a[q]) || !is_finite(a[COMPONENTS + q]) || !is_finite(x[q]);
    }
    quarantine(n);
}

@compute @workgroup_size(WORKGROUP)
fn pair_reverse(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let in_tile = group.x * WORKGROUP + local;
    first = call.first_trajectory + in_tile * TRAJECTORIES;
    lane = local;
    count_in();
    begin_sources();
    for (var c = 0u; c < 2u; c++) {
        for (var q = 0u; q < COMPONENTS; q++) {
            let value = adjoint[c * DIM * call.stride + element(q)];
            a[c * COMPONENTS + q] = select(0.0, value, alive[q % TRAJECTORIES]);
        }
    }
    begin_charging();
    begin_sums(group.x);
    start_clock();
    for (var back = 0u; back < call.steps; back++) {
        let n = call.steps - 1u - back;
        let entry = schedule.entries[call.first_step + n];
        pass_knot(slot_of(entry));
        receive(slot_of(entry));
        if (has(entry, CONTRACT)) {
            before_contraction();
            contract_adjoint();
        }
        update(entry, n, in_tile);
        check(call.step_number + n);
    }
    stop_clock();
    receive(call.outer_slot);
    end_sums();
    end_sources();
    for (var c = 0u; c < 2u; c++) {
        for (var q = 0u; q < COMPONENTS; q++) {
            let value = a[c * COMPONENTS + q];
            adjoint[c * DIM * call.stride + element(q)] = select(0.0, value, alive[q % TRAJECTORIES]);
        }
    }
}
