// The running cost L at an evaluation of the field: its share of each component. The terms that a problem lacks are
// constants here, so that they cost nothing and an overflow in them says nothing.
// Companions: stages.wgsl, reference_given or reference_none. Twin: RunningCost, src/model/cost.rs.

// Derivative along the probe, J eps, at the evaluation; filled by the field's body if the cost has that term.
var<private> tangent: array<f32, COMPONENTS>;
// The probe eps, +-1.
var<private> probe: array<f32, PADDED_DIM * TRAJECTORIES>;

/// PCG output permutation (Jarzynski & Olano 2020).
fn pcg(v: u32) -> u32 {
    let s = v * 747796405u + 2891336453u;
    let w = ((s >> ((s >> 28u) + 4u)) ^ s) * 277803737u;
    return (w >> 22u) ^ w;
}

/// The same probe in every pass: a hash of seed, trajectory and component.
fn draw_probe() {
    if (JACOBIAN) {
        for (var q = 0u; q < COMPONENTS; q++) {
            let key = pcg((q / TRAJECTORIES) ^ pcg((first + q % TRAJECTORIES) ^ pcg(schedule.cost.seed)));
            probe[q] = select(-1.0, 1.0, key < 0x80000000u);
        }
    }
}

/// Share of component q in L, at the field's value `f` and the derivative `d` along the probe; the argument is at hand and
/// the reference sought.
fn share_of(q: u32, f: f32, d: f32) -> f32 {
    var sum = 0.0;
    if (KINETIC) {
        sum += schedule.cost.kinetic * (f * f);
    }
    if (REFERENCE) {
        let away = argument[q] - reference_value(q);
        sum += schedule.cost.reference * (away * away);
    }
    if (JACOBIAN) {
        sum += schedule.cost.jacobian * (d * d);
    }
    return sum;
}
