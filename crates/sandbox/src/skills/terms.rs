//! Search by words: what a text is about, and how well it answers a query (BM25).

use std::collections::BTreeMap;

/// How soon repeating a word stops to matter, and how much long texts are held back. Source: Robertson and Zaragoza
/// 2009, "The Probabilistic Relevance Framework", the usual values.
const SATURATION: f64 = 1.2;
const LENGTH_WEIGHT: f64 = 0.75;

/// Words that are in all Python, or in all English, and say nothing about a function.
const COMMON_WORDS: [&str; 44] = [
    "a", "an", "and", "as", "assert", "async", "await", "break", "by", "class", "continue", "def", "del", "elif",
    "else", "except", "false", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "none",
    "nonlocal", "not", "of", "on", "or", "pass", "raise", "return", "self", "that", "the", "to", "true", "try",
    "while", "with", "yield",
];

/// How often each word is in a text.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Terms {
    counts: BTreeMap<String, u32>,
    total: u32,
}

impl Terms {
    /// Count the words of `text`, each as `weight` of them.
    pub fn add(&mut self, text: &str, weight: u32) {
        for word in words(text) {
            self.total = self.total.saturating_add(weight);
            let count = self.counts.entry(word).or_default();
            *count = count.saturating_add(weight);
        }
    }
}

/// Words in lower case: `parse_dates`, `parseDates` and `parse dates` are the same two. A plural is its singular.
fn words(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let mut words = vec![String::new()];
    for (index, &letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| letters[before]);
        let is_hump = letter.is_uppercase()
            && (before.is_some_and(|before| before.is_lowercase() || before.is_numeric())
                // The last capital of `HTMLParser` begins a word.
                || letters.get(index + 1).is_some_and(|next| next.is_lowercase()));
        if !letter.is_alphanumeric() || is_hump {
            words.push(String::new());
        }
        if letter.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty() && !COMMON_WORDS.contains(&word.as_str()));
    for word in &mut words {
        if word.len() > 3 && word.ends_with('s') && !word.ends_with("ss") {
            word.pop();
        }
    }
    words
}

/// How well each document answers the query, in their order; 0 when it has none of its words.
pub fn scores(documents: &[Terms], query: &str) -> Vec<f64> {
    let mut wanted = words(query);
    wanted.sort();
    wanted.dedup();
    let count = documents.len() as f64;
    let mean_total = documents.iter().map(|document| f64::from(document.total)).sum::<f64>() / count.max(1.0);
    let mut scores = vec![0.0; documents.len()];
    for word in &wanted {
        let having = documents.iter().filter(|document| document.counts.contains_key(word)).count() as f64;
        let rarity = (1.0 + (count - having + 0.5) / (having + 0.5)).ln();
        for (document, score) in documents.iter().zip(&mut scores) {
            let frequency = document.counts.get(word).copied().map_or(0.0, f64::from);
            let length = 1.0 - LENGTH_WEIGHT + LENGTH_WEIGHT * f64::from(document.total) / mean_total.max(1.0);
            *score += rarity * frequency * (SATURATION + 1.0) / (frequency + SATURATION * length);
        }
    }
    scores
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(text: &str) -> Terms {
        let mut terms = Terms::default();
        terms.add(text, 1);
        terms
    }

    #[test]
    fn words_are_split_where_people_see_them() {
        let cases = [
            ("parse_iso_dates", "parse iso date"),
            ("parseIsoDate", "parse iso date"),
            ("HTMLParser2Go", "html parser2 go"),
            ("def f(x) -> None: return x.ls", "f x x ls"),
            ("Größe, CLASS glass", "größe glass"),
            ("", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(words(text).join(" "), expected, "{text}");
        }
        assert!(words("()_ -\0").is_empty());
    }

    #[test]
    fn rare_words_and_short_texts_count_more() {
        let documents = [
            terms("read a table"),
            terms("read a table and many more words that are about other things"),
            terms("read read read"),
            terms("nothing of this"),
        ];
        let found = scores(&documents, "table");
        assert!(found[0] > found[1] && found[1] > 0.0 && found[2] == 0.0 && found[3] == 0.0, "{found:?}");
        let found = scores(&documents, "read tables");
        assert!(found[0] > found[2], "{found:?}");
        assert_eq!(scores(&documents, "table table TABLE"), scores(&documents, "table"));
        assert_eq!(scores(&[], "x"), [0.0; 0]);
        assert_eq!(scores(&[Terms::default()], "x"), [0.0]);
    }
}
