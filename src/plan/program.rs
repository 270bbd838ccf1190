//! A run as data: the list of commands that the device executes.

use std::sync::Arc;

use super::{Kernel, Slot};

/// Bytes of the per-dispatch numbers that a kernel gets ("immediates").
pub(crate) const CALL_BYTES: u32 = 64;
/// The same in words.
pub(crate) const CALL_WORDS: usize = CALL_BYTES as usize / 4;

/// A window of a buffer as one dispatch sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Binding {
    pub slot: Slot,
    pub offset: u64,
    /// `None` for everything from `offset` on.
    pub bytes: Option<u64>,
}

impl From<Slot> for Binding {
    fn from(slot: Slot) -> Self {
        Self { slot, offset: 0, bytes: None }
    }
}

/// One kernel launch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dispatch {
    /// Shared: a long run has thousands of dispatches of a few kernels.
    pub kernel: Arc<Kernel>,
    /// In the order of the kernel's binding numbers.
    pub bindings: Vec<Binding>,
    pub groups: [u32; 2],
    pub call: [u32; CALL_WORDS],
    /// Estimated work, to decide where a submission ends.
    pub flops: u64,
}

impl Dispatch {
    /// Steps of a dispatch whose numbers are a `StepCall`.
    pub(crate) fn steps(&self) -> u32 {
        self.call[1]
    }
}

/// One thing for the device to do; commands run in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command {
    /// Fill a buffer with zeros.
    Clear(Slot),
    /// Copy `bytes` from one buffer, from an offset on, into another at an offset.
    Copy {
        from: (Slot, u64),
        to: (Slot, u64),
        bytes: u64,
    },
    /// Make the steps of window `index` the ones that kernels see.
    Window(usize),
    Dispatch(Dispatch),
}

/// Commands in the order in which the device runs them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Program {
    pub commands: Vec<Command>,
}

impl Program {
    pub(crate) fn clear(&mut self, slot: Slot) {
        self.commands.push(Command::Clear(slot));
    }

    pub(crate) fn copy(&mut self, from: (Slot, u64), to: (Slot, u64), bytes: u64) {
        self.commands.push(Command::Copy { from, to, bytes });
    }

    pub(crate) fn dispatch(
        &mut self,
        kernel: impl Into<Arc<Kernel>>,
        mut bindings: Vec<Binding>,
        groups: [u32; 2],
        call: &impl bytemuck::Pod,
        flops: u64,
    ) {
        let kernel = kernel.into();
        if kernel.spills() {
            bindings.push(Slot::Spilled.into());
        }
        let mut words = [0; CALL_WORDS];
        let bytes = bytemuck::bytes_of(call);
        bytemuck::cast_slice_mut::<u32, u8>(&mut words)[..bytes.len()].copy_from_slice(bytes);
        self.commands.push(Command::Dispatch(Dispatch { kernel, bindings, groups, call: words, flops }));
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.commands.extend(other.commands);
    }

    /// Number of kernel launches.
    pub(crate) fn dispatches(&self) -> usize {
        self.commands.iter().filter(|c| matches!(c, Command::Dispatch(_))).count()
    }
}
