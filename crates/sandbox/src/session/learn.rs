//! Skills: a function is kept for later sessions only after its tests have passed where nothing else is defined.

use super::Session;
use crate::skills::{Added, Candidate, SkillError, SkillStore, Verdict};
use crate::{CellEnd, Policy, SandboxError};

/// Characters of a failure that are told.
const REASON_CHARS_MAX: usize = 2000;

impl Session {
    /// Run `candidate` and its tests in a fresh session under `policy`, and store it if they pass.
    ///
    /// # Errors
    /// When the candidate breaks a rule of the store, no session starts, or the disk fails. Tests that fail are no
    /// error.
    pub fn learn(
        policy: &Policy,
        store: &SkillStore,
        candidate: &Candidate,
    ) -> Result<Added, SkillError<SandboxError>> {
        store.add(candidate, &mut |program| {
            let cell = Session::start(policy)?.run(program, &mut |_| {})?;
            Ok(match cell.end {
                CellEnd::Finished => Verdict::Passed,
                _ => Verdict::Failed(cell.observation(REASON_CHARS_MAX)),
            })
        })
    }
}
