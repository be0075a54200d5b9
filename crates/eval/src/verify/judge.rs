//! One output of the data beside what the same code gives now.

use std::sync::LazyLock;

use codeact_sandbox::{Cell, CellEnd};
use regex::Regex;

use super::class::Reason;
use super::equal::{begins, ends, same, same_words};
use super::recorded::{Raised, Recorded, error_at_end, short_name};
use super::text::{normal, normal_value};

/// Errors that are the same, whatever the harness calls them.
const SYNONYMS: [[&str; 2]; 2] = [["StdinNotImplementedError", "EOFError"], ["ImportError", "ModuleNotFoundError"]];
/// Errors whose message is the parser's or the interpreter's, and changes with its version.
const WORDS_OF_PYTHON: [&str; 4] = ["SyntaxError", "IndentationError", "TabError", "RecursionError"];
const NETWORK: [&str; 13] = [
    "gaierror",
    "URLError",
    "ConnectionError",
    "ConnectionRefusedError",
    "NewConnectionError",
    "MaxRetryError",
    "ConnectTimeout",
    "ProxyError",
    "SSLError",
    "ClientConnectorError",
    "ConnectError",
    "RemoteDisconnected",
    "HTTPError",
];
static QUOTED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"'([^']*)'").expect("the pattern is a constant that compiles"));

static SIGNATURE: LazyLock<Regex> = LazyLock::new(|| {
    let text = r"^\w+(?:\(\))? (?:expected (?:at (?:most|least) |exactly )?\d+ arguments?, got \d+|takes (?:no keyword|exactly one) arguments?)";
    Regex::new(text).expect("the pattern is a constant that compiles")
});

/// What came out, and what it is about: the name, package or file that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// In which way it differs.
    pub reason: Reason,
    /// A name, if it is about one.
    pub about: Option<String>,
}

impl From<Reason> for Finding {
    fn from(reason: Reason) -> Finding {
        Finding { reason, about: None }
    }
}

/// How `now` differs from `output`, which the same code gave when the row was made; `None`: it does not.
///
/// `is_offered` says of a name whether the row's prompts speak of it.
pub fn judge(output: &str, now: &Cell, tolerance: f64, is_offered: &dyn Fn(&str) -> bool) -> Option<Finding> {
    let recorded = Recorded::parse(output);
    match now.end {
        CellEnd::TimedOut if recorded.is_timeout => None,
        CellEnd::TimedOut => Some(Reason::Time.into()),
        CellEnd::Exited => Some(Reason::Resources.into()),
        CellEnd::Interrupted => Some(Reason::Sandbox.into()),
        _ if recorded.is_timeout => Some(Reason::Time.into()),
        CellEnd::Raised => judge_error(&recorded, now, tolerance, is_offered),
        CellEnd::Finished => judge_result(output, &recorded, now, tolerance),
    }
}

fn judge_result(output: &str, recorded: &Recorded, now: &Cell, tolerance: f64) -> Option<Finding> {
    if let Some(error) = &recorded.error {
        // A program may print a traceback and go on.
        if same(&normal(output), &normal(&joined(&printed(now, true), now)), tolerance) {
            return None;
        }
        let was_missing = is_of_library(&error.name, error.message.as_deref().unwrap_or_default());
        return Some(if was_missing { Reason::Library } else { Reason::RaisedThen }.into());
    }
    let outputs = [printed(now, false), printed(now, true)];
    if outputs.iter().any(|printed| is_same_result(recorded, printed, now, tolerance)) {
        return None;
    }
    let was = normal_value(&recorded.whole());
    let is_order = outputs.iter().any(|printed| same_words(&was, &normal_value(&joined(printed, now))));
    Some(if is_order && recorded.cut.is_none() { Reason::Order } else { Reason::Output }.into())
}

fn is_same_result(recorded: &Recorded, printed: &str, now: &Cell, tolerance: f64) -> bool {
    let whole = joined(printed, now);
    if let Some(tail) = &recorded.cut {
        let whole = normal_value(&whole);
        return begins(&whole, &normal_value(&recorded.whole()), tolerance)
            && ends(&whole, &normal_value(tail), tolerance);
    }
    let value = now.value.text();
    match (&recorded.value, &value) {
        (Some(was), Some(is)) => {
            same(&normal(&recorded.printed), &normal(printed), tolerance)
                && same(&normal_value(was), &normal_value(is), tolerance)
        }
        (Some(_), None) => false,
        (None, None) => same(&normal(&recorded.printed), &normal(printed), tolerance),
        (None, Some(_)) => {
            same(&normal(&recorded.printed), &normal(&whole), tolerance)
                || same(&normal_value(&recorded.printed), &normal_value(&whole), tolerance)
        }
    }
}

fn judge_error(recorded: &Recorded, now: &Cell, tolerance: f64, is_offered: &dyn Fn(&str) -> bool) -> Option<Finding> {
    let (name, message) = now.error.as_ref().map_or(("", ""), |error| (error.name.as_str(), error.message.as_str()));
    let name = short_name(name);
    if let Some(tail) = &recorded.cut
        && recorded.error.as_ref().is_none_or(|was| was.message.is_none())
        && let Some(judged) = judge_cut(recorded, tail, now, tolerance, is_offered)
    {
        return judged;
    }
    let is_same_name = |was: &str| is_same_name(was, name);
    let in_last_line = recorded.error_in_last_line().filter(|(_, raised)| is_same_name(&raised.name));
    let (recorded, was) = match (&recorded.error, &in_last_line) {
        (Some(was), _) => (recorded, was),
        (None, Some((rest, was))) => (rest, was),
        (None, None) => return Some(missing(name, message, is_offered).unwrap_or(Reason::RaisesNow.into())),
    };
    let outputs = [printed(now, false), printed(now, true)];
    if !outputs.iter().any(|printed| same(&normal(&recorded.printed), &normal(printed), tolerance)) {
        return Some(Reason::Output.into());
    }
    let Some(was_message) = &was.message else {
        // Cut off before the message: the chain of errors must hold what is left.
        let is_there = now.error.as_ref().is_some_and(|error| error.traceback.contains(&was.name));
        return (!is_there).then(|| missing(name, message, is_offered).unwrap_or(Reason::OtherError.into()));
    };
    if !is_same_name(&was.name) {
        return Some(missing(name, message, is_offered).unwrap_or_else(|| renamed(was, name, message).into()));
    }
    judge_message(was_message, name, message, tolerance)
}

fn judge_message(was: &str, name: &str, message: &str, tolerance: f64) -> Option<Finding> {
    let is_same = WORDS_OF_PYTHON.contains(&name) || same(&normal_value(was), &normal_value(message), tolerance);
    (!is_same).then_some(Reason::ErrorMessage.into())
}

/// An error of which the middle was cut out, with or without its last line, or that was cut off altogether. `None`: the
/// part before the cut names it.
fn judge_cut(
    recorded: &Recorded,
    tail: &str,
    now: &Cell,
    tolerance: f64,
    is_offered: &dyn Fn(&str) -> bool,
) -> Option<Option<Finding>> {
    let error = now.error.as_ref()?;
    let (name, message) = (short_name(&error.name), error.message.as_str());
    let at_end = error_at_end(tail).map(|(_, raised)| raised);
    if at_end.is_none() && recorded.error.as_ref().is_some_and(|was| !was.name.is_empty()) {
        return None;
    }
    let whole = normal_value(&format!("{}\n{}", printed(now, true), error.traceback));
    if !begins(&whole, &normal_value(&recorded.whole()), tolerance) {
        let otherwise = if at_end.is_some() { Reason::Output } else { Reason::RaisesNow };
        return Some(Some(missing(name, message, is_offered).unwrap_or(otherwise.into())));
    }
    let Some(was) = at_end else { return Some(None) };
    Some(match is_same_name(&was.name, name) {
        true => judge_message(was.message.as_deref().unwrap_or_default(), name, message, tolerance),
        false => Some(missing(name, message, is_offered).unwrap_or_else(|| renamed(&was, name, message).into())),
    })
}

fn is_same_name(was: &str, is: &str) -> bool {
    was == is || SYNONYMS.iter().any(|pair| pair.contains(&was) && pair.contains(&is))
}

/// An error of another type, which may be a matter of versions.
fn renamed(was: &Raised, name: &str, message: &str) -> Reason {
    let is_versions =
        is_of_library(name, message) || is_of_library(&was.name, was.message.as_deref().unwrap_or_default());
    if is_versions { Reason::Library } else { Reason::OtherError }
}

/// What this machine lacks, if that is why the code fails.
fn missing(name: &str, message: &str, is_offered: &dyn Fn(&str) -> bool) -> Option<Finding> {
    let quoted = QUOTED.captures(message).map(|found| found[1].to_owned());
    let about = |reason| Finding { reason, about: quoted.clone() };
    match name {
        "NameError" => quoted.as_deref().filter(|name| is_offered(name)).map(|_| about(Reason::Variable)),
        "ModuleNotFoundError" => Some(about(Reason::Module)),
        "ImportError" if message.contains("cannot import name") => Some(about(Reason::Library)),
        "ImportError" => Some(about(Reason::Module)),
        "FileNotFoundError" => Some(about(Reason::File)),
        "EOFError" if message.contains("no input") => Some(Reason::Input.into()),
        "MemoryError" => Some(Reason::Resources.into()),
        name if NETWORK.contains(&name) => Some(Reason::Network.into()),
        _ if message.contains("Temporary failure in name resolution") => Some(Reason::Network.into()),
        _ => is_of_library(name, message).then(|| about(Reason::Library)),
    }
}

/// Whether an error says that a library has not, or has no longer, what code asks of it.
fn is_of_library(name: &str, message: &str) -> bool {
    match name {
        "AttributeError" => message.starts_with("module '"),
        "ImportError" | "ModuleNotFoundError" => true,
        // Only functions in C say it so; which arguments those take is a matter of versions (`math.gcd` takes any
        // number since 3.9).
        "TypeError" => SIGNATURE.is_match(message),
        _ => false,
    }
}

/// What the cell printed, with what was shown beside it.
fn printed(now: &Cell, with_stderr: bool) -> String {
    let mut text = now.stdout.clone();
    let shown =
        now.displays.iter().filter_map(codeact_sandbox::Bundle::text).filter(|text| !text.starts_with("[image/"));
    for part in with_stderr.then(|| now.stderr.clone()).into_iter().chain(shown).filter(|part| !part.is_empty()) {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&part);
    }
    text
}

/// With the value of the last expression on a line of its own.
fn joined(printed: &str, now: &Cell) -> String {
    match now.value.text() {
        Some(value) if printed.is_empty() || printed.ends_with('\n') => format!("{printed}{value}"),
        Some(value) => format!("{printed}\n{value}"),
        None => printed.to_owned(),
    }
}

/// All that a cell gave, in a form that another run of it gives too, unless it depends on chance.
pub fn normal_account(now: &Cell) -> String {
    let error = now.error.as_ref().map(|error| format!("{}: {}", error.name, error.message)).unwrap_or_default();
    format!("{:?}\n{}\n{}", now.end, normal(&joined(&printed(now, true), now)), normal(&error))
}

/// What is shown of a cell beside the output of the row: one text, an error as its last line.
pub fn normal_output(now: &Cell) -> String {
    let mut text = normal(&joined(&printed(now, false), now));
    if let Some(error) = &now.error {
        let gap = if text.is_empty() { "" } else { "\n" };
        text.push_str(&format!("{gap}{}: {}", short_name(&error.name), normal(&error.message)));
    }
    text
}

/// The same of an output.
pub fn normal_recorded(output: &str) -> String {
    let recorded = Recorded::parse(output);
    let mut text = normal(&recorded.whole());
    if let Some(error) = &recorded.error {
        let gap = if text.is_empty() { "" } else { "\n" };
        text.push_str(&format!("{gap}{}: {}", error.name, normal(error.message.as_deref().unwrap_or("…"))));
    }
    text
}
