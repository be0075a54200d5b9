//! Lines that are typed: when a text is complete, what completes it, and what was typed before.

use std::path::PathBuf;

use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::config::{Behavior, Config};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Context, Editor, Helper};

use crate::commands::COMMANDS;

const HISTORY_MAX: usize = 1000;
const FENCE: &str = "```";

/// What the editor asks while somebody types.
pub struct Typing {
    files: FilenameCompleter,
}

/// An editor on the terminal, wherever stdout goes.
///
/// # Errors
/// When there is no terminal.
pub fn editor() -> rustyline::Result<Editor<Typing, FileHistory>> {
    let config = Config::builder()
        .behavior(Behavior::PreferTerm)
        .completion_type(CompletionType::List)
        .max_history_size(HISTORY_MAX)?
        .history_ignore_dups(true)?
        .build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(Typing { files: FilenameCompleter::new() }));
    Ok(editor)
}

/// The folder for what outlives this program, made if it is missing: `$XDG_STATE_HOME/codeact`, or
/// `~/.local/state/codeact`.
pub fn state_folder() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    let folder = base.join("codeact");
    std::fs::create_dir_all(&folder).ok().map(|()| folder)
}

/// Whether what was typed goes on in the next line.
pub fn goes_on(text: &str) -> bool {
    if is_in_fence(text) {
        return true;
    }
    let last = text.rsplit('\n').next().unwrap_or_default();
    let is_more = text.contains('\n');
    let open = open_in(text);
    if open.is_in_quotes {
        return true;
    }
    if last.trim().is_empty() {
        return false;
    }
    let backslashes = last.chars().rev().take_while(|letter| *letter == '\\').count();
    // A bracket within prose means nothing; at the end of a line it is code.
    let is_code = is_more || last.trim_end().ends_with(['(', '[', '{', ',']);
    backslashes % 2 == 1 || (open.brackets > 0 && is_code)
}

/// The text without what only kept it open.
pub fn joined(text: &str) -> String {
    let text = text.trim_end();
    if let Some(inner) = text.strip_prefix(FENCE).and_then(|rest| rest.strip_suffix(FENCE))
        && let Some((_, inner)) = inner.split_once('\n')
    {
        return inner.trim_end().to_owned();
    }
    let text = text.strip_prefix('/').filter(|rest| rest.starts_with('/')).unwrap_or(text);
    text.replace("\\\n", "\n")
}

/// Begun with a line of ``` that no other one has closed.
fn is_in_fence(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    lines.next().is_some_and(|line| line.starts_with(FENCE)) && !lines.any(|line| line == FENCE)
}

struct Open {
    is_in_quotes: bool,
    brackets: i32,
}

fn open_in(text: &str) -> Open {
    let (mut quotes, mut brackets) = (None, 0);
    let mut at = 0;
    while let Some(letter) = text[at..].chars().next() {
        let triple = ["\"\"\"", "'''"].into_iter().find(|triple| text[at..].starts_with(triple));
        match (quotes, triple) {
            (None, Some(triple)) => quotes = Some(triple),
            (Some(open), Some(triple)) if open == triple => quotes = None,
            (Some(_), _) => {}
            (None, None) => brackets += i32::from("([{".contains(letter)) - i32::from(")]}".contains(letter)),
        }
        at += triple.map_or(letter.len_utf8(), str::len);
    }
    Open { is_in_quotes: quotes.is_some(), brackets }
}

impl Helper for Typing {}
impl Highlighter for Typing {}

impl Hinter for Typing {
    type Hint = String;
}

impl Validator for Typing {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if goes_on(context.input()) { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

impl Completer for Typing {
    type Candidate = Pair;

    /// Names of commands, and behind one files of this machine.
    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = &line[..at];
        let Some(begun) = typed.strip_prefix('/').filter(|rest| !rest.starts_with('/')) else {
            return Ok((at, Vec::new()));
        };
        if begun.contains(char::is_whitespace) {
            return self.files.complete_path(line, at);
        }
        let names = COMMANDS.iter().filter(|(name, ..)| name.starts_with(begun));
        let pair = |(name, usage, _): &(&str, &str, &str)| Pair {
            display: format!("/{name}"),
            replacement: if usage.is_empty() { format!("/{name}") } else { format!("/{name} ") },
        };
        Ok((0, names.map(pair).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_complete_unless_something_is_open() {
        let complete = ["", "add 2 and 3", "see (above", "a \\\\", "f(1, 2)", "``` x\ny\n```", "it's", "[1,\n\n", "a,"];
        for text in complete {
            assert!(!goes_on(text), "{text:?}");
        }
        let open = [
            "a \\",
            "f(",
            "[1, 2,",
            "f(1,\n  2",
            "\"\"\"a\n\nb",
            "```python\nx = 1\n",
            "```\n\n",
            "x = '''",
            "(\n'''\n)",
        ];
        for text in open {
            assert!(goes_on(text), "{text:?}");
        }
    }

    #[test]
    fn what_kept_it_open_is_not_part_of_it() {
        assert_eq!(joined("one \\\ntwo"), "one \ntwo");
        assert_eq!(joined("```python\nx = 1\n\ny\n```\n"), "x = 1\n\ny");
        assert_eq!(joined("//etc/passwd"), "/etc/passwd");
        assert_eq!(joined("f(1,\n2)"), "f(1,\n2)");
        assert_eq!(joined("```"), "```");
    }
}
