//! One attack: the leading lines of its file say what it claims, the rest are its cells. See `attacks/README.md`.

use crate::{Cell, CellEnd, Layer};

/// Code that tries to get out, or to do harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attack {
    /// Name of its file, without the extension.
    pub name: String,
    /// What it tries.
    pub title: String,
    /// Numbers of the cases of the catalogue that it covers.
    pub cases: Vec<u32>,
    /// What must hold for the claim; `None`: nothing in particular.
    pub layer: Option<Layer>,
    /// How its last cell may end.
    pub expect: Vec<Expect>,
    /// Limit of each cell in seconds.
    pub seconds: u64,
    /// Whether the interpreter lies from then on, so that only going back makes it right.
    pub forges: bool,
    /// Its code.
    pub cells: Vec<String>,
}

/// How the last cell of an attack may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// It judges itself, and its last line begins with `held: `.
    Held,
    /// The interpreter ends, or the deadline comes.
    Ends,
    /// It returns by itself.
    Survives,
}

/// What came of an attack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It was refused or contained, and how.
    Held(String),
    /// It says nothing here, and why.
    Skipped(String),
    /// It got through, or something else did not go as it should.
    Failed(String),
}

const NEXT_CELL: &str = "\n# --- next cell\n";

impl Attack {
    /// Read the file `name`.
    ///
    /// # Errors
    /// What in its leading lines is missing or means nothing.
    pub fn parse(name: &str, text: &str) -> Result<Attack, String> {
        let head: Vec<(&str, &str)> =
            text.lines().map_while(|line| line.strip_prefix("# ")?.split_once(": ")).collect();
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
            title: value("title")?.to_string(),
            cases: cases.collect::<Result<_, String>>()?,
            layer: layer(value("layer")?)?,
            expect: value("expect")?.split('|').map(expect).collect::<Result<_, String>>()?,
            seconds: value("seconds")?.parse().map_err(|_| "`seconds` is no number")?,
            forges: value("forges").is_ok_and(|value| value == "yes"),
            cells: text.split(NEXT_CELL).map(str::to_string).collect(),
        })
    }

    /// What its last cell says about it.
    pub fn judge(&self, last: &Cell) -> Verdict {
        let line = last.stdout.trim_end().lines().next_back().unwrap_or_default();
        if let Some(reason) = line.strip_prefix("skipped: ") {
            return Verdict::Skipped(reason.to_string());
        }
        let has_ended = matches!(last.end, CellEnd::TimedOut | CellEnd::Exited);
        if line.starts_with("escaped") && !(has_ended && self.expect.contains(&Expect::Ends)) {
            return Verdict::Failed(line.to_string());
        }
        let met = self.expect.iter().find_map(|expect| match expect {
            Expect::Held if last.end == CellEnd::Finished => line.strip_prefix("held: ").map(str::to_string),
            Expect::Ends if last.end == CellEnd::TimedOut => Some("stopped at its deadline".to_string()),
            Expect::Ends if last.end == CellEnd::Exited => {
                Some(last.error.as_ref().map_or(String::new(), |error| error.message.clone()))
            }
            Expect::Survives if matches!(last.end, CellEnd::Finished | CellEnd::Raised) => {
                Some("it came to nothing".to_string())
            }
            _ => None,
        });
        met.map_or_else(|| Verdict::Failed(self.surprise(last)), Verdict::Held)
    }

    fn surprise(&self, last: &Cell) -> String {
        let Cell { end, state, .. } = last;
        let seen = last.observation(600);
        format!("expected {:?}, but it {end:?} with state {state:?} and the observation `{seen}`", self.expect)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# case: 3, 14\n# title: try\n# layer: pids\n# expect: held|ends\n# doctor: no\n# seconds: 5\n\
                        import os\n# --- next cell\nprint(1)\n";

    #[test]
    fn a_file_says_what_it_claims() {
        let attack = Attack::parse("003_try", TEXT).unwrap();
        assert_eq!((attack.cases.as_slice(), attack.layer, attack.seconds), (&[3, 14][..], Some(Layer::Ending), 5));
        assert_eq!((attack.expect.as_slice(), attack.cells.len()), (&[Expect::Held, Expect::Ends][..], 2));
        for (right, wrong) in [("pids", "walls"), ("held", "hold"), ("doctor: no", "doctor: perhaps"), ("14", "x")] {
            assert!(Attack::parse("003_try", &TEXT.replacen(right, wrong, 1)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_verdict_follows_from_the_last_line_and_the_end() {
        let judge = |expect: &str, end: CellEnd, stdout: &str| {
            let attack = Attack::parse("x", &TEXT.replace("held|ends", expect)).unwrap();
            attack.judge(&Cell { end, stdout: stdout.to_string(), ..Cell::not_run() })
        };
        use CellEnd::{Exited, Finished, Raised, TimedOut};
        assert_eq!(judge("held", Finished, "held: it was\n"), Verdict::Held("it was".to_string()));
        assert_eq!(judge("held", Finished, "a\nskipped: no numpy"), Verdict::Skipped("no numpy".to_string()));
        for (expect, end, stdout) in
            [("ends", Exited, ""), ("held|ends", TimedOut, "escaped: x"), ("survives", Raised, "")]
        {
            assert!(matches!(judge(expect, end, stdout), Verdict::Held(_)), "{expect} {end:?} {stdout}");
        }
        for (expect, end, stdout) in [
            ("held", Finished, "held: yes\nand more"),
            ("held", Raised, "held: yes"),
            ("held", Finished, ""),
            ("held", Exited, "held: yes"),
            ("ends", Finished, ""),
            ("survives", Finished, "escaped: out"),
            ("survives", Exited, ""),
        ] {
            assert!(matches!(judge(expect, end, stdout), Verdict::Failed(_)), "{expect} {end:?} {stdout}");
        }
    }
}
