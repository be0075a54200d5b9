//! Back, and on in another session.

use serde_json::json;

use super::{Session, observations, of, run, say};
use crate::tiny::serve_say;

#[test]
fn undo_takes_back_variables_files_and_what_was_said() {
    let server = serve_say();
    let session = Session::create(server.port, json!({}));
    session.turn(&run("x = 1\nopen('f', 'w').write('one')"));
    session.turn(&run("x = 2\nopen('f', 'w').write('two')"));
    session.turn(&run("x = 3"));
    let undone = session.post("/undo", json!({"turns": 2}));
    assert_eq!(undone.status, 200, "{}", undone.body);
    let undone = undone.json();
    assert_eq!(
        (undone["session"]["turns"].as_array().unwrap().len(), &undone["restored"]["how"]),
        (1, &json!("resumed"))
    );
    let event = session.events(0).pop().unwrap();
    assert_eq!((&event["type"], &event["turns"], &event["turn"]), (&json!("undone"), &json!(2), &json!(1)));
    assert_eq!(session.get("/files/f").body, "one");
    let events = session.turn(&run("print(x)"));
    assert_eq!((observations(&events), &events[0]["turn"]), (vec!["1"], &json!(2)));
    assert!(!session.get("/transcript").body.contains("x = 2"));
    assert!(session.post("/undo", json!({"turns": 3})).error(400).contains("there are 2"));
    assert_eq!(session.post("/undo", json!({"turns": 2})).json()["session"]["turns"], json!([]));
    assert!(session.post("/undo", json!({})).error(400).contains("there are 0"));
}

#[test]
fn a_branch_goes_on_from_any_turn_with_its_python_and_its_files() {
    let server = serve_say();
    let session = Session::create(server.port, json!({"title": "Stem"}));
    session.turn(&run("import random\nr = random.random()\nopen('f', 'w').write('stem')"));
    session.turn(&run("r = 'second'\nopen('f', 'w').write('second')"));
    let made = session.post("/branch", json!({"turn": 1}));
    assert_eq!(made.status, 201, "{}", made.body);
    let made = made.json();
    assert_eq!(made["session"]["parent"], json!({"session": session.id, "turn": 1}));
    assert_eq!((&made["session"]["title"], &made["restored"]["how"]), (&json!("Stem"), &json!("resumed")));
    let branch = session.other(&made["session"]["id"]);
    // What it has of its parent can be read in it.
    let shared = branch.events(0);
    assert_eq!(shared, session.events(0)[..shared.len()]);
    assert_eq!(shared.last().unwrap()["type"], "turn.end");
    assert_eq!(of(&session.events(0), "branched")[0]["session"], made["session"]["id"]);
    let events = branch.turn(&run("print(type(r).__name__, open('f').read())\nopen('f', 'w').write('branch')"));
    assert!(observations(&events)[0].starts_with("float stem"));
    assert_eq!(observations(&session.turn(&run("print(r, open('f').read())"))), ["second second"]);
    // Files are those of the session that is asked, whichever ran last.
    for (asked, content) in [(&branch, "branch"), (&session, "second"), (&branch, "branch")] {
        assert_eq!(asked.get("/files/f").body, content);
    }
    assert_eq!(branch.request("PUT", "/files/g", "put").status, 201);
    assert_eq!(session.get("/files/g").status, 404);
    assert_eq!(session.request("DELETE", "", "").status, 204);
    assert_eq!(observations(&branch.turn(&run("print(open('f').read(), open('g').read())"))), ["branch put"]);
}

#[test]
fn a_branch_from_the_start_is_empty_and_there_is_none_from_a_turn_that_is_not() {
    let server = serve_say();
    let session = Session::create(server.port, json!({}));
    session.turn(&run("x = 1"));
    let made = session.post("/branch", json!({"turn": 0})).json();
    let branch = session.other(&made["session"]["id"]);
    assert_eq!((branch.events(0).len(), &branch.object()["turns"]), (0, &json!([])));
    assert!(observations(&branch.turn(&run("print(x)")))[0].contains("NameError"));
    assert!(session.post("/branch", json!({"turn": 2})).error(400).contains("there are 1 turns"));
    assert!(session.post("/branch", json!({})).error(400).contains("missing field `turn`"));
    // Two Pythons are all that this server gives.
    assert!(session.post("/branch", json!({"turn": 1})).error(429).contains("all 2"));
}

#[test]
fn branches_that_act_at_once_do_not_mix() {
    let server = serve_say();
    let session = Session::create(server.port, json!({}));
    session.turn(&run("x = 'shared'"));
    let made = session.post("/branch", json!({"turn": 1})).json();
    let branch = session.other(&made["session"]["id"]);
    std::thread::scope(|scope| {
        for (session, name) in [(&session, "stem"), (&branch, "branch")] {
            scope.spawn(move || {
                for number in 0..5 {
                    let write = format!("<execute>\nx = '{name}{number}'\nopen('f', 'w').write(x)\n</execute>");
                    let read = "<execute>\nprint(x, open('f').read())\n</execute>";
                    let events = session.turn(&say(&[&write, read, "<solution>done</solution>"]));
                    assert_eq!(observations(&events)[1], format!("{name}{number} {name}{number}"));
                }
            });
        }
    });
}
