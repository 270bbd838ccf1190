// What the drifts of ALF, half a step long each, add to the gradient with respect to times: source' = source + d target
// gives d_bar = <a_source', target>, before and after the update of the target. Its increment does not grow with the step.
// Companions: clock.wgsl, source_*. Mirror: drift_none.wgsl.

var<private> drift_bar: array<f32, TRAJECTORIES>;

/// The drift after the update; the stages' values are still in k.
fn drift_ahead(entry: Entry, n: u32) {
    for (var q = 0u; q < COMPONENTS; q++) {
        let after = schedule.pair.alpha * target_value(q, n) + increment(q, entry.h);
        drift_bar[q % TRAJECTORIES] += source_adjoint(q) * after;
    }
}

/// The drift before the update.
fn drift_behind(entry: Entry, n: u32) {
    for (var q = 0u; q < COMPONENTS; q++) {
        drift_bar[q % TRAJECTORIES] += source_adjoint(q) * target_value(q, n);
    }
    for (var r = 0u; r < TRAJECTORIES; r++) {
        h_bar[r] = 0.5 * drift_bar[r];
        drift_bar[r] = 0.0;
    }
}
