use crate::{policy, run, see, start, value};
use codeact_sandbox::{Approval, CellEnd, Kind, Policy, Session, Tool, Toolbox};
use serde_json::{Value, json};
use std::sync::Arc;

#[test]
fn an_object_is_shown_in_all_of_its_formats() {
    let mut session = start();
    let code = "class Table:\n    def __repr__(self):\n        return 'a table'\n    def _repr_html_(self):\n        return '<table>'\n    \
                def _repr_latex_(self):\n        raise ValueError\nTable()";
    let cell = run(&mut session, code);
    assert_eq!(value(&cell).as_deref(), Some("a table"));
    assert_eq!(cell.value.get("text/html"), Some(&b"<table>"[..]));
    assert_eq!(cell.value.iter().count(), 2);
}

#[test]
fn displays_arrive_while_the_cell_runs_and_lie_in_the_observation() {
    let mut session = start();
    let mut shown = Vec::new();
    let code = "print('one', flush=True)\ndisplay({'two': 2})\n'three'";
    let cell = session
        .run(code, &mut |event| {
            if let Kind::Display(bundle) = event.kind {
                shown.push(bundle.text().unwrap());
            }
        })
        .unwrap();
    assert_eq!(shown, ["{'two': 2}"]);
    assert_eq!(cell.displays.len(), 1);
    assert_eq!(cell.observation(1000), "one\n{'two': 2}\n'three'");
}

#[test]
fn shell_lines_and_magics_that_people_use_work() {
    let mut session = start();
    assert_eq!(see(&mut session, "!echo hi | tr h H"), "Hi");
    assert_eq!(see(&mut session, "name = 'x y'\nlines = !printf 'a\\nb\\n'\nlines"), "['a', 'b']");
    assert_eq!(see(&mut session, "%%writefile note.txt\nhello"), "Writing note.txt");
    assert_eq!(see(&mut session, "open('note.txt').read()"), "'hello\\n'");
    assert_eq!(see(&mut session, "7 %\\\n4"), "3");
    assert_eq!(see(&mut session, "import asyncio\nawait asyncio.sleep(0, 'awaited')"), "'awaited'");
    let text = see(&mut session, "%pip install requests");
    assert!(text.contains("no network"), "{text}");
    let cell = run(&mut session, "input('? ')");
    assert_eq!(cell.end, CellEnd::Raised);
    assert_eq!(cell.error.unwrap().name, "EOFError");
}

/// Tools of a weather service, one of which nobody may call.
#[derive(Debug)]
struct Weather;

impl Toolbox for Weather {
    fn tools(&self) -> Vec<Tool> {
        let tool = |name: &str, signature: &str| Tool {
            name: name.to_string(),
            signature: signature.to_string(),
            doc: format!("Ask for {name}."),
        };
        vec![tool("forecast", "(city: str, days: int = 3) -> dict"), tool("launch", "()")]
    }

    fn approve(&self, name: &str, _: &Value) -> Approval {
        if name == "launch" { Approval::Deny("not today".to_string()) } else { Approval::Allow }
    }

    fn call(&self, name: &str, arguments: Value) -> Result<Value, String> {
        match arguments["city"].as_str() {
            Some("Atlantis") => Err("no such city".to_string()),
            Some("Panic") => panic!("a tool that fails"),
            _ => Ok(json!({ "tool": name, "arguments": arguments })),
        }
    }
}

#[test]
fn functions_of_the_host_are_called_from_a_cell() {
    let mut session = Session::start(&Policy { tools: Some(Arc::new(Weather)), ..policy() }).unwrap();
    assert_eq!(see(&mut session, "forecast('Oslo')['arguments']"), "{'city': 'Oslo', 'days': 3}");
    assert_eq!(see(&mut session, "[forecast('a', days=n)['arguments']['days'] for n in range(3)]"), "[0, 1, 2]");
    assert_eq!(
        see(&mut session, "forecast.__doc__, str(__import__('inspect').signature(forecast))"),
        "('Ask for forecast.', '(city: str, days: int = 3) -> dict')"
    );
    assert!(see(&mut session, "forecast('Atlantis')").ends_with("RuntimeError: no such city"));
    assert!(see(&mut session, "forecast('Panic')").ends_with("RuntimeError: the tool `forecast` failed"));
    assert!(see(&mut session, "launch()").ends_with("was not approved: not today"));
    assert!(see(&mut session, "forecast()").contains("TypeError"));
    assert!(see(&mut session, "forecast(print)").contains("TypeError"));
    let code = "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(4) as pool:\n    \
                names = [r['arguments']['city'] for r in pool.map(forecast, 'abcd')]\nnames";
    assert_eq!(see(&mut session, code), "['a', 'b', 'c', 'd']");
    // They are there after the state was brought back, too.
    run(&mut session, "import os\nos._exit(1)");
    assert_eq!(see(&mut session, "forecast('Oslo', 1)['tool']"), "'forecast'");
}
