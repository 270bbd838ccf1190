//! The workload of `workload.py` in plain Rust: steps written by hand over candle's tensors, gradients by its autograd.
//!
//! Takes the options and prints the lines of the Python peers. The GPU is used with the feature `cuda` or `metal`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::{Device, Result, Tensor, Var, safetensors};
use serde_json::json;

const LAYERS: usize = 3;
const STEPS: usize = 20;
const VERSION: &str = "candle-core 0.9.2";

/// Arrays on the host, and their shapes.
type Host = (Vec<f32>, Vec<usize>);

fn host(tensor: &Tensor) -> Result<Host> {
    Ok((tensor.flatten_all()?.to_vec1()?, tensor.dims().to_vec()))
}

fn upload((values, shape): &Host, device: &Device) -> Result<Tensor> {
    Tensor::from_slice(values, shape.as_slice(), device)
}

/// f(x), of weights and biases in turn.
fn field(theta: &[Tensor], x: &Tensor) -> Result<Tensor> {
    let mut x = x.clone();
    for (i, layer) in theta.chunks_exact(2).enumerate() {
        x = x.matmul(&layer[0].t()?)?.broadcast_add(&layer[1])?;
        if i + 1 < LAYERS {
            x = x.tanh()?;
        }
    }
    Ok(x)
}

fn step(method: &str, theta: &[Tensor], x: &Tensor, h: f64) -> Result<Tensor> {
    let k1 = field(theta, x)?;
    if method == "euler" {
        return x + (k1 * h)?;
    }
    let k2 = field(theta, &(x + (&k1 * (h / 2.0))?)?)?;
    let k3 = field(theta, &(x + (&k2 * (h / 2.0))?)?)?;
    let k4 = field(theta, &(x + (&k3 * h)?)?)?;
    x + (((k1 + k4)? + ((k2 + k3)? * 2.0)?)? * (h / 6.0))?
}

fn solve(method: &str, theta: &[Tensor], x0: &Tensor) -> Result<Tensor> {
    (0..STEPS).try_fold(x0.clone(), |x, _| step(method, theta, &x, 1.0 / STEPS as f64))
}

struct Workload {
    names: Vec<String>,
    theta: Vec<Host>,
    x0: Host,
    targets: Host,
}

struct Gradient {
    loss: f32,
    theta: Vec<Host>,
    x0: Host,
}

impl Workload {
    fn read(folder: &Path, batch: usize) -> Result<Self> {
        let tensors = safetensors::load(folder.join("weights.safetensors"), &Device::Cpu)?;
        let names: Vec<String> =
            (0..LAYERS).flat_map(|i| ["weight", "bias"].map(|kind| format!("net.{}.{kind}", 2 * i))).collect();
        let theta = names.iter().map(|name| host(&tensors[name])).collect::<Result<_>>()?;
        let x0 = host(&Tensor::read_npy(folder.join(format!("x0-{batch}.npy")))?)?;
        let targets = host(&Tensor::read_npy(folder.join(format!("targets-{batch}.npy")))?.squeeze(0)?)?;
        Ok(Self { names, theta, x0, targets })
    }

    fn forward(&self, method: &str, device: &Device) -> Result<Host> {
        let theta = self.theta.iter().map(|p| upload(p, device)).collect::<Result<Vec<_>>>()?;
        host(&solve(method, &theta, &upload(&self.x0, device)?)?)
    }

    fn gradient(&self, method: &str, device: &Device) -> Result<Gradient> {
        let var = |array: &Host| Var::from_tensor(&upload(array, device)?);
        let theta = self.theta.iter().map(var).collect::<Result<Vec<_>>>()?;
        let x0 = var(&self.x0)?;
        let tensors: Vec<Tensor> = theta.iter().map(|p| p.as_tensor().clone()).collect();
        let x1 = solve(method, &tensors, x0.as_tensor())?;
        let loss = (x1 - upload(&self.targets, device)?)?.sqr()?.mean_all()?;
        let gradients = loss.backward()?;
        let of = |p: &Var| host(gradients.get(p).expect("the loss depends on all of them"));
        Ok(Gradient { loss: loss.to_scalar()?, theta: theta.iter().map(of).collect::<Result<_>>()?, x0: of(&x0)? })
    }

    /// In f64, of states that a forward pass returned.
    fn loss(&self, (x1, _): &Host) -> f64 {
        let squares = x1.iter().zip(&self.targets.0).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2));
        squares.sum::<f64>() / x1.len() as f64
    }

    fn write(&self, gradient: &Gradient, file: &Path) -> Result<()> {
        let names = self.names.iter().map(String::as_str).chain(["x0"]);
        let tensors = names.zip(gradient.theta.iter().chain([&gradient.x0]));
        let tensors: HashMap<_, _> =
            tensors.map(|(name, array)| Ok((name, upload(array, &Device::Cpu)?))).collect::<Result<_>>()?;
        safetensors::save(&tensors, file)
    }
}

/// Everything comes back to the host, hence nothing is pending when the clock stops.
fn clock<T>(warm_up: usize, repeats: usize, call: impl Fn() -> Result<T>) -> Result<(Vec<f64>, T)> {
    for _ in 0..warm_up {
        call()?;
    }
    let mut seconds = Vec::new();
    loop {
        let start = Instant::now();
        let result = call()?;
        seconds.push(start.elapsed().as_secs_f64());
        if seconds.len() >= repeats {
            seconds.sort_unstable_by(f64::total_cmp);
            return Ok((seconds, result));
        }
    }
}

struct Options(HashMap<String, String>);

impl Options {
    fn read() -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        Self(arguments.chunks(2).map(|pair| (pair[0].clone(), pair.get(1).cloned().unwrap_or_default())).collect())
    }

    fn get(&self, name: &str, default: &str) -> String {
        self.0.get(name).cloned().unwrap_or_else(|| default.into())
    }

    fn number(&self, name: &str, default: usize) -> usize {
        self.get(name, "").parse().unwrap_or(default)
    }
}

fn device() -> Result<(Device, String)> {
    if cfg!(feature = "cuda") {
        return Ok((Device::new_cuda(0)?, "cuda".into()));
    }
    if cfg!(feature = "metal") {
        return Ok((Device::new_metal(0)?, "metal".into()));
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    Ok((Device::Cpu, format!("cpu, {threads} threads")))
}

fn main() -> Result<()> {
    let options = Options::read();
    let folder = PathBuf::from(options.get("--workload", "."));
    let (repeats, warm_up) = (options.number("--repeats", 5), options.number("--warm-up", 2));
    let (device, name) = device()?;
    for batch in options.get("--batches", "256").split(',') {
        let batch: usize = batch.parse().map_err(candle_core::Error::wrap)?;
        let work = Workload::read(&folder, batch)?;
        for method in options.get("--methods", "euler,rk4").split(',') {
            assert!(["euler", "rk4"].contains(&method), "{method} is none of euler, rk4");
            let print = |phase: &str, adjoint: Option<&str>, seconds: &[f64], loss: f64| {
                let median = (seconds[seconds.len() / 2] + seconds[(seconds.len() - 1) / 2]) / 2.0;
                let row = json!({
                    "peer": "candle_loop", "version": VERSION, "device": name, "batch": batch, "method": method,
                    "adjoint": adjoint, "steps": STEPS, "phase": phase, "seconds": median,
                    "seconds_min": seconds[0], "seconds_max": seconds[seconds.len() - 1], "repeats": repeats,
                    "trajectory_steps_per_second": (batch * STEPS) as f64 / median, "loss": loss,
                });
                println!("{row}");
            };
            let (seconds, x1) = clock(warm_up, repeats, || work.forward(method, &device))?;
            print("forward", None, &seconds, work.loss(&x1));
            let (seconds, gradient) = clock(warm_up, repeats, || work.gradient(method, &device))?;
            print("gradient", Some("stored"), &seconds, f64::from(gradient.loss));
            if let Some(folder) = options.0.get("--gradients") {
                work.write(
                    &gradient,
                    &Path::new(folder).join(format!("candle_loop-{batch}-{method}-stored.safetensors")),
                )?;
            }
        }
    }
    Ok(())
}
