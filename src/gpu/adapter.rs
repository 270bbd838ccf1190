//! Finding adapters and choosing one.

use wgpu::{Adapter, Backends, DeviceType, Instance, InstanceDescriptor, InstanceFlags};

use crate::error::{Error, Result};
use crate::plan::schedule_bytes;

/// Which adapter to take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdapterRequest {
    /// Index in the list of [`adapters`], or a part of the name (case does not matter). `None`: the first discrete GPU,
    /// else an integrated one, else a software adapter.
    pub adapter: Option<String>,
    /// Compile shaders with bounds and loop checks: slower, for tests and for hunting driver bugs.
    pub checked: bool,
}

/// An adapter as found on this machine.
#[derive(Clone, Debug)]
pub struct AdapterSummary {
    /// Name as the driver gives it.
    pub name: String,
    /// Driver and version.
    pub driver: String,
    /// Graphics API.
    pub backend: String,
    /// `discrete GPU`, `integrated GPU`, `software` or `other`.
    pub kind: &'static str,
    /// Largest storage binding in bytes.
    pub max_binding_bytes: u64,
    /// Largest buffer in bytes.
    pub max_buffer_bytes: u64,
    /// Workgroup memory in bytes.
    pub workgroup_bytes: u32,
    /// Smallest and largest subgroup.
    pub subgroup: (u32, u32),
    /// `None` if the adapter can run the kernels, else what it lacks.
    pub lacks: Option<String>,
    /// True for the adapter that a request without a name takes.
    pub preferred: bool,
}

/// What every kernel needs from an adapter.
pub(super) const REQUIRED: wgpu::Features = wgpu::Features::IMMEDIATES;
/// What some kernels need and others do without.
pub(super) const OPTIONAL: wgpu::Features =
    wgpu::Features::SUBGROUP.union(wgpu::Features::SHADER_INT64).union(wgpu::Features::TIMESTAMP_QUERY);

/// Lists the adapters of this machine, in the order of their indices.
///
/// An empty list means that no driver was found: on Debian and Ubuntu `apt-get install mesa-vulkan-drivers` brings a
/// software adapter.
#[must_use]
pub fn adapters() -> Vec<AdapterSummary> {
    let found = enumerate(&instance());
    let preferred = preferred(&found);
    found
        .iter()
        .enumerate()
        .map(|(i, adapter)| {
            let (info, limits) = (adapter.get_info(), adapter.limits());
            AdapterSummary {
                driver: driver(&info),
                backend: info.backend.to_string(),
                kind: kind(info.device_type),
                max_binding_bytes: limits.max_storage_buffer_binding_size,
                max_buffer_bytes: limits.max_buffer_size,
                workgroup_bytes: limits.max_compute_workgroup_storage_size,
                subgroup: (info.subgroup_min_size, info.subgroup_max_size),
                lacks: lacks(adapter),
                preferred: preferred == Some(i),
                name: info.name,
            }
        })
        .collect()
}

/// Driver name and version as one string.
pub(super) fn driver(info: &wgpu::AdapterInfo) -> String {
    format!("{} {}", info.driver, info.driver_info).trim().to_owned()
}

pub(super) fn instance() -> Instance {
    let mut descriptor = InstanceDescriptor::new_without_display_handle_from_env();
    if std::env::var_os("WGPU_BACKEND").is_none() {
        descriptor.backends = Backends::VULKAN | Backends::METAL | Backends::DX12;
    }
    // No indirect dispatch is used; its validation caps buffers at 4 GiB and costs pipelines at start.
    descriptor.flags.remove(InstanceFlags::VALIDATION_INDIRECT_CALL);
    Instance::new(descriptor)
}

pub(super) fn enumerate(instance: &Instance) -> Vec<Adapter> {
    pollster::block_on(instance.enumerate_adapters(Backends::all()))
}

/// Takes the adapter that the request names.
pub(super) fn choose(instance: &Instance, request: &AdapterRequest) -> Result<Adapter> {
    let mut found = enumerate(instance);
    let names: Vec<String> = found.iter().map(|a| a.get_info().name).collect();
    let listed = if names.is_empty() {
        "none".to_owned()
    } else {
        names.iter().enumerate().map(|(i, n)| format!("[{i}] {n}")).collect::<Vec<_>>().join(", ")
    };
    let index = match &request.adapter {
        None => preferred(&found),
        Some(wanted) => match wanted.parse::<usize>() {
            Ok(index) if index < found.len() => Some(index),
            // A number beyond the list may still be a part of a name, as in "4090".
            _ => {
                let named = |i: &usize| names[*i].to_lowercase().contains(&wanted.to_lowercase());
                let usable = (0..found.len()).filter(named).find(|&i| lacks(&found[i]).is_none());
                usable.or_else(|| (0..found.len()).find(named))
            }
        },
    };
    let Some(index) = index else {
        return Err(match &request.adapter {
            Some(wanted) if !names.is_empty() => {
                Error::UnknownName { kind: "adapter", name: wanted.clone(), known: listed }
            }
            _ => Error::NoAdapter {
                reason: "no driver offers one that can run the kernels".into(),
                found: listed,
                remedy:
                    "install a Vulkan driver (Debian/Ubuntu without a GPU: apt-get install mesa-vulkan-drivers; in a \
                         container on NVIDIA: include `graphics` in NVIDIA_DRIVER_CAPABILITIES)"
                        .into(),
            },
        });
    };
    if let Some(lack) = lacks(&found[index]) {
        return Err(Error::NoAdapter {
            reason: format!("{} lacks {lack}", names[index]),
            found: listed,
            remedy: "update the driver or choose another adapter".into(),
        });
    }
    Ok(found.swap_remove(index))
}

/// Discrete before integrated before others before software; the first of the best kind.
fn preferred(found: &[Adapter]) -> Option<usize> {
    let rank = |adapter: &Adapter| match adapter.get_info().device_type {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    };
    (0..found.len()).filter(|&i| lacks(&found[i]).is_none()).min_by_key(|&i| rank(&found[i]))
}

fn kind(device: DeviceType) -> &'static str {
    match device {
        DeviceType::DiscreteGpu => "discrete GPU",
        DeviceType::IntegratedGpu => "integrated GPU",
        DeviceType::VirtualGpu => "virtual GPU",
        DeviceType::Cpu => "software",
        DeviceType::Other => "other",
    }
}

fn lacks(adapter: &Adapter) -> Option<String> {
    let limits = adapter.limits();
    if !adapter.features().contains(REQUIRED) {
        Some("immediates (push constants)".to_owned())
    } else if limits.max_immediate_size < 64 {
        Some(format!("64 bytes of immediates (it has {})", limits.max_immediate_size))
    } else if limits.max_storage_buffers_per_shader_stage < 8 {
        Some(format!("8 storage buffers per stage (it has {})", limits.max_storage_buffers_per_shader_stage))
    } else if limits.max_uniform_buffer_binding_size < schedule_bytes() {
        Some(format!("uniform buffers of {} bytes", schedule_bytes()))
    } else if limits.max_compute_invocations_per_workgroup < 64 || limits.max_compute_workgroup_size_x < 64 {
        Some("workgroups of 64 invocations".to_owned())
    } else {
        None
    }
}
