//! Files up and down.

use serde_json::json;

use super::{Session, observations, of, run};
use crate::tiny::{Setup, serve_agents, serve_say};

#[test]
fn files_go_up_and_down_and_are_listed() {
    let server = serve_say();
    let session = Session::create(server.port, json!({}));
    let put = session.request("PUT", "/files/data/a%20b.csv", "n\n1\n");
    assert_eq!((put.status, put.json()), (201, json!({"path": "data/a b.csv", "bytes": 4})));
    assert_eq!(observations(&session.turn(&run("print(open('data/a b.csv').read())")))[0].trim(), "n\n1");
    session.turn(&run("import os\nos.symlink('/etc/passwd', 'link')\nopen('out.html', 'w').write('<script>')"));
    let listed = session.get("/files").json();
    let kinds: Vec<_> = listed["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["name"].as_str().unwrap(), it["kind"].as_str().unwrap()))
        .collect();
    assert_eq!(kinds, [("data", "folder"), ("link", "link"), ("out.html", "file")]);
    let below = session.get("/files?path=data").json();
    assert_eq!((&below["entries"][0]["name"], &below["entries"][0]["bytes"]), (&json!("a b.csv"), &json!(4)));
    assert!(below["entries"][0]["modified"].as_f64().unwrap() > 1.6e9);
    let got = session.get("/files/out.html");
    assert_eq!((got.status, &*got.body, got.header("x-content-type-options")), (200, "<script>", Some("nosniff")));
    assert_eq!(got.header("content-type"), Some("application/octet-stream"));
    assert_eq!(got.header("content-disposition"), Some("attachment; filename*=UTF-8''out.html"));
    assert_eq!(session.request("DELETE", "/files/out.html", "").status, 204);
    assert_eq!(session.get("/files/out.html").status, 404);
}

#[test]
fn no_path_leads_out_of_the_workspace() {
    let server = serve_say();
    let session = Session::create(server.port, json!({}));
    session.turn(&run("import os\nos.symlink('/', 'root')\nos.mkfifo('fifo')\nos.mkdir('folder')"));
    for path in [
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e/x",
        "/etc/passwd",
        "root/etc/passwd",
        "fifo",
        "folder",
        "a%00b",
        "a%0ab",
        "./x",
        "x//y",
        "%ff",
    ] {
        let read = session.get(&format!("/files/{path}"));
        assert!([400, 404].contains(&read.status), "{path}: {} {}", read.status, read.body);
        if !["a%0ab", "./x", "x//y"].contains(&path) {
            let wrote = session.request("PUT", &format!("/files/{path}"), "x");
            assert!((400..500).contains(&wrote.status) || path == "fifo", "{path}: {} {}", wrote.status, wrote.body);
        }
    }
    for path in ["..", "/etc", "root", "%00", "no-such"] {
        let listed = session.get(&format!("/files?path={path}"));
        assert!([400, 404].contains(&listed.status), "{path}: {}", listed.body);
    }
}

#[test]
fn sizes_are_bounded_both_ways() {
    let setup = Setup { agent: |settings| settings.file_bytes_max = 1000, ..Setup::default() };
    let server = serve_agents(setup);
    let session = Session::create(server.port, json!({}));
    assert_eq!(session.request("PUT", "/files/fits", &"x".repeat(1000)).status, 201);
    assert!(session.request("PUT", "/files/large", &"x".repeat(1001)).error(413).contains("1000"));
    session.turn(&run("open('large', 'w').write('x' * 2000)"));
    assert!(session.get("/files/large").error(413).contains("1000"));
}

#[test]
fn what_was_uploaded_and_removed_is_so_after_python_came_back() {
    let setup =
        Setup { agent: |settings| settings.idle_time_max = std::time::Duration::from_millis(1), ..Setup::default() };
    let server = serve_agents(setup);
    let session = Session::create(server.port, json!({}));
    session.request("PUT", "/files/stays", "here");
    session.request("PUT", "/files/goes", "gone");
    session.turn(&run("print(open('goes').read())"));
    assert_eq!(session.request("DELETE", "/files/goes", "").status, 204);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while session.state() != "stored" {
        assert!(std::time::Instant::now() < deadline, "its Python does not go");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // Looking at the files brings it back.
    assert_eq!(session.get("/files/stays").body, "here");
    assert_eq!(session.get("/files/goes").status, 404);
    assert_eq!(of(&session.events(0), "restored")[0]["differences"], json!([]));
}
