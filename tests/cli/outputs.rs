//! Where results go: what may not be written over, and what is written to as it is.
//!
//! Device nodes are copies in a temporary folder where the tests may make them. Where they may not, they may not destroy
//! the system's own either.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::process::Command;

use super::*;

const SOLVE: &str = "solve --config run.toml --weights w.safetensors --x0 x0.npy --json --out";
const GRADIENT: &str = "gradient --config run.toml --weights w.safetensors --x0 x0.npy --targets y.npy --json --out";

/// A copy of a device in the folder, or the device itself for those who may neither make one nor harm it.
pub(crate) fn device(folder: &Folder, name: &str, minor: u32) -> PathBuf {
    let path = folder.path(&format!("{name}-copy"));
    let made = Command::new("mknod").arg(&path).args(["c", "1", &minor.to_string()]).output().unwrap();
    if made.status.success() && fs::OpenOptions::new().write(true).open(&path).is_ok() {
        return path;
    }
    let _ = fs::remove_file(&path);
    assert!(
        tempfile::tempfile_in("/dev").is_err(),
        "a copy of {name} cannot be made, and the tests could harm the device"
    );
    Path::new("/dev").join(name)
}

pub(crate) fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success(), "a named pipe is needed");
}

#[test]
fn devices_and_pipes_are_written_to_and_stay() {
    let folder = Folder::new();
    let null = device(&folder, "null", 3);
    folder.run(&format!("{SOLVE} {}", null.display())).succeeded();
    assert!(fs::symlink_metadata(&null).unwrap().file_type().is_char_device(), "the device is still there");
    folder.file(".costate-Ab12Cd.tmp", "half a file");
    folder.run(&format!("{SOLVE} want.npy")).succeeded();
    assert!(!folder.path(".costate-Ab12Cd.tmp").exists(), "what a killed run has left is removed");
    let want = fs::read(folder.path("want.npy")).unwrap();

    let pipe = folder.path("pipe");
    fifo(&pipe);
    let reader = {
        let pipe = pipe.clone();
        std::thread::spawn(move || fs::read(pipe).unwrap())
    };
    folder.run(&format!("{SOLVE} pipe")).succeeded();
    assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo(), "the pipe is still there");
    assert_eq!(reader.join().unwrap(), want, "all the bytes came through");

    symlink(&null, folder.path("to-null")).unwrap();
    folder.run(&format!("{GRADIENT} to-null")).succeeded();
    assert!(fs::symlink_metadata(folder.path("to-null")).unwrap().is_symlink(), "the link is still there");
    assert!(fs::symlink_metadata(&null).unwrap().file_type().is_char_device(), "and so is the device");

    let full = device(&folder, "full", 7);
    folder.run(&format!("{SOLVE} {}", full.display())).failed(1, &["cannot write", "No space left"]);
    assert!(fs::symlink_metadata(&full).unwrap().file_type().is_char_device(), "the full device is still there");
    assert!(folder.entries().iter().all(|name| !name.ends_with(".tmp")), "nothing is left: {:?}", folder.entries());
}

#[test]
fn a_link_stays_and_its_file_is_replaced() {
    let folder = Folder::new();
    fs::create_dir(folder.path("data")).unwrap();
    fs::write(folder.path("data/old.npy"), "old").unwrap();
    symlink("data/old.npy", folder.path("x.npy")).unwrap();
    symlink("data/new.npy", folder.path("y2.npy")).unwrap();
    symlink("x.npy", folder.path("twice.npy")).unwrap();
    folder.run(&format!("{SOLVE} want.npy")).succeeded();
    for (link, file) in [("x.npy", "data/old.npy"), ("y2.npy", "data/new.npy"), ("twice.npy", "data/old.npy")] {
        let _ = fs::write(folder.path("data/old.npy"), "old");
        folder.run(&format!("{SOLVE} {link}")).succeeded();
        assert!(fs::symlink_metadata(folder.path(link)).unwrap().is_symlink(), "{link} is still a link");
        assert!(fs::symlink_metadata(folder.path(file)).unwrap().is_file(), "{file} is a file");
        assert_eq!(fs::read(folder.path(file)).unwrap(), fs::read(folder.path("want.npy")).unwrap(), "{link}");
    }
    symlink("b.npy", folder.path("a.npy")).unwrap();
    symlink("a.npy", folder.path("b.npy")).unwrap();
    folder.run(&format!("{SOLVE} a.npy")).failed(1, &["a.npy", "circle"]);
}

#[test]
fn an_output_that_is_an_input_is_refused() {
    let folder = Folder::new();
    symlink("x0.npy", folder.path("link.npy")).unwrap();
    fs::hard_link(folder.path("w.safetensors"), folder.path("hard.safetensors")).unwrap();
    fs::create_dir(folder.path("sub")).unwrap();
    folder.file("cost.toml", &format!("{EULER}[cost]\nkinetic = 1.0\n"));
    let inputs =
        ["run.toml", "w.safetensors", "x0.npy", "y.npy"].map(|name| (name, fs::read(folder.path(name)).unwrap()));
    for (arguments, words) in [
        (format!("{SOLVE} run.toml"), ["output run.toml", "--config run.toml"]),
        (format!("{SOLVE} ./sub/../x0.npy"), ["output ./sub/../x0.npy", "--x0 x0.npy"]),
        (format!("{SOLVE} link.npy"), ["output link.npy", "--x0 x0.npy"]),
        (format!("{SOLVE} hard.safetensors"), ["output hard.safetensors", "--weights w.safetensors"]),
        (format!("{GRADIENT} y.npy"), ["output y.npy", "--targets y.npy"]),
        (format!("{GRADIENT} m.npy --mask m.npy"), ["output m.npy", "--mask m.npy"]),
        (
            format!("{} same.npy --cost-out ./same.npy", SOLVE.replace("run.toml", "cost.toml")),
            ["output ./same.npy", "same.npy is the same file"],
        ),
    ] {
        if arguments.contains("m.npy") {
            costate::io::write_npy(folder.path("m.npy"), ndarray::Array3::<f32>::ones((1, 7, 2)).view()).unwrap();
        }
        folder.run(&arguments).failed(2, &words);
    }
    for (name, bytes) in inputs {
        assert_eq!(fs::read(folder.path(name)).unwrap(), bytes, "{name} is as it was");
    }
}

#[test]
fn an_output_may_be_standard_output() {
    let folder = Folder::new();
    folder.run(&format!("{SOLVE} /dev/stdout")).failed(2, &["/dev/stdout", "--json"]);
    folder.run(&format!("{SOLVE} want.npy")).succeeded();
    let plain = SOLVE.replace("--json ", "");
    let arguments = format!("{plain} /dev/stdout");
    let run = |stdout: std::process::Stdio| {
        Command::new(env!("CARGO_BIN_EXE_costate"))
            .args(arguments.split_whitespace())
            .current_dir(folder.0.path())
            .env("MESA_SHADER_CACHE_DIR", user_cache())
            .stdout(stdout)
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap()
            .wait_with_output()
            .unwrap()
    };
    let want = fs::read(folder.path("want.npy")).unwrap();
    let piped = run(std::process::Stdio::piped());
    assert_eq!(piped.stdout, want, "the array and nothing else");
    assert!(String::from_utf8_lossy(&piped.stderr).contains("trajectories"), "the report is on standard error");
    let file = fs::File::create(folder.path("into.npy")).unwrap();
    assert!(run(file.into()).status.success(), "into a file");
    assert_eq!(fs::read(folder.path("into.npy")).unwrap(), want, "the file that standard output goes to is filled");
}
