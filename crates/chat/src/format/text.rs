//! Prompts that are plain text rather than messages.

use std::ops::Range;

use crate::conversation::Message;
use crate::error::FormatError;
use crate::stream::TokenStream;

use super::ChatFormat;

/// Tokens of a prompt that are looked at when what follows is decoded.
const CONTEXT_TOKENS: usize = 8;

/// One token of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextToken {
    /// Its id.
    pub id: u32,
    /// Bytes of the text that it stands for; empty for what the tokenizer puts before a text.
    pub range: Range<usize>,
}

impl ChatFormat {
    /// The tokens of a text that is a whole prompt. Unlike in messages, a control token that the text spells is one:
    /// whoever writes the whole prompt may write everything.
    ///
    /// * `is_prefixed`: begin with what the tokenizer puts before a text (BOS, in many vocabularies), unless the text
    ///   begins with it.
    ///
    /// # Errors
    /// When the tokenizer's pattern gives up on the text (it bounds how far it backtracks).
    pub fn encode_prompt(&self, text: &str, is_prefixed: bool) -> Result<Vec<TextToken>, FormatError> {
        let tokens = self.renderer.vocabulary.encode(text, &[])?;
        let prefix = if is_prefixed { self.renderer.prefix(&tokens) } else { &[] };
        let prefix = prefix.iter().map(|&id| TextToken { id, range: 0..0 });
        let text = tokens.iter().map(|token| TextToken { id: token.id, range: token.range.clone() });
        Ok(prefix.chain(text).collect())
    }

    /// The ids of messages. `add_generation_prompt` opens the assistant's turn, as [`ChatFormat::prompt_ids`] does.
    ///
    /// # Errors
    /// When the template refuses the messages or rewrites one.
    pub fn message_ids(&self, messages: &[Message], add_generation_prompt: bool) -> Result<Vec<u32>, FormatError> {
        self.renderer.ids(messages, add_generation_prompt)
    }

    /// Decodes what follows `prompt_ids` while it arrives; [`ChatFormat::stream`] does so for an answer to messages.
    pub fn stream_after(&self, prompt_ids: &[u32]) -> TokenStream {
        let vocabulary = &self.renderer.vocabulary;
        let after_control = prompt_ids.iter().rposition(|&id| vocabulary.is_control(id)).map_or(0, |index| index + 1);
        let context = &prompt_ids[after_control.max(prompt_ids.len().saturating_sub(CONTEXT_TOKENS))..];
        TokenStream::new(vocabulary.tokenizer().clone(), context)
    }
}
