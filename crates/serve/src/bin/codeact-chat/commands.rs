//! What can be said to the program itself: lines that begin with a slash.

use std::path::PathBuf;

use strsim::jaro_winkler;

/// A line for the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Take back so many turns.
    Undo(usize),
    /// Go on in a second conversation from the end of this turn; `None`: from now.
    Branch(Option<usize>),
    /// List the conversations.
    Branches,
    /// Go on in this one.
    Switch(usize),
    /// List a folder of the workspace.
    Files(String),
    /// Copy a file out of the workspace.
    Get(String, Option<PathBuf>),
    /// Copy a file into it.
    Put(PathBuf, Option<String>),
    /// Write the conversation into a file.
    Save(PathBuf),
    /// List the skills.
    Skills,
    /// Keep a function, with Python that tests it.
    KeepSkill(String, String),
    /// List the tools.
    Tools,
    /// Say, or change, whether code waits for approval.
    Approve(Option<bool>),
    /// Say, or change, which model answers.
    Model(Option<String>),
    /// Ask the last thing again.
    Retry,
    /// Change the last thing that was asked, and ask that.
    Edit,
    /// Say what there is.
    Help,
    /// Leave.
    Quit,
}

/// Name, what stands behind it, and what it does.
pub const COMMANDS: [(&str, &str, &str); 17] = [
    ("undo", "[N]", "take back the last N turns: conversation, variables and files"),
    ("retry", "", "take back the last turn and ask the same again"),
    ("edit", "", "take back the last turn and ask it in other words, in $EDITOR"),
    ("branch", "[TURN]", "a second conversation from the end of TURN, or from here"),
    ("branches", "", "the conversations there are"),
    ("switch", "N", "go on in conversation N"),
    ("files", "[FOLDER]", "files of the workspace"),
    ("get", "PATH [FILE]", "copy a file out of the workspace"),
    ("put", "FILE [PATH]", "copy a file into the workspace"),
    ("save", "FILE", "write the conversation: .jsonl (training data), .ipynb or .md"),
    ("skills", "[save NAME TEST]", "functions that are kept; keep one, with an assert that tests it"),
    ("tools", "", "functions of this machine that code can call"),
    ("approve", "[ask|auto]", "whether code waits until you have seen it"),
    ("model", "[NAME]", "the model; another one, or an adapter, from the next turn on"),
    ("help", "", "this list"),
    ("quit", "", "leave (Ctrl-D does, too)"),
    ("exit", "", "leave"),
];

/// The command of a line; `None`: it is for the model. Two slashes begin a text with one.
///
/// # Errors
/// With what is wrong with it.
pub fn parse(line: &str) -> Result<Option<Command>, String> {
    let Some(rest) = line.strip_prefix('/').filter(|rest| !rest.starts_with('/') && !line.contains('\n')) else {
        return Ok(None);
    };
    let (name, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let words = words(rest)?;
    let Some((_, usage, _)) = COMMANDS.iter().find(|(known, ..)| *known == name) else {
        return Err(unknown(name));
    };
    let command = match (name, &words[..]) {
        ("undo", []) => Command::Undo(1),
        ("undo", [count]) => Command::Undo(number(count)?),
        ("retry", []) => Command::Retry,
        ("edit", []) => Command::Edit,
        ("branch", []) => Command::Branch(None),
        ("branch", [turn]) => Command::Branch(Some(number(turn)?)),
        ("branches", []) => Command::Branches,
        ("switch", [branch]) => Command::Switch(number(branch)?),
        ("files", []) => Command::Files(String::new()),
        ("files", [folder]) => Command::Files(folder.trim_end_matches('/').to_owned()),
        ("get", [path]) => Command::Get(path.clone(), None),
        ("get", [path, file]) => Command::Get(path.clone(), Some(PathBuf::from(file))),
        ("put", [file]) => Command::Put(PathBuf::from(file), None),
        ("put", [file, path]) => Command::Put(PathBuf::from(file), Some(path.clone())),
        ("save", [file]) => Command::Save(PathBuf::from(file)),
        ("skills", []) => Command::Skills,
        // A test is Python: it keeps its quotes.
        ("skills", [verb, name, ..]) if verb == "save" => {
            let test = rest.trim_start()[verb.len()..].trim_start()[name.len()..].trim();
            Command::KeepSkill(name.clone(), test.to_owned())
        }
        ("tools", []) => Command::Tools,
        ("approve", []) => Command::Approve(None),
        ("approve", [how]) if how == "ask" || how == "auto" => Command::Approve(Some(how == "ask")),
        ("model", []) => Command::Model(None),
        ("model", [name]) => Command::Model(Some(name.clone())),
        ("help", []) => Command::Help,
        ("quit" | "exit", []) => Command::Quit,
        _ => return Err(format!("usage: /{name} {usage}").trim_end().to_owned()),
    };
    Ok(Some(command))
}

fn unknown(name: &str) -> String {
    let name: String = name.chars().take(40).collect();
    let scored = COMMANDS.iter().map(|(known, ..)| (jaro_winkler(&name, known), known));
    let closest = scored.max_by(|one, other| one.0.total_cmp(&other.0)).filter(|(score, _)| *score > 0.75);
    let hint = match closest {
        Some((_, known)) => format!("did you mean /{known}?"),
        None => "/help lists them; // begins a text with a slash".to_owned(),
    };
    format!("there is no command /{name}\nhint: {hint}")
}

/// All commands, for people.
pub fn help() -> String {
    let lines = COMMANDS.iter().filter(|(name, ..)| *name != "exit").map(|(name, usage, what)| {
        let call = format!("/{name} {usage}");
        format!("{call:<26} {what}")
    });
    let lines: Vec<String> = lines.collect();
    let input = "A text goes on behind a backslash at the end of a line, within ``` and \"\"\", and within brackets that a \
                 line ends in; an empty line ends it. Ctrl-C stops a turn.";
    format!("{}\n\n{input}", lines.join("\n"))
}

fn number(word: &str) -> Result<usize, String> {
    word.parse().map_err(|_| format!("`{word}` is not a number"))
}

/// Words between blanks; quotes keep blanks together, and a backslash takes the next letter as it is.
fn words(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\\', None) => word.get_or_insert_default().extend(letters.next()),
            ('"' | '\'', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (letter, Some(end)) if letter == end => quote = None,
            (letter, None) if letter.is_whitespace() => words.extend(word.take()),
            (letter, _) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    // In the test of a skill anything can stand.
    if quote.is_some() && words.first().is_none_or(|first| first != "save") {
        return Err("a quote is not closed".to_owned());
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> Command {
        parse(line).unwrap().unwrap()
    }

    #[test]
    fn commands_are_read() {
        assert_eq!(command("/undo"), Command::Undo(1));
        assert_eq!(command("/undo 3"), Command::Undo(3));
        assert_eq!(command("/branch 0"), Command::Branch(Some(0)));
        assert_eq!(command("/put 'my file.csv' data.csv"), Command::Put("my file.csv".into(), Some("data.csv".into())));
        assert_eq!(command("/get a\\ b"), Command::Get("a b".into(), None));
        assert_eq!(command("/files out/"), Command::Files("out".into()));
        assert_eq!(command("/approve ask"), Command::Approve(Some(true)));
        let kept = Command::KeepSkill("double".into(), "assert double('a') == \"aa\"".into());
        assert_eq!(command("/skills save double  assert double('a') == \"aa\""), kept);
        assert_eq!(command("/skills save double"), Command::KeepSkill("double".into(), String::new()));
        for (name, ..) in COMMANDS {
            assert!(
                parse(&format!("/{name}")).is_ok_and(|read| read.is_some())
                    || parse(&format!("/{name}")).unwrap_err().starts_with("usage")
            );
        }
    }

    #[test]
    fn what_is_no_command_is_for_the_model_or_told() {
        assert_eq!(parse("undo"), Ok(None));
        assert_eq!(parse("//etc/passwd has users"), Ok(None));
        assert_eq!(parse("/undo\nis what I typed"), Ok(None));
        assert_eq!(parse("/undoo").unwrap_err(), "there is no command /undoo\nhint: did you mean /undo?");
        assert!(parse("/etc/passwd").unwrap_err().contains("/help lists them"));
        assert_eq!(parse("/undo x").unwrap_err(), "`x` is not a number");
        assert_eq!(parse("/save").unwrap_err(), "usage: /save FILE");
        assert_eq!(parse("/approve never").unwrap_err(), "usage: /approve [ask|auto]");
        assert_eq!(parse("/get 'a").unwrap_err(), "a quote is not closed");
    }
}
