//! Is the fastest arrangement of the kernels found, kept and found again, and are files of no use refused?
//!
//! Blind to whether a winner really is the fastest: seconds of tiny problems on a shared machine are mostly noise. The rule
//! that picks it from measured seconds has its tests beside it, in `src/tune/rule.rs`.

mod common;

use std::fs;

use common::{field, gpu, parameters, random2};
use costate::tune::{Device, Phase, Shape, TuneCache, Tuned, tune};
use costate::{Activation, Adjoint, Error, KernelOptions, Method, NeuralOde, NeuralOdeBuilder, TimeGrid};

fn problem() -> NeuralOdeBuilder {
    let grid = TimeGrid::uniform(0.0, 1.0, 3).expect("a valid grid");
    let field = field(2, &[6, 5], Activation::Tanh, false);
    NeuralOde::builder(field, grid).method(Method::Midpoint).adjoint(Adjoint::Stored)
}

fn device(driver: &str) -> Device {
    Device { adapter: "a \"quoted\" adapter".into(), driver: driver.into(), costate: "0.0.0".into() }
}

fn entry(batch: usize, trajectories: u32, measured: u64) -> Tuned {
    let ode = problem().build(gpu()).expect("a small problem");
    Tuned {
        shape: Shape::of(&ode, Phase::Gradient, batch),
        kernels: KernelOptions { trajectories: Some(trajectories), ..KernelOptions::default() },
        seconds: 0.1,
        default_seconds: None,
        measured,
    }
}

#[test]
fn a_cache_comes_back_as_it_was() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("new/folder/kernels.json");
    assert_eq!(TuneCache::load(&path).expect("no file is an empty cache"), TuneCache::default());
    let mut cache = TuneCache::default();
    cache.insert(&device("one"), entry(100, 2, 5));
    cache.insert(&device("one"), entry(300, 4, 5));
    cache.insert(&device("two"), entry(100, 1, 5));
    cache.save(&path).expect("a writable folder");
    let read = TuneCache::load(&path).expect("a good file");
    assert_eq!(read, cache, "what was written");
    let found =
        |driver: &str, batch| Some(read.lookup(&device(driver), &entry(batch, 1, 0).shape)?.kernels.trajectories);
    assert_eq!(found("one", 64), Some(Some(2)), "64 to 127 are of one size");
    assert_eq!(found("one", 256), Some(Some(4)), "another size");
    assert_eq!(found("two", 100), Some(Some(1)), "another driver");
    assert_eq!((found("one", 128), found("three", 100)), (None, None), "not measured");
    cache.insert(&device("one"), entry(100, 8, 6));
    assert_eq!(cache.lookup(&device("one"), &entry(100, 1, 0).shape).and_then(|t| t.kernels.trajectories), Some(8));
}

#[test]
fn what_others_have_measured_stays() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("kernels.json");
    let (mut mine, mut other) = (TuneCache::default(), TuneCache::default());
    mine.insert(&device("d"), entry(1, 2, 10));
    mine.insert(&device("d"), entry(2, 2, 10));
    other.insert(&device("d"), entry(2, 4, 20));
    other.insert(&device("d"), entry(4, 4, 20));
    // Both had begun with no file.
    other.save(&path).expect("a writable folder");
    mine.save(&path).expect("a writable folder");
    let read = TuneCache::load(&path).expect("a good file");
    let found = [1, 2, 4].map(|batch| read.lookup(&device("d"), &entry(batch, 1, 0).shape).map(|t| t.measured));
    assert_eq!(found, [Some(10), Some(20), Some(20)], "the newer entry of a shape");
}

#[test]
fn many_writers_leave_a_whole_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = &folder.path().join("kernels.json");
    std::thread::scope(|scope| {
        for writer in 0..4 {
            scope.spawn(move || {
                for round in 0..8_u32 {
                    let mut cache = TuneCache::default();
                    cache.insert(&device(&format!("{writer}")), entry(1 << round, 1, 1));
                    cache.save(path).expect("a writable folder");
                    assert!(TuneCache::load(path).is_ok(), "always whole");
                }
            });
        }
    });
    let names: Vec<_> = fs::read_dir(folder.path()).expect("a readable folder").flatten().collect();
    assert_eq!(names.len(), 1, "no temporary file is left: {names:?}");
}

#[test]
fn files_of_no_use_are_refused_and_replaced() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("kernels.json");
    let strange =
        r#"{"version": 1, "devices": [{"adapter": "a", "driver": "d", "costate": "0", "entries": [{"a": 1}]}]}"#;
    for (text, words) in [
        ("", "EOF"),
        ("\u{0}\u{1}", "expected"),
        ("{}", "version"),
        (r#"{"version": 0, "devices": []}"#, "version 0"),
        (r#"{"version": 2, "winners": {}}"#, "version 2"),
        (r#"{"version": 1, "devices": {}}"#, "sequence"),
        (strange, "unknown field `a`"),
    ] {
        fs::write(&path, text).expect("a writable folder");
        let error = TuneCache::load(&path).expect_err("a bad file");
        assert!(matches!(error, Error::Format { .. }), "{error:?}");
        let message = error.to_string();
        for word in ["kernels.json", "delete it", "costate bench --tune", words] {
            assert!(message.contains(word), "'{word}' should be in '{message}'");
        }
    }
    let mut cache = TuneCache::default();
    cache.insert(&device("d"), entry(1, 1, 1));
    cache.save(&path).expect("a writable folder");
    assert_eq!(TuneCache::load(&path).expect("a good file"), cache, "in place of the bad one");
    let error = cache.save(path.join("below/a/file")).expect_err("no folder");
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    assert!(matches!(TuneCache::load(folder.path()), Err(Error::Io { .. })), "a folder is no file");
}

#[test]
fn a_problem_is_tuned_and_built_with_the_winner() {
    for phase in [Phase::Forward, Phase::Gradient] {
        let tuning = tune(&problem(), gpu(), phase, 40, 3).expect("a small problem");
        let ode = problem().build(gpu()).expect("a small problem");
        let choice = phase.kernels(&ode, 40).expect("a small problem");
        assert_eq!(tuning.rows[0].kernels, choice, "the plan's choice is the first");
        assert!(tuning.rows.len() > 1, "there is a choice: {tuning:?}");
        let best = tuning.rows.iter().filter_map(|row| row.seconds).fold(f64::INFINITY, f64::min);
        let tuned = tuning.entry();
        assert!(tuned.seconds <= 1.1 * best, "{} where the best takes {best}", tuned.seconds);
        assert_eq!(tuned.shape.batch, 32, "40 rounded down");
        let mut cache = TuneCache::default();
        cache.insert(&Device::of(gpu()), tuned.clone());
        let chosen = cache.build(&problem(), gpu(), phase, 63).expect("a small problem");
        assert_eq!((chosen.tuned.as_ref(), chosen.refused.is_none()), (Some(&tuned), true), "of the same size");
        let kernels = phase.kernels(&chosen.ode, 63).expect("a small problem");
        assert_eq!(kernels, tuning.rows[tuning.winner].kernels, "the winner's");
        assert!(cache.build(&problem(), gpu(), phase, 64).expect("a small problem").tuned.is_none(), "another size");
    }
}

#[test]
fn an_entry_that_the_device_refuses_is_left_alone() {
    let mut cache = TuneCache::default();
    cache.insert(&Device::of(gpu()), entry(40, 3, 1));
    let chosen = cache.build(&problem(), gpu(), Phase::Gradient, 40).expect("the plan's own choice");
    assert!(chosen.tuned.is_none(), "3 trajectories");
    let reason = chosen.refused.expect("a reason").to_string();
    assert!(reason.contains("trajectories per invocation") && reason.contains('3'), "{reason}");
}

#[test]
fn every_candidate_computes_the_same() {
    let ode = problem().build(gpu()).expect("a small problem");
    let theta = parameters(ode.field(), 1);
    let x0 = random2(37, 2, 2);
    let base = ode.solve(&theta, x0.view()).expect("a small problem").states;
    for kernels in ode.solve_kernel_candidates(37).expect("a small problem") {
        let other = problem().kernels(kernels).build(gpu()).expect("a candidate");
        let states = other.solve(&theta, x0.view()).expect("a candidate").states;
        let off = (&states - &base).iter().fold(0.0_f32, |most, d| most.max(d.abs()));
        assert!(off <= 4.0 * f32::EPSILON, "{kernels:?} is off by {off}");
    }
}
