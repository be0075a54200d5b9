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

/// A turn to learn in the rendered text, and its last token.
struct Turn {
    message_index: usize,
    range: Range<usize>,
    /// Always there after a turn of the assistant.
    end_token_index: Option<usize>,
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
        let of_assistant = [false, true, false, true];
        for turn in renderer.turns(&messages, &of_assistant, &rendered, &tokens)? {
            let Some(id) = turn.end_token_index.map(|index| tokens[index].id) else { continue };
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

    /// The ids of a conversation and which of them are learned: those of the messages in `is_learned`, one flag each.
    pub(crate) fn example(&self, conversation: &Conversation, is_learned: &[bool]) -> Result<Example, FormatError> {
        let messages = &conversation.messages;
        let rendered = locate(&self.template, messages, false)?;
        let tokens = self.vocabulary.encode(&rendered.text, &rendered.contents)?;
        let turns = self.turns(messages, is_learned, &rendered, &tokens)?;

        let prefix = self.prefix(&tokens);
        let mut token_ids = prefix.to_vec();
        let mut is_target = vec![false; prefix.len()];
        let mut turn = turns.iter().peekable();
        for token in &tokens {
            // Turns stand in order and apart, so one that ends before this token is done with.
            while turn.next_if(|turn| turn.range.end <= token.range.start).is_some() {}
            // Nothing precedes the first token, so it cannot be predicted.
            let is_first = token_ids.is_empty();
            token_ids.push(token.id);
            is_target.push(!is_first && turn.peek().is_some_and(|turn| contains(&turn.range, &token.range)));
        }

        check::bos_is_single(&token_ids, self.bos_id, &self.vocabulary)?;
        let mask = &is_target[prefix.len()..];
        let foreign = messages.iter().zip(is_learned).zip(&rendered.contents);
        let foreign = foreign.filter(|((_, is_learned), _)| !**is_learned);
        let foreign = foreign.map(|((message, _), content)| (message.role, content.clone()));
        check::nothing_else_is_learned(&conversation.id, foreign, &tokens, mask)?;
        let turn_ends = turns.iter().filter_map(|turn| Some((turn.message_index, turn.end_token_index?)));
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

    /// Where the turns to learn stand. One of the assistant: from the end of the generation prompt to the end of the
    /// first control token after the text. One of another role: its text, and a control token that follows at once.
    fn turns(
        &self,
        messages: &[Message],
        is_learned: &[bool],
        rendered: &Rendered,
        tokens: &[Token],
    ) -> Result<Vec<Turn>, FormatError> {
        let mut turns = Vec::new();
        for (message_index, message) in messages.iter().enumerate().filter(|(index, _)| is_learned[*index]) {
            let content = &rendered.contents[message_index];
            let first_after = tokens.partition_point(|token| token.range.end <= content.end);
            let end = (first_after..tokens.len()).find(|&index| tokens[index].is_control);
            let end = end.filter(|index| {
                let start = tokens[*index].range.start.max(content.end);
                rendered.text[content.end..start].trim().is_empty()
            });
            let is_assistant = message.role == Role::Assistant;
            if is_assistant && end.is_none() {
                return Err(FormatError::NoEndOfTurn { index: message_index });
            }
            let has_lead = is_assistant && rendered.text[..content.start].ends_with(&self.lead);
            let start = content.start - if has_lead { self.lead.len() } else { 0 };
            // Behind a user's text another control token may open the next turn, after white space.
            let end = end.filter(|index| is_assistant || tokens[*index].range.start == content.end);
            let range = start..end.map_or(content.end, |index| tokens[index].range.end);
            turns.push(Turn { message_index, range, end_token_index: end });
        }
        Ok(turns)
    }
}

/// Whether a token lies inside a turn. A token without width (a dummy prefix) belongs to what follows it.
fn contains(turn: &Range<usize>, token: &Range<usize>) -> bool {
    turn.start <= token.start && token.end <= turn.end && token.start < turn.end
}
