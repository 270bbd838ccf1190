//! The long help texts.

/// `costate --help`
pub(crate) const COSTATE: &str = "\
Train neural ODEs on any GPU.

costate integrates dx/dt = f(x, t, θ), with f a multilayer perceptron, over large batches of initial states, and \
computes gradients of the result with respect to the weights θ and the initial states. It runs on any adapter that \
speaks Vulkan (Metal, DX12 in builds for those systems), and on the processor through a software adapter.

Where to begin:
  costate adapters                        is there a GPU?
  costate check --config run.toml         are the gradients right for my problem?
  costate bench                           how fast is it?
  costate train run.toml                  learn from data

Arrays are .npy files, weights .safetensors files with PyTorch's names, run descriptions .toml files; `costate train \
--help` lists the keys of a run description.";

/// After `costate --help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed run or failed check, 2 bad usage or input, 130 and 143 after SIGINT and SIGTERM; a failure is \
told in one sentence on standard error. Nothing is left half-written: a file appears under its name complete or not at all. \
Devices and pipes are written to as they are; an output that is an input is refused.";

/// `costate solve --help`
pub(crate) const SOLVE: &str = "\
Integrate a batch of initial states and write the states at the save times.

Example: run.toml holds
  [field]
  state = 2
  hidden = [64, 64]
  [solve]
  method = \"rk4\"
  t1 = 1.0
  step = 0.025
  save_at = [0.25, 0.5, 1.0]
and then
  costate solve --config run.toml --weights w.safetensors \\
    --x0 x0.npy --out x.npy
writes [3, batch, 2]. A trajectory that leaves the finite numbers does not disturb the others: it is counted and named \
in a warning, and its states are not finite from there on. If none is left the run has failed (exit code 1). With [cost] the \
report has the mean running cost, and --cost-out takes that of each trajectory, [batch].

Where the weights tell the scaling of the data that they were trained on (metadata costate.scaling, which `costate train` \
writes), x0 and states are in the units of the data, states in f64; --units model switches that off. The report says which.

Example, without running: what would a solve of a million trajectories keep on the device?
  costate solve --config run.toml --plan --batch 1000000";

/// `costate gradient --help`
pub(crate) const GRADIENT: &str = "\
Differentiate a loss, or pull cotangents back, to the weights and the initial states.

With --targets the loss is that of [loss], by default the mean of (x - target)^2 over save times, batch and components, \
and a running cost [cost] is added to it as the mean over the trajectories. --observation-weights multiplies its terms; \
--mask says what was observed: the mean is over that, and targets elsewhere may be NaN. With --cotangents the loss is \
yours: give dJ/dx at the save times and get dJ/dθ and dJ/dx0 (the vector-Jacobian product of `costate solve`); running \
costs are summed then.

--wrt, or [gradient] wrt, says what to differentiate by: theta, x0, t0, t1, saves (the save times), targets, and loss \
(ln σ of gaussian_nll). Where a time moves, the steps around it move in proportion.

Example:
  costate gradient --config run.toml --weights w.safetensors \\
    --x0 x0.npy --targets y.npy --out g.safetensors
writes tensors named as in the file of the weights (net.0.weight, ...), x0 [batch, dim] and loss [1]; and where they are asked for t0 [1], \
t1 [1], save_times [time], targets [time, batch, dim], log_scale [dim], with [cost] the cost of each trajectory, cost [batch].

The gradient is that of the computed numbers, except with the continuous adjoint. The adjoint of [solve] decides how the \
states are found again on the way back: kept (stored, checkpointed), stepped back to (backsolve, reversible), or bit for \
bit in fixed point (exact); \
`costate train --help` lists methods and adjoints. Where states are reconstructed the report says how far the initial \
ones are from those given; more than reconstruction_tolerance is a warning, or with on_drift = \"error\" a failed run.

Where the weights tell the scaling of the data that they were trained on (metadata costate.scaling), x0, targets, cotangents \
and the gradients by x0 and targets are in the units of the data; loss, running cost, ln σ and the gradient by θ are the \
model's. --units model switches that off.

Example, without running: what would each adjoint of the method keep on the device?
  costate gradient --config run.toml --plan --batch 1000000";

/// `costate train --help`
pub(crate) const TRAIN: &str = "\
Learn the weights from time series.

Samples are windows of the series in [data]: the first point of a window is the initial state, the loss is that of [loss] at \
the other points, by default the mean squared error, and [cost] adds a running cost. Progress goes to standard error. The \
output folder receives weights.safetensors (the last), best.safetensors (those with the smallest loss over all the data, at \
the start and at every checkpoint), report.json, losses.csv, loss.svg, trajectory.svg and series.svg (learned against \
data, each series from its first point). The scaling of the data is in the report and in the metadata of the weights.

An update is skipped as a whole if no trajectory is left, if one fails on the way back, or if the gradient or the parameters \
would not be finite; skipped updates are counted by reason, and 100 of them in a row end the run (exit code 1). SIGINT \
and SIGTERM end it once everything so far is written (exit codes 130 and 143); a second one ends it at once.

Example: lv.toml holds
  [field]
  state = 2
  hidden = [32]
  [solve]
  steps = 10                 # per interval between neighbouring points of the data
  method = \"tsit5\"
  adjoint = \"checkpointed\"
  [data]
  file = \"hudson-bay-lynx-hare.csv\"
  scale = \"log_standardise\"
  window = 6
  [train]
  iterations = 2000
  learning_rate = 0.01
  [output]
  folder = \"lynx\"
and then
  costate train lv.toml";

/// After `costate train --help`: the keys of a run description.
pub(crate) const KEYS: &str = "\
Keys of a run description (paths are relative to its folder):

[field]                     the vector field, a multilayer perceptron
  state                     number of components of the state
  hidden                    widths of the hidden layers, [64, 64]; may be empty
  activation                of the hidden layers, or a list, one per layer
                            (tanh); known are identity tanh relu elu softplus
                            silu gelu sin sigmoid leaky_relu, also as PyTorch
                            writes them (SiLU, LeakyReLU)
  output_activation         of the last layer (identity)
  time_input                true: the time is the last input of layer 0 (false)
  bias                      false: layers without biases, in files too (true)

[solve]
  method                    the solver; see below
  t0, t1                    start (0) and end, which may be earlier; train has
                            them from the data
  step                      longest step: intervals between save times are
                            split equally; or
  steps                     number of equal steps per interval
  save_at                   save times ([t1]); train has them from the data
  dense                     true: steps do not stop at save times, where states
                            are interpolated (an error of order 4); step and
                            steps are then those of the whole solve; not for
                            train (false)
  adjoint                   the way to the gradient; see below
  anchors                   checkpointed, backsolve: states kept on the way, at
                            most one per step
  memory                    a size such as 512 MiB: with auto and checkpointed
                            the cheapest exact way that fits; other adjoints
                            are only held against it (see --plan)
  log_words                 kicks: words of contraction log per component (4
                            with exact, else 0, which means no contraction: the
                            copies of a pair part on contracting fields)
  fraction_bits             exact: bits below the point of all components, 16
                            to 29 (each has its own, from its first value)
  state_words               exact: 1, or 2 for runs of 10^5 and more steps (1)
  reconstruction_tolerance  how far reconstructed initial states may be off,
                            relative to what the component has met (1e-3)
  on_drift                  what more than that is: warn or error (warn)

[loss]
  kind                      of a residual r: mse r²; mae |r|; huber r²/2,
                            beyond delta linear; gaussian_nll (r/σ)²/2 + ln σ +
                            ln(2π)/2 (mse)
  delta                     huber: where the parabola ends (1)
  log_scale                 gaussian_nll: ln σ of every component, or one
                            number for all (0)
  learn_scale               gaussian_nll, train only: true to learn ln σ too
                            (false)

[cost]                      a running cost, its integral over time added to the
                            loss; weights ≥ 0 of
  kinetic                   |f(x, t)|² (0)
  jacobian                  |∂f/∂x ε|² with a random vector ε of ±1 for each
                            trajectory (0)
  seed                      of ε (0)
  parameters                |θ|² (0)
  reference                 |x - x_ref(t)|²: { weight = 1.0, file = \"ref.npz\" }
                            with times [time], values [time, dim] or [time,
                            batch, dim], and slopes like values if there are
                            any; in the units of the model, from t0 to t1 at
                            least; train: whole series only

[gradient]                  gradient only
  wrt                       a list of theta x0 t0 t1 saves targets loss
                            ([\"theta\", \"x0\"])

[kernels]                   what is not left to the plan
  family                    lane or tile
  trajectories              of an invocation (lane: 1, 2, 4 or 8) or a
                            workgroup (tile)
  workgroup                 invocations of a workgroup

[data]                      train only
  file                      .csv: a line of names, then one line per time;
                            numbers, or dates as 2024-01-31 or
                            2024-01-31T12:00:00Z (then in seconds since the
                            first); a cell that is empty, NA or NaN was not
                            observed. .npz: t [time], x [time, dim] or [series,
                            time, dim], and perhaps mask, shaped as x, true
                            where observed; NaN was not. Whole series begin with
                            a whole point; with window a point where one may
                            start must be whole
  delimiter                 .csv: \",\" \";\" or \"\\t\" (that of the line of
                            names); with \";\" numbers may have decimal commas
  time                      .csv: the column of times (the one named t or time,
                            else the first; a first column without a name is an
                            index and left out)
  id                        .csv: the column that tells series apart (series, id
                            or subject, if there is one)
  columns                   .csv: the columns that are components (all others)
  scale                     none standardise log_standardise (none), in f64,
                            over what was observed
  window                    points per sample (the whole series); the data must
                            be equally spaced, up to the digits of the times
  stride                    use every n-th point (1)

[train]                     train only
  iterations                number of updates
  learning_rate             at the start
  batch                     samples drawn for each update (as many as there
                            are)
  optimiser                 adam or sgd (adam)
  beta1, beta2, epsilon     of adam (0.9, 0.999, 1e-8)
  momentum                  of sgd (0)
  schedule                  of the learning rate: constant cosine exponential
                            (constant)
  final_learning_rate       where cosine (0) and exponential end
  weight_decay              decoupled from the gradient (0)
  clip_norm                 largest norm of the gradient, a larger one is
                            scaled down (none)
  init                      xavier kaiming torch { normal = 0.1 } (xavier)
  seed                      of the weights and the order of samples (0)
  weights                   start from these weights instead
  report_every              iterations between two reports of progress (100)
  checkpoint_every          iterations between two evaluations of the loss over
                            all the data, by which best.safetensors is chosen
                            (report_every, or more where that would be slow)

[output]                    train only
  folder                    where results go (runs/ and the name of the
                            description)
  plot                      false: no plots (true)
  plot_components           the two components of the phase plane ([0, 1])

Methods:
  euler midpoint heun ralston bosh3 rk4 rk4_38 dopri5 tsit5
                            explicit Runge-Kutta: one state; order 1 to 5,
                            cheapest per step; tsit5 is the default
  ees25 ees27               Runge-Kutta made for backsolve: reversed they are
                            of order 5 and 7
  strang yoshida4 suzuki4 blanes_moan4
                            kicks on a pair of states, of order 2 4 4 4: exact
                            gradients in memory that does not grow with the
                            steps; blanes_moan4 is the most accurate
  reversible_heun alf       published reversible methods of order 2, one
                            evaluation per step
  mccallum_foster:<base>:<lambda>
                            the reversible form of a Runge-Kutta method,
                            mccallum_foster:rk4:0.999

Adjoints:
  stored                    keeps the states of all steps: exact, the fastest,
                            memory grows with the steps
  checkpointed              keeps some of them and runs between them again:
                            exact, memory grows with the root of the steps
  backsolve                 Runge-Kutta: steps back from the end, memory does
                            not grow, but the states drift
  reversible                methods on a pair: takes every update back in
                            floats; rounding grows on contracting fields
  exact                     kicks (and mccallum_foster with lambda 1): in fixed
                            point, reversible bit for bit, memory does not grow
  continuous                Runge-Kutta: steps the adjoint equation back beside
                            the states, as in torchdiffeq's odeint_adjoint; not
                            the gradient of the computed loss: off by the
                            method's error
  auto                      Runge-Kutta: stored while the states fit the budget
                            (memory, or 256 MiB), else checkpointed; exact for
                            kicks; reversible for reversible_heun, alf and
                            mccallum_foster (in training stored). Trajectories
                            that these fail are done again by the same method,
                            with a larger log or from kept states";

/// `costate check --help`
pub(crate) const CHECK: &str = "\
Hold states and gradients of a run against f64 and finite differences.

Draws random targets, and initial states and weights if none are given, runs them on the device, and compares: states, \
loss, running costs and gradients by all that the problem has (θ, x0, t0, t1, save times, targets, ln σ) with the same \
computation in f64 on the processor, both with finite differences, the vector-Jacobian product with a directional \
derivative, every adjoint of the method with the stored one (the continuous one, which is another gradient, with its own \
f64 too), the reconstructed initial states with the given ones (exact: word for word), and the copies of a pair with each \
other; and what a mask hides must not change a bit. Another line tells by which part of a component the states would change \
with half the steps (twice the steps, where there is one between any two save times): beyond 1e-2 it says so, beyond 0.5 it \
fails. Each line shows a value, the tolerance and ok or FAIL; if any line fails the exit code is 1.

Example:
  costate check --config run.toml --weights w.safetensors --batch 8

With --x0 the initial states are yours, targets are drawn as large as the states become, and every line is measured by the \
size of the states: what is right for states of 1 may be wrong for those of your data. Drawn states are between -1 and 1.

The f64 computation takes one processor core: keep the batch small for long runs.";

/// `costate bench --help`
pub(crate) const BENCH: &str = "\
Measure the throughput of solves and gradients.

Runs random weights and states, --warmup times to compile the kernels and to warm up, then --repeats times; the median wall \
time of a call counts. It includes the upload of states and targets, the readback of results and the wait for them, as a \
caller sees it. A trajectory-step is one step of one trajectory. GFLOP/s count two operations per weight and evaluation of \
the field, four per weight and vector-Jacobian product, and nothing else. GB/s count what kernels must at least read from \
buffers on the device and write to them. With --peak and --peak-bandwidth both are shown as a share of what the device could \
do in theory.

Every method is measured with every adjoint that it has, every phase and every batch. Sweeps then vary one thing at a time \
around the base, with the largest batch that could be measured: --width and --depth of the hidden layers, and --state and \
--steps where they are lists, whose first value is the base. FIRST..LAST stands for FIRST, twice that, and so on, so \
64..1048576 are the powers of two. Along an axis with three values or more a power is fitted to the seconds, to the \
operations and to the memory on the device; of batches only those count that reach half of the largest throughput.

What does not fit the device, or cannot be had, is left out and named: the rest goes on. A solve has no adjoint and is \
measured once, and once more in fixed point if the exact adjoint is among those asked for.

--family, --trajectories and --workgroup give the arrangement of the kernels, as far as the device allows it. --tune measures all that the device allows, in turn and several times, shows them and keeps the fastest, by adapter, driver and shape, in costate/kernels.json in the user's cache directory ($XDG_CACHE_HOME, ~/.cache). What stands there is used by later runs, whose rows say so; --no-tune ignores it. The plan's own choice stays where nothing is more than 3 % faster. A damaged file, or one of another version, is ignored with a warning.

--profile runs each measurement once more with timestamps on the device and shows what each kernel takes, for the last batch. \
--compare shows the throughput over that of an earlier bench.json, row by row.

Examples:
  costate bench --batch 64,4096 --hidden 64,64 --method blanes_moan4 \\
    --adjoint stored,exact --out bench
writes bench/bench.json and bench/throughput.svg too;
  costate bench --batch 64..1048576 --compare bench/bench.json
  costate bench --batch 1024..65536 --tune
  costate bench --batch 65536 --family lane --trajectories 2 --workgroup 128
  costate bench --batch 4096 --width 16..128 --depth 1,2,3 --steps 10..80 \\
    --state 2..16 --profile";

/// `costate adapters --help`
pub(crate) const ADAPTERS: &str = "\
List the GPUs and software adapters of this machine.

Shows name, driver, the limits that matter, what an adapter lacks if it cannot be used, and which one a run would take \
and why. Choose another with --adapter, which every subcommand has.

Example:
  costate adapters --adapter llvmpipe
says whether that name would be found.";
