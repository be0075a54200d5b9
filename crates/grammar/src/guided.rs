//! JSON schemas, regular expressions and Lark grammars, by `llguidance`.

use std::sync::Arc;

use llguidance::Matcher as Parser;
use llguidance::api::{StopReason, TopLevelGrammar};
use llguidance::toktrie::SimpleVob;

use crate::error::GrammarError;
use crate::vocabulary::Vocabulary;

/// A grammar is compiled on a stack of its own: how deep that goes is up to the request.
const STACK_BYTES: usize = 64 << 20;

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
    /// What the library said.
    pub fn new(grammar: TopLevelGrammar, vocabulary: &Arc<Vocabulary>) -> Result<Guided, String> {
        let compile = || vocabulary.factory().create_parser(grammar).map_err(|error| cleaned(&format!("{error:#}")));
        let parser = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("grammar".to_owned()).stack_size(STACK_BYTES);
            let compiling = thread.spawn_scoped(scope, compile).map_err(|error| error.to_string())?;
            compiling.join().map_err(|_| "the compiler gave up".to_owned())?
        })?;
        let parser = Parser::new(Ok(parser));
        match parser.get_error() {
            Some(error) => Err(cleaned(&error)),
            None => Ok(Guided { parser, vocabulary: Arc::clone(vocabulary), mask: None, tokens: 0 }),
        }
    }

    pub fn allowed(&mut self) -> Result<&[u32], GrammarError> {
        if self.mask.is_none() {
            self.mask = Some(self.parser.compute_mask_or_eos().map_err(|error| self.too_complex(&error.to_string()))?);
        }
        Ok(self.mask.as_ref().map_or(&[], SimpleVob::as_slice))
    }

    pub fn allows(&mut self, id: u32) -> Result<bool, GrammarError> {
        if let Some(mask) = &self.mask {
            return Ok((id as usize) < self.vocabulary.size() && mask.is_allowed(id));
        }
        if id as usize >= self.vocabulary.size() {
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

/// The library's message without its marks and without a backtrace.
fn cleaned(message: &str) -> String {
    const MOST: usize = 500;
    let end = ["\n<non-verbose/>", "\n<state>", "\n<backtrace>"].iter().filter_map(|mark| message.find(mark)).min();
    let mut message = message[..end.unwrap_or(message.len())].trim().to_owned();
    if let Some((end, _)) = message.char_indices().nth(MOST) {
        message.truncate(end);
        message.push('…');
    }
    message
}
