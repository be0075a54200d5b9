//! Somebody at the terminal is asked before code runs, and before tools are called whose settings want that.

use std::io::Read;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use codeact_agent::{Approver, Decision};
use codeact_sandbox::Approval;
use codeact_serve::harmless;
use rustyline::error::ReadlineError;
use serde_json::Value;

use crate::{IS_EDITING, input};

/// An editor may give back no more than this.
const TEXT_BYTES_MAX: u64 = 1 << 20;
const ARGUMENT_CHARS_MAX: usize = 500;

/// Whoever sits at the terminal.
#[derive(Debug)]
pub struct Asker {
    /// Whether code waits.
    is_asking: AtomicBool,
    /// One question at a time: tools are called from threads of their own.
    question: Mutex<()>,
}

/// What was typed behind a question.
enum Said {
    Yes,
    No(String),
    Edit,
    Always,
    Leave,
}

impl Asker {
    pub fn new(is_asking: bool) -> Asker {
        Asker { is_asking: AtomicBool::new(is_asking), question: Mutex::new(()) }
    }

    pub fn is_asking(&self) -> bool {
        self.is_asking.load(Ordering::SeqCst)
    }

    pub fn set_asking(&self, is_asking: bool) {
        self.is_asking.store(is_asking, Ordering::SeqCst);
    }

    /// Asks about a call of a tool.
    pub fn approve(&self, name: &str, arguments: &Value) -> Approval {
        let mut shown: String = harmless(&arguments.to_string()).replace('\n', " ");
        if let Some((at, _)) = shown.char_indices().nth(ARGUMENT_CHARS_MAX) {
            shown.truncate(at);
            shown.push_str("...");
        }
        let _question = self.question.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match ask(&format!("call {name} with {shown}? [y]es, [n]o REASON: ")) {
                Said::Yes => return Approval::Allow,
                Said::No(reason) => return Approval::Deny(reason),
                Said::Leave => {
                    crate::interrupt();
                    return Approval::Deny("it was interrupted".to_owned());
                }
                Said::Edit | Said::Always => {}
            }
        }
    }
}

impl Approver for Asker {
    fn decide(&self, code: &str, _step: usize) -> Decision {
        let _question = self.question.lock().unwrap_or_else(PoisonError::into_inner);
        while self.is_asking() {
            match ask("run it? [y]es, [n]o REASON, [e]dit, [a]lways: ") {
                Said::Yes => return Decision::Run,
                Said::No(reason) => return Decision::Deny(reason),
                Said::Always => self.set_asking(false),
                Said::Leave => return Decision::Interrupt,
                Said::Edit => match edit(code, ".py") {
                    Ok(edited) if !edited.trim().is_empty() => return Decision::RunInstead(edited),
                    Ok(_) => eprintln!("nothing is left of it"),
                    Err(error) => eprintln!("error: {error:#}"),
                },
            }
        }
        Decision::Run
    }
}

/// One answer; what is none asks again.
fn ask(prompt: &str) -> Said {
    loop {
        let line = input::editor().and_then(|mut editor| {
            // A question is no text of many lines, and nothing completes its answer.
            editor.set_helper(None);
            editor.readline(prompt)
        });
        let line = match line {
            Ok(line) => line,
            Err(ReadlineError::Interrupted | ReadlineError::Eof) => return Said::Leave,
            Err(error) => {
                eprintln!("error: nobody can be asked: {error}");
                return Said::Leave;
            }
        };
        let (word, rest) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
        match word.to_lowercase().as_str() {
            "y" | "yes" => return Said::Yes,
            "n" | "no" => return Said::No(rest.trim().to_owned()),
            "e" | "edit" => return Said::Edit,
            "a" | "always" => return Said::Always,
            _ => {}
        }
    }
}

/// The text as somebody changed it in `$VISUAL` or `$EDITOR`.
///
/// # Errors
/// When there is no editor, or it fails.
pub fn edit(text: &str, ending: &str) -> anyhow::Result<String> {
    let named = ["VISUAL", "EDITOR"].into_iter().filter_map(|name| std::env::var(name).ok());
    let editor = named.into_iter().find(|name| !name.trim().is_empty()).unwrap_or_else(|| "vi".to_owned());
    let file = tempfile::Builder::new().prefix("codeact-").suffix(ending).tempfile()?;
    std::fs::write(file.path(), text)?;
    IS_EDITING.store(true, Ordering::SeqCst);
    // Through a shell: an editor may come with options.
    let status = Command::new("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(file.path()).status();
    IS_EDITING.store(false, Ordering::SeqCst);
    let status = status?;
    if !status.success() {
        anyhow::bail!("the editor `{editor}` ended with {status}\nhint: set EDITOR");
    }
    let mut edited = String::new();
    // Editors replace files: it is opened again by its name.
    std::fs::File::open(file.path())?.take(TEXT_BYTES_MAX).read_to_string(&mut edited)?;
    Ok(edited)
}
