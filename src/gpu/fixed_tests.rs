//! Are the conversions between f32 and fixed point on the device exactly those of integer arithmetic?
//!
//! A probe kernel made of the shader files themselves converts edge words and random words; the oracle works in f64, where
//! every product and comparison here is exact. Blind to the walks that use them; tests/exact.rs has those.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use wgpu::{BufferUsages, ComputePipelineDescriptor, ShaderModuleDescriptor, ShaderSource};

use super::{AdapterRequest, Gpu};

const COMMON: &str = include_str!("../../shaders/common.wgsl");
const STATUS: &str = include_str!("../../shaders/status.wgsl");
const FIXED: &str = include_str!("../../shaders/fixed.wgsl");
const ONE: &str = include_str!("../../shaders/fixed_one.wgsl");
const TWO: &str = include_str!("../../shaders/fixed_two.wgsl");

/// Converts numbers to fixed point, of one or two words, and words to numbers.
const PROBE: &str = "
struct ProbeCall { count: u32, point: i32, }
var<immediate> call: ProbeCall;
@group(0) @binding(0) var<storage, read_write> state: array<u32>;
@group(0) @binding(1) var<storage, read_write> result: array<u32>;

@compute @workgroup_size(64)
fn probe(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    if (i < call.count) {
        let g = bitcast<f32>(state[NUMBERS * call.count + i]);
        let words = to_fixed(g, call.point);
        put(1u, i, call.count, words);
        result[i] = unfit(g, scaled(g, call.point));
        result[call.count + i] = bitcast<u32>(from_fixed(fetch(0u, i, call.count), call.point));
    }
}
";

/// What the probe says of each pair of an f32 and a word (two words).
struct Probed {
    /// Planes of words that the f32 were converted to.
    words: Vec<Vec<u32>>,
    trouble: Vec<u32>,
    /// The values of the words.
    values: Vec<f32>,
}

fn probe(conversions: &str, planes: usize, words: &[Vec<u32>], numbers: &[f32], fraction: i32) -> Probed {
    let gpu = Gpu::new(&AdapterRequest::default()).expect("these tests need a Vulkan adapter: run `make setup`");
    let (device, queue, count) = (gpu.device(), gpu.queue(), numbers.len());
    // Copy 0 holds the words, copy 1 gets the converted numbers, which lie behind both.
    let text = [COMMON, STATUS, FIXED, conversions, PROBE].join("\n");
    let text = format!("const NUMBERS: u32 = {}u;\n{text}", 2 * planes);
    let module =
        device.create_shader_module(ShaderModuleDescriptor { label: None, source: ShaderSource::Wgsl(text.into()) });
    let bytes = |values: usize| (4 * values) as u64;
    let buffer = |values: usize, usage| {
        let usage = usage | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes(values),
            usage,
            mapped_at_creation: false,
        })
    };
    let lengths = [(2 * planes + 1) * count, 2 * count];
    let [state, result] = lengths.map(|n| buffer(n, BufferUsages::STORAGE));
    for (plane, words) in words.iter().enumerate() {
        queue.write_buffer(&state, bytes(plane * count), bytemuck::cast_slice(words));
    }
    queue.write_buffer(&state, bytes(2 * planes * count), bytemuck::cast_slice(numbers));
    let entry = |binding| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Storage { read_only: false },
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    };
    let layout = device
        .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &[entry(0), entry(1)] });
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: None,
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 8,
    });
    let pipeline = device.create_compute_pipeline(&ComputePipelineDescriptor {
        label: None,
        layout: Some(&pipeline_layout),
        module: &module,
        entry_point: Some("probe"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    });
    let entries = [
        wgpu::BindGroupEntry { binding: 0, resource: state.as_entire_binding() },
        wgpu::BindGroupEntry { binding: 1, resource: result.as_entire_binding() },
    ];
    let group =
        device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout: &layout, entries: &entries });
    let staging = lengths.map(|n| {
        let usage = BufferUsages::MAP_READ | BufferUsages::COPY_DST;
        device.create_buffer(&wgpu::BufferDescriptor { label: None, size: bytes(n), usage, mapped_at_creation: false })
    });
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        let count = u32::try_from(count).expect("few numbers");
        pass.set_immediates(0, bytemuck::cast_slice(&[count, fraction.cast_unsigned()]));
        pass.dispatch_workgroups(count.div_ceil(64), 1, 1);
    }
    for (from, to) in [&state, &result].into_iter().zip(&staging) {
        encoder.copy_buffer_to_buffer(from, 0, to, 0, Some(to.size()));
    }
    queue.submit([encoder.finish()]);
    let [state, result] = staging.map(|buffer| {
        buffer.map_async(wgpu::MapMode::Read, .., |_| ());
        device.poll(wgpu::PollType::wait_indefinitely()).expect("the device answers");
        let view = buffer.get_mapped_range(..).expect("a mapped buffer");
        bytemuck::pod_collect_to_vec::<u8, u32>(&view)
    });
    let plane = |of: &[u32], n: usize| of[n * count..(n + 1) * count].to_vec();
    Probed {
        words: (planes..2 * planes).map(|n| plane(&state, n)).collect(),
        trouble: plane(&result, 0),
        values: plane(&result, 1).into_iter().map(f32::from_bits).collect(),
    }
}

/// f32 that matter: zeros, ties, the ends of the range, what is not finite; and words around every power of two.
fn edges() -> (Vec<f32>, Vec<u32>) {
    let mut numbers =
        vec![0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MIN_POSITIVE, f32::MAX, f32::MIN];
    let mut words = vec![0, u32::MAX];
    for bit in 0..32 {
        let power = 1_u32 << bit;
        words.extend([power, power.wrapping_sub(1), power.wrapping_add(1), power.wrapping_neg(), !power]);
        // Ties between neighbouring f32 of a word, and words next to them.
        words.extend((1..8).flat_map(|low| [power | (low << (bit / 3)), (power | low).wrapping_neg()]));
    }
    for exponent in -40..40 {
        let power = 2.0_f32.powi(exponent);
        for factor in [1.0, 1.5, 0.5, 2.5, 3.5, 1.0 - f32::EPSILON / 2.0, 1.0 + f32::EPSILON] {
            numbers.extend([power * factor, -power * factor]);
        }
    }
    (numbers, words)
}

/// As many numbers as words, edges first, then random ones: f32 of all sizes and words of all bits.
fn samples(planes: usize) -> (Vec<f32>, Vec<Vec<u32>>) {
    const COUNT: usize = 100_000;
    let (mut numbers, edges) = edges();
    let mut rng = Pcg64::seed_from_u64(1);
    while numbers.len() < COUNT {
        let exponent: f32 = rng.random_range(-45.0..12.0);
        numbers.push(rng.random_range(-1.0_f32..1.0) * exponent.exp2());
    }
    let words = (0..planes).map(|plane| {
        let mut words: Vec<u32> = edges.iter().copied().cycle().skip(7 * plane).take(4 * edges.len()).collect();
        while words.len() < COUNT {
            // All lengths of words, so that all shifts occur.
            words.push((rng.random::<u32>() >> rng.random_range(0..32)) ^ if rng.random() { 0 } else { u32::MAX });
        }
        words
    });
    (numbers, words.collect())
}

/// Two to this power, in f64.
fn power(exponent: i32) -> f64 {
    2.0_f64.powi(exponent)
}

#[test]
fn one_word_is_rounded_to_even_both_ways() {
    let (numbers, words) = samples(1);
    for fraction in [-20, 16, 26, 29, 60] {
        let probed = probe(ONE, 1, &words, &numbers, fraction);
        for (i, g) in numbers.iter().enumerate() {
            let exact = (f64::from(*g) * power(fraction)).round_ties_even();
            let fits = exact.abs() < power(31);
            #[expect(clippy::cast_possible_truncation, reason = "checked to fit")]
            let expected = if fits { exact as i32 } else { 0 };
            assert_eq!(probed.words[0][i].cast_signed(), expected, "{g:e} with {fraction} bits");
            assert_eq!(probed.trouble[i] == 0, fits, "{g:e} with {fraction} bits: the flag");
        }
        for (i, word) in words[0].iter().enumerate() {
            #[expect(clippy::cast_possible_truncation, reason = "the rounding to be tested, to even in Rust")]
            let expected = (f64::from(word.cast_signed()) / power(fraction)) as f32;
            assert_eq!(probed.values[i], expected, "word {word:#x} with {fraction} bits");
        }
    }
}

#[test]
fn two_words_keep_32_bits_more() {
    let (numbers, words) = samples(2);
    for fraction in [-20, 16, 26, 29, 60] {
        let probed = probe(TWO, 2, &words, &numbers, fraction);
        let joined =
            |words: &[Vec<u32>], i: usize| (i64::from(words[0][i].cast_signed()) << 32) | i64::from(words[1][i]);
        for (i, g) in numbers.iter().enumerate() {
            let scaled = f64::from(*g) * power(fraction);
            let fits = scaled.abs() < power(31);
            // Exact in f64 up to 2^63. Drivers may take denormals for zero, which is far below half a unit.
            #[expect(clippy::cast_possible_truncation, reason = "checked to fit")]
            let expected = if fits { (scaled * power(32)).round_ties_even() as i64 } else { 0 };
            assert_eq!(joined(&probed.words, i), expected, "{g:e} with {fraction} bits");
            assert_eq!(probed.trouble[i] == 0, fits, "{g:e} with {fraction} bits: the flag");
        }
        for i in 0..words[0].len() {
            // Each word is rounded by itself and their sum once more: one unit of the last place at most.
            let word = joined(&words, i);
            #[expect(clippy::cast_precision_loss, reason = "f64 has enough bits to see an error of f32")]
            let expected = word as f64 / power(fraction) / power(32);
            let error = (f64::from(probed.values[i]) - expected).abs();
            assert!(error <= expected.abs() * 1.3e-7, "words {word:#x} with {fraction} bits: off by {error:e}");
        }
    }
}
