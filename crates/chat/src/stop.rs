//! Stop strings: end a text where one of them appears, without ever having shown a part of it.
//!
//! An automaton reads the text byte by byte (Aho and Corasick 1975). Its state is the longest end of the text that
//! begins a stop string: exactly that much is held back, and it is given out once the text goes on differently.

use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes of all stop strings of one request: bounds the automaton to a few hundred kilobytes.
const STOP_BYTES_MAX: usize = 16 << 10;

/// Why stop strings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StopError {
    /// An empty string would stop at once.
    #[error("stop string {index} is empty")]
    Empty {
        /// Counted from 0.
        index: usize,
    },
    /// Together they are too long.
    #[error("the stop strings have {bytes} bytes; they may have {STOP_BYTES_MAX} together")]
    TooLong {
        /// Of all of them.
        bytes: usize,
    },
}

/// Several stop strings, ready to be looked for in many texts.
#[derive(Debug, Clone)]
pub struct StopStrings(Arc<[State]>);

#[derive(Debug, Clone, Default)]
struct State {
    /// States one byte on, by byte.
    next: Vec<(u8, u32)>,
    /// Bytes of the text that led here from the start.
    depth: usize,
    /// Where to go on when no byte fits: the longest proper end that begins a stop string.
    fallback: u32,
    /// The longest stop string that ends here: its index and length.
    found: Option<(usize, usize)>,
}

impl State {
    fn after(&self, byte: u8) -> Option<u32> {
        let at = self.next.binary_search_by_key(&byte, |(byte, _)| *byte).ok()?;
        Some(self.next[at].1)
    }
}

impl StopStrings {
    /// Any number of stop strings; none is fine.
    ///
    /// # Errors
    /// When one is empty, or they have more than 16 KiB together.
    pub fn new<S: AsRef<str>>(stops: &[S]) -> Result<StopStrings, StopError> {
        let bytes = stops.iter().map(|stop| stop.as_ref().len()).sum();
        if bytes > STOP_BYTES_MAX {
            return Err(StopError::TooLong { bytes });
        }
        let mut states = vec![State::default()];
        for (index, stop) in stops.iter().enumerate() {
            let stop = stop.as_ref();
            if stop.is_empty() {
                return Err(StopError::Empty { index });
            }
            let end = stop.bytes().fold(0, |state, byte| extend(&mut states, state, byte));
            // Of equal strings the first is named.
            states[end as usize].found.get_or_insert((index, stop.len()));
        }
        link(&mut states);
        Ok(StopStrings(states.into()))
    }

    /// Watches a new text. `is_included`: the stop string that ends it is given out as its last part.
    pub fn watch(&self, is_included: bool) -> StopWatch {
        StopWatch { states: Arc::clone(&self.0), state: 0, held: String::new(), is_included, stopped_by: None }
    }
}

/// The state one byte after `state`, made if it is not there yet.
fn extend(states: &mut Vec<State>, state: u32, byte: u8) -> u32 {
    let new = states.len() as u32;
    let State { next, depth, .. } = &mut states[state as usize];
    match next.binary_search_by_key(&byte, |(byte, _)| *byte) {
        Ok(at) => next[at].1,
        Err(at) => {
            next.insert(at, (byte, new));
            let depth = *depth + 1;
            states.push(State { depth, ..State::default() });
            new
        }
    }
}

/// Fills in the fallbacks, shallow states first: each rests on shallower ones.
fn link(states: &mut [State]) {
    let mut queue = VecDeque::from([0u32]);
    while let Some(state) = queue.pop_front() {
        for (byte, child) in states[state as usize].next.clone() {
            let fallback = if state == 0 { 0 } else { step(states, states[state as usize].fallback, byte) };
            let inherited = states[fallback as usize].found;
            let child_state = &mut states[child as usize];
            child_state.fallback = fallback;
            child_state.found = child_state.found.or(inherited);
            queue.push_back(child);
        }
    }
}

fn step(states: &[State], mut state: u32, byte: u8) -> u32 {
    loop {
        match states[state as usize].after(byte) {
            Some(next) => return next,
            None if state == 0 => return 0,
            None => state = states[state as usize].fallback,
        }
    }
}

/// Gives out one text up to a stop string.
///
/// The text ends with the stop string that is complete first; of several that are complete at the same character, the
/// longest counts. How the text is cut into pieces changes nothing.
#[derive(Debug, Clone)]
pub struct StopWatch {
    states: Arc<[State]>,
    state: u32,
    /// The end of the text that may be the beginning of a stop string.
    held: String,
    is_included: bool,
    stopped_by: Option<usize>,
}

impl StopWatch {
    /// Takes more text; returns what is certain to come before any stop string, often all of it. After a stop string
    /// everything is dropped.
    pub fn push(&mut self, text: &str) -> String {
        if self.stopped_by.is_some() {
            return String::new();
        }
        let old = self.held.len();
        self.held.push_str(text);
        for (index, byte) in text.bytes().enumerate() {
            self.state = step(&self.states, self.state, byte);
            if let Some((stop, length)) = self.states[self.state as usize].found {
                let end = old + index + 1;
                self.stopped_by = Some(stop);
                self.held.truncate(if self.is_included { end } else { end - length });
                return std::mem::take(&mut self.held);
            }
        }
        // A stop string begins with a whole character, so what begins one does too.
        let held = self.held.split_off(self.held.len() - self.states[self.state as usize].depth);
        std::mem::replace(&mut self.held, held)
    }

    /// Which stop string ended the text, counted from 0.
    pub fn stopped_by(&self) -> Option<usize> {
        self.stopped_by
    }

    /// The text has ended otherwise: returns what was held back.
    pub fn finish(&mut self) -> String {
        self.state = 0;
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What should be given out, and by which stop string: found by looking at every beginning of the text.
    fn slow(text: &str, stops: &[&str], is_included: bool) -> (String, Option<usize>) {
        for (end, _) in text.char_indices().map(|(at, character)| (at + character.len_utf8(), ())) {
            let here = || stops.iter().enumerate().filter(|(_, stop)| text[..end].ends_with(**stop));
            let longest = here().map(|(_, stop)| stop.len()).max();
            if let Some((index, stop)) = here().find(|(_, stop)| Some(stop.len()) == longest) {
                let given = if is_included { end } else { end - stop.len() };
                return (text[..given].to_owned(), Some(index));
            }
        }
        (text.to_owned(), None)
    }

    fn run(pieces: &[&str], stops: &[&str], is_included: bool) -> (String, Option<usize>) {
        let mut watch = StopStrings::new(stops).unwrap().watch(is_included);
        let mut given: String = pieces.iter().map(|piece| watch.push(piece)).collect();
        given.push_str(&watch.finish());
        (given, watch.stopped_by())
    }

    #[test]
    fn a_stop_string_over_several_pieces_is_never_shown() {
        let mut watch = StopStrings::new(&["Observation:"]).unwrap().watch(false);
        assert_eq!(watch.push("done.\nObs"), "done.\n");
        assert_eq!(watch.push("ervation"), "");
        assert_eq!(watch.push(": 3"), "");
        assert_eq!((watch.stopped_by(), watch.finish()), (Some(0), String::new()));
        assert_eq!(watch.push("more"), "");
    }

    #[test]
    fn what_only_looked_like_a_stop_string_is_given_out() {
        let mut watch = StopStrings::new(&["aab", "END"]).unwrap().watch(false);
        assert_eq!(watch.push("aa"), "");
        assert_eq!(watch.push("a"), "a");
        assert_eq!(watch.push("cEN"), "aac");
        assert_eq!(watch.finish(), "EN");
        assert_eq!(watch.stopped_by(), None);
    }

    #[test]
    fn the_first_complete_and_then_the_longest_counts() {
        assert_eq!(run(&["xabcd"], &["bcd", "b"], false), ("xa".to_owned(), Some(1)));
        assert_eq!(run(&["xabcd"], &["cd", "abcd", "d"], false), ("x".to_owned(), Some(1)));
        assert_eq!(run(&["xabcd"], &["cd", "abcd", "d"], true), ("xabcd".to_owned(), Some(1)));
        assert_eq!(run(&["x"], &[], false), ("x".to_owned(), None));
    }

    #[test]
    fn empty_and_endless_stop_strings_are_refused() {
        assert_eq!(StopStrings::new(&["a", ""]).unwrap_err(), StopError::Empty { index: 1 });
        let long = "x".repeat(STOP_BYTES_MAX + 1);
        assert_eq!(StopStrings::new(&[long]).unwrap_err(), StopError::TooLong { bytes: STOP_BYTES_MAX + 1 });
    }

    #[test]
    fn any_text_in_any_pieces_gives_what_looking_everywhere_gives() {
        let letters = ["a", "b", "é", "ü", "語"];
        let mut seed = 1u64;
        let mut below = |end: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % end
        };
        let mut stopped = 0;
        for _ in 0..4000 {
            let mut word =
                |most: usize| (0..1 + below(most)).map(|_| letters[below(letters.len())]).collect::<String>();
            let stops: Vec<String> = (0..3).map(|_| word(5)).collect();
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            let text = word(40);
            let mut pieces = Vec::new();
            let mut rest = text.as_str();
            while !rest.is_empty() {
                let count = 1 + below(4);
                let end = rest.char_indices().nth(count).map_or(rest.len(), |(at, _)| at);
                pieces.push(&rest[..end]);
                rest = &rest[end..];
            }
            let is_included = below(2) == 1;
            let expected = slow(&text, &stops, is_included);
            stopped += usize::from(expected.1.is_some());
            assert_eq!(run(&pieces, &stops, is_included), expected, "{text} {stops:?}");
        }
        assert!(stopped > 1000 && stopped < 3990, "{stopped}");
    }

    #[test]
    fn many_stop_strings_cost_no_more_per_character() {
        let stops: Vec<String> = (0..2000).map(|index| format!("<{index}>")).collect();
        let mut watch = StopStrings::new(&stops).unwrap().watch(false);
        let text = "<199<20".repeat(10_000);
        assert_eq!(watch.push(&text).len(), text.len() - 3);
        assert_eq!(watch.push("00>"), "<2000>");
        assert_eq!(watch.push("<1999>!"), "");
        assert_eq!(watch.stopped_by(), Some(1999));
    }
}
