//! What code asks for that a fresh Python does not have, as far as its text shows.

use std::sync::LazyLock;

use regex::Regex;

use super::rows::{Row, Speaker};

/// `[1] wikipedia_search(query: str) -> str`, as system prompts list the functions that there are.
static TOOL: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?m)^\s*(?:\[\d+\]|[-*]|\d+\.)\s*`?(?:def )?([A-Za-z_]\w*)\("));
/// Words of the shell and of programs that install packages.
static INSTALL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?m)^\s*[!%]?\s*(?:sudo\s+)?(?:\S*python[\d.]*\s+-m\s+)?(?:pip[\d.]*|conda|mamba|apt|apt-get|uv pip)\s+(?:-\S+\s+)*install\b|['"]pip[\d.]*['"]\s*,\s*['"]install['"]|pip[\d.]* install "#,
    )
});
/// Ways to read the clock.
static CLOCK: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b(?:now|today|utcnow|localtime|gmtime|ctime|perf_counter|monotonic|process_time|time_ns)\s*\(|\btime\.time\s*\(|%%?time",
    )
});
static COMMENT: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?m)#.*$"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is a constant that compiles")
}

/// The functions that the prompts before the first reply say there are, in their order.
pub fn tools(row: &Row) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (speaker, text) in &row.messages {
        match speaker {
            // A task may number functions that are to be written.
            Speaker::System => {
                names.extend(TOOL.captures_iter(text).map(|found| found[1].to_owned()));
            }
            Speaker::User | Speaker::Output => {}
            Speaker::Assistant => break,
        }
    }
    names
}

/// Whether the prompts before the first reply speak of `name` as of something that is there: in quotes, or as a call. A
/// function that they show whole is one to be written, or to be copied.
pub fn is_offered(row: &Row, name: &str) -> bool {
    let prompts = row.messages.iter().take_while(|(speaker, _)| *speaker != Speaker::Assistant);
    let mut is_offered = false;
    for (_, text) in prompts {
        for (at, _) in text.match_indices(name) {
            let (before, behind) = (&text[..at], &text[at + name.len()..]);
            if before.trim_end().ends_with("def") {
                return false;
            }
            let is_quoted = before.ends_with(['`', '\'', '"']) && behind.starts_with(['`', '\'', '"', '(']);
            let is_whole = !before.ends_with(|next: char| next.is_alphanumeric() || next == '_');
            is_offered |= is_quoted || (is_whole && behind.starts_with('('));
        }
    }
    is_offered
}

/// The first of `names` that `code` calls, and does not define itself.
pub fn calls<'a>(code: &str, names: &'a [String]) -> Option<&'a str> {
    let code = COMMENT.replace_all(code, "");
    let is_used = |name: &&String| {
        let mut places = code.match_indices(name.as_str());
        places.any(|(at, _)| {
            let before = &code[..at];
            let is_whole = !before.ends_with(|next: char| next.is_alphanumeric() || "_.'\"".contains(next));
            let is_defined = before.trim_end().ends_with("def");
            is_whole && !is_defined && code[at + name.len()..].trim_start_matches(' ').starts_with('(')
        })
    };
    names.iter().find(is_used).map(String::as_str)
}

/// Whether `code` defines a function of this name.
pub fn defines(code: &str, name: &str) -> bool {
    code.contains(&format!("def {name}(")) || code.contains(&format!("import {name}"))
}

/// Whether the message of an error of this name is the code's own words: it asserts or raises it.
pub fn words(code: &str, name: &str) -> bool {
    name == "AssertionError" || code.contains(&format!("raise {name}("))
}

/// Whether `code` installs packages.
pub fn installs(code: &str) -> bool {
    INSTALL.is_match(&COMMENT.replace_all(code, ""))
}

/// Whether `code` reads the clock.
pub fn reads_clock(code: &str) -> bool {
    CLOCK.is_match(&COMMENT.replace_all(code, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(system: &str, user: &str) -> Row {
        let messages = vec![(Speaker::System, system.to_owned()), (Speaker::User, user.to_owned())];
        Row { id: "r".into(), messages }
    }

    #[test]
    fn tools_are_read_from_the_prompt() {
        let row = row(
            "Tools:\n[1] search(query: str) -> str\nFinds.\n\n[2] look() -> str\nFor example: look()",
            "1. f(x)\nuse `db`",
        );
        assert_eq!(tools(&row), ["search", "look"]);
        assert!(is_offered(&row, "db") && is_offered(&row, "f") && !is_offered(&row, "use"));
        let task = self::row("", "def f(x):\n    ...\nWhat is the amount(nt) of `d`? f(1)");
        assert!(!is_offered(&task, "f") && !is_offered(&task, "mount") && is_offered(&task, "d"));
    }

    #[test]
    fn a_call_is_no_mention() {
        let names = ["look".to_owned(), "use".to_owned()];
        assert_eq!(calls("print(look ())", &names), Some("look"));
        assert_eq!(calls("a = [use(1)]", &names), Some("use"));
        for code in
            ["# look() first", "print('look')", "x.look()", "def look(): pass", "outlook(1)", "look = 1", "'look('"]
        {
            assert_eq!(calls(code, &names), None, "{code}");
        }
        assert!(words("raise ValueError('a')", "ValueError") && !words("int('a')", "ValueError"));
        assert!(defines("def look(at):", "look") && !defines("look(1)", "look"));
    }

    #[test]
    fn installing_and_clocks_are_seen() {
        for code in [
            "!pip install numpy",
            "  %pip install -q x",
            "pip install x",
            "!python3 -m pip install --user x",
            "subprocess.run([sys.executable, '-m', 'pip', 'install', 'x'])",
            "os.system('pip install x')",
        ] {
            assert!(installs(code), "{code}");
        }
        assert!(!installs("# pip install numpy\nprint(1)") && !installs("pipe(install)"));
        assert!(reads_clock("datetime.now()") && reads_clock("t = time.time()") && !reads_clock("runtime(1)"));
    }
}
