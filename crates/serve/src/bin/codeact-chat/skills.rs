//! Functions that outlive a conversation: kept when their test passes in a fresh sandbox, defined when one begins.

use std::path::Path;

use anyhow::{Context, bail};
use codeact_agent::{Event, define_skills, skills_prompt};
use codeact_sandbox::skills::{Added, Candidate, Skill, SkillStore};
use codeact_sandbox::{Interpreter, Policy, Session};
use codeact_serve::harmless;

/// Defines skills in a session that begins, `all` or some by name, and gives what the model is told of them.
///
/// # Errors
/// When one is unknown or damaged, or does not run.
pub fn define(folder: &Path, names: &[String], interpreter: &mut dyn Interpreter) -> anyhow::Result<Option<String>> {
    let store = SkillStore::open(folder)?;
    let (skills, problems) = store.skills()?;
    problems.iter().for_each(|problem| eprintln!("{problem}"));
    let is_all = names.iter().any(|name| name == "all");
    let names: Vec<&str> = match is_all {
        true => skills.iter().map(|skill| skill.name.as_str()).collect(),
        false => names.iter().map(String::as_str).collect(),
    };
    if names.is_empty() {
        return Ok(None);
    }
    if let Err(reason) = define_skills(&store.prelude(&names)?, interpreter)? {
        bail!("the skills cannot be defined here: {reason}");
    }
    Ok(skills_prompt(skills.iter().filter(|skill| names.contains(&skill.name.as_str()))))
}

/// The list, for people.
///
/// # Errors
/// When the store cannot be read.
pub fn list(folder: &Path) -> anyhow::Result<String> {
    let (skills, problems) = SkillStore::open(folder)?.skills()?;
    let line = |skill: &Skill| {
        let about = skill.doc.lines().next().unwrap_or_default();
        harmless(&format!("{}  (version {})  {about}", skill.signature, skill.version))
    };
    let mut lines: Vec<String> = skills.iter().map(line).collect();
    lines.extend(problems.iter().map(|problem| harmless(&problem.to_string())));
    if lines.is_empty() {
        lines.push("no function is kept yet\nhint: /skills save NAME assert NAME(..) == ..".to_owned());
    }
    Ok(lines.join("\n"))
}

/// Keeps a function that the conversation defined, if `test` passes in a fresh sandbox.
///
/// # Errors
/// When the conversation defines no such function, the test fails, or the store does not take it.
pub fn keep(folder: &Path, policy: &Policy, name: &str, test: &str, events: &[Event]) -> anyhow::Result<String> {
    let codes: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            Event::ExecStart { code, .. } => Some(code.as_str()),
            _ => None,
        })
        .collect();
    let found = codes.iter().rev().find_map(|code| function(code, name));
    let source = found.with_context(|| format!("no code of this conversation defines `{name}` at its top level"))?;
    let mut imports: Vec<&str> = Vec::new();
    for line in codes.iter().flat_map(|code| code.lines()) {
        if (line.starts_with("import ") || line.starts_with("from "))
            && !line.ends_with(['\\', '('])
            && !imports.contains(&line)
        {
            imports.push(line);
        }
    }
    let candidate = Candidate {
        name: name.to_owned(),
        signature: signature(&source),
        doc: docstring(&source).unwrap_or_else(|| name.replace('_', " ")),
        source: if imports.is_empty() { source } else { format!("{}\n\n{source}", imports.join("\n")) },
        tests: test.to_owned(),
    };
    // Tools are not there when it is tested, and may not be when it is used.
    let policy = Policy { tools: None, workspace: None, ..policy.clone() };
    match Session::learn(&policy, &SkillStore::open(folder)?, &candidate)? {
        Added::Stored { version } => Ok(format!("kept `{name}`, version {version}")),
        Added::Known { version } => Ok(format!("`{name}` is kept already, version {version}")),
        Added::Rejected(reason) => bail!("the test of `{name}` fails in a fresh sandbox: {reason}"),
    }
}

/// The last definition of a function at the top level, with its decorators.
fn function(code: &str, name: &str) -> Option<String> {
    let lines: Vec<&str> = code.lines().collect();
    let is_it = |line: &&str| {
        let rest = line.strip_prefix("async ").unwrap_or(line).strip_prefix("def ");
        rest.and_then(|rest| rest.trim_start().strip_prefix(name))
            .is_some_and(|rest| rest.trim_start().starts_with('('))
    };
    let at = lines.iter().rposition(is_it)?;
    let start = lines[..at].iter().rposition(|line| !line.starts_with('@')).map_or(0, |before| before + 1);
    // A signature may be closed at the start of a line.
    let is_inside = |line: &&str| line.is_empty() || line.starts_with([' ', '\t', ')']);
    let end = lines[at + 1..].iter().position(|line| !is_inside(line)).map_or(lines.len(), |count| at + 1 + count);
    Some(lines[start..end].join("\n").trim_end().to_owned())
}

/// `name(x: int) -> int`, on one line.
fn signature(source: &str) -> String {
    let head = source.lines().skip_while(|line| line.starts_with('@')).collect::<Vec<_>>().join("\n");
    let mut depth = 0;
    let end = head.char_indices().find(|(_, letter)| {
        depth += i32::from("([{".contains(*letter)) - i32::from(")]}".contains(*letter));
        depth == 0 && *letter == ':'
    });
    let head = &head[..end.map_or(head.len(), |(at, _)| at)];
    let head = head.strip_prefix("async ").unwrap_or(head).trim_start_matches("def ");
    head.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What stands in three quotes below its head.
fn docstring(source: &str) -> Option<String> {
    let mut body = source.lines().skip_while(|line| !line.trim_end().ends_with(':')).skip(1);
    let first = body.next()?.trim_start();
    let quotes = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quotes| first.starts_with(quotes))?;
    let text = std::iter::once(first).chain(body).collect::<Vec<_>>().join("\n");
    let inner = text[quotes.len()..].split(quotes).next()?;
    Some(inner.lines().map(str::trim).collect::<Vec<_>>().join("\n").trim().to_owned()).filter(|doc| !doc.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "import math\n\n@cache\ndef area(\n    radius: float, unit: dict = {'a': 1},\n) -> float:\n    \"\"\"Area of a circle.\n\n    \
                        In square units.\n    \"\"\"\n    return math.pi * radius ** 2\n\narea(2)\ndef other(x): return x\n";

    #[test]
    fn a_function_is_found_with_what_belongs_to_it() {
        let source = function(CODE, "area").unwrap();
        assert!(source.starts_with("@cache\ndef area(") && source.ends_with("radius ** 2"), "{source}");
        assert_eq!(signature(&source), "area( radius: float, unit: dict = {'a': 1}, ) -> float");
        assert_eq!(docstring(&source).unwrap(), "Area of a circle.\n\nIn square units.");
        let other = function(CODE, "other").unwrap();
        assert_eq!(
            (other.as_str(), signature(&other).as_str(), docstring(&other)),
            ("def other(x): return x", "other(x)", None)
        );
        assert_eq!(function(CODE, "are"), None);
        assert_eq!(function("class A:\n    def f(self): pass\n", "f"), None);
    }
}
