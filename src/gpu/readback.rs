//! Bringing results to the host, at once or later.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};
use wgpu::{BufferDescriptor, BufferUsages, MapMode, PollType};

use super::{Arena, Gpu};
use crate::error::{Error, Result};
use crate::plan::{PORTION, Slot};

/// A readback under way; the device goes on meanwhile.
#[derive(Debug)]
pub(crate) struct Readback {
    gpu: Gpu,
    staging: wgpu::Buffer,
    mapped: OneshotReceiver<std::result::Result<(), wgpu::BufferAsyncError>>,
}

impl Readback {
    /// Starts to read `bytes` of a buffer from `offset` on.
    pub(crate) fn start(arena: &Arena, slot: Slot, offset: u64, bytes: u64) -> Result<Self> {
        let what = format!("a readback of buffer {slot:?}");
        Self::of_buffer(arena.gpu(), arena.buffer(slot)?, &what, offset, bytes)
    }

    /// The same for a buffer of no arena.
    pub(super) fn of_buffer(gpu: &Gpu, buffer: &wgpu::Buffer, what: &str, offset: u64, bytes: u64) -> Result<Self> {
        let staging = gpu.scoped(what, bytes, || {
            let staging = gpu.device().create_buffer(&BufferDescriptor {
                label: Some("readback"),
                size: bytes,
                usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encoder.copy_buffer_to_buffer(buffer, offset, &staging, 0, Some(bytes));
            gpu.queue().submit([encoder.finish()]);
            staging
        })?;
        let (sender, mapped) = oneshot_channel();
        staging.map_async(MapMode::Read, .., move |result| {
            // The receiver is gone only if nobody wants the data any more.
            let _ = sender.send(result);
        });
        Ok(Self { gpu: gpu.clone(), staging, mapped })
    }

    /// The data if they have arrived, without waiting.
    pub(crate) fn try_take<T: bytemuck::Pod>(&mut self) -> Result<Option<Vec<T>>> {
        self.gpu.check()?;
        // What the poll finds (a lost device) reaches the callbacks that `check` looks at.
        let _ = self.gpu.device().poll(PollType::Poll);
        self.gpu.check()?;
        let received = pin!(self.mapped.receive()).poll(&mut Context::from_waker(Waker::noop()));
        match received {
            Poll::Ready(result) => self.copy(result.unwrap_or(Err(wgpu::BufferAsyncError))).map(Some),
            Poll::Pending => Ok(None),
        }
    }

    /// Waits for the data.
    pub(crate) fn take<T: bytemuck::Pod>(self) -> Result<Vec<T>> {
        self.gpu.wait(None)?;
        let result = pollster::block_on(self.mapped.receive()).unwrap_or(Err(wgpu::BufferAsyncError));
        self.copy(result)
    }

    /// Waits for the data and shows them, without a copy where they lie as their type needs it.
    fn show<T: bytemuck::Pod>(self, look: impl FnOnce(&[T])) -> Result<()> {
        self.gpu.wait(None)?;
        let result = pollster::block_on(self.mapped.receive()).unwrap_or(Err(wgpu::BufferAsyncError));
        let view = self.view(result)?;
        match bytemuck::try_cast_slice(&view) {
            Ok(values) => look(values),
            Err(_) => look(&bytemuck::pod_collect_to_vec::<u8, T>(&view)),
        }
        Ok(())
    }

    fn copy<T: bytemuck::Pod>(&self, mapped: std::result::Result<(), wgpu::BufferAsyncError>) -> Result<Vec<T>> {
        Ok(bytemuck::pod_collect_to_vec(&self.view(mapped)?))
    }

    fn view(&self, mapped: std::result::Result<(), wgpu::BufferAsyncError>) -> Result<wgpu::BufferView> {
        let failed = |message: String| Error::Device { what: "a readback".into(), message };
        mapped.map_err(|e| failed(e.to_string()))?;
        self.staging.get_mapped_range(..).map_err(|e| failed(e.to_string()))
    }
}

/// Reads the first `count` values of a buffer; waits for everything submitted before.
pub(crate) fn read<T: bytemuck::Pod>(arena: &Arena, slot: Slot, count: u64) -> Result<Vec<T>> {
    let mut values = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
    read_each(arena, slot, count, |portion| values.extend_from_slice(portion))?;
    Ok(values)
}

/// The same portion by portion, so that reading a large buffer needs little memory of its own.
pub(crate) fn read_each<T: bytemuck::Pod>(
    arena: &Arena,
    slot: Slot,
    count: u64,
    mut look: impl FnMut(&[T]),
) -> Result<()> {
    let bytes = count * size_of::<T>() as u64;
    let mut offset = 0;
    while offset < bytes {
        let portion = PORTION.min(bytes - offset);
        Readback::start(arena, slot, offset, portion)?.show(&mut look)?;
        offset += portion;
    }
    Ok(())
}
