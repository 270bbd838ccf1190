//! Running a program: a plain executor, every decision was made in the plan.

use super::Arena;
use super::compile::compile;
use super::profile::{KernelTime, Profiler};
use crate::error::Result;
use crate::plan::{Command, Dispatch, Plan, Program, Slot};

/// Submissions in flight before the host waits for the oldest.
const IN_FLIGHT: usize = 3;

/// Records commands and submits them in bounded portions.
struct Recorder<'a> {
    arena: &'a mut Arena,
    /// Declared before the encoder that it belongs to: it must end first.
    pass: Option<wgpu::ComputePass<'static>>,
    encoder: Option<wgpu::CommandEncoder>,
    flops: u64,
    profiler: Option<Profiler>,
}

/// Runs the programs of a plan one after the other. Returns when all is submitted, not when it is done.
pub(crate) fn execute(arena: &mut Arena, plan: &Plan, programs: &[&Program]) -> Result<()> {
    record(arena, plan, programs, None).map(drop)
}

/// The same, and how long each kernel took; `None` if the adapter has no timestamps. Returns when all is done.
pub(crate) fn execute_profiled(
    arena: &mut Arena,
    plan: &Plan,
    programs: &[&Program],
) -> Result<Option<Vec<KernelTime>>> {
    let profiler = Profiler::new(arena.gpu());
    record(arena, plan, programs, profiler)?.map(Profiler::finish).transpose()
}

fn record(
    arena: &mut Arena,
    plan: &Plan,
    programs: &[&Program],
    profiler: Option<Profiler>,
) -> Result<Option<Profiler>> {
    compile(arena, programs)?;
    let mut recorder = Recorder { arena, pass: None, encoder: None, flops: 0, profiler };
    for command in programs.iter().flat_map(|p| &p.commands) {
        match command {
            Command::Clear(slot) => recorder.clear(*slot)?,
            Command::Copy { from, to, bytes } => recorder.copy(*from, *to, *bytes)?,
            Command::Window(index) => recorder.window(*index, plan)?,
            Command::Dispatch(dispatch) => recorder.dispatch(dispatch, plan)?,
        }
    }
    recorder.submit()?;
    Ok(recorder.profiler.take())
}

impl Recorder<'_> {
    /// The encoder, for commands between compute passes.
    fn encoder(&mut self) -> &mut wgpu::CommandEncoder {
        self.pass = None;
        let device = self.arena.gpu().device();
        self.encoder.get_or_insert_with(|| device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default()))
    }

    fn clear(&mut self, slot: Slot) -> Result<()> {
        let buffer = self.arena.buffer(slot)?.clone();
        self.encoder().clear_buffer(&buffer, 0, None);
        Ok(())
    }

    fn copy(&mut self, from: (Slot, u64), to: (Slot, u64), bytes: u64) -> Result<()> {
        let (source, target) = (self.arena.buffer(from.0)?.clone(), self.arena.buffer(to.0)?.clone());
        self.encoder().copy_buffer_to_buffer(&source, from.1, &target, to.1, Some(bytes));
        Ok(())
    }

    /// Writes to a buffer take effect before the next submission, so what uses the old window is submitted first.
    fn window(&mut self, index: usize, plan: &Plan) -> Result<()> {
        if self.arena.window == Some(index) {
            return Ok(());
        }
        self.submit()?;
        self.arena.upload(Slot::Schedule, &plan.window(index)?)?;
        self.arena.window = Some(index);
        Ok(())
    }

    fn dispatch(&mut self, dispatch: &Dispatch, plan: &Plan) -> Result<()> {
        let pipeline = self.arena.gpu().pipeline(&dispatch.kernel)?;
        let group = self.arena.bind_group(&dispatch.kernel, &dispatch.bindings)?;
        if let Some(mut profiler) = self.profiler.take() {
            let pass = profiler.pass(self.encoder(), dispatch.kernel.name(), plan.dispatch_work(dispatch));
            self.profiler = Some(profiler);
            self.pass = Some(pass?);
        } else if self.pass.is_none() {
            let pass = self.encoder().begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            self.pass = Some(pass.forget_lifetime());
        }
        let Some(pass) = self.pass.as_mut() else { return Ok(()) };
        pass.set_pipeline(&pipeline.pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.set_immediates(0, bytemuck::cast_slice(&dispatch.call));
        pass.dispatch_workgroups(dispatch.groups[0], dispatch.groups[1], 1);
        self.flops += dispatch.flops;
        if self.flops >= self.arena.gpu().caps().submit_flops {
            self.submit()?;
        }
        Ok(())
    }

    fn submit(&mut self) -> Result<()> {
        self.flops = 0;
        self.pass = None;
        let Some(encoder) = self.encoder.take() else { return Ok(()) };
        let gpu = self.arena.gpu().clone();
        let index = gpu.scoped("a submission", 0, || gpu.queue().submit([encoder.finish()]))?;
        self.arena.in_flight.push_back(index);
        if self.arena.in_flight.len() >= IN_FLIGHT {
            gpu.wait(self.arena.in_flight.pop_front())?;
        }
        Ok(())
    }
}
