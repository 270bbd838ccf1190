// Were the binary points right? A range that was left is asked to be wider; where the resolution is not small against what
// the component has met, the point is asked for where that belongs, and the trajectory is marked until it has been walked
// with it. So is one whose
// initial state a widened range does not hold: what grows from it is no better than it. Companions: fixed, fixed_one or fixed_two, points, pair_finish. Mirror: points_none.wgsl.

@group(0) @binding(2) var<storage, read_write> state: array<u32>;
// Points that are asked for, [dim, stride], and the least that a range may be widened to, [dim]; zero where nothing is asked.
@group(0) @binding(3) var<storage, read_write> asked: array<u32>;
@group(0) @binding(4) var<storage, read> initial: array<f32>;

const MARK: u32 = 1u;
const MOVE: u32 = 2u;

fn fit_points(b: u32) -> u32 {
    let plane = call.dim * call.stride;
    let left = (status[b] & KIND) == OUT_OF_RANGE;
    var coarse = false;
    var parted = false;
    for (var c = 0u; c < call.dim; c++) {
        let at = c * call.stride + b;
        let point = bitcast<i32>(state[COPY_PLANES * plane + at]);
        let most = largest_of(c, b);
        // The walk has made it infinite where it left the range.
        if (left && !is_finite(most)) {
            let floor = asked[plane + c];
            let least = select(i32(floor) - ASKED, LEAST_POINT, floor == 0u);
            asked[at] = u32(max(point - WIDER, least) + ASKED) | LEFT;
            // What has left it is the distance of the copies: no range would hold that for long.
            parted = parted || distance_of(c, b) > scaled_by(1.0, 27 - point);
        }
        let below = -point - MORE_BITS > exponent_of(most) - FINE;
        let start = initial[at];
        let rounding = abs(from_fixed(to_fixed(start, point), point) - start);
        // What the field adds from the first is no better for digits of the start.
        let driven = bitcast<i32>(state[(COPY_PLANES + 1u) * plane + at]);
        let size = max(exponent_of(start), driven);
        let widened = (asked[at] & LEFT) != 0u;
        if (call.coarse >= MARK && status[b] == 0u && widened && rounding > scaled_by(1.0, size - START_BITS)) {
            coarse = true;
        }
        if (call.coarse >= MARK && status[b] == 0u && most > 0.0 && below) {
            coarse = true;
            // A range that was left is not narrowed again.
            if (call.coarse == MOVE && (asked[at] & LEFT) == 0u) {
                asked[at] = u32(point_for(exponent_of(most)) + ASKED);
            }
        }
    }
    return select(select(0u, COARSE, coarse), PARTED, parted);
}
