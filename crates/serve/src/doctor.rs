//! Whether the sandbox holds on this machine, told step by step: for people, or as one JSON object a line.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use codeact_eval::Sandbox;
use codeact_sandbox::doctor::{Checkup, Finding, Verdict, advice};
use codeact_sandbox::{Policy, Rung, SandboxError, Session};
use serde_json::{Value, json};

/// Prints JSON: version of Python, and of each package that can be imported.
const PACKAGES: &str = r#"
import importlib, json, platform, sqlite3
found = {}
for module, name in (("numpy",) * 2, ("pandas",) * 2, ("matplotlib",) * 2, ("sklearn", "scikit-learn")):
    try:
        found[name] = str(importlib.import_module(module).__version__)
    except BaseException:
        found[name] = None
found["sqlite3"] = sqlite3.sqlite_version
print(json.dumps({"version": platform.python_version(), "packages": found}))
"#;
/// Importing the large packages for the first time reads a lot.
const PACKAGES_TIME_MAX: Duration = Duration::from_secs(120);

/// Counts of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    held: usize,
    skipped: usize,
    failed: usize,
}

/// Probes the machine, looks at Python and lets the sandbox be attacked, telling of each step in `out`; the last line
/// is the summary. Gives whether all held.
///
/// # Errors
/// When nobody reads any more, or nothing can be started: that has then been told too.
pub fn examine(policy: &Policy, is_json: bool, out: &mut dyn Write) -> Result<bool, DoctorError> {
    let started = Instant::now();
    let mut report = Report { is_json, out };
    match steps(policy, &mut report) {
        Ok((rung, tally)) => Ok(report.summary(rung, tally, started.elapsed())?),
        Err(DoctorError::Sandbox(error)) => {
            report.failure(&error, started.elapsed())?;
            Err(DoctorError::Sandbox(error))
        }
        Err(error) => Err(error),
    }
}

/// Why an examination came to no result.
#[derive(Debug)]
pub enum DoctorError {
    /// Nobody reads the report.
    Output(io::Error),
    /// No session starts. The report says so.
    Sandbox(SandboxError),
}

impl From<io::Error> for DoctorError {
    fn from(error: io::Error) -> DoctorError {
        DoctorError::Output(error)
    }
}

impl From<SandboxError> for DoctorError {
    fn from(error: SandboxError) -> DoctorError {
        DoctorError::Sandbox(error)
    }
}

fn steps(policy: &Policy, report: &mut Report<'_>) -> Result<(Rung, Tally), DoctorError> {
    let mut policy = policy.clone();
    let protection = Session::start(&policy)?.protection().clone();
    let sandbox = Sandbox::new(policy.clone(), protection);
    report.machine(&sandbox)?;
    policy.limits.wall_ms_max = PACKAGES_TIME_MAX.as_millis() as u64;
    let packages = Session::start(&policy)?.run(PACKAGES, &mut |_| {})?;
    let found = serde_json::from_str(packages.stdout.trim());
    report.python(&policy.python, found.map_err(|_| packages.observation(1000)))?;
    let mut tally = Tally::default();
    for finding in Checkup::begin(&policy)? {
        match finding.verdict {
            Verdict::Held(_) => tally.held += 1,
            Verdict::Skipped(_) => tally.skipped += 1,
            Verdict::Failed(_) => tally.failed += 1,
        }
        report.finding(&finding)?;
    }
    Ok((sandbox.protection.rung, tally))
}

/// Where the steps are told.
struct Report<'a> {
    is_json: bool,
    out: &'a mut dyn Write,
}

impl Report<'_> {
    fn line(&mut self, json: &Value, text: &str) -> io::Result<()> {
        match self.is_json {
            true => writeln!(self.out, "{json}")?,
            false => writeln!(self.out, "{text}")?,
        }
        self.out.flush()
    }

    fn machine(&mut self, sandbox: &Sandbox) -> io::Result<()> {
        let protection = &sandbox.protection;
        let mut text = sandbox.announcement("");
        for state in &protection.layers {
            let mark = if state.holds { "holds" } else { "NOT  " };
            text.push_str(&format!("\n  {mark}  {:<11} {}", format!("{:?}", state.layer).to_lowercase(), state.detail));
            if !state.holds {
                text.push_str(&format!("\n         change: {}", advice(state.layer)));
            }
        }
        self.line(&json!({"type": "machine", "protection": protection}), &text)
    }

    fn python(&mut self, path: &Path, found: Result<Value, String>) -> io::Result<()> {
        let path = path.display();
        let found = match found {
            Ok(found) => found,
            Err(seen) => {
                let json = json!({"type": "python", "path": path.to_string(), "error": seen});
                return self.line(&json, &format!("python  {path} does not say what it has: {seen}"));
            }
        };
        let empty = serde_json::Map::new();
        let packages = found["packages"].as_object().unwrap_or(&empty);
        let named: Vec<String> = packages
            .iter()
            .map(|(name, version)| match version.as_str() {
                Some(version) => format!("{name} {version}"),
                None => format!("no {name}"),
            })
            .collect();
        let version = found["version"].as_str().unwrap_or("of unknown version");
        let json = json!({"type": "python", "path": path.to_string(), "version": version, "packages": packages});
        self.line(&json, &format!("python  {path} {version}: {}", named.join(", ")))
    }

    fn finding(&mut self, finding: &Finding) -> io::Result<()> {
        let (word, detail) = match &finding.verdict {
            Verdict::Held(detail) => ("held", detail),
            Verdict::Skipped(detail) => ("skipped", detail),
            Verdict::Failed(detail) => ("FAILED", detail),
        };
        let attack = &finding.attack;
        let advice = finding.advice();
        let seconds = finding.took.as_secs_f64();
        let json = json!({
            "type": "attack", "name": attack.name, "title": attack.title, "layer": attack.layer,
            "verdict": word.to_lowercase(), "detail": detail, "advice": advice, "seconds": seconds,
        });
        let mut text = format!("{word:<7} {:<48} {detail}", attack.title);
        if let (Verdict::Failed(_), Some(advice)) = (&finding.verdict, advice) {
            text.push_str(&format!("\n        change: {advice}"));
        }
        self.line(&json, &text)
    }

    /// Gives whether all held.
    fn summary(&mut self, rung: Rung, tally: Tally, took: Duration) -> io::Result<bool> {
        let Tally { held, skipped, failed } = tally;
        let holds = failed == 0 && held > 0 && rung != Rung::None;
        let seconds = took.as_secs_f64();
        let json = json!({
            "type": "summary", "holds": holds, "rung": rung, "held": held, "skipped": skipped, "failed": failed,
            "seconds": seconds,
        });
        let word = if holds { "ok" } else { "FAILED" };
        let (letter, name) = (rung.letter(), rung.name());
        let text = format!(
            "doctor: {word}: rung {letter} ({name}), {held} attacks held, {skipped} skipped, {failed} failed, {seconds:.1} s"
        );
        self.line(&json, &text)?;
        Ok(holds)
    }

    fn failure(&mut self, error: &SandboxError, took: Duration) -> io::Result<()> {
        let seconds = took.as_secs_f64();
        let reason = error.to_string();
        self.line(&json!({"type": "error", "message": reason}), &format!("error: {reason}"))?;
        let json = json!({
            "type": "summary", "holds": false, "rung": null, "held": 0, "skipped": 0, "failed": 0, "seconds": seconds,
        });
        self.line(&json, &format!("doctor: FAILED: no session starts, {seconds:.1} s"))
    }
}
