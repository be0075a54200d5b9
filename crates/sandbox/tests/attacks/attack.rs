//! One attack: the leading lines of its file say what it claims, the rest are its cells. See `attacks/README.md`.

use codeact_sandbox::Layer;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone)]
pub struct Attack {
    /// File name without its extension.
    pub name: String,
    pub cases: Vec<u32>,
    /// What must hold for the claim; `None`: nothing in particular.
    pub layer: Option<Layer>,
    pub expect: Vec<Expect>,
    pub seconds: u64,
    /// Whether the interpreter lies from now on.
    pub forges: bool,
    pub cells: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    Held,
    Ends,
    Survives,
}

const NEXT_CELL: &str = "\n# --- next cell\n";

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
        parse(name, &std::fs::read_to_string(path).unwrap()).unwrap_or_else(|wrong| panic!("{name}: {wrong}"))
    });
    attacks.filter(|attack| attack.name.starts_with(&wanted)).collect()
}

/// The attack in the file `name.py`.
pub fn read(name: &str) -> Attack {
    parse(name, &std::fs::read_to_string(folder().join(format!("{name}.py"))).unwrap()).unwrap()
}

fn parse(name: &str, text: &str) -> Result<Attack, String> {
    let head: Vec<(&str, &str)> = text.lines().map_while(|line| line.strip_prefix("# ")?.split_once(": ")).collect();
    let value = |wanted: &str| {
        let found = head.iter().find(|(key, _)| *key == wanted);
        found.map(|(_, value)| *value).ok_or_else(|| format!("there is no `{wanted}`"))
    };
    if !["yes", "no"].contains(&value("doctor")?) || value("title")?.is_empty() {
        return Err("`doctor` is yes or no, and there is a title".to_string());
    }
    let cases = value("case")?.split(", ").map(|case| case.parse().map_err(|_| format!("`{case}` is no case")));
    Ok(Attack {
        name: name.to_string(),
        cases: cases.collect::<Result<_, String>>()?,
        layer: layer(value("layer")?)?,
        expect: value("expect")?.split('|').map(expect).collect::<Result<_, String>>()?,
        seconds: value("seconds")?.parse().map_err(|_| "`seconds` is no number")?,
        forges: value("forges").is_ok_and(|value| value == "yes"),
        cells: text.split(NEXT_CELL).map(str::to_string).collect(),
    })
}

fn expect(word: &str) -> Result<Expect, String> {
    match word {
        "held" => Ok(Expect::Held),
        "ends" => Ok(Expect::Ends),
        "survives" => Ok(Expect::Survives),
        _ => Err(format!("`{word}` cannot be expected")),
    }
}

fn layer(name: &str) -> Result<Option<Layer>, String> {
    Ok(Some(match name {
        "none" => return Ok(None),
        "network" => Layer::Network,
        "filesystem" => Layer::Filesystem,
        "signals" => Layer::Signals,
        "identity" => Layer::Identity,
        "privileges" => Layer::Privileges,
        "memory" => Layer::Memory,
        "processes" => Layer::Processes,
        "disk" => Layer::Disk,
        "syscalls" => Layer::Syscalls,
        "pids" => Layer::Ending,
        _ => return Err(format!("`{name}` is no layer")),
    }))
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
