//! A JSON object taken apart field by field: every refusal names its field, and nothing is ignored in silence.

use serde_json::{Map, Value};

use crate::ApiError;

/// Characters of a wrong value that a message repeats.
const SHOWN_CHARS_MAX: usize = 60;

/// Names that are listed as ignored; of more nobody reads.
const IGNORED_MAX: usize = 64;

/// How alike two names must be for one to be suggested for the other.
const ALIKE: f64 = 0.8;

/// What a request says about fields that this server does not serve: refuse them, or list what was ignored.
#[derive(Debug, Default)]
pub(crate) struct Ignored {
    /// Unknown fields are listed here instead of refused.
    pub is_lenient: bool,
    /// Paths of the fields that were ignored.
    pub names: Vec<String>,
}

impl Ignored {
    fn note(&mut self, path: String) {
        if self.names.len() < IGNORED_MAX {
            self.names.push(path);
        }
    }
}

/// One object of a request, with the fields that nobody has taken yet. `null` counts as absent.
pub(crate) struct Fields {
    map: Map<String, Value>,
    /// Path of the object, empty for the body: `response_format`.
    place: String,
    known: Vec<&'static str>,
}

impl Fields {
    /// # Errors
    /// When `value` is not an object.
    pub fn new(value: Value, place: &str) -> Result<Fields, ApiError> {
        match value {
            Value::Object(map) => Ok(Fields { map, place: place.to_owned(), known: Vec::new() }),
            other if place.is_empty() => {
                Err(ApiError::bad_request(format!("the body is {}; it must be an object", kind(&other))))
            }
            other => Err(ApiError::invalid(place, format!("`{place}` is {}; it must be an object", shown(&other)))),
        }
    }

    /// The path of a field of this object.
    pub fn path(&self, name: &str) -> String {
        if self.place.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place) }
    }

    /// A field as it is.
    pub fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.map.shift_remove(name).filter(|value| !value.is_null())
    }

    /// Says what a field should be instead.
    pub fn refuse<T>(&self, name: &str, value: &Value, wanted: &str) -> Result<T, ApiError> {
        let path = self.path(name);
        Err(ApiError::invalid(&path, format!("`{path}` is {}; it must be {wanted}", shown(value))))
    }

    /// A number between two bounds, both allowed.
    pub fn number(&mut self, name: &'static str, least: f64, most: f64) -> Result<Option<f64>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match value.as_f64().filter(|number| (least..=most).contains(number)) {
            Some(number) => Ok(Some(number)),
            None => self.refuse(name, &value, &format!("a number from {least} to {most}")),
        }
    }

    /// A whole number between two bounds, both allowed.
    pub fn integer(&mut self, name: &'static str, least: u64, most: u64) -> Result<Option<u64>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match value.as_u64().filter(|number| (least..=most).contains(number)) {
            Some(number) => Ok(Some(number)),
            None => self.refuse(name, &value, &format!("a whole number from {least} to {most}")),
        }
    }

    /// As [`Fields::integer`], for counts of things in memory.
    pub fn count(&mut self, name: &'static str, least: usize, most: usize) -> Result<Option<usize>, ApiError> {
        let number = self.integer(name, least as u64, most as u64)?;
        Ok(number.map(|number| usize::try_from(number).expect("at most `most`, which is a usize")))
    }

    /// `true` or `false`; absent is `default`.
    pub fn flag(&mut self, name: &'static str, default: bool) -> Result<bool, ApiError> {
        match self.take(name) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(value) => self.refuse(name, &value, "true or false"),
        }
    }

    /// A text.
    pub fn text(&mut self, name: &'static str) -> Result<Option<String>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(value) => self.refuse(name, &value, "a string"),
        }
    }

    /// A text that must be there.
    pub fn required_text(&mut self, name: &'static str) -> Result<String, ApiError> {
        let text = self.text(name)?;
        text.ok_or_else(|| self.missing(name))
    }

    /// Token ids below `vocab_size`, at most `most` of them.
    pub fn token_ids(&mut self, name: &'static str, vocab_size: usize, most: usize) -> Result<Vec<u32>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(Vec::new()) };
        let ids = value.as_array().filter(|items| items.len() <= most).and_then(|items| token_ids(items, vocab_size));
        match ids {
            Some(ids) => Ok(ids),
            None => self.refuse(name, &value, &format!("at most {most} token ids below {vocab_size}")),
        }
    }

    /// An object of its own.
    pub fn object(&mut self, name: &'static str) -> Result<Option<Fields>, ApiError> {
        let path = self.path(name);
        self.take(name).map(|value| Fields::new(value, &path)).transpose()
    }

    /// The error of a field that must be there.
    pub fn missing(&self, name: &str) -> ApiError {
        let path = self.path(name);
        ApiError::invalid(&path, format!("missing field `{path}`"))
    }

    /// A field of the API that changes nothing here unless it asks for something: refused then, with `instead` as the
    /// way out.
    pub fn unsupported(
        &mut self,
        name: &'static str,
        changes_nothing: fn(&Value) -> bool,
        instead: &str,
        ignored: &mut Ignored,
    ) -> Result<(), ApiError> {
        match self.take(name).filter(|value| !changes_nothing(value)) {
            None => Ok(()),
            Some(_) if ignored.is_lenient => {
                ignored.note(self.path(name));
                Ok(())
            }
            Some(value) => {
                let path = self.path(name);
                let hint = if instead.is_empty() { String::new() } else { format!("\nhint: {instead}") };
                let message = format!("`{path}` is {}; this server does not support that{hint}", shown(&value));
                Err(ApiError::unsupported(&path, message))
            }
        }
    }

    /// Ends the reading: what is left is not known.
    ///
    /// # Errors
    /// When something is left, unless `ignored` is lenient.
    pub fn finish(self, ignored: &mut Ignored) -> Result<(), ApiError> {
        if ignored.is_lenient {
            self.map.keys().for_each(|name| ignored.note(self.path(&cut(name))));
            return Ok(());
        }
        let Some(name) = self.map.keys().next() else { return Ok(()) };
        let path = self.path(&cut(name));
        let hint = closest(name, &self.known).map(|known| format!("\nhint: did you mean `{known}`?"));
        Err(ApiError::invalid(&path, format!("unknown field `{path}`{}", hint.unwrap_or_default())))
    }
}

/// The name that `name` was probably meant to be.
pub(crate) fn closest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    if name.len() > SHOWN_CHARS_MAX {
        return None;
    }
    let scored = known.iter().map(|known| (strsim::jaro_winkler(name, known), *known));
    scored.filter(|(score, _)| *score >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}

/// All items as token ids, if that is what they are.
pub(crate) fn token_ids(items: &[Value], vocab_size: usize) -> Option<Vec<u32>> {
    let id = |item: &Value| u32::try_from(item.as_u64()?).ok().filter(|&id| (id as usize) < vocab_size);
    items.iter().map(id).collect()
}

/// A value as a message shows it.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => kind(value).to_owned(),
        Value::String(text) => format!("{:?}", cut(text)),
        other => cut(&other.to_string()),
    }
}

fn cut(text: &str) -> String {
    if text.chars().nth(SHOWN_CHARS_MAX).is_none() {
        return text.to_owned();
    }
    text.chars().take(SHOWN_CHARS_MAX).chain(['…']).collect()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a flag",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        Fields::new(value, "").unwrap()
    }

    #[test]
    fn an_unknown_field_is_named_with_what_it_was_meant_to_be() {
        let mut body = fields(json!({"temprature": 1}));
        body.number("temperature", 0.0, 2.0).unwrap();
        let error = body.finish(&mut Ignored::default()).unwrap_err();
        assert_eq!(error.message(), "unknown field `temprature`\nhint: did you mean `temperature`?");
        let error = fields(json!({"q": 1})).finish(&mut Ignored::default()).unwrap_err();
        assert_eq!(error.message(), "unknown field `q`");
    }

    #[test]
    fn lenient_reading_lists_what_it_ignored() {
        let mut ignored = Ignored { is_lenient: true, ..Ignored::default() };
        let mut body = fields(json!({"inner": {"x": 1}, "y": 2, "store": true}));
        body.object("inner").unwrap().unwrap().finish(&mut ignored).unwrap();
        body.unsupported("store", |value| value == &json!(false), "", &mut ignored).unwrap();
        body.finish(&mut ignored).unwrap();
        assert_eq!(ignored.names, ["inner.x", "store", "y"]);
        // However many there are, and however long.
        let many = (0..1000).map(|index| (format!("{index}{}", "x".repeat(1000)), json!(1))).collect::<Map<_, _>>();
        fields(Value::Object(many)).finish(&mut ignored).unwrap();
        assert!(ignored.names.len() == IGNORED_MAX && ignored.names.iter().all(|name| name.len() < 100));
    }

    #[test]
    fn numbers_outside_their_range_are_refused_by_name() {
        let cases = [json!(-1), json!(1.5), json!(1e300), json!("3"), json!(true), json!([3]), json!(u64::MAX)];
        for value in cases {
            let error = fields(json!({"n": value})).count("n", 1, 16).unwrap_err();
            assert!(error.message().starts_with("`n` is ") && error.message().ends_with("from 1 to 16"), "{error:?}");
        }
        assert_eq!(fields(json!({"n": null})).count("n", 1, 16), Ok(None));
        assert_eq!(fields(json!({"n": 16})).count("n", 1, 16), Ok(Some(16)));
        assert!(fields(json!({"p": -0.1})).number("p", 0.0, 1.0).is_err());
        assert!(fields(json!({"ids": [1, 2.5]})).token_ids("ids", 10, 4).is_err());
        assert!(fields(json!({"ids": [10]})).token_ids("ids", 10, 4).is_err());
    }

    #[test]
    fn what_the_api_has_but_this_server_does_not_is_refused_unless_it_asks_for_nothing() {
        let read = |value: Value| {
            let is_false = |value: &Value| value == &json!(false);
            fields(json!({"store": value})).unsupported("store", is_false, "keep it yourself", &mut Ignored::default())
        };
        assert!(read(json!(false)).is_ok() && read(Value::Null).is_ok());
        let message = read(json!(true)).unwrap_err().message().to_owned();
        assert_eq!(message, "`store` is true; this server does not support that\nhint: keep it yourself");
    }

    #[test]
    fn long_values_are_not_repeated() {
        let error = fields(json!({"n": "x".repeat(10_000)})).count("n", 1, 2).unwrap_err();
        assert!(error.message().len() < 200);
    }
}
