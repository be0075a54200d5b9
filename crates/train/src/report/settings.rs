//! The settings of a run, and those in which runs differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::folder::Run;
use super::text::{shortened, shown};

/// Bytes of the settings that are shown.
const BYTES_MAX: usize = 64 << 10;

/// Characters of a value in the table of differences.
const VALUE_CHARACTERS: usize = 120;

/// The settings as they are written; nothing where there are none.
pub fn html(run: &Run) -> String {
    run.settings_text.as_deref().map_or_else(String::new, |text| {
        format!("<pre class=\"settings\">{}</pre>\n", shortened(text.trim_end(), BYTES_MAX))
    })
}

/// A table of the keys whose values are not the same in all runs.
pub fn differences(runs: &[Run]) -> String {
    let flat: Vec<BTreeMap<String, String>> = runs.iter().map(|run| flattened(&run.settings)).collect();
    let keys: BTreeSet<&String> = flat.iter().flat_map(BTreeMap::keys).collect();
    let differing: Vec<&String> =
        keys.into_iter().filter(|key| flat.iter().any(|settings| settings.get(*key) != flat[0].get(*key))).collect();
    if differing.is_empty() {
        return "<p>The settings are the same.</p>\n".to_owned();
    }
    let mut table = "<div class=\"wide\"><table><thead><tr><th scope=\"col\">Setting</th>".to_owned();
    for run in runs {
        let _ = write!(table, "<th scope=\"col\">{}</th>", shortened(&run.name, 60));
    }
    table.push_str("</tr></thead><tbody>");
    for key in differing {
        let _ = write!(table, "<tr><th scope=\"row\"><code>{}</code></th>", shown(key));
        for settings in &flat {
            let value = settings.get(key).map_or_else(|| "–".to_owned(), |value| shortened(value, VALUE_CHARACTERS));
            let _ = write!(table, "<td>{value}</td>");
        }
        table.push_str("</tr>");
    }
    table.push_str("</tbody></table></div>\n");
    table
}

/// Values by `table.key`.
fn flattened(settings: &toml::Table) -> BTreeMap<String, String> {
    fn walk(name: &str, value: &toml::Value, flat: &mut BTreeMap<String, String>) {
        match value {
            toml::Value::Table(entries) => {
                for (key, value) in entries {
                    walk(&format!("{name}.{key}"), value, flat);
                }
            }
            toml::Value::Array(items) if items.iter().any(toml::Value::is_table) => {
                for (index, value) in items.iter().enumerate() {
                    walk(&format!("{name}.{index}"), value, flat);
                }
            }
            value => {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                flat.insert(name.trim_start_matches('.').to_owned(), text);
            }
        }
    }
    let mut flat = BTreeMap::new();
    walk("", &toml::Value::Table(settings.clone()), &mut flat);
    flat
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_listed() {
        let run = |text: &str| Run { settings: text.parse().expect("TOML"), ..Run::default() };
        let table = differences(&[
            run("[lora]\nrank = 8\nalpha = 16\n[[data]]\npath = \"a\"\n"),
            run("[lora]\nrank = 16\nalpha = 16\n[[data]]\npath = \"<b>\"\nweight = 1\n"),
        ]);
        for text in ["lora.rank", "data.0.path", "&lt;b&gt;", "data.0.weight"] {
            assert!(table.contains(text), "{text} in {table}");
        }
        assert!(!table.contains("alpha"));
        assert!(differences(&[run(""), run("")]).contains("the same"));
    }
}
