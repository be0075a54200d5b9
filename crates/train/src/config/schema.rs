//! The settings as a JSON Schema, for editors and for programs that write settings.
//!
//! Nothing is listed here a second time: the settings are read once out of a file without keys, and the reader says what
//! it asked for, of which type, in which range and with which default. What a key is for stands at its field. What no
//! type can say, several keys together, is added by [`together`].

use documented::DocumentedFields;
use serde_json::{Map, Value, json};

use super::Evaluation;
use super::flywheel::Flywheel;
use super::preference::Preference;
use super::reader::{Asked, Findings};
use super::sources::{DataSource, FilterTable};
use super::tables::{Checkpoint, Config, Guard, Lora, Model, Optimizer, Output, Train};
use super::tree;

/// Name of the only table that there can be several of.
const LIST: &str = "data";

impl Config {
    /// The settings as a JSON Schema (draft 2020-12). `x-unit` of a key names the unit of its numbers.
    pub fn schema() -> Value {
        let mut root = object("Settings of codeact-train", "All tables of a settings file, in any order.");
        for asked in asked() {
            let (table, key) = asked.key.rsplit_once('.').unwrap_or(("", &asked.key));
            if asked.schema.is_none() {
                continue;
            }
            let place = place(&mut root, table);
            place["properties"][key] = described(table, key, &asked);
            if asked.is_required {
                require(place, key);
            }
        }
        let tables: Vec<String> =
            root["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        for name in tables {
            // A list says for each of its items what it requires.
            // What is trained decides whether there is a table of LoRA.
            if name == LIST || name != "lora" && root["properties"][&name].get("required").is_some() {
                require(&mut root, &name);
            }
        }
        let root = together("", root);
        let mut schema = json!({"$schema": "https://json-schema.org/draft/2020-12/schema"});
        schema
            .as_object_mut()
            .into_iter()
            .for_each(|schema| schema.extend(root.as_object().cloned().unwrap_or_default()));
        schema
    }
}

/// Everything that the reader asks for, in its order; one `[[data]]` stands for all.
pub(super) fn asked() -> Vec<Asked> {
    let empty = tree::parse(&format!("[[{LIST}]]\n")).expect("this is TOML");
    let findings = Findings::default();
    Config::read(&empty, &findings);
    findings.asked.take()
}

/// What stands at the field of a key.
fn documentation(table: &str, key: &str) -> Option<&'static str> {
    let text = match table {
        "" => Config::get_field_docs(key),
        "model" => Model::get_field_docs(key),
        "lora" => Lora::get_field_docs(key),
        "data.0" => DataSource::get_field_docs(key),
        "data.0.filter" => FilterTable::get_field_docs(key),
        "train" => Train::get_field_docs(key),
        "optimizer" => Optimizer::get_field_docs(key),
        "checkpoint" => Checkpoint::get_field_docs(key),
        "evaluation" => Evaluation::get_field_docs(key),
        "guard" => Guard::get_field_docs(key),
        "output" => Output::get_field_docs(key),
        "preference" => Preference::get_field_docs(key),
        "flywheel" => Flywheel::get_field_docs(key),
        _ => return None,
    };
    text.ok()
}

/// The schema of a key, with all there is to say about it.
fn described(table: &str, key: &str, asked: &Asked) -> Value {
    let mut schema = asked.schema.clone().unwrap_or_default();
    let own = documentation(table, key).map(|text| text.replace('\n', " "));
    let choices = schema.remove("description");
    let choices = choices.as_ref().and_then(Value::as_str);
    let texts: Vec<&str> = own.as_deref().into_iter().chain(choices).collect();
    let mut all = Map::new();
    all.insert("title".to_owned(), json!(title(key)));
    all.insert("description".to_owned(), json!(texts.join(" ")));
    all.extend(schema);
    all.extend(asked.default.clone().map(|default| ("default".to_owned(), default)));
    all.extend(unit(table, key).map(|unit| ("x-unit".to_owned(), json!(unit))));
    Value::Object(all)
}

/// A key as words.
fn title(key: &str) -> String {
    let words = key.replace('_', " ");
    words[..1].to_uppercase() + &words[1..]
}

/// The unit of a key's numbers: names say it, last or before `min` and `max`.
fn unit(table: &str, key: &str) -> Option<&'static str> {
    let of_words = key.split('_').rev().find_map(|word| match word {
        "tokens" => Some("tokens"),
        "steps" => Some("optimizer steps"),
        "epochs" => Some("passes over the data"),
        "turns" => Some("turns"),
        "threads" => Some("threads"),
        "samples" => Some("conversations"),
        "every" => Some("optimizer steps"),
        "minutes" => Some("minutes"),
        "seconds" => Some("seconds"),
        "ratio" => Some("part of a whole"),
        _ => None,
    });
    of_words.filter(|_| key != "new_tokens").or(match (table, key) {
        ("train", "accumulation") => Some("packs"),
        ("checkpoint", "keep_last") => Some("checkpoints"),
        ("evaluation", "patience") => Some("measures"),
        ("data.0", "repeat") => Some("times"),
        _ => None,
    })
}

/// The schema of a table, made where it is missing.
fn place<'a>(root: &'a mut Value, table: &str) -> &'a mut Value {
    let (mut at, mut walked) = (root, String::new());
    for part in table.split('.').filter(|part| !part.is_empty()) {
        let parent = walked.clone();
        walked = if walked.is_empty() { part.to_owned() } else { format!("{walked}.{part}") };
        at = match part == "0" {
            true => &mut at["items"],
            false => {
                let made = || {
                    let about = documentation(&parent, part).unwrap_or_default().replace('\n', " ");
                    match part == LIST {
                        true => {
                            let items = together("data.0", object("A source of conversations", &about));
                            together(
                                LIST,
                                json!({"title": title(part), "description": about, "type": "array", "items": items}),
                            )
                        }
                        false => together(&walked, object(&title(part), &about)),
                    }
                };
                let properties = at["properties"].as_object_mut().expect("every table has properties");
                properties.entry(part).or_insert_with(made)
            }
        };
    }
    at
}

/// A table that takes the keys it has, and no others.
fn object(title: &str, about: &str) -> Value {
    json!({"title": title, "description": about, "type": "object", "properties": {}, "additionalProperties": false})
}

fn require(table: &mut Value, key: &str) {
    match table.get_mut("required").and_then(Value::as_array_mut) {
        Some(required) => required.push(json!(key)),
        None => table["required"] = json!([key]),
    }
}

/// What holds for several keys of a table together, as far as a schema can say it; `check.rs` says all of it.
fn together(table: &str, mut schema: Value) -> Value {
    let rules = match table {
        "" => {
            let full = json!({"properties": {"method": {"const": "full"}}, "required": ["method"]});
            json!({
                "if": {"properties": {"train": full}, "required": ["train"]},
                "then": {"properties": {"lora": false}},
                "else": {"required": ["lora"]},
            })
        }
        "optimizer" => json!({"not": {"required": ["warmup_steps", "warmup_ratio"]}}),
        "data" => json!({
            "contains": {"properties": {"held_out": {"not": {"const": true}}}},
            "minItems": 1,
        }),
        "data.0" => json!({
            "oneOf": [{"required": ["path"]}, {"required": ["hub"]}],
            "dependentRequired": {"split": ["hub"]},
            "not": {"required": ["weight", "repeat"]},
        }),
        _ => return schema,
    };
    for (key, rule) in rules.as_object().into_iter().flatten() {
        schema[key] = rule.clone();
    }
    schema
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// Keys of a schema that hold values, spelt as the reader does, each with its schema.
    fn leaves(name: &str, schema: &Value, found: &mut Vec<(String, Value)>) {
        if let Some(items) = schema.get("items").filter(|items| items.get("properties").is_some()) {
            return leaves(&format!("{name}.0"), items, found);
        }
        match schema.get("properties").and_then(Value::as_object) {
            None => found.push((name.to_owned(), schema.clone())),
            Some(properties) => {
                for (key, schema) in properties {
                    let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                    leaves(&name, schema, found);
                }
            }
        }
    }

    fn schema_leaves() -> Vec<(String, Value)> {
        let mut found = Vec::new();
        leaves("", &Config::schema(), &mut found);
        found
    }

    #[test]
    fn the_schema_has_what_the_reader_asks_for_and_nothing_else() {
        let asked = asked();
        let tables: BTreeSet<&str> = asked.iter().filter_map(|asked| Some(asked.key.rsplit_once('.')?.0)).collect();
        // A key without a type is a table, whose keys are asked for themselves.
        for asked in asked.iter().filter(|asked| asked.schema.is_none()) {
            let first = format!("{}.0", asked.key);
            assert!(
                tables.contains(asked.key.as_str()) || tables.contains(first.as_str()),
                "`{}` has no type",
                asked.key
            );
        }
        let read: BTreeSet<String> =
            asked.iter().filter(|asked| asked.schema.is_some()).map(|asked| asked.key.clone()).collect();
        let told: BTreeSet<String> = schema_leaves().into_iter().map(|(key, _)| key).collect();
        assert_eq!(read, told);
        assert!(told.len() > 45, "{} keys", told.len());
    }

    #[test]
    fn every_key_says_what_it_is_for_and_what_holds_without_it() {
        let asked = asked();
        for (key, schema) in schema_leaves() {
            let text = |name: &str| schema[name].as_str().unwrap_or_default();
            assert!(!text("title").is_empty(), "{key}");
            assert!(
                text("description").len() > 15,
                "`{key}`: add its struct to `documentation`, or words to its field"
            );
            let asked = asked.iter().find(|asked| asked.key == key).expect("asked for");
            let says_default = schema.get("default").is_some() || text("description").contains("Default");
            assert!(asked.is_required != says_default, "{key}: {schema}");
        }
    }

    #[test]
    fn numbers_of_something_name_their_unit() {
        let units: BTreeMap<String, String> = schema_leaves()
            .into_iter()
            .filter_map(|(key, schema)| Some((key, schema.get("x-unit")?.as_str()?.to_owned())))
            .collect();
        for (key, unit) in [
            ("train.steps", "optimizer steps"),
            ("train.pack_tokens", "tokens"),
            ("checkpoint.every", "optimizer steps"),
            ("checkpoint.keep_every", "optimizer steps"),
            ("checkpoint.keep_last", "checkpoints"),
            ("evaluation.every", "optimizer steps"),
            ("evaluation.tasks_every", "optimizer steps"),
            ("evaluation.patience", "measures"),
            ("flywheel.minutes_max", "minutes"),
            ("flywheel.cell_seconds", "seconds"),
        ] {
            assert_eq!(units.get(key).map(String::as_str), Some(unit), "{key}");
        }
        // Which row a new token begins as is no count of tokens.
        assert_eq!(units.get("model.new_tokens"), None);
    }

    #[test]
    fn every_field_is_read_from_the_key_of_its_name() {
        let asked = asked();
        let keys = |table: &str| -> BTreeSet<String> {
            let of_table = asked.iter().filter_map(|asked| match asked.key.rsplit_once('.') {
                Some((found, key)) => (found == table).then(|| key.to_owned()),
                None => table.is_empty().then(|| asked.key.clone()),
            });
            of_table.collect()
        };
        let fields = |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| (*name).to_owned()).collect() };
        for (table, names) in [
            ("", Config::FIELD_NAMES),
            ("model", Model::FIELD_NAMES),
            ("data.0", DataSource::FIELD_NAMES),
            ("data.0.filter", FilterTable::FIELD_NAMES),
            ("train", Train::FIELD_NAMES),
            ("optimizer", Optimizer::FIELD_NAMES),
            ("checkpoint", Checkpoint::FIELD_NAMES),
            ("evaluation", Evaluation::FIELD_NAMES),
            ("guard", Guard::FIELD_NAMES),
            ("output", Output::FIELD_NAMES),
            ("preference", Preference::FIELD_NAMES),
            ("flywheel", Flywheel::FIELD_NAMES),
        ] {
            assert_eq!(keys(table), fields(names), "{table}");
        }
        // One field says which keys were written.
        assert_eq!(keys("lora"), &fields(Lora::FIELD_NAMES) - &fields(&["written"]));
    }
}
