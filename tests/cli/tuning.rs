//! `bench --tune`: what it keeps, who uses it, and what is said about a cache or an arrangement that is of no use.

use super::*;

const SMALL: &str = "bench --hidden 5,3 --method euler --adjoint backsolve --repeats 1 --steps 4 --batch 7";
/// Where the tests' runs keep what they measured.
const CACHE: &str = "cache/costate/kernels.json";

/// The one row.
fn row(ran: &Ran) -> Value {
    let rows = ran.json()["results"].as_array().unwrap().clone();
    assert_eq!(rows.len(), 1, "one row of {rows:?}");
    rows[0].clone()
}

#[test]
fn what_was_measured_is_used_again() {
    let folder = Folder::new();
    let forward = format!("{SMALL} --phase forward --json");
    let before = folder.run(&forward).succeeded();
    assert_eq!(row(&before)["tuned"], false, "nothing is known yet");
    assert!(before.json()["tuning"].as_array().unwrap().is_empty() && !folder.path("cache").exists(), "nor kept");

    let ran = folder.run(&format!("{forward} --tune")).succeeded();
    let tuned = row(&ran);
    assert_eq!(tuned["tuned"], true, "{tuned}");
    assert_keys(&tuned["kernels"], &["family", "trajectories", "workgroup"]);
    let tuning = &ran.json()["tuning"][0];
    assert_keys(tuning, &["batch", "shape", "rows", "winner"]);
    let rows = tuning["rows"].as_array().unwrap();
    assert!(rows.len() > 1 && rows.iter().all(|row| row["refused"].is_null()), "{tuning}");
    assert_eq!(rows[0]["kernels"], row(&before)["kernels"], "the plan's choice is the first: {tuning}");
    let seconds = |row: &Value| row["seconds"].as_f64().unwrap();
    let best = rows.iter().map(seconds).fold(f64::INFINITY, f64::min);
    let winner = &rows[usize::try_from(tuning["winner"].as_u64().unwrap()).unwrap()];
    assert!(seconds(winner) <= 1.1 * best, "{} where the best takes {best}", seconds(winner));
    assert_eq!(winner["kernels"], tuned["kernels"], "the row has the winner");
    let kept: Value = serde_json::from_slice(&std::fs::read(folder.path(CACHE)).unwrap()).unwrap();
    assert_eq!(kept["devices"][0]["entries"].as_array().unwrap().len(), 1, "{kept}");

    // Batches of 4 to 7 are of one size; the gradient is another matter.
    for batch in ["4", "7"] {
        let again = folder.run(&forward.replace("--batch 7", &format!("--batch {batch}"))).succeeded();
        assert_eq!(
            (&row(&again)["tuned"], &row(&again)["kernels"]),
            (&true.into(), &tuned["kernels"]),
            "batch {batch}"
        );
        assert!(again.stderr.is_empty(), "nothing to say: {:?}", again.stderr);
    }
    for others in [forward.replace("--batch 7", "--batch 8"), forward.replace("forward", "gradient")] {
        assert_eq!(row(&folder.run(&others).succeeded())["tuned"], false, "`{others}` was not measured");
    }
    for ignoring in ["--no-tune", "--trajectories 2"] {
        assert_eq!(row(&folder.run(&format!("{forward} {ignoring}")).succeeded())["tuned"], false, "{ignoring}");
    }
}

#[test]
fn candidates_are_shown() {
    let folder = Folder::new();
    let table = folder.run(&format!("{SMALL} --tune")).succeeded().stdout;
    for words in ["tuned: state 2, hidden [5, 3], euler, forward", "gradient, backsolve", "the plan's choice", "taken"]
    {
        assert!(table.contains(words), "'{words}' should be in {table}");
    }
}

#[test]
fn a_cache_of_no_use_is_ignored_with_a_warning() {
    let folder = Folder::new();
    let forward = format!("{SMALL} --phase forward --json");
    std::fs::create_dir_all(folder.path("cache/costate")).unwrap();
    for (text, words) in
        [("{", "EOF"), (r#"{"version": 99, "rows": 3}"#, "version 99"), (r#"{"version": 1}"#, "devices")]
    {
        folder.file(CACHE, text);
        let ran = folder.run(&forward).succeeded();
        assert_eq!(row(&ran)["tuned"], false, "{text}");
        assert_eq!(ran.stderr.len(), 1, "one warning about {text}: {:?}", ran.stderr);
        for word in ["warning: ", "kernels.json", "delete it", "costate bench --tune", words] {
            assert!(ran.stderr[0].contains(word), "'{word}' should be in '{}'", ran.stderr[0]);
        }
        let silent = folder.run(&format!("{forward} --no-tune")).succeeded();
        assert!(silent.stderr.is_empty(), "not even read: {:?}", silent.stderr);
    }
    // Measuring replaces it.
    folder.run(&format!("{forward} --tune")).succeeded();
    assert_eq!(row(&folder.run(&forward).succeeded())["tuned"], true, "a good one is in its place");

    // An arrangement that no device has.
    let kept = std::fs::read_to_string(folder.path(CACHE)).unwrap();
    let mut kept: Value = serde_json::from_str(&kept).unwrap();
    kept["devices"][0]["entries"][0]["kernels"] = serde_json::json!({"workgroup": 3});
    folder.file(CACHE, &kept.to_string());
    let ran = folder.run(&forward.replace("--batch 7", "--batch 4,5,6")).succeeded();
    assert!(ran.json()["results"].as_array().unwrap().iter().all(|row| row["tuned"] == false), "refused");
    assert_eq!(ran.stderr.len(), 1, "one warning for three batches: {:?}", ran.stderr);
    for word in ["workgroup size", "kernels.json", "delete", "--tune"] {
        assert!(ran.stderr[0].contains(word), "'{word}' should be in '{}'", ran.stderr[0]);
    }
}

#[test]
fn what_cannot_be_kept_is_used_all_the_same() {
    let folder = Folder::new();
    folder.file("cache", "a file where a folder should be");
    let ran = folder.run(&format!("{SMALL} --phase forward --json --tune")).succeeded();
    assert_eq!(row(&ran)["tuned"], true, "{:?}", ran.stderr);
    assert!(ran.stderr.iter().any(|l| l.contains("not kept") && l.contains("costate")), "{:?}", ran.stderr);
}

#[test]
fn arrangements_beyond_the_limits_are_refused_with_the_limit() {
    let folder = Folder::new();
    let forced = |flags: &str| folder.run(&format!("{SMALL} --json {flags}"));
    for (flags, words) in [
        ("--workgroup 3", ["workgroup size", "3", "power of two up to"]),
        ("--workgroup 4194304", ["workgroup size", "4194304 invocations", "the limit of"]),
        ("--trajectories 3", ["trajectories per invocation", "3", "1, 2, 4"]),
        ("--family lanes", ["lanes", "kernel family", "lane, tile"]),
        ("--tune --workgroup 8", ["--tune", "--workgroup", "cannot be used with"]),
        ("--tune --no-tune", ["--tune", "--no-tune", "cannot be used with"]),
    ] {
        assert!(forced(flags).failed(2, &words).stdout.is_empty(), "{flags}: nothing was measured");
    }
    // Eight are for narrow fields: the wide one is left out, the others are measured.
    let ran = forced("--trajectories 8 --width 2000,4 --phase forward");
    if ran.code == Some(0) {
        let report = ran.json();
        let left_out = report["left_out"].as_array().unwrap();
        assert_eq!((left_out.len(), &left_out[0]["hidden"]), (1, &serde_json::json!([2000, 2000])), "{report}");
        let reason = left_out[0]["reason"].as_str().unwrap();
        assert!(reason.contains("8 trajectories per invocation") && reason.contains("the limit of"), "{reason}");
        let rows = report["results"].as_array().unwrap();
        assert!(rows.len() == 2 && rows.iter().all(|row| row["kernels"]["trajectories"] == 8), "{report}");
    } else {
        // An adapter whose kernels never take eight.
        ran.failed(2, &["8 trajectories per invocation", "the limit of"]);
    }
    let given = forced("--family lane --trajectories 2 --workgroup 16 --phase gradient").succeeded();
    let kernels = serde_json::json!({"family": "lane", "trajectories": 2, "workgroup": 16});
    assert_eq!(row(&given)["kernels"], kernels, "as given");
}
