//! Where an export may go: never over what is not one, and never over what it is made of.

use std::path::{Path, PathBuf};

use crate::error::TrainError;

/// Files of a model folder, ours and others'. `*` stands for any text.
const KNOWN: [&str; 16] = [
    "README.md",
    "manifest.json",
    "codeact.json",
    "config.json",
    "generation_config.json",
    "adapter_config.json",
    "adapter_model.safetensors",
    "model.safetensors",
    "model-*-of-*.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
];

/// Refuses a folder that is in use, unless it is an earlier export that may be replaced.
///
/// * `inputs`: what the export is made of.
///
/// # Errors
/// Names what is in the way.
pub(super) fn check_folder(out: &Path, overwrite: bool, inputs: &[&Path]) -> Result<(), TrainError> {
    refuse_inputs(out, inputs)?;
    let Ok(metadata) = std::fs::symlink_metadata(out) else {
        return Ok(());
    };
    if !metadata.is_dir() {
        return Err(TrainError::TargetForeign { path: out.to_owned(), entry: None });
    }
    let mut is_empty = true;
    for entry in std::fs::read_dir(out).map_err(TrainError::write(out))? {
        let name = entry.map_err(TrainError::write(out))?.file_name().to_string_lossy().into_owned();
        let is_known = |pattern: &str| glob::Pattern::new(pattern).is_ok_and(|pattern| pattern.matches(&name));
        if !KNOWN.into_iter().any(is_known) {
            return Err(TrainError::TargetForeign { path: out.to_owned(), entry: Some(name) });
        }
        is_empty = false;
    }
    match is_empty || overwrite {
        true => Ok(()),
        false => Err(TrainError::TargetTaken { path: out.to_owned() }),
    }
}

/// The same for a file.
///
/// # Errors
/// Names what is in the way.
pub(super) fn check_file(out: &Path, overwrite: bool, inputs: &[&Path]) -> Result<(), TrainError> {
    refuse_inputs(out, inputs)?;
    match std::fs::symlink_metadata(out) {
        Err(_) => Ok(()),
        Ok(metadata) if !metadata.is_file() => Err(TrainError::TargetForeign { path: out.to_owned(), entry: None }),
        Ok(_) if overwrite => Ok(()),
        Ok(_) => Err(TrainError::TargetTaken { path: out.to_owned() }),
    }
}

/// A folder is replaced as a whole: what is read meanwhile must not lie in it.
fn refuse_inputs(out: &Path, inputs: &[&Path]) -> Result<(), TrainError> {
    let whole = |path: &Path| -> Option<PathBuf> { path.canonicalize().ok() };
    let Some(target) = whole(out) else {
        return Ok(());
    };
    match inputs.iter().find(|input| whole(input).is_some_and(|input| input.starts_with(&target))) {
        Some(input) => Err(TrainError::TargetIsInput { path: out.to_owned(), input: input.to_path_buf() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_export_is_replaced_and_only_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        assert!(check_folder(&out, false, &[]).is_ok(), "not there");
        std::fs::create_dir(&out).unwrap();
        assert!(check_folder(&out, false, &[]).is_ok(), "empty");
        std::fs::write(out.join("config.json"), "{}").unwrap();
        std::fs::write(out.join("model-00001-of-00002.safetensors"), "").unwrap();
        assert!(matches!(check_folder(&out, false, &[]), Err(TrainError::TargetTaken { .. })));
        assert!(check_folder(&out, true, &[]).is_ok());
        std::fs::write(out.join("thesis.tex"), "").unwrap();
        let error = check_folder(&out, true, &[]).unwrap_err();
        assert!(error.to_string().contains("thesis.tex"), "{error}");
        let file = out.join("config.json");
        assert!(matches!(check_folder(&file, true, &[]), Err(TrainError::TargetForeign { entry: None, .. })));
    }

    #[test]
    fn nothing_is_written_over_what_it_is_made_of() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base");
        std::fs::create_dir(&base).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&base, &link).unwrap();
        for out in [&base, &link, &folder.path().to_owned()] {
            let error = check_folder(out, true, &[&base]).unwrap_err();
            assert!(matches!(error, TrainError::TargetIsInput { .. }), "{error}");
        }
        assert!(check_folder(&base.join("out"), true, &[&base]).is_ok(), "a folder inside is none of its files");
    }

    #[test]
    fn a_file_is_replaced_when_asked_and_a_folder_never() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.gguf");
        assert!(check_file(&file, false, &[]).is_ok());
        std::fs::write(&file, "").unwrap();
        assert!(matches!(check_file(&file, false, &[]), Err(TrainError::TargetTaken { .. })));
        assert!(check_file(&file, true, &[]).is_ok());
        assert!(matches!(check_file(folder.path(), true, &[]), Err(TrainError::TargetForeign { .. })));
        assert!(matches!(check_file(&file, true, &[&file]), Err(TrainError::TargetIsInput { .. })));
    }
}
