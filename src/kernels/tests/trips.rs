//! Counts the loop trips of a kernel from its text.
//!
//! Understands the one form of loop that the shaders keep to, `for (var v = FROM; v < TO; v++)` (or `v += N`), with
//! bounds made of constants, outer loop variables, arguments and `let`s; anything else is an error, so that a loop in
//! another form cannot go uncounted. Both ways of an `if` count, and an early `return` is not seen: the result is an
//! upper bound.

use std::collections::HashMap;

type Numbers = HashMap<String, u64>;

enum Node {
    Loop { variable: String, from: String, to: String, by: u64, body: Vec<Node> },
    Call { name: String, arguments: Vec<String> },
    Let { name: String, value: String },
}

struct Function {
    parameters: Vec<String>,
    body: Vec<Node>,
}

/// The functions of a text and the constants that their bounds may use.
pub(super) struct Trips {
    functions: HashMap<String, Function>,
    constants: Numbers,
}

impl Trips {
    pub(super) fn new(text: &str) -> Self {
        let text: String = text.lines().map(|l| l.split("//").next().unwrap_or("").to_owned() + "\n").collect();
        assert!(!text.contains("loop {") && !text.contains("while "), "a loop in a form that cannot be counted");
        let mut constants = Numbers::new();
        for line in text.lines() {
            if let Some((name, value)) = line.strip_prefix("const ").and_then(|l| l.split_once('=')) {
                let name = name.split(':').next().unwrap_or(name).trim();
                if let Some(value) = evaluate(value.trim().trim_end_matches(';'), &constants) {
                    constants.insert(name.to_owned(), value);
                }
            }
        }
        let mut functions = HashMap::new();
        let starts =
            text.match_indices("fn ").map(|(at, _)| at).filter(|at| *at == 0 || text.as_bytes()[at - 1] == b'\n');
        for at in starts {
            let open = at + text[at..].find('(').expect("parameters");
            let close = matching(&text, open);
            let parameters = text[open + 1..close].split(',').map(|p| {
                let name = p.split(':').next().unwrap_or("").trim();
                name.rsplit(' ').next().unwrap_or("").to_owned()
            });
            let body_open = close + text[close..].find('{').expect("a body");
            let body = parse(&text[body_open + 1..matching(&text, body_open)]);
            functions.insert(text[at + 3..open].trim().to_owned(), Function { parameters: parameters.collect(), body });
        }
        let mut trips = Self { functions, constants };
        trips.prune();
        trips
    }

    /// Trips of one run of an entry point; `numbers` are what its loops take from the dispatch, such as `call.steps`.
    pub(super) fn count(&self, entry: &str, numbers: &[(&str, u64)]) -> u64 {
        let mut known = self.constants.clone();
        known.extend(numbers.iter().map(|(name, value)| ((*name).to_owned(), *value)));
        let function = self.functions.get(entry).unwrap_or_else(|| panic!("no function {entry}, or none with a loop"));
        self.block(&function.body, &mut known)
    }

    fn block(&self, nodes: &[Node], known: &mut Numbers) -> u64 {
        let mut total = 0;
        for node in nodes {
            match node {
                Node::Let { name, value } => {
                    // A name that cannot be known must not keep an old meaning.
                    match evaluate(value, known) {
                        Some(value) => known.insert(name.clone(), value),
                        None => known.remove(name),
                    };
                }
                Node::Call { name, arguments } => {
                    let Some(function) = self.functions.get(name) else { continue };
                    let mut inner = known.clone();
                    for (parameter, argument) in function.parameters.iter().zip(arguments) {
                        match evaluate(argument, known) {
                            Some(value) => inner.insert(parameter.clone(), value),
                            None => inner.remove(parameter),
                        };
                    }
                    total += self.block(&function.body, &mut inner);
                }
                Node::Loop { variable, from, to, by, body } => {
                    let bound = |text| evaluate(text, known).unwrap_or_else(|| panic!("cannot tell the bound {text}"));
                    let (mut value, to) = (bound(from), bound(to));
                    // The test that ends the loop counts as well.
                    total += 1;
                    while value < to {
                        known.insert(variable.clone(), value);
                        total += 1 + self.block(body, known);
                        value += by;
                    }
                }
            }
        }
        total
    }

    /// Forgets functions without loops, so that counting need not visit them.
    fn prune(&mut self) {
        loop {
            let idle = |nodes: &[Node]| {
                nodes.iter().all(|n| match n {
                    Node::Loop { .. } => false,
                    Node::Call { name, .. } => !self.functions.contains_key(name),
                    Node::Let { .. } => true,
                })
            };
            let gone: Vec<String> =
                self.functions.iter().filter(|(_, f)| idle(&f.body)).map(|(name, _)| name.clone()).collect();
            if gone.is_empty() {
                return;
            }
            gone.iter().for_each(|name| drop(self.functions.remove(name)));
        }
    }
}

/// Place of the bracket that closes the one at `open`.
fn matching(text: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, c) in text[open..].char_indices() {
        match c {
            '(' | '{' => depth += 1,
            ')' | '}' => depth -= 1,
            _ => (),
        }
        if depth == 0 {
            return open + at;
        }
    }
    panic!("a bracket stays open: {}", &text[open..(open + 40).min(text.len())]);
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn parse(text: &str) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find(|c: char| c.is_alphabetic() || c == '_').map(|i| at + i) {
        let end = text[start..].find(|c| !is_name(c)).map_or(text.len(), |i| start + i);
        let word = &text[start..end];
        let part_of_another = start > 0 && text[..start].ends_with(|c: char| is_name(c) || c == '.');
        at = end;
        if part_of_another {
            continue;
        }
        if word == "for" {
            let open = end + text[end..].find('(').expect("a loop header");
            let close = matching(text, open);
            let body_open = close + text[close..].find('{').expect("a loop body");
            let body_close = matching(text, body_open);
            nodes.push(header(&text[open + 1..close], parse(&text[body_open + 1..body_close])));
            at = body_close + 1;
        } else if word == "let" {
            let semicolon = end + text[end..].find(';').expect("the end of a let");
            let (name, value) = text[end..semicolon].split_once('=').expect("a value");
            nodes.extend(parse(value));
            let name = name.split(':').next().unwrap_or("").trim().to_owned();
            nodes.push(Node::Let { name, value: value.trim().to_owned() });
            at = semicolon;
        } else if text[end..].starts_with('(') {
            let close = matching(text, end);
            let arguments = &text[end + 1..close];
            nodes.extend(parse(arguments));
            nodes.push(Node::Call { name: word.to_owned(), arguments: split(arguments) });
            at = close + 1;
        }
    }
    nodes
}

/// Arguments at the top level of brackets.
fn split(arguments: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for c in arguments.chars() {
        depth += i32::from(c == '(' || c == '[') - i32::from(c == ')' || c == ']');
        match (c, depth) {
            (',', 0) => parts.push(String::new()),
            _ => parts.last_mut().expect("one part").push(c),
        }
    }
    parts.iter().map(|p| p.trim().to_owned()).collect()
}

fn header(text: &str, body: Vec<Node>) -> Node {
    let read = || {
        let parts: Vec<&str> = text.split(';').map(str::trim).collect();
        let [start, test, next] = parts[..] else { return None };
        let (variable, from) = start.strip_prefix("var ")?.split_once('=')?;
        let variable = variable.trim();
        let (tested, to) = test.split_once('<')?;
        let by = match next.strip_prefix(variable)?.trim() {
            "++" => 1,
            step => evaluate(step.strip_prefix("+=")?, &Numbers::new())?,
        };
        (tested.trim() == variable && !to.starts_with('=')).then_some((variable, from.trim(), to.trim(), by))
    };
    let (variable, from, to, by) = read().unwrap_or_else(|| panic!("a loop of another form: for ({text})"));
    Node::Loop { variable: variable.to_owned(), from: from.to_owned(), to: to.to_owned(), by, body }
}

/// Value of an expression of whole numbers, or `None` if it holds something unknown.
fn evaluate(text: &str, known: &Numbers) -> Option<u64> {
    let mut rest = text.trim();
    let value = sum(&mut rest, known)?;
    rest.trim().is_empty().then_some(value)
}

fn sum(rest: &mut &str, known: &Numbers) -> Option<u64> {
    let mut value = product(rest, known)?;
    loop {
        *rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('+') {
            *rest = after;
            value += product(rest, known)?;
        } else if let Some(after) = rest.strip_prefix('-') {
            *rest = after;
            value = value.checked_sub(product(rest, known)?)?;
        } else {
            return Some(value);
        }
    }
}

fn product(rest: &mut &str, known: &Numbers) -> Option<u64> {
    let mut value = atom(rest, known)?;
    loop {
        *rest = rest.trim_start();
        let operator = rest.chars().next().filter(|c| "*/%".contains(*c));
        let Some(operator) = operator else { return Some(value) };
        *rest = &rest[1..];
        let right = atom(rest, known)?;
        value = match operator {
            '*' => value * right,
            '/' => value.checked_div(right)?,
            _ => value.checked_rem(right)?,
        };
    }
}

fn atom(rest: &mut &str, known: &Numbers) -> Option<u64> {
    *rest = rest.trim_start();
    if rest.starts_with('(') {
        let close = matching(rest, 0);
        let value = evaluate(&rest[1..close], known);
        *rest = &rest[close + 1..];
        return value;
    }
    let end = rest.find(|c| !is_name(c) && c != '.').unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    *rest = after;
    known.get(word).copied().or_else(|| word.strip_suffix('u').unwrap_or(word).parse().ok())
}

#[test]
fn loops_are_counted_as_they_run() {
    let text = "
const N: u32 = 3u;
const M: u32 = N * 2u;
fn idle(p: f32) -> f32 { return p; }
fn triangle(i: u32, h: f32) {
    for (var j = 0u; j < i; j++) { x += idle(h); } // 1 + i
}
fn main(@builtin(workgroup_id) group: vec3<u32>) {
    for (var n = 0u; n < call.steps; n++) {
        for (var m = 0u; m < M; m += 2u) {
            let i = N - 1u - m / 2u;
            triangle(i, idle(2.0));
        }
    }
}";
    // Inner: 1 + 3 tests, and 3 + 2 + 1 in the triangles; each step one more, and one at the end.
    assert_eq!(Trips::new(text).count("main", &[("call.steps", 5)]), 5 * (1 + 4 + 6) + 1, "trips");
}
