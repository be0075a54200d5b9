//! Which file `python3` really is, its version, and the folders it reads.
//!
//! `python3` on the PATH may be a launcher script (pyenv) or a link into a virtual environment. The interpreter is
//! asked itself, once per process and name, before anything is confined.

use crate::SandboxError;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// A CPython that the runner can use.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Interpreter {
    /// The file to execute.
    pub executable: PathBuf,
    /// Folders that it loads code from: installation, virtual environment, module path.
    pub roots: Vec<PathBuf>,
}

const VERSION_MIN: (u32, u32) = (3, 10);

// In old Python too this must print the version and not fail to parse.
const QUESTION: &str = "import sys, os
print('%d.%d' % sys.version_info[:2])
print(sys.executable)
for path in [os.path.realpath(sys.executable), sys.prefix, sys.base_prefix, sys.exec_prefix] + sys.path:
    if path and os.path.exists(path): print(path)";

static KNOWN: Mutex<Option<HashMap<PathBuf, Interpreter>>> = Mutex::new(None);

/// Resolve `python`, and check that it is new enough.
pub(crate) fn find(python: &Path) -> Result<Interpreter, SandboxError> {
    // A panic elsewhere cannot leave the map half-written: it is only ever replaced entry by entry.
    let mut guard = KNOWN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let known = guard.get_or_insert_default();
    if let Some(interpreter) = known.get(python) {
        return Ok(interpreter.clone());
    }
    let interpreter = ask(python)?;
    known.insert(python.to_path_buf(), interpreter.clone());
    Ok(interpreter)
}

fn ask(python: &Path) -> Result<Interpreter, SandboxError> {
    let failed = |reason: String| SandboxError::NoPython { python: python.to_path_buf(), reason };
    let output = Command::new(python)
        .args(["-I", "-B", "-c", QUESTION])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(failed(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim())));
    }
    let mut lines = text.lines();
    let version = lines.next().unwrap_or_default();
    let executable = lines.next().map(PathBuf::from).filter(|path| path.is_absolute());
    let executable = executable.ok_or_else(|| failed(format!("it does not say where it is: `{}`", text.trim())))?;
    let numbers = version.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    if numbers.is_none_or(|numbers: (u32, u32)| numbers < VERSION_MIN) {
        return Err(SandboxError::OldPython { python: executable, version: version.to_string() });
    }
    // "/" as an installation prefix would open the whole file system.
    let roots = lines.map(PathBuf::from).filter(|path| path.is_absolute() && path != Path::new("/")).collect();
    Ok(Interpreter { executable, roots })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launcher_script_is_looked_through() {
        let found = find(Path::new("python3")).unwrap();
        let start = std::fs::read(&found.executable).unwrap();
        assert_eq!(&start[..4], b"\x7fELF", "{}", found.executable.display());
    }

    #[test]
    fn a_missing_python_is_named() {
        let error = find(Path::new("no-such-python")).unwrap_err().to_string();
        assert!(error.contains("`no-such-python`") && error.contains("hint:"), "{error}");
    }
}
