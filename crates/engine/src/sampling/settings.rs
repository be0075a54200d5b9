//! How one request chooses its tokens, what a choice is, and which settings are refused.

use codeact_grammar::GrammarError;

/// How one request chooses its tokens, and when it ends.
///
/// The steps, in this order: log-probabilities are read off the raw logits; repetition, frequency and presence
/// penalties; logit bias; what the constraint forbids; temperature; top-k; top-p; min-p; the draw.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// 0 takes the most likely token every time (greedy), as does everything below 0.00001; larger is more varied.
    pub temperature: f64,
    /// Choose among the `top_k` most likely tokens only.
    pub top_k: Option<usize>,
    /// Choose among the fewest tokens whose probabilities reach `top_p`, in `(0, 1]`.
    pub top_p: f64,
    /// Choose among tokens at least `min_p` times as likely as the likeliest, in `[0, 1]`; 0 is off.
    pub min_p: f64,
    /// Divides the positive and multiplies the negative logits of all tokens in the prompt and the answer, as in
    /// transformers; 1 is off.
    pub repetition_penalty: f64,
    /// Is subtracted from a logit once for each time the token is in the answer; 0 is off.
    pub frequency_penalty: f64,
    /// Is subtracted from the logit of each token that is in the answer; 0 is off.
    pub presence_penalty: f64,
    /// Is added to the logits of these tokens, each named once.
    pub logit_bias: Vec<(u32, f32)>,
    /// Give the log-probability of each chosen token, and of this many of the likeliest.
    pub logprobs: Option<usize>,
    /// The same seed and prompt give the same tokens.
    pub seed: u64,
    /// Tokens generated at most.
    pub max_new_tokens: usize,
    /// Tokens that end the answer. They are not part of it.
    pub stop_ids: Vec<u32>,
    /// `stop_ids` do not end the answer, which then has `max_new_tokens`. A constraint still ends it where it must.
    pub ignore_eos: bool,
}

/// Below this, a temperature means greedy: one f32 rounding of a logit would change a probability by more than a
/// fifth.
pub(super) const TEMPERATURE_MIN: f64 = 1e-5;

const LOGPROBS_MAX: usize = 20;
/// Twice what the server lets a request name: the ends of a turn come on top.
const STOP_IDS_MAX: usize = 512;

impl Default for Sampling {
    /// Greedy, at most 512 tokens, without stop tokens.
    fn default() -> Self {
        Sampling {
            temperature: 0.0,
            top_k: None,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            logit_bias: Vec::new(),
            logprobs: None,
            seed: 0,
            max_new_tokens: 512,
            stop_ids: Vec::new(),
            ignore_eos: false,
        }
    }
}

impl Sampling {
    /// Whether an engine whose model knows `vocab_size` tokens takes these settings.
    ///
    /// # Errors
    /// [`SamplingError::Refused`] when a value is out of its range; the message gives both.
    pub fn check(&self, vocab_size: usize) -> Result<(), SamplingError> {
        let within = |field, value: f64, is_within: bool, range| {
            if is_within { Ok(()) } else { refuse(field, value, range) }
        };
        let Sampling { temperature, top_p, min_p, .. } = *self;
        within("temperature", temperature, (0.0..=100.0).contains(&temperature), "from 0 to 100")?;
        within("top_p", top_p, top_p > 0.0 && top_p <= 1.0, "above 0, at most 1")?;
        within("min_p", min_p, (0.0..=1.0).contains(&min_p), "from 0 to 1")?;
        let penalty = self.repetition_penalty;
        within("repetition_penalty", penalty, (0.01..=100.0).contains(&penalty), "from 0.01 to 100")?;
        let penalty = self.frequency_penalty;
        within("frequency_penalty", penalty, (-2.0..=2.0).contains(&penalty), "from -2 to 2")?;
        let penalty = self.presence_penalty;
        within("presence_penalty", penalty, (-2.0..=2.0).contains(&penalty), "from -2 to 2")?;
        if self.top_k == Some(0) {
            return refuse("top_k", 0, "at least 1");
        }
        if self.max_new_tokens == 0 {
            return refuse("max_new_tokens", 0, "at least 1");
        }
        if let Some(count) = self.logprobs.filter(|&count| count > LOGPROBS_MAX) {
            return refuse("logprobs", count, "at most 20");
        }
        if self.stop_ids.len() > STOP_IDS_MAX {
            return refuse("stop_ids", format!("{} tokens", self.stop_ids.len()), "at most 512 tokens");
        }
        self.check_bias(vocab_size)
    }

    fn check_bias(&self, vocab_size: usize) -> Result<(), SamplingError> {
        for &(id, bias) in &self.logit_bias {
            if id as usize >= vocab_size {
                return refuse("logit_bias", format!("for token {id}"), "for tokens of the vocabulary");
            }
            if !(-100.0..=100.0).contains(&bias) {
                return refuse("logit_bias", bias, "from -100 to 100");
            }
        }
        let mut ids: Vec<u32> = self.logit_bias.iter().map(|&(id, _)| id).collect();
        ids.sort_unstable();
        match ids.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => refuse("logit_bias", format!("given twice for token {}", pair[0]), "given once for a token"),
            None => Ok(()),
        }
    }

    /// Whether the most likely token is taken every time.
    pub(super) fn is_greedy(&self) -> bool {
        self.temperature < TEMPERATURE_MIN || self.top_k == Some(1)
    }
}

fn refuse(field: &'static str, value: impl ToString, range: &'static str) -> Result<(), SamplingError> {
    Err(SamplingError::Refused { field, value: value.to_string(), range })
}

/// One chosen token.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// Its id.
    pub id: u32,
    /// There if [`Sampling::logprobs`] asks for it.
    pub logprobs: Option<TokenLogprobs>,
}

/// Natural logarithms of probabilities, of the model as it is: before penalties, bias, constraint and temperature.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprobs {
    /// Of the token itself; minus infinity where the model rules it out.
    pub logprob: f32,
    /// The likeliest tokens, likeliest first, equal ones by id. Only finite ones, so there may be fewer than asked.
    pub top: Vec<(u32, f32)>,
}

/// Why there is no next token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SamplingError {
    /// A setting is out of range.
    #[error("`{field}` is {value}; it must be {range}")]
    Refused {
        /// The setting.
        field: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        range: &'static str,
    },
    /// The model gave numbers that are none.
    #[error("the model gave no finite logits for the token at position {position}")]
    NotFinite {
        /// Index of the token that was to be chosen.
        position: usize,
    },
    /// The constraint cannot go on.
    #[error(transparent)]
    Constraint(#[from] GrammarError),
}
