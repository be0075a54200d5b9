//! What pages about runs share: one file, no script, nothing from elsewhere; texts of strangers stay texts.

pub mod text; // from strangers to HTML

use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

/// The look of the page.
const STYLE: &str = include_str!("style.css");

/// The head of a page, up to its opened `<main>`. `title` is HTML.
///
/// The policy lets through this style sheet, by its hash, and nothing else: no script, no picture, no form.
pub fn head(title: &str) -> String {
    let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{hash}'; \
         base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{title}</title>\n<style>{STYLE}</style></head>\n<body><main>\n"
    )
}

/// The end of a page that `program` wrote from `what`.
pub fn end(program: &str, what: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("<footer>Written by {program} {version} from {what}.</footer></main></body></html>\n")
}

/// A part of the page with its title, unless it is empty. All are HTML; `id` is a name of its own.
pub fn put_section(page: &mut String, id: &str, title: &str, content: &str) {
    if !content.is_empty() {
        let _ = writeln!(page, "<section aria-labelledby=\"{id}\"><h2 id=\"{id}\">{title}</h2>\n{content}</section>");
    }
}
