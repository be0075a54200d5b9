//! Promises about the mask, checked on every example, apart from the code that makes it.

use std::ops::Range;

use crate::conversation::Role;
use crate::error::FormatError;
use crate::vocabulary::{Token, Vocabulary};

/// Template and tokenizer must not both write the beginning-of-sequence token.
pub(super) fn bos_is_single(ids: &[u32], bos_id: Option<u32>, vocabulary: &Vocabulary) -> Result<(), FormatError> {
    match (bos_id, ids) {
        (Some(bos), [first, second, ..]) if *first == bos && *second == bos => {
            Err(FormatError::BosDoubled { token: vocabulary.name_of(bos) })
        }
        _ => Ok(()),
    }
}

/// No learned token touches the text of a message that is not to be learned. `foreign` are such messages in order:
/// role, and bytes of the rendered text.
pub(super) fn nothing_else_is_learned(
    id: &str,
    foreign: impl Iterator<Item = (Role, Range<usize>)>,
    tokens: &[Token],
    mask: &[bool],
) -> Result<(), FormatError> {
    for (role, content) in foreign {
        let first = tokens.partition_point(|token| token.range.end <= content.start);
        let touching = tokens[first..].iter().take_while(|token| token.range.start < content.end);
        if let Some(offset) = touching.zip(&mask[first..]).position(|(_, is_target)| *is_target) {
            return Err(FormatError::ForeignSupervised { id: id.to_owned(), token_index: first + offset, role });
        }
    }
    Ok(())
}

/// The model learns to stop after each of its turns. `turn_ends` are pairs of message and token index.
pub(super) fn every_turn_end_is_learned(
    id: &str,
    mut turn_ends: impl Iterator<Item = (usize, usize)>,
    mask: &[bool],
) -> Result<(), FormatError> {
    match turn_ends.find(|(_, token_index)| !mask[*token_index]) {
        Some((index, _)) => Err(FormatError::EndOfTurnUnsupervised { id: id.to_owned(), index }),
        None => Ok(()),
    }
}

/// A sample without labels would divide by zero in the loss.
pub(super) fn something_is_learned(id: &str, mask: &[bool]) -> Result<(), FormatError> {
    if mask.contains(&true) { Ok(()) } else { Err(FormatError::NothingSupervised { id: id.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `uuAA.` : two tokens of user text, two of the assistant, the end of its turn.
    fn scene() -> Vec<Token> {
        (0..5).map(|at| Token { id: at as u32, range: at..at + 1, is_control: at == 4 }).collect()
    }

    #[test]
    fn a_learned_user_token_is_an_error() {
        let tokens = scene();
        let check = |mask: [bool; 5]| nothing_else_is_learned("x", [(Role::User, 0..2)].into_iter(), &tokens, &mask);
        assert!(check([false, false, true, true, true]).is_ok());
        let error = check([false, true, true, true, true]).unwrap_err();
        assert!(matches!(error, FormatError::ForeignSupervised { token_index: 1, role: Role::User, .. }), "{error}");
    }

    #[test]
    fn an_end_of_turn_that_is_not_learned_is_an_error() {
        let check = |mask: [bool; 5]| every_turn_end_is_learned("x", [(1, 4)].into_iter(), &mask);
        assert!(check([false, false, true, true, true]).is_ok());
        let error = check([false, false, true, true, false]).unwrap_err();
        assert!(matches!(error, FormatError::EndOfTurnUnsupervised { index: 1, .. }), "{error}");
    }

    #[test]
    fn a_mask_without_targets_is_an_error() {
        assert!(something_is_learned("x", &[false, true]).is_ok());
        assert!(something_is_learned("x", &[false, false]).is_err());
    }
}
