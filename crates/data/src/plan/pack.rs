//! Packs: conversations that one forward and backward pass sees end to end, and that do not see each other.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Document;

/// Conversations of one forward and backward pass, by index into the documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pack {
    /// In order.
    pub documents: Vec<usize>,
    /// Tokens in all.
    pub token_count: usize,
    /// Supervised tokens in all.
    pub target_count: usize,
}

impl Pack {
    fn new() -> Pack {
        Pack { documents: Vec::new(), token_count: 0, target_count: 0 }
    }

    fn add(&mut self, index: usize, document: &Document) {
        self.documents.push(index);
        self.token_count += document.token_count;
        self.target_count += document.target_count;
    }

    /// The same conversations in the same order, in parts of at most `pass_tokens` tokens: conversations do not see each
    /// other, so the parts' gradients add up to that of the pack.
    pub fn passes(&self, documents: &[Document], pass_tokens: usize) -> Vec<Pack> {
        match self.token_count <= pass_tokens {
            true => vec![self.clone()],
            false => fill(documents, &self.documents, pass_tokens),
        }
    }
}

/// Takes documents in order and opens a new pack when the next one does not fit. There is no padding, so a pack that
/// is not full costs nothing.
///
/// # Panics
/// When a document alone does not fit.
pub fn fill(documents: &[Document], order: &[usize], pack_tokens: usize) -> Vec<Pack> {
    let mut packs: Vec<Pack> = Vec::new();
    for &index in order {
        let document = &documents[index];
        check(index, document, pack_tokens);
        if packs.last().is_none_or(|pack| pack.token_count + document.token_count > pack_tokens) {
            packs.push(Pack::new());
        }
        packs.last_mut().expect("one was just opened").add(index, document);
    }
    packs
}

/// Longest first, each into the fullest pack that has room for it: best-fit decreasing (Johnson 1973), which needs at
/// most 11/9 of the fewest packs there are, and in data with short conversations nearly none more. Equally long documents
/// keep their order, and of equally full packs the newest is taken.
pub(super) fn best_fit(documents: &[Document], order: &[usize], pack_tokens: usize) -> Vec<Pack> {
    let mut longest_first = order.to_vec();
    longest_first.sort_by_key(|index| std::cmp::Reverse(documents[*index].token_count));
    let mut packs: Vec<Pack> = Vec::new();
    // Packs by the room that is left in them.
    let mut by_room: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for index in longest_first {
        let document = &documents[index];
        check(index, document, pack_tokens);
        let room = by_room.range(document.token_count..).next().map(|(room, _)| *room);
        let pack = match room {
            None => {
                packs.push(Pack::new());
                packs.len() - 1
            }
            Some(room) => {
                let fitting = by_room.get_mut(&room).expect("it was just found");
                let pack = fitting.pop().expect("no list stays empty");
                if fitting.is_empty() {
                    by_room.remove(&room);
                }
                pack
            }
        };
        packs[pack].add(index, document);
        by_room.entry(pack_tokens - packs[pack].token_count).or_default().push(pack);
    }
    packs
}

fn check(index: usize, document: &Document, pack_tokens: usize) {
    let count = document.token_count;
    assert!(count <= pack_tokens, "document {index} has {count} tokens, a pack {pack_tokens}");
}
