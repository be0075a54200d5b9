//! Fields of OpenAI's API, vLLM and llama.cpp's server that this server knows and does not serve.
//!
//! Each may stand in a request as long as it changes nothing: many clients always send them. What would change
//! something is refused by name, so that nobody believes it worked.

use serde_json::Value;

use crate::ApiError;
use crate::fields::{Fields, Ignored};

/// A name, the values that change nothing, and what to do instead.
type Foreign = (&'static str, fn(&Value) -> bool, &'static str);

fn never(_: &Value) -> bool {
    false
}

fn is_false(value: &Value) -> bool {
    value == false
}

fn is_true(value: &Value) -> bool {
    value == true
}

fn is_flag(value: &Value) -> bool {
    value.is_boolean()
}

fn is_zero(value: &Value) -> bool {
    value.as_f64() == Some(0.0)
}

fn is_one(value: &Value) -> bool {
    value.as_f64() == Some(1.0)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// Notes of the caller to itself.
fn is_note(value: &Value) -> bool {
    value.is_string() || value.is_object()
}

const FORMAT: &str = "use `response_format`";
const PROMPT_SCORES: &str = "`echo` and `logprobs` in /v1/completions give those of a prompt";

/// In both kinds of completions.
const BOTH: [Foreign; 57] = [
    ("user", Value::is_string, ""),
    ("metadata", Value::is_object, ""),
    ("safety_identifier", Value::is_string, ""),
    ("prompt_cache_key", Value::is_string, ""),
    ("prompt_cache_retention", is_note, ""),
    ("store", is_false, "keep the answer on your side"),
    ("service_tier", |value| value == "auto" || value == "default", ""),
    ("use_beam_search", is_false, ""),
    ("length_penalty", is_one, ""),
    ("early_stopping", is_false, ""),
    ("min_tokens", is_zero, "use `ignore_eos`"),
    ("skip_special_tokens", is_true, ""),
    ("spaces_between_special_tokens", is_flag, ""),
    ("truncate_prompt_tokens", never, "shorten the prompt on your side; /tokenize counts"),
    ("prompt_logprobs", never, PROMPT_SCORES),
    ("guided_json", never, FORMAT),
    ("guided_regex", never, FORMAT),
    ("guided_choice", never, FORMAT),
    ("guided_grammar", never, FORMAT),
    ("structured_outputs", never, FORMAT),
    ("grammar", is_empty, FORMAT),
    ("json_schema", never, FORMAT),
    ("allowed_token_ids", never, "use `logit_bias`"),
    ("bad_words", is_empty, "use `logit_bias`"),
    ("logits_processors", is_empty, ""),
    ("add_special_tokens", is_flag, ""),
    ("priority", is_zero, ""),
    ("kv_transfer_params", never, ""),
    ("vllm_xargs", is_empty, ""),
    ("return_token_ids", is_false, "use /tokenize"),
    ("return_tokens_as_token_ids", is_false, "use /tokenize"),
    ("n_predict", never, "use `max_tokens`"),
    ("n_keep", is_zero, ""),
    ("n_discard", is_zero, ""),
    ("n_probs", is_zero, "use `logprobs`"),
    ("n_indent", is_zero, ""),
    ("cache_prompt", is_true, ""),
    ("typical_p", is_one, ""),
    ("tfs_z", is_one, ""),
    ("mirostat", is_zero, ""),
    ("mirostat_tau", Value::is_number, ""),
    ("mirostat_eta", Value::is_number, ""),
    ("dynatemp_range", is_zero, ""),
    ("dynatemp_exponent", Value::is_number, ""),
    ("xtc_probability", is_zero, ""),
    ("xtc_threshold", Value::is_number, ""),
    ("dry_multiplier", is_zero, ""),
    ("top_n_sigma", |value| value.as_f64().is_some_and(|number| number <= 0.0), ""),
    ("repeat_penalty", is_one, "use `repetition_penalty`"),
    ("repeat_last_n", Value::is_number, ""),
    ("samplers", never, "the order is fixed: penalties, temperature, `top_k`, `top_p`, `min_p`"),
    ("id_slot", |value| value.as_i64() == Some(-1), "prefixes are found by their tokens, in any slot"),
    ("t_max_predict_ms", never, "use the header `x-request-timeout`"),
    ("timings_per_token", is_false, "/metrics has the times"),
    ("return_progress", is_false, ""),
    ("lora", is_empty, "name the adapter in `model`: `base:adapter`"),
    ("tokens", never, ""),
];

/// In chat completions only.
const CHAT: [Foreign; 21] = [
    ("tools", is_empty, "this model acts in code; see /v1/agent/sessions"),
    ("tool_choice", |value| value == "none" || value == "auto", ""),
    ("parallel_tool_calls", is_flag, ""),
    ("functions", is_empty, "this model acts in code; see /v1/agent/sessions"),
    ("function_call", |value| value == "none" || value == "auto", ""),
    ("modalities", |value| value.as_array().is_some_and(|kinds| kinds.iter().all(|kind| kind == "text")), ""),
    ("audio", never, ""),
    ("prediction", never, "guesses come from the prompt itself; put the expected text there"),
    ("reasoning_effort", |value| value == "none", ""),
    ("verbosity", |value| value == "medium", ""),
    ("web_search_options", never, ""),
    ("best_of", is_one, "use `n`"),
    ("echo", is_false, "/v1/completions has it"),
    ("suffix", is_empty, ""),
    ("chat_template", never, "/apply-template and /v1/completions take any wording"),
    ("chat_template_kwargs", is_empty, ""),
    ("documents", is_empty, ""),
    ("add_generation_prompt", is_true, "/apply-template has it"),
    ("continue_final_message", is_false, "use /apply-template and /v1/completions"),
    ("include_reasoning", is_flag, ""),
    ("reasoning_format", is_note, ""),
];

/// In text completions only.
const TEXT: [Foreign; 2] = [("suffix", is_empty, "this model does not fill gaps"), ("best_of", is_one, "use `n`")];

/// # Errors
/// When a field asks for what no request to `/v1/chat/completions` gets here.
pub(crate) fn refuse_in_chat(body: &mut Fields, ignored: &mut Ignored) -> Result<(), ApiError> {
    refuse(body, &BOTH, ignored)?;
    refuse(body, &CHAT, ignored)
}

/// # Errors
/// When a field asks for what no request to `/v1/completions` gets here.
pub(crate) fn refuse_in_text(body: &mut Fields, ignored: &mut Ignored) -> Result<(), ApiError> {
    refuse(body, &BOTH, ignored)?;
    refuse(body, &TEXT, ignored)
}

fn refuse(body: &mut Fields, table: &[Foreign], ignored: &mut Ignored) -> Result<(), ApiError> {
    table
        .iter()
        .try_for_each(|(name, changes_nothing, instead)| body.unsupported(name, *changes_nothing, instead, ignored))
}
