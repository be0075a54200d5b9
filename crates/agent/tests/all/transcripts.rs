//! A conversation for others: data that our trainer reads, notebooks, text.

use crate::setup::{agent, run};
use codeact_agent::{Event, TurnEnd, transcript};
use codeact_chat::{Message, read_jsonl};
use codeact_sandbox::{CellEnd, CellError, Restored, State, Stream};
use serde_json::Value;
use std::collections::BTreeMap;

/// A turn with everything in it.
fn events() -> Vec<Event> {
    let text = |text: &str| text.to_string();
    let data = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(mime, content)| (mime.to_string(), content.to_string())).collect()
    };
    let print = |stream, said: &str| Event::ExecStdout { stream, text: text(said), is_late: false };
    let end = |error, value| Event::ExecEnd {
        step: 1,
        observation: text("seen"),
        end: CellEnd::Finished,
        state: State::Kept,
        seconds: 0.5,
        value,
        error,
    };
    let (name, message) = (text("ValueError"), text("bad"));
    let error = CellError { name, message, traceback: text("Traceback:\nValueError: bad") };
    vec![
        Event::TurnStart { content: text("Draw ```it```.") },
        Event::StepStart { step: 1 },
        Event::Token { text: text("I dr") },
        Event::Token { text: text("aw.\n") },
        Event::CodeDelta { text: text("\ndraw()") },
        Event::CodeEnd { step: 1, code: text("draw()\n1") },
        Event::ExecStart { step: 1, code: text("draw()\n1") },
        print(Stream::Stdout, "on"),
        print(Stream::Stdout, "e\n```\n"),
        print(Stream::Stderr, "careful"),
        Event::ExecDisplay { data: data(&[("image/png", "iVBORw0K"), ("text/plain", "<Figure>")]) },
        end(None, data(&[("application/json", "{\"a\": 1}"), ("text/plain", "1")])),
        Event::StepStart { step: 2 },
        Event::CodeEnd { step: 2, code: text("fail()") },
        Event::ExecStart { step: 2, code: text("fail()") },
        end(Some(error), BTreeMap::new()),
        Event::CodeEnd { step: 3, code: text("x = (") },
        Event::Hint { text: text("SyntaxError\n[The code was not run.]") },
        Event::Token { text: text("It is ") },
        Event::SolutionDelta { text: text("1") },
        Event::Answer { text: text("1") },
        turn_end(TurnEnd::Solution),
    ]
}

fn turn_end(end: TurnEnd) -> Event {
    let (steps, executions, prompt_tokens, completion_tokens, seconds) = (1, 1, 0, 0, 0.5);
    Event::TurnEnd { end, steps, executions, prompt_tokens, completion_tokens, seconds }
}

#[test]
fn training_data_is_what_the_trainer_reads() {
    let mut agent = agent(&["I add.\n<execute>\nprint(2 + 3)\n</execute>", "It is <solution>5</solution>"]);
    run(&mut agent, "Add 2 and 3.");
    let row = transcript::jsonl("session/1", agent.messages()).unwrap();
    assert_eq!(row.matches('\n').count(), 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    std::fs::write(&path, row.repeat(2)).unwrap();
    let read = read_jsonl(&path).unwrap();
    assert_eq!(read.len(), 2);
    assert_eq!(read[1].conversation.id, "session/1");
    assert_eq!(read[1].conversation.messages, agent.messages());
}

#[test]
fn training_data_ends_with_the_last_reply_and_needs_one() {
    let messages = [Message::system("s"), Message::user("u"), Message::assistant("a"), Message::user("Observation:")];
    let row: Value = serde_json::from_str(&transcript::jsonl("x", &messages).unwrap()).unwrap();
    assert_eq!(row["conversations"].as_array().unwrap().len(), 3);
    assert!(transcript::jsonl("x", &messages[..2]).is_err());
    assert!(transcript::jsonl("x", &[]).is_err());
}

#[test]
fn a_notebook_has_what_nbformat_asks_for() {
    let notebook: Value = serde_json::from_str(&transcript::notebook("A title", &events())).unwrap();
    assert_eq!((notebook["nbformat"].as_u64(), notebook["nbformat_minor"].as_u64()), (Some(4), Some(5)));
    let cells = notebook["cells"].as_array().unwrap();
    let kinds: Vec<&str> = cells.iter().map(|cell| cell["cell_type"].as_str().unwrap()).collect();
    let expected = ["markdown", "markdown", "markdown", "code", "code", "code", "markdown", "markdown", "markdown"];
    assert_eq!(kinds, expected);
    let ids: std::collections::BTreeSet<&str> = cells.iter().map(|cell| cell["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), cells.len());
    for cell in cells {
        assert!(cell["metadata"].is_object() && cell["source"].is_array(), "{cell}");
        assert_eq!(cell.get("outputs").is_some(), cell["cell_type"] == "code");
    }
    assert_eq!(cells[2]["source"], serde_json::json!(["I draw."]));
    assert_eq!(cells[3]["source"], serde_json::json!(["draw()\n", "1"]));
    let outputs = cells[3]["outputs"].as_array().unwrap();
    assert_eq!(outputs[0], serde_json::json!({"output_type": "stream", "name": "stdout", "text": ["one\n", "```\n"]}));
    assert_eq!(outputs[1]["name"], "stderr");
    assert_eq!(outputs[2]["data"]["image/png"], "iVBORw0K");
    assert_eq!((&outputs[3]["output_type"], &outputs[3]["execution_count"]), (&"execute_result".into(), &1.into()));
    assert_eq!(outputs[3]["data"]["application/json"], serde_json::json!({"a": 1}));
    let error = &cells[4]["outputs"][0];
    assert_eq!((&error["ename"], &error["evalue"]), (&"ValueError".into(), &"bad".into()));
    assert_eq!(error["traceback"], serde_json::json!(["Traceback:", "ValueError: bad"]));
    assert_eq!((cells[5]["execution_count"].clone(), cells[5]["outputs"].as_array().unwrap().len()), (Value::Null, 0));
}

#[test]
fn markdown_reads_as_it_was_said() {
    let expected = "# A title\n\n## User\n\nDraw ```it```.\n\n## Assistant\n\nI draw.\n\n```python\ndraw()\n1\n```\n\n\
                    ````text\none\n```\ncareful\n````\n\n![figure](data:image/png;base64,iVBORw0K)\n\n```text\n1\n```\n\n\
                    ```python\nfail()\n```\n\n```text\nTraceback:\nValueError: bad\n```\n\n```python\nx = (\n```\n\n\
                    *Not run.*\n\n> SyntaxError\n> [The code was not run.]\n\nIt is\n\n**Answer:** 1\n";
    assert_eq!(transcript::markdown("A\ntitle", &events()), expected);
}

#[test]
fn code_in_a_fence_is_not_shown_twice() {
    let mut agent = agent(&["Look:\n```python\nprint(1)\n```\nDone.", "<solution>1</solution>"]);
    let (_, events) = run(&mut agent, "One?");
    let expected = "# T\n\n## User\n\nOne?\n\n## Assistant\n\nLook:\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n\n\
                    **Answer:** 1\n";
    assert_eq!(transcript::markdown("T", &events), expected);
}

#[test]
fn turns_that_were_taken_back_are_not_there() {
    let start = |text: &str| Event::TurnStart { content: text.into() };
    let events = [
        start("First."),
        Event::Token { text: "One.".into() },
        Event::Answer { text: "One.".into() },
        turn_end(TurnEnd::Answer),
        start("Second."),
        turn_end(TurnEnd::StepLimit),
        start("Third."),
        Event::Undone { turns: 2, restored: Restored::Resumed },
        start("Fourth."),
        Event::Error { message: "gone".into(), code: "model".into() },
        turn_end(TurnEnd::Error),
        start("Fifth."),
        turn_end(TurnEnd::Interrupted),
    ];
    let expected = "# T\n\n## User\n\nFirst.\n\n## Assistant\n\nOne.\n\n## User\n\nFourth.\n\n## Assistant\n\n\
                    **Error:** gone\n\n## User\n\nFifth.\n\n## Assistant\n\n*Interrupted.*\n";
    assert_eq!(transcript::markdown("T", &events), expected);
    assert_eq!(transcript::markdown("T", &[Event::Undone { turns: 9, restored: Restored::Resumed }]), "# T\n");
}
