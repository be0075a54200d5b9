//! What a request brings: a body that is called JSON, of bounded size, in bounded memory, arriving in bounded time,
//! with each key once; and a name in its path.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::{Map, Number, Value};
use tokio_stream::StreamExt;

use crate::ApiError;
use crate::edge::{Behind, Memory, Record, Taken};
use crate::error::ErrorKind;
use crate::fields::{Fields, Ignored};

/// A body that takes longer to arrive is given up.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// Bytes that one value takes at most, while the row it stands in grows: the old place, and the new one of twice the
/// size.
const VALUE_BYTES: usize = 3 * size_of::<Value>();

/// Longer bodies are parsed where it keeps nobody waiting.
const PARSED_HERE_BYTES_MAX: usize = 64 << 10;

/// The body as JSON; no body counts as `{}`.
pub(crate) struct JsonBody(pub Value, #[expect(dead_code, reason = "held until the body is taken apart")] Taken);

impl JsonBody {
    /// Takes the body apart. What a lenient server passes over goes to the record, whatever comes of it.
    ///
    /// # Errors
    /// When the body is no object, and what `read` says.
    pub fn read<T>(
        self,
        record: &Record,
        read: impl FnOnce(Fields, &mut Ignored) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let mut ignored = Ignored { is_lenient: record.is_lenient(), names: Vec::new() };
        let result = Fields::new(self.0, "").and_then(|body| read(body, &mut ignored));
        record.facts().ignored = ignored.names;
        result
    }
}

impl<State: Behind> FromRequest<State> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &State) -> Result<JsonBody, ApiError> {
        let (head, body) = request.into_parts();
        let edge = state.edge();
        let memory = &edge.memory;
        let (bytes, of_text) = read_in_time(body, edge.settings.body_bytes_max, memory).await?;
        // The text is there twice while it is parsed, and then once.
        let taken = of_text.and(memory.take(bytes.len() + VALUE_BYTES * value_count(&bytes))?);
        let parsed = if bytes.len() <= PARSED_HERE_BYTES_MAX {
            parse(&head.headers, &bytes)
        } else {
            edge.work(move || parse(&head.headers, &bytes)).await?
        };
        Ok(JsonBody(parsed?, taken))
    }
}

/// All of a body, and the memory that it takes.
///
/// # Errors
/// When it is too large, or takes too long, or there is no memory for it now.
pub(super) async fn read_in_time(body: Body, bytes_max: usize, memory: &Memory) -> Result<(Bytes, Taken), ApiError> {
    tokio::time::timeout(BODY_TIME_MAX, read(body, bytes_max, memory)).await.map_err(|_| {
        let message = format!("the body did not arrive within {} seconds", BODY_TIME_MAX.as_secs());
        ApiError::new(ErrorKind::SlowBody, message)
    })?
}

async fn read(body: Body, bytes_max: usize, memory: &Memory) -> Result<(Bytes, Taken), ApiError> {
    let mut whole = Vec::new();
    let mut taken = Taken::default();
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| ApiError::bad_request(format!("the body did not arrive whole: {error}")))?;
        if whole.len() + piece.len() > bytes_max {
            let message = format!("the body has more than {bytes_max} bytes");
            return Err(ApiError::new(ErrorKind::BodyTooLarge, message));
        }
        if whole.len() + piece.len() > whole.capacity() {
            let more = whole.capacity().max(piece.len()).max(1 << 10);
            taken = taken.and(memory.take(more)?);
            whole.reserve_exact(more);
        }
        whole.extend_from_slice(&piece);
    }
    Ok((whole.into(), taken))
}

/// At most how many values a text has, if it is JSON: all but the first stand behind one of these signs.
fn value_count(text: &[u8]) -> usize {
    let (mut count, mut is_string, mut is_escaped) = (1, false, false);
    for byte in text {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_string,
            b'"' => is_string = !is_string,
            b',' | b'[' | b'{' | b':' if !is_string => count += 1,
            _ => {}
        }
    }
    count
}

pub(super) fn parse(headers: &HeaderMap, body: &Bytes) -> Result<Value, ApiError> {
    if body.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    // Any page in a browser may send other types here without asking; this one it may not.
    if !is_json(headers) {
        let message = "the body must have `Content-Type: application/json`";
        return Err(ApiError::new(ErrorKind::MediaType, message));
    }
    let parsed: Result<EachKeyOnce, _> = serde_json::from_slice(body);
    parsed.map(|EachKeyOnce(value)| value).map_err(|error| not_acceptable(&error))
}

fn not_acceptable(error: &serde_json::Error) -> ApiError {
    ApiError::bad_request(format!("the body is not acceptable: {error}"))
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}

/// A name in a path.
pub(crate) struct PathName(pub String);

impl<State: Behind> FromRequestParts<State> for PathName {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<PathName, ApiError> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(name)) => Ok(PathName(name)),
            Err(error) => Err(ApiError::bad_request(error.body_text())),
        }
    }
}

/// A value in which no object has a key twice: serde_json by itself would silently keep the last.
struct EachKeyOnce(Value);

impl<'de> Deserialize<'de> for EachKeyOnce {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<EachKeyOnce, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(EachKeyOnce)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
        Number::from_f64(number).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(EachKeyOnce(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, EachKeyOnce(value))) = entries.next_entry::<String, EachKeyOnce>()? {
            if map.contains_key(&key) {
                let start: String = key.chars().take(60).collect();
                return Err(A::Error::custom(format!("`{start}` stands twice")));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Value, String> {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, "application/json".parse().unwrap())]);
        parse(&headers, &Bytes::copy_from_slice(text.as_bytes())).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn json_is_read_as_it_stands() {
        let text = r#"{"a":[1,-2,2.5,"ü",null,true],"b":{"c":{}}}"#;
        assert_eq!(read_text(text).unwrap().to_string(), text);
        assert_eq!(read_text("").unwrap().to_string(), "{}");
    }

    #[test]
    fn no_body_has_more_values_than_are_counted() {
        fn values(value: &Value) -> usize {
            match value {
                Value::Array(items) => 1 + items.iter().map(values).sum::<usize>(),
                Value::Object(map) => 1 + map.values().map(values).sum::<usize>(),
                _ => 1,
            }
        }
        let texts = [
            r#"[[],[],[[]],{},{"a":{}}]"#,
            r#"{"a":"x,[{:","b\"[":[1,2,3],"c":"\\","d":["\\\"",[],",,,"]}"#,
            "7",
            r#"{"a":{"b":{"c":[true]}}}"#,
        ];
        for text in texts {
            let (found, counted) = (values(&read_text(text).unwrap()), value_count(text.as_bytes()));
            assert!((found..=2 * found).contains(&counted), "{text}: {found} values, {counted} counted");
        }
    }

    #[test]
    fn a_key_that_stands_twice_and_what_is_not_json_are_refused() {
        assert!(read_text(r#"{"n": 1, "n": 2}"#).unwrap_err().contains("`n` stands twice"));
        assert!(read_text(r#"{"x": [{"y": 1, "y": 1}]}"#).unwrap_err().contains("`y` stands twice"));
        for text in ["{", "NaN", r#"{"n": 1e400}"#, r#""\ud800""#, "\u{0}", "{} {}", &"[".repeat(100_000)] {
            assert!(read_text(text).unwrap_err().contains("not acceptable"), "{text:.20}");
        }
    }
}
