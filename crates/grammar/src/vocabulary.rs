//! The tokens of a model as bytes, in the orders that matching needs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use llguidance::ParserFactory;
use llguidance::api::ParserLimits;
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, SimpleVob, TokEnv, TokRxInfo, TokTrie};

use crate::action::{ActionRule, ActionTable};
use crate::error::GrammarError;

/// Larger vocabularies do not fit the token trie.
const TOKENS_MAX: usize = 1 << 20;

/// Longer tokens are never allowed: the token trie takes no more than 1,024 bytes.
const TOKEN_BYTES_MAX: usize = 1000;

/// Memory of the lexer's states, at up to 2 KiB each.
const LEXER_STATES_MAX: usize = 20_000;

/// The tokens of one model, shared by all grammars and answers.
pub struct Vocabulary {
    size: usize,
    end_ids: Vec<u32>,
    /// All tokens that stand for text, by their bytes.
    sorted: Vec<Spelled>,
    /// For each id its place in `sorted`; beyond its end for ids without text.
    places: Vec<u32>,
    /// Tokens with text, and end tokens.
    usable: SimpleVob,
    factory: ParserFactory,
    tables: Mutex<BTreeMap<ActionRule, Arc<ActionTable>>>,
}

/// A token, and how it relates to the one before it.
struct Spelled {
    id: u32,
    bytes: Box<[u8]>,
    /// Bytes that it begins with as the token before it does.
    shared: usize,
}

impl Vocabulary {
    /// Takes, for each id, the bytes it adds to an answer; `None` for control tokens and for ids that stand for no
    /// text, which no grammar allows. `end_ids` are the tokens that end an answer; a grammar allows them where it may end.
    ///
    /// # Errors
    /// When an end token is beyond the vocabulary, or there are too many tokens.
    pub fn new(token_bytes: &[Option<Vec<u8>>], end_ids: &[u32]) -> Result<Arc<Vocabulary>, GrammarError> {
        let size = token_bytes.len();
        let unusable = |what: String| GrammarError::Vocabulary { what };
        if size == 0 || size > TOKENS_MAX {
            return Err(unusable(format!("it has {size} tokens, not 1 to {TOKENS_MAX}")));
        }
        if let Some(id) = end_ids.iter().find(|id| **id as usize >= size) {
            return Err(unusable(format!("end token {id} is not one of its {size} tokens")));
        }
        let is_text = |(id, bytes): &(u32, &[u8])| {
            // A byte of 255 begins no UTF-8, and marks control tokens in the token trie.
            !bytes.is_empty() && bytes.len() <= TOKEN_BYTES_MAX && bytes[0] != 0xFF && !end_ids.contains(id)
        };
        let all = (0u32..).zip(token_bytes).filter_map(|(id, bytes)| Some((id, bytes.as_deref()?)));
        let spelled: Vec<(u32, &[u8])> = all.filter(is_text).collect();
        let factory = factory(size, &spelled, end_ids).map_err(|error| unusable(error.to_string()))?;
        let sorted = sorted(spelled);
        let mut places = vec![u32::MAX; size];
        for (place, token) in (0u32..).zip(&sorted) {
            places[token.id as usize] = place;
        }
        let mut usable = SimpleVob::alloc(size);
        sorted.iter().map(|token| &token.id).chain(end_ids).for_each(|&id| usable.allow_token(id));
        let (end_ids, tables) = (end_ids.to_vec(), Mutex::new(BTreeMap::new()));
        Ok(Arc::new(Vocabulary { size, end_ids, sorted, places, usable, factory, tables }))
    }

    /// Ids, those without text included.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Tokens that end an answer.
    pub fn end_ids(&self) -> &[u32] {
        &self.end_ids
    }

    pub(crate) fn factory(&self) -> &ParserFactory {
        &self.factory
    }

    pub(crate) fn usable(&self) -> &SimpleVob {
        &self.usable
    }

    /// Words of 32 bits that hold one bit for each id.
    pub(crate) fn mask_words(&self) -> usize {
        self.size.div_ceil(32)
    }

    /// The bytes of a token; `None` if it stands for no text.
    pub(crate) fn bytes(&self, id: u32) -> Option<&[u8]> {
        let place = *self.places.get(id as usize)?;
        self.sorted.get(place as usize).map(|token| &*token.bytes)
    }

    /// The tables of an action rule, made when first asked for.
    pub(crate) fn action_table(&self, rule: ActionRule) -> Arc<ActionTable> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tables.entry(rule).or_insert_with(|| Arc::new(ActionTable::new(self, rule))))
    }

    /// Runs all tokens through an automaton. `step` gives the state after a byte, `None` where the byte is not allowed;
    /// `on_token` gets each token that is allowed whole, with the state after it.
    pub(crate) fn walk(&self, start: u8, step: impl Fn(u8, u8) -> Option<u8>, mut on_token: impl FnMut(u32, u8)) {
        // The states after the first bytes of the current token, as far as they are allowed.
        let mut states = vec![start];
        for token in &self.sorted {
            states.truncate(token.shared + 1);
            if states.len() <= token.shared {
                continue;
            }
            for &byte in &token.bytes[token.shared..] {
                let Some(next) = states.last().and_then(|&state| step(state, byte)) else {
                    break;
                };
                states.push(next);
            }
            if states.len() == token.bytes.len() + 1
                && let Some(&state) = states.last()
            {
                on_token(token.id, state);
            }
        }
    }
}

impl fmt::Debug for Vocabulary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Vocabulary { size, end_ids, .. } = self;
        formatter.debug_struct("Vocabulary").field("size", size).field("end_ids", end_ids).finish_non_exhaustive()
    }
}

fn sorted(mut spelled: Vec<(u32, &[u8])>) -> Vec<Spelled> {
    spelled.sort_unstable_by_key(|(id, bytes)| (*bytes, *id));
    let mut before: &[u8] = &[];
    let relate = |(id, bytes)| {
        let shared = bytes_in_common(before, bytes);
        before = bytes;
        Spelled { id, bytes: bytes.into(), shared }
    };
    spelled.into_iter().map(relate).collect()
}

fn bytes_in_common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// What `llguidance` shares between all its grammars of one vocabulary.
fn factory(size: usize, spelled: &[(u32, &[u8])], end_ids: &[u32]) -> Result<ParserFactory, impl fmt::Display> {
    let mut words = vec![Vec::new(); size];
    for (id, bytes) in spelled {
        words[*id as usize] = bytes.to_vec();
    }
    let first_end = end_ids.first().copied().unwrap_or(llguidance::toktrie::INVALID_TOKEN);
    let mut trie = TokTrie::from(&TokRxInfo::new(size as u32, first_end), &words);
    if !end_ids.is_empty() {
        trie = trie.with_eos_tokens(end_ids);
    }
    // How a text is usually cut into tokens is left to the model: nothing is forced.
    let tokens: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
    let slices = llguidance::earley::SlicedBiasComputer::general_slices();
    ParserFactory::new(&tokens, InferenceCapabilities::default(), &slices).map(|mut factory| {
        *factory.limits_mut() =
            ParserLimits { max_lexer_states: LEXER_STATES_MAX, verbose_errors: false, ..ParserLimits::default() };
        factory.quiet();
        factory
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_meets_every_allowed_token_once() {
        let words = ["b", "a", "ab", "abc", "abd", "", "ba", "a"];
        let tokens: Vec<Option<Vec<u8>>> = words.map(|word| Some(word.as_bytes().to_vec())).to_vec();
        let vocabulary = Vocabulary::new(&tokens, &[]).unwrap();
        // Counts bytes, and stops before a `c`.
        let mut met = Vec::new();
        vocabulary.walk(0, |state, byte| (byte != b'c').then_some(state + 1), |id, state| met.push((id, state)));
        met.sort_unstable();
        assert_eq!(met, [(0, 1), (1, 1), (2, 2), (4, 3), (6, 2), (7, 1)]);
    }

    #[test]
    fn unusable_tokens_are_refused_or_never_allowed() {
        assert!(Vocabulary::new(&[], &[]).is_err());
        let error = Vocabulary::new(&[Some(vec![b'a'])], &[1]).unwrap_err().to_string();
        assert!(error.contains("end token 1"), "{error}");
        let odd = [Some(vec![0xFF, b'a']), Some(vec![b'x'; 5000]), None, Some(Vec::new()), Some(vec![b'a'])];
        let vocabulary = Vocabulary::new(&odd, &[4]).unwrap();
        let mut met = 0;
        vocabulary.walk(0, |_, _| Some(0), |_, _| met += 1);
        assert_eq!(met, 0);
    }
}
