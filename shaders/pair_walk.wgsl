// Walks a tile of the batch through a run of updates of the pair (y, z), forward or back (math.md sections 3.4 and 4):
//   source += d target,   target <- alpha target + beta source +- Psi_h(t, source),   source += d target.
// One pipeline for both directions: a driver may give another pipeline other bits, and the way back must meet the bits of
// the way there. In: weights, schedule; in/out: state (both copies), observations, status, measures (running cost, largest
// magnitudes, largest distances of the copies, increments lost); out, if asked for: the source of every update, for
// pair_reverse.wgsl; in fixed point also the log.
// Companions: common, schedule, entry_update, status, stages, step_call, largest, observe, pay or pay_nothing,
// lost, pair_float or pair_fixed and theirs, generated mlp_eval. Twin: src/reference/pair.rs.

@group(0) @binding(1) var<uniform> schedule: Schedule;
@group(0) @binding(2) var<storage, read_write> state: array<Word>;
@group(0) @binding(5) var<storage, read_write> sources: array<f32>;
@group(0) @binding(6) var<storage, read_write> measures: array<f32>;

// What went wrong with a trajectory in the current update, as the kind of a status.
var<private> trouble: array<u32, TRAJECTORIES>;
// Trajectories that failed before it: their words may be anything.
var<private> lost: array<bool, TRAJECTORIES>;
// Contractions before the current update.
var<private> event: u32;

/// Notes trouble in component q. An infinite magnitude says which range was left, as long as the words mean something.
fn note_trouble(q: u32, kind: u32) {
    let r = q % TRAJECTORIES;
    trouble[r] = max(trouble[r], kind);
    if (kind == OUT_OF_RANGE && !lost[r]) {
        // A variable, since infinity may not be written as a constant.
        var infinity = 0x7f800000u;
        largest[q] = bitcast<f32>(infinity);
    }
}

/// Notes an increment of a component that has been zero so far: were its point too coarse, it would stay so unseen.
fn note_increment(q: u32, g: f32) {
    if (largest[q] == 0.0 && !lost[q % TRAJECTORIES]) {
        note_value(q, g);
    }
}

/// The increment's value at the source, and with it the update of the target.
fn update(entry: Entry, n: u32, backward: bool) {
    let target_side = entry.word & SIDE;
    let source_side = 1u - target_side;
    let drift = select(entry.drift, -entry.drift, backward);
    slide(source_side, drift);
    for (var q = 0u; q < COMPONENTS; q++) {
        x[q] = copy_value(source_side, q);
        if (!backward && !lost[q % TRAJECTORIES]) {
            note_value(q, x[q]);
        }
    }
    if ((call.mode & KEEP) != 0u) {
        let base = n * KEPT * DIM * call.stride;
        for (var q = 0u; q < COMPONENTS; q++) {
            sources[base + element(q)] = x[q];
            if (KEPT == 2u) {
                sources[base + DIM * call.stride + element(q)] = copy_value(target_side, q);
            }
        }
    }
    for (var s = 0u; s < STAGES; s++) {
        // As in step_forward.wgsl: of one stage a compiler sees the number.
        let i = s % STAGES;
        stage_argument(i, entry.h);
        let t = entry.t + schedule.nodes[i].c * entry.h;
        mlp_eval(t);
        pay(schedule.nodes[i].b * paid_length(entry), t);
        keep_stage(i);
    }
    ask(entry);
    kick(target_side, entry, backward);
    slide(source_side, drift);
}

/// Takes the output of the pair to x.
fn output() {
    for (var q = 0u; q < COMPONENTS; q++) {
        x[q] = schedule.pair.y * copy_value(0u, q) + schedule.pair.z * copy_value(1u, q);
    }
}

/// Notes the first update in which a trajectory met trouble; that its running cost was not finite before says less.
fn check_trouble(n: u32) {
    for (var r = 0u; r < TRAJECTORIES; r++) {
        let b = first + r;
        if (trouble[r] != 0u && (status[b] == 0u || (status[b] & KIND) == COST_OVERFLOW)) {
            status[b] = trouble[r] | n;
        }
        lost[r] = lost[r] || trouble[r] != 0u;
        trouble[r] = 0u;
    }
}

/// Notes how far apart the copies are; the velocity of ALF (alpha < 0) is no copy.
fn measure() {
    for (var q = 0u; q < COMPONENTS; q++) {
        if (!lost[q % TRAJECTORIES]) {
            note_value(q, copy_value(0u, q));
            let at = (LARGEST_ROW + DIM) * call.stride + element(q);
            measures[at] = max(measures[at], select(0.0, distance_of(q), schedule.pair.alpha > 0.0));
        }
    }
}

@compute @workgroup_size(WORKGROUP)
fn pair_walk(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    first = call.first_trajectory + (group.x * WORKGROUP + local) * TRAJECTORIES;
    lane = local;
    let backward = (call.mode & BACKWARD) != 0u;
    event = call.event;
    load_pair();
    begin_largest();
    for (var r = 0u; r < TRAJECTORIES; r++) {
        lost[r] = status[first + r] != 0u;
    }
    begin_asking();
    begin_paying();
    if (!backward) {
        output();
        observe(call.outer_slot);
    }
    for (var i = 0u; i < call.steps; i++) {
        let n = select(i, call.steps - 1u - i, backward);
        let entry = schedule.entries[call.first_step + n];
        let contracts = has(entry, CONTRACT);
        if (backward && contracts) {
            event -= 1u;
            expand();
        }
        update(entry, n, backward);
        if (!backward) {
            if (has(entry, ALIGNED)) {
                measure();
            }
            if (contracts) {
                contract();
                event += 1u;
            }
            check_trouble(call.step_number + n);
            if (slot_of(entry) != NO_SLOT) {
                output();
                observe(slot_of(entry));
            }
        }
    }
    end_paying();
    if (!backward) {
        end_largest();
    }
    note_losses();
    store_pair();
}
