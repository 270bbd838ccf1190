//! The way there and back with few states kept: the actions of [`Revolve`] as commands.

use std::ops::Range;

use super::buffers::Slot;
use super::program::Program;
use super::revolve::{Action, Revolve};
use super::solve::{Observe, Plan};
use super::steps::{Chunk, chunks};
use super::track::{Track, flags};
use crate::error::Result;

impl Plan {
    /// The actions up to the first walk back through an entry, the last one; then through that entry to t1, since the loss
    /// needs the state there.
    pub(super) fn revolve_forward(&self, program: &mut Program, observe: Observe) -> Result<()> {
        for action in self.actions() {
            match action {
                Action::Reverse { entry } => {
                    let copied = self.copy_leaf(program, entry);
                    return self.forward_segment(program, &self.part(entry..entry + 1), observe, !copied);
                }
                other => self.revolve(program, other, observe)?,
            }
        }
        Ok(())
    }

    /// The other actions. Whatever the last entry needs is there from the way there.
    pub(super) fn revolve_reverse(&self, program: &mut Program) -> Result<()> {
        let mut actions = self.actions().skip_while(|a| !matches!(a, Action::Reverse { .. }));
        if let Some(Action::Reverse { entry }) = actions.next() {
            self.reverse_segment(program, &self.part(entry..entry + 1))?;
        }
        for action in actions {
            match action {
                Action::Reverse { entry } => {
                    let part = self.part(entry..entry + 1);
                    if !self.copy_leaf(program, entry) {
                        self.forward_segment(program, &part, Observe::Again, true)?;
                    }
                    self.reverse_segment(program, &part)?;
                }
                other => self.revolve(program, other, Observe::Again)?,
            }
        }
        Ok(())
    }

    /// An action that is the same there and back.
    fn revolve(&self, program: &mut Program, action: Action, observe: Observe) -> Result<()> {
        match action {
            Action::Keep { slot, .. } => self.keep(program, slot),
            Action::Restore { slot } => self.restore(program, slot),
            Action::Advance { from, to } => {
                self.forward_segment(program, &self.part(from..to), observe, false)?;
            }
            Action::Reverse { .. } => (),
        }
        Ok(())
    }

    fn actions(&self) -> Revolve {
        Revolve::new(self.track.entries, usize::try_from(self.shape.keeping.anchors).unwrap_or(usize::MAX))
    }

    /// The dispatches of a part of the track. Those of a walk back have one entry each.
    fn part(&self, entries: Range<usize>) -> Vec<Chunk> {
        chunks(&self.track, entries, self.shape.forward_steps, u64::MAX, self.shape.window_slots)
    }

    /// Copies what the walk back through an entry needs to where it looks for it: the state, or of a pair the source. False
    /// if only a walk through the entry tells: a drift changes the source first.
    fn copy_leaf(&self, program: &mut Program, entry: usize) -> bool {
        let bytes = self.shape.state_bytes();
        let from = match self.track.updates.get(entry) {
            Some(update) if update.drift != 0.0 => return false,
            // The other copy is the target.
            Some(update) if update.word & flags::SIDE == 0 => bytes,
            _ => 0,
        };
        program.copy((Slot::State, from), (Slot::Stored, 0), bytes);
        true
    }
}

/// Entries before the last one whose walk back begins with a walk through them: [`Plan::copy_leaf`] cannot copy.
pub(super) fn leaves_walked(track: &Track) -> u64 {
    track.updates.iter().rev().skip(1).filter(|u| u.drift != 0.0).count() as u64
}
