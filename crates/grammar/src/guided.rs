//! JSON schemas, regular expressions and Lark grammars, by `llguidance`.

use std::sync::Arc;

use llguidance::Matcher as Parser;
use llguidance::api::{StopReason, TopLevelGrammar};
use llguidance::toktrie::SimpleVob;

use crate::error::GrammarError;
use crate::vocabulary::Vocabulary;

/// One answer to a grammar.
#[derive(Clone)]
pub(crate) struct Guided {
    parser: Parser,
    vocabulary: Arc<Vocabulary>,
    /// What may come next, once it was asked for.
    mask: Option<SimpleVob>,
    tokens: usize,
}

impl Guided {
    /// # Errors
    /// What the library said. Also when nothing at all satisfies the grammar.
    pub fn new(grammar: TopLevelGrammar, vocabulary: &Arc<Vocabulary>) -> Result<Guided, String> {
        let parser = vocabulary.factory().create_parser(grammar).map_err(|error| cleaned(&format!("{error:#}")))?;
        let parser = Parser::new(Ok(parser));
        let mut guided = Guided { parser, vocabulary: Arc::clone(vocabulary), mask: None, tokens: 0 };
        match guided.allowed() {
            Ok(_) => {}
            Err(GrammarError::TooComplex { what, .. }) if what == NOTHING => {
                return Err("no answer satisfies it".to_owned());
            }
            Err(error) => return Err(error.to_string()),
        }
        Ok(guided)
    }

    pub fn allowed(&mut self) -> Result<&[u32], GrammarError> {
        if self.mask.is_none() {
            let mask = self.parser.compute_mask_or_eos().map_err(|error| self.too_complex(&error.to_string()))?;
            self.keep(mask)?;
        }
        Ok(self.mask.as_ref().map_or(&[], SimpleVob::as_slice))
    }

    /// Grammars can name tokens by their ids; only text and end tokens are allowed all the same.
    fn keep(&mut self, mut mask: SimpleVob) -> Result<(), GrammarError> {
        mask.and(self.vocabulary.usable());
        if mask.is_zero() && !self.vocabulary.end_ids().is_empty() {
            return Err(self.too_complex(NOTHING));
        }
        self.mask = Some(mask);
        Ok(())
    }

    pub fn allows(&mut self, id: u32) -> Result<bool, GrammarError> {
        if let Some(mask) = &self.mask {
            return Ok((id as usize) < self.vocabulary.size() && mask.is_allowed(id));
        }
        if id as usize >= self.vocabulary.size() || !self.vocabulary.usable().is_allowed(id) {
            return Ok(false);
        }
        if self.vocabulary.end_ids().contains(&id) {
            return self.is_complete();
        }
        let valid = self.parser.validate_tokens(&[id]).map_err(|error| self.too_complex(&error.to_string()))?;
        Ok(valid == 1)
    }

    pub fn accept(&mut self, id: u32) -> Result<(), GrammarError> {
        if !self.allows(id)? {
            return Err(GrammarError::NotAllowed { id, tokens: self.tokens });
        }
        self.mask = None;
        // A finished grammar allows the end tokens, and nothing changes by them.
        if !self.is_done() {
            self.parser.consume_token(id).map_err(|error| self.too_complex(&error.to_string()))?;
        }
        self.tokens += 1;
        Ok(())
    }

    pub fn is_complete(&mut self) -> Result<bool, GrammarError> {
        if self.is_done() {
            return Ok(true);
        }
        self.parser.is_accepting().map_err(|error| self.too_complex(&error.to_string()))
    }

    pub fn is_done(&self) -> bool {
        matches!(self.parser.stop_reason(), StopReason::NoExtension | StopReason::EndOfSentence)
    }

    pub fn end_ids(&self) -> &[u32] {
        self.vocabulary.end_ids()
    }

    fn too_complex(&self, what: &str) -> GrammarError {
        GrammarError::TooComplex { tokens: self.tokens, what: cleaned(what) }
    }
}

/// What the library calls `NoExtensionBias`.
const NOTHING: &str = "nothing can follow";

/// The library's message without its marks and without a backtrace.
fn cleaned(message: &str) -> String {
    const MOST: usize = 500;
    if message.starts_with("NoExtensionBias") {
        return NOTHING.to_owned();
    }
    let message = message.strip_prefix("panic: ").unwrap_or(message);
    let end = ["\n<non-verbose/>", "\n<state>", "\n<backtrace>"].iter().filter_map(|mark| message.find(mark)).min();
    let mut message = message[..end.unwrap_or(message.len())].trim().to_owned();
    if let Some((end, _)) = message.char_indices().nth(MOST) {
        message.truncate(end);
        message.push('…');
    }
    message
}
