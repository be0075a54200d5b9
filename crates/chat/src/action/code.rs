//! Code as models write it, made ready to run.

/// The code inside an `<execute>` tag: without a fence around it, blank lines before and after, and indentation that
/// all lines share.
pub(super) fn clean(body: &str) -> String {
    let body = unfenced(body.trim_end());
    // Code may start on the line of the tag, after a blank that is not indentation.
    let first_line = body.lines().next().unwrap_or_default();
    if !first_line.trim().is_empty() {
        return body.trim().to_owned();
    }
    let lines: Vec<&str> = body.trim_end().lines().skip_while(|line| line.trim().is_empty()).collect();
    let Some(first) = lines.first() else {
        return String::new();
    };
    let indent = &first[..first.len() - first.trim_start().len()];
    let is_shared = lines.iter().all(|line| line.starts_with(indent) || line.trim().is_empty());
    if indent.is_empty() || !is_shared {
        return lines.join("\n");
    }
    let dedented: Vec<&str> = lines.iter().map(|line| line.strip_prefix(indent).unwrap_or_default()).collect();
    dedented.join("\n")
}

/// The inside of a fence that encloses the whole text, or the text itself. A fence that was never closed counts too:
/// the tag was.
fn unfenced(body: &str) -> &str {
    let inside = || {
        let (language, rest) = body.trim().strip_prefix("```")?.split_once('\n')?;
        let code = rest.strip_suffix("```").unwrap_or(rest);
        (is_python(language) || language.trim().is_empty()).then_some(code)
    };
    // Without its leading line break, the first line would count as standing on the tag's line.
    match inside() {
        Some(code) => &body[code.as_ptr() as usize - body.as_ptr() as usize - 1..][..code.len() + 1],
        None => body,
    }
}

/// Whether the word after a fence names Python.
pub(super) fn is_python(language: &str) -> bool {
    let language = language.trim();
    ["python", "py", "python3"].iter().any(|name| language.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_freed_of_what_models_put_around_it() {
        for (written, run) in [
            ("\nx = 1\nprint(x)\n", "x = 1\nprint(x)"),
            (" print(1) ", "print(1)"),
            (" x = 1\nprint(x)", "x = 1\nprint(x)"),
            ("\n    x = 1\n\n    if x:\n        print(x)\n", "x = 1\n\nif x:\n    print(x)"),
            ("\n\n  \ndef f():\n    return 1\n\n", "def f():\n    return 1"),
            ("\n```python\nprint(1)\n```\n", "print(1)"),
            ("```\nif 1:\n  print(1)\n```", "if 1:\n  print(1)"),
            ("\n```python\n    print(1)\n```\n", "print(1)"),
            ("\n```python\nprint(1)\n", "print(1)"),
            ("\n  a = 1\nb = 2\n", "  a = 1\nb = 2"),
            ("\ns = '''\n```bash\nls\n```\n'''\n", "s = '''\n```bash\nls\n```\n'''"),
            ("", ""),
            (" \n\n ", ""),
        ] {
            assert_eq!(clean(written), run, "{written:?}");
        }
    }
}
