//! A checker for the few keywords of JSON schema that the test uses.

use serde_json::Value;

/// Whether `value` is what `schema` describes.
///
/// # Errors
/// What is not.
pub fn satisfies(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let ensure = |is_so: bool, what: &str| if is_so { Ok(()) } else { Err(format!("{value} is not {what}")) };
    for (keyword, wanted) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "type" => ensure(has_type(wanted.as_str().unwrap(), value), &wanted.to_string())?,
            "enum" => ensure(wanted.as_array().unwrap().contains(value), &wanted.to_string())?,
            "const" => ensure(wanted == value, &wanted.to_string())?,
            "minimum" => ensure(value.as_f64().unwrap() >= wanted.as_f64().unwrap(), "large enough")?,
            "maximum" => ensure(value.as_f64().unwrap() <= wanted.as_f64().unwrap(), "small enough")?,
            "maxLength" => ensure(value.as_str().unwrap().chars().count() <= length(wanted), "short enough")?,
            "pattern" => {
                assert_eq!(wanted, "^[a-c]{1,4}$");
                let text = value.as_str().unwrap();
                ensure(
                    (1..=4).contains(&text.len()) && text.bytes().all(|byte| (b'a'..=b'c').contains(&byte)),
                    "a to c",
                )?;
            }
            "minItems" => ensure(value.as_array().is_none_or(|items| items.len() >= length(wanted)), "long enough")?,
            "maxItems" => ensure(value.as_array().is_none_or(|items| items.len() <= length(wanted)), "short enough")?,
            "items" => {
                let mut items = value.as_array().into_iter().flatten();
                items.try_for_each(|item| satisfies(root, wanted, item))?;
            }
            "properties" => {
                for (name, part) in value.as_object().into_iter().flatten() {
                    satisfies(root, wanted.get(name).ok_or(format!("`{name}` is no property"))?, part)?;
                }
            }
            "required" => {
                for name in wanted.as_array().unwrap() {
                    ensure(value.get(name.as_str().unwrap()).is_some(), &format!("with {name}"))?;
                }
            }
            "anyOf" => {
                let mut parts = wanted.as_array().unwrap().iter();
                ensure(parts.any(|part| satisfies(root, part, value).is_ok()), "any of its kinds")?;
            }
            "$ref" => {
                let target = wanted.as_str().unwrap().strip_prefix('#').unwrap();
                satisfies(root, root.pointer(target).unwrap(), value)?;
            }
            "additionalProperties" | "$defs" => {}
            other => panic!("the checker does not know `{other}`"),
        }
    }
    Ok(())
}

fn length(wanted: &Value) -> usize {
    wanted.as_u64().unwrap() as usize
}

fn has_type(wanted: &str, value: &Value) -> bool {
    match wanted {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        // `-0` is an integer, and read as a float.
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type `{other}`"),
    }
}
