//! A model that knows nothing, with real vocabularies: whatever it says under a grammar has the shape of the grammar.

#![allow(clippy::unwrap_used)] // a test may fail where it stands

#[path = "../../chat/tests/all/tiny.rs"]
#[allow(dead_code)]
mod tiny;

#[path = "constrained/checker.rs"]
mod checker;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use codeact_chat::ChatFormat;
use codeact_chat::action::{Action, ActionFormat, ActionParser};
use codeact_engine::{Sampler, Sampling};
use codeact_grammar::{ActionRule, Grammar, Matcher, Vocabulary};
use serde_json::{Value, json};

use checker::satisfies;

/// Replies for each vocabulary, over all grammars.
const REPLIES: usize = 1000;

struct Model {
    format: ChatFormat,
    vocabulary: Arc<Vocabulary>,
    /// More than one row of logits; each row begins elsewhere.
    noise: Vec<f32>,
    seed: u64,
}

impl Model {
    fn new(format: ChatFormat) -> Model {
        let vocabulary = Vocabulary::new(&format.token_bytes(), format.end_of_turn_ids()).unwrap();
        let mut model = Model { format, vocabulary, noise: Vec::new(), seed: 1 };
        // Rows are a few tokens wider than the tokenizer, as embeddings that were rounded up are.
        let count = 2 * model.vocabulary.size() + 64;
        model.noise = (0..count).map(|_| (0..4).map(|_| model.below(1000) as f32 / 400.0).sum()).collect();
        model
    }

    fn below(&mut self, end: usize) -> usize {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) as usize % end
    }

    fn settings(&mut self) -> Sampling {
        Sampling {
            temperature: [0.0, 0.7, 1.5][self.below(3)],
            top_k: [None, Some(40)][self.below(2)],
            top_p: [1.0, 0.9][self.below(2)],
            repetition_penalty: [1.0, 1.3][self.below(2)],
            seed: self.below(1 << 30) as u64,
            stop_ids: self.format.end_of_turn_ids().to_vec(),
            ..Sampling::default()
        }
    }

    /// One reply, as text, and whether it ended by itself.
    fn reply(&mut self, matcher: &Matcher, sampling: Sampling, tokens_max: usize) -> (String, bool) {
        let prompt = self.format.encode_text("x").unwrap();
        let mut sampler = Sampler::new(sampling, &prompt).constrained(matcher.clone(), tokens_max).unwrap();
        let width = self.vocabulary.size() + 32;
        let (mut ids, mut stream, mut text) = (Vec::new(), self.format.stream(), String::new());
        let mut row = vec![0.0; width];
        let mut has_ended = false;
        while !has_ended && ids.len() < tokens_max {
            let from = self.below(self.noise.len() - width);
            row.copy_from_slice(&self.noise[from..from + width]);
            let token = sampler.choose(&mut row, prompt.len() + ids.len()).unwrap();
            if sampler.is_end(token.id) {
                has_ended = true;
                break;
            }
            sampler.accept(token.id).unwrap();
            ids.push(token.id);
            text.push_str(&stream.push(token.id).unwrap_or_default());
            has_ended = sampler.is_done();
        }
        (text + &stream.finish(), has_ended)
    }
}

/// A required block is there and closed, however few tokens there are; where it is optional, none is left open.
fn action_reply(model: &mut Model, rule: ActionRule) {
    let matcher = Grammar::action(rule).unwrap().matcher(&model.vocabulary).unwrap();
    let needed = matcher.closing_tokens().unwrap();
    let tokens_max = needed + model.below(60) + usize::from(!rule.is_required);
    let mut sampling = model.settings();
    // Room runs out long before noise happens to spell a tag; where it helps, it begins one.
    if model.below(2) == 0 {
        let opening: Vec<u32> = (0..model.vocabulary.size() as u32)
            .filter(|&id| matches!(model.format.decode(&[id], true).as_str(), "<" | "e" | "ex" | "exec" | "ute" | ">"))
            .collect();
        sampling.logit_bias = opening.into_iter().map(|id| (id, 20.0)).collect();
    }
    if !rule.is_required {
        sampling.logit_bias.extend(model.format.end_of_turn_ids().iter().map(|&id| (id, 20.0)));
    }
    let (text, has_ended) = model.reply(&matcher, sampling, tokens_max);
    assert!(has_ended || !rule.is_required, "{text:?}");
    let mut parser = ActionParser::new(ActionFormat::Code);
    parser.push(&text);
    let is_closed = parser.is_complete();
    assert!(is_closed || !rule.is_required, "{text:?}");
    parser.finish();
    assert_eq!(parser.full_text(), text);
    match parser.action().unwrap() {
        Action::Execute(_) => assert!(rule.execute && (!is_closed || text.ends_with("</execute>"))),
        Action::Solution(_) => assert!(rule.solution && text.ends_with("</solution>")),
        Action::Answer(_) => assert!(!rule.is_required && !text.contains("<execute>")),
        Action::Call(call) => panic!("text in which actions are code has no call: {call}"),
    }
}

fn schemas() -> Vec<Value> {
    let tool = json!({"type": "object", "properties": {
        "name": {"enum": ["search", "python", "语"]},
        "count": {"type": "integer", "minimum": -3, "maximum": 12},
        "ratio": {"type": "number", "minimum": 0, "maximum": 1},
        "is_final": {"type": "boolean"},
        "words": {"type": "array", "items": {"type": "string", "maxLength": 6}, "minItems": 1, "maxItems": 3}},
        "required": ["name", "words"], "additionalProperties": false});
    let either = json!({"anyOf": [{"type": "null"}, {"const": "x"}, {"type": "array", "maxItems": 2,
        "items": {"$ref": "#/$defs/pair"}}], "$defs": {"pair": {"type": "object", "properties": {
        "é": {"type": "string", "pattern": "^[a-c]{1,4}$"}}, "required": ["é"], "additionalProperties": false}}});
    vec![tool, either]
}

fn check_all(mut model: Model, replies: usize) {
    let schemas = schemas();
    let ready = |grammar: Grammar, model: &Model| grammar.matcher(&model.vocabulary).unwrap();
    let by_schema: Vec<Matcher> =
        schemas.iter().map(|schema| ready(Grammar::json_schema(schema).unwrap(), &model)).collect();
    let object = ready(Grammar::json_object(), &model);
    let sentence = ready(Grammar::regex("(yes|no|语)( [a-z]{2,5}){1,4}[.!?]").unwrap(), &model);
    let starts_with = |id: &u32, first: &str| {
        let table = model.format.decode(&[*id], true);
        first.chars().any(|character| table.starts_with(character))
    };
    let closing = (0..model.vocabulary.size() as u32).filter(|id| starts_with(id, "\"}]:"));
    let closing: Vec<(u32, f32)> = closing.map(|id| (id, 30.0)).collect();
    for round in 0..replies {
        match round % 5 {
            0 => {
                let which = round / 5 % schemas.len();
                let sampling = model.settings();
                let (text, has_ended) = model.reply(&by_schema[which], sampling, 900);
                assert!(has_ended, "{text}");
                let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
                satisfies(&schemas[which], &schemas[which], &value).unwrap_or_else(|what| panic!("{what}: {text}"));
            }
            1 => {
                let sampling = Sampling { logit_bias: closing.clone(), ..model.settings() };
                let (text, has_ended) = model.reply(&object, sampling, 900);
                assert!(has_ended, "{text}");
                assert!(serde_json::from_str::<Value>(&text).is_ok_and(|value| value.is_object()), "{text}");
            }
            2 => {
                let sampling = model.settings();
                let (text, has_ended) = model.reply(&sentence, sampling, 60);
                assert!(has_ended, "{text}");
                assert!(is_sentence(&text), "{text}");
            }
            kind => {
                let allowed = [(true, true), (true, false), (false, true)][round / 5 % 3];
                action_reply(
                    &mut model,
                    ActionRule { execute: allowed.0, solution: allowed.1, is_required: kind == 3 },
                );
            }
        }
    }
}

/// The regular expression of [`check_all`], by hand.
fn is_sentence(text: &str) -> bool {
    let Some(text) = text.strip_suffix(['.', '!', '?']) else {
        return false;
    };
    let mut words = text.split(' ');
    let first = words.next().is_some_and(|word| ["yes", "no", "语"].contains(&word));
    let rest: Vec<&str> = words.collect();
    let is_word = |word: &&str| (2..=5).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase());
    first && (1..=4).contains(&rest.len()) && rest.iter().all(is_word)
}

#[test]
fn replies_in_the_small_vocabularies_have_their_shape() {
    check_all(Model::new(tiny::byte_level(tiny::CHATML).load().unwrap()), REPLIES);
    check_all(Model::new(ChatFormat::chatml_added(tiny::sentence_piece(None).path()).unwrap()), REPLIES);
}

/// Files that are too large for the repository, or not ours to ship, lie beside it.
fn check_real(folder: &Path) {
    if !folder.join("tokenizer.json").exists() {
        let line = format!("skipped: constrained replies: `{}` is missing\n", folder.display());
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return;
    }
    check_all(Model::new(ChatFormat::chatml_added(folder).unwrap()), REPLIES);
}

fn shared() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    std::env::var_os("CODEACT_SHARED").map_or_else(beside, PathBuf::from)
}

#[test]
fn replies_of_smollm2_have_their_shape() {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../checkpoints/base");
    check_real(&base.join("HuggingFaceTB--SmolLM2-135M-Instruct"));
}

#[test]
fn replies_of_mistral_have_their_shape() {
    check_real(&shared().join("tokenizers/mistral"));
}
