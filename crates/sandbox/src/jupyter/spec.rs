//! Kernels that are installed, found where Jupyter finds them.

use super::KernelError;
use jupyter_protocol::JupyterKernelspec;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An installed kernel.
#[derive(Debug)]
pub(super) struct Spec {
    /// The folder of its `kernel.json`.
    pub folder: PathBuf,
    pub json: JupyterKernelspec,
}

/// What a Python says of itself.
#[derive(Debug)]
pub(super) struct Python {
    pub executable: PathBuf,
    prefix: PathBuf,
    is_environment: bool,
}

const QUESTION: &str = "import sys
print(sys.executable)
print(sys.prefix)
print(sys.prefix != sys.base_prefix)";

impl Python {
    /// `None`: there is none, which a kernel for another language does not mind.
    pub fn ask(python: &Path) -> Option<Python> {
        let output = Command::new(python).args(["-I", "-c", QUESTION]).stdin(Stdio::null()).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let mut lines = text.lines();
        let mut line = || lines.next().filter(|line| !line.is_empty());
        Some(Python { executable: line()?.into(), prefix: line()?.into(), is_environment: line()? == "True" })
    }
}

impl Spec {
    /// The kernel `name`, the first one in [`folders`].
    pub fn find(name: &str, python: Option<&Python>) -> Result<Spec, KernelError> {
        find_in(name, &folders(python))
    }

    /// The command line, with `connection` as the connection file.
    pub fn arguments(&self, connection: &Path, python: Option<&Python>) -> Vec<String> {
        let place = |path: &Path| path.to_string_lossy().into_owned();
        let filled = self.json.argv.iter().map(|argument| {
            argument.replace("{connection_file}", &place(connection)).replace("{resource_dir}", &place(&self.folder))
        });
        let mut arguments: Vec<String> = filled.collect();
        // Specs that come with ipykernel mean the Python beside them, and not the one that the PATH happens to find.
        if let (Some(first), Some(python)) = (arguments.first_mut(), python)
            && ["python", "python3"].contains(&first.as_str())
        {
            *first = place(&python.executable);
        }
        arguments
    }
}

/// Folders of kernels, in the order of Jupyter: JUPYTER_PATH, the environment and the user (the environment first if it
/// is a virtual one), the system.
fn folders(python: Option<&Python>) -> Vec<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let home = variable("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    let shared = variable("XDG_DATA_HOME").map(PathBuf::from).or(home).map(|data| data.join("jupyter"));
    let user = variable("JUPYTER_DATA_DIR").map(PathBuf::from).or(shared);
    let environment = python.map(|python| python.prefix.join("share/jupyter"));
    let mut folders: Vec<PathBuf> =
        variable("JUPYTER_PATH").iter().flat_map(std::env::split_paths).filter(|path| path.is_absolute()).collect();
    match python.is_some_and(|python| python.is_environment) {
        true => folders.extend(environment.into_iter().chain(user)),
        false => folders.extend(user.into_iter().chain(environment)),
    }
    folders.extend(["/usr/local/share/jupyter", "/usr/share/jupyter"].map(PathBuf::from));
    folders.iter().map(|folder| folder.join("kernels")).collect()
}

fn find_in(name: &str, folders: &[PathBuf]) -> Result<Spec, KernelError> {
    let mut known = Vec::new();
    for folder in folders {
        // Listed, and not opened by name, which might lead out of the folder.
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let file = entry.path().join("kernel.json");
            let entry_name = entry.file_name().to_string_lossy().into_owned();
            if !file.is_file() {
                continue;
            }
            // Jupyter does not tell upper from lower case.
            if entry_name.eq_ignore_ascii_case(name) {
                return read(&file).map(|json| Spec { folder: entry.path(), json });
            }
            known.push(entry_name);
        }
    }
    known.sort();
    known.dedup();
    Err(KernelError::Unknown { name: name.to_string(), known, searched: folders.to_vec() })
}

fn read(file: &Path) -> Result<JupyterKernelspec, KernelError> {
    let bad = |reason: String| KernelError::BadFile { path: file.to_path_buf(), reason };
    let text = std::fs::read_to_string(file).map_err(|error| bad(error.to_string()))?;
    let json: JupyterKernelspec = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    match json.argv.is_empty() {
        true => Err(bad("it has no `argv`".to_string())),
        false => Ok(json),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(root: &Path, name: &str, json: &str) {
        let folder = root.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("kernel.json"), json).unwrap();
    }

    const PYTHON: &str =
        r#"{"argv": ["python", "-f", "{connection_file}"], "display_name": "P", "language": "python"}"#;

    #[test]
    fn the_first_folder_wins_and_names_have_no_case() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        install(first.path(), "python3", PYTHON);
        install(second.path(), "python3", "{");
        let folders = [first.path().join("missing"), first.path().to_path_buf(), second.path().to_path_buf()];
        let spec = find_in("Python3", &folders).unwrap();
        assert_eq!(spec.folder, first.path().join("python3"));
        let python = Python { executable: "/env/bin/python".into(), prefix: "/env".into(), is_environment: true };
        assert_eq!(spec.arguments(Path::new("/c.json"), Some(&python)), ["/env/bin/python", "-f", "/c.json"]);
        assert_eq!(spec.arguments(Path::new("/c.json"), None)[0], "python");
    }

    #[test]
    fn what_is_not_there_or_not_right_is_named() {
        let folder = tempfile::tempdir().unwrap();
        install(folder.path(), "ir", PYTHON);
        install(folder.path(), "broken", r#"{"argv": [], "display_name": "B", "language": "b"}"#);
        let folders = [folder.path().to_path_buf()];
        let error = find_in("julia", &folders).unwrap_err().to_string();
        assert!(error.contains("`julia`") && error.contains("broken, ir"), "{error}");
        assert!(find_in("broken", &folders).unwrap_err().to_string().contains("no `argv`"));
        assert!(matches!(find_in("../ir", &folders), Err(KernelError::Unknown { .. })));
    }
}
