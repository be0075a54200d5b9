//! An output as data has it, taken apart: what was printed, the value of the last line, the error.

use std::sync::LazyLock;

use regex::Regex;

/// What an output says, in its own words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// What was printed, and the value where nothing marks it.
    pub printed: String,
    /// The value of the last expression, where `Out[1]:` marks it.
    pub value: Option<String>,
    /// What was raised.
    pub error: Option<Raised>,
    /// It ran into a limit of time.
    pub is_timeout: bool,
    /// The output was cut: this is how it ends behind the cut, if that is there.
    pub cut: Option<String>,
}

/// An exception.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raised {
    /// Without its module: `KeyError`.
    pub name: String,
    /// What it says; `None` where that was cut off.
    pub message: Option<String>,
}

/// A line of dashes and the head of a traceback of IPython.
static NOTEBOOK: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?m)^(?:-{40,}[ \t]*\n)?([A-Za-z_][\w.]*)[ \t]{2,}Traceback \(most recent call last\):?[ \t]*$")
});
static PLAIN: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?m)^Traceback \(most recent call last\):[ \t]*$"));
/// Where text stands that is no Python: it has no traceback.
static PLACE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?m)^\s*(?:(?:Cell |Input )?In ?\[\d+\](?:, line \d+)?|File (?:"[^"\n]*"|<[^>\n]*>|\S+?)(?:, |:)(?:line )?\d+).*$"#,
    )
});
static ERROR_LINE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?m)^([A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Warning|Iteration|Timeout))(?::[ ]?(.*))?$")
});
static VALUE: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?m)^Out\[\d+\]:[ \t]*\n?"));
static COLOUR: LazyLock<Regex> = LazyLock::new(|| pattern(r"\x1b\[[0-9;?]*[ -/]*[@-~]"));
/// How the harnesses of the data, and this one, say that something is left out.
static CUT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?:\.\.\.[ ]*\n?)?\[(?:Output [Tt]runcated(?: due to length)?|\.\.\. \d+ characters omitted \.\.\.)\](?:\.\.\.)?\n?",
    )
});
const NOT_PYTHON: [&str; 3] = ["SyntaxError", "IndentationError", "TabError"];
/// The words of harnesses that ended code which took too long.
const TIMEOUTS: [&str; 3] =
    ["TimeoutError: Timed out after ", "[Execution timed out", "TimeoutError: Execution timed out"];

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is a constant that compiles")
}

/// The last part of `sympy.core.SympifyError`.
pub fn short_name(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

impl Recorded {
    /// Takes an output apart.
    pub fn parse(output: &str) -> Recorded {
        let output = COLOUR.replace_all(output, "").replace("\r\n", "\n");
        let (kept, cut) = match CUT.find_iter(&output).last() {
            Some(found) => (&output[..found.start()], Some(output[found.end()..].to_owned())),
            None => (output.as_str(), None),
        };
        // Where the message is cut off, a `TimeoutError` in the chain is that of the harness.
        let is_timeout = TIMEOUTS.iter().any(|words| output.contains(words))
            || (cut.is_some() && NOTEBOOK.captures_iter(kept).any(|found| &found[1] == "TimeoutError"));
        let (printed, error) = match error_of(kept, cut.is_some()) {
            Some((start, error)) => (&kept[..start], Some(error)),
            None => (kept, None),
        };
        let (printed, value) = match VALUE.find_iter(printed).last() {
            Some(found) if error.is_none() => (&printed[..found.start()], Some(printed[found.end()..].to_owned())),
            _ => (printed, None),
        };
        Recorded { printed: printed.to_owned(), value, error, is_timeout, cut }
    }

    /// Printed text and value, as they stood.
    pub fn whole(&self) -> String {
        match &self.value {
            Some(value) => format!("{}{value}", self.printed),
            None => self.printed.clone(),
        }
    }

    /// The error in the last line, of harnesses that show no traceback. A program can print such a line too.
    pub fn error_in_last_line(&self) -> Option<(Recorded, Raised)> {
        let (printed, raised) = error_at_end(&self.printed)?;
        Some((Recorded { printed: printed.to_owned(), ..Recorded::default() }, raised))
    }
}

/// The error that the last line of `text` is, and what stands before it.
pub fn error_at_end(text: &str) -> Option<(&str, Raised)> {
    let text = text.trim_end();
    let start = text.rfind('\n').map_or(0, |at| at + 1);
    let found = ERROR_LINE.captures(&text[start..])?;
    let raised = Raised {
        name: short_name(&found[1]).to_owned(),
        message: Some(found.get(2).map_or("", |text| text.as_str()).to_owned()),
    };
    Some((&text[..start], raised))
}

/// Where the report of an error begins in `text`, and the error that it ends with.
fn error_of(text: &str, is_cut: bool) -> Option<(usize, Raised)> {
    let notebook = NOTEBOOK.captures_iter(text).map(|found| {
        let whole = found.get(0).expect("the whole match is always there");
        (whole.start(), whole.end(), found[1].to_owned())
    });
    let notebook: Vec<(usize, usize, String)> = notebook.collect();
    if let (Some((start, ..)), Some((_, end, name))) = (notebook.first(), notebook.last()) {
        let message = message_behind(&text[*end..], name);
        // Of a chain that was cut only the first error is certain.
        let name = if message.is_none() && is_cut { &notebook[0].2 } else { name };
        return Some((*start, Raised { name: short_name(name).to_owned(), message }));
    }
    if let (Some(first), Some(last)) = (PLAIN.find(text), PLAIN.find_iter(text).last()) {
        // Frames are indented; the first line at the margin is the error.
        let behind = &text[last.end()..];
        let mut at = last.end();
        for line in behind.split_inclusive('\n') {
            if !line.trim().is_empty() && !line.starts_with([' ', '\t']) {
                let (name, message) = line.trim_end().split_once(':').unwrap_or((line.trim_end(), ""));
                let rest = &text[at + line.len()..];
                let message = format!("{}\n{rest}", message.trim_start());
                let raised = Raised { name: short_name(name).to_owned(), message: Some(message.trim_end().to_owned()) };
                return Some((first.start(), raised));
            }
            at += line.len();
        }
        return is_cut.then(|| (first.start(), Raised { name: String::new(), message: None }));
    }
    let found = ERROR_LINE.captures_iter(text).last()?;
    let name = short_name(&found[1]);
    let start = PLACE.find_iter(text).last()?.start();
    let whole = found.get(0).expect("the whole match is always there");
    let is_last = text[whole.end()..].trim().is_empty();
    let message = found.get(2).map_or("", |text| text.as_str()).to_owned();
    (NOT_PYTHON.contains(&name) && is_last && start < whole.start())
        .then(|| (start, Raised { name: name.to_owned(), message: Some(message) }))
}

/// The message of the error `name`, whose line stands at the margin behind the frames.
fn message_behind(text: &str, name: &str) -> Option<String> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if let Some(rest) = line.strip_prefix(name)
            && (rest.trim().is_empty() || rest.starts_with(':'))
        {
            let message = text[at + name.len()..].strip_prefix(':').unwrap_or(&text[at + name.len()..]);
            return Some(message.trim().to_owned());
        }
        at += line.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> (String, Option<(String, Option<String>)>) {
        let recorded = Recorded::parse(text);
        (recorded.printed, recorded.error.map(|error| (error.name, error.message)))
    }

    fn raised(name: &str, message: &str) -> Option<(String, Option<String>)> {
        Some((name.to_owned(), Some(message.to_owned())))
    }

    const RULE: &str = "---------------------------------------------------------------------------\n";

    #[test]
    fn a_notebook_marks_the_value() {
        let recorded = Recorded::parse("a\nOut[12]: \narray([1,\n       2])");
        assert_eq!((recorded.printed.as_str(), recorded.value.as_deref()), ("a\n", Some("array([1,\n       2])")));
        let recorded = Recorded::parse("Out[1]: 224");
        assert_eq!((recorded.printed.as_str(), recorded.value.as_deref()), ("", Some("224")));
        assert_eq!(Recorded::parse("In Out[1]: 224").value, None);
    }

    #[test]
    fn a_traceback_of_a_notebook_is_its_last_error() {
        let text = format!(
            "first\n{RULE}KeyError                  Traceback (most recent call last)\nCell In[1], line 2\n      1 d = {{}}\n----> 2 d['ValueError: x']\n\nKeyError: 'ValueError: x'\n\nDuring handling of the above exception, another exception occurred:\n\nRuntimeError              Traceback (most recent call last)\nCell In[1], line 4\n----> 4 raise RuntimeError('a\\nb')\n\nRuntimeError: a\nb"
        );
        assert_eq!(error(&text), ("first\n".to_owned(), raised("RuntimeError", "a\nb")));
        let coloured = format!(
            "\x1b[0;31m{RULE}\x1b[0m\x1b[0;31mZeroDivisionError\x1b[0m        Traceback (most recent call last)\nCell \x1b[0;32mIn[1], line 1\x1b[0m\n\x1b[1;32m----> 1\x1b[0m 1/0\n\n\x1b[0;31mZeroDivisionError\x1b[0m: division by zero"
        );
        assert_eq!(error(&coloured), (String::new(), raised("ZeroDivisionError", "division by zero")));
        let bare = format!(
            "{RULE}AssertionError             Traceback (most recent call last)\nCell In[1], line 1\n----> 1 assert 0\n\nAssertionError: "
        );
        assert_eq!(error(&bare), (String::new(), raised("AssertionError", "")));
    }

    #[test]
    fn a_traceback_of_python_is_its_last_error() {
        let text = "x\nTraceback (most recent call last):\n  File \"<cell>\", line 1\n    f()\nmod.MyError: a: b\nmore";
        assert_eq!(error(text), ("x\n".to_owned(), raised("MyError", "a: b\nmore")));
        let text = "Traceback (most recent call last):\n  File \"a\", line 1\nKeyError: 1\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"a\", line 3\nValueError";
        assert_eq!(error(text), (String::new(), raised("ValueError", "")));
    }

    #[test]
    fn text_that_is_no_python_has_a_place() {
        let ours = "  File \"<cell>\", line 1\n    1 +\n       ^\nSyntaxError: invalid syntax";
        let theirs = "Cell In[2], line 1\n    1 +\n       ^\nSyntaxError: invalid syntax";
        let old = "  File <ipython-input-1-0>:1\n    1 +\n       ^\nSyntaxError: invalid syntax";
        for text in [ours, theirs, old] {
            assert_eq!(error(text), (String::new(), raised("SyntaxError", "invalid syntax")), "{text}");
        }
        assert_eq!(error("SyntaxError: printed"), ("SyntaxError: printed".to_owned(), None));
        let (rest, raised) = Recorded::parse("1\nNameError: name 'x' is not defined").error_in_last_line().unwrap();
        assert_eq!((rest.printed.as_str(), raised.name.as_str()), ("1\n", "NameError"));
    }

    #[test]
    fn cuts_and_limits_are_seen() {
        let recorded = Recorded::parse("1 2 3...\n[Output Truncated]");
        assert_eq!((recorded.printed.as_str(), recorded.cut.as_deref()), ("1 2 3", Some("")));
        let recorded = Recorded::parse("1\n[... 90 characters omitted ...]\n9");
        assert_eq!((recorded.printed.as_str(), recorded.cut.as_deref()), ("1\n", Some("9")));
        let chain = format!(
            "{RULE}KeyError                  Traceback (most recent call last)\nFile a:1\n\nKeyError: 'zero'\n\nDuring handling of the above exception, another exception occurred:\n\nTimeoutError              Traceback (most recent call last)\nFile b:...\n[Output Truncated]"
        );
        let recorded = Recorded::parse(&chain);
        assert_eq!(recorded.error, Some(Raised { name: "KeyError".into(), message: None }));
        assert!(Recorded::parse("1\nTimeoutError: Timed out after 30 seconds.").is_timeout);
        assert!(recorded.is_timeout && !Recorded::parse("it timed out").is_timeout);
        assert!(!Recorded::parse(&chain.replace("\n[Output Truncated]", "")).is_timeout);
    }
}
