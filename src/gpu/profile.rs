//! Device time by kernel: each dispatch in a pass of its own, with a timestamp at its start and its end.
//!
//! A pass of its own rather than timestamps inside of one: fewer adapters have those, and drivers may move work across
//! them. So a profiled run is a little slower than one that is not.

use serde::Serialize;
use wgpu::{
    BufferDescriptor, BufferUsages, CommandEncoderDescriptor, ComputePassDescriptor, ComputePassTimestampWrites,
    QUERY_SET_MAX_QUERIES, QuerySet, QuerySetDescriptor, QueryType,
};

use super::{Gpu, Readback};
use crate::error::Result;
use crate::plan::Work;

/// Dispatches of one set of queries, each with two of them.
const DISPATCHES: usize = QUERY_SET_MAX_QUERIES as usize / 2;
/// Bytes of a timestamp.
const TICKS: u64 = 8;

/// What a kernel took in a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KernelTime {
    /// Name of the kernel, that of its file in `shaders/`.
    pub kernel: &'static str,
    /// Launches.
    pub dispatches: usize,
    /// Device time between the start and the end of its launches.
    pub seconds: f64,
    /// As [`Report::flops`](crate::Report::flops), of this kernel.
    pub flops: u64,
    /// As [`Report::bytes_moved`](crate::Report::bytes_moved), of this kernel.
    pub bytes: u64,
}

/// Adds the times of another run; kernels stay in the order of their first launch.
pub(crate) fn add(times: &mut Vec<KernelTime>, other: &[KernelTime]) {
    for more in other {
        match times.iter_mut().find(|t| t.kernel == more.kernel) {
            Some(time) => {
                time.dispatches += more.dispatches;
                time.seconds += more.seconds;
                time.flops += more.flops;
                time.bytes += more.bytes;
            }
            None => times.push(more.clone()),
        }
    }
}

/// The timestamps of a run.
#[derive(Debug)]
pub(super) struct Profiler {
    gpu: Gpu,
    sets: Vec<QuerySet>,
    dispatches: Vec<(&'static str, Work)>,
}

impl Profiler {
    /// `None` if the adapter has no timestamps.
    pub(super) fn new(gpu: &Gpu) -> Option<Self> {
        gpu.has_timestamps().then(|| Self { gpu: gpu.clone(), sets: Vec::new(), dispatches: Vec::new() })
    }

    /// Begins the pass of a dispatch.
    pub(super) fn pass(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        kernel: &'static str,
        work: Work,
    ) -> Result<wgpu::ComputePass<'static>> {
        let place = self.dispatches.len() % DISPATCHES;
        if place == 0 {
            let device = self.gpu.device();
            let set = self.gpu.scoped("a set of timestamps", u64::from(QUERY_SET_MAX_QUERIES) * TICKS, || {
                device.create_query_set(&QuerySetDescriptor {
                    label: Some("timestamps"),
                    ty: QueryType::Timestamp,
                    count: QUERY_SET_MAX_QUERIES,
                })
            })?;
            self.sets.push(set);
        }
        self.dispatches.push((kernel, work));
        let index = u32::try_from(2 * place).ok();
        let timestamp_writes = self.sets.last().map(|query_set| ComputePassTimestampWrites {
            query_set,
            beginning_of_pass_write_index: index,
            end_of_pass_write_index: index.map(|i| i + 1),
        });
        let descriptor = ComputePassDescriptor { label: Some(kernel), timestamp_writes };
        Ok(encoder.begin_compute_pass(&descriptor).forget_lifetime())
    }

    /// Waits for the run and reads its times.
    pub(super) fn finish(self) -> Result<Vec<KernelTime>> {
        let mut ticks = Vec::with_capacity(2 * self.dispatches.len());
        for (set, dispatches) in self.sets.iter().zip(self.dispatches.chunks(DISPATCHES)) {
            ticks.extend(self.read(set, dispatches.len())?);
        }
        let period = f64::from(self.gpu.queue().get_timestamp_period()) * 1e-9;
        Ok(sums(&self.dispatches, &ticks, period))
    }

    fn read(&self, set: &QuerySet, dispatches: usize) -> Result<Vec<u64>> {
        let queries = u32::try_from(2 * dispatches).unwrap_or(QUERY_SET_MAX_QUERIES);
        let bytes = u64::from(queries) * TICKS;
        let (device, queue) = (self.gpu.device(), self.gpu.queue());
        let resolved = self.gpu.scoped("the timestamps of a run", bytes, || {
            let resolved = device.create_buffer(&BufferDescriptor {
                label: Some("timestamps"),
                size: bytes,
                usage: BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            });
            let mut encoder = device.create_command_encoder(&CommandEncoderDescriptor::default());
            encoder.resolve_query_set(set, 0..queries, &resolved, 0);
            queue.submit([encoder.finish()]);
            resolved
        })?;
        Readback::of_buffer(&self.gpu, &resolved, "a readback of timestamps", 0, bytes)?.take()
    }
}

/// Seconds by kernel. Where a launch begins before the one before it has ended, what they share counts once.
fn sums(dispatches: &[(&'static str, Work)], ticks: &[u64], period: f64) -> Vec<KernelTime> {
    let mut times: Vec<KernelTime> = Vec::new();
    let mut before = 0;
    for ((kernel, work), pair) in dispatches.iter().zip(ticks.chunks_exact(2)) {
        let seconds = pair[1].saturating_sub(pair[0].max(before)) as f64 * period;
        before = before.max(pair[1]);
        add(&mut times, &[KernelTime { kernel, dispatches: 1, seconds, flops: work.flops, bytes: work.bytes }]);
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launches_of_a_kernel_are_summed_and_overlaps_count_once() {
        let work = Work { flops: 3, bytes: 5 };
        let dispatches = [("walk", work), ("outer", work), ("walk", work), ("late", work)];
        // The third begins before the second ends; the clock of the last ran backward.
        let times = sums(&dispatches, &[100, 140, 150, 250, 200, 300, 90, 80], 1e-2);
        let found: Vec<_> = times.iter().map(|t| (t.kernel, t.dispatches, (t.seconds * 100.0).round())).collect();
        assert_eq!(found, [("walk", 2, 90.0), ("outer", 1, 100.0), ("late", 1, 0.0)]);
        assert_eq!((times[0].flops, times[0].bytes), (6, 10), "the work of both launches");
        let mut twice = times.clone();
        add(&mut twice, &times);
        assert_eq!((twice.len(), twice[1].dispatches), (3, 2), "a second run is added");
    }
}
