//! `/execute`, as the engine of the original has it.

use serde_json::json;

use super::execute;
use crate::client::{answer, ask, metric, post_as, send};
use crate::tiny::{Setup, serve_agents, serve_say};

#[test]
fn results_are_what_the_original_gives() {
    let server = serve_say();
    let goldens = [
        ("1+1", "2"),
        ("print('hi')\n1+1", "hi\n2"),
        ("print('x',end='')\n'v'", "x'v'"),
        ("1;2\n3", "3"),
        ("None", "[Code executed successfully with no output]"),
        ("", "[Code executed successfully with no output]"),
        ("   \n", "[Code executed successfully with no output]"),
        ("a=1", "[Code executed successfully with no output]"),
        ("print()", "\n"),
        ("import sys; n = print('e',file=sys.stderr)", "e\n"),
        ("  print(a)\n  print(a + 1)", "1\n2\n"),
        ("\n print(a)", "1\n"),
        ("print('\\x1b[0;31mred\\x1b[0m')", "red\n"),
    ];
    for (index, (code, result)) in goldens.into_iter().enumerate() {
        let expected = json!({"result": result, "new_kernel_created": index == 0});
        assert_eq!(execute(server.port, "demo-2024-01-01", code), expected, "{code:?}");
    }
    let raised = execute(server.port, "demo-2024-01-01", "1/0")["result"].as_str().unwrap().to_owned();
    assert!(raised.contains("ZeroDivisionError: division by zero") && !raised.contains('\x1b'), "{raised}");
}

#[test]
fn figures_stand_behind_their_text() {
    let server = serve_say();
    let code =
        "class Figure:\n    def __repr__(self): return 'a figure'\n    def _repr_png_(self): return b'png'\nFigure()";
    let result = execute(server.port, "a", code)["result"].clone();
    assert_eq!(result, "a figure![image](data:image/png;base64,cG5n)");
}

#[test]
fn each_conversation_has_a_python_of_its_own() {
    let server = serve_say();
    assert_eq!(execute(server.port, "a", "x = 1")["new_kernel_created"], true);
    assert!(execute(server.port, "b", "x")["result"].as_str().unwrap().contains("NameError"));
    assert_eq!(execute(server.port, "a", "x"), json!({"result": "1", "new_kernel_created": false}));
    assert_eq!(metric(server.port, "codeact_pythons"), 2.0);
    let refused = ask(server.port, "POST", "/execute", r#"{"convid": "c", "code": "1"}"#);
    assert!(refused.error(429).contains("all 2"));
}

#[test]
fn an_idle_python_ends_and_the_next_call_says_that_it_is_new() {
    let setup =
        Setup { agent: |settings| settings.idle_time_max = std::time::Duration::from_millis(1), ..Setup::default() };
    let server = serve_agents(setup);
    execute(server.port, "a", "x = 1");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while metric(server.port, "codeact_pythons") > 0.0 {
        assert!(std::time::Instant::now() < deadline, "its Python does not end");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let again = execute(server.port, "a", "x");
    assert_eq!(again["new_kernel_created"], true);
    assert!(again["result"].as_str().unwrap().contains("NameError"));
}

#[test]
fn what_takes_too_long_is_stopped_and_the_state_stays() {
    let server = crate::tiny::serve_quick(Setup::default());
    execute(server.port, "a", "x = 1");
    let result = execute(server.port, "a", "print('partial', flush=True)\nwhile True: pass");
    assert_eq!(result, json!({"result": "[Execution timed out (1 seconds).]", "new_kernel_created": false}));
    assert_eq!(execute(server.port, "a", "x")["result"], "1");
}

#[test]
fn a_body_needs_no_name_but_has_to_be_json() {
    let server = serve_say();
    let body = r#"{"convid": "a", "code": "1"}"#;
    assert_eq!(answer(send(server.port, "POST", "/execute", &[], body)).json()["result"], "1");
    assert_eq!(post_as(server.port, "/execute", "text/plain", body).status, 200);
    let page = [("Origin", "https://evil.example.org"), ("Content-Type", "text/plain")];
    answer(send(server.port, "POST", "/execute", &page, body)).error(403);
    for (body, expected) in [
        ("{", "not acceptable"),
        ("[]", "must be an object"),
        (r#"{"code": "1"}"#, "missing field `convid`"),
        (r#"{"convid": 5, "code": "1"}"#, "`convid` is 5"),
        (r#"{"convid": "a", "code": "1", "timeout": 5}"#, "unknown field `timeout`"),
        (r#"{"convid": "a", "convid": "b", "code": "1"}"#, "stands twice"),
    ] {
        let message = answer(send(server.port, "POST", "/execute", &[], body)).error(400);
        assert!(message.contains(expected), "{body}: {message}");
    }
}

#[test]
fn calls_of_one_conversation_come_one_after_the_other() {
    let server = serve_say();
    execute(server.port, "a", "n = 0");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| execute(server.port, "a", "m = n\nimport time\ntime.sleep(0.01)\nn = m + 1"));
        }
    });
    assert_eq!(execute(server.port, "a", "n")["result"], "8");
}
