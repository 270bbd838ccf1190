//! The memory that this process may still take: what the machine has free, its control groups and its own limits allow.
//!
//! Read off the files that Linux shows them in; elsewhere no limit is known. Without this a limit is met by an abort in
//! the middle of a run, since neither drivers nor arrays of Rust hand such a failure on.

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// What may still be allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Room {
    bytes: u64,
    /// Whose limit it is.
    limit: &'static str,
}

/// Refuses what needs more memory than there is, before any of it is allocated.
///
/// # Errors
/// [`Error::HostMemory`] with the tightest limit.
pub fn check_host_memory(what: &str, needed: u64, remedy: &str) -> Result<()> {
    check(room(Path::new("/")), what, needed, remedy)
}

fn check(room: Option<Room>, what: &str, needed: u64, remedy: &str) -> Result<()> {
    match room {
        Some(Room { bytes, limit }) if bytes < needed => Err(Error::HostMemory {
            what: what.to_owned(),
            needed,
            available: bytes,
            limit: limit.to_owned(),
            remedy: remedy.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// The tightest of all limits below a root folder.
fn room(root: &Path) -> Option<Room> {
    let limits = [
        of_process(root, "Max address space", "VmSize", "the limit on its address space, see ulimit -v"),
        of_process(root, "Max data size", "VmData", "the limit on its data, see ulimit -d"),
        of_groups(root),
        of_machine(root),
    ];
    limits.into_iter().flatten().min_by_key(|room| room.bytes)
}

/// A limit of the process less what it uses of it.
fn of_process(root: &Path, limit: &str, usage: &str, name: &'static str) -> Option<Room> {
    let limits = read_to_string(root.join("proc/self/limits")).ok()?;
    let rest = limits.lines().find_map(|line| line.strip_prefix(limit))?;
    let most: u64 = rest.split_whitespace().next()?.parse().ok()?;
    let used = kibibytes(&root.join("proc/self/status"), usage)?;
    Some(Room { bytes: most.saturating_sub(used), limit: name })
}

/// What the machine could give without taking anything from others.
fn of_machine(root: &Path) -> Option<Room> {
    let file = root.join("proc/meminfo");
    let swap = kibibytes(&file, "SwapFree").unwrap_or(0);
    Some(Room { bytes: kibibytes(&file, "MemAvailable")? + swap, limit: "what the machine has free" })
}

/// A value in bytes of a file with lines such as `VmSize:  1234 kB`.
fn kibibytes(file: &Path, name: &str) -> Option<u64> {
    let text = read_to_string(file).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    rest.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The tightest limit of the control groups that the process is in, of either version.
fn of_groups(root: &Path) -> Option<Room> {
    let groups = read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mounted = root.join("sys/fs/cgroup");
    let mut found: Vec<u64> = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let first = controllers.split(',').any(|c| c == "memory");
        if controllers.is_empty() {
            for mount in [mounted.clone(), mounted.join("unified")] {
                found.extend(folders(&mount, path).iter().filter_map(|folder| group_of_two(folder)));
            }
        } else if first {
            found.extend(folders(&mounted.join("memory"), path).iter().filter_map(|folder| group_of_one(folder)));
        }
    }
    found.into_iter().min().map(|bytes| Room { bytes, limit: "the limit of its control group" })
}

/// The folder of a group and of those around it. In a container a group may be shown as the outermost one.
fn folders(mount: &Path, path: &str) -> Vec<PathBuf> {
    let path = Path::new(path.trim_start_matches('/'));
    path.ancestors().map(|part| mount.join(part)).collect()
}

fn group_of_two(folder: &Path) -> Option<u64> {
    left(folder, "memory.max", "memory.current", ["inactive_file ", "active_file "])
}

fn group_of_one(folder: &Path) -> Option<u64> {
    let files = ["total_inactive_file ", "total_active_file "];
    left(folder, "memory.limit_in_bytes", "memory.usage_in_bytes", files)
}

/// A group's limit less what it uses; what it keeps of files it could do without.
fn left(folder: &Path, most: &str, used: &str, files: [&str; 2]) -> Option<u64> {
    let number = |name: &str| read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    let (most, used) = (number(most)?, number(used)?);
    let kept = read_to_string(folder.join("memory.stat")).map_or(0, |text| {
        let values = text.lines().filter_map(|line| files.iter().find_map(|name| line.strip_prefix(name)));
        values.filter_map(|value| value.trim().parse::<u64>().ok()).sum()
    });
    Some(most.saturating_sub(used.saturating_sub(kept)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root folder with these files.
    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        }
        root
    }

    const FREE: (&str, &str) = ("proc/meminfo", "MemTotal: 100 kB\nMemAvailable:      90 kB\nSwapFree:    10 kB\n");
    const LIMITS: &str = "Limit                     Soft Limit           Hard Limit           Units     \n\
        Max data size             unlimited            unlimited            bytes     \n";

    fn seen(files: &[(&str, &str)]) -> Option<(u64, &'static str)> {
        room(machine(files).path()).map(|room| (room.bytes, room.limit))
    }

    #[test]
    fn the_tightest_limit_counts() {
        assert_eq!(seen(&[]), None, "no limit is known");
        assert_eq!(seen(&[FREE]).map(|r| r.0), Some(100 << 10), "free memory and swap");
        let status = ("proc/self/status", "Name: x\nVmSize:\t      40 kB\nVmData: 7 kB\n");
        let space =
            format!("{LIMITS}Max address space         {}                unlimited            bytes     \n", 64 << 10);
        let room = seen(&[FREE, status, ("proc/self/limits", space.as_str())]);
        assert_eq!(room.map(|r| r.0), Some(24 << 10), "64 less 40");
        assert!(room.is_some_and(|r| r.1.contains("ulimit -v")), "{room:?}");
        assert_eq!(seen(&[FREE, status, ("proc/self/limits", LIMITS)]).map(|r| r.0), Some(100 << 10), "no limit");
    }

    #[test]
    fn groups_of_both_versions_count_with_those_around_them() {
        let two = [
            FREE,
            ("proc/self/cgroup", "0::/outer/inner\n"),
            ("sys/fs/cgroup/outer/inner/memory.max", "max\n"),
            ("sys/fs/cgroup/outer/inner/memory.current", "1000\n"),
            ("sys/fs/cgroup/outer/memory.max", "50000\n"),
            ("sys/fs/cgroup/outer/memory.current", "20000\n"),
            ("sys/fs/cgroup/outer/memory.stat", "anon 5\ninactive_file 7000\nactive_file 1000\n"),
        ];
        assert_eq!(seen(&two).map(|r| r.0), Some(38_000), "version 2");
        let one = [
            FREE,
            ("proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/job\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "900\n"),
            ("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "3000\n"),
            ("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "2000\n"),
        ];
        assert_eq!(seen(&one).map(|r| r.0), Some(1000), "version 1");
        let shown_as_the_outermost = [
            FREE,
            ("proc/self/cgroup", "0::/system.slice/docker-1.scope\n"),
            ("sys/fs/cgroup/memory.max", "4096\n"),
            ("sys/fs/cgroup/memory.current", "96\n"),
        ];
        assert_eq!(seen(&shown_as_the_outermost).map(|r| r.0), Some(4000), "in a container");
    }

    #[test]
    fn the_error_names_both_numbers_and_the_limit() {
        let room = Some(Room { bytes: 10, limit: "the limit" });
        assert!(check(room, "a solve", 10, "less").is_ok() && check(None, "a solve", u64::MAX, "less").is_ok());
        let error = check(room, "a solve", 11, "use less").expect_err("too much");
        let text = error.to_string();
        for part in ["a solve needs 11 bytes", "10 are left by the limit", "use less"] {
            assert!(text.contains(part), "'{part}' should be in '{text}'");
        }
        assert!(error.is_usage(), "the caller asks for too much");
    }
}
