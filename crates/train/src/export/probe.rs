//! The tokens on which the logits of two models are compared.

use codeact_chat::{ChatFormat, Conversation, Example, Message};
use codeact_data::{DataSet, Part};
use codeact_model::Batch;

use crate::error::TrainError;

/// Conversations at most.
const CONVERSATIONS_MAX: usize = 4;

/// Supervised tokens at most: their logits are kept until the last export was compared.
const TARGETS_MAX: usize = 128;

/// Tokens of sequences without a tokenizer.
const DRAWN_LENGTHS: [usize; 3] = [2, 17, 40];

/// A few conversations, and which of their tokens are predicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    sequences: Vec<Example>,
    /// What they are, for a manifest.
    pub(super) source: &'static str,
}

impl Probe {
    /// The first conversations that are held out, or learned where none is held out. Tokens after the last one that
    /// counts are left out.
    ///
    /// # Errors
    /// When the data cannot be read any more.
    pub fn of_data(data: &DataSet) -> Result<Probe, TrainError> {
        let (part, source): (&Part, _) = match data.validation.documents.is_empty() {
            true => (&data.train, "training conversations"),
            false => (&data.validation, "held-out conversations"),
        };
        let with_targets = part.documents.iter().enumerate().filter(|(_, document)| document.target_count > 0);
        let first = with_targets.take(CONVERSATIONS_MAX).map(|(index, _)| part.conversations(index));
        let first = first.collect::<Result<Vec<_>, _>>()?;
        Ok(Probe::new(first.into_iter().flatten().collect(), source))
    }

    /// Conversations of an agent, as the format renders them.
    ///
    /// # Errors
    /// When the template refuses them.
    pub fn of_format(format: &ChatFormat) -> Result<Probe, TrainError> {
        let conversations = [
            vec![
                Message::user("Which of 17 * 23 and 19 * 21 is larger?"),
                Message::assistant("I compute both.\n<execute>\nprint(17 * 23, 19 * 21)\n</execute>"),
                Message::user("Observation:\n391 399"),
                Message::assistant("19 * 21 = 399 is larger than 17 * 23 = 391."),
            ],
            vec![
                Message::user("Sort the words pear, Apfel and \u{e9}clair by their length."),
                Message::assistant(
                    "<execute>\nwords = [\"pear\", \"Apfel\", \"\u{e9}clair\"]\nprint(sorted(words, key=len))\n</execute>",
                ),
            ],
        ];
        let render = |messages: Vec<Message>| format.example(&Conversation { id: "probe".to_owned(), messages });
        let examples = conversations.into_iter().map(render).collect::<Result<_, _>>().map_err(TrainError::Format)?;
        Ok(Probe::new(examples, "conversations that the program brings along"))
    }

    /// Token ids without meaning, the same ones for each vocabulary.
    pub fn drawn(vocab_size: usize) -> Probe {
        let mut state = 1u64;
        let mut next = || {
            // Knuth's MMIX generator.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % vocab_size.max(1) as u64) as u32
        };
        let sequences = DRAWN_LENGTHS.map(|count| Example {
            token_ids: (0..count).map(|_| next()).collect(),
            is_target: (0..count).map(|index| index > 0).collect(),
        });
        Probe::new(sequences.into(), "drawn token ids")
    }

    fn new(mut sequences: Vec<Example>, source: &'static str) -> Probe {
        let mut left = TARGETS_MAX;
        for Example { token_ids, is_target } in &mut sequences {
            let places = is_target.iter().enumerate().filter(|(_, target)| **target).map(|(index, _)| index);
            let kept: Vec<usize> = places.take(left).collect();
            left -= kept.len();
            let end = kept.last().map_or(0, |last| last + 1);
            token_ids.truncate(end);
            is_target.truncate(end);
        }
        sequences.retain(|example| !example.token_ids.is_empty());
        Probe { sequences, source }
    }

    /// Sequences there are.
    pub fn conversation_count(&self) -> usize {
        self.sequences.len()
    }

    /// Token ids and mask of each sequence, whose last token is supervised.
    pub fn sequences(&self) -> &[Example] {
        &self.sequences
    }

    /// Each sequence as a decoder takes it.
    pub(super) fn batches(&self) -> impl Iterator<Item = Result<Batch, codeact_model::ModelError>> + '_ {
        self.sequences.iter().map(|example| Batch::new([(&example.token_ids[..], &example.is_target[..])]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_ends_with_its_last_supervised_token() {
        let example = |count: usize| Example {
            token_ids: (0..count as u32).collect(),
            is_target: (0..count).map(|index| index >= count / 2 && index + 1 < count).collect(),
        };
        let probe = Probe::new(vec![example(10), example(400), example(10)], "test");
        let lengths: Vec<usize> = probe.sequences().iter().map(|example| example.token_ids.len()).collect();
        assert_eq!(lengths, [9, 200 + TARGETS_MAX - 4]);
        assert!(probe.sequences().iter().all(|example| example.is_target.last() == Some(&true)));
        let targets = probe.sequences().iter().flat_map(|example| &example.is_target).filter(|target| **target).count();
        assert_eq!(targets, TARGETS_MAX);
    }

    #[test]
    fn drawn_ids_are_of_the_vocabulary_and_always_the_same() {
        let probe = Probe::drawn(5);
        assert_eq!(probe, Probe::drawn(5));
        assert!(probe.sequences().iter().flat_map(|example| &example.token_ids).all(|id| *id < 5));
        assert_eq!(probe.conversation_count(), 3);
    }
}
