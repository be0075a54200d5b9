//! `samples.jsonl`: what the model wrote on the way, the same prompt at one step after the other.

use std::collections::VecDeque;
use std::fmt::Write;

use serde_json::{Map, Value};

use super::text::{count, shortened};

/// Prompts that are shown; those that come first.
const PROMPTS_MAX: usize = 24;

/// Generations of a prompt that are shown: the first one and the newest.
const OF_PROMPT_MAX: usize = 12;

/// Characters of a prompt and of a generation.
const PROMPT_CHARACTERS: usize = 2_000;
const TEXT_CHARACTERS: usize = 4_000;

/// Bytes of all of them on the page.
const BYTES_MAX: usize = 700 << 10;

/// What the model wrote for one prompt.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// The prompt.
    pub prompt: String,
    /// Where it comes from.
    pub source: String,
    /// The first generation.
    pub first: (u64, String),
    /// The newest ones.
    pub later: VecDeque<(u64, String)>,
}

impl Sample {
    /// Takes in a later text, and returns how many make room for it. A run that was continued from before writes the
    /// same steps again; then the last time counts.
    fn add(&mut self, step: u64, text: String) -> usize {
        while self.later.back().is_some_and(|(later, _)| *later >= step) {
            self.later.pop_back();
        }
        if self.first.0 >= step {
            self.first = (step, text);
            return 0;
        }
        self.later.push_back((step, text));
        usize::from(self.later.len() == OF_PROMPT_MAX && self.later.pop_front().is_some())
    }
}

/// Samples while they are read.
#[derive(Debug, Default)]
pub struct Samples {
    kept: Vec<Sample>,
    left_out: usize,
}

impl Samples {
    /// Takes in a row; one without step or text is left out.
    pub fn add(&mut self, row: &Map<String, Value>) {
        let text = |key: &str, characters: usize| {
            let text = row.get(key).and_then(Value::as_str)?;
            // One character more than is shown, so that the page says that there was more.
            Some(text.chars().take(characters + 1).collect::<String>())
        };
        let (Some(step), Some(written)) = (row.get("step").and_then(Value::as_u64), text("text", TEXT_CHARACTERS))
        else {
            self.left_out += 1;
            return;
        };
        let prompt = text("prompt", PROMPT_CHARACTERS).unwrap_or_default();
        let source = text("source", 300).unwrap_or_default();
        let has_room = self.kept.len() < PROMPTS_MAX;
        match self.kept.iter_mut().find(|sample| sample.prompt == prompt && sample.source == source) {
            Some(sample) => self.left_out += sample.add(step, written),
            None if has_room => {
                self.kept.push(Sample { prompt, source, first: (step, written), later: VecDeque::new() });
            }
            None => self.left_out += 1,
        }
    }

    /// What there is to say about those that are not kept.
    pub fn note(&self) -> Option<String> {
        (self.left_out > 0).then(|| format!("samples.jsonl: {} lines are not shown", count(self.left_out as u64)))
    }

    /// Those that are kept.
    pub fn into_kept(self) -> Vec<Sample> {
        self.kept
    }
}

/// The samples of a run as a section's content; nothing where there are none.
pub fn html(samples: &[Sample]) -> String {
    let mut html = String::new();
    for sample in samples {
        let mut article =
            format!("<article class=\"sample\"><h3>{}</h3>", shortened(&sample.prompt, PROMPT_CHARACTERS));
        if !sample.source.is_empty() {
            let _ = write!(article, "<p class=\"unit\">from {}</p>", shortened(&sample.source, 300));
        }
        let all: Vec<&(u64, String)> = std::iter::once(&sample.first).chain(&sample.later).collect();
        for (index, (step, text)) in all.iter().enumerate() {
            let open = if index + 1 == all.len() { " open" } else { "" };
            let _ = write!(
                article,
                "<details{open}><summary>after step {}</summary><pre>\n{}</pre></details>",
                count(*step),
                shortened(text, TEXT_CHARACTERS)
            );
        }
        article.push_str("</article>\n");
        if html.len() + article.len() > BYTES_MAX {
            html.push_str("<p>There are more, left out so that the page stays small.</p>\n");
            break;
        }
        html.push_str(&article);
    }
    html
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kept(rows: &[Value]) -> (Vec<Sample>, Option<String>) {
        let mut samples = Samples::default();
        rows.iter().filter_map(Value::as_object).for_each(|row| samples.add(row));
        let note = samples.note();
        (samples.into_kept(), note)
    }

    #[test]
    fn a_prompt_keeps_its_first_and_its_newest_texts() {
        let rows: Vec<Value> = (0..40)
            .map(|step| json!({"step": step, "prompt": "p", "text": format!("t{step}"), "source": "s"}))
            .collect();
        let (samples, note) = kept(&rows);
        assert_eq!(samples.len(), 1);
        assert_eq!((samples[0].first.0, samples[0].later.len(), samples[0].later[10].0), (0, 11, 39));
        assert_eq!(note.as_deref(), Some("samples.jsonl: 28 lines are not shown"));
    }

    #[test]
    fn steps_that_were_taken_again_count_once() {
        let row = |step: u64, text: &str| json!({"step": step, "prompt": "p", "text": text});
        let (samples, _) = kept(&[row(0, "a"), row(5, "b"), row(10, "c"), row(5, "d"), row(7, "e")]);
        assert_eq!((&samples[0].first, samples[0].later.len()), (&(0, "a".to_owned()), 2));
        assert_eq!(samples[0].later, [(5, "d".to_owned()), (7, "e".to_owned())]);
        let (samples, _) = kept(&[row(3, "a"), row(5, "b"), row(0, "c")]);
        assert_eq!((&samples[0].first, samples[0].later.len()), (&(0, "c".to_owned()), 0));
    }

    #[test]
    fn texts_of_strangers_stay_texts_and_small() {
        let hostile = "</pre></script><script>alert(1)</script>";
        let rows: Vec<Value> = (0..100)
            .map(|index| json!({"step": index, "prompt": format!("{hostile}{index}"), "text": "<".repeat(1 << 16)}))
            .collect();
        let (samples, _) = kept(&rows);
        let html = html(&samples);
        assert!(html.len() < BYTES_MAX + 200 && samples.len() == PROMPTS_MAX, "{}", html.len());
        assert!(!html.contains("<script") && !html.contains("</script"));
    }

    #[test]
    fn rows_without_text_are_counted() {
        let (samples, note) = kept(&[json!({"step": 1}), json!({"text": "x"}), json!({"step": 1, "text": 5})]);
        assert!(samples.is_empty());
        assert_eq!(note.as_deref(), Some("samples.jsonl: 3 lines are not shown"));
    }
}
