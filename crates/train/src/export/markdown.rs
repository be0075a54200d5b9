//! Text of others in Markdown and in its YAML header: it stays text.

use codeact_data::preview::harmless;
use serde_json::json;

/// Longest text that is shown of a name.
const CHARS_MAX: usize = 300;

/// A text as code inside a line, in a fence that it does not close.
pub(super) fn code(text: &str) -> String {
    let text = one_line(text).replace('|', "\u{2502}");
    let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let blank = if text.starts_with('`') || text.ends_with('`') || text.is_empty() { " " } else { "" };
    format!("{fence}{blank}{text}{blank}{fence}")
}

/// A text as a value of YAML: a JSON string is one.
pub(super) fn yaml(text: &str) -> String {
    json!(one_line(text)).to_string()
}

/// A word for a shell command; quoted where it needs to be.
pub(super) fn shell(text: &str) -> String {
    let text = one_line(text);
    let is_plain = !text.is_empty()
        && text.chars().all(|character| character.is_ascii_alphanumeric() || "-_./".contains(character));
    match is_plain {
        true => text,
        false => format!("'{}'", text.replace('\'', "'\\''").replace("```", "` ` `")),
    }
}

fn one_line(text: &str) -> String {
    let text = harmless(text).replace(['\n', '\t', '\u{2028}', '\u{2029}', '\u{85}'], " ");
    match text.char_indices().nth(CHARS_MAX) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: [&str; 8] = [
        "a | b",
        "x\n---\nlicense: mit",
        "<script>alert(1)</script>",
        "![i](http://a/b.png)",
        "`` ` ``",
        "```\nrm -rf /",
        "'; rm -rf /; '",
        "\u{202E}txt\u{1b}[31m",
    ];

    #[test]
    fn code_is_closed_by_its_own_fence_alone() {
        for text in HOSTILE {
            let found = code(text);
            let fence = found.len() - found.trim_start_matches('`').len();
            let inner = &found[fence..found.len() - fence];
            let runs = inner.split(|character| character != '`').map(str::len);
            assert!(runs.into_iter().all(|run| run < fence), "{found}");
            assert!(!found.contains('\n') && !found.contains('|'), "{found}");
        }
    }

    #[test]
    fn yaml_and_shell_get_one_word() {
        for text in HOSTILE {
            let value: String = serde_json::from_str(&yaml(text)).unwrap();
            assert!(!value.contains('\n'));
            let word = shell(text);
            assert!(word.starts_with('\'') && word.ends_with('\'') && !word.contains("```") && !word.contains('\n'));
        }
        assert_eq!(shell("checkpoints/runs/a-b_1.2/merged"), "checkpoints/runs/a-b_1.2/merged");
    }
}
