//! Coefficients of the explicit Runge–Kutta methods.

/// The coefficients of an explicit Runge–Kutta method.
///
/// Stages `X_i = x + h Σ_{j<i} a[i][j] k_j`, `k_i = f(X_i, t + c[i] h)`; step `x⁺ = x + h Σ b[i] k_i`.
/// A last stage that only serves an error estimate (`b = 0`, the "first same as last" stage of Bosh3, Dopri5 and
/// Tsit5) is left out: with fixed steps it would be an evaluation for nothing.
///
/// # Estimates
/// Bosh3, Dopri5 and Tsit5 come with theirs. The others get one from the field at the end of the step: Euler's method is
/// compared with the trapezoidal rule; those of order 2 with weights that leave no sum of order 2 and have the method's own
/// error `h³λ³x/6` on `dx/dt = λx`; those of order 4 with weights that leave none of order 3, `h⁴λ⁴x/72` there (for the
/// classic method the share of its last stage is given to the field at the end).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tableau {
    /// The name used in run files.
    pub name: &'static str,
    /// Strictly lower triangle by rows: `a[i - 1][j]` for stage `i ≥ 1` and `j < i`.
    pub a: &'static [&'static [f64]],
    /// Weights of the stages.
    pub b: &'static [f64],
    /// Times of the stages within the step.
    pub c: &'static [f64],
    /// Weights `b − b̂` of an error estimate `h Σ e_i k_i`, one more than there are stages: the last value is the field at
    /// the end of the step, which is the first stage of the next.
    pub error: &'static [f64],
    /// The estimate falls as `h^error_order`.
    pub error_order: u32,
    /// True if the estimate is that of the published embedded method; the others are [derived here](Self#estimates).
    pub embedded: bool,
    /// Order of convergence.
    pub order: u32,
    /// Order r of the reversal: `Φ_{−h} ∘ Φ_h = id + O(h^{r+1})`, so that backsolve drifts as `O(h^r)`.
    pub reversal_order: u32,
    /// Where the coefficients are from.
    pub source: &'static str,
}

impl Tableau {
    /// Number of evaluations of the field in one step.
    #[must_use]
    pub const fn stages(&self) -> usize {
        self.b.len()
    }

    /// Coefficient `a_ij`, zero on and above the diagonal.
    #[must_use]
    pub fn a(&self, i: usize, j: usize) -> f64 {
        if j < i { self.a[i - 1][j] } else { 0.0 }
    }
}

pub(super) const EULER: Tableau = Tableau {
    name: "euler",
    a: &[],
    b: &[1.0],
    c: &[0.0],
    error: &[0.5, -0.5],
    error_order: 2,
    embedded: false,
    order: 1,
    reversal_order: 1,
    source: "Euler 1768",
};

pub(super) const MIDPOINT: Tableau = Tableau {
    name: "midpoint",
    a: &[&[0.5]],
    b: &[0.0, 1.0],
    c: &[0.0, 0.5],
    error: &[-1.0 / 3.0, 2.0 / 3.0, -1.0 / 3.0],
    error_order: 3,
    embedded: false,
    order: 2,
    reversal_order: 3,
    source: "Runge 1895, doi:10.1007/BF01446807",
};

pub(super) const HEUN: Tableau = Tableau {
    name: "heun",
    a: &[&[1.0]],
    b: &[0.5, 0.5],
    c: &[0.0, 1.0],
    error: &[0.0, 1.0 / 3.0, -1.0 / 3.0],
    error_order: 3,
    embedded: false,
    order: 2,
    reversal_order: 3,
    source: "Heun 1900, Z. Math. Phys. 45, the trapezoidal form",
};

pub(super) const RALSTON: Tableau = Tableau {
    name: "ralston",
    a: &[&[2.0 / 3.0]],
    b: &[0.25, 0.75],
    c: &[0.0, 2.0 / 3.0],
    error: &[-1.0 / 6.0, 0.5, -1.0 / 3.0],
    error_order: 3,
    embedded: false,
    order: 2,
    reversal_order: 3,
    source: "Ralston 1962, doi:10.1090/S0025-5718-1962-0150954-0",
};

pub(super) const RK4: Tableau = Tableau {
    name: "rk4",
    a: &[&[0.5], &[0.0, 0.5], &[0.0, 0.0, 1.0]],
    b: &[1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0],
    c: &[0.0, 0.5, 0.5, 1.0],
    error: &[0.0, 0.0, 0.0, 1.0 / 6.0, -1.0 / 6.0],
    error_order: 4,
    embedded: false,
    order: 4,
    reversal_order: 5,
    source: "Kutta 1901, Z. Math. Phys. 46, the classic method",
};

pub(super) const RK4_38: Tableau = Tableau {
    name: "rk4_38",
    a: &[&[1.0 / 3.0], &[-1.0 / 3.0, 1.0], &[1.0, -1.0, 1.0]],
    b: &[1.0 / 8.0, 3.0 / 8.0, 3.0 / 8.0, 1.0 / 8.0],
    c: &[0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0],
    error: &[1.0 / 24.0, -1.0 / 8.0, 1.0 / 8.0, 1.0 / 8.0, -1.0 / 6.0],
    error_order: 4,
    embedded: false,
    order: 4,
    reversal_order: 5,
    source: "Kutta 1901, Z. Math. Phys. 46, the 3/8 rule; torchdiffeq's \"rk4\"",
};

pub(super) const BOSH3: Tableau = Tableau {
    name: "bosh3",
    a: &[&[0.5], &[0.0, 0.75]],
    b: &[2.0 / 9.0, 1.0 / 3.0, 4.0 / 9.0],
    c: &[0.0, 0.5, 0.75],
    error: &[-5.0 / 72.0, 1.0 / 12.0, 1.0 / 9.0, -1.0 / 8.0],
    error_order: 3,
    embedded: true,
    order: 3,
    reversal_order: 3,
    source: "Bogacki & Shampine 1989, doi:10.1016/0893-9659(89)90079-7",
};

pub(super) const DOPRI5: Tableau = Tableau {
    name: "dopri5",
    a: &[
        &[1.0 / 5.0],
        &[3.0 / 40.0, 9.0 / 40.0],
        &[44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0],
        &[19372.0 / 6561.0, -25360.0 / 2187.0, 64448.0 / 6561.0, -212.0 / 729.0],
        &[9017.0 / 3168.0, -355.0 / 33.0, 46732.0 / 5247.0, 49.0 / 176.0, -5103.0 / 18656.0],
    ],
    b: &[35.0 / 384.0, 0.0, 500.0 / 1113.0, 125.0 / 192.0, -2187.0 / 6784.0, 11.0 / 84.0],
    c: &[0.0, 0.2, 0.3, 0.8, 8.0 / 9.0, 1.0],
    error: &[71.0 / 57600.0, 0.0, -71.0 / 16695.0, 71.0 / 1920.0, -17253.0 / 339_200.0, 22.0 / 525.0, -1.0 / 40.0],
    error_order: 5,
    embedded: true,
    order: 5,
    reversal_order: 5,
    source: "Dormand & Prince 1980, doi:10.1016/0771-050X(80)90013-3",
};

pub(super) const TSIT5: Tableau = Tableau {
    name: "tsit5",
    a: &[
        &[0.161],
        &[-0.008_480_655_492_356_989, 0.335_480_655_492_357],
        &[2.897_153_057_105_493_5, -6.359_448_489_975_075, 4.362_295_432_869_581_5],
        &[5.325_864_828_439_257, -11.748_883_564_062_828, 7.495_539_342_889_836_5, -0.092_495_066_361_755_25],
        &[
            5.861_455_442_946_42,
            -12.920_969_317_847_11,
            8.159_367_898_576_159,
            -0.071_584_973_281_401,
            -0.028_269_050_394_068_383,
        ],
    ],
    b: &[
        0.096_460_766_818_065_23,
        0.01,
        0.479_889_650_414_499_6,
        1.379_008_574_103_742,
        -3.290_069_515_436_081,
        2.324_710_524_099_774,
    ],
    c: &[0.0, 0.161, 0.327, 0.9, 0.980_025_540_904_509_7, 1.0],
    error: &[
        0.001_780_011_052_225_777,
        0.000_816_434_459_656_746_9,
        -0.007_880_878_010_261_995,
        0.144_711_007_173_262_9,
        -0.582_357_165_452_555_2,
        0.458_082_105_929_186_97,
        -1.0 / 66.0,
    ],
    error_order: 5,
    embedded: true,
    order: 5,
    reversal_order: 5,
    source: "Tsitouras 2011, doi:10.1016/j.camwa.2011.06.002",
};

/// √2, which the coefficients of EES(2,7) are made of.
const R: f64 = std::f64::consts::SQRT_2;

/// EES(2, 5) with the parameter x = 1/10.
pub(super) const EES25: Tableau = Tableau {
    name: "ees25",
    a: &[&[1.0 / 3.0], &[-5.0 / 48.0, 15.0 / 16.0]],
    b: &[0.1, 0.5, 0.4],
    c: &[0.0, 1.0 / 3.0, 5.0 / 6.0],
    error: &[-1.0 / 15.0, 0.0, 0.4, -1.0 / 3.0],
    error_order: 3,
    embedded: false,
    order: 2,
    reversal_order: 5,
    source: "Shmelev et al. 2025, arXiv:2507.21006, EES(2,5) with x = 1/10",
};

/// EES(2, 7) with the parameter x = (5 − 3√2)/14.
pub(super) const EES27: Tableau = Tableau {
    name: "ees27",
    a: &[
        &[(2.0 - R) / 3.0],
        &[(-4.0 + R) / 24.0, (4.0 + R) / 8.0],
        &[(-176.0 + 145.0 * R) / 168.0, 3.0 * (8.0 - 5.0 * R) / 56.0, 3.0 * (3.0 - R) / 7.0],
    ],
    b: &[(5.0 - 3.0 * R) / 14.0, (3.0 + R) / 14.0, 3.0 * (-1.0 + 2.0 * R) / 14.0, (9.0 - 4.0 * R) / 14.0],
    c: &[0.0, (2.0 - R) / 3.0, (2.0 + R) / 6.0, (4.0 + R) / 6.0],
    error: &[(3.0 * R - 5.0) / 21.0, 0.0, 0.0, (4.0 - R) / 7.0, -1.0 / 3.0],
    error_order: 3,
    embedded: false,
    order: 2,
    reversal_order: 7,
    source: "Shmelev et al. 2025, arXiv:2507.21006, EES(2,7)",
};
