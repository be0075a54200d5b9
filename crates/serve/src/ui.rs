//! The web page: files of the program, each with what a browser may do with it.
//!
//! Everything that the page shows may have been written by a model or by its code. So it runs no script but its own,
//! loads nothing from elsewhere, and may make HTML of text in one place only (`trusted-types`), whose frames have no
//! rights and inherit all of this.

use std::sync::LazyLock;

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use crate::AppState;

/// What the page may do.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let style = BASE64_STANDARD.encode(Sha256::digest(FRAME_STYLE));
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'sha256-{style}'; img-src data: blob:; \
         connect-src 'self'; frame-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; \
         require-trusted-types-for 'script'; trusted-types codeact-frame"
    );
    HeaderValue::from_str(&policy).expect("a policy has only visible ASCII")
});
/// The only style that may stand within HTML: that of the frames, which the script puts there.
const FRAME_STYLE: &str = include_str!("../assets/frame.css");
/// Other origins may not use what they cannot read either.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
/// Hexadecimal digits of a file's hash that name its version.
const ETAG_DIGITS: usize = 32;

/// One file of the page.
struct Asset {
    path: &'static str,
    content_type: &'static str,
    content: &'static str,
}

const ASSETS: [Asset; 3] = [
    Asset { path: "/", content_type: "text/html; charset=utf-8", content: include_str!("../assets/index.html") },
    Asset {
        path: "/ui/app.js",
        content_type: "text/javascript; charset=utf-8",
        content: include_str!("../assets/app.js"),
    },
    Asset {
        path: "/ui/style.css",
        content_type: "text/css; charset=utf-8",
        content: include_str!("../assets/style.css"),
    },
];

/// By asset: its version, as a header says it.
static VERSIONS: LazyLock<[HeaderValue; ASSETS.len()]> = LazyLock::new(|| ASSETS.each_ref().map(version));

fn version(asset: &Asset) -> HeaderValue {
    let hash = Sha256::digest(asset.content.as_bytes());
    let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::from_str(&format!("\"{}\"", &digits[..ETAG_DIGITS])).expect("hexadecimal digits are visible ASCII")
}

/// `/` and `/ui/*`. They hold nothing that is secret: everything that the page asks for has routes of its own.
pub(crate) fn routes() -> Router<AppState> {
    ASSETS.iter().zip(VERSIONS.iter()).fold(Router::new(), |router, (asset, version)| {
        router.route(asset.path, get(move |headers: HeaderMap| async move { answer(asset, version, &headers) }))
    })
}

/// The file, unless the browser has this version of it.
fn answer(asset: &Asset, version: &HeaderValue, asked: &HeaderMap) -> Response {
    // The page is never kept, so that it and its files are of one version; they are asked for again each time.
    let keep = if asset.path == "/" { "no-store" } else { "no-cache" };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(asset.content_type)),
        (CACHE_CONTROL, HeaderValue::from_static(keep)),
        (ETAG, version.clone()),
        (CONTENT_SECURITY_POLICY, POLICY.clone()),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (RESOURCE_POLICY, HeaderValue::from_static("same-origin")),
        (OPENER_POLICY, HeaderValue::from_static("same-origin")),
    ];
    if keep == "no-cache" && asked.get(IF_NONE_MATCH) == Some(version) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, asset.content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(path: &str, asked: &[(HeaderName, HeaderValue)]) -> Response {
        let at = ASSETS.iter().position(|asset| asset.path == path).unwrap();
        answer(&ASSETS[at], &VERSIONS[at], &asked.iter().cloned().collect())
    }

    #[test]
    fn every_file_that_the_page_loads_is_there() {
        let page = ASSETS[0].content;
        let loaded = page.split(['"', '\'']).filter(|part| part.starts_with("ui/"));
        let loaded = loaded.map(|path| format!("/{path}")).collect::<Vec<_>>();
        assert_eq!(loaded, ["/ui/style.css", "/ui/app.js"]);
        assert!(loaded.iter().all(|path| ASSETS.iter().any(|asset| asset.path == path)));
        // The style whose hash the policy names is the one that the script has.
        assert!(ASSETS[1].content.contains(FRAME_STYLE));
    }

    #[test]
    fn the_page_holds_nothing_that_its_policy_forbids() {
        let page = ASSETS[0].content;
        // An inline script has no `src`, and an inline style needs a tag or an attribute.
        assert_eq!(page.matches("<script").count(), page.matches("<script src=").count());
        for forbidden in ["<style", " style=", " onclick=", " onload=", "http://", "https://"] {
            let allowed =
                page.matches("xmlns='http://www.w3.org/2000/svg'").count() * usize::from(forbidden == "http://");
            assert_eq!(page.matches(forbidden).count(), allowed, "{forbidden}");
        }
        for forbidden in [".innerHTML", ".outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"] {
            assert!(!ASSETS[1].content.contains(forbidden), "{forbidden}");
        }
    }

    #[test]
    fn every_file_has_the_policy_and_is_not_guessed_at() {
        for asset in &ASSETS {
            let answer = ask(asset.path, &[]);
            let policy = answer.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
            assert_eq!(answer.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
            assert_eq!(answer.headers()[CONTENT_TYPE], asset.content_type);
        }
    }

    #[test]
    fn a_browser_that_has_a_file_does_not_get_it_again_but_the_page_always() {
        let first = ask("/ui/app.js", &[]);
        let version = first.headers()[ETAG].clone();
        let again = ask("/ui/app.js", &[(IF_NONE_MATCH, version)]);
        assert_eq!((first.status(), again.status()), (StatusCode::OK, StatusCode::NOT_MODIFIED));
        assert_eq!(ask("/ui/app.js", &[(IF_NONE_MATCH, HeaderValue::from_static("\"old\""))]).status(), StatusCode::OK);
        let page = ask("/", &[]);
        let version = page.headers()[ETAG].clone();
        assert_eq!(ask("/", &[(IF_NONE_MATCH, version)]).status(), StatusCode::OK);
        assert_eq!(page.headers()[CACHE_CONTROL], "no-store");
    }
}
