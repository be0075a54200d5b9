//! `GET /openapi.json`: all routes, as OpenAPI 3.1 describes them.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

/// Written by hand; tests hold it to the routes and to what they accept.
const DOCUMENT: &str = include_str!("../openapi.json");

pub(crate) async fn document() -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], DOCUMENT).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use serde_json::Value;

    use super::*;

    /// Paths with their methods, out of the sources: `.route("/path", get(one).post(other))`.
    fn routes(source: &str) -> BTreeSet<(String, String)> {
        let mut routes = BTreeSet::new();
        for call in source.split(".route(").skip(1) {
            let mut quoted = call.splitn(3, '"');
            let (Some(_), Some(path), Some(rest)) = (quoted.next(), quoted.next(), quoted.next()) else { continue };
            let line = rest.lines().next().unwrap();
            for method in ["get", "post", "put", "patch", "delete"] {
                if line.contains(&format!(" {method}(")) || line.contains(&format!(".{method}(")) {
                    routes.insert((path.replace("{*", "{"), method.to_owned()));
                }
            }
        }
        routes
    }

    fn sources(folder: &Path, all: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // A server of its own, whose routes docs/evaluation.md describes.
            if path.ends_with("environments") {
                continue;
            }
            if path.is_dir() {
                sources(&path, all);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("openapi.rs") {
                all.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }

    #[test]
    fn every_route_is_described_and_nothing_else_is() {
        let mut all = String::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
        // The page is not an interface.
        let is_interface = |path: &str| path != "/" && !path.starts_with("/ui/");
        let routed: BTreeSet<_> = routes(&all).into_iter().filter(|(path, _)| is_interface(path)).collect();
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let mut described = BTreeSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            described.extend(operations.as_object().unwrap().keys().map(|method| (path.clone(), method.clone())));
        }
        assert_eq!(routed, described);
        assert!(routed.len() > 30);
    }

    #[test]
    fn every_event_of_the_agent_is_named() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let named = document["components"]["schemas"]["Event"]["properties"]["type"]["enum"].as_array().unwrap();
        let source = include_str!("../../agent/src/event.rs");
        let renamed = source.split("#[serde(rename = \"").skip(1).filter_map(|rest| rest.split('"').next());
        let told: Vec<&str> = renamed.filter(|name| *name != "late").collect();
        assert!(told.len() > 15);
        for kind in told.into_iter().chain(["restored"]) {
            assert!(named.iter().any(|known| known == kind), "{kind}");
        }
    }
}
