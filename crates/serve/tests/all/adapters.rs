//! Adapters that come and go while the server runs.

use serde_json::{Value, json};

use crate::client::{Answer, get, post};
use crate::tiny::{Server, Setup, serve_with, write_adapter, write_folder};

fn server() -> Server {
    let server = serve_with(Setup { with_adapters: true, ..Setup::default() });
    for (name, seed) in [("one", 1), ("two", 2)] {
        write_adapter(&server.folder.path().join("adapters").join(name), seed);
    }
    server
}

fn load(server: &Server, body: Value) -> Answer {
    post(server.port, "/v1/load_lora_adapter", &body)
}

fn text(server: &Server, model: &str) -> String {
    let body = json!({"model": model, "prompt": "abc", "max_tokens": 16, "temperature": 0, "ignore_eos": true});
    let answer = post(server.port, "/v1/completions", &body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["choices"][0]["text"].as_str().unwrap().to_owned()
}

#[test]
fn requests_choose_among_adapters_that_can_be_replaced_and_unloaded() {
    let server = server();
    assert!(
        post(server.port, "/v1/completions", &json!({"model": "tiny:a", "prompt": "x"})).error(404).contains("tiny:a")
    );
    let card = load(&server, json!({"lora_name": "a", "lora_path": "one"})).json();
    assert_eq!((&card["id"], &card["parent"]), (&json!("tiny:a"), &json!("tiny")));
    let models = get(server.port, "/v1/models").json();
    assert_eq!(models["data"][1], card);
    assert_eq!(get(server.port, "/v1/models/tiny:a").json(), card);

    let (base, first) = (text(&server, "tiny"), text(&server, "tiny:a"));
    assert_ne!(base, first);
    assert_eq!(text(&server, "a"), first);
    // A second name for the same files is the same model.
    assert_eq!(load(&server, json!({"lora_name": "b", "lora_path": "one"})).status, 200);
    assert_eq!(text(&server, "tiny:b"), first);

    let again = load(&server, json!({"lora_name": "a", "lora_path": "two"}));
    assert!(again.error(409).contains("`load_inplace`"));
    assert_eq!(load(&server, json!({"lora_name": "a", "lora_path": "two", "load_inplace": true})).status, 200);
    // What the first adapter computed is not taken for the second's.
    let second = text(&server, "tiny:a");
    assert_ne!(second, first);
    assert_eq!((text(&server, "tiny:b"), text(&server, "tiny")), (first, base));

    let unload = |name: &str| post(server.port, "/v1/unload_lora_adapter", &json!({"lora_name": name}));
    assert_eq!(unload("a").json()["deleted"], true);
    assert!(unload("a").error(404).contains("no adapter \"a\""));
    assert_eq!(post(server.port, "/v1/completions", &json!({"model": "tiny:a", "prompt": "x"})).status, 404);
    assert_eq!(get(server.port, "/v1/models").json()["data"].as_array().unwrap().len(), 4);
}

#[test]
fn only_folders_below_the_one_for_adapters_are_loaded() {
    let server = server();
    let outside = tempfile::tempdir().unwrap();
    write_adapter(&outside.path().join("stray"), 3);
    let stray = outside.path().join("stray");
    let dir = server.folder.path().join("adapters");
    std::os::unix::fs::symlink(&stray, dir.join("link")).unwrap();
    let stray = stray.to_str().unwrap().to_owned();
    let up = format!("one/../../../{}", outside.path().file_name().unwrap().to_str().unwrap());
    for path in [stray.as_str(), "link", "..", ".", "", "one/adapter_config.json", "none", &up, "one\0"] {
        let refused = load(&server, json!({"lora_name": "x", "lora_path": path}));
        assert!(refused.error(400).contains("below the one for adapters"), "{path}");
    }
    let whole = dir.join("one");
    assert_eq!(load(&server, json!({"lora_name": "x", "lora_path": whole})).status, 200);
}

#[test]
fn what_is_no_adapter_of_this_model_is_refused_with_the_reason() {
    let server = server();
    let dir = server.folder.path().join("adapters");
    write_folder(&{
        let folder = dir.join("model");
        std::fs::create_dir(&folder).unwrap();
        folder
    });
    assert!(load(&server, json!({"lora_name": "x", "lora_path": "model"})).error(400).contains("adapter_config.json"));
    std::fs::write(dir.join("one/adapter_model.safetensors"), b"garbage").unwrap();
    assert_eq!(load(&server, json!({"lora_name": "x", "lora_path": "one"})).status, 400);
    for name in ["", "a:b", "a b", "tiny", "../x", &"x".repeat(65)] {
        let refused = load(&server, json!({"lora_name": name, "lora_path": "two"}));
        assert!(refused.error(400).contains("`lora_name`"), "{name}");
    }
    assert!(load(&server, json!({"lora_name": "x"})).error(400).contains("missing field `lora_path`"));
}

#[test]
fn without_a_folder_for_them_requests_load_nothing() {
    let server = serve_with(Setup::default());
    assert!(load(&server, json!({"lora_name": "a", "lora_path": "one"})).error(404).contains("`model.adapter_dir`"));
    assert_eq!(post(server.port, "/v1/unload_lora_adapter", &json!({"lora_name": "a"})).status, 404);
}
