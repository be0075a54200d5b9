//! The loop with prepared replies and a real Python.

use crate::setup::{agent, agent_and_files, agent_of, assert_alternates, contents, options, run};
use codeact_agent::{
    Agent, AgentError, AgentOptions, Ask, Completion, Event, FinishReason, Limits, Model, Profile, ScriptedModel,
    TurnEnd,
};
use codeact_sandbox::{Policy, Session, Stream};
use std::time::Duration;

const SYSTEM: &str = "Solve tasks by running Python.";

#[test]
fn a_task_is_solved_and_its_transcript_is_a_training_conversation() {
    let replies = ["I add them.\n<execute>\nx = 2 + 3\nprint(x)\n</execute>", "The sum is <solution>5</solution>"];
    let mut agent = agent(&replies);
    let (turn, events) = run(&mut agent, "Add 2 and 3.");
    assert_eq!((turn.end, turn.answer.as_deref(), turn.steps, turn.executions), (TurnEnd::Solution, Some("5"), 2, 1));
    assert_eq!(contents(&turn.messages), [SYSTEM, "Add 2 and 3.", replies[0], "Observation:\n5", replies[1]]);
    assert_eq!(turn.messages, agent.messages());
    let text: String = events
        .iter()
        .filter_map(|event| if let Event::Token { text } = event { Some(text.as_str()) } else { None })
        .collect();
    assert_eq!(text, "I add them.\nThe sum is ");
    let kinds: Vec<&str> = events.iter().map(Event::kind).collect();
    let mut distinct = kinds.clone();
    distinct.dedup();
    assert_eq!(
        distinct,
        [
            "turn.start",
            "step.start",
            "token",
            "code.delta",
            "usage",
            "code.end",
            "exec.start",
            "exec.stdout",
            "exec.end",
            "step.start",
            "token",
            "solution.delta",
            "usage",
            "answer",
            "turn.end"
        ]
    );
    assert!(events.contains(&Event::ExecStart { code: "x = 2 + 3\nprint(x)".into(), step: 1 }));
    assert!(events.contains(&Event::Answer { text: "5".into() }));
    assert_alternates(&turn.messages);
}

#[test]
fn an_error_is_shown_to_the_model_and_variables_stay_for_the_repair() {
    let mut agent = agent(&[
        "Try.\n<execute>\nbase = 20\nprint(bsae)\n</execute>",
        "A typo.\n<execute>\nprint(base * 2\n</execute>",
        "A bracket.\n<execute>\nprint(base * 2)\n</execute>",
        "It is <solution>40</solution>",
    ]);
    let (turn, _) = run(&mut agent, "Double 20.");
    let seen = contents(&turn.messages);
    assert!(
        seen[3].starts_with("Observation:\nTraceback") && seen[3].contains("NameError: name 'bsae' is not defined")
    );
    assert!(seen[5].contains("SyntaxError: '(' was never closed"), "{}", seen[5]);
    assert_eq!(seen[7], "Observation:\n40");
    // Code that is no Python costs a step, and no execution.
    assert_eq!((turn.answer.as_deref(), turn.steps, turn.executions), (Some("40"), 4, 2));
}

#[test]
fn generation_stops_at_the_end_of_the_first_action() {
    let mut agent =
        agent(&["<execute>\n1\n</execute>\nObservation:\nmade up <solution>9</solution>", "<solution>1</solution>"]);
    let (turn, _) = run(&mut agent, "One.");
    assert_eq!(contents(&turn.messages)[2], "<execute>\n1\n</execute>");
    assert_eq!(turn.answer.as_deref(), Some("1"));
}

#[test]
fn the_step_limit_ends_the_turn() {
    let replies: Vec<String> = (0..9).map(|n| format!("<execute>\n{n}\n</execute>")).collect();
    let limits = Limits { steps_max: 3, ..Limits::default() };
    let mut agent = agent_of(ScriptedModel::new(replies), AgentOptions { limits, ..options() });
    let (turn, events) = run(&mut agent, "Count.");
    assert_eq!((turn.end, turn.answer, turn.steps, turn.executions), (TurnEnd::StepLimit, None, 3, 3));
    assert!(matches!(events.last(), Some(Event::TurnEnd { end: TurnEnd::StepLimit, steps: 3, executions: 3, .. })));
    // The next message of the user joins the last observation, so that roles go on alternating.
    let (turn, _) = run(&mut agent, "Go on.");
    assert_eq!(contents(&turn.messages)[1], "Observation:\n2\n\nGo on.");
    assert_alternates(agent.messages());
}

#[test]
fn the_same_code_with_the_same_result_is_pointed_out_and_then_ends_the_turn() {
    let same = "<execute>\nprint('again')\n</execute>";
    let mut agent = agent(&[same, same, same, same]);
    let (turn, events) = run(&mut agent, "Go.");
    assert_eq!((turn.end, turn.steps), (TurnEnd::Repeated, 3));
    let seen = contents(&turn.messages);
    assert_eq!(seen[3], "Observation:\nagain");
    assert!(seen[5].starts_with("Observation:\nagain\n[This is the same code with the same result"), "{}", seen[5]);
    assert!(events.iter().any(|event| matches!(event, Event::Hint { .. })));
}

#[test]
fn the_same_code_with_another_result_is_no_repetition() {
    let step = "<execute>\nn = globals().get('n', 0) + 1\nn\n</execute>";
    let mut agent = agent(&[step, step, step, step, "<solution>4</solution>"]);
    let (turn, _) = run(&mut agent, "Count.");
    assert_eq!(turn.end, TurnEnd::Solution);
    assert_eq!(contents(&turn.messages)[9], "Observation:\n4");
}

#[test]
fn a_reply_without_a_tag_is_the_answer() {
    let mut agent = agent(&["Hello! How can I help?"]);
    let (turn, events) = run(&mut agent, "Hi");
    assert_eq!((turn.end, turn.answer.as_deref()), (TurnEnd::Answer, Some("Hello! How can I help?")));
    assert!(events.contains(&Event::Answer { text: "Hello! How can I help?".into() }));
}

#[test]
fn a_python_fence_is_run() {
    let mut agent = agent(&["Let me see.\n```python\nprint(6 * 7)\n```", "<solution>42</solution>"]);
    let (turn, _) = run(&mut agent, "6 times 7?");
    assert_eq!(contents(&turn.messages)[3], "Observation:\n42");
}

#[test]
fn a_missing_closing_tag_is_put_back() {
    let mut agent = agent(&["<execute>\nprint(1)\n", "<solution>1"]);
    let (turn, _) = run(&mut agent, "One.");
    let seen = contents(&turn.messages);
    assert!(seen[2].ends_with("</execute>") && seen[4].ends_with("</solution>"), "{seen:?}");
    assert_eq!((seen[3], turn.answer.as_deref()), ("Observation:\n1", Some("1")));
}

#[test]
fn a_long_observation_is_cut() {
    let limits = Limits { observation_chars_max: 20, ..Limits::default() };
    let mut agent = agent_of(
        ScriptedModel::new(["<execute>\n'a' * 1000\n</execute>", "<solution>x</solution>"]),
        AgentOptions { limits, ..options() },
    );
    let (turn, _) = run(&mut agent, "Long.");
    assert_eq!(contents(&turn.messages)[3], "Observation:\n'aaaaaaaaa\n[... 982 characters omitted ...]\naaaaaaaaa'");
}

#[test]
fn codeactinstruct_counts_the_steps_down() {
    let session = Session::start(&Policy::default()).unwrap();
    let model = ScriptedModel::new(["<execute>\nprint(1)\n</execute>", "<solution>1</solution>"]);
    let mut agent = Agent::new(Box::new(model), Box::new(session), AgentOptions::new(Profile::codeactinstruct()));
    let (turn, _) = run(&mut agent, "One.");
    let seen = contents(&turn.messages);
    assert_eq!(seen[1], "Task:\nOne.");
    assert_eq!(seen[3], "Observation:\n1\nYou have 4 steps left and 2 chances to propose solution left.");
}

#[test]
fn an_interrupt_stops_running_code_and_the_conversation_goes_on() {
    let mut agent = agent(&[
        "<execute>\nx = 7\nprint('go', flush=True)\nwhile True: pass\n</execute>",
        "<execute>\nx\n</execute>",
        "<solution>7</solution>",
    ]);
    let interrupter = agent.interrupter();
    let mut events = Vec::new();
    let turn = agent
        .run_turn("Loop.", &mut |event| {
            if matches!(event, Event::ExecStdout { .. }) {
                interrupter.interrupt();
            }
            events.push(event);
        })
        .unwrap();
    assert_eq!((turn.end, turn.answer), (TurnEnd::Interrupted, None));
    assert!(matches!(events.last(), Some(Event::TurnEnd { end: TurnEnd::Interrupted, .. })));
    let (turn, _) = run(&mut agent, "What is x?");
    let seen = contents(&turn.messages);
    assert!(seen[1].ends_with("[Execution was interrupted.]\n\nWhat is x?"), "{}", seen[1]);
    assert_eq!((seen[3], turn.answer.as_deref()), ("Observation:\n7", Some("7")));
    assert_alternates(agent.messages());
}

#[test]
fn an_interrupt_stops_a_reply_and_runs_nothing_of_it() {
    let replies = ["I will do <execute> open('ran', 'w') </execute>", "Fine."];
    let (mut agent, files) = agent_and_files(ScriptedModel::new(replies), options());
    let interrupter = agent.interrupter();
    let turn = agent
        .run_turn("Go.", &mut |event| {
            if matches!(event, Event::Token { .. }) {
                interrupter.interrupt()
            }
        })
        .unwrap();
    assert_eq!((turn.end, turn.executions), (TurnEnd::Interrupted, 0));
    assert_eq!(files.list("", 10).unwrap().entries.len(), 0);
    assert_eq!(run(&mut agent, "Ok?").0.answer.as_deref(), Some("Fine."));
    assert_alternates(agent.messages());
}

#[test]
fn an_interrupt_between_turns_does_nothing() {
    let mut agent = agent(&["<execute>\n1\n</execute>", "<solution>1</solution>"]);
    agent.interrupter().interrupt();
    assert_eq!(run(&mut agent, "One.").0.end, TurnEnd::Solution);
}

/// Writes one reply that runs into its limit of tokens, then says what it saw.
struct Cut(bool);

impl Model for Cut {
    fn complete(&mut self, ask: &Ask<'_>, on_text: &mut dyn FnMut(&str) -> bool) -> Result<Completion, AgentError> {
        let (text, finish) = match std::mem::replace(&mut self.0, true) {
            false => ("<execute>\nopen('ran', 'w')\nprint(1".to_string(), FinishReason::Length),
            true => (ask.messages[3].content.clone(), FinishReason::Stop),
        };
        on_text(&text);
        Ok(Completion { text, prompt_tokens: 10, cached_tokens: 0, completion_tokens: 5, finish })
    }
}

#[test]
fn code_that_was_cut_off_is_not_run() {
    let (mut agent, files) = agent_and_files(Cut(false), options());
    let (turn, _) = run(&mut agent, "Go.");
    assert_eq!((turn.end, turn.executions), (TurnEnd::Answer, 0));
    assert!(turn.answer.unwrap().contains("cut off"));
    assert_eq!(files.list("", 10).unwrap().entries.len(), 0);
    assert_eq!((turn.prompt_tokens, turn.completion_tokens), (20, 10));
}

#[test]
fn a_script_that_ends_is_an_error_that_listeners_hear_of() {
    let mut agent = agent(&["<execute>\n1\n</execute>"]);
    let mut events = Vec::new();
    let error = agent.run_turn("Go.", &mut |event| events.push(event)).unwrap_err();
    assert_eq!(error.to_string(), "the script has 1 replies and was asked for one more");
    let told = Event::Error { message: error.to_string(), code: "model".into() };
    assert_eq!(events[events.len() - 2], told);
    assert!(matches!(events.last(), Some(Event::TurnEnd { end: TurnEnd::Error, steps: 1, .. })));
}

#[test]
fn code_that_is_no_python_is_told_and_is_no_cell() {
    let bad = "<execute>\nx = 1\nreturn x\n</execute>";
    let mut agent = agent(&[bad, "<execute>\n'x' in globals()\n</execute>", bad, bad, bad]);
    let (turn, events) = run(&mut agent, "Go.");
    let seen = contents(&turn.messages);
    assert!(seen[3].ends_with("SyntaxError: 'return' outside function"), "{}", seen[3]);
    assert_eq!(seen[5], "Observation:\nFalse");
    assert_eq!((turn.end, turn.steps, turn.executions), (TurnEnd::Repeated, 5, 1));
    assert_eq!(agent.mark().cells, 1);
    let hints = events.iter().filter(|event| matches!(event, Event::Hint { .. })).count();
    assert_eq!(hints, 4 + 1, "one for each code that is no Python, and one for the repetition");
    let starts = events.iter().filter(|event| matches!(event, Event::ExecStart { .. })).count();
    assert_eq!(starts, 1);
}

#[test]
fn events_are_tagged_json_objects() {
    let mut agent = agent(&["a\n<execute>\nprint(1)\n</execute>", "b <solution>1</solution>"]);
    let (_, events) = run(&mut agent, "Go.");
    let lines: Vec<String> = events.iter().map(|event| serde_json::to_string(event).unwrap()).collect();
    assert!(lines.contains(&r#"{"type":"exec.stdout","stream":"stdout","text":"1\n"}"#.to_string()), "{lines:#?}");
    let end = r#"{"type":"exec.end","step":1,"observation":"1","end":"finished","state":"kept","seconds":"#;
    assert!(lines.iter().any(|line| line.starts_with(end)), "{lines:#?}");
    assert_eq!(lines[lines.len() - 2], r#"{"type":"answer","text":"1"}"#);
    let end = r#"{"type":"turn.end","end":"solution","steps":2,"executions":1,"prompt_tokens":0,"#;
    assert!(lines.last().unwrap().starts_with(end), "{lines:#?}");
    for (event, line) in events.iter().zip(&lines) {
        assert_eq!(&serde_json::from_str::<Event>(line).unwrap(), event, "{line}");
        assert!(line.starts_with(&format!(r#"{{"type":"{}""#, event.kind())), "{line}");
    }
}

#[test]
fn what_is_displayed_comes_in_formats_for_people() {
    let code = "display({'text/plain': 'two', 'text/html': '<b>2</b>', 'image/png': b'\\x89PNG\\r\\n'}, raw=True)\n\
                class Shown:\n    def __repr__(self): return '3'\n    def _repr_html_(self): return '<i>3</i>'\nShown()";
    let step = format!("<execute>\n{code}\n</execute>");
    let mut agent = agent(&[&step, "<solution>2</solution>"]);
    let (turn, events) = run(&mut agent, "Show.");
    assert_eq!(contents(&turn.messages)[3], "Observation:\ntwo\n3");
    let lines: Vec<String> = events.iter().map(|event| serde_json::to_string(event).unwrap()).collect();
    let display =
        r#"{"type":"exec.display","data":{"image/png":"iVBORw0K","text/html":"<b>2</b>","text/plain":"two"}}"#
            .to_string();
    assert!(lines.contains(&display), "{lines:#?}");
    let value = r#""value":{"text/html":"<i>3</i>","text/plain":"3"}"#;
    assert!(lines.iter().any(|line| line.contains(r#""type":"exec.end""#) && line.contains(value)), "{lines:#?}");
}

/// Says one thing after another, and takes its time.
struct Slow(ScriptedModel);

impl Model for Slow {
    fn complete(&mut self, ask: &Ask<'_>, on_text: &mut dyn FnMut(&str) -> bool) -> Result<Completion, AgentError> {
        std::thread::sleep(Duration::from_secs(1));
        self.0.complete(ask, on_text)
    }
}

#[test]
fn what_earlier_code_left_running_writes_is_marked() {
    let code = "import threading, time\ndef write():\n    while True:\n        time.sleep(0.02)\n        print('late')\n\
                threading.Thread(target=write, daemon=True).start()";
    let script = ScriptedModel::new([&format!("<execute>\n{code}\n</execute>"), "<execute>\n1\n</execute>", "Done."]);
    let (_, events) = run(&mut agent_of(Slow(script), options()), "Write later.");
    let is_late =
        |event: &Event| matches!(event, Event::ExecStdout { text, is_late: true, .. } if text.contains("late"));
    assert!(events.iter().any(is_late), "{events:#?}");
    let late = Event::ExecStdout { stream: Stream::Stdout, text: "x".into(), is_late: true };
    let line = r#"{"type":"exec.stdout","stream":"stdout","text":"x","late":true}"#;
    assert_eq!(serde_json::to_string(&late).unwrap(), line);
}

/// Counts words, and runs one cell.
struct Counting(bool);

impl Model for Counting {
    fn complete(&mut self, _ask: &Ask<'_>, on_text: &mut dyn FnMut(&str) -> bool) -> Result<Completion, AgentError> {
        let text = match std::mem::replace(&mut self.0, true) {
            false => "<execute>\nfor n in range(5000): print(n)\n</execute>",
            true => "<solution>x</solution>",
        };
        on_text(text);
        Ok(Completion {
            text: text.into(),
            prompt_tokens: 0,
            cached_tokens: 0,
            completion_tokens: 0,
            finish: FinishReason::Stop,
        })
    }

    fn count_tokens(&self, text: &str) -> Option<usize> {
        Some(text.split_whitespace().count())
    }
}

#[test]
fn an_observation_is_cut_by_tokens_where_the_model_counts_them() {
    let limits = Limits { observation_tokens_max: 100, ..Limits::default() };
    let (turn, _) = run(&mut agent_of(Counting(false), AgentOptions { limits, ..options() }), "Count.");
    let seen = contents(&turn.messages)[3].strip_prefix("Observation:\n").unwrap();
    let words = seen.split_whitespace().count();
    assert!((80..=100).contains(&words) && seen.starts_with("0\n1\n") && seen.ends_with("\n4999"), "{words}: {seen}");
}
