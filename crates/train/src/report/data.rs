//! The data of a run: files, rows, tokens, and their part of what is learned, out of the first line of `plan.jsonl`.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::folder::Run;
use super::text::{count, percent, shortened};

/// Files that are listed; the rest is counted.
const FILES_MAX: usize = 200;

/// The columns with whole numbers and their keys.
const COLUMNS: [(&str, &str); 5] = [
    ("Rows", "rows"),
    ("Conversations", "conversations"),
    ("Held out", "held_out"),
    ("Tokens", "tokens"),
    ("Supervised tokens", "supervised_tokens"),
];

/// The table, or nothing where the run has no plan.
pub fn table(run: &Run) -> String {
    let Some(Value::Array(files)) = run.plan.get("files") else { return String::new() };
    let files: Vec<&Map<String, Value>> = files.iter().filter_map(Value::as_object).collect();
    let whole = |file: &Map<String, Value>, key: &str| file.get(key).and_then(Value::as_u64);
    let columns: Vec<_> =
        COLUMNS.iter().filter(|(_, key)| files.iter().any(|file| whole(file, key).is_some())).collect();
    let planned_total: u64 = files.iter().filter_map(|file| whole(file, "planned_tokens")).fold(0, u64::saturating_add);
    let mut table = "<div class=\"wide\"><table class=\"data\"><thead><tr><th scope=\"col\">File</th>".to_owned();
    for (title, _) in &columns {
        let _ = write!(table, "<th scope=\"col\">{title}</th>");
    }
    table.push_str("<th scope=\"col\">Part of the run</th></tr></thead><tbody>");
    for file in files.iter().take(FILES_MAX) {
        let text = |key: &str| file.get(key).and_then(Value::as_str).unwrap_or("–");
        let _ = write!(
            table,
            "<tr><th scope=\"row\">{}<br><small title=\"sha256\">{}</small></th>",
            shortened(text("path"), 300),
            shortened(text("sha256"), 12)
        );
        for (_, key) in &columns {
            let _ = write!(table, "<td>{}</td>", whole(file, key).map_or_else(|| "–".to_owned(), count));
        }
        let part = match (whole(file, "planned_tokens"), file.get("is_held_out")) {
            (_, Some(Value::Bool(true))) => "measured only".to_owned(),
            (Some(planned), _) if planned_total > 0 => percent(planned as f64 / planned_total as f64),
            _ => "–".to_owned(),
        };
        let _ = write!(table, "<td>{part}</td></tr>");
    }
    table.push_str("</tbody></table></div>\n");
    if files.len() > FILES_MAX {
        let _ = writeln!(table, "<p>{} more files are not listed.</p>", count((files.len() - FILES_MAX) as u64));
    }
    table
}
