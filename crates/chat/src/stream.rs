//! Text from token ids while they arrive.
//!
//! A character may be spread over several tokens, and a tokenizer's decoder treats the first token of a sequence
//! specially (Llama's drops one leading blank). So a window of ids is decoded before and after each new one, and
//! what is new and complete is handed out.

use std::sync::Arc;

use tokenizers::Tokenizer;

use crate::contained::contained;

/// Turns the ids of one answer into text, piece by piece. Control tokens give no text.
#[derive(Debug, Clone)]
pub struct TokenStream {
    tokenizer: Arc<Tokenizer>,
    /// Ids still needed as context, then ids whose text was not handed out yet.
    window: Vec<u32>,
    /// How many of `window` have been handed out.
    shown: usize,
}

impl TokenStream {
    pub(crate) fn new(tokenizer: Arc<Tokenizer>, context: &[u32]) -> TokenStream {
        TokenStream { tokenizer, window: context.to_vec(), shown: context.len() }
    }

    /// Takes the next id; returns the text that is complete now, if any.
    pub fn push(&mut self, id: u32) -> Option<String> {
        self.window.push(id);
        let text = self.new_text();
        // A replacement character at the end is a character whose bytes have not all come yet.
        if text.is_empty() || text.ends_with('\u{FFFD}') {
            return None;
        }
        self.window.drain(..self.shown);
        self.shown = self.window.len();
        Some(text)
    }

    /// The text of ids that were held back: an unfinished character becomes U+FFFD. Empty if there are none.
    pub fn finish(self) -> String {
        self.new_text()
    }

    fn new_text(&self) -> String {
        let shown = decode(&self.tokenizer, &self.window[..self.shown], true);
        let all = decode(&self.tokenizer, &self.window, true);
        match all.strip_prefix(shown.as_str()) {
            Some(new) => new.to_owned(),
            // A run of byte tokens that is not UTF-8 spoils the shown bytes before it too; read the new ones alone.
            None => decode(&self.tokenizer, &self.window[self.shown..], true),
        }
    }
}

/// The text of ids; `skip_control` leaves control tokens out. A decoder that fails gives U+FFFD.
pub(crate) fn decode(tokenizer: &Tokenizer, ids: &[u32], skip_control: bool) -> String {
    let text = contained("decoding", || tokenizer.decode(ids, skip_control).map_err(|error| error.to_string()));
    text.unwrap_or_else(|_| '\u{FFFD}'.to_string())
}
