//! Which of the attempts at one task are kept: no two alike, the shortest first, then the most different.
//!
//! Many right ways of one task teach more than one way said many times, and one that the model takes anyway needs no
//! second copy (Yuan et al., "Scaling relationship on learning mathematical reasoning", arXiv 2308.01825, deduplicate by
//! the equations). The first is the shortest, because a detour that was not needed is not worth learning.

use std::collections::BTreeSet;

use codeact_chat::{Message, Role};
use sha2::{Digest, Sha256};

/// What two attempts at the same task have in common when they are the same: prompt and code without case, blanks and
/// what is said around the code.
pub fn key(messages: &[Message]) -> String {
    let mut hash = Sha256::new();
    let prompt = messages.iter().find(|message| message.role == Role::User);
    hash.update(normal(prompt.map_or("", |message| message.content.as_str())));
    for said in spoken(messages) {
        hash.update([0]);
        hash.update(normal(action(said)));
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The order in which the attempts at a task are taken: by index, the shortest first, then always the one that has least
/// in common with those before it. Of equals the first.
///
/// * `attempts`: the conversations; failed actions weigh most, then replies, then characters.
pub fn order(attempts: &[(&[Message], usize)]) -> Vec<usize> {
    let words: Vec<BTreeSet<String>> = attempts.iter().map(|(messages, _)| words(messages)).collect();
    let length = |index: usize| {
        let (messages, failed) = attempts[index];
        let characters: usize = spoken(messages).map(str::len).sum();
        (failed, spoken(messages).count(), characters, index)
    };
    let mut left: Vec<usize> = (0..attempts.len()).collect();
    left.sort_by_key(|&index| length(index));
    let mut taken: Vec<usize> = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let likeness = |index: usize| {
            let likest = taken.iter().map(|&other| likeness(&words[index], &words[other]));
            likest.fold(0.0, f64::max)
        };
        let next = (0..left.len()).min_by(|&one, &other| likeness(left[one]).total_cmp(&likeness(left[other])));
        taken.push(left.remove(next.unwrap_or(0)));
    }
    taken
}

/// Replies of the model.
fn spoken(messages: &[Message]) -> impl Iterator<Item = &str> {
    messages.iter().filter(|message| message.role == Role::Assistant).map(|message| message.content.as_str())
}

/// The action of a reply, or all of it where there is none: how the thought before it is worded does not make it another.
fn action(reply: &str) -> &str {
    let marks = ["<execute>", "<solution>", "Action:"];
    marks.into_iter().filter_map(|mark| reply.find(mark)).min().map_or(reply, |start| &reply[start..])
}

/// Without case and blanks; lines stay apart, because they mean something in Python.
fn normal(text: &str) -> String {
    let lines = text.lines().map(|line| line.split_whitespace().collect::<String>().to_lowercase());
    lines.filter(|line| !line.is_empty()).collect::<Vec<String>>().join("\n")
}

/// Words and signs of all actions.
fn words(messages: &[Message]) -> BTreeSet<String> {
    let text: String = spoken(messages).map(action).collect::<Vec<&str>>().join(" ").to_lowercase();
    let mut found = BTreeSet::new();
    let mut word = String::new();
    for character in text.chars().chain([' ']) {
        if character.is_alphanumeric() || character == '_' {
            word.push(character);
            continue;
        }
        if !word.is_empty() {
            found.insert(std::mem::take(&mut word));
        }
        if !character.is_whitespace() {
            found.insert(character.to_string());
        }
    }
    found
}

/// Jaccard's: what both have, of what either has.
fn likeness(one: &BTreeSet<String>, other: &BTreeSet<String>) -> f64 {
    let all = one.union(other).count();
    if all == 0 { 1.0 } else { one.intersection(other).count() as f64 / all as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation(replies: &[&str]) -> Vec<Message> {
        let mut messages = vec![Message::system("s"), Message::user("How many?")];
        for reply in replies {
            messages.extend([Message::assistant(*reply), Message::user("Observation:\n5")]);
        }
        messages.pop();
        messages
    }

    #[test]
    fn words_around_the_code_and_blanks_make_no_difference() {
        let one = conversation(&["I add.\n<execute>\nprint(2 + 3)\n</execute>", "So <solution>5</solution>"]);
        let same = conversation(&["Let me see: <execute>\n\nprint(2+3)\n</execute>", "<solution> 5</solution>"]);
        let other = conversation(&["I add.\n<execute>\nprint(3 + 2)\n</execute>", "So <solution>5</solution>"]);
        assert_eq!(key(&one), key(&same));
        assert_ne!(key(&one), key(&other));
        let mut elsewhere = one.clone();
        elsewhere[1].content = "How much?".to_owned();
        assert_ne!(key(&one), key(&elsewhere));
    }

    #[test]
    fn lines_of_code_stay_apart() {
        let one = conversation(&["<execute>\nx = 1\ny\n</execute>"]);
        let other = conversation(&["<execute>\nx = 1y\n</execute>"]);
        assert_ne!(key(&one), key(&other));
    }

    #[test]
    fn the_shortest_comes_first_and_then_the_most_different() {
        let short = conversation(&["<execute>\nprint(sum(range(5)))\n</execute>", "<solution>5</solution>"]);
        let alike = conversation(&["<execute>\nprint(sum(range(0, 5)))\n</execute>", "<solution>5</solution>"]);
        let loops = conversation(&[
            "<execute>\ntotal = 0\nfor i in range(5):\n    total += i\nprint(total)\n</execute>",
            "<solution>5</solution>",
        ]);
        let failed = conversation(&["<execute>\nx\n</execute>", "<solution>5</solution>"]);
        let all: Vec<(&[Message], usize)> = vec![(&failed, 1), (&alike, 0), (&loops, 0), (&short, 0)];
        let order = order(&all);
        assert_eq!(order[0], 3);
        assert_eq!(order.last(), Some(&1), "{order:?}");
        assert!(super::order(&[]).is_empty());
    }
}
