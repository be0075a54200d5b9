//! The attacks of the catalogue, as files: see `attacks/README.md`.

pub use codeact_sandbox::doctor::{Attack, Expect};
use std::path::{Path, PathBuf};

/// Where a copy of this program that runs elsewhere finds the attacks.
pub const FOLDER_VARIABLE: &str = "CODEACT_ATTACKS_FOLDER";

pub fn folder() -> PathBuf {
    match std::env::var_os(FOLDER_VARIABLE) {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("attacks"),
    }
}

/// All attacks whose file name starts with the value of CODEACT_ATTACK, in order.
pub fn all() -> Vec<Attack> {
    let wanted = std::env::var("CODEACT_ATTACK").unwrap_or_default();
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "py")).collect();
    paths.sort();
    let attacks = paths.iter().map(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        Attack::parse(name, &std::fs::read_to_string(path).unwrap()).unwrap_or_else(|wrong| panic!("{name}: {wrong}"))
    });
    attacks.filter(|attack| attack.name.starts_with(&wanted)).collect()
}

/// The attack in the file `name.py`.
pub fn read(name: &str) -> Attack {
    Attack::parse(name, &std::fs::read_to_string(folder().join(format!("{name}.py"))).unwrap()).unwrap()
}

/// Numbers of all cases that the rows of the README list, with the rest of their row.
fn rows(readme: &str) -> Vec<(u32, Vec<String>)> {
    let rows = readme.lines().filter(|line| line.starts_with("| "));
    let rows = rows.filter_map(|line| {
        let cells: Vec<String> = line.trim_matches('|').split('|').map(|cell| cell.trim().to_string()).collect();
        Some((cells.first()?.parse().ok()?, cells))
    });
    rows.collect()
}

#[test]
fn every_case_of_the_catalogue_is_accounted_for() {
    let mut attacks = all();
    attacks.retain(|attack| !attack.cases.is_empty());
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let rows = rows(&readme);
    assert_eq!(rows.iter().map(|(number, _)| *number).collect::<Vec<_>>(), (1..=110).collect::<Vec<_>>());
    let mut wrong = Vec::new();
    for (number, row) in &rows {
        let listed: Vec<&str> = row[2].split(", ").filter(|file| *file != "none").collect();
        for attack in &attacks {
            let short = attack.name.split('_').next().unwrap();
            if attack.cases.contains(number) != listed.contains(&short) {
                wrong.push(format!("case {number}: `{short}` is in one of file and table only"));
            }
        }
        if listed.is_empty() && row[3].is_empty() || row[3].starts_with("needed") {
            wrong.push(format!("case {number} has no test"));
        }
    }
    let is_filtered = std::env::var_os("CODEACT_ATTACK").is_some();
    assert!(is_filtered || wrong.is_empty(), "{}", wrong.join("\n"));
}
