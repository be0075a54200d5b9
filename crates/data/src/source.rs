//! What a user asks for: where rows lie, how they are written, which of them are taken, and how often.

use std::path::PathBuf;

pub use codeact_chat::Role;
use glob::Pattern;
use serde::{Serialize, Serializer};

use crate::plan::Share;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RowFormat {
    /// Found out by the first rows of each file.
    Auto,
    /// `{"conversations" | "messages": [{"role", "content"}]}`: CodeActInstruct and most others.
    Messages,
    /// `{"conversations": [{"from", "value"}]}`.
    ShareGpt,
    /// `{"instruction", "input", "output"}`.
    Alpaca,
    /// OpenAI's chat files: `{"messages": [{"role", "content", "weight"}]}`.
    OpenAi,
    /// Pairs of conversations: `{"chosen": [..], "rejected": [..]}`, each a list of messages, which a list `prompt` may
    /// begin for both; or `{"prompt", "chosen", "rejected"}` as texts. TRL's preference data.
    Preference,
}

/// What becomes of a row that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBadRow {
    /// The data is refused.
    Error,
    /// It is left out and counted by reason.
    Skip,
}

/// How much of a source is kept away from learning, to measure on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldOut {
    /// Nothing.
    None,
    /// So many conversations, drawn by the seed.
    Some(usize),
    /// Everything.
    All,
}

impl HeldOut {
    /// Whether nothing is held out.
    pub fn is_none(&self) -> bool {
        *self == HeldOut::None
    }
}

impl Serialize for HeldOut {
    /// `false`, a number, or `true`, as settings write it.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            HeldOut::None => serializer.serialize_bool(false),
            HeldOut::Some(count) => serializer.serialize_u64(*count as u64),
            HeldOut::All => serializer.serialize_bool(true),
        }
    }
}

/// Which conversations are taken. The default takes all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Ids that are taken: one of the patterns has to match, if there are any. `*` matches any text.
    pub ids: Vec<Pattern>,
    /// Ids that are not taken.
    pub not_ids: Vec<Pattern>,
    /// Least turns, the system message not counted.
    pub turns_min: Option<usize>,
    /// Most turns.
    pub turns_max: Option<usize>,
    /// Least tokens.
    pub tokens_min: Option<usize>,
    /// Most tokens.
    pub tokens_max: Option<usize>,
}

impl Filter {
    /// Whether a conversation of this id, so many turns and tokens is taken.
    pub fn takes(&self, id: &str, turns: usize, tokens: usize) -> bool {
        let within = |value: usize, min: Option<usize>, max: Option<usize>| {
            min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max)
        };
        (self.ids.is_empty() || self.ids.iter().any(|pattern| pattern.matches(id)))
            && !self.not_ids.iter().any(|pattern| pattern.matches(id))
            && within(turns, self.turns_min, self.turns_max)
            && within(tokens, self.tokens_min, self.tokens_max)
    }
}

/// One source of conversations.
#[derive(Debug, Clone)]
pub struct Source {
    /// As reports name it.
    pub name: String,
    /// Its files.
    pub files: Vec<PathBuf>,
    /// How they are written.
    pub format: RowFormat,
    /// What becomes of rows that cannot be used.
    pub on_bad_row: OnBadRow,
    /// Whose messages are learned. What a tool said is never learned, whatever its role.
    pub roles_to_train: Vec<Role>,
    /// Which conversations are taken.
    pub filter: Filter,
    /// Most conversations to learn from; beyond, they are drawn by the seed.
    pub max_samples: Option<usize>,
    /// How often they come up.
    pub share: Share,
    /// How many are measured instead of learned.
    pub held_out: HeldOut,
}
