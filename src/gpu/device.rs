//! The device: limits read once, errors caught, pipelines compiled once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use wgpu::{DeviceDescriptor, ErrorFilter, MemoryHints, PollType};

use super::adapter::{self, AdapterRequest};
use super::pipeline::Pipeline;
use crate::error::{Error, Result};
use crate::plan::{Caps, DeviceKind, Kernel};

/// How long a single wait may take before it is reported as [`Error::Timeout`]: a submission is planned to take about a
/// quarter of a second, so this is a hang.
const WAIT: Duration = Duration::from_secs(600);

/// A GPU, or a software adapter, ready to run kernels. Cheap to clone: clones share the device.
#[derive(Clone, Debug)]
pub struct Gpu {
    shared: Arc<Shared>,
    caps: Arc<Caps>,
}

#[derive(Debug)]
struct Shared {
    device: wgpu::Device,
    queue: wgpu::Queue,
    driver: String,
    checked: bool,
    pipelines: Mutex<HashMap<Kernel, Arc<Pipeline>>>,
    /// Whether the second kernel repeats the bits of the first, where that was tested.
    repeats: Mutex<HashMap<(Kernel, Kernel), bool>>,
    lost: Arc<OnceLock<String>>,
    uncaptured: Arc<Mutex<Option<String>>>,
}

impl Gpu {
    /// Opens an adapter. Blocks until the device is there.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] if there is none that can run the kernels, [`Error::UnknownName`] if none has the name or index
    /// that was asked for, [`Error::Device`] if the driver refuses the device.
    pub fn new(request: &AdapterRequest) -> Result<Self> {
        let adapter = adapter::choose(&adapter::instance(), request)?;
        let info = adapter.get_info();
        // A device has exactly what is asked for: take the adapter's limits, not the defaults.
        let limits = adapter.limits();
        let optional = adapter::OPTIONAL & adapter.features();
        let (device, queue) = pollster::block_on(adapter.request_device(&DeviceDescriptor {
            label: Some("costate"),
            required_features: adapter::REQUIRED | optional,
            required_limits: limits.clone(),
            memory_hints: MemoryHints::MemoryUsage,
            ..DeviceDescriptor::default()
        }))
        .map_err(|e| Error::Device { what: format!("a device on {}", info.name), message: e.to_string() })?;
        let lost = Arc::new(OnceLock::new());
        let uncaptured = Arc::new(Mutex::new(None));
        watch(&device, &lost, &uncaptured);
        let base = match info.device_type {
            wgpu::DeviceType::Cpu => Caps::cpu(&info.name),
            _ => Caps::gpu(&info.name),
        };
        let subgroups = optional.contains(wgpu::Features::SUBGROUP);
        let uniform_subgroup = info.subgroup_min_size == info.subgroup_max_size && subgroups;
        let caps = Caps {
            max_binding: limits.max_storage_buffer_binding_size,
            max_buffer: limits.max_buffer_size,
            max_workgroups: limits.max_compute_workgroups_per_dimension,
            max_uniform: limits.max_uniform_buffer_binding_size,
            workgroup_memory: limits.max_compute_workgroup_storage_size,
            max_workgroup: limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x),
            int64: optional.contains(wgpu::Features::SHADER_INT64),
            subgroup: uniform_subgroup.then_some(info.subgroup_min_size),
            scratch_bytes: base.scratch_bytes.min(limits.max_storage_buffer_binding_size),
            ..base
        };
        tracing::info!(adapter = caps.adapter, kind = ?caps.kind, "device opened");
        let driver = adapter::driver(&info);
        let pipelines = Mutex::default();
        let checked = request.checked;
        let repeats = Mutex::default();
        let shared = Shared { device, queue, driver, checked, pipelines, repeats, lost, uncaptured };
        Ok(Self { shared: Arc::new(shared), caps: Arc::new(caps) })
    }

    /// Name of the adapter.
    #[must_use]
    pub fn adapter(&self) -> &str {
        &self.caps.adapter
    }

    /// Driver and its version.
    #[must_use]
    pub fn driver(&self) -> &str {
        &self.shared.driver
    }

    /// True for a software adapter.
    #[must_use]
    pub fn is_software(&self) -> bool {
        self.caps.kind == DeviceKind::Cpu
    }

    /// True if the adapter can tell how long kernels take: [`NeuralOdeBuilder::profile`](crate::NeuralOdeBuilder::profile).
    #[must_use]
    pub fn has_timestamps(&self) -> bool {
        // A period of zero says that there is no clock behind the feature.
        self.device().features().contains(wgpu::Features::TIMESTAMP_QUERY) && self.queue().get_timestamp_period() > 0.0
    }

    /// The limits that plans are made for.
    #[must_use]
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// The same device, planned for tighter limits: less scratch, shorter dispatches, smaller bindings. Limits beyond
    /// those of the device are left at the device's. The kind is taken as it is: kernels made for a GPU also run on a
    /// software adapter, only slowly.
    #[must_use]
    pub fn restricted(&self, limits: &Caps) -> Self {
        let own = self.caps();
        let caps = Caps {
            max_binding: limits.max_binding.min(own.max_binding),
            max_buffer: limits.max_buffer.min(own.max_buffer),
            kind: limits.kind,
            max_workgroups: limits.max_workgroups.clamp(1, own.max_workgroups),
            max_trips: limits.max_trips.min(own.max_trips),
            trajectory_flops: limits.trajectory_flops.min(own.trajectory_flops),
            submit_flops: limits.submit_flops.min(own.submit_flops),
            scratch_bytes: limits.scratch_bytes.min(own.scratch_bytes).min(limits.max_binding),
            max_uniform: limits.max_uniform.min(own.max_uniform),
            workgroup_memory: limits.workgroup_memory.min(own.workgroup_memory),
            max_workgroup: limits.max_workgroup.min(own.max_workgroup),
            int64: limits.int64 && own.int64,
            subgroup: own.subgroup.filter(|s| limits.subgroup == Some(*s)),
            ..own.clone()
        };
        Self { shared: self.shared.clone(), caps: Arc::new(caps) }
    }

    /// Gives up the device: everything after this returns [`Error::DeviceLost`].
    pub fn destroy(&self) {
        self.shared.device.destroy();
        // The callback may come only with the next wait.
        let _ = self.shared.lost.set("destroyed by the caller".to_owned());
    }

    pub(super) fn device(&self) -> &wgpu::Device {
        &self.shared.device
    }

    pub(super) fn queue(&self) -> &wgpu::Queue {
        &self.shared.queue
    }

    /// True if a kernel was compiled before.
    pub(super) fn is_compiled(&self, kernel: &Kernel) -> bool {
        self.shared.pipelines.lock().unwrap_or_else(PoisonError::into_inner).contains_key(kernel)
    }

    /// The compiled pipeline of a kernel.
    pub(super) fn pipeline(&self, kernel: &Kernel) -> Result<Arc<Pipeline>> {
        let mut pipelines = self.shared.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipeline) = pipelines.get(kernel) {
            return Ok(pipeline.clone());
        }
        let start = std::time::Instant::now();
        let pipeline = Arc::new(Pipeline::new(self, kernel, self.shared.checked)?);
        tracing::debug!(kernel = kernel.name(), seconds = start.elapsed().as_secs_f64(), "pipeline made");
        pipelines.insert(kernel.clone(), pipeline.clone());
        Ok(pipeline)
    }

    /// What a test has found about a kernel, if there was one.
    pub(crate) fn repeats(&self, kernels: &(Kernel, Kernel)) -> Option<bool> {
        self.shared.repeats.lock().unwrap_or_else(PoisonError::into_inner).get(kernels).copied()
    }

    /// Keeps what a test has found about a kernel, for all users of the device.
    pub(crate) fn set_repeats(&self, kernels: (Kernel, Kernel), found: bool) {
        self.shared.repeats.lock().unwrap_or_else(PoisonError::into_inner).insert(kernels, found);
    }

    /// Waits for everything submitted so far, or for one submission.
    pub(super) fn wait(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<()> {
        self.check()?;
        let waited = self.device().poll(PollType::Wait { submission_index: submission, timeout: Some(WAIT) });
        self.check()?;
        match waited {
            Ok(_) => Ok(()),
            Err(wgpu::PollError::Timeout) => Err(Error::Timeout { seconds: WAIT.as_secs() }),
            Err(e) => Err(Error::Device { what: "a wait".into(), message: e.to_string() }),
        }
    }

    /// An error if the device was lost, or refused something outside of any [`Self::scoped`] call.
    pub(super) fn check(&self) -> Result<()> {
        if let Some(reason) = self.shared.lost.get() {
            return Err(Error::DeviceLost { reason: reason.clone() });
        }
        match self.shared.uncaptured.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(message) => Err(Error::Device { what: "an operation".into(), message }),
            None => Ok(()),
        }
    }

    /// Runs `create`, turning what the driver refuses into an error that names `what`.
    pub(super) fn scoped<T>(&self, what: &str, bytes: u64, create: impl FnOnce() -> T) -> Result<T> {
        self.check()?;
        let scopes = [ErrorFilter::Validation, ErrorFilter::OutOfMemory, ErrorFilter::Internal]
            .map(|filter| self.device().push_error_scope(filter));
        let made = create();
        let mut failure = None;
        for scope in scopes.into_iter().rev() {
            failure = failure.or(pollster::block_on(scope.pop()));
        }
        if failure.is_some() {
            // A loss shows first as a refusal; its callback comes with a poll.
            let _ = self.device().poll(PollType::Poll);
        }
        self.check()?;
        match failure {
            None => Ok(made),
            Some(wgpu::Error::OutOfMemory { .. }) => Err(Error::OutOfMemory { what: what.to_owned(), bytes }),
            Some(e) => Err(Error::Device { what: what.to_owned(), message: e.to_string() }),
        }
    }
}

/// Device loss reaches only its callback, and an error outside of every scope would panic: both are kept for the next call.
fn watch(device: &wgpu::Device, lost: &Arc<OnceLock<String>>, uncaptured: &Arc<Mutex<Option<String>>>) {
    let lost = lost.clone();
    device.set_device_lost_callback(move |reason, message| {
        let _ = lost.set(format!("{reason:?}: {message}"));
    });
    let uncaptured = uncaptured.clone();
    device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
        tracing::error!(%error, "uncaptured device error");
        uncaptured.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error.to_string());
    }));
}
