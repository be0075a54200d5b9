//! What an answer should look like, checked for size before anything works on it.

use std::sync::Arc;

use llguidance::api::TopLevelGrammar;
use serde_json::{Value, json};

use crate::action::{ActionMatcher, ActionRule};
use crate::compile::compile;
use crate::error::GrammarError;
use crate::matcher::Matcher;
use crate::schema;
use crate::vocabulary::Vocabulary;

const REGEX_BYTES_MAX: usize = 8 << 10;
const LARK_BYTES_MAX: usize = 64 << 10;

/// White space between the parts of JSON. It is bounded, so that an answer cannot go on with blanks for ever.
const JSON_BLANKS: &str = r"[\x20\x0A\x0D\x09]{1,40}";

/// The shape of an answer, not yet tied to a vocabulary.
#[derive(Clone)]
pub struct Grammar(Kind);

#[derive(Clone)]
enum Kind {
    Guided { name: &'static str, grammar: TopLevelGrammar, hint: &'static str },
    Action(ActionRule),
}

impl Grammar {
    /// JSON that satisfies `schema`. White space between its parts is up to the model, within bounds.
    ///
    /// What of a schema is not supported is refused, not ignored; the error comes from [`Grammar::matcher`].
    ///
    /// # Errors
    /// When the schema is too large, too deeply nested, or combines too much.
    pub fn json_schema(schema: &Value) -> Result<Grammar, GrammarError> {
        let name = "JSON schema";
        schema::check(schema)?;
        let mut schema = match schema {
            Value::Bool(true) => json!({}),
            other => other.clone(),
        };
        if let Some(schema) = schema.as_object_mut() {
            // Settings of the library; a request must not loosen what its schema says.
            schema.insert("x-guidance".to_owned(), json!({"whitespace_pattern": JSON_BLANKS}));
        }
        let hint = "use type, properties, required, items, enum, const, anyOf, $defs, minimum, maxLength, pattern and \
                    their like; write anyOf for oneOf";
        Ok(Grammar(Kind::Guided { name, grammar: TopLevelGrammar::from_json_schema(schema), hint }))
    }

    /// Any JSON object.
    pub fn json_object() -> Grammar {
        Grammar::json_schema(&json!({"type": "object"})).expect("this schema is small")
    }

    /// Text that matches `pattern` from its beginning to its end, in the syntax of Rust's `regex` crate, without look
    /// around. `.` is any character but a line break.
    ///
    /// # Errors
    /// When the pattern is too long. Whether it is valid is found by [`Grammar::matcher`].
    pub fn regex(pattern: &str) -> Result<Grammar, GrammarError> {
        let name = "regular expression";
        within(name, pattern.len(), REGEX_BYTES_MAX)?;
        let hint = "it always matches the whole answer: leave out ^ and $, and use no look-around or backreferences";
        Ok(Grammar(Kind::Guided { name, grammar: TopLevelGrammar::from_regex(pattern), hint }))
    }

    /// Text of a context-free grammar in llguidance's dialect of Lark, beginning with the rule `start`.
    ///
    /// # Errors
    /// When the text is too long, or holds a JSON schema. Whether it is valid is found by [`Grammar::matcher`].
    pub fn lark(text: &str) -> Result<Grammar, GrammarError> {
        let name = "Lark grammar";
        within(name, text.len(), LARK_BYTES_MAX)?;
        if text.contains("%json") {
            return Err(GrammarError::Unusable {
                kind: name,
                what: "`%json` is not supported within it".to_owned(),
                hint: "send the schema as a JSON schema",
            });
        }
        let hint = "begin with a rule `start: ...`; rules are in lower case, terminals in upper case";
        Ok(Grammar(Kind::Guided { name, grammar: TopLevelGrammar::from_lark(text.to_owned()), hint }))
    }

    /// A reply of free text and at most one `<execute>` or `<solution>` block, which is always closed.
    ///
    /// # Errors
    /// When the rule demands a block but allows none.
    pub fn action(rule: ActionRule) -> Result<Grammar, GrammarError> {
        rule.check()?;
        Ok(Grammar(Kind::Action(rule)))
    }

    /// Makes the grammar ready for answers in `vocabulary`. Takes up to a few hundred milliseconds for a schema at the
    /// bounds; do it where waiting is fine. Several answers can start from clones of one matcher.
    ///
    /// # Errors
    /// When the grammar is wrong, not supported or too complex; the message says what, where, and a way out. When too
    /// many others are being made ready.
    pub fn matcher(&self, vocabulary: &Arc<Vocabulary>) -> Result<Matcher, GrammarError> {
        match &self.0 {
            Kind::Guided { name, grammar, hint } => {
                let guided = compile(grammar, vocabulary).map_err(|failure| failure.of(name, hint))?;
                Ok(Matcher::guided(guided))
            }
            Kind::Action(rule) => ActionMatcher::new(vocabulary, *rule).map(Matcher::action),
        }
    }
}

fn within(kind: &'static str, size: usize, most: usize) -> Result<(), GrammarError> {
    if size > most { Err(GrammarError::TooLarge { kind, size, unit: "bytes", most }) } else { Ok(()) }
}
