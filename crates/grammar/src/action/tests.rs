//! Replies, token by token, in a small vocabulary.

use super::*;
use crate::{Allowed, Grammar, Matcher};

/// 256 bytes, a few words, and an end token.
fn vocabulary() -> Arc<Vocabulary> {
    let mut tokens: Vec<Option<Vec<u8>>> = (0..=255u8).map(|byte| Some(vec![byte])).collect();
    let words = ["<execute>", "</", "execute", ">\n", "x</execute", "é", "語>", " the", "<ex", "ecute>", "<solution"];
    tokens.extend(words.map(|word| Some(word.as_bytes().to_vec())));
    tokens.push(None);
    let end = tokens.len() as u32 - 1;
    Vocabulary::new(&tokens, &[end]).unwrap()
}

fn matcher(vocabulary: &Arc<Vocabulary>, rule: ActionRule) -> Matcher {
    Grammar::action(rule).unwrap().matcher(vocabulary).unwrap()
}

const OPTIONAL: ActionRule = ActionRule { execute: true, solution: true, is_required: false };
const REQUIRED: ActionRule = ActionRule { is_required: true, ..OPTIONAL };

/// The fewest tokens, found by trying everything, one token more in each round.
fn fewest_tokens(start: &Matcher, size: u32, most: usize) -> usize {
    let mut matchers = vec![start.clone()];
    for count in 0..=most {
        if matchers.iter_mut().any(|matcher| matcher.is_complete().unwrap()) {
            return count;
        }
        let mut next = Vec::new();
        for matcher in &matchers {
            for id in (0..size).filter(|id| matcher.clone().allows(*id, usize::MAX).unwrap()) {
                let mut after = matcher.clone();
                after.accept(id).unwrap();
                // Whatever cannot come nearer is not followed.
                if after.closing_tokens() < matcher.closing_tokens() {
                    next.push(after);
                }
            }
        }
        matchers = next;
    }
    panic!("more than {most}");
}

#[test]
fn the_masks_are_what_each_token_alone_says() {
    let vocabulary = vocabulary();
    let mut seed = 5u64;
    for rule in [OPTIONAL, REQUIRED, ActionRule { solution: false, ..OPTIONAL }] {
        for round in 0..40 {
            let mut matcher = matcher(&vocabulary, rule);
            for left in (1..30 + round).rev() {
                if matcher.is_done() || matcher.closing_tokens().unwrap() > left {
                    break;
                }
                let alone: Vec<u32> = (0..vocabulary.size() as u32 + 40)
                    .filter(|id| matcher.clone().allows(*id, left).unwrap())
                    .collect();
                let allowed = matcher.allowed_within(left).unwrap();
                let together: Vec<u32> = (0..vocabulary.size() as u32 + 40).filter(|id| allowed.has(*id)).collect();
                assert_eq!(alone, together, "{left} left");
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // Often a long token, so that replies get somewhere.
                let at = (seed >> 40) as usize % together.len();
                let at = if seed >> 33 & 1 == 0 { together.len() - 1 - at % together.len().min(9) } else { at };
                matcher.accept(together[at]).unwrap();
            }
        }
    }
}

#[test]
fn closing_tokens_are_the_fewest() {
    let vocabulary = vocabulary();
    let size = vocabulary.size() as u32;
    let spell = |matcher: &mut Matcher, text: &str| {
        text.bytes().for_each(|byte| matcher.accept(u32::from(byte)).unwrap());
    };
    // `<execute>`, `x</execute`, `>`.
    let start = matcher(&vocabulary, REQUIRED);
    assert_eq!(start.closing_tokens(), Some(3));
    for text in ["", "a", "<", "<execute", "<execute>x</", "<solution>", "<execute>\u{e9}"] {
        let mut matcher = matcher(&vocabulary, REQUIRED);
        spell(&mut matcher, text);
        assert_eq!(matcher.closing_tokens(), Some(fewest_tokens(&matcher, size, 12)), "{text}");
    }
    assert_eq!(matcher(&vocabulary, OPTIONAL).closing_tokens(), Some(0));
}

#[test]
fn closing_is_forced_when_room_runs_out() {
    let vocabulary = vocabulary();
    for room in 3..20 {
        let mut matcher = matcher(&vocabulary, REQUIRED);
        let mut reply = Vec::new();
        // A model that would go on for ever: the smallest id, which is a control character, whenever it may.
        for left in (1..=room).rev() {
            let allowed = matcher.allowed_within(left).unwrap();
            let id = (0..vocabulary.size() as u32).find(|id| allowed.has(*id)).unwrap();
            matcher.accept(id).unwrap();
            reply.extend_from_slice(vocabulary.bytes(id).unwrap());
            if matcher.is_done() {
                break;
            }
        }
        assert!(matcher.is_done(), "{room}: {}", String::from_utf8_lossy(&reply));
        let reply = String::from_utf8(reply).unwrap();
        assert!(reply.ends_with("</execute>") || reply.ends_with("</solution>"), "{reply}");
    }
    let mut matcher = matcher(&vocabulary, REQUIRED);
    let error = matcher.allowed_within(2).unwrap_err();
    assert_eq!(error, GrammarError::NoRoom { needed: 3, left: 2 });
}

#[test]
fn a_finished_reply_only_allows_its_end() {
    let vocabulary = vocabulary();
    let end = vocabulary.end_ids()[0];
    let mut reply = matcher(&vocabulary, REQUIRED);
    assert_eq!(reply.accept(end).unwrap_err(), GrammarError::NotAllowed { id: end, tokens: 0 });
    "<solution>4</solution>".bytes().for_each(|byte| reply.accept(u32::from(byte)).unwrap());
    assert!(reply.is_done());
    let allowed = reply.allowed().unwrap();
    assert_eq!((0..vocabulary.size() as u32).filter(|id| allowed.has(*id)).collect::<Vec<u32>>(), [end]);
    assert!(reply.accept(u32::from(b' ')).is_err());
    reply.accept(end).unwrap();
    let mut text = matcher(&vocabulary, OPTIONAL);
    text.accept(u32::from(b'a')).unwrap();
    assert!(!text.is_done() && text.is_complete().unwrap());
    text.accept(end).unwrap();
    assert!(text.is_done() && text.accept(u32::from(b'a')).is_err());
}

#[test]
fn rules_and_vocabularies_that_cannot_work_are_refused() {
    let nothing = ActionRule { execute: false, solution: false, is_required: true };
    assert!(Grammar::action(nothing).is_err());
    let letters: Vec<Option<Vec<u8>>> = (b'a'..=b'z').map(|letter| Some(vec![letter])).collect();
    let vocabulary = Vocabulary::new(&letters, &[]).unwrap();
    assert!(matches!(Grammar::action(REQUIRED).unwrap().matcher(&vocabulary), Err(GrammarError::Vocabulary { .. })));
    // Without tags there is only text.
    let mut text = matcher(&vocabulary, OPTIONAL);
    assert!(matches!(text.allowed().unwrap(), Allowed::Only(words) if words[0] == (1 << 26) - 1));
}
