//! What became of the actions of a turn, out of its events.

use codeact_agent::Event;
use codeact_chat::disguises_name;
use codeact_sandbox::CellEnd;
use serde::{Deserialize, Serialize};

/// A reply whose action could not be run: it was cut off, is no Python, or no call of a known tool.
pub const INVALID: &str = "invalid action";

/// A cell that was stopped because its time, or that of the turn, was over.
pub const TIMEOUT: &str = "timeout";

/// A cell with which Python ended: `os._exit`, a crash, a limit of memory.
const EXITED: &str = "Python ended";

/// Characters of an exception's name, which untrusted code chooses.
const NAME_CHARACTERS: usize = 60;

/// The actions of one turn, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actions {
    /// Replies with an action, whether it could be run or not. A solution is none, nor is a plain reply.
    pub tried: usize,
    /// Those that were no valid action in the form asked for: nothing ran, and the model was told why.
    pub invalid: usize,
    /// Those that ran and raised, were stopped, or ended Python.
    pub failed: usize,
    /// What went wrong with the last of the invalid and failed ones: the type of the exception, or a few words.
    pub last_failure: Option<String>,
}

impl Actions {
    /// Whether anything went wrong on the way.
    pub fn has_failure(&self) -> bool {
        self.invalid + self.failed > 0
    }
}

/// Counts while a turn goes on. Nobody approves or denies code here.
#[derive(Debug, Default)]
pub struct Watch {
    actions: Actions,
    /// Whether the action of this step ran, or was explained to be none.
    is_counted: bool,
}

impl Watch {
    /// Takes an event of the turn, in order.
    pub fn see(&mut self, event: &Event) {
        match event {
            Event::StepStart { .. } => self.is_counted = false,
            Event::ExecStart { .. } => {
                self.is_counted = true;
                self.actions.tried += 1;
            }
            // A hint comes behind code that ran, or says why nothing was run.
            Event::Hint { .. } if !self.is_counted => {
                self.is_counted = true;
                self.actions.tried += 1;
                self.actions.invalid += 1;
                self.actions.last_failure = Some(INVALID.to_owned());
            }
            Event::ExecEnd { end, error, .. } => {
                let failure = match end {
                    CellEnd::Finished => return,
                    CellEnd::TimedOut | CellEnd::Interrupted => TIMEOUT.to_owned(),
                    CellEnd::Exited => EXITED.to_owned(),
                    CellEnd::Raised => {
                        let name = error.as_ref().map_or("", |error| error.name.as_str());
                        name.chars().filter(|character| !disguises_name(*character)).take(NAME_CHARACTERS).collect()
                    }
                };
                self.actions.failed += 1;
                self.actions.last_failure = Some(failure);
            }
            _ => {}
        }
    }

    /// What was counted.
    pub fn actions(self) -> Actions {
        self.actions
    }
}

#[cfg(test)]
mod tests {
    use codeact_agent::{ActionFormat, Agent, AgentOptions, Profile, ScriptedModel};
    use codeact_sandbox::{Limits, Policy, Session};

    use super::*;

    fn watched(format: ActionFormat, turns: &[&str]) -> Actions {
        let limits = Limits { wall_ms_max: 300, ..Limits::default() };
        let policy = Policy { limits, imports: Vec::new(), ..Policy::default() };
        let session = Session::start(&policy).unwrap();
        let options = AgentOptions { format, ..AgentOptions::new(Profile::quickstart()) };
        let model = ScriptedModel::new(turns.iter().copied());
        let mut agent = Agent::new(Box::new(model), Box::new(session), options);
        let mut watch = Watch::default();
        agent.run_turn("do it", &mut |event| watch.see(&event)).unwrap();
        watch.actions()
    }

    fn actions(tried: usize, invalid: usize, failed: usize, last: Option<&str>) -> Actions {
        Actions { tried, invalid, failed, last_failure: last.map(str::to_owned) }
    }

    #[test]
    fn every_way_to_fail_is_told_apart() {
        let execute = |code: &str| format!("<execute>\n{code}\n</execute>");
        let solved = "<solution>1</solution>";
        let of = |code: &str| watched(ActionFormat::Code, &[&execute(code), solved]);
        assert_eq!(of("1"), actions(1, 0, 0, None));
        assert_eq!(of("1 +"), actions(1, 1, 0, Some(INVALID)));
        assert_eq!(of("{}['x']"), actions(1, 0, 1, Some("KeyError")));
        assert_eq!(of("while True: pass"), actions(1, 0, 1, Some(TIMEOUT)));
        assert_eq!(of("import os; os._exit(3)"), actions(1, 0, 1, Some(EXITED)));
        assert_eq!(watched(ActionFormat::Code, &[solved]), actions(0, 0, 0, None));
        assert_eq!(watched(ActionFormat::Code, &["just words"]), actions(0, 0, 0, None));
        assert_eq!(watched(ActionFormat::Json, &["Action: {\"tool\": 5}", solved]), actions(1, 1, 0, Some(INVALID)));
    }

    #[test]
    fn hints_behind_code_that_ran_are_no_failures_and_the_last_failure_counts() {
        let (bad, good) = ("<execute>\n{}[1]\n</execute>", "<execute>\nprint(5)\n</execute>");
        // The second of the same is followed by a hint.
        assert_eq!(watched(ActionFormat::Code, &[good, good, good]), actions(3, 0, 0, None));
        let turns = [bad, "<execute>\nint('x')\n</execute>", good, "<solution>5</solution>"];
        assert_eq!(watched(ActionFormat::Code, &turns), actions(3, 0, 2, Some("ValueError")));
        // Twice the same fault is two invalid actions, and the hint about it is none.
        let turns = ["<execute>\n1 +\n</execute>"; 2];
        let turns = [turns[0], turns[1], "<solution>5</solution>"];
        assert_eq!(watched(ActionFormat::Code, &turns), actions(2, 2, 0, Some(INVALID)));
    }
}
