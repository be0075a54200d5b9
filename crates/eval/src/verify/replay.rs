//! One row run again, cell by cell, in a fresh Python.

use std::time::Instant;

use codeact_agent::{ActionFormat, python_of, tool_usage};
use codeact_chat::action::{Action, ActionParser};
use codeact_sandbox::{Cell, CellEnd, Policy, SandboxError, Session, State, Tool};
use serde::{Deserialize, Serialize};

use super::class::{Reason, Verdict};
use super::equal::same;
use super::judge::{Finding, judge, normal_account, normal_output, normal_recorded};
use super::options::VerifyOptions;
use super::recorded::short_name;
use super::rows::{Row, Speaker};
use super::{frame, scan};
use crate::run::prepare;
use crate::{EvalError, Task};

/// How much of a line a report repeats.
const SHOWN_CHARS_MAX: usize = 200;
/// Bytes of each stream of a cell that are compared: outputs in data are far shorter, or say that they are cut.
const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// Seeds that a row is tried with before it is dropped, besides the first.
const CHANCES: u32 = 4;
/// How much of a failed setup is shown.
const SETUP_CHARS_MAX: usize = 2000;

/// What came of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowReport {
    /// Its line in the file, counted from 1.
    pub line: usize,
    /// Its name.
    pub id: String,
    /// What it is counted with.
    #[serde(default)]
    pub source: String,
    /// What becomes of it.
    pub verdict: Verdict,
    /// Why, unless it is reproduced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The name, package or file that it is about, or what is wrong with the line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Cells that ran.
    pub cells: usize,
    /// Outputs that were compared.
    pub compared: usize,
    /// Outputs among them that came out the same.
    pub same: usize,
    /// What came out otherwise, in order. After the first that may have changed variables nothing more is compared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
}

/// An output that came out otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The message with the code, counted from 0.
    pub message: usize,
    /// In which way.
    pub reason: Reason,
    /// A name, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// The first line that differs, as the row has it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub recorded: String,
    /// The same line now; empty where it depends on chance.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub now: String,
}

/// Code of a row, and the output beside it.
struct Step<'a> {
    message: usize,
    code: String,
    output: Option<&'a str>,
}

/// Runs rows again.
#[derive(Debug)]
pub(super) struct Replayer<'a> {
    pub options: &'a VerifyOptions,
    /// Names that the setup defines.
    pub known: Vec<String>,
    /// What the row is about, where that is at hand.
    pub task: Option<Acted<'a>>,
}

/// A task, and how it was acted in.
#[derive(Debug)]
pub(super) struct Acted<'a> {
    /// Its files, tools and setup are there before the row.
    pub task: &'a Task,
    /// How actions are written.
    pub format: ActionFormat,
    /// What they can call, where they are not written as Python.
    pub tools: Vec<Tool>,
}

impl Replayer<'_> {
    /// What comes of row `index` of the file.
    ///
    /// # Errors
    /// When Python does not start on this machine any more. Not when only this row cannot be run.
    pub fn report(&self, row: &Row, line: usize) -> Result<RowReport, EvalError> {
        let empty = RowReport {
            line,
            id: row.id.clone(),
            source: String::new(),
            verdict: Verdict::Reproduced,
            reason: None,
            about: None,
            cells: 0,
            compared: 0,
            same: 0,
            differences: Vec::new(),
        };
        let steps = steps(row, self.task.as_ref());
        if steps.is_empty() {
            return Ok(empty.decided(Reason::NoCode.into()));
        }
        let Some(last) = steps.iter().rposition(|step| step.output.is_some()) else {
            let tools = self.unknown_tools(row);
            let tool = steps.iter().find_map(|step| scan::calls(&step.code, &tools));
            let calls = |tool: &str| Finding { reason: Reason::Tool, about: Some(tool.to_owned()) };
            return Ok(empty.decided(tool.map_or(Reason::NoOutput.into(), calls)));
        };
        let steps = &steps[..=last];
        let first = self.replay(row, steps, empty.clone());
        match first.or_else(|_| self.replay(row, steps, empty.clone())) {
            Ok(report) => Ok(report),
            Err(EvalError::Sandbox(SandboxError::CellTooLarge { .. })) => Ok(empty.decided(Reason::Size.into())),
            Err(EvalError::Sandbox(error)) => {
                // Twice, with this row: is it the row, or the machine?
                let mut session = Session::start(&self.policy(0))?;
                session.run("1", &mut |_| {})?;
                Ok(empty.decided(Finding { reason: Reason::Sandbox, about: Some(error.to_string()) }))
            }
            Err(error) => Err(error),
        }
    }

    /// The policy of sessions: what was asked for, with nothing left to chance that can be fixed. Another `shift` is
    /// another chance.
    fn policy(&self, shift: u32) -> Policy {
        let mut policy = self.options.policy.clone();
        policy.hash_seed = Some(self.options.seed.wrapping_add(shift));
        policy.environment.push("TZ=UTC".to_owned());
        policy.limits.checkpoints_max = 1;
        policy.limits.output_file_bytes_max = 0;
        policy.limits.output_bytes_max = OUTPUT_BYTES_MAX;
        policy
    }

    /// A Python as each row finds it.
    pub fn session(&self, shift: u32) -> Result<Session, EvalError> {
        let mut session = Session::start(&self.policy(shift))?;
        let seed = self.options.seed.wrapping_add(shift);
        // Nothing of it stays in the namespace. NumPy is not imported for its seed.
        let code = format!(
            "__import__('random').seed({seed})\n(lambda numpy: numpy and numpy.random.seed({seed}))\
             (__import__('sys').modules.get('numpy'));"
        );
        session.run(&code, &mut |_| {})?;
        if let Some((path, code)) = &self.options.setup {
            let cell = session.run(code, &mut |_| {})?;
            if cell.end != CellEnd::Finished {
                let observation = cell.observation(SETUP_CHARS_MAX);
                return Err(EvalError::Setup { id: path.display().to_string(), observation });
            }
        }
        if let Some(acted) = &self.task {
            prepare(acted.task, &mut session)?;
        }
        Ok(session)
    }

    /// Functions that the prompts of the row list, and that are not here.
    fn unknown_tools(&self, row: &Row) -> Vec<String> {
        scan::tools(row).into_iter().filter(|name| !self.known.contains(name)).collect()
    }

    fn replay(&self, row: &Row, steps: &[Step<'_>], mut report: RowReport) -> Result<RowReport, EvalError> {
        let started = Instant::now();
        let tools = self.unknown_tools(row);
        let mut session = None;
        let mut so_far = String::new();
        let (mut has_timed_out, mut has_ended) = (false, false);
        for (index, step) in steps.iter().enumerate() {
            so_far.push_str(&step.code);
            so_far.push('\n');
            if let Some(tool) = scan::calls(&step.code, &tools).filter(|tool| !scan::defines(&so_far, tool)) {
                let finding = Finding { reason: Reason::Tool, about: Some(tool.to_owned()) };
                report.differ(step.message, finding, (String::new(), String::new()));
                break;
            }
            if started.elapsed() > self.options.row_time_max {
                report.differ(step.message, Reason::RowTime.into(), (String::new(), String::new()));
                break;
            }
            let running = match &mut session {
                Some(session) => session,
                None => session.insert(self.session(0)?),
            };
            let cell = running.run(&step.code, &mut |_| {})?;
            report.cells += 1;
            has_timed_out |= cell.end == CellEnd::TimedOut;
            has_ended |= cell.end == CellEnd::Exited || cell.state == State::Lost;
            // What an installer says is never the same twice.
            let Some(output) = step.output.filter(|_| !scan::installs(&step.code)) else { continue };
            if output.len() > OUTPUT_BYTES_MAX {
                report.differ(step.message, Reason::Size.into(), (String::new(), String::new()));
                continue;
            }
            report.compared += 1;
            let is_offered = |name: &str| scan::is_offered(row, name);
            let Some(mut finding) = judge(output, &cell, self.options.float_tolerance, &is_offered) else {
                report.same += 1;
                continue;
            };
            let name = cell.error.as_ref().map_or("", |error| short_name(&error.name));
            if finding.reason == Reason::ErrorMessage && scan::words(&so_far, name) {
                finding = Reason::Output.into();
            }
            if finding.reason.may_be_chance() {
                // How far a cell came that was ended by the clock is chance, and so are the variables that it left.
                if has_timed_out {
                    finding = Reason::Time.into();
                } else if has_ended {
                    finding = Reason::Resources.into();
                } else if scan::reads_clock(&so_far) {
                    finding = Reason::Clock.into();
                } else if let Some(reason) = self.chance(&steps[..=index], &normal_account(&cell), started)? {
                    finding = reason.into();
                }
            }
            let leaves_state = finding.reason.leaves_state();
            // Which line differs first is chance, too, where what came out is.
            let lines = match is_fixed(finding.reason) {
                true => self.first_difference(output, &cell),
                false => (shown(normal_recorded(output).lines().next().unwrap_or_default()), String::new()),
            };
            report.differ(step.message, finding, lines);
            if !leaves_state {
                break;
            }
        }
        Ok(report.concluded())
    }

    /// The reason, if the last of `steps` gives something else than `account` with other seeds, or if there is no time
    /// to find out. Several, because a coin falls on the same side twice often enough.
    fn chance(&self, steps: &[Step<'_>], account: &str, started: Instant) -> Result<Option<Reason>, EvalError> {
        for shift in 1..=CHANCES {
            let mut session = self.session(shift)?;
            let mut last = String::new();
            for step in steps {
                if started.elapsed() > self.options.row_time_max {
                    return Ok(Some(Reason::RowTime));
                }
                last = normal_account(&session.run(&step.code, &mut |_| {})?);
            }
            if last != account {
                return Ok(Some(Reason::Nondeterministic));
            }
        }
        Ok(None)
    }

    /// The first line that differs, then and now.
    fn first_difference(&self, output: &str, cell: &Cell) -> (String, String) {
        let (was, is) = (normal_recorded(output), normal_output(cell));
        let (mut was, mut is) = (was.lines(), is.lines());
        loop {
            match (was.next(), is.next()) {
                (Some(one), Some(other)) if same(one, other, self.options.float_tolerance) => {}
                (one, other) => return (shown(one.unwrap_or_default()), shown(other.unwrap_or_default())),
            }
        }
    }
}

/// Whether what came out is the same whenever this is done.
fn is_fixed(reason: Reason) -> bool {
    use Reason::*;
    !matches!(reason, Nondeterministic | Clock | Time | Resources | RowTime | Sandbox)
}

fn shown(line: &str) -> String {
    match line.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

impl RowReport {
    /// Of a line that is no row.
    pub(super) fn unreadable(line: usize, what: String) -> RowReport {
        RowReport {
            line,
            id: String::new(),
            source: String::new(),
            verdict: Verdict::Unreadable,
            reason: Some(Reason::Line),
            about: Some(what),
            cells: 0,
            compared: 0,
            same: 0,
            differences: Vec::new(),
        }
    }

    fn decided(mut self, finding: Finding) -> RowReport {
        self.verdict = finding.reason.verdict();
        self.reason = Some(finding.reason);
        self.about = finding.about.as_deref().map(shown);
        self
    }

    fn differ(&mut self, message: usize, finding: Finding, (recorded, now): (String, String)) {
        let Finding { reason, about } = finding;
        let about = about.as_deref().map(shown);
        self.differences.push(Difference { message, reason, about, recorded, now });
    }

    /// The difference that weighs most decides: a contradiction, then what is missing, then the rest.
    fn concluded(self) -> RowReport {
        let weight = |reason: Reason| match reason.verdict() {
            Verdict::Dropped => 2,
            Verdict::NotVerifiable => 1,
            _ => 0,
        };
        // Of equals the first: `max_by_key` would give the last.
        let decisive = self.differences.iter().rev().max_by_key(|difference| weight(difference.reason));
        match decisive.map(|difference| Finding { reason: difference.reason, about: difference.about.clone() }) {
            Some(finding) => self.decided(finding),
            None if self.compared == 0 => self.decided(Reason::NoOutput.into()),
            None => self,
        }
    }
}

/// The code of a row. A fenced block counts only where an output follows: elsewhere it is code for a person to read.
/// Calls are the Python that they became; of one that calls no tool nothing ran.
fn steps<'a>(row: &'a Row, acted: Option<&Acted<'_>>) -> Vec<Step<'a>> {
    let format = acted.map_or(ActionFormat::Code, |acted| acted.format);
    let tools: &[Tool] = acted.map_or(&[], |acted| acted.tools.as_slice());
    // Behind a call with wrong arguments the model is told how the tool is called.
    let bare = |output: &'a str| {
        tools.iter().find_map(|tool| output.strip_suffix(tool_usage(tool).as_str())).unwrap_or(output).trim_end()
    };
    let mut steps = Vec::new();
    for (message, (speaker, content)) in row.messages.iter().enumerate() {
        if *speaker != Speaker::Assistant {
            continue;
        }
        let mut parser = ActionParser::new(format);
        parser.push(content);
        parser.finish();
        let next = row.messages.get(message + 1);
        let output = next.and_then(|(speaker, content)| frame::output_of(*speaker, content));
        match parser.action() {
            Some(Action::Execute(code)) if output.is_some() || content.contains("<execute>") => {
                steps.push(Step { message, code: code.clone(), output });
            }
            Some(Action::Call(call)) => {
                let python = python_of(format, call, tools);
                steps.extend(python.ok().map(|code| Step { message, code, output: output.map(bare) }));
            }
            _ => {}
        }
    }
    steps
}
