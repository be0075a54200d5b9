//! What tools are called in Python: their own names where that can be, else with the server's name in front.

use std::collections::{BTreeMap, BTreeSet};

const NAME_CHARS_MAX: usize = 64;

const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
    "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
    "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

/// What cells have already, and a server must not put something else in the place of.
const TAKEN: [&str; 84] = [
    "abs",
    "aiter",
    "all",
    "anext",
    "any",
    "ascii",
    "bin",
    "bool",
    "breakpoint",
    "bytearray",
    "bytes",
    "callable",
    "chr",
    "classmethod",
    "compile",
    "complex",
    "copyright",
    "credits",
    "delattr",
    "dict",
    "dir",
    "display",
    "divmod",
    "enumerate",
    "eval",
    "exec",
    "exit",
    "filter",
    "float",
    "format",
    "frozenset",
    "get_ipython",
    "getattr",
    "globals",
    "hasattr",
    "hash",
    "help",
    "hex",
    "id",
    "In",
    "input",
    "int",
    "isinstance",
    "issubclass",
    "iter",
    "len",
    "license",
    "list",
    "locals",
    "map",
    "max",
    "memoryview",
    "min",
    "next",
    "object",
    "oct",
    "open",
    "ord",
    "Out",
    "pow",
    "print",
    "property",
    "quit",
    "range",
    "repr",
    "reversed",
    "round",
    "set",
    "setattr",
    "slice",
    "sorted",
    "staticmethod",
    "str",
    "sum",
    "super",
    "tuple",
    "type",
    "vars",
    "zip",
    "np",
    "pd",
    "plt",
    "os",
    "sys",
];

/// Whether Python can call something so.
pub(super) fn is_identifier(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.len() <= NAME_CHARS_MAX
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !KEYWORDS.contains(&name)
}

/// The nearest text that could be a part of a Python name.
fn plain(name: &str) -> String {
    let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    name.chars().take(NAME_CHARS_MAX).map(letter).collect()
}

/// Makes parameter names of the keys of a schema, one for each and all different.
pub(super) fn parameters<'a>(keys: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut used = BTreeSet::new();
    keys.map(|key| {
        let plain = plain(key);
        let needs_more = KEYWORDS.contains(&plain.as_str());
        let name = if needs_more { format!("{plain}_") } else { plain };
        let is_number = name.starts_with(|first: char| first.is_ascii_digit());
        let name = if is_number || name.is_empty() { format!("_{name}") } else { name };
        unused(name, &mut used)
    })
    .collect()
}

/// The Python names of `tools`, given as server and name, in their order. A name that two servers have gets the server's
/// in front of it in both.
pub(super) fn of_tools(tools: &[(&str, &str)]) -> Vec<String> {
    let mut owners: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (server, tool) in tools {
        owners.entry(plain(tool)).or_default().insert(server);
    }
    let mut used = BTreeSet::new();
    tools
        .iter()
        .map(|(server, tool)| {
            let bare = plain(tool);
            let is_free = is_identifier(&bare) && !TAKEN.contains(&bare.as_str()) && !bare.starts_with("__");
            let name = if is_free && owners[&bare].len() == 1 { bare } else { format!("{server}_{bare}") };
            unused(name, &mut used)
        })
        .collect()
}

/// `name`, or with a number behind it if there is one already.
fn unused(name: String, used: &mut BTreeSet<String>) -> String {
    let mut candidate = name.clone();
    let mut number = 2;
    while !used.insert(candidate.clone()) {
        candidate = format!("{name}_{number}");
        number += 1;
    }
    candidate
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_keep_their_names_where_python_has_room_for_them() {
        let tools = [
            ("files", "read_file"),
            ("files", "read-file"),
            ("files", "search"),
            ("web", "search"),
            ("web", "print"),
            ("web", "class"),
            ("web", "2nd"),
            ("web", "größe"),
            ("web", ""),
            ("web", "__import__"),
        ];
        let expected = [
            "read_file",
            "read_file_2",
            "files_search",
            "web_search",
            "web_print",
            "web_class",
            "web_2nd",
            "gr__e",
            "web_",
            "web___import__",
        ];
        assert_eq!(of_tools(&tools), expected);
    }

    #[test]
    fn parameters_are_different_identifiers_whatever_the_keys() {
        let keys = ["a-b", "a b", "a_b", "from", "1st", "", "x".repeat(500).as_str()].map(str::to_owned);
        let names = parameters(keys.iter());
        assert_eq!(names[..6], ["a_b", "a_b_2", "a_b_3", "from_", "_1st", "_"]);
        assert!(names.iter().all(|name| is_identifier(name)), "{names:?}");
    }
}
