//! `codeact-train push`: an export goes to the hub, as it was written and nothing else.

use std::path::PathBuf;

use codeact_model::source::{Options, Publication, publish};

use super::command::manifest_path;
use super::manifest::{FILE, read_files};
use crate::error::TrainError;

/// What goes where.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Folder of an adapter or a model, or GGUF file, as this program exported it
    #[arg(value_name = "EXPORT")]
    export: PathBuf,
    /// Repository of the hub; it is made, private, when it is not there
    #[arg(long, value_name = "OWNER/NAME")]
    repo: String,
    /// Everybody may see it
    #[arg(long)]
    public: bool,
    /// Branch of the repository
    #[arg(long, value_name = "NAME")]
    revision: Option<String>,
    /// Of the commit
    #[arg(long, value_name = "TEXT", default_value = "Upload by codeact-train")]
    message: String,
}

/// Publishes the files that the manifest names, and the manifest, once all of them are what was exported.
///
/// # Errors
/// When a file is missing or has changed, and when the hub does not take them.
pub(super) fn run(args: &Args, options: &Options, say: &dyn Fn(&str)) -> Result<String, TrainError> {
    let manifest = match args.export.is_dir() {
        true => args.export.join(FILE),
        false => manifest_path(&args.export),
    };
    let folder = manifest.parent().map(PathBuf::from).unwrap_or_default();
    let mut files: Vec<(String, PathBuf)> =
        read_files(&manifest)?.into_iter().map(|file| (file.name.clone(), folder.join(file.name))).collect();
    files.push((manifest.file_name().unwrap_or_default().to_string_lossy().into_owned(), manifest.clone()));
    let publication = Publication {
        repository: args.repo.clone(),
        files,
        is_public: args.public,
        revision: args.revision.clone(),
        message: args.message.clone(),
    };
    let published = publish(&publication, options, say)?;
    let commit = published.commit.map(|commit| format!("commit   {commit}\n")).unwrap_or_default();
    Ok(format!("pushed   {}\n{commit}", published.url))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use codeact_data::hash;
    use serde_json::json;

    use super::*;

    fn pushed(export: &Path) -> String {
        let args = Args {
            export: export.to_owned(),
            repo: "someone/tiny".to_owned(),
            public: false,
            revision: None,
            message: "Upload".to_owned(),
        };
        let options = Options { offline: true, ..Options::from_environment() };
        run(&args, &options, &|_| {}).unwrap_err().to_string()
    }

    fn listed(folder: &Path, names: &[&str]) -> String {
        let describe = |name: &&str| {
            let path = folder.join(name);
            let bytes = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
            json!({"name": name, "bytes": bytes, "sha256": hash::of_file(&path).unwrap_or_default()})
        };
        json!({"files": names.iter().map(describe).collect::<Vec<_>>()}).to_string()
    }

    #[test]
    fn only_what_was_exported_and_is_unchanged_goes_out() {
        let root = tempfile::tempdir().unwrap();
        let (folder, manifest) = (root.path(), root.path().join(FILE));
        assert!(pushed(folder).contains("hint: give a folder or GGUF file that this program exported"));
        std::fs::write(folder.join("a.safetensors"), "weights").unwrap();
        for (text, told) in [
            ("{}".to_owned(), "missing field `files`"),
            (listed(folder, &[]), "names no files"),
            (listed(folder, &["b.safetensors"]), "`b.safetensors`"),
            (listed(folder, &["../secret"]), "no name of a file"),
            (listed(folder, &[".env"]), "no name of a file"),
        ] {
            std::fs::write(&manifest, text).unwrap();
            let error = pushed(folder);
            assert!(error.contains(told), "{told}: {error}");
        }
        // Offline is the last thing that stands in the way of a good one.
        std::fs::write(&manifest, listed(folder, &["a.safetensors"])).unwrap();
        assert!(pushed(folder).contains("HF_HUB_OFFLINE"));
        std::fs::write(folder.join("a.safetensors"), "WEIGHTS").unwrap();
        assert!(pushed(folder).contains("`a.safetensors` is not the file that was exported"));
        std::fs::remove_file(folder.join("a.safetensors")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", folder.join("a.safetensors")).unwrap();
        assert!(pushed(folder).contains("is not the file"));
    }

    #[test]
    fn a_file_goes_with_the_manifest_beside_it() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("m.gguf");
        std::fs::write(&file, "GGUF").unwrap();
        assert!(pushed(&file).contains("m.gguf.manifest.json"));
        std::fs::write(manifest_path(&file), listed(root.path(), &["m.gguf"])).unwrap();
        assert!(pushed(&file).contains("HF_HUB_OFFLINE"));
    }
}
