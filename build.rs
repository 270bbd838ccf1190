//! Tells the program which commit it is built from, for the results of `costate bench`.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=COSTATE_COMMIT={}", commit().unwrap_or_else(|| "unknown".to_owned()));
}

/// The commit, with `-dirty` if library, shaders or manifest differ from it.
fn commit() -> Option<String> {
    // Each commit would build all tests again, and a debug build is no base for numbers.
    if std::env::var("PROFILE").ok()? != "release" {
        return None;
    }
    packaged().or_else(checked_out)
}

/// What cargo notes down in a package.
fn packaged() -> Option<String> {
    let text = std::fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, rest) = text.split_once("\"sha1\": \"")?;
    Some(rest.split('"').next()?.chars().take(12).collect())
}

fn checked_out() -> Option<String> {
    // A copy inside of another project's repository is none of its commits.
    let root = git(&["rev-parse", "--show-toplevel"])?;
    let here = std::env::current_dir().ok()?.canonicalize().ok()?;
    if Path::new(&root).canonicalize().ok()? != here {
        return None;
    }
    // The log of HEAD changes with every commit and checkout. A path that is not there would mean to run every time.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    // All but the program itself, whose edits then build no more than it.
    let library = std::fs::read_dir("src").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let watched = [log.as_str(), "shaders", "Cargo.toml"].map(Into::into).into_iter();
    for path in watched.chain(library).filter(|path| path.exists() && !path.ends_with("bin")) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    git(&["rev-parse", "--short=12", "HEAD"]).map(|commit| {
        let changed = git(&["status", "--porcelain", "--untracked-files=no", "src", "shaders", "Cargo.toml"]);
        if changed.is_some_and(|changes| changes.is_empty()) { commit } else { format!("{commit}-dirty") }
    })
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
