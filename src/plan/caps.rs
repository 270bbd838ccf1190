//! What the device grants, as plain numbers.

/// The kind of processor behind an adapter: it decides tile sizes and how weights are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceKind {
    /// A software rasteriser such as lavapipe.
    Cpu,
    /// A GPU of any kind.
    Gpu,
}

/// The limits a plan must respect, read off the device once.
///
/// Plain data without any type of the GPU layer, so that plans are made and tested without a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Caps {
    /// Adapter name, for messages.
    pub adapter: String,
    /// Processor kind.
    pub kind: DeviceKind,
    /// Largest window of a storage buffer that one dispatch can see, in bytes.
    pub max_binding: u64,
    /// Largest buffer, in bytes.
    pub max_buffer: u64,
    /// Largest number of workgroups along one dimension of a dispatch.
    pub max_workgroups: u32,
    /// Loop trips that one invocation may make in one dispatch. Lavapipe silently leaves all loops after 65 535 trips
    /// in total; GPUs have no such limit, there the bound keeps a dispatch short.
    pub max_trips: u64,
    /// Floating-point operations after which a submission should end, about a quarter of a second of work.
    pub submit_flops: u64,
    /// Floating-point operations of one trajectory in one dispatch: bounds the time of a dispatch however small the batch.
    pub trajectory_flops: u64,
    /// Bytes of scratch for activations and deltas in the reverse pass: about a cache on CPUs, enough rows to fill the
    /// machine on GPUs.
    pub scratch_bytes: u64,
    /// Largest window of a uniform buffer, in bytes.
    pub max_uniform: u64,
    /// Workgroup memory, in bytes.
    pub workgroup_memory: u32,
    /// Most invocations of a workgroup.
    pub max_workgroup: u32,
    /// True if shaders have integers of 64 bits.
    pub int64: bool,
    /// Subgroup width if it is the same for every pipeline and subgroup operations are there.
    pub subgroup: Option<u32>,
}

impl Caps {
    /// Defaults for a software adapter; the device layer overwrites the granted limits.
    #[must_use]
    pub fn cpu(adapter: &str) -> Self {
        Self {
            adapter: adapter.to_owned(),
            kind: DeviceKind::Cpu,
            max_binding: 128 << 20,
            max_buffer: (1 << 31) - 4,
            max_workgroups: 65_535,
            max_trips: 50_000,
            submit_flops: 4 << 30,
            trajectory_flops: 1 << 26,
            scratch_bytes: 4 << 20,
            max_uniform: 64 << 10,
            workgroup_memory: 16 << 10,
            max_workgroup: 256,
            int64: false,
            subgroup: None,
        }
    }

    /// Defaults for a GPU; the device layer overwrites the granted limits.
    #[must_use]
    pub fn gpu(adapter: &str) -> Self {
        Self {
            kind: DeviceKind::Gpu,
            max_trips: 4 << 20,
            submit_flops: 400 << 30,
            scratch_bytes: 128 << 20,
            ..Self::cpu(adapter)
        }
    }
}
