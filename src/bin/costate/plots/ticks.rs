//! Where the marks of an axis are and what stands beside them.

/// About six round values within `low ..= high`.
pub(super) fn linear(low: f64, high: f64) -> Vec<f64> {
    let raw = (high - low) / 6.0;
    let decade = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * decade).find(|step| *step >= raw).unwrap_or(raw);
    if !(step.is_normal() && low + step > low) {
        return vec![low];
    }
    // Whole multiples rather than a running sum, so that zero is zero.
    let first = (low / step - 1e-9).ceil();
    (0..20).map(|i| (first + f64::from(i)) * step).take_while(|t| *t <= high + 1e-9 * step).collect()
}

/// Powers of ten within `low ..= high` (both positive), or 1-2-5 values, or linear ones, whichever gives enough.
pub(super) fn logarithmic(low: f64, high: f64) -> Vec<f64> {
    let (first, last) = (low.log10().floor(), high.log10().ceil());
    let stride = ((last - first) / 7.0).ceil().max(1.0);
    let decades = || (0..700).map(move |i| (first / stride).floor() * stride + f64::from(i) * stride);
    for mantissas in [&[1.0][..], &[1.0, 2.0, 5.0]] {
        let values = decades().take_while(|e| *e <= last).flat_map(|e| mantissas.iter().map(move |m| m * power(e)));
        let ticks: Vec<f64> = values.filter(|t| (low..=high).contains(t)).collect();
        if ticks.len() >= 3 {
            return ticks;
        }
    }
    linear(low, high).into_iter().filter(|t| *t > 0.0).collect()
}

/// 10^e; exact where it can be, which `powf` is not on every machine.
fn power(exponent: f64) -> f64 {
    format!("1e{exponent:.0}").parse().unwrap_or(f64::NAN)
}

/// The labels of marks, all with the same number of decimals.
pub(super) fn labels(ticks: &[f64]) -> Vec<String> {
    let largest = ticks.iter().fold(0.0_f64, |m, t| m.max(t.abs()));
    let smallest = ticks.iter().filter(|t| **t != 0.0).fold(f64::INFINITY, |m, t| m.min(t.abs()));
    // Only on a logarithmic axis are marks that far apart.
    if smallest < 1e-3 || largest >= 1e6 || (largest > 50.0 * smallest && smallest < 1.0) {
        return ticks.iter().map(|&t| scientific(t)).collect();
    }
    let fits = |d: usize| ticks.iter().all(|t| (round(*t, d) - t).abs() <= 1e-6 * smallest);
    let decimals = (0..6).find(|&d| fits(d)).unwrap_or(6);
    ticks.iter().map(|t| minus(&format!("{t:.decimals$}"))).collect()
}

fn round(value: f64, decimals: usize) -> f64 {
    format!("{value:.decimals$}").parse().unwrap_or(value)
}

/// `2·10⁻³`, and `10⁻³` for a mantissa of one.
fn scientific(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let text = format!("{value:.3e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
    let exponent: String = exponent.chars().map(superscript).collect();
    match mantissa {
        "1" => format!("10{exponent}"),
        "-1" => format!("−10{exponent}"),
        _ => format!("{}·10{exponent}", minus(mantissa)),
    }
}

fn superscript(c: char) -> char {
    match c {
        '-' => '⁻',
        '0' => '⁰',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '4' => '⁴',
        '5' => '⁵',
        '6' => '⁶',
        '7' => '⁷',
        '8' => '⁸',
        '9' => '⁹',
        other => other,
    }
}

/// With a minus sign as wide as a digit.
fn minus(number: &str) -> String {
    number.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round() {
        assert_eq!(labels(&linear(1899.0, 1921.0)), ["1900", "1905", "1910", "1915", "1920"]);
        assert_eq!(labels(&linear(-0.11, 0.21)), ["−0.1", "0.0", "0.1", "0.2"]);
        assert_eq!(labels(&linear(0.0, 3e7)), ["0", "5·10⁶", "10⁷", "1.5·10⁷", "2·10⁷", "2.5·10⁷", "3·10⁷"]);
        assert_eq!(labels(&logarithmic(3e-4, 2.0)), ["10⁻³", "10⁻²", "10⁻¹", "10⁰"]);
        assert_eq!(labels(&logarithmic(0.8, 6.0)), ["1", "2", "5"]);
        assert_eq!(labels(&logarithmic(0.41, 0.47)), ["0.41", "0.42", "0.43", "0.44", "0.45", "0.46", "0.47"]);
        assert!(logarithmic(1e-300, 1e300).len() <= 10, "few enough to be read");
    }
}
