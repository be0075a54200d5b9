//! The description of the routes, held to what they accept.

use serde_json::{Map, Value, json};

use crate::agent::Session;
use crate::client::{Answer, ask, get};
use crate::tiny::serve_say;

/// What a `$ref` leads to, or the schema itself.
fn followed<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(place) => document.pointer(place.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

/// A value that a schema describes.
fn example(document: &Value, schema: &Value) -> Value {
    let schema = followed(document, schema);
    if let Some(first) = schema["oneOf"].get(0) {
        return example(document, first);
    }
    if let Some(value) = schema.get("const").or_else(|| schema["enum"].get(0)) {
        return value.clone();
    }
    let least = schema.get("minimum").cloned().unwrap_or(json!(1));
    match schema["type"].as_str().unwrap_or_default() {
        "integer" => least,
        "number" => json!(0.5),
        "boolean" => json!(false),
        "array" => json!([example(document, &schema["items"])]),
        "object" => {
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            let names = required.iter().map(|name| name.as_str().unwrap());
            let fields = names.map(|name| (name.to_owned(), example(document, &schema["properties"][name])));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        _ => json!("x"),
    }
}

/// Each request with a JSON body: method, path, schema.
fn requests(document: &Value, id: &str) -> Vec<(String, String, Value)> {
    let mut requests = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            if schema.is_object() {
                let path = path.replace("{id}", id).replace("{approval}", "a1");
                requests.push((method.to_uppercase(), path, followed(document, schema).clone()));
            }
        }
    }
    requests
}

fn refuses_as_unknown(answer: &Answer, field: &str) -> bool {
    answer.status == 400 && answer.error(400).starts_with(&format!("unknown field `{field}`"))
}

#[test]
fn every_field_that_is_described_is_accepted_and_others_are_refused() {
    let server = serve_say();
    let session = Session::create(server.port, json!({}));
    let document = get(server.port, "/openapi.json").json();
    let mut count = 0;
    for (method, path, schema) in requests(&document, &session.id) {
        let whole = example(&document, &schema);
        let check = |place: &str, schema: &Value| {
            let mut count = 0;
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                let send = |name: &str, value: Value| {
                    let mut body = whole.clone();
                    let target = if place.is_empty() { &mut body } else { &mut body[place] };
                    target[name] = value;
                    // One that nobody knows stops whatever would start; the first of them in the body is told.
                    body["zz_unknown"] = json!(1);
                    ask(server.port, &method, &path, &body.to_string())
                };
                let answer = send(name, example(&document, field));
                let full = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
                assert!(!refuses_as_unknown(&answer, &full), "{method} {path} {full}: {}", answer.body);
                let answer = send("zz_nobody", json!(1));
                assert!((400..500).contains(&answer.status), "{method} {path} {full}: {}", answer.body);
                count += 1;
            }
            count
        };
        count += check("", &schema);
        if path == "/v1/agent/sessions" {
            count += check("limits", &schema["properties"]["limits"]);
        }
        let mut unknown = whole.clone();
        unknown["zz_unknown"] = json!(1);
        let refused = ask(server.port, &method, &path, &unknown.to_string());
        let is_told = refuses_as_unknown(&refused, "zz_unknown");
        // Adapters are not loaded here, whatever stands in the body; a prompt and messages exclude each other.
        assert!(is_told || refused.status == 404 || path == "/tokenize", "{method} {path}: {}", refused.body);
    }
    assert!(count > 90, "{count}");
}
