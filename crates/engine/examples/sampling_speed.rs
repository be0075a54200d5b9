//! How long the choice of a token takes, and what a constraint adds to it.
//!
//! `cargo run --release -p codeact-engine --example sampling_speed -- MODEL_DIR`, where the folder holds a tokenizer.
//! Logits are noise with a likely head, as a model's are. Each line gives the fastest choice, the middle one, and
//! the 90th and 99th of 100, in microseconds, and the middle one beside that of greedy sampling in the same run.

use std::path::Path;
use std::time::Instant;

use codeact_chat::ChatFormat;
use codeact_engine::{Sampler, Sampling};
use codeact_grammar::{ActionRule, Grammar, Matcher, Vocabulary};
use serde_json::json;

const CHOICES: usize = 1000;

/// A row of logits for each of a few positions.
fn rows(width: usize) -> Vec<Vec<f32>> {
    let mut seed = 1u64;
    let mut unit = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 40) as f32 / (1 << 24) as f32
    };
    let mut row = || {
        let mut row: Vec<f32> = (0..width).map(|_| 4.0 * (unit() + unit() + unit() + unit()) - 8.0).collect();
        (1..200).for_each(|rank| row[(unit() * width as f32) as usize] += 16.0 / (1.0 + 0.05 * rank as f32));
        row
    };
    (0..32).map(|_| row()).collect()
}

/// Microseconds of each choice, sorted. An answer that ends begins again.
fn measure(rows: &[Vec<f32>], sampling: &Sampling, constraint: Option<&Matcher>) -> Vec<f64> {
    let start = || {
        let sampler = Sampler::new(sampling.clone(), &[5, 6, 7]);
        constraint
            .map_or(sampler.clone(), |matcher| sampler.constrained(matcher.clone(), usize::MAX).expect("there is room"))
    };
    let mut sampler = start();
    let mut logits = rows[0].clone();
    let mut times: Vec<f64> = Vec::new();
    for position in 0..CHOICES {
        logits.copy_from_slice(&rows[position % rows.len()]);
        let begin = Instant::now();
        let token = sampler.choose(&mut logits, position).expect("logits are finite");
        let is_end = sampler.is_end(token.id);
        if !is_end {
            sampler.accept(token.id).expect("it was allowed");
        }
        times.push(begin.elapsed().as_secs_f64() * 1e6);
        if is_end || sampler.is_done() {
            sampler = start();
        }
    }
    times.sort_by(f64::total_cmp);
    times
}

fn main() {
    let folder = std::env::args().nth(1).expect("the folder of a model");
    let format = ChatFormat::chatml_added(Path::new(&folder)).expect("a model folder");
    let begin = Instant::now();
    let vocabulary = Vocabulary::new(&format.token_bytes(), format.end_of_turn_ids()).expect("a vocabulary");
    println!("vocabulary of {} tokens made ready in {:.0} ms", vocabulary.size(), begin.elapsed().as_secs_f64() * 1e3);
    let rows = rows(vocabulary.size());
    let ready = |grammar: Grammar| {
        let begin = Instant::now();
        let matcher = grammar.matcher(&vocabulary).expect("a small grammar");
        (matcher, begin.elapsed().as_secs_f64() * 1e3)
    };
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}}}, "required": ["city", "days"]});
    let (schema, schema_ms) = ready(Grammar::json_schema(&schema).expect("a schema"));
    let (regex, regex_ms) = ready(Grammar::regex("(\\w+ ){3,40}\\w+\\.").expect("a pattern"));
    let rule = ActionRule { execute: true, solution: true, is_required: true };
    let (action, action_ms) = ready(Grammar::action(rule).expect("a rule"));
    println!("made ready: schema {schema_ms:.1} ms, regular expression {regex_ms:.1} ms, action {action_ms:.1} ms");
    let greedy = Sampling::default();
    let warm = Sampling { temperature: 0.8, ..Sampling::default() };
    let cases = [
        ("greedy", greedy.clone(), None),
        ("greedy, logprobs 5", Sampling { logprobs: Some(5), ..greedy.clone() }, None),
        ("greedy, penalties", Sampling { repetition_penalty: 1.1, presence_penalty: 0.5, ..greedy.clone() }, None),
        ("temperature", warm.clone(), None),
        ("temperature, top-k 40", Sampling { top_k: Some(40), ..warm.clone() }, None),
        ("temperature, top-p 0.95", Sampling { top_p: 0.95, ..warm.clone() }, None),
        ("temperature, min-p 0.05", Sampling { min_p: 0.05, ..warm.clone() }, None),
        ("greedy, action", greedy.clone(), Some(&action)),
        ("temperature, action", warm.clone(), Some(&action)),
        ("greedy, schema", greedy.clone(), Some(&schema)),
        ("temperature, schema", warm.clone(), Some(&schema)),
        ("greedy, regular expression", greedy.clone(), Some(&regex)),
        ("temperature, regular expression", warm, Some(&regex)),
    ];
    println!("{:<34} {:>8} {:>8} {:>8} {:>8} {:>8}", "", "min us", "p50", "p90", "p99", "x greedy");
    let base = measure(&rows, &greedy, None)[CHOICES / 2];
    for (name, sampling, constraint) in cases {
        let times = measure(&rows, &sampling, constraint);
        let [min, p50, p90, p99] = [0, 50, 90, 99].map(|share| times[CHOICES * share / 100]);
        println!("{name:<34} {min:>8.1} {p50:>8.1} {p90:>8.1} {p99:>8.1} {:>8.1}", p50 / base);
    }
}
