//! Do the coefficients of every solver have the order and the reversal order that they claim, no less and no more?
//!
//! A Runge–Kutta method has order p if `Σ_i b_i Φ_i(τ) = 1/γ(τ)` for all rooted trees τ of up to p nodes (Butcher). Its
//! reversal `Φ_{−h} ∘ Φ_h` is itself a method with twice the stages, and equals the identity up to `O(h^{r+1})` if all
//! of *its* sums up to r nodes vanish. Both claims must also fail one order higher, so that a better or a worse table
//! cannot pass under the wrong name.
//!
//! Kicks `y += a h f(z)`, `z += b h f(y)` solve `y' = f(z)`, `z' = f(y)`. Seen from one copy they are a Runge–Kutta method
//! whose stages are the kicks: those of the other copy make the argument. On that system a tree gives one condition for
//! each copy and no more, since the colours of its nodes alternate from the root.
//!
//! Blind spots: a table of the right order that is not the method of its name (compared only with the citations by
//! eye), and whether a step uses the table correctly, which `reference_convergence.rs` measures.

use costate::solver::{Kick, PairKind, Side};
use costate::{Method, Tableau};

/// Coefficients are rounded to f64, sums have up to 6 nested levels of terms up to 13: 1e-13 is seen, 1e-10 allowed.
const HOLDS: f64 = 1e-10;
/// The smallest first violation among the methods is 2.2e-4 (Tsit5), among kicks 1.4e-4 (the mean of Blanes & Moan).
const FAILS: f64 = 1e-4;

/// A rooted tree by its subtrees, each list in falling order so that equal trees are equal values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Tree(Vec<Tree>);

impl Tree {
    fn nodes(&self) -> usize {
        1 + self.0.iter().map(Self::nodes).sum::<usize>()
    }

    /// γ(τ): the number of nodes times the γ of the subtrees.
    fn density(&self) -> f64 {
        self.nodes() as f64 * self.0.iter().map(Self::density).product::<f64>()
    }

    /// Φ_i(τ) for every stage i: the product over the subtrees τ' of `Σ_j a_ij Φ_j(τ')`.
    fn stage_weights(&self, a: &[Vec<f64>]) -> Vec<f64> {
        let mut weights = vec![1.0; a.len()];
        for subtree in &self.0 {
            let inner = subtree.stage_weights(a);
            for (weight, row) in weights.iter_mut().zip(a) {
                *weight *= row.iter().zip(&inner).map(|(a, w)| a * w).sum::<f64>();
            }
        }
        weights
    }

    fn weight(&self, a: &[Vec<f64>], b: &[f64]) -> f64 {
        self.stage_weights(a).iter().zip(b).map(|(w, b)| w * b).sum()
    }
}

/// All rooted trees of `nodes` nodes.
fn trees(nodes: usize) -> Vec<Tree> {
    /// All falling lists of trees with `nodes` nodes in total, none above `limit`.
    fn forests(nodes: usize, limit: Option<&Tree>) -> Vec<Vec<Tree>> {
        if nodes == 0 {
            return vec![Vec::new()];
        }
        let mut found = Vec::new();
        for first in (1..=nodes).flat_map(trees).filter(|t| limit.is_none_or(|limit| t <= limit)) {
            for mut rest in forests(nodes - first.nodes(), Some(&first)) {
                rest.insert(0, first.clone());
                found.push(rest);
            }
        }
        found
    }
    forests(nodes - 1, None).into_iter().map(Tree).collect()
}

fn square(tableau: &Tableau) -> Vec<Vec<f64>> {
    let s = tableau.stages();
    (0..s).map(|i| (0..s).map(|j| tableau.a(i, j)).collect()).collect()
}

/// The method `Φ_{−h} ∘ Φ_h`: first the stages of the step, then those of the step back from its end.
fn there_and_back(tableau: &Tableau) -> (Vec<Vec<f64>>, Vec<f64>) {
    let s = tableau.stages();
    let there = square(tableau).into_iter().map(|row| [row, vec![0.0; s]].concat());
    let back = square(tableau).into_iter().map(|row| [tableau.b.to_vec(), row.iter().map(|a| -a).collect()].concat());
    let b = [tableau.b.to_vec(), tableau.b.iter().map(|b| -b).collect()].concat();
    (there.chain(back).collect(), b)
}

/// The largest `|Σ b Φ(τ) − expected(τ)|` over the trees of `nodes` nodes.
fn violation(nodes: usize, a: &[Vec<f64>], b: &[f64], expected: impl Fn(&Tree) -> f64) -> f64 {
    trees(nodes).iter().map(|t| (t.weight(a, b) - expected(t)).abs()).fold(0.0, f64::max)
}

#[test]
fn trees_are_counted_right() {
    // The number of rooted trees, OEIS A000081: 17 up to order 5, 37 up to order 6.
    assert_eq!((1..=6).map(|n| trees(n).len()).collect::<Vec<_>>(), [1, 1, 2, 4, 9, 20]);
    // Σ 1/γ over the densities that textbooks print for order 4: 1/4, 1/8, 1/12, 1/24.
    let mut densities: Vec<f64> = trees(4).iter().map(Tree::density).collect();
    densities.sort_by(f64::total_cmp);
    assert_eq!(densities, [4.0, 8.0, 12.0, 24.0]);
}

#[test]
fn shapes_fit() {
    for method in Method::RUNGE_KUTTA {
        let tableau = method.tableau();
        assert_eq!(tableau.c.len(), tableau.stages(), "{method}: one time per stage");
        assert_eq!(tableau.a.len() + 1, tableau.stages(), "{method}: one row per stage after the first");
        for (i, row) in tableau.a.iter().enumerate() {
            assert_eq!(row.len(), i + 1, "{method}: row {i} is the strict lower triangle");
        }
    }
}

#[test]
fn stage_times_are_row_sums() {
    for method in Method::RUNGE_KUTTA {
        let tableau = method.tableau();
        for (i, row) in square(tableau).iter().enumerate() {
            let (sum, c) = (row.iter().sum::<f64>(), tableau.c[i]);
            // Terms up to 13 in f64: a few ulp of 13.
            assert!((sum - c).abs() < 1e-14, "{method}: row {i} sums to {sum}, c = {c}");
        }
    }
}

#[test]
fn order_is_as_claimed_and_not_higher() {
    for method in Method::RUNGE_KUTTA {
        let tableau = method.tableau();
        let (a, order) = (square(tableau), tableau.order as usize);
        let expected = |t: &Tree| t.density().recip();
        for nodes in 1..=order {
            let worst = violation(nodes, &a, tableau.b, expected);
            assert!(worst < HOLDS, "{method}: conditions of order {nodes} are missed by {worst:e}");
        }
        let next = violation(order + 1, &a, tableau.b, expected);
        assert!(next > FAILS, "{method}: conditions of order {} hold to {next:e}, the claim is too low", order + 1);
    }
}

#[test]
fn reversal_order_is_as_claimed_and_not_higher() {
    for method in Method::RUNGE_KUTTA {
        let (a, b) = there_and_back(method.tableau());
        let order = method.tableau().reversal_order as usize;
        for nodes in 1..=order {
            let worst = violation(nodes, &a, &b, |_| 0.0);
            assert!(worst < HOLDS, "{method}: there and back differs from the identity in order {nodes} by {worst:e}");
        }
        let next = violation(order + 1, &a, &b, |_| 0.0);
        println!("{method}: first defect {next:.3e} in order {}", order + 1);
        assert!(next > FAILS, "{method}: no defect of order {} ({next:e}), the claim is too low", order + 1);
    }
}

/// The weights of an error estimate with the rows of the stages and that of the field at the end of the step.
fn with_the_end(tableau: &Tableau) -> Vec<Vec<f64>> {
    let stages = square(tableau).into_iter().map(|row| [row, vec![0.0]].concat());
    stages.chain([[tableau.b.to_vec(), vec![0.0]].concat()]).collect()
}

#[test]
fn error_estimates_fall_as_claimed_and_no_faster() {
    for method in Method::RUNGE_KUTTA {
        let tableau = method.tableau();
        let (a, order) = (with_the_end(tableau), tableau.error_order as usize);
        assert_eq!(tableau.error.len(), tableau.stages() + 1, "{method}: one weight per stage, and one for the end");
        for nodes in 1..order {
            let worst = violation(nodes, &a, tableau.error, |_| 0.0);
            assert!(worst < HOLDS, "{method}: the estimate has a part of order {nodes}, {worst:e}");
        }
        let first = violation(order, &a, tableau.error, |_| 0.0);
        println!("{method}: the estimate begins with {first:.3e} in order {order}");
        assert!(first > FAILS, "{method}: the estimate has no part of order {order} ({first:e})");
        // What is left when it is taken off is a method of an order that is not much less than the method's.
        assert!(tableau.error_order >= tableau.order, "{method}: order {} by one of {order}", tableau.order);
    }
}

/// On `dx/dt = λx` only trees without branches count: one of every order.
#[test]
fn estimates_that_are_derived_here_are_what_they_claim_on_linear_fields() {
    for method in Method::RUNGE_KUTTA.into_iter().filter(|m| !m.tableau().embedded) {
        let tableau = method.tableau();
        let tall = (1..tableau.error_order).fold(Tree(Vec::new()), |tree, _| Tree(vec![tree]));
        let found = tall.weight(&with_the_end(tableau), tableau.error);
        let own = tall.weight(&square(tableau), tableau.b) - tall.density().recip();
        // Up to order 2 the method's own error; with order 4 the five values allow an estimate of order 4 only.
        let claimed = if tableau.order == 4 { 1.0 / 72.0 } else { own };
        assert!((found - claimed).abs() < 1e-14, "{method}: {found} instead of {claimed}");
    }
}

/// The methods made of kicks, with one period of their kicks: one step, or two with the copies in changed roles, each of
/// half the length, where they change.
fn kick_tables() -> Vec<(Method, Vec<Kick>)> {
    let mut tables = Vec::new();
    for method in Method::PAIR {
        let pair = method.pair().expect("a method on a pair");
        if let PairKind::Kicks { kicks, swap } = pair.kind {
            let shrunk = |k: &Kick, by: f64, from: f64| Kick { weight: k.weight * by, node: from + k.node * by, ..*k };
            tables.push((
                method,
                if swap {
                    let second = kicks.iter().map(|k| Kick { side: k.side.other(), ..shrunk(k, 0.5, 0.5) });
                    kicks.iter().map(|k| shrunk(k, 0.5, 0.0)).chain(second).collect()
                } else {
                    kicks.to_vec()
                },
            ));
        }
    }
    assert_eq!(tables.len(), 5, "all methods on a pair but the leapfrog are made of kicks");
    tables
}

/// The Runge–Kutta coefficients of kicks, with the weights of y, of z and of their mean.
fn kick_method(kicks: &[Kick]) -> (Vec<Vec<f64>>, [Vec<f64>; 3]) {
    let row = |i: usize| {
        let earlier = |(j, k): (usize, &Kick)| if j < i && k.side != kicks[i].side { k.weight } else { 0.0 };
        kicks.iter().enumerate().map(earlier).collect()
    };
    let of = |y: f64, z: f64| kicks.iter().map(|k| k.weight * if k.side == Side::Y { y } else { z }).collect();
    ((0..kicks.len()).map(row).collect(), [of(1.0, 0.0), of(0.0, 1.0), of(0.5, 0.5)])
}

#[test]
fn kicks_are_consistent_and_symmetric() {
    for (method, kicks) in kick_tables() {
        let (a, [b_y, b_z, _]) = kick_method(&kicks);
        // The published coefficients of Blanes & Moan have 15 digits.
        for (copy, b) in [("y", b_y), ("z", b_z)] {
            let sum: f64 = b.iter().sum();
            assert!((sum - 1.0).abs() < 2e-15, "{method}: the weights of {copy} sum to 1 + {:e}", sum - 1.0);
        }
        for (i, (kick, row)) in kicks.iter().zip(&a).enumerate() {
            let sum: f64 = row.iter().sum();
            assert!((sum - kick.node).abs() < 2e-15, "{method}: kick {i} has the node {}, not {sum}", kick.node);
        }
        for (i, (kick, mirror)) in kicks.iter().zip(kicks.iter().rev()).enumerate() {
            assert_eq!(kick.side, mirror.side, "{method}: the mirror of kick {i}");
            let weight = (kick.weight - mirror.weight).abs();
            let node = (kick.node + mirror.node - 1.0).abs();
            assert!(weight.max(node) < 2e-15, "{method}: kick {i} has no mirror, {weight:e} and {node:e}");
        }
    }
}

#[test]
fn kicks_within_a_step_alternate() {
    for method in Method::PAIR {
        if let Some(PairKind::Kicks { kicks, .. }) = method.pair().map(|p| p.kind) {
            assert!(kicks.windows(2).all(|k| k[0].side != k[1].side), "{method}: two kicks could be one");
        }
    }
}

#[test]
fn order_of_kicks_is_as_claimed_and_not_higher() {
    for (method, kicks) in kick_tables() {
        let (a, weights) = kick_method(&kicks);
        let order = method.order() as usize;
        let expected = |t: &Tree| t.density().recip();
        for nodes in 1..=order {
            for (copy, b) in ["y", "z", "the mean"].into_iter().zip(&weights) {
                let worst = violation(nodes, &a, b, expected);
                assert!(worst < HOLDS, "{method}: {copy} misses conditions of order {nodes} by {worst:e}");
            }
        }
        let next = weights.each_ref().map(|b| violation(order + 1, &a, b, expected));
        println!("{method}: first violation in y, z and the mean, in order {}: {next:.6?}", order + 1);
        assert!(
            next.iter().all(|v| *v > FAILS),
            "{method}: conditions of order {} hold to {next:?}, the claim is too low",
            order + 1
        );
    }
}
