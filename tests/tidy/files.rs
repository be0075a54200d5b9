//! The files that git tracks, and where code, items and tests begin and end in them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

pub fn repository() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).expect("this crate lies in the repository").to_owned()
}

pub fn tracked() -> Vec<String> {
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(repository()).output();
    let output = output.expect("git is needed: the rules hold for the files it tracks");
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).expect("tracked paths are UTF-8");
    let names = names.split('\0').filter(|name| !name.is_empty() && repository().join(name).is_file());
    names.map(str::to_owned).collect()
}

/// A tracked file that is text.
pub struct File {
    pub path: String,
    pub text: String,
}

impl File {
    pub fn has_extension(&self, extensions: &[&str]) -> bool {
        extensions.iter().any(|extension| self.path.ends_with(&format!(".{extension}")))
    }

    /// Written for tests only: under `tests/`, or a module that is declared behind `#[cfg(test)]`.
    pub fn is_test(&self, test_modules: &BTreeSet<String>) -> bool {
        self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || test_modules.iter().any(|module| self.path.starts_with(module.as_str()))
    }

    /// A program of its own: cargo hears a build script by what it prints, and the launcher never comes to a `main`.
    pub fn is_edge(&self) -> bool {
        let program = ["src/main.rs", "/build.rs", "launcher/entry.rs"].iter().any(|end| self.path.ends_with(end));
        program || self.path.contains("/bin/") || self.path.contains("/examples/")
    }

    /// Numbered lines without comments and without items behind `#[cfg(test)]`.
    pub fn code(&self) -> Vec<(usize, &str)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let (mut code, mut at) = (Vec::new(), 0);
        while at < lines.len() {
            if lines[at].trim() == "#[cfg(test)]" {
                at = item_end(&lines, at + 1) + 1;
                continue;
            }
            let line = lines[at].split("// ").next().expect("split gives at least one part");
            if !line.trim_start().starts_with("//") {
                code.push((at + 1, line));
            }
            at += 1;
        }
        code
    }
}

pub fn files() -> Vec<File> {
    let texts = tracked().into_iter().filter_map(|path| {
        let text = String::from_utf8(std::fs::read(repository().join(&path)).unwrap()).ok()?;
        Some(File { path, text })
    });
    let files: Vec<File> = texts.collect();
    assert!(files.len() > 50, "only {} files are tracked", files.len());
    files
}

pub fn rust_files() -> Vec<File> {
    files().into_iter().filter(|file| file.has_extension(&["rs"])).collect()
}

/// Paths, without `.rs`, of modules declared as `#[cfg(test)] mod name;`.
pub fn test_modules(files: &[File]) -> BTreeSet<String> {
    let mut modules = BTreeSet::new();
    for file in files {
        let lines: Vec<&str> = file.text.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[0].trim() == "#[cfg(test)]") {
            let declared = pair[1].trim().trim_start_matches("pub(crate) ").strip_prefix("mod ");
            let Some(name) = declared.and_then(|rest| rest.strip_suffix(';')) else {
                continue;
            };
            let folder = file.path.trim_end_matches(".rs").trim_end_matches("/mod").trim_end_matches("/lib");
            modules.insert(format!("{folder}/{name}"));
        }
    }
    modules
}

/// Index of the first line and name of each Rust function, tests included.
pub fn functions<'a>(file: &File, lines: &[&'a str]) -> Vec<(usize, &'a str)> {
    let is_qualifier =
        |word: &str| ["async", "const", "unsafe", "extern", "\"C\""].contains(&word) || word.starts_with("pub");
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate().filter(|_| file.has_extension(&["rs"])) {
        let mut words = line.split_whitespace().skip_while(|word| is_qualifier(word));
        if words.next() == Some("fn") {
            let name = words.next().unwrap_or_default();
            found.push((index, name.split(['(', '<']).next().unwrap_or(name)));
        }
    }
    found
}

/// Index of the last line of the item that begins at `start`, in code that rustfmt wrote: a line that ends in `;`, or
/// the closing brace at the item's own indent.
pub fn item_end(lines: &[&str], start: usize) -> usize {
    let indent = lines[start].len() - lines[start].trim_start().len();
    let mut body = false;
    for (offset, line) in lines[start..].iter().enumerate() {
        let line_indent = line.len() - line.trim_start().len();
        let closes = line.trim_start().starts_with('}') && line_indent == indent;
        if (body && closes) || (!body && (line.ends_with(';') || (line.ends_with('}') && line.contains('{')))) {
            return start + offset;
        }
        body |= line.ends_with('{');
    }
    lines.len() - 1
}
