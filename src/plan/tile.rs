//! The shape of a tile: how many trajectories a workgroup owns, what lies where in its memory, how products are blocked.
//!
//! Workgroup memory holds rows of four units, a vector for each trajectory, one vector more between rows so that
//! invocations which read neighbouring rows meet different banks. Kernels that only evaluate the field keep the inputs of
//! two layers in turn; those that pull back keep the inputs of all layers and the deltas of the outputs, and deltas take
//! the place of activations on the way. An invocation owns a block of a product, 4 or 8 units of 4 trajectories, and for
//! dJ/dθ a block of up to 8 × 8 weights, always the same one.

use super::arrangement::{Family, KernelOptions};
use super::caps::Caps;
use super::kernel::{Lane, WeightFetch};
use super::limits::{Unit, limit};
use super::word;
use crate::error::{Error, Result};
use crate::model::{Activation, Mlp};

/// Units of a row.
pub(crate) const UNITS: usize = 4;
/// Trajectories of a block.
pub(crate) const BLOCK_TRAJECTORIES: usize = 4;
/// Up to so many values an invocation reads its own column of a product at once.
pub(crate) const OWN_VALUES: usize = 8;
/// Tiles that are tried, best first: a weight that is fetched serves all trajectories.
const TILES: [usize; 5] = [64, 32, 16, 8, 4];
/// Larger tiles must leave room for a second workgroup.
const LARGE: usize = 64;
/// Smaller tiles are taken only if they are asked for.
pub(super) const LEAST: u32 = 16;
/// Invocations of a workgroup: a whole subgroup of any GPU at least, and no more than every device has.
const WORKGROUP: [usize; 2] = [32, 256];
/// From this width on a block has two rows of units.
const WIDE_BLOCKS: usize = 32;
/// Sums of dJ/dθ that an invocation keeps in registers over a dispatch; the others are added to memory at each evaluation.
const REGISTERS: usize = 112;

/// How the sums over the weights of a layer are cut into blocks: rows of units on either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SumBlocks {
    /// Rows of deltas and of inputs of a block.
    pub deltas: usize,
    pub inputs: usize,
    /// Blocks along either side.
    pub delta_blocks: usize,
    pub input_blocks: usize,
    /// Blocks of an invocation, and rows of biases, if there are any.
    pub rounds: usize,
    pub bias_rounds: usize,
    /// True if the sums stay in registers.
    pub registers: bool,
}

impl SumBlocks {
    /// The cut that keeps the workgroup busy for the shortest time.
    fn new(units: usize, inputs: usize, workgroup: usize) -> Self {
        let (deltas, inputs) = (rows(units), rows(inputs));
        let cut = |d: usize, i: usize| Self {
            deltas: d,
            inputs: i,
            delta_blocks: deltas / d,
            input_blocks: inputs / i,
            rounds: (deltas / d * (inputs / i)).div_ceil(workgroup),
            bias_rounds: deltas.div_ceil(workgroup),
            registers: false,
        };
        let sides = |rows: usize| if rows.is_multiple_of(2) { 1..=2 } else { 1..=1 };
        let cuts = sides(deltas).flat_map(|d| sides(inputs).map(move |i| (d, i)));
        // Products and loads of one trajectory.
        let cost = |c: &Self| c.rounds * (c.deltas * c.inputs * UNITS * UNITS + UNITS * (c.deltas + c.inputs));
        cuts.map(|(d, i)| cut(d, i)).min_by_key(cost).unwrap_or_else(|| cut(1, 1))
    }

    /// Sums of one invocation.
    fn values(&self) -> usize {
        self.rounds * self.deltas * self.inputs * UNITS * UNITS + self.bias_rounds * UNITS
    }
}

/// Everything that shapes the text of a tile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TileShape {
    pub trajectories: usize,
    pub workgroup: usize,
    /// First row of the inputs of each layer; where the field is pulled back followed by that of the outputs' deltas.
    pub places: Vec<usize>,
    /// First row of the slopes of each hidden layer, if they are kept.
    pub slopes: Vec<Option<usize>>,
    /// Rows of the whole tile.
    pub rows: usize,
    /// The sums of each layer, if the field is pulled back.
    pub sums: Vec<SumBlocks>,
    /// Rows of units of a block, in layers that have an even number of them.
    block: usize,
}

impl TileShape {
    /// The tile of a kernel that evaluates the field and, if `pulls`, pulls cotangents back.
    pub(crate) fn new(field: &Mlp, trajectories: usize, workgroup: usize, pulls: bool) -> Self {
        let layers = field.layers();
        let hidden = layers.len() - 1;
        let (mut places, mut slopes, mut used) = (Vec::new(), Vec::new(), 0);
        let mut sums: Vec<SumBlocks> = Vec::new();
        if pulls {
            for layer in layers {
                places.push(used);
                used += rows(layer.n_in);
            }
            places.push(used);
            used += rows(field.dim());
            for layer in &layers[..hidden] {
                let keeps = !layer.activation.slope_follows();
                slopes.push(keeps.then_some(used));
                used += if keeps { rows(layer.n_out) } else { 0 };
            }
            sums.extend(layers.iter().map(|l| {
                let blocks = SumBlocks::new(l.n_out, l.n_in, workgroup);
                SumBlocks { bias_rounds: if l.has_bias { blocks.bias_rounds } else { 0 }, ..blocks }
            }));
            // The smallest first: many small ones cost most in memory.
            let mut order: Vec<usize> = (0..sums.len()).collect();
            order.sort_by_key(|&l| sums[l].values());
            let mut left = REGISTERS;
            for l in order {
                sums[l].registers = sums[l].values() <= left;
                left -= if sums[l].registers { sums[l].values() } else { 0 };
            }
        } else {
            let most = |parity: usize| layers.iter().skip(parity).step_by(2).map(|l| rows(l.n_in)).max().unwrap_or(0);
            places.extend((0..layers.len()).map(|l| l % 2 * most(0)));
            slopes = vec![None; hidden];
            used = most(0) + most(1);
        }
        let block = if field.max_width() >= WIDE_BLOCKS { 2 } else { 1 };
        Self { trajectories, workgroup, places, slopes, rows: used, sums, block }
    }

    /// The tile of a kernel that was planned before.
    pub(crate) fn of(field: &Mlp, lane: Lane, pulls: bool) -> Self {
        Self::new(field, lane.trajectories as usize, lane.workgroup as usize, pulls)
    }

    /// Vectors of a row.
    pub(crate) fn stride(&self) -> usize {
        self.trajectories + 1
    }

    /// Bytes of workgroup memory, with a word for each trajectory that tells whether it failed.
    pub(crate) fn bytes(&self) -> u64 {
        let faults = if self.sums.is_empty() { 0 } else { self.trajectories };
        ((self.rows * self.stride() * UNITS + faults) * 4) as u64
    }

    /// Rows of units of a block of a product with so many units.
    pub(crate) fn block(&self, units: usize) -> usize {
        if rows(units).is_multiple_of(2) { self.block } else { 1 }
    }

    /// Blocks of a product with so many units.
    pub(crate) fn blocks(&self, units: usize) -> usize {
        rows(units) / self.block(units) * self.trajectories / BLOCK_TRAJECTORIES
    }

    /// Blocks of an invocation.
    pub(crate) fn rounds(&self, units: usize) -> usize {
        self.blocks(units).div_ceil(self.workgroup)
    }

    /// Loop trips of one evaluation, and of one pull if there is one.
    pub(crate) fn trips(&self, field: &Mlp) -> (u64, u64) {
        let layers = field.layers();
        let hidden = layers.len() - 1;
        let (first, last) = (&layers[0], &layers[hidden]);
        let product = |units: usize, sums: usize, finish: u64| {
            let body = full(sums) + finish;
            if self.rounds(units) > 1 { looped(self.rounds(units), body) } else { body }
        };
        let own = |values: usize, sums: usize| {
            if values <= OWN_VALUES { full(sums) } else { looped(values.div_ceil(UNITS), full(sums)) }
        };
        let finish = |units: usize| looped(UNITS * self.block(units), 0);
        let there: u64 = layers[..hidden].iter().map(|l| product(l.n_out, l.n_in, finish(l.n_out))).sum();
        let evaluate = full(field.dim()) + there + own(last.n_out, last.n_in);
        if self.sums.is_empty() {
            return (evaluate, 0);
        }
        let slope = if last.activation == Activation::Identity { 0 } else { own(last.n_out, last.n_in) };
        let back: u64 = layers[1..].iter().map(|l| product(l.n_in, l.n_out, 0)).sum();
        let each = looped(self.trajectories, 0);
        let rounds = |registers: bool, rounds: usize| match rounds {
            0 => 0,
            1 => each,
            n if registers => n as u64 * each,
            n => looped(n, each),
        };
        let sums = |s: &SumBlocks| rounds(s.registers, s.rounds) + rounds(s.registers, s.bias_rounds);
        let made: u64 = self.sums.iter().map(sums).sum();
        let columns = 2 * full(field.dim()) + slope;
        (evaluate, columns + there + back + made + own(field.dim(), first.n_out))
    }
}

/// Rows of so many units; beyond one an even number, so that blocks of two cover them.
pub(crate) fn rows(units: usize) -> usize {
    match units.div_ceil(UNITS) {
        1 => 1,
        rows => rows.next_multiple_of(2),
    }
}

/// Trips of the loop over whole vectors of so many values, if there are any.
fn full(values: usize) -> u64 {
    if values < UNITS { 0 } else { looped(values / UNITS, 0) }
}

fn looped(count: usize, body: u64) -> u64 {
    count as u64 * (body + 1) + 1
}

/// The largest tile that workgroup memory holds.
///
/// # Errors
/// [`Error::LimitExceeded`] if not even the smallest does, [`Error::Invalid`] if there is none as it was asked for.
pub(super) fn choose(field: &Mlp, caps: &Caps, options: KernelOptions, pulls: bool) -> Result<Lane> {
    let asked = |given: Option<u32>, value: usize| given.is_none_or(|g| g as usize == value);
    let most = (caps.max_workgroup as usize).min(WORKGROUP[1]);
    let mut smallest = None;
    for trajectories in TILES.into_iter().filter(|t| asked(options.trajectories, *t)) {
        let blocks = TileShape::new(field, trajectories, 1, pulls).blocks(field.max_width());
        let own = blocks.next_power_of_two().clamp(WORKGROUP[0].min(most), most).max(trajectories);
        let workgroup = options.workgroup.map_or(own, |w| w as usize);
        if workgroup > caps.max_workgroup as usize || workgroup < trajectories {
            continue;
        }
        let lane = Lane {
            family: Family::Tile,
            trajectories: word(trajectories as u64, "trajectories")?,
            workgroup: word(workgroup as u64, "invocations")?,
            fetch: WeightFetch::Uniform,
        };
        let bytes = TileShape::of(field, lane, pulls).bytes();
        let crowded = trajectories >= LARGE && options.trajectories.is_none();
        if bytes * if crowded { 2 } else { 1 } <= u64::from(caps.workgroup_memory) {
            return Ok(lane);
        }
        smallest = Some((lane, bytes));
    }
    let Some((lane, bytes)) = smallest else {
        let trajectories = options.trajectories.map(|n| format!("{n} trajectories"));
        let workgroup = options.workgroup.map(|n| format!("a workgroup of {n}"));
        let given: Vec<String> = [trajectories, workgroup].into_iter().flatten().collect();
        let most = caps.max_workgroup;
        let remedy = format!("use 4 to 64 trajectories, a power of two, and no fewer invocations, but at most {most}");
        return Err(Error::invalid("tile", given.join(" in "), remedy));
    };
    let what = format!("workgroup memory for {} trajectories of a {} field", lane.trajectories, field.summary());
    let remedy = "use the lane family or narrower layers";
    limit(caps, &what, bytes, caps.workgroup_memory.into(), Unit::Bytes, remedy)?;
    Ok(lane)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u32 = 1 << 10;

    fn caps(workgroup_memory: u32) -> Caps {
        Caps { workgroup_memory, ..Caps::gpu("test") }
    }

    fn field(width: usize, depth: usize, activation: Activation) -> Mlp {
        Mlp::builder(2).hidden(&vec![width; depth], activation).build().expect("a valid field")
    }

    /// Trajectories and invocations of the tiles going back, by width and granted memory.
    #[test]
    fn tiles_follow_from_width_and_memory() {
        let tiles = |width, depth| {
            [16 * KIB, 32 * KIB, 48 * KIB].map(|memory| {
                let field = field(width, depth, Activation::Tanh);
                choose(&field, &caps(memory), KernelOptions::default(), true)
                    .map(|l| (l.trajectories, l.workgroup))
                    .ok()
            })
        };
        assert_eq!(tiles(1, 2), [Some((64, 64)); 3], "width 1");
        assert_eq!(tiles(3, 2), [Some((64, 64)); 3], "width 3");
        assert_eq!(tiles(16, 2), [Some((32, 32)), Some((64, 64)), Some((64, 64))], "width 16");
        assert_eq!(tiles(64, 2), [Some((16, 32)), Some((32, 64)), Some((32, 64))], "width 64");
        assert_eq!(tiles(100, 2), [Some((16, 64)), Some((32, 128)), Some((32, 128))], "width 100");
        assert_eq!(tiles(128, 2), [Some((8, 32)), Some((16, 64)), Some((32, 128))], "width 128");
        assert_eq!(tiles(200, 2), [Some((8, 64)), Some((16, 128)), Some((16, 128))], "width 200");
        assert_eq!(tiles(256, 2), [Some((4, 32)), Some((8, 64)), Some((16, 128))], "width 256");
        assert_eq!(tiles(256, 1), [Some((8, 64)), Some((16, 128)), Some((32, 256))], "width 256, one layer");
        assert_eq!(tiles(512, 2), [None, Some((4, 64)), Some((8, 128))], "width 512");
    }

    #[test]
    fn what_does_not_fit_names_the_limit_and_a_remedy() {
        let field = field(2048, 2, Activation::Tanh);
        let error = choose(&field, &caps(48 * KIB), KernelOptions::default(), true).expect_err("too wide for a tile");
        let text = error.to_string();
        for part in ["workgroup memory for 4 trajectories", "49152 bytes", "lane family"] {
            assert!(text.contains(part), "{part} is missing: {text}");
        }
        for (trajectories, workgroup, named) in [
            (Some(5), None, "tile: 5 trajectories; use 4 to 64"),
            (None, Some(3), "tile: a workgroup of 3; use"),
            (Some(64), Some(8), "tile: 64 trajectories in a workgroup of 8; use"),
        ] {
            let options = KernelOptions { trajectories, workgroup, ..KernelOptions::default() };
            let error = choose(&field, &caps(48 * KIB), options, true).expect_err("no tile is like this").to_string();
            assert!(error.contains(named), "{named} is missing: {error}");
        }
    }

    /// No two things share a row, and every block of sums has its owner.
    #[test]
    fn rows_and_sums_cover_the_field() {
        for activation in [Activation::Tanh, Activation::Silu] {
            for width in [1, 3, 16, 64, 100, 128, 200, 256] {
                let field = field(width, 2, activation);
                let shape = TileShape::new(&field, 16, 64, true);
                let mut ends: Vec<(usize, usize)> = Vec::new();
                for (l, place) in shape.places.iter().enumerate() {
                    let units = field.layers().get(l).map_or(field.dim(), |layer| layer.n_in);
                    ends.push((*place, place + rows(units)));
                }
                let slopes = shape.slopes.iter().zip(field.layers());
                ends.extend(slopes.filter_map(|(place, layer)| place.map(|p| (p, p + rows(layer.n_out)))));
                ends.sort_unstable();
                assert!(ends.windows(2).all(|w| w[0].1 == w[1].0), "width {width}: rows {ends:?}");
                assert_eq!(ends.last().map(|e| e.1), Some(shape.rows), "width {width}: rows of the tile");
                for (sums, layer) in shape.sums.iter().zip(field.layers()) {
                    assert_eq!(sums.deltas * sums.delta_blocks, rows(layer.n_out), "width {width}: rows of deltas");
                    assert_eq!(sums.inputs * sums.input_blocks, rows(layer.n_in), "width {width}: rows of inputs");
                    assert!(sums.rounds * 64 >= sums.delta_blocks * sums.input_blocks, "width {width}: rounds");
                }
                let kept: usize = shape.sums.iter().filter(|s| s.registers).map(SumBlocks::values).sum();
                assert!(kept <= REGISTERS, "width {width}: {kept} sums in registers");
            }
        }
        let shape = TileShape::new(&field(64, 2, Activation::Tanh), 32, 64, true);
        assert!(shape.sums.iter().all(|s| s.registers), "2-64-64-2 keeps its sums in registers: {:?}", shape.sums);
    }

    /// Going there two layers take turns.
    #[test]
    fn evaluation_alone_keeps_two_layers() {
        let shape = TileShape::new(&field(64, 3, Activation::Tanh), 32, 64, false);
        assert_eq!((shape.places.as_slice(), shape.rows), ([0, 16, 0, 16].as_slice(), 32), "rows");
    }
}
