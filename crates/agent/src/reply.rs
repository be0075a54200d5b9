//! One reply of the model: the prompt made to fit, the reply taken apart while it comes.

use crate::run::{Running, Step};
use crate::{Agent, AgentError, Ask, Completion, Event, FinishReason, Overflow, TurnEnd};
use codeact_chat::Message;
use codeact_chat::action::{ActionParser, Piece};
use std::collections::BTreeSet;
use std::time::Instant;

/// A reply, taken apart.
pub(crate) struct Reply {
    pub parser: ActionParser,
    /// It ended inside a tag, because of a limit.
    pub is_cut: bool,
}

impl Agent {
    /// Let the model write up to the end of its first action, and keep that in the conversation.
    pub(crate) fn reply(&mut self, running: &mut Running<'_>) -> Step<Reply> {
        let started = Instant::now();
        let mut parser = ActionParser::new(self.options.format);
        let (completion, is_late) = match self.complete(running, &mut parser)? {
            Ok(completed) => completed,
            Err(end) => return Ok(Err(end)),
        };
        let Completion { text, prompt_tokens, cached_tokens, completion_tokens, finish } = completion;
        running.turn.prompt_tokens += prompt_tokens;
        running.turn.completion_tokens += completion_tokens;
        let (step, seconds) = (running.turn.steps + 1, started.elapsed().as_secs_f64());
        running.tell(Event::Usage { step, prompt_tokens, cached_tokens, completion_tokens, seconds });
        let was_complete = parser.is_complete();
        let is_interrupted = self.interrupter.is_wanted();
        if is_interrupted || is_late && !was_complete {
            if !text.trim().is_empty() {
                self.messages.push(Message::assistant(text));
            }
            return Ok(Err(if is_interrupted { TurnEnd::Interrupted } else { TurnEnd::TimeLimit }));
        }
        parser.finish().into_iter().for_each(|piece| tell(piece, running.on_event));
        self.messages.push(Message::assistant(parser.full_text()));
        let is_cut = !was_complete && finish == FinishReason::Length;
        let tokens_max = self.options.limits.turn_tokens_max;
        if is_cut && tokens_max.is_some_and(|most| running.turn.completion_tokens >= most) {
            running.turn.steps += 1;
            return Ok(Err(TurnEnd::TokenLimit));
        }
        Ok(Ok(Reply { parser, is_cut }))
    }

    /// Ask the model, with less of old observations if they do not fit. Gives also whether time ran out.
    fn complete(&mut self, running: &mut Running<'_>, parser: &mut ActionParser) -> Step<(Completion, bool)> {
        if let Err(end) = self.fit(running)? {
            return Ok(Err(end));
        }
        let limits = &self.options.limits;
        let deadline = running.deadline(limits.turn_time_max);
        let tokens_max = limits.turn_tokens_max.map(|most| most.saturating_sub(running.turn.completion_tokens));
        loop {
            let messages = self.shortened.view(&self.messages);
            let ask = Ask { messages: &messages, stops: self.options.format.stops(), tokens_max };
            let (interrupter, on_event) = (&self.interrupter, &mut *running.on_event);
            let mut is_late = false;
            let result = self.model.complete(&ask, &mut |text| {
                parser.push(text).into_iter().for_each(|piece| tell(piece, on_event));
                is_late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
                !parser.is_complete() && !interrupter.is_wanted() && !is_late
            });
            match result {
                Ok(completion) => return Ok(Ok((completion, is_late))),
                Err(error) if error.is_context() => {
                    if let Err(end) = self.make_room(running, &error)? {
                        return Ok(Err(end));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Before a reply: make the prompt fit, where the model counts.
    fn fit(&mut self, running: &mut Running<'_>) -> Step<()> {
        let room = self.model.room(&self.shortened.view(&self.messages))?;
        let Some(mut room) = room.filter(|room| !room.is_enough()) else { return Ok(Ok(())) };
        // Somewhat more than is needed, so that the next steps change nothing that a cache holds.
        let wanted = room.prompt_tokens_max - room.prompt_tokens_max / 8;
        let mut observations = 0;
        while self.options.overflow == Overflow::Shorten && room.prompt_tokens > wanted {
            let (count, chars) = self.shorten((room.prompt_tokens - wanted).saturating_mul(2));
            observations += count;
            if chars == 0 {
                break;
            }
            room = self.model.room(&self.shortened.view(&self.messages))?.unwrap_or(room);
        }
        let (tokens, tokens_max) = (room.prompt_tokens, room.prompt_tokens_max);
        if observations > 0 {
            let (tokens, tokens_max) = (Some(tokens), Some(tokens_max));
            running.tell(Event::ContextShortened { observations, tokens, tokens_max });
        }
        if room.is_enough() {
            return Ok(Ok(()));
        }
        let what = format!("the conversation takes {tokens} tokens, and the context has room for {tokens_max}");
        Ok(Err(self.too_long(running, &what)))
    }

    /// After the model refused a prompt as too long.
    fn make_room(&mut self, running: &mut Running<'_>, error: &AgentError) -> Step<()> {
        let all: usize = self.shortened.view(&self.messages).iter().map(|message| message.content.len()).sum();
        let (observations, chars) = match self.options.overflow {
            Overflow::Shorten => self.shorten(all / 4),
            Overflow::Stop => (0, 0),
        };
        if chars == 0 {
            return Ok(Err(self.too_long(running, &error.to_string())));
        }
        running.tell(Event::ContextShortened { observations, tokens: None, tokens_max: None });
        Ok(Ok(()))
    }

    fn too_long(&self, running: &mut Running<'_>, what: &str) -> TurnEnd {
        let why = match self.options.overflow {
            Overflow::Shorten => "nothing more of it can be shortened",
            Overflow::Stop => "it is not to be shortened",
        };
        let message = format!("{what}; {why}\nhint: start a new conversation, undo turns, or use a larger context");
        running.tell(Event::Error { message, code: "context".to_string() });
        TurnEnd::Context
    }

    /// Show less of old observations, until at least `chars_wanted` characters are saved or nothing more can be. Gives
    /// how many observations became shorter, and by how many characters.
    fn shorten(&mut self, chars_wanted: usize) -> (usize, usize) {
        let (mut shortened, mut chars) = (BTreeSet::new(), 0);
        while chars < chars_wanted.max(1) {
            let Some((index, saved)) = self.shortened.shorten_one(&self.messages) else { break };
            shortened.insert(index);
            chars += saved;
        }
        (shortened.len(), chars)
    }
}

fn tell(piece: Piece, on_event: &mut dyn FnMut(Event)) {
    match piece {
        Piece::Thought(text) => on_event(Event::Token { text }),
        Piece::CodeDelta(text) => on_event(Event::CodeDelta { text }),
        Piece::SolutionDelta(text) => on_event(Event::SolutionDelta { text }),
        // The loop tells of complete actions when it acts on them.
        Piece::ExecuteEnd(_) | Piece::SolutionEnd(_) => {}
    }
}
