//! Tools of MCP servers in sessions, and who is asked about their calls.

use std::path::Path;
use std::sync::Arc;

use codeact_serve::mcp::connect;
use serde_json::{Value, json};

use super::{Follow, Session, execute, observations, of, run};
use crate::tiny::{Server, Setup, serve_agents_with};

/// A server with the tools of an MCP server of which calls want to be asked about.
fn serve() -> Server {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/terminal/mcp_server.py");
    let text = format!("[small]\ncommand = 'python3'\nargs = ['{}']\napproval = 'ask'", script.display());
    let tools = connect(&toml::from_str(&text).unwrap()).unwrap();
    serve_agents_with(Setup::default(), |state| state.with_tools(Arc::clone(&tools)))
}

fn asked(content: &str) -> (Server, Session, Follow, Value) {
    let server = serve();
    let session = Session::create(server.port, json!({"tools": ["add"]}));
    session.tell(content);
    let mut reader = session.follow(0);
    let question = reader.until("approval.required");
    (server, session, reader, question)
}

#[test]
fn a_call_waits_for_its_approval_while_its_code_runs() {
    let (_server, session, mut reader, question) = asked(&run("print(add(2, b=40)['sum'])"));
    let pending = json!({"approval": question["approval"], "step": 1, "code": "add(a=2, b=40)", "tool": "add"});
    let object = session.object();
    assert_eq!((&object["pending_approval"], &object["state"]), (&pending, &json!("waiting")));
    assert_eq!(of(&session.events(0), "exec.start").len(), 1);
    let changed = session.decide(&question, json!({"decision": "approve", "code": "add(a=1)"}));
    assert!(changed.error(400).contains("not changed"));
    assert_eq!(session.decide(&question, json!({"decision": "approve"})).json(), json!({"decision": "approved"}));
    assert_eq!(reader.until("approval.resolved")["decision"], "approved");
    assert_eq!(reader.until("exec.end")["observation"], "42");
    reader.until("turn.end");
    assert_eq!(session.object()["pending_approval"], Value::Null);
    assert!(session.decide(&question, json!({"decision": "approve"})).error(409).contains("decided already"));
}

#[test]
fn a_denial_is_an_exception_with_its_reason() {
    let (_server, session, mut reader, question) = asked(&run("add(2)"));
    session.decide(&question, json!({"decision": "deny", "reason": "not today"}));
    assert_eq!(reader.until("approval.resolved")["reason"], "not today");
    let seen = reader.until("exec.end");
    let seen = seen["observation"].as_str().unwrap();
    assert!(seen.ends_with("the call of `add` was not approved: not today"), "{seen}");
    // Code runs at once in this session; calls are asked about all the same.
    assert_eq!(session.object()["approval"], "auto");
}

#[test]
fn calls_are_asked_about_one_after_the_other_and_always_is_for_the_tool() {
    let threads = "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(3) as pool:\n    \
                   print(sorted(one['sum'] for one in pool.map(add, range(3))))";
    let (_server, session, mut reader, question) = asked(&run(threads));
    session.decide(&question, json!({"decision": "approve"}));
    let second = reader.until("approval.required");
    assert_ne!(second["approval"], question["approval"]);
    session.decide(&second, json!({"decision": "approve", "always": true}));
    assert_eq!(reader.until("exec.end")["observation"], "[1, 2, 3]");
    reader.until("turn.end");
    let events = session.events(0);
    assert_eq!((of(&events, "approval.required").len(), of(&events, "approval.resolved").len()), (2, 2));
    assert_eq!(observations(&session.turn(&run("print(add(1)['sum'])"))), ["2"]);
    assert_eq!(session.object()["approval"], "auto");
}

#[test]
fn a_question_is_over_with_its_code_and_with_its_turn() {
    let server = serve();
    let session = Session::create(server.port, json!({"tools": ["add"], "limits": {"cell_seconds": 2}}));
    session.tell(&run("add(1)"));
    let mut reader = session.follow(0);
    let question = reader.until("approval.required");
    assert_eq!(reader.until("approval.resolved")["decision"], "interrupted");
    assert_eq!(reader.until("exec.end")["end"], "timed_out");
    reader.until("turn.end");
    assert!(session.decide(&question, json!({"decision": "approve"})).error(409).contains("waits no longer"));

    session.tell(&run("add(2)"));
    reader.until("approval.required");
    assert_eq!(session.post("/interrupt", json!({})).json(), json!({"interrupted": true}));
    assert_eq!(reader.until("approval.resolved")["decision"], "interrupted");
    assert_eq!(reader.until("turn.end")["end"], "interrupted");
    assert_eq!(session.object()["pending_approval"], Value::Null);
}

#[test]
fn nothing_is_called_after_an_interrupt() {
    let server = serve();
    let session = Session::create(server.port, json!({"tools": ["add"]}));
    let code = "add(1)\nprint('begun', flush=True)\ntry:\n    import time\n    time.sleep(20)\nexcept BaseException:\n    \
                print(add(2))";
    session.tell(&run(code));
    let mut reader = session.follow(0);
    let question = reader.until("approval.required");
    session.decide(&question, json!({"decision": "approve", "always": true}));
    reader.until("exec.stdout");
    session.post("/interrupt", json!({}));
    let end = reader.until("exec.end");
    assert!(!end["observation"].as_str().unwrap().contains("'sum'"), "{end}");
    reader.until("turn.end");
    assert_eq!(of(&session.events(0), "approval.required").len(), 1);
}

#[test]
fn a_branch_is_asked_about_its_own_calls() {
    let server = serve();
    let session = Session::create(server.port, json!({"tools": ["add"]}));
    session.turn(&run("x = 1"));
    let branch = session.post("/branch", json!({"turn": 1})).json();
    let branch = session.other(&branch["session"]["id"]);
    branch.tell(&run("print(add(x)['sum'])"));
    let mut reader = branch.follow(0);
    let question = reader.until("approval.required");
    assert_eq!(session.object()["pending_approval"], Value::Null);
    assert!(session.decide(&question, json!({"decision": "approve"})).error(404).contains("no approval"));
    branch.decide(&question, json!({"decision": "approve"}));
    assert_eq!(reader.until("exec.end")["observation"], "2");
}

#[test]
fn where_nobody_can_be_asked_calls_are_refused() {
    let server = serve();
    let result = execute(server.port, "c1", "add(1)");
    assert!(result["result"].as_str().unwrap().contains("nobody can be"), "{result}");
}
