//! Rules of the house that no compiler holds, checked on every file that git tracks.
//!
//! Runs as a test of `codeact-train` (the top floor), so that it can read the configs with the trainer's own type. Each
//! rule lists all its violations, as `path:line: what`.

#![allow(clippy::unwrap_used)] // a test that cannot go on should stop

#[path = "tidy/files.rs"]
mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use files::{files, functions, item_end, repository, rust_files, test_modules, tracked};

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;
const DATA_BYTES_MAX: u64 = 5 << 20;
const GOLDEN_BYTES_MAX: u64 = 2 << 20;

/// A crate uses only crates on lower floors.
const FLOORS: [(&str, usize); 12] = [
    ("chat", 0),
    ("cpu", 0),
    ("grammar", 0),
    ("ops", 0),
    ("sandbox", 0),
    ("data", 1),
    ("model", 1),
    ("engine", 2),
    ("agent", 3),
    ("eval", 4),
    ("train", 5),
    ("serve", 5),
];

/// What a room never sees, though its floor would allow it.
const NEVER: [(&str, &[&str]); 6] = [
    ("chat", &["candle-core", "candle-nn"]),
    ("data", &["candle-core", "candle-nn"]),
    ("grammar", &["tokenizers", "candle-core"]),
    ("sandbox", &["candle-core", "candle-nn", "tokenizers"]),
    ("engine", &["codeact-chat", "tokenizers", "minijinja"]),
    ("eval", &["axum"]),
];

/// The only files with `unsafe`: memory maps, vector instructions, the CUDA driver and the system calls of the sandbox.
const UNSAFE_FILES: &[&str] = &[
    "crates/cpu/src/compiled.rs",
    "crates/cpu/src/disjoint.rs",
    "crates/cpu/src/lora.rs",
    "crates/cpu/src/matrix/mod.rs",
    "crates/cpu/src/matrix/product.rs",
    "crates/cpu/src/matrix/product_bf16.rs",
    "crates/cpu/src/memory.rs",
    "crates/cpu/src/paged/attention.rs",
    "crates/cpu/src/paged/kernel.rs",
    "crates/cpu/src/paged/write.rs",
    "crates/cpu/src/quant.rs",
    "crates/cpu/src/quant/avx2.rs",
    "crates/cpu/src/quant/avx512.rs",
    "crates/cpu/src/quant/kernels.rs",
    "crates/cpu/src/quant/tests.rs",
    "crates/cpu/src/simd/avx2.rs",
    "crates/cpu/src/simd/avx512.rs",
    "crates/cpu/src/team.rs",
    "crates/engine/src/sampling/scan.rs",
    "crates/model/src/weights.rs",
    "crates/model/tests/counting/mod.rs",
    "crates/ops/src/allocator.rs",
    "crates/ops/src/cpu.rs",
    "crates/ops/src/device/cuda.rs",
    "crates/ops/src/gemm/bf16.rs",
    "crates/ops/src/gemm/mod.rs",
    "crates/ops/src/gemm/pack.rs",
    "crates/ops/src/gpu/card.rs",
    "crates/ops/src/gpu/emulation.rs",
    "crates/ops/src/nccl.rs",
    "crates/sandbox/src/cgroup/tests.rs",
    "crates/sandbox/src/jail/calls.rs",
    "crates/sandbox/src/jail/landlock.rs",
    "crates/sandbox/src/launcher/entry.rs",
    "crates/sandbox/src/seccomp.rs",
    "crates/sandbox/src/seccomp/tests.rs",
    "crates/sandbox/src/workspace/dir.rs",
    "crates/sandbox/src/workspace/tests/inout.rs",
    "tests/fuzz/allocation.rs",
];

const BANNED_MODULES: [&str; 8] = ["util", "utils", "common", "helper", "helpers", "manager", "misc", "stuff"];

/// Only these speak to the outside: `main.rs`, `build.rs`, `src/bin`, examples, tests, and the entry of the launcher.
const EDGE_ONLY: [&str; 4] = ["println!(", "print!(", "process::exit(", "env::args"];

fn none(rule: &str, violations: Vec<String>) {
    assert!(violations.is_empty(), "{rule}: {} violations\n{}", violations.len(), violations.join("\n"));
}

#[test]
fn crates_use_only_lower_floors() {
    let floors = BTreeMap::from(FLOORS);
    let mut violations = Vec::new();
    for file in files().iter().filter(|file| file.path.starts_with("crates/") && file.path.ends_with("/Cargo.toml")) {
        let room = file.path.split('/').nth(1).unwrap();
        let floor = floors.get(room).unwrap_or_else(|| panic!("crate `{room}` has no floor"));
        let manifest: toml::Table = file.text.parse().unwrap();
        let never = NEVER.iter().find(|(name, _)| *name == room).map_or(&[][..], |(_, never)| never);
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(dependencies) = manifest.get(kind).and_then(|table| table.as_table()) else {
                continue;
            };
            for name in dependencies.keys() {
                // A crate may ask for its own features in its tests.
                let lower = name.strip_prefix("codeact-").is_none_or(|used| floors[used] < *floor || used == room);
                if !lower || (kind == "dependencies" && never.contains(&name.as_str())) {
                    violations.push(format!("{}: {kind} has `{name}`", file.path));
                }
            }
        }
    }
    none("a crate uses only lower floors, and not what it must never see", violations);
}

#[test]
fn files_and_functions_are_short() {
    let mut violations = Vec::new();
    for file in files().iter().filter(|file| file.has_extension(&["rs", "py", "cu", "sh"])) {
        let lines: Vec<&str> = file.text.lines().collect();
        if lines.len() > FILE_LINES_MAX {
            violations.push(format!("{}: {} lines, at most {FILE_LINES_MAX}", file.path, lines.len()));
        }
        for (index, name) in functions(file, &lines) {
            let length = item_end(&lines, index) + 1 - index;
            if length > FUNCTION_LINES_MAX {
                let at = index + 1;
                violations
                    .push(format!("{}:{at}: `{name}` has {length} lines, at most {FUNCTION_LINES_MAX}", file.path));
            }
        }
    }
    none("files and functions are short", violations);
}

#[test]
fn nothing_is_left_to_do_and_nothing_unwraps() {
    // Put together here, so that this file does not hold them.
    let marks = [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X"), concat!("dbg", "!(")];
    let mut violations = Vec::new();
    let files = files();
    let test_modules = test_modules(&files);
    for file in files.iter().filter(|file| file.has_extension(&["rs", "py", "cu", "sh", "toml"])) {
        for (index, line) in file.text.lines().enumerate() {
            for mark in marks.iter().filter(|mark| line.contains(**mark)) {
                violations.push(format!("{}:{}: `{mark}`", file.path, index + 1));
            }
        }
        if file.has_extension(&["rs"]) && !file.is_test(&test_modules) {
            let unwraps = file.code().into_iter().filter(|(_, line)| line.contains(".unwrap()"));
            violations.extend(unwraps.map(|(number, _)| format!("{}:{number}: `unwrap()`", file.path)));
        }
    }
    none("nothing is left to do, and only tests unwrap", violations);
}

#[test]
fn names_say_what_is_inside() {
    let mut violations = Vec::new();
    for path in tracked().iter().filter(|path| path.starts_with("crates/") || path.starts_with("kernels/")) {
        for part in Path::new(path).with_extension("").iter().filter_map(|part| part.to_str()) {
            if BANNED_MODULES.contains(&part) {
                violations.push(format!("{path}: `{part}` says nothing; name it after what it does"));
            }
        }
    }
    let candle_nn = concat!("candle", "_nn::");
    for file in rust_files() {
        for (index, _) in file.text.lines().enumerate().filter(|(_, line)| line.contains(candle_nn)) {
            violations.push(format!("{}:{}: use `codeact_ops`; {candle_nn} stops gradients", file.path, index + 1));
        }
    }
    none("banned names", violations);
}

#[test]
fn unsafe_code_is_rare_and_says_why() {
    let (mut violations, mut used) = (Vec::new(), BTreeSet::new());
    let begins = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"];
    for file in rust_files().iter().filter(|file| file.path != "tests/tidy.rs") {
        let lines: Vec<&str> = file.text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let is_comment = line.trim_start().starts_with("//");
            if is_comment || !begins.iter().any(|begin| line.contains(begin)) {
                continue;
            }
            used.insert(file.path.clone());
            // An `unsafe fn` passes the duty on; its callers say why they meet it.
            if line.contains("unsafe fn") {
                continue;
            }
            // The reason may stand above a statement or attribute of a few lines.
            let above = &lines[index.saturating_sub(8)..=index];
            if !above.iter().any(|line| line.contains("SAFETY") || line.contains("# Safety")) {
                violations.push(format!("{}:{}: `unsafe` without a SAFETY reason", file.path, index + 1));
            }
        }
    }
    let allowed = UNSAFE_FILES.iter().map(|path| (*path).to_owned()).collect::<BTreeSet<_>>();
    violations.extend(used.difference(&allowed).map(|path| format!("{path}: not among the files with `unsafe`")));
    violations.extend(allowed.difference(&used).map(|path| format!("{path}: has no `unsafe`, take it off the list")));
    none("unsafe", violations);
}

#[test]
fn only_the_edge_speaks_to_the_terminal() {
    let files = rust_files();
    let test_modules = test_modules(&files);
    let mut violations = Vec::new();
    for file in files.iter().filter(|file| !file.is_test(&test_modules) && !file.is_edge()) {
        for (number, line) in file.code() {
            let line = line.replace("eprint", "");
            for call in EDGE_ONLY.iter().filter(|call| line.contains(**call)) {
                violations.push(format!("{}:{number}: `{call}` outside main.rs, bin, examples and tests", file.path));
            }
        }
    }
    none("only the edge reads arguments, prints and exits", violations);
}

#[test]
fn every_module_opens_with_its_purpose() {
    let sources = rust_files().into_iter().filter(|file| file.path.contains("/src/"));
    let silent = sources.filter(|file| !file.text.starts_with("//! "));
    none("the first line says what a file is for", silent.map(|file| file.path).collect());
}

#[test]
fn every_config_is_one_the_trainer_accepts() {
    let mut count = 0;
    // The server's settings are held to its own type, in `crates/serve/src/config`.
    let is_trainers = |path: &&String| path.ends_with(".toml") && *path != "configs/serve.toml";
    for path in tracked().iter().filter(|path| path.starts_with("configs/")).filter(is_trainers) {
        if let Err(error) = codeact_train::config::Config::load(&repository().join(path), &[]) {
            panic!("{path}: {error}");
        }
        count += 1;
    }
    assert!(count >= 3, "only {count} configs");
}

#[test]
fn every_kernel_has_a_twin() {
    let kernels = tracked().into_iter().filter(|path| path.starts_with("kernels/") && path.ends_with(".cu"));
    let alone = kernels.filter(|path| {
        let name = Path::new(path).file_stem().and_then(|stem| stem.to_str()).unwrap();
        let folder = repository().join("crates/ops/src");
        !folder.join(format!("{name}.rs")).exists() && !folder.join(name).join("mod.rs").exists()
    });
    none("kernels/X.cu pairs with crates/ops/src/X.rs", alone.collect());
}

#[test]
fn committed_data_is_small() {
    let size = |path: &String| std::fs::metadata(repository().join(path)).unwrap().len();
    let (mut violations, mut golden) = (Vec::new(), 0);
    for path in tracked() {
        if path.starts_with("data/") && size(&path) > DATA_BYTES_MAX {
            violations.push(format!("{path}: {} bytes, at most {DATA_BYTES_MAX}", size(&path)));
        }
        golden += if path.starts_with("tests/golden/") { size(&path) } else { 0 };
    }
    none("data is small", violations);
    assert!(golden <= GOLDEN_BYTES_MAX, "tests/golden has {golden} bytes, at most {GOLDEN_BYTES_MAX}");
}

#[test]
fn no_file_names_a_registry_host_or_a_private_path() {
    // Put together here, so that this file does not hold them. Cargo writes its registry into Cargo.lock.
    let hosts = ["crates|.io", "python|hosted.org", "py|pi.org", "npm|js.com", "/wo|rk/", "/ro|ot/"];
    let hosts = hosts.map(|host| host.replace('|', ""));
    let mut violations = Vec::new();
    for file in files().iter().filter(|file| file.path != "Cargo.lock") {
        for (index, line) in file.text.lines().enumerate() {
            for host in hosts.iter().filter(|host| line.contains(host.as_str())) {
                violations.push(format!("{}:{}: `{host}`", file.path, index + 1));
            }
        }
    }
    none("no registry hosts, no paths of one machine", violations);
}
