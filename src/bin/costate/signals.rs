//! SIGINT and SIGTERM: the first asks a run to end with everything written, the second ends it at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use costate::{Error, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// A signal that asked the run to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// What `kill` and queueing systems send.
    Terminate,
}

impl Signal {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }

    /// The exit code after it.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

/// Remembers the signals that arrive.
#[derive(Clone, Debug)]
pub(crate) struct Signals(Arc<AtomicUsize>);

impl Signals {
    /// From now on a signal no longer ends the process, unless one came before.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses.
    pub(crate) fn listen() -> Result<Self> {
        let (seen, again) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        for (number, signal) in [(SIGINT, Signal::Interrupt), (SIGTERM, Signal::Terminate)] {
            let code = signal.exit_code();
            // In the order in which they are called: end if this is the second, else remember the first.
            flag::register_conditional_shutdown(number, code.into(), Arc::clone(&again))
                .and_then(|_| flag::register(number, Arc::clone(&again)))
                .and_then(|_| flag::register_usize(number, Arc::clone(&seen), code.into()))
                .map_err(refused)?;
        }
        Ok(Self(seen))
    }

    /// The last signal that has arrived.
    pub(crate) fn seen(&self) -> Option<Signal> {
        let code = self.0.load(Ordering::SeqCst);
        [Signal::Interrupt, Signal::Terminate].into_iter().find(|s| usize::from(s.exit_code()) == code)
    }
}

fn refused(source: io::Error) -> Error {
    Error::Io { action: "listen to", path: "signals".into(), source }
}
