//! Do the sources keep the one-way flow, and do the rules that a reader relies on hold everywhere?
//!
//! Reads the text of `src/` and `shaders/`. Sees the paths that begin with `crate::` in code, not in comments; blind to
//! dependence through values, and to modules that reach up by `super::super::` (there is no use for that here).

use std::fs;
use std::path::{Path, PathBuf};

/// A module and what it may use besides itself and `error`. Left to right as the data flow.
const MAY_USE: [(&str, &[&str]); 12] = [
    ("error", &[]),
    ("host", &[]),
    ("model", &[]),
    ("solver", &["model"]),
    ("reference", &["model", "solver"]),
    ("io", &["model"]),
    ("plan", &["model", "solver"]),
    ("kernels", &["model", "solver", "plan"]),
    ("gpu", &["model", "solver", "plan", "kernels"]),
    ("problem", &["model", "solver", "plan", "kernels", "gpu", "host"]),
    ("tune", &["model", "solver", "plan", "gpu", "problem", "io"]),
    ("train", &["model", "solver", "plan", "kernels", "gpu", "problem", "io", "host"]),
];
/// Files above this length want to be split.
const MAX_LINES: usize = 450;

struct File {
    /// Relative to the root of the crate, with `/`.
    path: String,
    text: String,
}

impl File {
    /// Lines of code with their numbers: comments are left out.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(i, line)| (i + 1, line));
        lines.map(|(i, line)| (i, line.split("//").next().unwrap_or(""))).filter(|(_, line)| !line.trim().is_empty())
    }

    /// The top-level module of a file of the library; `None` for the crate root and the binary.
    fn module(&self) -> Option<&str> {
        let inner = self.path.strip_prefix("src/")?;
        let first = inner.split('/').next()?.trim_end_matches(".rs");
        (!["lib", "bin", "main"].contains(&first)).then_some(first)
    }
}

fn files(folder: &str, extension: &str) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> = vec![root.join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                let text = fs::read_to_string(&path).expect("a text file");
                let path = path.strip_prefix(root).expect("a path below the root").to_string_lossy().replace('\\', "/");
                found.push(File { path, text });
            }
        }
    }
    assert!(!found.is_empty(), "no .{extension} files below {folder}");
    found
}

/// The names that follow `crate::` in a line, those in braces included.
fn used(line: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        if line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &line[at + "crate::".len()..];
        let list = rest.strip_prefix('{').map_or(vec![rest], |inner| {
            let end = inner.rfind('}').unwrap_or(inner.len());
            inner[..end].split(',').map(str::trim).collect()
        });
        let head = |item| str::split(item, |c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or("");
        names.extend(list.into_iter().map(head).filter(|n| !n.is_empty()));
    }
    names
}

#[test]
fn a_module_uses_only_what_is_to_its_left() {
    for file in files("src", "rs") {
        let Some(module) = file.module() else { continue };
        let allowed = MAY_USE.iter().find(|(name, _)| *name == module).map(|(_, allowed)| *allowed);
        let allowed = allowed.unwrap_or_else(|| panic!("{}: module {module} has no place in the flow", file.path));
        for (number, line) in file.code() {
            assert!(!line.contains("super::super::"), "{}:{number}: say `crate::` instead of climbing", file.path);
            for name in used(line) {
                let fine = name == module || name == "error" || allowed.contains(&name);
                assert!(fine, "{}:{number}: {module} must not use {name}: {}", file.path, line.trim());
            }
        }
    }
}

#[test]
fn the_flow_itself_has_no_cycle() {
    for (i, (module, allowed)) in MAY_USE.iter().enumerate() {
        for name in *allowed {
            let earlier = MAY_USE[..i].iter().any(|(n, _)| n == name);
            assert!(earlier, "{module} may use {name}, which stands to its right");
        }
    }
}

#[test]
fn the_binary_sees_only_the_public_library() {
    for file in files("src/bin", "rs") {
        for (number, line) in file.code() {
            assert!(!line.contains("wgpu::"), "{}:{number}: the binary uses wgpu", file.path);
            assert!(!line.contains("#[path"), "{}:{number}: the binary takes a file of the library", file.path);
        }
    }
}

#[test]
fn wgpu_appears_only_in_the_device_layer() {
    for file in files("src", "rs") {
        // The tests of the kernels' text parse it with wgpu's own copy of naga.
        if file.module() == Some("gpu") || file.path.starts_with("src/kernels/tests") {
            continue;
        }
        for (number, line) in file.code() {
            assert!(!line.contains("wgpu::"), "{}:{number}: wgpu outside of src/gpu: {}", file.path, line.trim());
        }
    }
}

#[test]
fn there_is_exactly_one_unsafe_block() {
    let mut places = Vec::new();
    for file in files("src", "rs") {
        for (number, line) in file.code() {
            let words = line.split(|c: char| !(c.is_alphanumeric() || c == '_'));
            places.extend(words.filter(|w| *w == "unsafe").map(|_| format!("{}:{number}", file.path)));
        }
    }
    assert_eq!(places.len(), 1, "unsafe in {places:?}");
    assert!(places[0].starts_with("src/gpu/"), "unsafe outside of the device layer: {places:?}");
}

#[test]
fn no_file_is_too_long_to_read() {
    for file in files("src", "rs").into_iter().chain(files("shaders", "wgsl")) {
        let lines = file.text.lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines, more than {MAX_LINES}: split it", file.path);
    }
}

#[test]
fn every_source_file_says_what_it_is_for() {
    for (folder, extension, mark) in [("src", "rs", "//!"), ("shaders", "wgsl", "//")] {
        for file in files(folder, extension) {
            assert!(file.text.starts_with(mark), "{} does not begin with {mark} and its purpose", file.path);
        }
    }
}

#[test]
fn the_parser_of_this_test_sees_paths() {
    assert_eq!(used("use crate::plan::{Caps, Slot};"), ["plan"], "a plain path");
    assert_eq!(used("use crate::{model::Mlp, gpu};"), ["model", "gpu"], "a list");
    assert_eq!(used("let x = crate::plan::word(1); pub(in crate::gpu) fn f();"), ["plan", "gpu"], "two on a line");
    assert!(used("use mycrate::plan;").is_empty(), "another crate");
}
