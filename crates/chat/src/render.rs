//! From a conversation to token ids and the loss mask. The only place that decides what is learned.
//!
//! Learned ("supervised") are the assistant's text and the token that ends its turn: what the model has to produce
//! after the generation prompt. Everything else is not: headers, other roles, the newline after the end of a turn,
//! and a token that straddles the border between a header and the text.
//!
//! Where contents stand in the rendered text is found by rendering twice: with the contents, and with a unique
//! placeholder for each. Both renderings must agree once placeholders are replaced.

mod check;
mod locate;

use std::ops::Range;

use crate::conversation::{Conversation, Message, Role};
use crate::error::FormatError;
use crate::template::ChatTemplate;
use crate::vocabulary::{Token, Vocabulary};

pub(crate) use locate::{Rendered, locate};

/// A conversation as the trainer takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The whole conversation, with the beginning-of-sequence token where the format has one.
    pub token_ids: Vec<u32>,
    /// Same length: whether the token is learned as a label, that is predicted from the tokens before it. Never the
    /// first token; at least one is true.
    pub is_target: Vec<bool>,
}

/// A chat template with the tokenizer it was made for.
#[derive(Debug)]
pub(crate) struct Renderer {
    pub(crate) template: ChatTemplate,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) bos_id: Option<u32>,
    /// White space that the template puts between the generation prompt and the assistant's text. The model has to
    /// produce it, so it is learned. Empty in ChatML, a blank after `[/INST]`.
    lead: String,
    /// Tokens that end a turn of the assistant.
    turn_end_ids: Vec<u32>,
    /// Last tokens of a generation prompt: the context in which an answer is decoded.
    prompt_tail_ids: Vec<u32>,
}

/// A turn of the assistant in the rendered text, and its last token.
struct Turn {
    message_index: usize,
    range: Range<usize>,
    end_token_index: usize,
}

impl Renderer {
    /// Studies the template on a small conversation: how the assistant's turn begins and ends, and whether the
    /// tokenizer reads pieces as it reads the whole.
    pub(crate) fn new(
        template: ChatTemplate,
        vocabulary: Vocabulary,
        bos_id: Option<u32>,
    ) -> Result<Renderer, FormatError> {
        let (lead, turn_end_ids, prompt_tail_ids) = (String::new(), Vec::new(), Vec::new());
        let mut renderer = Renderer { template, vocabulary, bos_id, lead, turn_end_ids, prompt_tail_ids };
        let (user, assistant) = (Message::user("Two words\n\n  and 12."), Message::assistant("Good\nday!"));
        let messages = [user.clone(), assistant.clone(), user, assistant];
        let rendered = locate(&renderer.template, &messages, false)?;
        let tokens = renderer.vocabulary.encode(&rendered.text, &rendered.contents)?;
        renderer.vocabulary.check_pieces(&rendered.text, &rendered.contents)?;

        let prompt = locate(&renderer.template, &messages[..3], true)?;
        if let Some(rest) = rendered.text.strip_prefix(&prompt.text) {
            let lead_bytes = rendered.contents[3].start.checked_sub(prompt.text.len());
            let lead = lead_bytes.map_or("", |count| &rest[..count]);
            if lead.trim().is_empty() {
                renderer.lead = lead.to_owned();
            }
        }
        for turn in renderer.turns(&messages, &rendered, &tokens)? {
            let id = tokens[turn.end_token_index].id;
            if !renderer.turn_end_ids.contains(&id) {
                renderer.turn_end_ids.push(id);
            }
        }
        let prompt_tokens = renderer.vocabulary.encode(&prompt.text, &prompt.contents)?;
        let after_control = prompt_tokens.iter().rposition(|token| token.is_control).map_or(0, |index| index + 1);
        renderer.prompt_tail_ids = prompt_tokens[after_control..].iter().map(|token| token.id).collect();
        Ok(renderer)
    }

    /// Ids that end a turn of the assistant in this template.
    pub(crate) fn turn_end_ids(&self) -> &[u32] {
        &self.turn_end_ids
    }

    /// The last tokens before an answer, without control tokens.
    pub(crate) fn prompt_tail_ids(&self) -> &[u32] {
        &self.prompt_tail_ids
    }

    /// The ids of a conversation, with the tokenizer's prefix.
    pub(crate) fn ids(&self, messages: &[Message], add_generation_prompt: bool) -> Result<Vec<u32>, FormatError> {
        let rendered = locate(&self.template, messages, add_generation_prompt)?;
        let tokens = self.vocabulary.encode(&rendered.text, &rendered.contents)?;
        let mut ids = self.prefix(&tokens).to_vec();
        ids.extend(tokens.iter().map(|token| token.id));
        check::bos_is_single(&ids, self.bos_id, &self.vocabulary)?;
        Ok(ids)
    }

    /// The ids of a conversation and which of them are learned.
    pub(crate) fn example(&self, conversation: &Conversation) -> Result<Example, FormatError> {
        let messages = &conversation.messages;
        let rendered = locate(&self.template, messages, false)?;
        let tokens = self.vocabulary.encode(&rendered.text, &rendered.contents)?;
        let turns = self.turns(messages, &rendered, &tokens)?;

        let prefix = self.prefix(&tokens);
        let mut token_ids = prefix.to_vec();
        let mut is_target = vec![false; prefix.len()];
        for token in &tokens {
            // Nothing precedes the first token, so it cannot be predicted.
            let is_first = token_ids.is_empty();
            token_ids.push(token.id);
            is_target.push(!is_first && turns.iter().any(|turn| contains(&turn.range, &token.range)));
        }

        check::bos_is_single(&token_ids, self.bos_id, &self.vocabulary)?;
        let mask = &is_target[prefix.len()..];
        check::only_assistant_is_learned(&conversation.id, messages, &rendered.contents, &tokens, mask)?;
        let turn_ends = turns.iter().map(|turn| (turn.message_index, turn.end_token_index));
        check::every_turn_end_is_learned(&conversation.id, turn_ends, mask)?;
        check::something_is_learned(&conversation.id, mask)?;
        Ok(Example { token_ids, is_target })
    }

    /// The tokenizer's prefix, unless the template has written it itself.
    pub(crate) fn prefix(&self, tokens: &[Token]) -> &[u32] {
        let prefix = self.vocabulary.prefix_ids();
        let is_written = tokens.first().is_some_and(|token| prefix.first() == Some(&token.id));
        if is_written { &[] } else { prefix }
    }

    /// Where the assistant's turns stand: from the end of the generation prompt to the end of the first control
    /// token after the text.
    fn turns(&self, messages: &[Message], rendered: &Rendered, tokens: &[Token]) -> Result<Vec<Turn>, FormatError> {
        let mut turns = Vec::new();
        let of_assistant = messages.iter().enumerate().filter(|(_, message)| message.role == Role::Assistant);
        for (message_index, _) in of_assistant {
            let content = &rendered.contents[message_index];
            let first_after = tokens.partition_point(|token| token.range.end <= content.end);
            let end_token_index = (first_after..tokens.len()).find(|&index| tokens[index].is_control);
            let no_end = FormatError::NoEndOfTurn { index: message_index };
            let Some(end_token_index) = end_token_index else {
                return Err(no_end);
            };
            let end = &tokens[end_token_index].range;
            let between = &rendered.text[content.end..end.start.max(content.end)];
            if !between.trim().is_empty() {
                return Err(no_end);
            }
            let has_lead = rendered.text[..content.start].ends_with(&self.lead);
            let start = content.start - if has_lead { self.lead.len() } else { 0 };
            turns.push(Turn { message_index, range: start..end.end, end_token_index });
        }
        Ok(turns)
    }
}

/// Whether a token lies inside a turn. A token without width (a dummy prefix) belongs to what follows it.
fn contains(turn: &Range<usize>, token: &Range<usize>) -> bool {
    turn.start <= token.start && token.end <= turn.end && token.start < turn.end
}
