//! The bytes of a reply with `<execute>` or `<solution>`, as states and what leads from one to the next.
//!
//! A state knows how much of a tag the reply ends with, whether a block is open, and how much of a character is there:
//! a reply is always UTF-8.

use super::ActionRule;

/// What no byte leads to.
const DEAD: u8 = u8::MAX;

/// Characters that are not complete, by what must follow.
#[derive(Debug, Clone, Copy)]
enum Rest {
    One,
    Two,
    Three,
    /// After 0xE0: two, and nothing that has a shorter spelling.
    TwoNotShort,
    /// After 0xED: two, and no surrogate.
    TwoNoSurrogate,
    /// After 0xF0: three, and nothing that has a shorter spelling.
    ThreeNotShort,
    /// After 0xF4: three, and nothing beyond the last character.
    ThreeNotBeyond,
}

const RESTS: u8 = 7;

/// Where a tag leads when it is complete.
#[derive(Debug, Clone, Copy)]
enum Leads {
    Nowhere,
    To(u8),
}

/// A deterministic automaton over bytes.
pub(super) struct Automaton {
    next: Vec<[u8; 256]>,
    is_complete: Vec<bool>,
    done: u8,
}

impl Automaton {
    pub fn new(rule: ActionRule) -> Automaton {
        let mut automaton = Automaton { next: Vec::new(), is_complete: Vec::new(), done: 0 };
        // Text is state 0; what it leads to comes behind it, so that is known once the sizes are.
        let tags = ["<execute>", "</execute>", "<solution>", "</solution>"];
        let text_states = trie(&tags).len() as u8 + RESTS;
        let execute = text_states;
        let execute_states = trie(&tags[1..2]).len() as u8 + RESTS;
        let solution = execute + execute_states;
        let done = solution + trie(&tags[3..4]).len() as u8 + RESTS;
        let open = |is_allowed: bool, state: u8| if is_allowed { Leads::To(state) } else { Leads::Nowhere };
        let leads = [open(rule.execute, execute), Leads::Nowhere, open(rule.solution, solution), Leads::Nowhere];
        automaton.add_mode(&tags, &leads, !rule.is_required);
        automaton.add_mode(&tags[1..2], &[Leads::To(done)], false);
        automaton.add_mode(&tags[3..4], &[Leads::To(done)], false);
        assert_eq!(automaton.next.len(), usize::from(done));
        automaton.next.push([DEAD; 256]);
        automaton.is_complete.push(true);
        automaton.done = done;
        automaton
    }

    /// The state before the first byte.
    pub fn start(&self) -> u8 {
        0
    }

    /// The state after which nothing follows.
    pub fn done(&self) -> u8 {
        self.done
    }

    pub fn state_count(&self) -> usize {
        self.next.len()
    }

    /// Whether the reply may end in this state.
    pub fn is_complete(&self, state: u8) -> bool {
        self.is_complete[usize::from(state)]
    }

    pub fn step(&self, state: u8, byte: u8) -> Option<u8> {
        Some(self.next[usize::from(state)][usize::from(byte)]).filter(|next| *next != DEAD)
    }

    /// Adds the states of a text in which `tags` are looked for.
    fn add_mode(&mut self, tags: &[&str], leads: &[Leads], is_complete: bool) {
        let root = self.next.len() as u8;
        let beginnings = trie(tags);
        let rests = root + beginnings.len() as u8;
        for beginning in &beginnings {
            let mut next = [DEAD; 256];
            for byte in 0..=0x7F {
                next[usize::from(byte)] = match after(tags, &beginnings, beginning, byte) {
                    After::Tag(tag) => match leads[tag] {
                        Leads::Nowhere => DEAD,
                        Leads::To(state) => state,
                    },
                    After::Beginning(index) => root + index as u8,
                };
            }
            for byte in 0x80..=0xFF {
                if let Some(rest) = first_byte(byte) {
                    next[usize::from(byte)] = rests + rest as u8;
                }
            }
            self.next.push(next);
            self.is_complete.push(is_complete);
        }
        for rest in 0..RESTS {
            let mut next = [DEAD; 256];
            let (following, then) = continuation(rest);
            for byte in following {
                next[usize::from(byte)] = then.map_or(root, |rest| rests + rest as u8);
            }
            self.next.push(next);
            self.is_complete.push(false);
        }
    }
}

/// All proper beginnings of the tags, the empty one first.
fn trie<'tag>(tags: &[&'tag str]) -> Vec<&'tag str> {
    let mut beginnings = vec![""];
    for tag in tags {
        let proper = (1..tag.len()).map(|end| &tag[..end]);
        proper.for_each(|beginning| {
            if !beginnings.contains(&beginning) {
                beginnings.push(beginning);
            }
        });
    }
    beginnings
}

enum After {
    /// This tag is complete.
    Tag(usize),
    /// The text now ends with this beginning of a tag.
    Beginning(usize),
}

fn after(tags: &[&str], beginnings: &[&str], beginning: &str, byte: u8) -> After {
    let text = format!("{beginning}{}", char::from(byte));
    if let Some(tag) = tags.iter().position(|tag| text.ends_with(tag)) {
        return After::Tag(tag);
    }
    let longest = (0..=text.len()).find_map(|from| beginnings.iter().position(|known| *known == &text[from..]));
    After::Beginning(longest.expect("every text ends with the empty beginning"))
}

/// What must follow the first byte of a character that is not ASCII; `None` if no character begins with it.
fn first_byte(byte: u8) -> Option<Rest> {
    match byte {
        0xC2..=0xDF => Some(Rest::One),
        0xE0 => Some(Rest::TwoNotShort),
        0xED => Some(Rest::TwoNoSurrogate),
        0xE1..=0xEF => Some(Rest::Two),
        0xF0 => Some(Rest::ThreeNotShort),
        0xF1..=0xF3 => Some(Rest::Three),
        0xF4 => Some(Rest::ThreeNotBeyond),
        _ => None,
    }
}

/// The bytes that may come next within a character, and what must follow then.
fn continuation(rest: u8) -> (std::ops::RangeInclusive<u8>, Option<Rest>) {
    const ONE: u8 = Rest::One as u8;
    const TWO: u8 = Rest::Two as u8;
    const THREE: u8 = Rest::Three as u8;
    const TWO_NOT_SHORT: u8 = Rest::TwoNotShort as u8;
    const TWO_NO_SURROGATE: u8 = Rest::TwoNoSurrogate as u8;
    const THREE_NOT_SHORT: u8 = Rest::ThreeNotShort as u8;
    match rest {
        ONE => (0x80..=0xBF, None),
        TWO => (0x80..=0xBF, Some(Rest::One)),
        THREE => (0x80..=0xBF, Some(Rest::Two)),
        TWO_NOT_SHORT => (0xA0..=0xBF, Some(Rest::One)),
        TWO_NO_SURROGATE => (0x80..=0x9F, Some(Rest::One)),
        THREE_NOT_SHORT => (0x90..=0xBF, Some(Rest::Two)),
        _ => (0x80..=0x8F, Some(Rest::Two)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The end of a text's run, and whether it may end there.
    fn run(automaton: &Automaton, bytes: &[u8]) -> Option<(u8, bool)> {
        let end = bytes.iter().try_fold(automaton.start(), |state, &byte| automaton.step(state, byte))?;
        Some((end, automaton.is_complete(end)))
    }

    fn accepts(automaton: &Automaton, text: &str) -> bool {
        run(automaton, text.as_bytes()).is_some_and(|(_, is_complete)| is_complete)
    }

    #[test]
    fn replies_have_at_most_one_closed_block() {
        let rule = ActionRule { execute: true, solution: true, is_required: false };
        let optional = &Automaton::new(rule);
        let required = &Automaton::new(ActionRule { is_required: true, ..rule });
        let whole = ["<execute>x</execute>", "a < b <execu <<execute>1 </exec</execute>", "x <solution></solution>"];
        for text in whole {
            assert!(accepts(optional, text) && accepts(required, text), "{text}");
        }
        for text in ["", "no tag, é and 語", "<execut", "1 < 2 <"] {
            assert!(accepts(optional, text) && !accepts(required, text), "{text}");
        }
        for text in ["<execute>", "<execute>x", "<solution>x</execute>", "<execute>é</execut"] {
            assert!(!accepts(optional, text) && run(optional, text.as_bytes()).is_some(), "{text}");
        }
        for text in ["</execute>", "a</solution>", "<execute>x</execute> ", "<solution>y</solution><execute>"] {
            assert_eq!(run(optional, text.as_bytes()), None, "{text}");
        }
        let only_code = &Automaton::new(ActionRule { solution: false, ..rule });
        assert_eq!(run(only_code, b"<solution>"), None);
        assert!(accepts(only_code, "<execute>print('<solution>')</execute>"));
    }

    #[test]
    fn exactly_utf_8_is_accepted() {
        let automaton = Automaton::new(ActionRule { execute: true, solution: true, is_required: false });
        let mut accepted = 0;
        for first in 0x80u8..=0xFF {
            for second in (0x70..=0xFF).step_by(5).chain([0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0]) {
                for rest in [&[][..], &[0x80], &[0x80, 0xBF], &[0x80, 0xC0], &[0x80, 0x80, 0x80]] {
                    let bytes = [&[first, second], rest].concat();
                    let is_complete = run(&automaton, &bytes).is_some_and(|(_, is_complete)| is_complete);
                    assert_eq!(is_complete, std::str::from_utf8(&bytes).is_ok(), "{bytes:x?}");
                    accepted += usize::from(is_complete);
                }
            }
        }
        assert!(accepted > 500, "{accepted}");
    }
}
