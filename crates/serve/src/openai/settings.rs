//! How a request wants its answers: the fields that both kinds of completions have.

use std::collections::BTreeMap;

use codeact_chat::StopStrings;
use codeact_engine::Sampling;
use codeact_grammar::{ActionRule, Grammar, GrammarError, Matcher};
use serde_json::Value;

use crate::ApiError;
use crate::fields::{Fields, Ignored};
use crate::models::Words;
use crate::state::fresh_seed;

/// Answers to one prompt.
pub(crate) const CHOICES_MAX: usize = 16;
/// The likeliest tokens that are given beside each token.
pub(crate) const TOP_LOGPROBS_MAX: usize = 20;
const STOPS_MAX: usize = 256;
const BIASES_MAX: usize = 1024;
/// More tokens than any context has.
const TOKENS_MAX: usize = 1 << 30;

/// How a request wants its answers.
pub(crate) struct Settings {
    /// All but `max_new_tokens`, `logprobs` and `stop_ids`, which depend on more.
    pub sampling: Sampling,
    /// Tokens of each answer; `None`: the request does not say.
    pub max_tokens: Option<usize>,
    /// What the request calls that.
    pub max_tokens_field: &'static str,
    /// As many as fit of these, if the request does not say; `None`: as many as fit.
    pub tokens_by_default: Option<usize>,
    /// Answers to each prompt.
    pub choice_count: usize,
    pub stops: StopStrings,
    /// What `stops` looks for.
    pub stop_texts: Vec<String>,
    /// Further tokens that end an answer.
    pub stop_ids: Vec<u32>,
    /// The string that ended an answer is its last part.
    pub is_stop_shown: bool,
    pub is_stream: bool,
    /// The last chunk of a stream says what it cost.
    pub is_usage_streamed: bool,
    pub shape: AnswerShape,
    /// What is computed is only used for requests that know this word.
    pub cache_salt: Option<String>,
}

/// What an answer must be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum AnswerShape {
    /// Any text.
    Free,
    /// JSON that this schema allows.
    Json(Value),
    /// What this regular expression matches as a whole.
    Regex(String),
    /// Prose with at most one `<execute>` or `<solution>` block, which is always closed.
    CodeAct(ActionRule),
}

impl AnswerShape {
    /// What keeps an answer to it. Takes a while for large ones.
    ///
    /// # Errors
    /// When it cannot be kept to; the message says why.
    pub fn matcher(&self, words: &Words) -> Result<Option<Matcher>, ApiError> {
        let grammar = match self {
            AnswerShape::Free => return Ok(None),
            AnswerShape::Json(schema) => Grammar::json_schema(schema),
            AnswerShape::Regex(pattern) => Grammar::regex(pattern),
            AnswerShape::CodeAct(rule) => Grammar::action(*rule),
        };
        let matcher = grammar.and_then(|grammar| grammar.matcher(&words.vocabulary()?));
        matcher.map(Some).map_err(refusal)
    }
}

/// Why an answer cannot be kept to its shape: because of the request, of others, or of the model.
fn refusal(error: GrammarError) -> ApiError {
    match error {
        GrammarError::Busy { .. } => ApiError::busy(error.to_string()),
        GrammarError::Vocabulary { .. } => ApiError::internal(error.to_string()),
        GrammarError::TooLarge { .. }
        | GrammarError::Unusable { .. }
        | GrammarError::TooSlow { .. }
        | GrammarError::TooComplex { .. }
        | GrammarError::NotAllowed { .. }
        | GrammarError::NoRoom { .. } => ApiError::invalid("response_format", format!("`response_format`: {error}")),
    }
}

impl Settings {
    /// * `vocab_size`: of the model that is asked.
    ///
    /// # Errors
    /// When a field has a value that it cannot have; the message names it.
    pub fn read(body: &mut Fields, vocab_size: usize, ignored: &mut Ignored) -> Result<Settings, ApiError> {
        let sampling = Sampling {
            temperature: body.number("temperature", 0.0, 100.0)?.unwrap_or(1.0),
            top_p: top_p(body)?,
            // As in vLLM and llama.cpp, 0 means all.
            top_k: body.count("top_k", 0, TOKENS_MAX)?.filter(|&top_k| top_k > 0),
            min_p: body.number("min_p", 0.0, 1.0)?.unwrap_or(0.0),
            repetition_penalty: body.number("repetition_penalty", 0.01, 100.0)?.unwrap_or(1.0),
            frequency_penalty: body.number("frequency_penalty", -2.0, 2.0)?.unwrap_or(0.0),
            presence_penalty: body.number("presence_penalty", -2.0, 2.0)?.unwrap_or(0.0),
            logit_bias: logit_bias(body, vocab_size)?,
            seed: body.integer("seed", 0, u64::MAX)?.unwrap_or_else(fresh_seed),
            ignore_eos: body.flag("ignore_eos", false)?,
            ..Sampling::default()
        };
        let max_tokens = body.count("max_tokens", 0, TOKENS_MAX)?;
        let is_stream = body.flag("stream", false)?;
        let (stop_texts, stops) = stops(body)?;
        Ok(Settings {
            sampling,
            max_tokens,
            max_tokens_field: "max_tokens",
            tokens_by_default: None,
            choice_count: body.count("n", 1, CHOICES_MAX)?.unwrap_or(1),
            stops,
            stop_texts,
            stop_ids: body.token_ids("stop_token_ids", vocab_size, STOPS_MAX)?,
            is_stop_shown: body.flag("include_stop_str_in_output", false)?,
            is_stream,
            is_usage_streamed: is_usage_streamed(body, is_stream, ignored)?,
            shape: answer_shape(body, ignored)?,
            cache_salt: cache_salt(body)?,
        })
    }

    /// The end tag of an action among the stop strings. Clients of the original stop there and then search for it, which
    /// OpenAI's API would have cut off.
    pub fn execute_stop(&self) -> Option<(usize, &'static str)> {
        const TAG: &str = "</execute>";
        let index = self.stop_texts.iter().position(|stop| stop == TAG).filter(|_| !self.is_stop_shown);
        index.map(|index| (index, TAG))
    }

    /// The settings of one of several answers to a prompt: each has its own seed, the first the one that was given.
    pub fn of_choice(&self, index: usize) -> Sampling {
        Sampling { seed: self.sampling.seed.wrapping_add(index as u64), ..self.sampling.clone() }
    }
}

fn top_p(body: &mut Fields) -> Result<f64, ApiError> {
    let Some(value) = body.take("top_p") else { return Ok(1.0) };
    match value.as_f64().filter(|top_p| *top_p > 0.0 && *top_p <= 1.0) {
        Some(top_p) => Ok(top_p),
        None => body.refuse("top_p", &value, "a number above 0, at most 1"),
    }
}

fn logit_bias(body: &mut Fields, vocab_size: usize) -> Result<Vec<(u32, f32)>, ApiError> {
    let Some(value) = body.take("logit_bias") else { return Ok(Vec::new()) };
    let wanted = || {
        format!("an object of at most {BIASES_MAX} token ids below {vocab_size}, each with a number from -100 to 100")
    };
    let Some(map) = value.as_object().filter(|map| map.len() <= BIASES_MAX) else {
        return body.refuse("logit_bias", &value, &wanted());
    };
    // Several spellings of one number are one token.
    let mut biases = BTreeMap::new();
    for (token, bias) in map {
        let id = token.parse::<u32>().ok().filter(|id| (*id as usize) < vocab_size);
        let bias = bias.as_f64().filter(|bias| (-100.0..=100.0).contains(bias));
        let (Some(id), Some(bias)) = (id, bias) else {
            return body.refuse("logit_bias", &value, &wanted());
        };
        biases.insert(id, bias as f32);
    }
    Ok(biases.into_iter().collect())
}

fn stops(body: &mut Fields) -> Result<(Vec<String>, StopStrings), ApiError> {
    let value = body.take("stop").unwrap_or_else(|| Value::Array(Vec::new()));
    let texts: Option<Vec<String>> = match &value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(items) if items.len() <= STOPS_MAX => {
            items.iter().map(|item| item.as_str().map(str::to_owned)).collect()
        }
        _ => None,
    };
    match texts {
        Some(texts) => match StopStrings::new(&texts) {
            Ok(stops) => Ok((texts, stops)),
            Err(error) => Err(ApiError::invalid("stop", format!("`stop`: {error}"))),
        },
        None => body.refuse("stop", &value, &format!("a string, or an array of at most {STOPS_MAX} strings")),
    }
}

fn is_usage_streamed(body: &mut Fields, is_stream: bool, ignored: &mut Ignored) -> Result<bool, ApiError> {
    let Some(mut options) = body.object("stream_options")? else { return Ok(false) };
    if !is_stream {
        return Err(ApiError::invalid("stream_options", "`stream_options` is only for `stream`: true"));
    }
    let is_included = options.flag("include_usage", false)?;
    options.unsupported("include_obfuscation", Value::is_boolean, "", ignored)?;
    options.unsupported("continuous_usage_stats", |value| value == false, "use `include_usage`", ignored)?;
    options.finish(ignored)?;
    Ok(is_included)
}

/// As in vLLM.
fn cache_salt(body: &mut Fields) -> Result<Option<String>, ApiError> {
    match body.text("cache_salt")? {
        Some(salt) if salt.is_empty() => {
            body.refuse("cache_salt", &Value::String(salt), "a string that others cannot guess")
        }
        salt => Ok(salt),
    }
}

fn answer_shape(body: &mut Fields, ignored: &mut Ignored) -> Result<AnswerShape, ApiError> {
    let Some(mut format) = body.object("response_format")? else { return Ok(AnswerShape::Free) };
    let kind = format.required_text("type")?;
    let shape = match kind.as_str() {
        "text" => AnswerShape::Free,
        "json_object" => AnswerShape::Json(serde_json::json!({"type": "object"})),
        "regex" => AnswerShape::Regex(format.required_text("regex")?),
        "codeact" => AnswerShape::CodeAct(ActionRule {
            execute: format.flag("execute", true)?,
            solution: format.flag("solution", true)?,
            is_required: format.flag("required", false)?,
        }),
        "json_schema" => {
            let missing = format.missing("json_schema");
            let mut inner = format.object("json_schema")?.ok_or(missing)?;
            // A name for people; the schema itself is always kept to, whatever `strict` says.
            inner.text("name")?;
            inner.text("description")?;
            inner.flag("strict", true)?;
            let schema = inner.take("schema").ok_or_else(|| inner.missing("schema"))?;
            inner.finish(ignored)?;
            AnswerShape::Json(schema)
        }
        _ => {
            let kinds = "`text`, `json_object`, `json_schema`, `regex` or `codeact`";
            return format.refuse("type", &Value::String(kind), kinds);
        }
    };
    format.finish(ignored)?;
    Ok(shape)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> Result<Settings, ApiError> {
        let mut body = Fields::new(body, "")?;
        let settings = Settings::read(&mut body, 100, &mut Ignored::default())?;
        body.finish(&mut Ignored::default())?;
        Ok(settings)
    }

    fn refused(body: Value) -> String {
        match read(body) {
            Ok(_) => String::new(),
            Err(error) => error.message().to_owned(),
        }
    }

    #[test]
    fn each_answer_to_a_prompt_has_its_own_seed() {
        let settings = read(json!({"seed": u64::MAX, "n": 3})).unwrap_or_else(|error| panic!("{error:?}"));
        let seeds: Vec<u64> = (0..3).map(|index| settings.of_choice(index).seed).collect();
        assert_eq!(seeds, [u64::MAX, 0, 1]);
    }

    #[test]
    fn what_an_answer_must_be_is_read() {
        let shape = |format: Value| read(json!({"response_format": format})).map(|settings| settings.shape).ok();
        let schema = json!({"type": "integer"});
        let named = json!({"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": schema}});
        assert_eq!(shape(named), Some(AnswerShape::Json(schema)));
        assert_eq!(shape(json!({"type": "json_object"})), Some(AnswerShape::Json(json!({"type": "object"}))));
        assert_eq!(shape(json!({"type": "regex", "regex": "a+"})), Some(AnswerShape::Regex("a+".to_owned())));
        let rule = ActionRule { execute: true, solution: false, is_required: true };
        let codeact = json!({"type": "codeact", "solution": false, "required": true});
        assert_eq!(shape(codeact), Some(AnswerShape::CodeAct(rule)));
        assert_eq!(shape(json!({"type": "text"})), Some(AnswerShape::Free));
        let message = refused(json!({"response_format": {"type": "json_schema", "schema": {}}}));
        assert_eq!(message, "missing field `response_format.json_schema`");
        assert!(refused(json!({"response_format": {"type": "xml"}})).contains("`response_format.type` is \"xml\""));
        assert!(refused(json!({"response_format": {"type": "regex"}})).contains("`response_format.regex`"));
    }

    #[test]
    fn only_what_the_request_is_to_blame_for_is_its_fault() {
        let code = |error: GrammarError| refusal(error).body()["error"]["type"].clone();
        assert_eq!(code(GrammarError::Busy { running: 4 }), "rate_limit_error");
        assert_eq!(code(GrammarError::Vocabulary { what: "no bytes".to_owned() }), "server_error");
        let wrong = GrammarError::Unusable { kind: "JSON schema", what: "`typ`".to_owned(), hint: "say `type`" };
        assert_eq!(code(wrong), "invalid_request_error");
    }

    #[test]
    fn wrong_values_are_refused_by_name() {
        let cases = [
            (json!({"logit_bias": {"100": 1}}), "`logit_bias`"),
            (json!({"logit_bias": {"-1": 1}}), "`logit_bias`"),
            (json!({"logit_bias": {"5": 101}}), "`logit_bias`"),
            (json!({"logit_bias": [5]}), "`logit_bias`"),
            (json!({"stop": ["a", 5]}), "`stop`"),
            (json!({"stop": [""]}), "`stop`: stop string 0 is empty"),
            (json!({"stop": vec!["x"; 257]}), "`stop`"),
            (json!({"top_p": 0}), "`top_p` is 0; it must be a number above 0, at most 1"),
            (json!({"seed": -1}), "`seed` is -1"),
            (json!({"n": 17}), "`n` is 17; it must be a whole number from 1 to 16"),
            (json!({"stop_token_ids": [100]}), "`stop_token_ids`"),
            (json!({"stream_options": {}}), "only for `stream`"),
            (json!({"stream": true, "stream_options": {"includeusage": true}}), "did you mean `include_usage`?"),
        ];
        for (body, expected) in cases {
            let message = refused(body.clone());
            assert!(message.contains(expected), "{body}: {message}");
        }
    }
}
