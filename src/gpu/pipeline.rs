//! From composed WGSL to a compute pipeline.

use wgpu::{
    BindGroupLayoutDescriptor, BindGroupLayoutEntry, BindingType, BufferBindingType, ComputePipelineDescriptor,
    PipelineCompilationOptions, PipelineLayoutDescriptor, ShaderModule, ShaderModuleDescriptor, ShaderRuntimeChecks,
    ShaderSource, ShaderStages,
};

use super::Gpu;
use crate::error::Result;
use crate::kernels::{Access, Source, source};
use crate::plan::{CALL_BYTES, Kernel};

/// A compiled kernel and the layout of its bindings.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

impl Pipeline {
    pub(super) fn new(gpu: &Gpu, kernel: &Kernel, checked: bool) -> Result<Self> {
        let source = source(kernel);
        let what = format!("kernel {}", source.name);
        gpu.scoped(&what, 0, || {
            let device = gpu.device();
            let module = module(device, &source, checked);
            let entries: Vec<BindGroupLayoutEntry> =
                (0..).zip(&source.bindings).map(|(binding, access)| entry(binding, *access)).collect();
            let layout = device
                .create_bind_group_layout(&BindGroupLayoutDescriptor { label: Some(source.name), entries: &entries });
            let pipeline_layout = device.create_pipeline_layout(&PipelineLayoutDescriptor {
                label: Some(source.name),
                bind_group_layouts: &[Some(&layout)],
                immediate_size: CALL_BYTES,
            });
            let pipeline = device.create_compute_pipeline(&ComputePipelineDescriptor {
                label: Some(source.name),
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some(source.name),
                compilation_options: PipelineCompilationOptions {
                    zero_initialize_workgroup_memory: false,
                    ..PipelineCompilationOptions::default()
                },
                cache: None,
            });
            Self { pipeline, layout }
        })
    }
}

/// Compiles the crate's own text without naga's index clamps and loop bounds, which cost much in inner loops.
fn module(device: &wgpu::Device, source: &Source, checked: bool) -> ShaderModule {
    let descriptor =
        ShaderModuleDescriptor { label: Some(source.name), source: ShaderSource::Wgsl(source.text.as_str().into()) };
    if checked {
        return device.create_shader_module(descriptor);
    }
    // SAFETY: only text composed in src/kernels comes here, never text of a user. Its invariants, which the plan keeps
    // and tests/kernels.rs compares against the checked build: every loop has a bound that is a constant or a number of
    // the dispatch, every index is below the length of what it indexes (buffers are padded to whole workgroups,
    // element kernels guard their index), integer divisors are not zero, and workgroup memory, which only tiles have, is
    // read between two barriers after it was written, at places within the rows that the plan has counted.
    unsafe { device.create_shader_module_trusted(descriptor, ShaderRuntimeChecks::unchecked()) }
}

fn entry(binding: u32, access: Access) -> BindGroupLayoutEntry {
    let ty = match access {
        Access::Uniform => BufferBindingType::Uniform,
        Access::Read => BufferBindingType::Storage { read_only: true },
        Access::ReadWrite => BufferBindingType::Storage { read_only: false },
    };
    BindGroupLayoutEntry {
        binding,
        visibility: ShaderStages::COMPUTE,
        ty: BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    }
}
