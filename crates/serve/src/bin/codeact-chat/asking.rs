//! Somebody at the terminal is asked before code runs, and before tools are called whose settings want that.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use codeact_agent::{Approver, Decision};
use codeact_sandbox::Approval;
use codeact_serve::harmless;
use codeact_serve::mcp::shown_call;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{QueueSelector, tcflush};
use serde_json::Value;

use crate::{IS_EDITING, is_interrupted};

/// An editor may give back no more than this.
const TEXT_BYTES_MAX: u64 = 1 << 20;
/// How often a question looks whether it still matters.
const GLANCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Whoever sits at the terminal.
#[derive(Debug)]
pub struct Asker {
    /// Whether code waits.
    is_asking: AtomicBool,
    /// Counts what has ended: a question about a call is over with the code that made the call.
    ended: AtomicU64,
    /// One question at a time: tools are called from threads of their own.
    question: Mutex<()>,
}

/// What was typed behind a question.
enum Said {
    Yes,
    No(String),
    Edit,
    Always,
    /// Nothing: it is over.
    Nothing,
}

impl Asker {
    pub fn new(is_asking: bool) -> Asker {
        Asker { is_asking: AtomicBool::new(is_asking), ended: AtomicU64::new(0), question: Mutex::new(()) }
    }

    pub fn is_asking(&self) -> bool {
        self.is_asking.load(Ordering::SeqCst)
    }

    pub fn set_asking(&self, is_asking: bool) {
        self.is_asking.store(is_asking, Ordering::SeqCst);
    }

    /// Ends questions about calls, because the code that made them has ended. The terminal is free then.
    pub fn end_calls(&self) {
        self.ended.fetch_add(1, Ordering::SeqCst);
        drop(self.question.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Asks about a call of a tool.
    pub fn approve(&self, name: &str, arguments: &Value) -> Approval {
        let ended = self.ended.load(Ordering::SeqCst);
        let shown = match shown_call(name, arguments) {
            Ok(shown) => harmless(&shown),
            Err(reason) => return Approval::Deny(reason),
        };
        let _question = self.question.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = || is_interrupted() || self.ended.load(Ordering::SeqCst) != ended;
        loop {
            match ask(&format!("call {shown}? [y]es, [n]o REASON: "), &is_over) {
                Said::Yes => return Approval::Allow,
                Said::No(reason) => return Approval::Deny(reason),
                Said::Nothing => return Approval::Deny("nobody answered".to_owned()),
                Said::Edit | Said::Always => {}
            }
        }
    }
}

impl Approver for Asker {
    fn decide(&self, code: &str, _step: usize) -> Decision {
        let _question = self.question.lock().unwrap_or_else(PoisonError::into_inner);
        while self.is_asking() {
            match ask("run it? [y]es, [n]o REASON, [e]dit, [a]lways: ", &is_interrupted) {
                Said::Yes => return Decision::Run,
                Said::No(reason) => return Decision::Deny(reason),
                Said::Always => self.set_asking(false),
                Said::Nothing => return Decision::Interrupt,
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

/// One answer; what is none asks again. Not with the editor of the prompt, which nothing could end when the question is
/// over.
fn ask(prompt: &str, is_over: &dyn Fn() -> bool) -> Said {
    loop {
        let line = match read_line(prompt, is_over) {
            Ok(Some(line)) => line,
            Ok(None) => return Said::Nothing,
            Err(error) => {
                eprintln!("error: nobody can be asked: {error}");
                return Said::Nothing;
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

/// A line from the terminal, wherever stdin and stdout go. `None`: the question is over, or there is no more.
fn read_line(prompt: &str, is_over: &dyn Fn() -> bool) -> io::Result<Option<String>> {
    let mut terminal: File = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    // What was typed before the question was no answer to it.
    tcflush(&terminal, QueueSelector::IFlush)?;
    terminal.write_all(prompt.as_bytes())?;
    let (mut line, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        if is_over() {
            terminal.write_all(b"\n")?;
            return Ok(None);
        }
        let is_ready = poll(&mut [PollFd::new(&terminal, PollFlags::IN)], Some(&GLANCE)).unwrap_or(0) > 0;
        let count = match is_ready.then(|| terminal.read(&mut buffer)) {
            None => continue,
            Some(Err(error)) if error.kind() == ErrorKind::Interrupted => continue,
            Some(read) => read?,
        };
        line.extend_from_slice(&buffer[..count]);
        if count == 0 {
            return Ok(None);
        }
        if line.ends_with(b"\n") {
            return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
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
    File::open(file.path())?.take(TEXT_BYTES_MAX).read_to_string(&mut edited)?;
    Ok(edited)
}
