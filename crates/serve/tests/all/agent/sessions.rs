//! What sessions are made of, and how many there may be.

use serde_json::{Value, json};

use super::{SESSIONS, Session, observations, of, run, say};
use crate::client::{ask, get, metric};
use crate::tiny::{Setup, serve_agents, serve_say};

#[test]
fn a_session_says_what_it_was_made_with() {
    let server = serve_say();
    let body = json!({
        "title": "Sums", "profile": "chat", "approval": "ask", "system_prompt": "Add.", "overflow": "stop",
        "limits": {"steps": 3, "executions": 2, "tokens": 50, "seconds": 5.5, "observation_tokens": 9,
                   "cell_seconds": 2, "memory_mib": 512, "disk_mib": 16, "processes": 32},
        "temperature": 0.5, "top_p": 0.9, "top_k": 7, "seed": 3, "max_tokens": 20,
    });
    let session = Session::create(server.port, body.clone()).object();
    for field in ["title", "profile", "approval", "system_prompt", "overflow", "limits"] {
        assert_eq!(session[field], body[field], "{field}");
    }
    let sampling = json!({"temperature": 0.5, "top_p": 0.9, "top_k": 7, "seed": 3, "max_tokens": 20});
    assert_eq!((&session["sampling"], &session["object"]), (&sampling, &json!("agent.session")));
    assert_eq!((&session["state"], &session["turns"], &session["last_event"]), (&json!("idle"), &json!([]), &json!(0)));
    assert_eq!((&session["model"], &session["action_format"]), (&json!("tiny"), &json!("code")));
    assert_eq!((&session["parent"], &session["pending_approval"]), (&Value::Null, &Value::Null));
    assert!(!session["protection"]["layers"].as_array().unwrap().is_empty());
    assert!(session.get("owner").is_none() && session.get("running").is_none());
}

#[test]
fn turns_are_kept_with_their_events_and_variables_live_on() {
    let server = serve_say();
    let session = Session::create(server.port, json!({}));
    let first =
        session.turn(&say(&["I count.\n<execute>\ncount = 20\nprint(count)\n</execute>", "<solution>20</solution>"]));
    let kinds: Vec<&str> = first.iter().map(|event| event["type"].as_str().unwrap()).collect();
    for kind in
        ["turn.start", "step.start", "token", "code.end", "exec.start", "exec.stdout", "exec.end", "usage", "answer"]
    {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    let second = session.turn(&run("count + 22"));
    assert_eq!(observations(&second), ["42"]);
    let object = session.object();
    let turns = object["turns"].as_array().unwrap();
    assert_eq!(turns.len(), 2);
    assert_eq!(
        (&turns[0]["answer"], &turns[0]["end"], &turns[0]["executions"]),
        (&json!("20"), &json!("solution"), &json!(1))
    );
    assert_eq!(turns[0]["first_event"], 1);
    assert_eq!(turns[0]["last_event"], first.last().unwrap()["id"]);
    assert_eq!((&turns[1]["first_event"], &turns[1]["turn"]), (&second[0]["id"], &json!(2)));
    assert_eq!(object["last_event"], turns[1]["last_event"]);
    assert!(turns[0].get("before").is_none());
    let list = get(server.port, SESSIONS).json();
    assert_eq!(list["data"][0]["id"], json!(session.id));
    assert!(list["data"][0].get("turns").is_none());
}

#[test]
fn a_turn_that_fails_says_so_and_the_session_goes_on() {
    let server = serve_say();
    let session = Session::create(server.port, json!({}));
    let events = session.turn("nothing that the model understands");
    assert_eq!(of(&events, "error").len(), 1);
    assert_eq!(events.last().unwrap()["end"], "error");
    assert_eq!(session.answer(&say(&["<solution>fine</solution>"])), "fine");
    assert_eq!(session.object()["turns"][0]["end"], "error");
}

#[test]
fn pythons_are_bounded_and_a_deleted_session_makes_room() {
    let server = serve_say();
    let first = Session::create(server.port, json!({}));
    Session::create(server.port, json!({}));
    let refused = ask(server.port, "POST", SESSIONS, "");
    assert!(refused.error(429).contains("all 2 sessions"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(first.request("DELETE", "", "").status, 204);
    for gone in [first.get(""), first.get("/events"), first.request("DELETE", "", "")] {
        assert!(gone.error(404).contains(&first.id));
    }
    Session::create(server.port, json!({}));
    assert_eq!((metric(server.port, "codeact_pythons"), metric(server.port, "codeact_agent_sessions")), (2.0, 2.0));
}

#[test]
fn an_idle_python_goes_and_comes_back_with_the_next_message() {
    let setup =
        Setup { agent: |settings| settings.idle_time_max = std::time::Duration::from_millis(1), ..Setup::default() };
    let server = serve_agents(setup);
    let session = Session::create(server.port, json!({}));
    session.turn(&run("kept = 7"));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while session.state() != "stored" {
        assert!(std::time::Instant::now() < deadline, "its Python does not go");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let events = session.turn(&run("print(kept)"));
    assert_eq!(observations(&events), ["7"]);
    let restored = of(&events, "restored");
    assert_eq!((&restored[0]["cells"], &restored[0]["differences"]), (&json!(1), &json!([])));
}

#[test]
fn packages_that_are_missing_are_named() {
    let server = serve_say();
    let body = json!({"packages": ["json", "no_such_module", "os.path", "also.missing"]});
    let message = ask(server.port, "POST", SESSIONS, &body.to_string()).error(400);
    assert!(message.contains("`no_such_module`, `also.missing`") && !message.contains("json"), "{message}");
    let session = Session::create(server.port, json!({"packages": ["json"]}));
    let events = session.turn(&run("print([name for name in dir() if 'missing' in name])"));
    assert_eq!(observations(&events), ["[]"]);
    // What is refused leaves nothing behind.
    assert_eq!(metric(server.port, "codeact_pythons"), 1.0);
}

#[test]
fn settings_can_be_changed() {
    let server = serve_say();
    let session = Session::create(server.port, json!({}));
    let changed = session.request("PATCH", "", r#"{"title": "New", "approval": "ask"}"#);
    assert_eq!((&changed.json()["title"], &changed.json()["approval"]), (&json!("New"), &json!("ask")));
    let event = &session.events(0)[0];
    assert_eq!(
        (&event["type"], &event["title"], &event["approval"]),
        (&json!("updated"), &json!("New"), &json!("ask"))
    );
    assert!(session.request("PATCH", "", r#"{"model": "other"}"#).error(404).contains("other"));
    assert_eq!(session.request("PATCH", "", r#"{"model": "tiny"}"#).json()["model"], "tiny");
    assert!(session.request("PATCH", "", r#"{"limits": {}}"#).error(400).contains("unknown field `limits`"));
}

#[test]
fn transcripts_come_in_three_forms() {
    let server = serve_say();
    let session = Session::create(server.port, json!({"title": "Sums"}));
    session.turn(&run("print(6 * 7)"));
    session.turn(&run("print('undone')"));
    assert_eq!(session.post("/undo", json!({})).status, 200);
    let row = session.get("/transcript").json();
    assert_eq!(row["conversations"].as_array().unwrap().last().unwrap()["content"], "<solution>done</solution>");
    let notebook = session.get("/transcript?format=ipynb");
    assert!(notebook.header("content-disposition").unwrap().starts_with("attachment"));
    assert_eq!(notebook.json()["nbformat"], 4);
    let text = session.get("/transcript?format=markdown").body;
    for (part, is_there) in [("Sums", true), ("print(6 * 7)", true), ("42", true), ("undone", false)] {
        assert_eq!(text.contains(part), is_there, "{part}: {text}");
    }
    assert!(session.get("/transcript?format=pdf").error(400).contains("jsonl, ipynb, markdown"));
}

#[test]
fn every_answer_about_code_says_what_protects_the_machine() {
    let server = serve_say();
    let answer = get(server.port, "/v1/sandbox");
    let rung = answer.json()["rung"].as_str().unwrap().to_owned();
    for answer in [answer, get(server.port, "/v1/agent/sessions/none"), get(server.port, "/v1/agent/tools")] {
        assert_eq!(answer.header("x-codeact-sandbox"), Some(&*rung), "{}", answer.head);
    }
    assert_eq!(get(server.port, "/health").header("x-codeact-sandbox"), None);
}

#[test]
fn the_disk_that_a_session_takes_is_bounded() {
    let setup = Setup { agent: |settings| settings.session_bytes_max = 60_000, ..Setup::default() };
    let server = serve_agents(setup);
    let session = Session::create(server.port, json!({}));
    let events = session.turn(&run("for _ in range(100): print('x' * 1000, flush=True)"));
    let error = of(&events, "error");
    assert_eq!((&error[0]["code"], &events.last().unwrap()["end"]), (&json!("session_full"), &json!("interrupted")));
    let refused = session.post("/messages", json!({"content": "more"}));
    assert!(refused.error(507).contains("the limit"), "{}", refused.body);
    let upload = session.request("PUT", "/files/a", "x");
    assert_eq!(upload.status, 507);
}
