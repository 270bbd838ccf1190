//! Do the methods on a pair have the properties that are known of them: which of them are one, and when they are stable?
//!
//! Two programs of one method agree to rounding, 1e-13 where 4e-15 is seen. On a contracting field the copies part as fast
//! as the state shrinks; a contraction by `2^m` every K steps holds them together for `h · rate < m ln 2 / K`.
//!
//! Blind spots: fields that do not contract and rotate instead.

use costate::reference::{Field, Pair, PairStep, Scheme, pair_contract, pair_start, pair_step, solve};
use costate::solver::Contraction;
use costate::{Activation, Init, Method, Mlp, Parameters, TimeGrid};

const X0: [f64; 3] = [0.6, -0.9, 0.3];

/// A smooth field that depends on the time.
fn smooth_field() -> (Mlp, Vec<f64>) {
    let mlp = Mlp::builder(3)
        .hidden(&[5], Activation::Tanh)
        .hidden(&[6], Activation::Silu)
        .time_input(true)
        .build()
        .expect("the field is valid");
    let theta = Parameters::init(&mlp, Init::Torch, 5).expect("the initialiser is valid");
    let theta = theta.as_slice().iter().map(|&v| 2.0 * f64::from(v)).collect();
    (mlp, theta)
}

fn joined(pair: &Pair) -> Vec<f64> {
    [pair.y.as_slice(), &pair.z].concat()
}

/// `max |a − b|`, NaN if any difference is.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "lengths to compare");
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, |m, d| if m.is_nan() || d <= m { m } else { d })
}

/// The pairs of a solve at all boundaries.
fn pairs(method: Method, field: &Field<'_>, times: &[f64], x0: &[f64]) -> Vec<Pair> {
    let scheme = method.pair().expect("a method on a pair");
    let mut found = vec![pair_start(&scheme, field, times[0], x0)];
    for (number, ends) in times.windows(2).enumerate() {
        let mut pair = found[number].clone();
        pair_step(&scheme, field, PairStep { number, t: ends[0], h: ends[1] - ends[0] }, &mut pair);
        found.push(pair);
    }
    found
}

#[test]
fn reversible_heun_is_strang_with_steps_twice_as_long() {
    let (mlp, theta) = smooth_field();
    let field = Field::new(&mlp, &theta).expect("the parameters fit");
    let fine: Vec<f64> = (0..=80).map(|n| 0.1 + 0.025 * f64::from(n)).collect();
    let coarse: Vec<f64> = fine.iter().step_by(2).copied().collect();
    let heun = pairs(Method::ReversibleHeun, &field, &fine, &X0);
    let strang = pairs(Method::Strang, &field, &coarse, &X0);
    let worst = heun.iter().step_by(2).zip(&strang).map(|(a, b)| distance(&joined(a), &joined(b))).fold(0.0, f64::max);
    println!("reversible Heun and Strang differ by {worst:.1e}");
    assert!(worst < 1e-13, "pairs differ by {worst:e}");

    // And as it was published: the state y and its shadow ŷ, one evaluation carried over.
    let (mut y, mut shadow) = (X0.to_vec(), X0.to_vec());
    let mut f = field.eval(&shadow, fine[0]);
    for (ends, pair) in fine.windows(2).zip(&heun[1..]) {
        let h = ends[1] - ends[0];
        shadow = (0..3).map(|i| 2.0 * y[i] - shadow[i] + h * f[i]).collect();
        let next = field.eval(&shadow, ends[1]);
        y = (0..3).map(|i| y[i] + 0.5 * h * (f[i] + next[i])).collect();
        f = next;
        let mean: Vec<f64> = pair.y.iter().zip(&pair.z).map(|(y, z)| 0.5 * (y + z)).collect();
        let error = distance(&mean, &y);
        assert!(error < 1e-13, "t = {}: the mean differs from the published method by {error:e}", ends[1]);
    }
}

#[test]
fn mccallum_foster_over_euler_is_made_of_kicks() {
    let (mlp, theta) = smooth_field();
    let field = Field::new(&mlp, &theta).expect("the parameters fit");
    let method = Method::mccallum_foster(Method::Euler, 1.0).expect("a valid method");
    let times: Vec<f64> = (0..=40).map(|n| 0.05 * f64::from(n)).collect();
    let (mut y, mut z) = (X0.to_vec(), X0.to_vec());
    for (ends, pair) in times.windows(2).zip(&pairs(method, &field, &times, &X0)[1..]) {
        let h = ends[1] - ends[0];
        y.iter_mut().zip(field.eval(&z, ends[0])).for_each(|(y, f)| *y += h * f);
        z.iter_mut().zip(field.eval(&y, ends[1])).for_each(|(z, f)| *z += h * f);
        let error = distance(&pair.y, &y).max(distance(&pair.z, &z));
        assert!(error < 1e-13, "t = {}: kicks differ by {error:e}", ends[1]);
    }
}

/// With one layer of one unit the field `f = −x`, which contracts at rate 1.
const CONTRACTING: [f64; 2] = [-1.0, 0.0];

#[test]
fn copies_part_on_a_contracting_field_unless_contracted() {
    let mlp = Mlp::builder(1).build().expect("the field is valid");
    let field = Field::new(&mlp, &CONTRACTING).expect("the parameters fit");
    let grid = TimeGrid::uniform(0.0, 100.0, 1000).expect("the grid is valid");
    for method in [Method::Strang, Method::Yoshida4, Method::Suzuki4, Method::BlanesMoan4, Method::ReversibleHeun] {
        let left = |contraction| {
            let x = solve(Scheme { method, contraction }, &field, &grid, ndarray::array![[1.0]].view());
            x.expect("the shapes fit")[[0, 0, 0]].abs()
        };
        // The state falls as e^{−t}, but the distance of the copies grows as e^{t}, and the mean is not free of it.
        let (free, contracted) = (left(None), left(Some(Contraction { bits: 1, period: 4 })));
        println!("{method}: at t = 100 {free:.1e} is left without contraction, {contracted:.1e} with it");
        assert!(free > 1e10 && contracted < 1e-30, "{method}: {free:e} without contraction, {contracted:e} with it");
    }
}

#[test]
fn contraction_is_stable_up_to_its_limit_and_no_further() {
    let mlp = Mlp::builder(1).build().expect("the field is valid");
    let field = Field::new(&mlp, &CONTRACTING).expect("the parameters fit");
    // The growth of the distance in a step of Strang is e^{2 asinh(h/2)}, of reversible Heun e^{asinh h}, where the exact
    // one is e^h; that of the fourth order hardly differs.
    let exact: fn(f64) -> f64 = |rate| rate;
    let strang: fn(f64) -> f64 = |rate| 2.0 * (0.5 * rate).sinh();
    for (method, step_of) in
        [(Method::Strang, strang), (Method::BlanesMoan4, exact), (Method::ReversibleHeun, f64::sinh)]
    {
        let scheme = method.pair().expect("a method on a pair");
        for (bits, period) in [(1, 1), (1, 4), (1, 16), (1, 64), (2, 8)] {
            let contraction = Contraction { bits, period };
            // By what the distance of the copies grows from one long time to twice that time.
            let growth = |h: f64| {
                let steps = 200 * period;
                let mut pair = Pair { y: vec![1.0], z: vec![-1.0] };
                let mut sizes = [0.0; 2];
                for number in 0..2 * steps {
                    pair_step(&scheme, &field, PairStep { number, t: 0.0, h }, &mut pair);
                    if contraction.after_step(number) {
                        pair_contract(contraction, &mut pair);
                    }
                    sizes[number / steps] = (pair.y[0] - pair.z[0]).abs();
                }
                sizes[1] / sizes[0]
            };
            let limit = f64::from(bits) * std::f64::consts::LN_2 / period as f64;
            let (mut stable, mut unstable) = (0.75 * step_of(limit), 1.25 * step_of(limit));
            let ends = [growth(stable), growth(unstable)];
            assert!(ends[0] < 1e-5 && ends[1] > 1e5, "{method}, {contraction:?}: growth {ends:?} around the limit");
            for _ in 0..10 {
                let h = 0.5 * (stable + unstable);
                *if growth(h) < 1.0 { &mut stable } else { &mut unstable } = h;
            }
            println!("{method}, {bits} bits, period {period}: stable to h = {stable:.4}, m ln 2 / K = {limit:.4}");
            let off = (stable / step_of(limit) - 1.0).abs();
            // The growing direction is not quite y = −z, more contraction at once bends it more.
            assert!(off < 0.02, "{method}, {contraction:?}: stable to {stable}, not {}", step_of(limit));
        }
    }
}
