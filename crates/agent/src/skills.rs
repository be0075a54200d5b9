//! Skills on their way into a conversation: defined in its Python, described in its system message.
//!
//! The terminal, the server and the evaluation all go this way, so that what is measured is what is served.

use codeact_sandbox::skills::Skill;
use codeact_sandbox::{CellEnd, Interpreter, SandboxError};

/// Characters of a failure that are told.
const REASON_CHARS_MAX: usize = 2000;

/// What [`crate::AgentOptions::skills_prompt`] says of these skills, in their order; `None` without any.
pub fn skills_prompt<'a>(skills: impl IntoIterator<Item = &'a Skill>) -> Option<String> {
    let described: Vec<String> =
        skills.into_iter().map(|skill| format!("{}\n{}", skill.signature, skill.doc.trim())).collect();
    (!described.is_empty()).then(|| format!("Functions that are defined already:\n{}", described.join("\n\n")))
}

/// Defines skills in a Python that begins. The inner error is why they cannot be defined there.
///
/// * `prelude`: as `SkillStore::prelude` gives it.
///
/// # Errors
/// When the cell cannot be run at all.
pub fn define_skills(prelude: &str, interpreter: &mut dyn Interpreter) -> Result<Result<(), String>, SandboxError> {
    let cell = interpreter.run(prelude, &mut |_| {})?;
    Ok(match cell.end {
        CellEnd::Finished => Ok(()),
        _ => Err(cell.observation(REASON_CHARS_MAX)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skills_are_described_by_how_they_are_called_and_what_they_do() {
        let skill = |signature: &str, doc: &str| Skill {
            name: "f".into(),
            signature: signature.into(),
            doc: doc.into(),
            version: 1,
            created_ms: 0,
            uses: 0,
            successes: 0,
            source_hash: String::new(),
        };
        assert_eq!(skills_prompt([]), None);
        let told = skills_prompt(&[skill("f(x)", "Twice x.\n"), skill("g()", "Nothing.\nReally.")]).unwrap();
        assert_eq!(told, "Functions that are defined already:\nf(x)\nTwice x.\n\ng()\nNothing.\nReally.");
    }
}
