//! The tokenizer, and which of its tokens control the chat.
//!
//! A control token is a *special* token of the tokenizer. Only the chat template may write one: the text of a
//! message is encoded with special tokens switched off, so `<|im_end|>` typed by a user is nine harmless characters.

mod check;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use tokenizers::models::ModelWrapper;
use tokenizers::{AddedToken, Encoding, PostProcessorWrapper, Tokenizer};

use crate::contained::contained;
use crate::error::FormatError;

/// One token of an encoded text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) id: u32,
    /// Bytes of the text that the token stands for. Tokens that share one character share its range.
    pub(crate) range: Range<usize>,
    /// Written by the template to control the chat.
    pub(crate) is_control: bool,
}

#[derive(Debug)]
struct Control {
    id: u32,
    text: String,
    /// The token swallows the white space before it.
    strips_left: bool,
    /// The token swallows the white space after it.
    strips_right: bool,
}

/// A byte-pair tokenizer that keeps control tokens and text apart.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    tokenizer: Arc<Tokenizer>,
    /// Longest first, so that the first match is the right one.
    controls: Vec<Control>,
    prefix_ids: Vec<u32>,
    size: usize,
}

impl Vocabulary {
    /// Parses the text of a `tokenizer.json`. Every token in `special` becomes a control token; one that the
    /// vocabulary lacks is added at its end.
    ///
    /// Returns the vocabulary, and the `tokenizer.json` that describes it: `json` itself unless tokens were added.
    pub(crate) fn parse(json: &str, path: &Path, special: &[String]) -> Result<(Vocabulary, String), FormatError> {
        let built = contained("reading it", || Vocabulary::build(json, special));
        built.map_err(|what| FormatError::Tokenizer { path: path.to_owned(), what })
    }

    fn build(json: &str, special: &[String]) -> Result<(Vocabulary, String), String> {
        check::check(json)?;
        let mut tokenizer = Tokenizer::from_bytes(json).map_err(|error| error.to_string())?;
        if !matches!(tokenizer.get_model(), ModelWrapper::BPE(_)) {
            return Err("only byte-pair (BPE) vocabularies are supported".to_owned());
        }
        let missing: Vec<AddedToken> = special
            .iter()
            .filter(|text| !tokenizer.get_added_vocabulary().is_special_token(text))
            .map(|text| AddedToken::from(text.as_str(), true).normalized(false))
            .collect();
        let mut json = json.to_owned();
        if !missing.is_empty() {
            let added = tokenizer.add_special_tokens(missing);
            added.map_err(|error| error.to_string())?;
            json = tokenizer.to_string(true).map_err(|error| error.to_string())?;
        }
        // Both cut or fill sequences behind our back; lengths are decided elsewhere.
        tokenizer.with_truncation(None).map_err(|error| error.to_string())?;
        tokenizer.with_padding(None);
        let prefix_ids = prefix_ids(&tokenizer).map_err(|error| error.to_string())?;
        // What is left of the post-processor only trims blanks off offsets, which would hide that a token straddles
        // the border between a header and a message.
        tokenizer.with_post_processor(None::<PostProcessorWrapper>);
        tokenizer.set_encode_special_tokens(true);
        let largest_id = tokenizer.get_vocab(true).into_values().max();
        let size = largest_id.map_or(0, |id| id as usize + 1);
        check::check_size(size, tokenizer.get_vocab_size(true))?;
        let controls = controls(&tokenizer);
        Ok((Vocabulary { tokenizer: Arc::new(tokenizer), controls, prefix_ids, size }, json))
    }

    /// The tokenizer itself, with special tokens switched off in [`Tokenizer::encode`].
    pub(crate) fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
    }

    /// Tokens that the tokenizer puts before every sequence (BOS), often none.
    pub(crate) fn prefix_ids(&self) -> &[u32] {
        &self.prefix_ids
    }

    /// Largest id plus one: the rows an embedding needs at least.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// The id of a token by its text.
    pub(crate) fn id_of(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// Whether a token controls the chat.
    pub(crate) fn is_control(&self, id: u32) -> bool {
        self.controls.iter().any(|control| control.id == id)
    }

    /// The text of a token, or its number if it has none.
    pub(crate) fn name_of(&self, id: u32) -> String {
        self.tokenizer.id_to_token(id).unwrap_or_else(|| id.to_string())
    }

    /// Encodes a rendered conversation. Control tokens are recognised outside of `contents` only, which are ranges
    /// of bytes, in order; the text between two control tokens is encoded in one piece. Where contents hold no
    /// control-token text, this equals encoding the whole text at once.
    pub(crate) fn encode(&self, text: &str, contents: &[Range<usize>]) -> Result<Vec<Token>, FormatError> {
        let mut tokens = Vec::new();
        let mut piece_start = 0;
        let mut outside_start = 0;
        let text_end = text.len()..text.len();
        for content in contents.iter().chain([&text_end]) {
            let mut from = outside_start.max(piece_start);
            while let Some((range, control)) = self.next_control(text, from..content.start, piece_start) {
                self.encode_piece(text, piece_start..range.start, &mut tokens)?;
                piece_start = range.end;
                from = range.end;
                tokens.push(Token { id: control.id, range, is_control: true });
            }
            outside_start = content.end;
        }
        self.encode_piece(text, piece_start..text.len(), &mut tokens)?;
        Ok(tokens)
    }

    /// First control token whose text lies within `outside`; its range includes the white space it swallows.
    fn next_control(&self, text: &str, outside: Range<usize>, piece_start: usize) -> Option<(Range<usize>, &Control)> {
        let part = text.get(outside.clone())?;
        let (at, control) = part.char_indices().find_map(|(at, _)| {
            let here = self.controls.iter().find(|control| part[at..].starts_with(&control.text))?;
            Some((outside.start + at, here))
        })?;
        let (mut start, mut end) = (at, at + control.text.len());
        if control.strips_left {
            start = piece_start + text[piece_start..start].trim_end().len();
        }
        if control.strips_right {
            end = text.len() - text[end..].trim_start().len();
        }
        Some((start..end, control))
    }

    fn encode_piece(&self, text: &str, range: Range<usize>, tokens: &mut Vec<Token>) -> Result<(), FormatError> {
        if range.is_empty() {
            return Ok(());
        }
        let encoding = encode(&self.tokenizer, &text[range.clone()])?;
        for (&id, &(start, end)) in encoding.get_ids().iter().zip(encoding.get_offsets()) {
            if self.controls.iter().any(|control| control.id == id) {
                return Err(FormatError::ControlInContent { token: self.name_of(id) });
            }
            let range = range.start + start..range.start + end;
            tokens.push(Token { id, range, is_control: false });
        }
        Ok(())
    }

    /// The ids of a plain text, none of them a control token.
    pub(crate) fn encode_text(&self, text: &str) -> Result<Vec<u32>, FormatError> {
        let mut tokens = Vec::new();
        self.encode_piece(text, 0..text.len(), &mut tokens)?;
        Ok(tokens.iter().map(|token| token.id).collect())
    }

    /// Compares [`Vocabulary::encode`] with the tokenizer's own reading of the whole text.
    ///
    /// # Errors
    /// When they differ. Only meaningful where contents hold no control-token text.
    pub(crate) fn check_pieces(&self, text: &str, contents: &[Range<usize>]) -> Result<(), FormatError> {
        let mut whole = (*self.tokenizer).clone();
        whole.set_encode_special_tokens(false);
        let encoding = encode(&whole, text)?;
        let pieces: Vec<u32> = self.encode(text, contents)?.iter().map(|token| token.id).collect();
        let whole = encoding.get_ids();
        if pieces == whole {
            return Ok(());
        }
        let same = pieces.iter().zip(whole).take_while(|(piece, whole)| piece == whole);
        Err(FormatError::PiecesDisagree { index: same.count() })
    }
}

/// Encodes without the post-processor.
fn encode(tokenizer: &Tokenizer, text: &str) -> Result<Encoding, FormatError> {
    let encoding = contained("encoding", || tokenizer.encode(text, false).map_err(|error| error.to_string()));
    encoding.map_err(|what| FormatError::Encode { what })
}

/// What the post-processor puts before a text.
fn prefix_ids(tokenizer: &Tokenizer) -> tokenizers::Result<Vec<u32>> {
    let bare = tokenizer.encode("a", false)?;
    let dressed = tokenizer.encode("a", true)?;
    let (bare, dressed) = (bare.get_ids(), dressed.get_ids());
    let at = dressed.windows(bare.len().max(1)).position(|window| window == bare);
    Ok(dressed[..at.unwrap_or(0)].to_vec())
}

fn controls(tokenizer: &Tokenizer) -> Vec<Control> {
    let added = tokenizer.get_added_tokens_decoder();
    let special = added.into_iter().filter(|(_, token)| token.special && !token.content.is_empty());
    let mut controls: Vec<Control> = special
        .map(|(id, token)| Control { id, text: token.content, strips_left: token.lstrip, strips_right: token.rstrip })
        .collect();
    controls.sort_by_key(|control| (std::cmp::Reverse(control.text.len()), control.id));
    controls
}
