//! What protects this machine from the code that models write, in words for whoever starts a program.

use std::path::Path;

use codeact_sandbox::{Protection, Refusal, Rung};

/// In one line: the rung that holds, why not a better one, and which layers do not hold.
pub fn sandbox_line(protection: &Protection) -> String {
    if protection.rung == Rung::None {
        return "sandbox: NONE".to_owned();
    }
    let named = |rung: Rung| format!("{} ({})", rung.letter(), rung.name());
    let mut line = format!("sandbox: rung {}", named(protection.rung));
    for Refusal { rung, reason } in &protection.refusals {
        line.push_str(&format!("; not {}: {}", named(*rung), reason.lines().next().unwrap_or_default()));
    }
    let missing = protection.layers.iter().filter(|state| !state.holds);
    let missing: Vec<String> = missing.map(|state| format!("{:?}", state.layer).to_lowercase()).collect();
    if !missing.is_empty() {
        line.push_str(&format!("; NOT protected: {}", missing.join(", ")));
    }
    line
}

/// Which of the modules that sessions should have are missing, and how to get them.
pub(crate) fn missing_line(protection: &Protection, python: &Path) -> Option<String> {
    let python = python.display();
    let (absent, broken): (Vec<&str>, Vec<&str>) =
        protection.missing_modules.iter().map(String::as_str).partition(|line| line.contains(": ModuleNotFoundError:"));
    let mut packages: Vec<&str> = absent.iter().filter_map(|line| line.split([':', '.']).next()).collect();
    packages.dedup();
    let mut parts = Vec::new();
    if !packages.is_empty() {
        parts.push(format!(
            "`{python}` has no {}: run `{python} -m pip install {}`, or name the Python of another environment with \
             --python",
            packages.join(", "),
            packages.join(" "),
        ));
    }
    if !broken.is_empty() {
        parts.push(format!("`{python}` cannot import {}", broken.join("; ")));
    }
    (!parts.is_empty()).then(|| format!("python: {}", parts.join("; ")))
}

/// What cannot be overlooked where nothing protects this machine.
pub(crate) fn banner(protection: &Protection) -> Option<String> {
    (protection.rung == Rung::None).then(|| {
        let line = "!".repeat(72);
        format!(
            "{line}\n!! NO SANDBOX: what the model writes runs with all rights of this user.\n!! It can read, change and \
             delete files, and reach the network.\n{line}"
        )
    })
}

#[cfg(test)]
mod tests {
    use codeact_sandbox::{Layer, LayerState};

    use super::*;

    fn protection(rung: Rung, missing: &[&str]) -> Protection {
        let state = |layer, holds| LayerState { layer, holds, detail: String::new() };
        let refused = |rung| Refusal { rung, reason: "not today\nnor tomorrow".to_owned() };
        Protection {
            rung,
            refusals: [Rung::Root, Rung::User].into_iter().filter(|it| *it < rung).map(refused).collect(),
            layers: vec![state(Layer::Network, true), state(Layer::Ending, false)],
            missing_modules: missing.iter().map(|line| (*line).to_owned()).collect(),
        }
    }

    #[test]
    fn the_rung_is_said_with_what_is_missing() {
        let line = sandbox_line(&protection(Rung::User, &[]));
        assert_eq!(line, "sandbox: rung B (user); not A (root): not today; NOT protected: ending");
        assert_eq!(banner(&protection(Rung::User, &[])), None);
        let without = protection(Rung::None, &[]);
        assert_eq!(sandbox_line(&without), "sandbox: NONE");
        assert!(banner(&without).unwrap().contains("NO SANDBOX"));
    }

    #[test]
    fn missing_modules_come_with_the_way_out() {
        let missing = [
            "numpy: ModuleNotFoundError: No module named 'numpy'",
            "matplotlib.pyplot: ModuleNotFoundError: No module named 'matplotlib'",
            "pandas: ImportError: broken",
        ];
        let python = Path::new("/opt/env/bin/python");
        let line = missing_line(&protection(Rung::Root, &missing), python).unwrap();
        assert_eq!(
            line,
            "python: `/opt/env/bin/python` has no numpy, matplotlib: run `/opt/env/bin/python -m pip install numpy \
             matplotlib`, or name the Python of another environment with --python; `/opt/env/bin/python` cannot import \
             pandas: ImportError: broken"
        );
        assert_eq!(missing_line(&protection(Rung::Root, &[]), python), None);
    }
}
