//! Whether a value fits a JSON schema, as far as it can be said in a few words; the server has the last one.

use serde_json::{Map, Value};

/// How deep schemas are followed, and how long a chain of references may be.
const DEPTH_MAX: usize = 32;
const REFERENCES_MAX: usize = 8;
const STEPS_MAX: usize = 100_000;
/// Choices that a message lists.
const SHOWN_MAX: usize = 12;

/// `schema`, or what it refers to within `root`.
pub(super) fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..REFERENCES_MAX {
        let target = schema["$ref"].as_str().and_then(|path| root.pointer(path.strip_prefix('#')?));
        match target {
            Some(target) => schema = target,
            None => return schema,
        }
    }
    schema
}

/// What is wrong with `value`, if something is.
pub(super) fn mismatch(schema: &Value, value: &Value) -> Option<String> {
    Check { root: schema, steps: STEPS_MAX }.mismatch(schema, value, "", 0)
}

struct Check<'a> {
    root: &'a Value,
    /// Comparisons that are left. A schema whose choices hold it again and again could take as many as there are paths.
    steps: usize,
}

impl Check<'_> {
    fn mismatch(&mut self, schema: &Value, value: &Value, path: &str, depth: usize) -> Option<String> {
        let root = self.root;
        let schema = resolved(root, schema);
        self.steps = self.steps.saturating_sub(1);
        if depth > DEPTH_MAX || self.steps == 0 {
            return None;
        }
        if let Some(choices) = schema["enum"].as_array()
            && !choices.contains(value)
        {
            let shown: Vec<String> = choices.iter().take(SHOWN_MAX).map(Value::to_string).collect();
            return Some(format!("`{path}` must be one of {}", shown.join(", ")));
        }
        let names: Vec<&str> = match &schema["type"] {
            Value::String(name) => vec![name],
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if !names.is_empty() && !names.iter().any(|name| has_type(value, name)) {
            let wanted: Vec<&str> = names.into_iter().map(python_type).collect();
            return Some(format!("`{path}` must be {}, not {}", wanted.join(" or "), type_of(value)));
        }
        for parts in ["anyOf", "oneOf"].into_iter().filter_map(|key| schema[key].as_array()) {
            let has_none = parts.iter().all(|part| self.mismatch(part, value, path, depth + 1).is_some());
            if has_none && !parts.is_empty() {
                return Some(format!("`{path}` has none of the allowed forms"));
            }
        }
        match value {
            Value::Object(object) => self.fields(schema, object, path, depth),
            Value::Array(items) => {
                let schema = schema.get("items").filter(|schema| schema.is_object())?;
                let mut items = items.iter().enumerate();
                items.find_map(|(index, item)| self.mismatch(schema, item, &format!("{path}[{index}]"), depth + 1))
            }
            _ => None,
        }
    }

    fn fields(&mut self, schema: &Value, object: &Map<String, Value>, path: &str, depth: usize) -> Option<String> {
        let inner = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        let mut required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        if let Some(key) = required.find(|key| !object.contains_key(*key)) {
            return Some(format!("`{}` is missing", inner(key)));
        }
        let of_others = &schema["additionalProperties"];
        object.iter().find_map(|(key, value)| match schema["properties"].get(key) {
            Some(property) => self.mismatch(property, value, &inner(key), depth + 1),
            None if of_others == &Value::Bool(false) => Some(format!("there is no `{}`", inner(key))),
            None if of_others.is_object() => self.mismatch(of_others, value, &inner(key), depth + 1),
            None => None,
        })
    }
}

fn has_type(value: &Value, name: &str) -> bool {
    match name {
        "string" => value.is_string(),
        // 2.0 is an integer to JSON.
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

fn python_type(name: &str) -> &str {
    match name {
        "string" => "str",
        "integer" => "int",
        "number" => "float",
        "boolean" => "bool",
        "null" => "None",
        "array" => "list",
        "object" => "dict",
        other => other,
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "None",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fault(schema: Value, value: Value) -> Option<String> {
        mismatch(&schema, &value)
    }

    #[test]
    fn nested_values_are_checked_and_named() {
        let schema = json!({
            "type": "object",
            "properties": {"rows": {"type": "array", "items": {"$ref": "#/$defs/row"}}},
            "additionalProperties": false,
            "$defs": {"row": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}},
        });
        let said = |value: Value| fault(schema.clone(), value).unwrap_or_default();
        assert_eq!(said(json!({"rows": [{"x": 1}, {"x": 2.5, "y": 0}]})), "");
        assert_eq!(said(json!({"rows": [{"x": 1}, {"x": "2"}]})), "`rows[1].x` must be float, not str");
        assert_eq!(said(json!({"rows": [{}]})), "`rows[0].x` is missing");
        assert_eq!(said(json!({"cols": []})), "there is no `cols`");
    }

    #[test]
    fn one_of_several_forms_is_enough() {
        let schema =
            || json!({"properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}, {"type": "integer"}]}}});
        for value in [json!("x"), json!(null), json!(2), json!(2.0)] {
            assert_eq!(fault(schema(), json!({"a": value})), None);
        }
        assert_eq!(fault(schema(), json!({"a": 2.5})).unwrap(), "`a` has none of the allowed forms");
    }

    #[test]
    fn references_that_go_in_circles_end() {
        let schema = json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}});
        assert_eq!(fault(schema, json!(1)), None);
        let schema = json!({"anyOf": [{"$ref": "#"}]});
        assert_eq!(fault(schema, json!(1)), None);
        // Two ways at each of many depths, none of which fits: more than could be tried.
        let wide = json!({"anyOf": [{"$ref": "#"}, {"$ref": "#"}], "oneOf": [{"enum": []}]});
        assert!(fault(wide, json!("x")).is_none_or(|fault| fault.contains("none of the allowed")));
    }
}
