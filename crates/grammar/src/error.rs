//! Why a grammar cannot be used, or an answer cannot go on.

/// Errors of [`Grammar`](crate::Grammar), [`Vocabulary`](crate::Vocabulary) and [`Matcher`](crate::Matcher).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrammarError {
    /// The tokens cannot be used.
    #[error("the vocabulary cannot be used for grammars: {what}")]
    Vocabulary {
        /// Why.
        what: String,
    },
    /// More than this server works on.
    #[error("the {kind} has {size} {unit}; it may have {most}")]
    TooLarge {
        /// `JSON schema`, `regular expression` or `Lark grammar`.
        kind: &'static str,
        /// How much there is.
        size: usize,
        /// Of what.
        unit: &'static str,
        /// The bound.
        most: usize,
    },
    /// The grammar is wrong, not supported, or too complex.
    #[error("the {kind} cannot be used: {what}\nhint: {hint}")]
    Unusable {
        /// `JSON schema`, `regular expression`, `Lark grammar` or `action rule`.
        kind: &'static str,
        /// What is wrong, and where.
        what: String,
        /// A way out.
        hint: &'static str,
    },
    /// Making the grammar ready takes too long.
    #[error("the {kind} takes longer than {seconds} s to make ready\nhint: make it smaller; combine fewer conditions")]
    TooSlow {
        /// As above.
        kind: &'static str,
        /// The bound.
        seconds: u64,
    },
    /// As many grammars as may be are being made ready already.
    #[error("{running} grammars are being made ready already\nhint: try again later")]
    Busy {
        /// The bound.
        running: usize,
    },
    /// The answer got into a state that takes more work than a token may.
    #[error("the grammar became too complex after {tokens} tokens: {what}")]
    TooComplex {
        /// Tokens of the answer so far.
        tokens: usize,
        /// What the parser said.
        what: String,
    },
    /// The token is not one of those that were allowed.
    #[error("token {id} is not allowed by the grammar after {tokens} tokens")]
    NotAllowed {
        /// The token.
        id: u32,
        /// Tokens of the answer so far.
        tokens: usize,
    },
    /// The answer cannot be ended in time.
    #[error("the grammar needs at least {needed} tokens; {left} are left")]
    NoRoom {
        /// The fewest tokens that end the answer.
        needed: usize,
        /// What there is.
        left: usize,
    },
}
