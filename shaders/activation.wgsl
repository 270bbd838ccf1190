// Activations and their slopes from additions, multiplications, divisions and bit operations only: built-in tanh is NaN
// for large arguments on some drivers and has no relative accuracy near 0 on others, built-in exp is off by 15 ulp.
// Each `name_slope(p, a)` is the derivative at p, given the value a = name_value(p), each `name_curvature(p, a)` the second.
// Twin: src/reference/activation.rs. Coefficients: minimax fits rounded to f32; errors measured in tests/kernels.rs.

fn identity_value(p: f32) -> f32 { return p; }
fn identity_slope(p: f32, a: f32) -> f32 { return 1.0; }
fn identity_curvature(p: f32, a: f32) -> f32 { return 0.0; }

fn relu_value(p: f32) -> f32 { return max(p, 0.0); }
fn relu_slope(p: f32, a: f32) -> f32 { return select(0.0, 1.0, p > 0.0); }
fn relu_curvature(p: f32, a: f32) -> f32 { return 0.0; }

fn leaky_relu_value(p: f32) -> f32 { return select(0.01 * p, p, p > 0.0); }
fn leaky_relu_slope(p: f32, a: f32) -> f32 { return select(0.01, 1.0, p > 0.0); }
fn leaky_relu_curvature(p: f32, a: f32) -> f32 { return 0.0; }

/// e^p: Cody-Waite reduction to |r| <= ln 2 / 2, a polynomial, and the exponent put in by bits.
fn exp_value(p: f32) -> f32 {
    let x = clamp(p, -87.0, 88.0);
    let n = round(x * 1.44269502);
    let high = x - n * 0.693359375;
    let r = high + n * 0.000212194442;
    let q = (((0.00138146279 * r + 0.00836871378) * r + 0.041668389) * r + 0.166665211) * r + 0.49999994;
    let y = (q * (r * r) + r) + 1.0;
    return y * bitcast<f32>(u32(i32(n) + 127) << 23u);
}

/// 2^y - 1 for -126 <= y < 127, with its relative accuracy near 0: 2^n 2^f - 1 = 2^n (2^f - 1) + (2^n - 1).
fn exp2m1(y: f32) -> f32 {
    let n = round(y);
    let f = y - n;
    let h = ((((0.000154035122 * f + 0.00133907353) * f + 0.00961823761) * f + 0.0555035733) * f + 0.240226492) * f;
    let scale = bitcast<f32>(u32(i32(n) + 127) << 23u);
    return scale * (f * (h + 0.693147182)) + (scale - 1.0);
}

/// (e^(2m) - 1) / (e^(2m) + 1) for m = |p|: one formula for all p, 1 from m = 9 on.
fn tanh_value(p: f32) -> f32 {
    let e = exp2m1(min(abs(p) * 2.88539008, 28.0));
    return bitcast<f32>(bitcast<u32>(e / (e + 2.0)) | (bitcast<u32>(p) & 0x80000000u));
}
fn tanh_slope(p: f32, a: f32) -> f32 { return 1.0 - a * a; }
fn tanh_curvature(p: f32, a: f32) -> f32 { return -2.0 * a * (1.0 - a * a); }

fn elu_value(p: f32) -> f32 {
    return select(exp2m1(clamp(p, -80.0, 0.0) * 1.44269504), p, p > 0.0);
}
fn elu_slope(p: f32, a: f32) -> f32 { return select(a + 1.0, 1.0, p > 0.0); }
fn elu_curvature(p: f32, a: f32) -> f32 { return select(a + 1.0, 0.0, p > 0.0); }

fn sigmoid(p: f32) -> f32 {
    let e = exp_value(-abs(p));
    let s = 1.0 / (1.0 + e);
    return select(e * s, s, p >= 0.0);
}

/// ln(1 + e) for e in [0, 1].
fn log1p_unit(e: f32) -> f32 {
    let s = e / (2.0 + e);
    let u = s * s;
    let q = (((0.121448986 * u + 0.107153416) * u + 0.143083006) * u + 0.199994445) * u + 0.333333373;
    return 2.0 * s + 2.0 * s * u * q;
}

/// The slope from the value is good to an ulp of 1, as that of tanh.
fn sigmoid_value(p: f32) -> f32 { return sigmoid(p); }
fn sigmoid_slope(p: f32, a: f32) -> f32 { return a * (1.0 - a); }
fn sigmoid_curvature(p: f32, a: f32) -> f32 { return a * (1.0 - a) * (1.0 - 2.0 * a); }

fn softplus_value(p: f32) -> f32 { return max(p, 0.0) + log1p_unit(exp_value(-abs(p))); }
fn softplus_slope(p: f32, a: f32) -> f32 { return sigmoid(p); }
fn softplus_curvature(p: f32, a: f32) -> f32 { return sigmoid(p) * sigmoid(-p); }

fn silu_value(p: f32) -> f32 { return p * sigmoid(p); }
fn silu_slope(p: f32, a: f32) -> f32 {
    let s = sigmoid(p);
    return s * (1.0 + p * (1.0 - s));
}
fn silu_curvature(p: f32, a: f32) -> f32 {
    let s = sigmoid(p);
    let c = sigmoid(-p);
    return s * c * (2.0 + p * (c - s));
}

/// q(t) = erfc(z) e^(z^2) / t on t in [2/11, 1], relative error 1.8e-7.
fn erfc_factor(t: f32) -> f32 {
    var q = -0.0586411059;
    q = q * t + 0.282474935;
    q = q * t - 0.482821614;
    q = q * t + 0.27301836;
    q = q * t - 0.0231154207;
    q = q * t + 0.20118551;
    q = q * t + 0.243488088;
    q = q * t + 0.282321662;
    return q * t + 0.282089531;
}

/// Gaussian distribution function, from erfc(z) = t e^(-z^2) q(t) with t = 1 / (1 + z / 2), z = |p| / sqrt 2.
fn gauss_cdf(p: f32) -> f32 {
    let z = min(abs(p) * 0.70710678, 9.0);
    let t = 1.0 / (1.0 + 0.5 * z);
    let tail = 0.5 * t * exp_value(-z * z) * erfc_factor(t);
    return select(tail, 1.0 - tail, p > 0.0);
}

fn gelu_value(p: f32) -> f32 { return p * gauss_cdf(p); }
fn gelu_slope(p: f32, a: f32) -> f32 {
    return gauss_cdf(p) + p * 0.398942280 * exp_value(-0.5 * min(p * p, 160.0));
}
fn gelu_curvature(p: f32, a: f32) -> f32 {
    return (2.0 - min(p * p, 160.0)) * 0.398942280 * exp_value(-0.5 * min(p * p, 160.0));
}

/// sin of a reduced argument, |r| <= pi / 2. Beyond |p| = 1e5 the reduction has lost its digits; the clamp keeps the
/// result a number in [-1, 1] all the same.
fn sin_reduced(unclamped: f32) -> f32 {
    let r = clamp(unclamped, -1.57079633, 1.57079633);
    let u = r * r;
    let q = ((-2.38888731e-08 * u + 2.75253819e-06) * u - 0.000198408685) * u + 0.00833333097;
    return r + r * u * (q * u - 0.166666672);
}

/// x - q pi with pi in three parts; q is a whole or half number.
fn reduce_by_pi(x: f32, q: f32) -> f32 {
    return ((x - q * 3.140625) - q * 0.000967502594) - q * 1.50995803e-07;
}

fn sin_value(p: f32) -> f32 {
    let n = round(clamp(p * 0.318309886, -1e9, 1e9));
    let s = sin_reduced(reduce_by_pi(p, n));
    return select(s, -s, (i32(n) & 1) == 1);
}

/// cos p = -(-1)^n sin(p - (n + 1/2) pi)
fn sin_slope(p: f32, a: f32) -> f32 {
    let n = round(clamp(p * 0.318309886 - 0.5, -1e9, 1e9));
    let s = sin_reduced(reduce_by_pi(p, n + 0.5));
    return select(-s, s, (i32(n) & 1) == 1);
}
fn sin_curvature(p: f32, a: f32) -> f32 { return -a; }
