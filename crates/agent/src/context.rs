//! Conversations that outgrow the context: the model is shown less of the oldest observations.
//!
//! The conversation itself keeps them whole, for people, exports, and models with a larger context.

use codeact_chat::{Message, Role};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

/// Characters of an observation that are shown, in the order in which they are tried on all of them.
const KEPT_CHARS: [usize; 3] = [400, 80, 0];

/// Which observations the model is shown less of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shortened {
    /// Where in a message the output of code stands, by the index of the message.
    outputs: BTreeMap<usize, Range<usize>>,
    /// How much is shown of it, as an index of [`KEPT_CHARS`].
    levels: BTreeMap<usize, usize>,
}

impl Shortened {
    /// Remember where the output of code stands.
    pub fn remember(&mut self, message: usize, output: Range<usize>) {
        self.outputs.insert(message, output);
    }

    /// Remember the observations of a conversation that came from elsewhere: the user's messages for which `output`
    /// finds some.
    pub fn learn(&mut self, messages: &[Message], output: impl Fn(&str) -> Option<Range<usize>>) {
        for (index, message) in messages.iter().enumerate().filter(|(_, message)| message.role == Role::User) {
            if let Some(range) = output(&message.content) {
                self.outputs.entry(index).or_insert(range);
            }
        }
    }

    /// Messages from `index` on are gone or become others.
    pub fn forget_from(&mut self, index: usize) {
        self.outputs.split_off(&index);
        self.levels.split_off(&index);
    }

    /// The conversation as the model is shown it.
    pub fn view<'a>(&self, messages: &'a [Message]) -> Cow<'a, [Message]> {
        if self.levels.is_empty() {
            return Cow::Borrowed(messages);
        }
        let mut shown = messages.to_vec();
        for (index, level) in &self.levels {
            let (Some(message), Some(output)) = (shown.get_mut(*index), self.outputs.get(index)) else { continue };
            if let Some(text) = message.content.get(output.clone()) {
                let short = shortened(text, KEPT_CHARS[*level]);
                message.content.replace_range(output.clone(), &short);
            }
        }
        Cow::Owned(shown)
    }

    /// Show less of the oldest observation that still can be shortened; of the newest one only when all others are as
    /// short as they can be. Gives its message and how many characters that saves; `None`: nothing can be.
    pub fn shorten_one(&mut self, messages: &[Message]) -> Option<(usize, usize)> {
        let (newest, old) = self.outputs.keys().next_back().map(|newest| (*newest, self.outputs.range(..*newest)))?;
        let old: Vec<usize> = old.map(|(index, _)| *index).collect();
        let levels = 0..KEPT_CHARS.len();
        let of_old = levels.clone().flat_map(|level| old.iter().map(move |index| (*index, level)));
        let tries: Vec<(usize, usize)> = of_old.chain(levels.map(|level| (newest, level))).collect();
        tries.into_iter().find_map(|(index, level)| {
            let saved = self.saving(messages, index, level)?;
            self.levels.insert(index, level);
            Some((index, saved))
        })
    }

    /// How many characters fewer are shown of an observation at `level` than now, if that is any.
    fn saving(&self, messages: &[Message], index: usize, level: usize) -> Option<usize> {
        let now = self.levels.get(&index);
        if now.is_some_and(|now| *now >= level) {
            return None;
        }
        let text = messages.get(index)?.content.get(self.outputs.get(&index)?.clone())?;
        let chars_now = now.map_or(text.chars().count(), |now| shortened(text, KEPT_CHARS[*now]).chars().count());
        chars_now.checked_sub(shortened(text, KEPT_CHARS[level]).chars().count()).filter(|saved| *saved > 0)
    }
}

/// The first and last half of `chars_max` characters around what says that something is missing.
fn shortened(text: &str, chars_max: usize) -> String {
    let chars_count = text.chars().count();
    if chars_count <= chars_max {
        return text.to_string();
    }
    let head_chars = chars_max.div_ceil(2);
    let head: String = text.chars().take(head_chars).collect();
    let tail: String = text.chars().skip(chars_count - (chars_max - head_chars)).collect();
    let marker =
        format!("[... {} characters of this old output are left out to save space ...]", chars_count - chars_max);
    [head.trim_end(), &marker, tail.trim_start()]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}
