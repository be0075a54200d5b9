//! A tool's JSON schema as Python: signature and docstring, and arguments as its server wants them.
//!
//! Schemas come from servers that may be hostile: everything that is made of them is bounded, and nothing of them is
//! more than a literal in the signature.

use codeact_chat::disguises_text;
use rmcp::model::Tool;
use serde_json::{Map, Value};

use super::check::{mismatch, resolved};
use super::names;

const DOC_CHARS_MAX: usize = 4000;
const PARAMETER_DOC_CHARS_MAX: usize = 300;
const HINT_CHARS_MAX: usize = 120;
const DEFAULT_CHARS_MAX: usize = 60;
const CHOICES_MAX: usize = 12;
const PARTS_MAX: usize = 6;
const DEPTH_MAX: usize = 3;
/// With more, a tool takes keyword arguments of any name.
const PARAMETERS_MAX: usize = 40;

/// How a tool looks from Python.
pub(super) struct Shape {
    pub signature: String,
    pub doc: String,
    parameters: Vec<Parameter>,
    schema: Value,
}

struct Parameter {
    /// Its name in Python.
    name: String,
    /// Its key in the schema.
    key: String,
    /// Of an optional one, as Python text. `None`: it is required.
    default: Option<String>,
    hint: String,
    doc: String,
}

impl Shape {
    pub fn of(tool: &Tool) -> Shape {
        let schema = Value::Object((*tool.input_schema).clone());
        let parameters = parameters(&schema);
        let is_open = schema["additionalProperties"].as_bool() == Some(true);
        let count = schema["properties"].as_object().map_or(0, Map::len);
        let takes_any = count > PARAMETERS_MAX || (count == 0 && is_open);
        let mut written: Vec<String> = parameters.iter().map(Parameter::written).collect();
        if takes_any || is_open {
            let used = |name: &str| parameters.iter().any(|parameter| parameter.name == name);
            written.push(if used("more") { "**more_".to_owned() } else { "**more".to_owned() });
        }
        let output = tool.output_schema.as_ref().map(|schema| Value::Object((**schema).clone()));
        let returns = output.map_or_else(|| "str".to_owned(), |schema| hint(&schema, &schema, 0));
        let signature = format!("({}) -> {returns}", written.join(", "));
        Shape { signature, doc: doc(tool, &parameters), parameters, schema }
    }

    /// `given` under the keys of the schema, without optional ones that were left out.
    ///
    /// # Errors
    /// With what does not fit the schema.
    pub fn arguments(&self, given: Value) -> Result<Map<String, Value>, String> {
        let Value::Object(given) = given else { return Err("the arguments are not an object".to_owned()) };
        let mut arguments = Map::new();
        for (name, value) in given {
            let parameter = self.parameters.iter().find(|parameter| parameter.name == name);
            let key = parameter.map_or(name, |parameter| parameter.key.clone());
            if arguments.contains_key(&key) {
                return Err(format!("`{key}` is given twice"));
            }
            let is_left_out = parameter.is_some_and(|parameter| parameter.default.as_deref() == Some("None"));
            if !(value.is_null() && is_left_out) {
                arguments.insert(key, value);
            }
        }
        let arguments = Value::Object(arguments);
        match mismatch(&self.schema, &arguments) {
            Some(what) => Err(what),
            None => match arguments {
                Value::Object(arguments) => Ok(arguments),
                _ => Err("the arguments are not an object".to_owned()),
            },
        }
    }
}

impl Parameter {
    fn written(&self) -> String {
        let Parameter { name, hint, default, .. } = self;
        default.as_ref().map_or_else(|| format!("{name}: {hint}"), |default| format!("{name}: {hint} = {default}"))
    }
}

/// Required ones first, else in the order of the schema.
fn parameters(schema: &Value) -> Vec<Parameter> {
    let Some(properties) = schema["properties"].as_object().filter(|all| all.len() <= PARAMETERS_MAX) else {
        return Vec::new();
    };
    let is_required = |key: &str| schema["required"].as_array().is_some_and(|keys| keys.iter().any(|one| one == key));
    let names = names::parameters(properties.keys());
    let mut parameters: Vec<Parameter> = names
        .into_iter()
        .zip(properties)
        .map(|(name, (key, property))| {
            let hint = hint(schema, property, 0);
            let default = (!is_required(key)).then(|| default(resolved(schema, property)));
            let is_nullable = hint.split(" | ").any(|part| part == "None" || part == "Any");
            let hint = match default.as_deref() {
                Some("None") if !is_nullable => format!("{hint} | None"),
                _ => hint,
            };
            Parameter { name, key: key.clone(), default, hint, doc: description(property, PARAMETER_DOC_CHARS_MAX) }
        })
        .collect();
    parameters.sort_by_key(|parameter| parameter.default.is_some());
    parameters
}

/// The default of a schema as Python; `None` also stands for one that is better left to the server.
fn default(property: &Value) -> String {
    let text = property.get("default").map(literal);
    text.filter(|text| text.len() <= DEFAULT_CHARS_MAX).unwrap_or_else(|| "None".to_owned())
}

/// JSON as a Python literal.
fn literal(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        // A string of JSON is one of Python, too.
        Value::String(text) => Value::from(text.as_str()).to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let entry = |(key, value): (&String, &Value)| format!("{}: {}", Value::from(key.as_str()), literal(value));
            format!("{{{}}}", map.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

/// A type hint that a person can read.
fn hint(root: &Value, schema: &Value, depth: usize) -> String {
    let text = whole_hint(root, schema, depth);
    if text.len() <= HINT_CHARS_MAX { text } else { "Any".to_owned() }
}

fn whole_hint(root: &Value, schema: &Value, depth: usize) -> String {
    let schema = resolved(root, schema);
    if depth > DEPTH_MAX {
        return "Any".to_owned();
    }
    let constant = schema.get("const").map(std::slice::from_ref);
    if let Some(values) = schema["enum"].as_array().map(Vec::as_slice).or(constant)
        && values.len() <= CHOICES_MAX
        && values.iter().all(|value| !value.is_array() && !value.is_object())
    {
        return format!("Literal[{}]", values.iter().map(literal).collect::<Vec<_>>().join(", "));
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        match schema[key].as_array() {
            Some(parts) if key != "allOf" || parts.len() == 1 => {
                let parts = parts.iter().take(PARTS_MAX).map(|part| hint(root, part, depth + 1));
                return union(parts.collect());
            }
            _ => {}
        }
    }
    match &schema["type"] {
        Value::String(name) => of_type(root, schema, name, depth),
        Value::Array(names) => {
            let names = names.iter().take(PARTS_MAX).filter_map(Value::as_str);
            union(names.map(|name| of_type(root, schema, name, depth)).collect())
        }
        _ if schema["properties"].is_object() => "dict".to_owned(),
        _ => "Any".to_owned(),
    }
}

fn of_type(root: &Value, schema: &Value, name: &str, depth: usize) -> String {
    let inner = |key: &str| Some(hint(root, schema.get(key).filter(|inner| inner.is_object())?, depth + 1));
    let text = match name {
        "string" => "str",
        "integer" => "int",
        "number" => "float",
        "boolean" => "bool",
        "null" => "None",
        "array" => return inner("items").map_or_else(|| "list".to_owned(), |items| format!("list[{items}]")),
        "object" => {
            let values = inner("additionalProperties");
            return values.map_or_else(|| "dict".to_owned(), |values| format!("dict[str, {values}]"));
        }
        _ => "Any",
    };
    text.to_owned()
}

fn union(mut parts: Vec<String>) -> String {
    let mut seen = Vec::new();
    parts.retain(|part| {
        !seen.contains(part) && {
            seen.push(part.clone());
            true
        }
    });
    if parts.is_empty() { "Any".to_owned() } else { parts.join(" | ") }
}

fn doc(tool: &Tool, parameters: &[Parameter]) -> String {
    let about = tool.description.as_deref().or(tool.title.as_deref()).unwrap_or_default();
    let mut doc = readable(about, DOC_CHARS_MAX).trim().to_owned();
    let described: Vec<String> = parameters
        .iter()
        .filter(|parameter| !parameter.doc.is_empty())
        .map(|parameter| format!("    {}: {}", parameter.name, parameter.doc))
        .collect();
    if !described.is_empty() {
        doc.push_str(&format!("\n\nArguments:\n{}", described.join("\n")));
    }
    doc.trim_start().to_owned()
}

fn description(schema: &Value, chars_max: usize) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    readable(text, chars_max).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Text of a server without what steers terminals, turns around or hides, and not longer than `chars_max`.
pub(super) fn readable(text: &str, chars_max: usize) -> String {
    let mut text: String = text.chars().filter(|letter| !disguises_text(*letter)).collect();
    if let Some((at, _)) = text.char_indices().nth(chars_max) {
        text.truncate(at);
        text.push_str(" [...]");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shape(input: Value) -> Shape {
        Shape::of(&serde_json::from_value(json!({"name": "t", "inputSchema": input})).unwrap())
    }

    fn signature(input: Value) -> String {
        shape(input).signature
    }

    #[test]
    fn a_schema_reads_as_a_signature() {
        let schema = json!({
            "type": "object",
            "properties": {
                "unit": {"enum": ["c", "f"], "default": "c"},
                "city": {"type": "string", "description": "Where.\n  Any   city."},
                "days": {"type": "integer", "default": 3},
                "tags": {"type": "array", "items": {"type": "string"}},
                "near": {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}]},
                "more": {"type": "object", "additionalProperties": {"type": ["number", "null"]}},
                "class": {"type": "boolean"},
            },
            "required": ["city", "class"],
            "$defs": {"Place": {"type": "object", "properties": {"near": {"$ref": "#/$defs/Place"}}}},
        });
        let expected = "(city: str, class_: bool, unit: Literal[\"c\", \"f\"] = \"c\", days: int = 3, \
                        tags: list[str] | None = None, near: dict | None = None, more: dict[str, float | None] | None = None) -> str";
        let shape = shape(schema);
        assert_eq!(shape.signature, expected);
        assert_eq!(shape.doc, "Arguments:\n    city: Where. Any city.");
        let given = json!({"city": "Oslo", "class_": true, "unit": "c", "days": 3, "tags": null, "near": null, "more": {"a": 1}});
        let sent = json!({"city": "Oslo", "class": true, "unit": "c", "days": 3, "more": {"a": 1}});
        // What is approved by one name is not replaced by the other.
        let twice = json!({"city": "Oslo", "class_": true, "class": false});
        assert_eq!(shape.arguments(twice).unwrap_err(), "`class` is given twice");
        assert_eq!(shape.arguments(given).map(Value::Object), Ok(sent));
        let wrong = |change: &dyn Fn(&mut Value)| {
            let mut given = json!({"city": "Oslo", "class_": true});
            change(&mut given);
            shape.arguments(given).unwrap_err()
        };
        assert_eq!(wrong(&|given| given["city"] = json!(3)), "`city` must be str, not int");
        assert_eq!(wrong(&|given| given["unit"] = json!("k")), "`unit` must be one of \"c\", \"f\"");
        assert_eq!(wrong(&|given| given["tags"] = json!(["a", 1])), "`tags[1]` must be str, not int");
        assert_eq!(wrong(&|given| drop(given.as_object_mut().unwrap().remove("city"))), "`city` is missing");
    }

    #[test]
    fn schemas_without_parameters_and_with_any() {
        assert_eq!(signature(json!({})), "() -> str");
        assert_eq!(signature(json!({"type": "object", "additionalProperties": true})), "(**more) -> str");
        let many: Map<String, Value> = (0..1000).map(|index| (format!("p{index}"), json!({}))).collect();
        assert_eq!(signature(json!({"type": "object", "properties": many})), "(**more) -> str");
    }

    #[test]
    fn hostile_schemas_end_in_short_literals() {
        let recursive = json!({"properties": {"a": {"$ref": "#/properties/a"}, "b": {"$ref": "#/$defs/b"}},
            "$defs": {"b": {"type": "array", "items": {"$ref": "#/$defs/b"}}}});
        assert_eq!(signature(recursive), "(a: Any = None, b: list[list[list[list[Any]]]] | None = None) -> str");
        let evil = "x\"]): import os\nos.system('x')\ndef f(a: Literal[\"";
        let text = signature(json!({"properties": {evil: {"enum": [evil], "default": evil}}, "required": 7}));
        assert!(!text.contains('\n') && text.len() < 400, "{text}");
        assert!(
            text.starts_with("(x_____import_os_os_system__x___def_f_a__Literal__: Literal[\"x\\\"]): import"),
            "{text}"
        );
        for odd in
            [json!({"properties": 3}), json!({"properties": {"a": 3}}), json!({"properties": {"a": {"type": {}}}})]
        {
            signature(odd);
        }
        let long = "y".repeat(100_000);
        let shape = shape(json!({"properties": {"a": {"default": long, "enum": [long], "description": long}}}));
        assert!(shape.signature.len() < 300 && shape.doc.len() < 500, "{}", shape.signature);
    }

    #[test]
    fn docstrings_cannot_steer_a_terminal() {
        assert_eq!(readable("a\x1b[2Jb\u{9b}\r\nc\td", 100), "a[2Jb\nc\td");
        assert_eq!(readable("a\u{202e}b\u{61c}\u{200b}c\u{e0041}\u{e0042}", 100), "abc");
        assert_eq!(readable("abcdef", 3), "abc [...]");
    }
}
