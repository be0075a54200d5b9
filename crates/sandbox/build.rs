//! Puts the attacks that `doctor` runs into the library, as text.

use std::path::{Path, PathBuf};

fn main() -> std::io::Result<()> {
    let variable = |name: &str| PathBuf::from(std::env::var_os(name).expect("cargo sets it for build scripts"));
    let folder = variable("CARGO_MANIFEST_DIR").join("attacks");
    println!("cargo:rerun-if-changed={}", folder.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "py") && is_for_doctor(&path)? {
            paths.push(path);
        }
    }
    paths.sort();
    let mut list = String::from("[\n");
    for path in &paths {
        let name = path.file_stem().expect("it has an extension").to_string_lossy();
        list.push_str(&format!("    ({name:?}, include_str!({path:?})),\n"));
    }
    list.push_str("]\n");
    std::fs::write(variable("OUT_DIR").join("attacks.rs"), list)
}

fn is_for_doctor(path: &Path) -> std::io::Result<bool> {
    let text = std::fs::read_to_string(path)?;
    Ok(text.lines().take_while(|line| line.starts_with('#')).any(|line| line == "# doctor: yes"))
}
