//! The one error type: every variant names what was wrong, where, the limit and the remedy.

use std::borrow::Cow;
use std::path::PathBuf;

/// Everything that can go wrong in a call of this crate.
///
/// A message reads "what, the value, the limit; the remedy". Nothing in the library panics on bad input;
/// a numerical failure of single trajectories is not an error but a value
/// ([`TrajectoryStatus`](crate::TrajectoryStatus)).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A description (field, grid, configuration, data) contains something that makes no sense.
    #[error("invalid {}: {}; {}", line(what), line(problem), line(remedy))]
    Invalid {
        /// The item that was described, for instance `hidden width 2`.
        what: String,
        /// What is wrong with it, with the value.
        problem: String,
        /// What would be accepted.
        remedy: String,
    },

    /// An array does not have the shape that the problem asks for.
    #[error("{} has shape {}, expected {}; {}", line(what), line(found), line(expected), line(remedy))]
    Shape {
        /// The array, by the name of the argument or file.
        what: String,
        /// The shape it has.
        found: String,
        /// The shape it must have.
        expected: String,
        /// How to mend it.
        remedy: String,
    },

    /// A name that is not in the list of known names.
    #[error("unknown {kind} '{}'; known: {}", line(name), line(known))]
    UnknownName {
        /// What kind of thing was named.
        kind: &'static str,
        /// The name that was given.
        name: String,
        /// The names that would be accepted.
        known: String,
    },

    /// Data hold a NaN or an infinity.
    #[error(
        "{} holds {value} at index {}; remove or replace non-finite values before the run",
        line(what),
        line(index)
    )]
    NonFiniteData {
        /// The array, by the name of the argument or file.
        what: String,
        /// The first bad value.
        value: f64,
        /// Its position, as `[i, j, …]`.
        index: String,
    },

    /// A limit of the device or of a kernel family is exceeded; found before anything was allocated.
    #[error("{what} needs {needed}, the limit of {adapter} is {limit}; {remedy}")]
    LimitExceeded {
        /// What exceeds the limit.
        what: String,
        /// The amount that is needed, with its unit.
        needed: String,
        /// The amount that is allowed, with its unit.
        limit: String,
        /// The adapter whose limit it is.
        adapter: String,
        /// What to change.
        remedy: String,
    },

    /// A run needs more device memory than it was allowed; found before anything was allocated.
    #[error("{what} needs {needed} bytes at least, the memory budget is {budget} bytes; {remedy}")]
    BudgetExceeded {
        /// What was to be done, in the way that needs the fewest bytes.
        what: String,
        /// Bytes of all its buffers on the device.
        needed: u64,
        /// Bytes that were allowed.
        budget: u64,
        /// What to change.
        remedy: String,
    },

    /// A call needs more memory on the host than is left; found before any of it was allocated.
    #[error("{what} needs {needed} bytes of host memory, but {available} are left by {limit}; {remedy}")]
    HostMemory {
        /// What was to be done.
        what: String,
        /// Bytes that it takes at its peak.
        needed: u64,
        /// Bytes that could be had.
        available: u64,
        /// The tightest limit.
        limit: String,
        /// What to change.
        remedy: String,
    },

    /// No adapter fits the request.
    #[error("no usable GPU adapter: {reason}; found: {found}; {remedy}")]
    NoAdapter {
        /// Why none was taken.
        reason: String,
        /// The adapters that were found.
        found: String,
        /// What to install or change.
        remedy: String,
    },

    /// The driver refused something: a buffer, a shader, a pipeline, a submission.
    #[error("the device refused {what}: {message}")]
    Device {
        /// The resource or operation, by its label.
        what: String,
        /// The driver's or wgpu's own words.
        message: String,
    },

    /// The device ran out of memory while a resource was created.
    #[error(
        "out of device memory while creating {what} ({bytes} bytes); use a smaller batch or fewer save times, or give a memory budget"
    )]
    OutOfMemory {
        /// The resource, by its label.
        what: String,
        /// The bytes that were asked for.
        bytes: u64,
    },

    /// The device went away; every result since the last successful call is gone.
    #[error(
        "the device was lost ({reason}); create a new `Gpu` and start again from the last parameters that were read back"
    )]
    DeviceLost {
        /// The driver's reason.
        reason: String,
    },

    /// The device did not answer in time.
    #[error(
        "the device did not finish within {seconds} s; the driver may hang: restart, or use fewer steps or a smaller batch"
    )]
    Timeout {
        /// How long was waited.
        seconds: u64,
    },

    /// A loss or gradient came out non-finite, or no trajectory was left to make it from.
    #[error(
        "{what} is not finite: {detail}; use a smaller step, smaller weights, a lower learning rate, or the stored adjoint if it failed on the way back"
    )]
    NonFinite {
        /// The quantity.
        what: String,
        /// Where it happened.
        detail: String,
    },

    /// No trajectory of a batch is left.
    #[error("none of {batch} trajectories is left for a gradient; trajectory 0: {first}")]
    NoneLeft {
        /// Trajectories of the batch.
        batch: usize,
        /// What became of the first, and what to do about it.
        first: String,
    },

    /// The resolution of fixed point, with the binary point that was given, is not small against a component.
    #[error(
        "fixed point of one word{} does not hold a component of trajectory {trajectory} (nor of {others} others) to a millionth, from its first value to its largest; {}use two words (state_words = 2), smaller times, or the stored adjoint",
        fraction_bits.map_or(String::new(), |b| format!(" with {b} fraction bits")),
        fraction_bits.map_or("", |_| "leave fraction bits out, so that every component has its own, ")
    )]
    Coarse {
        /// The first trajectory, by its place in the batch.
        trajectory: usize,
        /// Number of other trajectories.
        others: usize,
        /// The bits that were given.
        fraction_bits: Option<u32>,
    },

    /// The reverse pass did not come back to the bits that it started from: the driver does not repeat its own results.
    #[error(
        "after the reverse pass {words} words of the state differ from the initial ones, so the gradient is not exact and was thrown away; use the checkpointed adjoint on {adapter}, and report this driver"
    )]
    NotReversed {
        /// Words that differ.
        words: u64,
        /// The adapter.
        adapter: String,
    },

    /// The reconstruction is off by more than the tolerance, and the caller asked for an error then.
    #[error("the reconstructed x(t0) is off by {drift:e} of its size, more than the tolerance {tolerance:e}; {remedy}")]
    Drift {
        /// Largest |x̂(t0) − x(t0)|, relative to what the component has met.
        drift: f32,
        /// The tolerance.
        tolerance: f32,
        /// What to change.
        remedy: String,
    },

    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", escaped(&path.display().to_string()))]
    Io {
        /// `read`, `write`, `create`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },

    /// A file was read but does not hold what it should.
    #[error(
        "{} is not a usable {format} file: {}; {}",
        escaped(&path.display().to_string()),
        line(problem),
        line(remedy)
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// The format that was expected.
        format: &'static str,
        /// What is wrong.
        problem: String,
        /// How to mend it.
        remedy: String,
    },
}

impl Error {
    /// Shorthand for [`Error::Invalid`].
    pub(crate) fn invalid(what: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Invalid { what: what.into(), problem: problem.into(), remedy: remedy.into() }
    }

    /// Shorthand for [`Error::Shape`].
    pub(crate) fn shape(
        what: impl Into<String>,
        found: &[usize],
        expected: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Shape { what: what.into(), found: format!("{found:?}"), expected: expected.into(), remedy: remedy.into() }
    }

    /// True for mistakes of the caller (bad usage or input), false for failed runs.
    ///
    /// The command line turns this into exit code 2 or 1.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Io { action, .. } => *action == "read",
            Self::Invalid { .. }
            | Self::Shape { .. }
            | Self::UnknownName { .. }
            | Self::NonFiniteData { .. }
            | Self::LimitExceeded { .. }
            | Self::BudgetExceeded { .. }
            | Self::HostMemory { .. }
            | Self::Format { .. } => true,
            Self::NoAdapter { .. }
            | Self::Device { .. }
            | Self::OutOfMemory { .. }
            | Self::DeviceLost { .. }
            | Self::Timeout { .. }
            | Self::Coarse { .. }
            | Self::NoneLeft { .. }
            | Self::NotReversed { .. }
            | Self::Drift { .. }
            | Self::NonFinite { .. } => false,
        }
    }
}

/// Most characters of one part of a message.
const LONGEST: usize = 800;

/// Text that may come from a file, such that a message stays one line that can be read: control characters are escaped,
/// which a terminal would obey, and the middle of a very long text is left out.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    let count = text.chars().count();
    if count <= LONGEST {
        return escaped(text);
    }
    let kept = LONGEST / 2;
    let part = |skip: usize| escaped(&text.chars().skip(skip).take(kept).collect::<String>()).into_owned();
    Cow::Owned(format!("{} … ({} characters) … {}", part(0), count - 2 * kept, part(count - kept)))
}

/// The same at full length.
fn escaped(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let escape = |mut all: String, c: char| {
        if obeyed(c) {
            all.extend(c.escape_default());
        } else {
            all.push(c);
        }
        all
    };
    Cow::Owned(text.chars().fold(String::with_capacity(text.len()), escape))
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_whatever_a_file_holds() {
        let error = Error::invalid("cell 'a\nb'", "\u{1b}[2J\0 é\u{2028}", "no \"quotes\" or \\ are touched");
        let expected = r#"invalid cell 'a\nb': \u{1b}[2J\u{0} é\u{2028}; no "quotes" or \ are touched"#;
        assert_eq!(error.to_string(), expected);
        let error = Error::invalid("cell", format!("begin{}end", "é".repeat(1_000_000)), "shorten it").to_string();
        assert!(error.chars().count() < 900, "{} characters", error.chars().count());
        assert!(error.contains("begin") && error.ends_with("end; shorten it"), "{error}");
        assert!(error.contains("(999208 characters)"), "{error}");
        let path = PathBuf::from("a\nb.npy");
        let source = std::io::Error::from(std::io::ErrorKind::NotFound);
        let error = Error::Io { action: "read", path, source }.to_string();
        assert!(error.starts_with(r"cannot read a\nb.npy: "), "{error}");
    }
}
