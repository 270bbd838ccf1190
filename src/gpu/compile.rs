//! Compiling the kernels of a run before anything of it is recorded, and saying so where it takes long.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::{Arena, Gpu};
use crate::error::Result;
use crate::plan::{Command, Dispatch, Kernel, Program};

/// Compiling that takes longer is told.
const LONG: Duration = Duration::from_secs(2);
/// The same of a kernel, once all of them together have taken that long.
const NOTABLE: Duration = Duration::from_secs(1);

/// Compiles those kernels of the programs that are not compiled yet.
///
/// Lavapipe compiles a kernel when it is launched first, on a thread of its own, so a launch of no workgroups is waited for.
pub(super) fn compile(arena: &mut Arena, programs: &[&Program]) -> Result<()> {
    let gpu = arena.gpu().clone();
    let mut fresh: Vec<&Dispatch> = Vec::new();
    for command in programs.iter().flat_map(|p| &p.commands) {
        let Command::Dispatch(dispatch) = command else { continue };
        let seen = |kernel: &Arc<Kernel>| Arc::ptr_eq(kernel, &dispatch.kernel) || *kernel == dispatch.kernel;
        if !fresh.iter().any(|f| seen(&f.kernel)) {
            fresh.push(dispatch);
        }
    }
    fresh.retain(|dispatch| !gpu.is_compiled(&dispatch.kernel));
    let start = Instant::now();
    for (number, dispatch) in fresh.iter().enumerate() {
        let what = || {
            let of = dispatch.kernel.field().map_or(String::new(), |field| format!(" of a {} field", field.summary()));
            let place = format!("{} of {}", number + 1, fresh.len());
            format!("compiling kernel {}, {place}{of}; drivers keep what they have compiled", dispatch.kernel.name())
        };
        told(start, what, || {
            gpu.pipeline(&dispatch.kernel)?;
            if gpu.is_software() { launch_nothing(&gpu, arena, dispatch) } else { Ok(()) }
        })?;
    }
    if !fresh.is_empty() {
        tracing::debug!(kernels = fresh.len(), seconds = start.elapsed().as_secs_f64(), "kernels compiled");
    }
    Ok(())
}

fn launch_nothing(gpu: &Gpu, arena: &mut Arena, dispatch: &Dispatch) -> Result<()> {
    let pipeline = gpu.pipeline(&dispatch.kernel)?;
    let group = arena.bind_group(&dispatch.kernel, &dispatch.bindings)?;
    let index = gpu.scoped("a launch of no workgroups", 0, || {
        let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline.pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.set_immediates(0, bytemuck::cast_slice(&dispatch.call));
        pass.dispatch_workgroups(0, 1, 1);
        drop(pass);
        gpu.queue().submit([encoder.finish()])
    })?;
    gpu.wait(Some(index))
}

/// Does the work; if it is not done when compiling since `start` has taken long, a message says what is done.
fn told<T>(start: Instant, what: impl Fn() -> String, work: impl FnOnce() -> T) -> T {
    let limit = LONG.saturating_sub(start.elapsed()).max(NOTABLE);
    let (done, waiting) = channel::<()>();
    let (what, log) = (what(), tracing::dispatcher::get_default(Clone::clone));
    std::thread::scope(|scope| {
        // Without a thread to spare there is no message.
        let _ = std::thread::Builder::new().spawn_scoped(scope, move || {
            if waiting.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                tracing::dispatcher::with_default(&log, || tracing::info!("{what}"));
            }
        });
        let made = work();
        drop(done);
        made
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts events at level info.
    struct Counter(Arc<AtomicUsize>, Arc<Mutex<String>>);

    impl tracing::field::Visit for &Counter {
        fn record_debug(&mut self, _: &tracing::field::Field, value: &dyn std::fmt::Debug) {
            self.1.lock().expect("no panic while it is held").push_str(&format!("{value:?}"));
        }
    }

    impl tracing::Subscriber for Counter {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }
        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn event(&self, event: &tracing::Event<'_>) {
            self.0.fetch_add(1, Ordering::SeqCst);
            event.record(&mut &*self);
        }
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }

    /// What is under way when the time is up is told once, by the subscriber of the caller; what is done sooner is not.
    #[test]
    fn only_what_takes_long_is_told() {
        let (count, text) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(String::new())));
        let counter = Counter(count.clone(), text.clone());
        let past = Instant::now().checked_sub(LONG).expect("a machine that has run for two seconds");
        tracing::subscriber::with_default(counter, || {
            assert_eq!(told(Instant::now(), || "quick".into(), || 7), 7, "the result");
            let slow = || {
                // Until the message is there, however long that takes.
                while count.load(Ordering::SeqCst) == 0 {
                    std::thread::sleep(Duration::from_millis(5));
                }
            };
            told(past, || "slow".into(), slow);
        });
        assert_eq!(count.load(Ordering::SeqCst), 1, "one message");
        assert_eq!(*text.lock().expect("no panic while it is held"), "slow", "its text");
    }
}
