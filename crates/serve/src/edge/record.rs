//! What is known of one request; counted and logged when the last of its answer is gone.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::edge::{Edge, log};

/// The status of a request whose sender left before there was an answer.
const LEFT: u16 = 499;

/// One request. Handlers note on it; dropping the last share of it writes the log line.
pub(crate) struct Record {
    edge: Arc<Edge>,
    /// The caller's `x-request-id`, or one of ours.
    pub id: String,
    method: &'static str,
    route: String,
    start: Instant,
    facts: Mutex<Facts>,
}

/// What a log line may say besides. Prompts and answers only when they are asked for.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub status: Option<u16>,
    /// Whether all of the answer was sent.
    pub is_complete: bool,
    /// Which API key, counted from 1.
    pub key: Option<usize>,
    pub model: Option<String>,
    pub prompt_tokens: Option<usize>,
    pub cached_tokens: Option<usize>,
    pub completion_tokens: Option<usize>,
    /// From the request's arrival.
    pub first_token: Option<Duration>,
    pub finish: Option<&'static str>,
    /// Fields that a lenient server passed over.
    pub ignored: Vec<String>,
    pub error: Option<String>,
    pub prompt: Option<String>,
    pub answer: Option<String>,
}

impl Record {
    pub fn new(edge: Arc<Edge>, id: String, method: &'static str, route: String) -> Record {
        edge.counters.begin();
        Record { edge, id, method, route, start: Instant::now(), facts: Mutex::default() }
    }

    /// When the request arrived.
    pub fn start(&self) -> Instant {
        self.start
    }

    /// Whether prompts and answers are wanted.
    pub fn is_with_texts(&self) -> bool {
        self.edge.settings.log.prompts
    }

    /// Whether unknown fields are passed over instead of refused.
    pub fn is_lenient(&self) -> bool {
        self.edge.settings.is_lenient
    }

    pub fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().expect("nothing panics while it holds this lock")
    }

    /// Keeps what is computed for one key from telling another, by how soon it comes, what was asked before.
    ///
    /// * `word`: of the request, which sets it apart from others with the same key.
    pub fn salt(&self, word: Option<&str>) -> u128 {
        let key = self.facts().key;
        if (key, word) == (None, None) {
            return 0;
        }
        let digest = Sha256::new().chain_update(format!("{key:?} {word:?}")).finalize();
        u128::from_le_bytes(*digest.first_chunk().expect("a digest has 32 bytes"))
    }

    /// Notes a prompt, if they are wanted.
    pub fn note_prompt(&self, text: impl FnOnce() -> String) {
        if self.is_with_texts() {
            self.facts().prompt = Some(text());
        }
    }

    /// Notes the moment of the first token, if this is it.
    pub fn note_token(&self) {
        let elapsed = self.start.elapsed();
        self.facts().first_token.get_or_insert(elapsed);
    }

    fn line(&self, facts: &Facts, status: u16, elapsed: Duration) -> Value {
        let mut line = Map::new();
        let mut add = |name: &str, value: Value| {
            if !value.is_null() {
                line.insert(name.to_owned(), value);
            }
        };
        add("time", json!(timestamp(SystemTime::now())));
        add("request_id", json!(self.id));
        add("method", json!(self.method));
        add("route", json!(self.route));
        add("status", json!(status));
        add("complete", json!(facts.is_complete));
        add("ms", json!(milliseconds(elapsed)));
        add("first_token_ms", json!(facts.first_token.map(milliseconds)));
        add("key", json!(facts.key));
        add("model", json!(facts.model));
        add("prompt_tokens", json!(facts.prompt_tokens));
        add("cached_tokens", json!(facts.cached_tokens));
        add("completion_tokens", json!(facts.completion_tokens));
        add("finish", json!(facts.finish));
        add("ignored", if facts.ignored.is_empty() { Value::Null } else { json!(facts.ignored) });
        add("error", json!(facts.error));
        add("prompt", json!(facts.prompt));
        add("answer", json!(facts.answer));
        Value::Object(line)
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let elapsed = self.start.elapsed();
        let facts = self.facts();
        let status = facts.status.unwrap_or(LEFT);
        self.edge.counters.end(&self.route, self.method, status, facts.is_complete, elapsed);
        if self.edge.settings.log.requests {
            log::log(&self.line(&facts, status, elapsed));
        }
    }
}

/// Whole and tenths of milliseconds.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

/// As RFC 3339 has it, in UTC and with milliseconds.
pub(crate) fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (day, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(day);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
}

/// Year, month and day of a day counted from 1970-01-01. Years begin in March here, so that a leap day comes last.
fn date(day: u64) -> (u64, u64, u64) {
    const DAYS_OF_400_YEARS: u64 = 146_097;
    // Days from 0000-03-01 to 1970-01-01.
    let day = day + 719_468;
    let (era, day) = (day / DAYS_OF_400_YEARS, day % DAYS_OF_400_YEARS);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let (month, year_shift) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + year_shift, month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339_has_them() {
        let at = |seconds, milliseconds: u32| timestamp(UNIX_EPOCH + Duration::new(seconds, milliseconds * 1_000_000));
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400, 7), "2000-02-29T00:00:00.007Z");
        assert_eq!(at(1_709_251_199, 999), "2024-02-29T23:59:59.999Z");
        assert_eq!(at(1_735_689_599, 0), "2024-12-31T23:59:59.000Z");
        assert_eq!(at(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
    }
}
