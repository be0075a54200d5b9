//! What callers need of whatever runs cells: a sandboxed [`Session`], or a Jupyter kernel of the user's own.

use crate::{
    Cell, CellError, Files, Interrupter, OnEvent, Protection, Restored, SandboxError, Session, Toolbox, Usage,
};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// Runs cells that share their variables.
pub trait Interpreter: Send {
    /// Run `code` as one cell, handing what it shows to `on_event` while it runs. Variables of earlier cells are there.
    ///
    /// # Errors
    /// When the cell cannot be run at all. Whatever the code does is a [`Cell`].
    fn run(&mut self, code: &str, on_event: &mut OnEvent<'_>) -> Result<Cell, SandboxError>;

    /// Compile `code` without running it: the error if it is no Python. `None` also where nobody can tell.
    ///
    /// # Errors
    /// When there is no interpreter that could be asked.
    fn check(&mut self, _code: &str) -> Result<Option<CellError>, SandboxError> {
        Ok(None)
    }

    /// A handle that stops the running cell from another thread.
    fn interrupter(&self) -> Interrupter;

    /// What stands between cells and this machine.
    fn protection(&self) -> &Protection;

    /// Cells that had their effect.
    fn cells(&self) -> usize;

    /// Take the last `count` cells back.
    ///
    /// # Errors
    /// When there are fewer, when no interpreter started, or when this backend cannot.
    fn undo(&mut self, count: usize) -> Result<Restored, SandboxError>;

    /// A second interpreter that goes on from the point before cell `at` ([`Interpreter::cells`]: now). With
    /// `journal_folder` it is recorded there.
    ///
    /// # Errors
    /// When there is no such cell, when no interpreter started, or when this backend cannot.
    fn branch(
        &mut self,
        at: usize,
        journal_folder: Option<&Path>,
    ) -> Result<(Box<dyn Interpreter>, Restored), SandboxError>;

    /// The workspace, for files in and out; `None` where it cannot be reached.
    fn files(&self) -> Option<Arc<Files>>;

    /// Put a file of at most `bytes_max` bytes into the workspace, and remember that where cells are recorded. Returns
    /// its size.
    ///
    /// # Errors
    /// When the path or the content is refused, or when this backend cannot.
    fn upload(&mut self, path: &str, content: &mut dyn Read, bytes_max: u64) -> Result<u64, SandboxError>;

    /// Remove what is at `path` in the workspace, and remember that where cells are recorded.
    ///
    /// # Errors
    /// When there is nothing, or when this backend cannot.
    fn remove(&mut self, path: &str) -> Result<(), SandboxError>;

    /// Let the files in the workspace be those of this interpreter: where branches share one, they are those of the one
    /// that ran last. Until another one runs.
    ///
    /// # Errors
    /// When its processes are gone.
    fn attend(&mut self) -> Result<(), SandboxError> {
        Ok(())
    }

    /// Let `toolbox` make the calls of cells from now on, where there can be such. It has the tools that the interpreter
    /// was started with.
    fn set_toolbox(&mut self, _toolbox: Arc<dyn Toolbox>) {}

    /// What it uses, where that is known.
    fn usage(&self) -> Option<Usage> {
        None
    }
}

impl Interpreter for Session {
    fn run(&mut self, code: &str, on_event: &mut OnEvent<'_>) -> Result<Cell, SandboxError> {
        Session::run(self, code, on_event)
    }

    fn check(&mut self, code: &str) -> Result<Option<CellError>, SandboxError> {
        Session::check(self, code)
    }

    fn interrupter(&self) -> Interrupter {
        Session::interrupter(self)
    }

    fn protection(&self) -> &Protection {
        Session::protection(self)
    }

    fn cells(&self) -> usize {
        Session::cells(self)
    }

    fn undo(&mut self, count: usize) -> Result<Restored, SandboxError> {
        Session::undo(self, count)
    }

    fn branch(
        &mut self,
        at: usize,
        journal_folder: Option<&Path>,
    ) -> Result<(Box<dyn Interpreter>, Restored), SandboxError> {
        let (branch, restored) = match journal_folder {
            Some(folder) => self.branch_recorded(at, folder)?,
            None => Session::branch(self, at)?,
        };
        Ok((Box::new(branch), restored))
    }

    fn files(&self) -> Option<Arc<Files>> {
        Some(Session::files(self))
    }

    fn upload(&mut self, path: &str, content: &mut dyn Read, bytes_max: u64) -> Result<u64, SandboxError> {
        Session::upload(self, path, content, bytes_max)
    }

    fn remove(&mut self, path: &str) -> Result<(), SandboxError> {
        Session::remove(self, path)
    }

    fn attend(&mut self) -> Result<(), SandboxError> {
        Session::attend(self)
    }

    fn set_toolbox(&mut self, toolbox: Arc<dyn Toolbox>) {
        Session::set_toolbox(self, toolbox);
    }

    fn usage(&self) -> Option<Usage> {
        Some(Session::usage(self))
    }
}
