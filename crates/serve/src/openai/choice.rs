//! One answer while it grows: tokens in, text with its log-probabilities out, until it ends.

use std::collections::VecDeque;
use std::sync::Arc;

use codeact_chat::{StopWatch, TokenStream};
use codeact_engine::{Event, FinishReason, Token, TokenLogprobs};

use crate::ApiError;
use crate::error::ErrorKind;
use crate::models::Words;
use crate::openai::prompt::Prompt;

/// A token with how likely it was.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub id: u32,
    /// `None` for the first token of a prompt.
    pub logprobs: Option<TokenLogprobs>,
    /// Characters of the answer before it.
    pub offset: usize,
}

/// What is new in an answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Piece {
    pub text: String,
    pub entries: Vec<Entry>,
    /// There when this is the last piece.
    pub end: Option<End>,
}

/// How an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    /// As OpenAI's API calls it.
    pub reason: &'static str,
    /// Which of the stop strings it was.
    pub stop_index: Option<usize>,
}

/// One answer while it grows.
pub(crate) struct Choice {
    words: Arc<Words>,
    stream: TokenStream,
    watch: StopWatch,
    /// Bytes that went into `watch`, and that came out of it.
    bytes_in: usize,
    bytes_out: usize,
    /// Characters that went into `watch`, those of an echoed prompt included.
    chars_in: usize,
    /// Tokens whose text is held back, each with the byte at which it begins.
    held: VecDeque<(usize, Entry)>,
    /// Which stop string is part of the text, and what it is.
    kept_stop: Option<(usize, &'static str)>,
    is_started: bool,
    is_ended: bool,
    pub token_count: usize,
    pub cached_tokens: usize,
}

impl Choice {
    /// * `words`: of the model that answers.
    /// * `stream`: decodes what follows the prompt.
    /// * `watch`: looks for the stop strings.
    pub fn new(words: Arc<Words>, stream: TokenStream, watch: StopWatch) -> Choice {
        Choice {
            words,
            stream,
            watch,
            bytes_in: 0,
            bytes_out: 0,
            chars_in: 0,
            held: VecDeque::new(),
            kept_stop: None,
            is_started: false,
            is_ended: false,
            token_count: 0,
            cached_tokens: 0,
        }
    }

    /// The same, but the stop string of this index is part of the text, which does not have it otherwise.
    pub fn with_kept_stop(self, kept_stop: Option<(usize, &'static str)>) -> Choice {
        Choice { kept_stop, ..self }
    }

    /// Whether the last piece was given out.
    pub fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Takes what the engine says. `echo`: the prompt, if it is the beginning of the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn take(&mut self, event: Event, echo: Option<&Prompt>) -> Result<Option<Piece>, ApiError> {
        if self.is_ended {
            return Ok(None);
        }
        match event {
            Event::Started { cached_tokens, prompt_logprobs } => {
                self.is_started = true;
                self.cached_tokens = cached_tokens;
                Ok(Some(echo.map_or_else(Piece::default, |prompt| self.repeat(prompt, prompt_logprobs))))
            }
            Event::Token(token) => Ok(self.grow(token)),
            Event::Embedding(_) => Ok(None),
            // It never got to run.
            Event::Done(finished) if finished.finish == FinishReason::Deadline && !self.is_started => {
                let message = "the time for this request was over before it could begin\nhint: try again later, or give it more time";
                Err(ApiError::new(ErrorKind::Deadline, message))
            }
            Event::Done(finished) => Ok(Some(self.end(finished.finish))),
            Event::Failed(error) => Err(error.into()),
        }
    }

    fn repeat(&mut self, prompt: &Prompt, logprobs: Option<Vec<Option<TokenLogprobs>>>) -> Piece {
        self.chars_in = prompt.text.chars().count();
        let entries = logprobs.unwrap_or_default().into_iter().zip(&prompt.tokens);
        // Tokens begin one after the other, so that characters are counted once.
        let (mut start, mut offset) = (0, 0);
        let entries = entries.map(|(logprobs, token)| {
            offset += prompt.text.get(start..token.range.start).map_or(0, |between| between.chars().count());
            start = token.range.start;
            Entry { id: token.id, logprobs, offset }
        });
        Piece { text: prompt.text.clone(), entries: entries.collect(), end: None }
    }

    fn grow(&mut self, token: Token) -> Option<Piece> {
        self.token_count += 1;
        if token.logprobs.is_some() {
            let entry = Entry { id: token.id, logprobs: token.logprobs, offset: self.chars_in };
            self.held.push_back((self.bytes_in, entry));
        }
        let text = self.stream.push(token.id)?;
        self.place_last(token.id, &text);
        let mut piece = Piece { text: self.feed(&text), ..Piece::default() };
        if let Some(stop_index) = self.watch.stopped_by() {
            piece.text.push_str(self.kept(stop_index));
            piece.end = Some(self.stop(stop_index));
        }
        piece.entries = self.release();
        (piece != Piece::default()).then_some(piece)
    }

    /// Tokens that gave no text by themselves all begin where the text of their group does; but the last of them may be
    /// text of its own, behind bytes that never became a character.
    fn place_last(&mut self, id: u32, text: &str) {
        let Some((start, entry)) = self.held.back_mut() else { return };
        let own = self.words.bytes(id);
        let is_own = str::from_utf8(&own).is_ok_and(|own| !own.is_empty() && text.ends_with(own));
        if is_own {
            let before = &text[..text.len() - own.len()];
            *start = self.bytes_in + before.len();
            entry.offset = self.chars_in + before.chars().count();
        }
    }

    fn end(&mut self, finish: FinishReason) -> Piece {
        let rest = self.stream.clone().finish();
        let mut text = self.feed(&rest);
        let end = match self.watch.stopped_by() {
            Some(stop_index) => {
                text.push_str(self.kept(stop_index));
                self.stop(stop_index)
            }
            None => {
                let held = self.watch.finish();
                self.bytes_out += held.len();
                text.push_str(&held);
                self.is_ended = true;
                End { reason: reason(finish), stop_index: None }
            }
        };
        // Without a stop string also tokens that gave no text are part of the answer.
        let entries = if end.stop_index.is_some() {
            self.release()
        } else {
            self.held.drain(..).map(|(_, entry)| entry).collect()
        };
        Piece { text, entries, end: Some(end) }
    }

    fn feed(&mut self, text: &str) -> String {
        self.bytes_in += text.len();
        self.chars_in += text.chars().count();
        let out = self.watch.push(text);
        self.bytes_out += out.len();
        out
    }

    fn kept(&self, stop_index: usize) -> &'static str {
        self.kept_stop.filter(|(index, _)| *index == stop_index).map_or("", |(_, text)| text)
    }

    fn stop(&mut self, stop_index: usize) -> End {
        self.is_ended = true;
        End { reason: "stop", stop_index: Some(stop_index) }
    }

    /// The tokens whose text has begun to come out.
    fn release(&mut self) -> Vec<Entry> {
        let count = self.held.partition_point(|(start, _)| *start < self.bytes_out);
        self.held.drain(..count).map(|(_, entry)| entry).collect()
    }
}

fn reason(finish: FinishReason) -> &'static str {
    match finish {
        FinishReason::Stop | FinishReason::Cancelled => "stop",
        FinishReason::Length | FinishReason::Context | FinishReason::Deadline => "length",
    }
}
