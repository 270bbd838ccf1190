//! The buffers of a run on the device.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use wgpu::{BufferDescriptor, BufferUsages};

use super::Gpu;
use crate::error::{Error, Result};
use crate::plan::{Binding, Kernel, MemoryPlan, PORTION, Plan, Slot, SumRow, rectangles};

/// Bind groups kept before the cache is emptied: a long stored run has one per window.
const MAX_BIND_GROUPS: usize = 4096;

/// The buffers of one run, created as its [`MemoryPlan`] says, and the bind groups made of them.
#[derive(Debug)]
pub(crate) struct Arena {
    gpu: Gpu,
    buffers: HashMap<Slot, wgpu::Buffer>,
    groups: HashMap<(Arc<Kernel>, Vec<Binding>), wgpu::BindGroup>,
    /// Submissions that may still be running, oldest first.
    pub(super) in_flight: VecDeque<wgpu::SubmissionIndex>,
    /// Schedule window that the device holds now.
    pub(super) window: Option<usize>,
}

impl Arena {
    /// Creates every buffer of the plan, filled with zeros, and uploads the tables that follow from the field's shape.
    pub(crate) fn for_plan(gpu: &Gpu, plan: &Plan) -> Result<Self> {
        let arena = Self::new(gpu, &plan.memory)?;
        let (layout, field) = (&plan.shape.layout, &plan.spec.field);
        arena.upload(Slot::PackTable, &layout.pack_table(field))?;
        if plan.memory.bytes(Slot::Rectangles) > 0 {
            arena.upload(Slot::Rectangles, &rectangles(layout, field, plan.shape.arrangement.other.into()))?;
        }
        let units = plan.shape.inside.as_ref().and_then(SumRow::units);
        if let Some(units) = units.filter(|_| plan.memory.bytes(Slot::SumTable) > 0) {
            arena.upload(Slot::SumTable, &units.table(field))?;
        }
        if plan.spec.grid.is_dense() {
            arena.upload(Slot::DenseTable, &plan.dense_table())?;
        }
        Ok(arena)
    }

    fn new(gpu: &Gpu, memory: &MemoryPlan) -> Result<Self> {
        let mut arena = Self {
            gpu: gpu.clone(),
            buffers: HashMap::new(),
            groups: HashMap::new(),
            in_flight: VecDeque::new(),
            window: None,
        };
        for &(slot, bytes) in memory.entries() {
            let usage = match slot {
                Slot::Schedule => BufferUsages::UNIFORM,
                // Some kernels read them as a uniform.
                Slot::Weights => BufferUsages::STORAGE | BufferUsages::UNIFORM,
                _ => BufferUsages::STORAGE,
            } | BufferUsages::COPY_SRC
                | BufferUsages::COPY_DST;
            let label = format!("buffer {slot:?}");
            let buffer = gpu.scoped(&label, bytes, || {
                gpu.device().create_buffer(&BufferDescriptor {
                    label: Some(&label),
                    size: bytes,
                    usage,
                    mapped_at_creation: false,
                })
            })?;
            arena.buffers.insert(slot, buffer);
        }
        Ok(arena)
    }

    /// Bytes of the buffers as created.
    pub(crate) fn bytes(&self) -> u64 {
        self.buffers.values().map(wgpu::Buffer::size).sum()
    }

    /// Copies data from the host to the start of a buffer.
    pub(crate) fn upload<T: bytemuck::Pod>(&self, slot: Slot, data: &[T]) -> Result<()> {
        self.upload_at(slot, 0, data)
    }

    /// Copies `count` blocks of equally many values from the host, as many at a time as are a portion, so that few of them
    /// are there twice. `make` appends a block to those that go together.
    pub(crate) fn upload_blocks(
        &self,
        slot: Slot,
        count: usize,
        values: u64,
        mut make: impl FnMut(usize, &mut Vec<f32>),
    ) -> Result<()> {
        let bytes = (values * 4).max(1);
        let together = usize::try_from(PORTION / bytes).unwrap_or(usize::MAX).clamp(1, count.max(1));
        let mut data = Vec::with_capacity(usize::try_from(values).unwrap_or(0).saturating_mul(together));
        for first in (0..count).step_by(together) {
            if first > 0 {
                // The driver's copies are gone once they have arrived.
                self.gpu.scoped("an upload", 0, || self.gpu.queue().submit([]))?;
                self.gpu.wait(None)?;
            }
            data.clear();
            (first..count.min(first + together)).for_each(|block| make(block, &mut data));
            self.upload_at(slot, first as u64 * bytes, &data)?;
        }
        Ok(())
    }

    fn upload_at<T: bytemuck::Pod>(&self, slot: Slot, offset: u64, data: &[T]) -> Result<()> {
        let buffer = self.buffer(slot)?;
        let bytes: &[u8] = bytemuck::cast_slice(data);
        if offset + bytes.len() as u64 > buffer.size() {
            return Err(Error::Device {
                what: format!("an upload of {} bytes into buffer {slot:?} from {offset} on", bytes.len()),
                message: format!("the buffer has {} bytes", buffer.size()),
            });
        }
        self.gpu.scoped(&format!("an upload into buffer {slot:?}"), bytes.len() as u64, || {
            self.gpu.queue().write_buffer(buffer, offset, bytes);
        })
    }

    pub(crate) fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    pub(super) fn buffer(&self, slot: Slot) -> Result<&wgpu::Buffer> {
        self.buffers.get(&slot).ok_or_else(|| Error::Device {
            what: format!("buffer {slot:?}"),
            message: "the plan of this run has no such buffer".into(),
        })
    }

    /// The bind group of a kernel over these windows; made once.
    pub(super) fn bind_group(&mut self, kernel: &Arc<Kernel>, bindings: &[Binding]) -> Result<wgpu::BindGroup> {
        let key = (kernel.clone(), bindings.to_vec());
        if let Some(group) = self.groups.get(&key) {
            return Ok(group.clone());
        }
        let pipeline = self.gpu.pipeline(kernel)?;
        let mut entries = Vec::with_capacity(bindings.len());
        for (number, binding) in (0..).zip(bindings) {
            entries.push(wgpu::BindGroupEntry {
                binding: number,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: self.buffer(binding.slot)?,
                    offset: binding.offset,
                    size: binding.bytes.and_then(std::num::NonZeroU64::new),
                }),
            });
        }
        let group = self.gpu.scoped(&format!("bindings of {}", kernel.name()), 0, || {
            self.gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(kernel.name()),
                layout: &pipeline.layout,
                entries: &entries,
            })
        })?;
        if self.groups.len() >= MAX_BIND_GROUPS {
            self.groups.clear();
        }
        self.groups.insert(key, group.clone());
        Ok(group)
    }
}
