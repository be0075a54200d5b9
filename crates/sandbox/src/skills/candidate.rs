//! What may become a skill: bounds and rules, checked before anything is run or stored.

use sha2::{Digest, Sha256};

pub(super) const NAME_BYTES_MAX: usize = 64;
pub(super) const SIGNATURE_BYTES_MAX: usize = 1 << 10;
pub(super) const DOC_BYTES_MAX: usize = 4 << 10;
pub(super) const SOURCE_BYTES_MAX: usize = 64 << 10;

const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
    "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
    "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

/// A function that may become a skill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Name of the function: an ASCII identifier of Python.
    pub name: String,
    /// How it is called: `parse_dates(text: str) -> list[date]`.
    pub signature: String,
    /// What it does, in words by which it can be found.
    pub doc: String,
    /// Python that defines it at the top level, with its imports and all that it needs.
    pub source: String,
    /// Python that calls it and asserts what comes out.
    pub tests: String,
}

/// Why something cannot be a skill.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {reason}\nhint: {hint}")]
pub struct Unfit {
    what: &'static str,
    reason: String,
    hint: &'static str,
}

impl Candidate {
    /// Whether the parts are within their bounds and belong together.
    pub(super) fn check(&self) -> Result<(), Unfit> {
        check_name(&self.name)?;
        check_text("signature", &self.signature, SIGNATURE_BYTES_MAX)?;
        check_text("doc", &self.doc, DOC_BYTES_MAX)?;
        check_text("source", &self.source, SOURCE_BYTES_MAX)?;
        check_text("tests", &self.tests, SOURCE_BYTES_MAX)?;
        if self.signature.contains('\n') {
            return Err(unfit("signature", "it has more than one line", "write it on one line"));
        }
        let defines = |line: &str| {
            let line = line.strip_prefix("async ").unwrap_or(line);
            let rest = line.strip_prefix("def ").map(str::trim_start);
            let behind = rest.and_then(|rest| rest.strip_prefix(self.name.as_str()));
            behind.is_some_and(|behind| behind.trim_start().starts_with(['(', '[']))
        };
        if !self.source.lines().any(defines) {
            let reason = format!("it does not define `{}` at the top level", self.name);
            return Err(unfit("source", reason, "begin a line with `def` and the name"));
        }
        let calls = self.tests.match_indices(self.name.as_str()).any(|(at, name)| {
            let is_inside = |letter: char| letter.is_alphanumeric() || letter == '_';
            !self.tests[..at].ends_with(is_inside) && !self.tests[at + name.len()..].starts_with(is_inside)
        });
        if !calls || !self.tests.contains("assert") {
            let reason = format!("they do not call `{}` and assert what comes out", self.name);
            return Err(unfit("tests", reason, "write `assert` with the name and an expected result"));
        }
        Ok(())
    }

    /// What is run in a fresh sandbox.
    pub(super) fn program(&self) -> String {
        format!("{}\n\n{}\n", self.source.trim_end(), self.tests.trim_end())
    }
}

/// SHA-256 of source and tests together; the NUL keeps apart what neither holds.
pub(super) fn hash(source: &str, tests: &str) -> String {
    let mut hasher = Sha256::new();
    for part in [source, "\0", tests] {
        hasher.update(part.as_bytes());
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A name is a folder, too: nothing that could lead elsewhere, or mean something to Python.
pub(super) fn check_name(name: &str) -> Result<(), Unfit> {
    const HINT: &str = "choose a name of letters, digits and `_`";
    if name.len() > NAME_BYTES_MAX {
        return Err(unfit("name", format!("{} bytes are more than {NAME_BYTES_MAX}", name.len()), HINT));
    }
    let is_identifier = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit());
    if !is_identifier {
        return Err(unfit("name", format!("`{}` is no ASCII identifier of Python", name.escape_debug()), HINT));
    }
    if KEYWORDS.contains(&name) || name.starts_with("__") {
        return Err(unfit("name", format!("`{name}` means something to Python"), HINT));
    }
    Ok(())
}

fn check_text(what: &'static str, text: &str, bytes_max: usize) -> Result<(), Unfit> {
    if text.len() > bytes_max {
        let reason = format!("{} bytes are more than {bytes_max}", text.len());
        return Err(unfit(what, reason, "keep a skill to one function"));
    }
    let is_control = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\t');
    if let Some(letter) = text.chars().find(|letter| is_control(*letter)) {
        let reason = format!("it holds the control character `{}`", letter.escape_debug());
        return Err(unfit(what, reason, "escape it"));
    }
    Ok(())
}

fn unfit(what: &'static str, reason: impl Into<String>, hint: &'static str) -> Unfit {
    Unfit { what, reason: reason.into(), hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Candidate {
        Candidate {
            name: "double".into(),
            signature: "double(x)".into(),
            doc: "Twice a number.".into(),
            source: "import math\n\ndef double(x):\n    return 2 * x\n".into(),
            tests: "assert double(2) == 4".into(),
        }
    }

    #[test]
    fn names_are_identifiers_and_no_paths() {
        let long = "a".repeat(65);
        let bad =
            ["", "1a", "a b", "a-b", "../a", "a/b", ".", "..", ".hidden", "a\0", "é", "class", "None", "__init__"];
        for name in bad.into_iter().chain([long.as_str()]) {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for name in ["a", "_a", "parse_dates2", "A", "versions"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
    }

    type Change<'a> = &'a dyn Fn(&mut Candidate);

    #[test]
    fn parts_that_do_not_belong_together_are_refused() {
        let told = |change: &dyn Fn(&mut Candidate)| {
            let mut candidate = good();
            change(&mut candidate);
            candidate.check().map_err(|error| error.to_string())
        };
        assert_eq!(told(&|_| {}), Ok(()));
        assert_eq!(told(&|candidate| candidate.source = "async def double (x): pass".into()), Ok(()));
        assert_eq!(told(&|candidate| candidate.source = "def double[T](x: T): pass".into()), Ok(()));
        let refused: [(Change<'_>, &str); 9] = [
            (&|candidate| candidate.source = "def doubled(x): pass".into(), "does not define"),
            (&|candidate| candidate.source = "class A:\n    def double(x): pass".into(), "does not define"),
            (&|candidate| candidate.tests = "assert redouble(1) and double_(2)".into(), "do not call"),
            (&|candidate| candidate.tests = "double(2)".into(), "do not call"),
            (&|candidate| candidate.tests = String::new(), "do not call"),
            (&|candidate| candidate.signature = "double(\nx)".into(), "more than one line"),
            (&|candidate| candidate.doc = "\u{1b}[31m".into(), "control character"),
            (&|candidate| candidate.source.push('\0'), "control character"),
            (&|candidate| candidate.tests = "#".repeat(SOURCE_BYTES_MAX + 1), "more than 65536"),
        ];
        for (change, reason) in refused {
            let told = told(change).unwrap_err();
            assert!(told.contains(reason) && told.contains("\nhint: "), "{reason}: {told}");
        }
    }

    #[test]
    fn the_hash_tells_source_from_tests() {
        assert_ne!(hash("a", "b"), hash("ab", ""));
        assert_eq!(hash("a", "b"), hash("a", "b"));
    }
}
