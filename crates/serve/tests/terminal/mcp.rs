//! Tools of MCP servers, called from cells: servers that behave, and servers that do not.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use codeact_sandbox::{Approval, Policy, Session, Toolbox};
use codeact_serve::mcp::{McpError, McpTable, McpTools, connect};

/// A table for the test's own server.
pub fn table(mode: &str, more: &str) -> String {
    let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/terminal/mcp_server.py");
    format!("command = 'python3'\nargs = ['{}', '{mode}']\n{more}\n", server.display())
}

fn tables(text: &str) -> BTreeMap<String, McpTable> {
    toml::from_str(text).unwrap()
}

fn tools(mode: &str, more: &str) -> Result<Arc<McpTools>, McpError> {
    connect(&tables(&format!("[small]\n{}", table(mode, more))))
}

fn refusal(mode: &str, more: &str) -> String {
    tools(mode, more).unwrap_err().to_string()
}

/// A session that has them.
fn session(tools: &Arc<McpTools>) -> Session {
    session_of(tools.toolbox(None))
}

fn session_of(tools: Arc<dyn Toolbox>) -> Session {
    let policy = Policy { tools: Some(tools), imports: Vec::new(), ..Policy::default() };
    Session::start(&policy).unwrap()
}

fn see(session: &mut Session, code: &str) -> String {
    session.run(code, &mut |_| {}).unwrap().observation(2000)
}

#[test]
fn tools_of_a_server_are_python_functions() {
    let tools = tools("good", "env = { GIVEN = 'a value' }").unwrap();
    let mut session = session(&tools);
    assert_eq!(see(&mut session, "add(2, b=40)"), "{'sum': 42}");
    assert_eq!(see(&mut session, "[add(n)['sum'] for n in range(3)]"), "[1, 2, 3]");
    let about = "str(__import__('inspect').signature(add)), add.__doc__";
    assert_eq!(see(&mut session, about), "('(a: float, b: float = 1) -> dict', 'Add two numbers.')");
    assert_eq!(see(&mut session, "echo_arguments('here')"), "'{\"from\": \"here\"}'");
    assert_eq!(see(&mut session, "echo_arguments('here', unit='c')"), "'{\"from\": \"here\", \"unit\": \"c\"}'");
    // Python's own stays what it is.
    assert_eq!(see(&mut session, "print('x'); small_print()"), "x\n'print was called'");
    assert_eq!(see(&mut session, "picture()"), "['drawn', {'mime': 'image/png', 'base64': 'aGk='}]");
    let threads = "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(4) as pool:\n    \
                   sums = [one['sum'] for one in pool.map(add, range(20))]\nsums == list(range(1, 21))";
    assert_eq!(see(&mut session, threads), "True");
    // A program gets what it was given, and nothing else that this one has.
    let variables = see(&mut session, "variables()");
    assert!(variables.ends_with("| a value'") && !variables.contains("CARGO"), "{variables}");
}

#[test]
fn what_goes_wrong_is_an_exception_with_the_reason() {
    let tools = tools("good", "call_seconds = 1").unwrap();
    let mut session = session(&tools);
    let mut error = |code: &str| see(&mut session, code).lines().last().unwrap().to_owned();
    assert_eq!(error("fail()"), "RuntimeError: no luck [31mtoday");
    assert_eq!(error("add('two')"), "RuntimeError: `a` must be float, not str");
    assert_eq!(error("echo_arguments('x', unit='k')"), "RuntimeError: `unit` must be one of \"c\", \"f\"");
    assert_eq!(error("add()"), "TypeError: missing a required argument: 'a'");
    assert_eq!(error("hang()"), "RuntimeError: the MCP server `small` did not answer within 1 s");
    // And it goes on.
    assert_eq!(error("add(1)"), "{'sum': 2}");
}

#[test]
fn a_server_that_ended_is_started_again_but_not_at_once_forever() {
    let tools = tools("good", "").unwrap();
    let mut session = session(&tools);
    let mut last = |code: &str| see(&mut session, code).lines().last().unwrap().to_owned();
    let ended = "RuntimeError: the MCP server `small` ended during the call";
    assert_eq!(last("die()"), ended);
    assert_eq!(last("add(1)"), "{'sum': 2}");
    assert_eq!(last("die()"), ended);
    assert_eq!(last("die()"), ended);
    let postponed = last("add(1)");
    assert!(postponed.contains("has ended; it is started again in 0."), "{postponed}");
    let patient = "import time\nwhile True:\n    try:\n        print(add(1)); break\n    except RuntimeError:\n        time.sleep(0.05)";
    assert_eq!(last(patient), "{'sum': 2}");
}

#[test]
fn garbage_between_messages_is_passed_over() {
    let tools = tools("garbage", "").unwrap();
    assert_eq!(see(&mut session(&tools), "[add(n)['sum'] for n in range(10)]"), "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]");
}

#[test]
fn huge_results_are_errors_and_cost_nothing_later() {
    let tools = tools("good", "call_seconds = 20").unwrap();
    let mut session = session(&tools);
    assert_eq!(see(&mut session, "len(big(1 << 20))"), "1048576");
    let text = see(&mut session, "big(9 << 20)");
    assert!(text.ends_with("the result of `big` is larger than 8388608 bytes"), "{text}");
    let text = see(&mut session, "big(200 << 20)");
    assert!(text.ends_with("the MCP server `small` ended during the call"), "{text}");
    assert_eq!(see(&mut session, "add(1)"), "{'sum': 2}");
}

#[test]
fn servers_that_cannot_be_used_are_refused_with_the_reason() {
    let text = refusal("quits", "");
    assert!(text.contains("`small` does not speak MCP") && text.contains("stderr: cannot find my files"), "{text}");
    assert!(refusal("silent", "start_seconds = 1").contains("did not answer within 1 s\nhint: `start_seconds`"));
    assert!(refusal("flood", "start_seconds = 20").contains("`small` does not speak MCP"));
    assert!(refusal("many", "").contains("more than 10000 tools"), "{}", refusal("many", ""));
    assert!(refusal("endless", "").contains("more than 100 pages"));
    assert!(refusal("broken", "").contains("cannot list its tools"));
    let text = refusal("good", "tools = ['ad']");
    assert!(text.contains("has no tool `ad`") && text.contains("did you mean `add`?"), "{text}");
    let text = connect(&tables("[gone]\ncommand = 'no-such-program'")).unwrap_err().to_string();
    assert!(text.contains("`gone` `no-such-program` does not start"), "{text}");
}

#[test]
fn only_what_is_allowed_can_be_called() {
    let tools = tools("good", "tools = ['add', 'fail']\ncalls_per_minute = 2").unwrap();
    let names: Vec<String> = tools.tools().into_iter().map(|tool| tool.name).collect();
    assert_eq!(names, ["add", "fail"]);
    let mut session = session(&tools);
    assert!(see(&mut session, "picture()").contains("NameError"));
    let text = see(&mut session, "[add(n) for n in range(3)]");
    assert!(text.ends_with("may be called 2 times a minute; try again in 30 s"), "{text}");
}

#[test]
fn somebody_is_asked_where_the_settings_say_so() {
    let tools = tools("good", "approval = 'ask'").unwrap();
    let text = see(&mut session(&tools), "add(1)");
    assert!(text.ends_with("was not approved: somebody would have to be asked, and nobody can be"), "{text}");
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&asked);
    let ask = move |name: &str, arguments: &serde_json::Value| {
        heard.lock().unwrap().push(format!("{name} {arguments}"));
        if arguments["a"] == 1 { Approval::Allow } else { Approval::Deny("too much".to_owned()) }
    };
    let mut session = session_of(tools.toolbox(Some(Arc::new(ask))));
    assert_eq!(see(&mut session, "add(1)"), "{'sum': 2}");
    assert!(see(&mut session, "add(2)").ends_with("the call of `add` was not approved: too much"));
    assert_eq!(*asked.lock().unwrap(), [r#"add {"a":1,"b":1}"#, r#"add {"a":2,"b":1}"#]);
}

#[test]
fn two_servers_with_the_same_tools_have_them_under_both_names() {
    let text =
        format!("[one]\n{}[two]\n{}", table("good", "tools = ['add']"), table("good", "tools = ['add', 'fail']"));
    let tools = connect(&tables(&text)).unwrap();
    let names: Vec<String> = tools.tools().into_iter().map(|tool| tool.name).collect();
    assert_eq!(names, ["one_add", "two_add", "fail"]);
    assert_eq!(see(&mut session(&tools), "one_add(1)['sum'] + two_add(2)['sum']"), "5");
}

#[test]
fn servers_end_with_their_host_and_so_does_what_they_started() {
    let tools = tools("good", "").unwrap();
    let mut session = session(&tools);
    let pid: u32 = see(&mut session, "int(spawn())").parse().unwrap();
    let is_alive = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        status.is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
    };
    assert!(is_alive());
    drop(session);
    drop(tools);
    // The kernel takes a moment to end what was killed.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while is_alive() && std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert!(!is_alive());
}

/// The same tools over HTTP, as long as it is kept.
struct OverHttp(std::process::Child, u16);

impl Drop for OverHttp {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn over_http() -> OverHttp {
    let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/terminal/mcp_http.py");
    let mut child = Command::new("python3").arg(server).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    OverHttp(child, line.trim().parse().unwrap())
}

#[test]
fn servers_are_reached_over_http_with_their_headers() {
    let OverHttp(_, port) = &over_http();
    let url = format!("[far]\nurl = 'http://127.0.0.1:{port}/mcp'\ncall_seconds = 5\n");
    let refused = connect(&tables(&url)).unwrap_err().to_string();
    assert!(refused.contains("`far`") && !refused.contains("sesame"), "{refused}");
    let tools = connect(&tables(&format!("{url}headers = {{ X-Secret = 'open sesame' }}"))).unwrap();
    let mut session = session(&tools);
    assert_eq!(see(&mut session, "add(2, b=40)"), "{'sum': 42}");
    assert!(see(&mut session, "fail()").contains("no luck"));
    let broken = see(&mut session, "die()");
    assert!(broken.contains("RuntimeError") && broken.contains("`far`"), "{broken}");
    // And it goes on.
    assert_eq!(see(&mut session, "add(1)"), "{'sum': 2}");
    drop((session, tools));
    let gone = connect(&tables("[far]\nurl = 'http://127.0.0.1:1/mcp'\nstart_seconds = 2")).unwrap_err().to_string();
    assert!(gone.contains("`far`"), "{gone}");
}
