//! The loop: one reply, one action, one observation, until there is an answer or a limit.

use crate::event::formats;
use crate::execute::Approved;
use crate::reply::Reply;
use crate::{ActionFormat, Agent, AgentError, Event, Turn, TurnEnd, call};
use codeact_chat::Message;
use codeact_chat::action::Action;
use codeact_sandbox::CellEnd;
use std::time::{Duration, Instant};

const REPEATED_HINT: &str =
    "[This is the same code with the same result as before. Do something else, or give the solution.]";
const CUT_HINT: &str = "[The reply was cut off before the code was complete, and nothing was run. Write less.]";
const LAST_RUN_HINT: &str = "[No more code can be run for this. Answer now.]";
const TIME_HINT: &str = "[The time for this is over.]";

/// The state of a turn that is not over.
pub(crate) struct Running<'a> {
    pub turn: Turn,
    first_message: usize,
    started: Instant,
    /// Time that does not count: somebody was thinking.
    pub paused: Duration,
    /// Code and observation of the step before, and how often they came in a row.
    last: Option<(String, String)>,
    repeats: usize,
    pub on_event: &'a mut dyn FnMut(Event),
}

impl Running<'_> {
    pub fn tell(&mut self, event: Event) {
        (self.on_event)(event);
    }

    /// When the turn has to be over.
    pub fn deadline(&self, time_max: Option<Duration>) -> Option<Instant> {
        self.started.checked_add(time_max?)?.checked_add(self.paused)
    }
}

/// What a step came to: something to go on with, or the end of the turn.
pub(crate) type Step<T> = Result<Result<T, TurnEnd>, AgentError>;

impl Agent {
    /// Let the model act on what the user says until it answers or may not go on.
    ///
    /// # Errors
    /// When the model gives no reply or Python cannot be started; `on_event` has been told too. The conversation can go
    /// on after it.
    pub fn run_turn(&mut self, user: &str, on_event: &mut dyn FnMut(Event)) -> Result<Turn, AgentError> {
        self.interrupter.clear();
        let profile = self.options.profile.clone();
        self.shortened.learn(&self.messages, |text| profile.output_of(text));
        on_event(Event::TurnStart { content: user.to_string() });
        // Its index only now: what the user says may have continued the message of an interrupted turn.
        let (first_message, _) = self.say(&profile.task(user));
        let (turn, started, paused) = (Turn::begun(), Instant::now(), Duration::ZERO);
        let mut running = Running { turn, first_message, started, paused, last: None, repeats: 0, on_event };
        let end = self.steps(&mut running);
        self.close(running, end)
    }

    fn steps(&mut self, running: &mut Running<'_>) -> Result<TurnEnd, AgentError> {
        loop {
            let limits = &self.options.limits;
            if running.turn.steps == limits.steps_max {
                return Ok(TurnEnd::StepLimit);
            }
            if limits.turn_tokens_max.is_some_and(|most| running.turn.completion_tokens >= most) {
                return Ok(TurnEnd::TokenLimit);
            }
            if running.deadline(limits.turn_time_max).is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(TurnEnd::TimeLimit);
            }
            if let Err(end) = self.step(running)? {
                return Ok(end);
            }
        }
    }

    /// One reply and its action.
    fn step(&mut self, running: &mut Running<'_>) -> Step<()> {
        running.tell(Event::StepStart { step: running.turn.steps + 1 });
        let reply = match self.reply(running)? {
            Ok(reply) => reply,
            Err(end) => return Ok(Err(end)),
        };
        running.turn.steps += 1;
        let action = reply.parser.action().expect("a finished parser has an action").clone();
        let (written, code) = match action {
            Action::Solution(text) => {
                running.turn.answer = Some(text);
                return Ok(Err(TurnEnd::Solution));
            }
            Action::Answer(text) => {
                running.turn.answer = Some(text);
                return Ok(Err(TurnEnd::Answer));
            }
            Action::Execute(code) => (code.clone(), Ok(code)),
            Action::Call(text) => {
                let python = call::python_of(self.options.format, &text, &self.options.tools);
                (text, python)
            }
        };
        if reply.is_cut {
            return Ok(self.explain(running, written, CUT_HINT));
        }
        match code {
            Ok(code) => self.act(running, &reply, code),
            Err(fault) => Ok(self.explain(running, written, &fault)),
        }
    }

    /// Run code, if it is Python and may run, and show the model what came of it.
    fn act(&mut self, running: &mut Running<'_>, reply: &Reply, code: String) -> Step<()> {
        let step = running.turn.steps;
        running.tell(Event::CodeEnd { step, code: code.clone() });
        if running.turn.executions >= self.options.limits.executions_max {
            return Ok(Err(TurnEnd::ExecutionLimit));
        }
        if let Some(fault) = self.fault_of(&code)? {
            return Ok(self.explain(running, code, &fault));
        }
        let code = match self.approved(running, code) {
            Approved::Run(code) => code,
            Approved::Edited(code) => {
                self.rewrite(reply, &code);
                if let Some(fault) = self.fault_of(&code)? {
                    return Ok(self.explain(running, code, &fault));
                }
                code
            }
            Approved::Denied(code, told) => return Ok(self.explain(running, code, &told)),
            Approved::Interrupted => return Ok(Err(TurnEnd::Interrupted)),
        };
        let (cell, is_late, seconds) = self.execute(&code, running)?;
        let mut text = self.observation(&cell);
        if cell.error.as_ref().is_some_and(|error| error.name == "TypeError")
            && self.options.format != ActionFormat::Code
            && let Some(tool) = call::tool_of(&code, &self.options.tools)
        {
            text = format!("{text}\n{}", call::tool_usage(tool));
        }
        running.tell(Event::ExecEnd {
            step,
            observation: text.clone(),
            end: cell.end,
            state: cell.state,
            seconds,
            value: formats(&cell.value),
            error: cell.error.clone(),
        });
        let shown = if is_late { format!("{text}\n{TIME_HINT}") } else { text.clone() };
        let is_repeated = self.observe(running, code, text, shown);
        if self.interrupter.is_wanted() {
            return Ok(Err(TurnEnd::Interrupted));
        }
        if is_late {
            return Ok(Err(TurnEnd::TimeLimit));
        }
        if cell.end == CellEnd::Interrupted {
            return Ok(Err(TurnEnd::Interrupted));
        }
        if let Some(farewell) = self.farewell(running) {
            running.tell(Event::Token { text: farewell.clone() });
            self.messages.push(Message::assistant(farewell));
            return Ok(Err(TurnEnd::ExecutionLimit));
        }
        Ok(if is_repeated { Err(TurnEnd::Repeated) } else { Ok(()) })
    }

    /// What the wording ends a turn with that ran as much as it may.
    fn farewell(&self, running: &Running<'_>) -> Option<String> {
        let executions = running.turn.executions;
        (executions == self.options.limits.executions_max).then(|| self.options.profile.farewell(executions)).flatten()
    }

    /// Tell the model why nothing was run.
    fn explain(&mut self, running: &mut Running<'_>, code: String, text: &str) -> Result<(), TurnEnd> {
        running.tell(Event::Hint { text: text.to_string() });
        match self.observe(running, code, text.to_string(), text.to_string()) {
            true => Err(TurnEnd::Repeated),
            false => Ok(()),
        }
    }

    /// Put an observation into the conversation: `text` is what came of `code`, `shown` is that with what the model is
    /// told besides. `true`: the same came too often.
    fn observe(&mut self, running: &mut Running<'_>, code: String, text: String, shown: String) -> bool {
        let is_repeat = running.last.as_ref().is_some_and(|last| (&last.0, &last.1) == (&code, &text));
        running.repeats = if is_repeat { running.repeats + 1 } else { 0 };
        running.last = Some((code, text));
        let limits = &self.options.limits;
        let steps_left = limits.steps_max - running.turn.steps;
        let mut hints = Vec::new();
        if running.repeats == 1 {
            hints.push(REPEATED_HINT);
        }
        let is_last = running.turn.executions == limits.executions_max && steps_left > 0;
        if is_last && self.farewell(running).is_none() {
            hints.push(LAST_RUN_HINT);
        }
        let output_bytes = shown.len();
        let told = hints.iter().fold(shown, |shown, hint| format!("{shown}\n{hint}"));
        hints.into_iter().for_each(|hint| running.tell(Event::Hint { text: hint.to_string() }));
        let profile = &self.options.profile;
        let head_bytes = profile.observation_head().len();
        let message = profile.observation(&told, steps_left, self.options.limits.solutions_max);
        let (index, start) = self.say(&message);
        self.shortened.remember(index, start + head_bytes..start + head_bytes + output_bytes);
        running.repeats == 2
    }

    fn close(&self, running: Running<'_>, end: Result<TurnEnd, AgentError>) -> Result<Turn, AgentError> {
        let Running { mut turn, first_message, started, on_event, .. } = running;
        turn.end = *end.as_ref().unwrap_or(&TurnEnd::Error);
        turn.messages = [&self.messages[..1], &self.messages[first_message..]].concat();
        turn.seconds = started.elapsed().as_secs_f64();
        if let Some(text) = turn.answer.clone() {
            on_event(Event::Answer { text });
        }
        if let Err(error) = &end {
            on_event(Event::Error { message: error.to_string(), code: error.code().to_string() });
        }
        on_event(Event::TurnEnd {
            end: turn.end,
            steps: turn.steps,
            executions: turn.executions,
            prompt_tokens: turn.prompt_tokens,
            completion_tokens: turn.completion_tokens,
            seconds: turn.seconds,
        });
        end.map(|_| turn)
    }
}
