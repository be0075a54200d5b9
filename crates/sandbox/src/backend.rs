//! What callers need of whatever runs cells: a sandboxed [`Session`], or a Jupyter kernel of the user's own.

use crate::{Cell, Interrupter, OnEvent, Protection, SandboxError, Session};

/// Runs cells that share their variables.
pub trait Interpreter: Send {
    /// Run `code` as one cell, handing what it shows to `on_event` while it runs. Variables of earlier cells are there.
    ///
    /// # Errors
    /// When the cell cannot be run at all. Whatever the code does is a [`Cell`].
    fn run(&mut self, code: &str, on_event: &mut OnEvent<'_>) -> Result<Cell, SandboxError>;

    /// A handle that stops the running cell from another thread.
    fn interrupter(&self) -> Interrupter;

    /// What stands between cells and this machine.
    fn protection(&self) -> &Protection;
}

impl Interpreter for Session {
    fn run(&mut self, code: &str, on_event: &mut OnEvent<'_>) -> Result<Cell, SandboxError> {
        Session::run(self, code, on_event)
    }

    fn interrupter(&self) -> Interrupter {
        Session::interrupter(self)
    }

    fn protection(&self) -> &Protection {
        Session::protection(self)
    }
}
