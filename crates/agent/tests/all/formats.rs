//! Actions that are calls of tools instead of Python, in the same loop and the same Python.

use crate::setup::{contents, run};
use codeact_agent::{ActionFormat, Agent, AgentOptions, Event, Profile, ScriptedModel, TurnEnd};
use codeact_sandbox::{Interpreter, Policy, Session, Tool, Toolbox};
use serde_json::{Value, json};
use std::sync::Arc;

/// Adds, and repeats words.
#[derive(Debug)]
struct Box2;

impl Toolbox for Box2 {
    fn tools(&self) -> Vec<Tool> {
        let tool = |name: &str, signature: &str, doc: &str| Tool {
            name: name.into(),
            signature: signature.into(),
            doc: doc.into(),
        };
        vec![
            tool("add", "(a: float, b: float = 1) -> float", "The sum of both."),
            tool("repeat", "(word: str, times: int) -> str", "The word, so many times."),
        ]
    }

    fn call(&self, name: &str, arguments: Value) -> Result<Value, String> {
        match name {
            "add" => {
                Ok(json!(arguments["a"].as_f64().ok_or("a is no number")? + arguments["b"].as_f64().unwrap_or(1.0)))
            }
            _ => Ok(json!(
                arguments["word"].as_str().ok_or("no word")?.repeat(arguments["times"].as_u64().unwrap_or(0) as usize)
            )),
        }
    }
}

fn agent(format: ActionFormat, replies: &[&str]) -> Agent {
    let tools: Arc<dyn Toolbox> = Arc::new(Box2);
    let policy = Policy { tools: Some(tools.clone()), ..Policy::default() };
    let session: Box<dyn Interpreter> = Box::new(Session::start(&policy).unwrap());
    let options = AgentOptions { format, tools: tools.tools(), ..AgentOptions::new(Profile::quickstart()) };
    Agent::new(Box::new(ScriptedModel::new(replies.iter().copied())), session, options)
}

#[test]
fn json_calls_run_in_the_session() {
    let mut agent = agent(
        ActionFormat::Json,
        &[
            "I add.\nAction: {\"tool\": \"add\", \"args\": {\"a\": 2, \"b\": 3}} and then",
            "Action:\n```json\n{\"tool\": \"repeat\", \"args\": {\"word\": \"ab\\n\", \"times\": 2}}\n```",
            "It is <solution>5</solution>",
        ],
    );
    let (turn, events) = run(&mut agent, "2 and 3?");
    let seen = contents(&turn.messages);
    assert_eq!(seen[2], "I add.\nAction: {\"tool\": \"add\", \"args\": {\"a\": 2, \"b\": 3}}");
    assert_eq!((seen[3], seen[5]), ("Observation:\n5.0", "Observation:\n'ab\\nab\\n'"));
    assert_eq!((turn.end, turn.executions), (TurnEnd::Solution, 2));
    assert!(events.contains(&Event::ExecStart { step: 1, code: "add(a=2, b=3)".into() }));
    // The same Python: what a call gave is there.
    assert_eq!(agent.interpreter().run("Out[1] + 1", &mut |_| {}).unwrap().observation(100), "6.0");
}

#[test]
fn text_calls_run_in_the_session() {
    let replies = ["I add.\nAction: add, 2, b=3\nThen", "Action: repeat, 12, 2 End Action", "<solution>5</solution>"];
    let (turn, _) = run(&mut agent(ActionFormat::Text, &replies), "2 and 3?");
    let seen = contents(&turn.messages);
    assert_eq!((seen[3], seen[5]), ("Observation:\n5.0", "Observation:\n'1212'"));
    assert_eq!(turn.answer.as_deref(), Some("5"));
}

#[test]
fn wrong_calls_are_explained_and_cost_no_execution_that_did_not_happen() {
    let mut agent = agent(
        ActionFormat::Json,
        &[
            "Action: {\"tool\": \"ad\", \"args\": {}}",
            "Action: add(1, 2)\n",
            "Action: {\"tool\": \"add\", \"args\": {\"x\": 2}}",
            "Action: {\"tool\": \"add\", \"args\": {\"a\": \"word\"}}",
            "<solution>no</solution>",
        ],
    );
    let (turn, _) = run(&mut agent, "Try.");
    let seen = contents(&turn.messages);
    assert!(
        seen[3].contains("There is no tool `ad`") && seen[3].contains("add(a: float, b: float = 1)"),
        "{}",
        seen[3]
    );
    assert!(seen[5].contains("not valid JSON") && seen[5].contains("Action: {\"tool\""), "{}", seen[5]);
    assert!(
        seen[7].contains("TypeError") && seen[7].contains("[The signature of the tool is add(a: float"),
        "{}",
        seen[7]
    );
    assert!(seen[9].contains("RuntimeError: a is no number"), "{}", seen[9]);
    assert_eq!((turn.steps, turn.executions), (5, 2));
}

#[test]
fn the_system_message_describes_tools_in_the_form_they_are_called() {
    let system = |profile: Profile, format| {
        let options = AgentOptions { format, tools: Box2.tools(), ..AgentOptions::new(profile) };
        options.system_message()
    };
    for name in Profile::NAMES {
        let profile = || Profile::named(name).unwrap();
        for format in ActionFormat::NAMES.map(|format| ActionFormat::named(format).unwrap()) {
            let text = system(profile(), format);
            assert!(text.contains("\n[2] repeat(word: str, times: int) -> str\nThe word, so many times."), "{text}");
            assert_eq!(text.contains("Action: "), format != ActionFormat::Code, "{text}");
            assert_eq!(text.contains("You have 5 chances"), name == "codeactinstruct", "{text}");
        }
    }
    let code = system(Profile::codeactinstruct(), ActionFormat::Code);
    assert!(code.contains("\n\nTool function available (already imported in <execute> environment):\n[1] add(a"));
    let own = AgentOptions {
        system_prompt: Some("Be short.".into()),
        skills_prompt: Some("Skills: none.".into()),
        ..AgentOptions::new(Profile::chat())
    };
    assert_eq!(own.system_message(), "Be short.\n\nSkills: none.");
    assert_eq!(AgentOptions::new(Profile::quickstart()).system_message(), "Solve tasks by running Python.");
}

#[test]
fn tools_are_functions_where_actions_are_code() {
    let replies = ["<execute>\nsum(add(n) for n in range(3))\n</execute>", "<solution>6</solution>"];
    let (turn, _) = run(&mut agent(ActionFormat::Code, &replies), "Sum.");
    assert_eq!(contents(&turn.messages)[3], "Observation:\n6.0");
}
