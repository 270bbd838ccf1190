//! Moves private arrays of a kernel to a buffer: the longest, until a compiler gets along with the rest.
//!
//! Works on the composed text, so that no shader need know. An array `x` becomes a member of a structure of which every
//! workgroup has one; `x[q]` becomes `spilled[spilled_group].x[q][lane]`, since the lanes of a subgroup, which is the
//! workgroup, stand side by side. Why, and for which kernels: src/plan/spill.rs.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::plan::LEFT_SQUARES;

/// A private array of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Array {
    name: String,
    element: String,
    length: u64,
}

/// What is read up to a whole block of inputs, and must be zero beyond the last one.
const PADDED: [&str; 3] = ["argument", "probe", "hidden_"];
/// What stays where it is.
const KEPT: &str = "block_";
/// The line in every entry after which an invocation knows its place.
const ENTRY: &str = "    lane = local;\n";

/// The text with arrays in the buffer of binding `number`.
pub(super) fn spill(text: &str, number: usize) -> String {
    let chosen = chosen(arrays(text));
    let moved = |name: &str| chosen.iter().find(|a| a.name == name);
    let mut rest = String::with_capacity(2 * text.len());
    for line in text.lines() {
        if declared(line).is_none_or(|(name, ..)| moved(name).is_none()) {
            let _ = writeln!(rest, "{line}");
        }
    }
    let mut begin = String::from("\nfn begin_spilled() {\n");
    begin.push_str("    spilled_group = (first - call.first_trajectory) / (TRAJECTORIES * WORKGROUP);\n");
    let mut members = String::new();
    for Array { name, element, length } in &chosen {
        let _ = writeln!(members, "    {name}: array<array<{element}, WORKGROUP>, {length}>,");
        if PADDED.iter().any(|p| name.starts_with(p)) {
            let _ = writeln!(begin, "    for (var q = 0u; q < {length}u; q++) {{\n        {name}[q] = 0.0;\n    }}");
        }
    }
    begin.push_str("}\n");
    let mut text = rest.replace(ENTRY, &format!("{ENTRY}    begin_spilled();\n")) + &begin;
    for array in &chosen {
        text = indexed(&text, &array.name);
    }
    let _ = write!(
        text,
        "\n// Arrays of the invocations of a workgroup.\nstruct Spilled {{\n{members}}}\n\
         @group(0) @binding({number}) var<storage, read_write> spilled: array<Spilled>;\n\
         var<private> spilled_group: u32;\n"
    );
    text
}

/// The longest arrays, at least one, until the squares of the others are few.
fn chosen(mut arrays: Vec<Array>) -> Vec<Array> {
    arrays.sort_by_key(|a| std::cmp::Reverse(a.length));
    let mut left: u64 = arrays.iter().map(|a| a.length.pow(2)).sum();
    let mut count = 0;
    while count < arrays.len() && (count == 0 || left > LEFT_SQUARES) {
        left -= arrays[count].length.pow(2);
        count += 1;
    }
    arrays.truncate(count);
    arrays
}

/// Name, type of the elements and length of the private array that a line declares.
fn declared(line: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = line.strip_prefix("var<private> ")?.split_once(": array<")?;
    let (element, length) = rest.strip_suffix(">;")?.split_once(", ")?;
    Some((name, element, length))
}

/// The private arrays whose elements a buffer can hold.
fn arrays(text: &str) -> Vec<Array> {
    let mut known: HashMap<&str, u64> = HashMap::new();
    for (name, value) in text.lines().filter_map(|l| l.strip_prefix("const ")?.split_once(": u32 = ")) {
        if let Some(value) = number(value.trim_end_matches(';')) {
            known.insert(name, value);
        }
    }
    let of = |name: &str| known.get(name).copied().unwrap_or(1);
    // Those of stages.wgsl.
    let components = of("DIM") * of("TRAJECTORIES");
    known.insert("VALUES", components + of("TIME_ROWS") * of("TRAJECTORIES"));
    known.insert("COMPONENTS", components);
    let found = text.lines().filter_map(declared).filter(|(_, element, _)| ["f32", "i32", "Fixed"].contains(element));
    // Where the inputs of a product are on their way to registers.
    let found = found.filter(|(name, ..)| !name.starts_with(KEPT));
    let array = |(name, element, length): (&str, &str, &str)| {
        let mut factors = length.split('*').map(str::trim);
        let length = factors.try_fold(1, |all, f| Some(all * known.get(f).copied().or_else(|| number(f))?))?;
        Some(Array { name: name.to_owned(), element: element.to_owned(), length })
    };
    found.filter_map(array).collect()
}

fn number(text: &str) -> Option<u64> {
    text.strip_suffix('u').unwrap_or(text).parse().ok()
}

/// The text with every `name[…]` as an element of the buffer.
fn indexed(text: &str, name: &str) -> String {
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(name) {
        let end = at + name.len();
        done.push_str(&rest[..at]);
        let part = done.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.');
        let close = rest[end..].starts_with('[').then(|| matching(&rest[end..])).flatten();
        match close.filter(|_| !part) {
            Some(close) => {
                let index = indexed(&rest[end + 1..end + close], name);
                let _ = write!(done, "spilled[spilled_group].{name}[{index}][lane]");
                rest = &rest[end + close + 1..];
            }
            None => {
                done.push_str(name);
                rest = &rest[end..];
            }
        }
    }
    done + rest
}

/// Place of the bracket that closes the one at the start.
fn matching(text: &str) -> Option<usize> {
    let mut depth = 0_i32;
    text.char_indices().find_map(|(at, c)| {
        depth += i32::from(c == '[') - i32::from(c == ']');
        (depth == 0).then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_and_nothing_else() {
        let text = "x[q] += a.x[1] * max[x[y[0]]] + x1[2]; // x\n";
        let expected =
            "spilled[spilled_group].x[q][lane] += a.x[1] * max[spilled[spilled_group].x[y[0]][lane]] + x1[2]; // x\n";
        assert_eq!(indexed(text, "x"), expected);
    }

    #[test]
    fn the_longest_arrays_go() {
        let text = "const DIM: u32 = 50u;\nconst TRAJECTORIES: u32 = 4u;\nconst STAGES: u32 = 3u;\n\
            var<private> x: array<f32, COMPONENTS>;\nvar<private> k: array<f32, COMPONENTS * STAGES>;\n\
            var<private> pair: array<Fixed, 2u * COMPONENTS>;\nvar<private> alive: array<bool, TRAJECTORIES>;\n";
        let found = arrays(text);
        let lengths: Vec<(&str, u64)> = found.iter().map(|a| (a.name.as_str(), a.length)).collect();
        assert_eq!(lengths, [("x", 200), ("k", 600), ("pair", 400)]);
        let names: Vec<String> = chosen(found).into_iter().map(|a| a.name).collect();
        assert_eq!(names, ["k", "pair", "x"], "the longest first");
        let moved = spill(text, 9);
        assert!(moved.contains("var<private> alive: ") && !moved.contains("var<private> k: "), "{moved}");
        assert!(
            moved.contains("@binding(9)") && moved.contains("pair: array<array<Fixed, WORKGROUP>, 400>"),
            "{moved}"
        );
    }
}
