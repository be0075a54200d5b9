//! A request on its way: all its answers, merged into one row of pieces. Dropping it cancels them.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use codeact_engine::{Event, Request, Sampling, Ticket};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::edge::Record;
use crate::error::ErrorKind;
use crate::models::Target;
use crate::openai::choice::{Choice, Piece};
use crate::openai::prompt::Prompt;
use crate::openai::settings::Settings;
use crate::{ApiError, AppState};

/// What is asked for, checked.
pub(crate) struct Asked {
    pub target: Target,
    pub prompts: Vec<Prompt>,
    pub settings: Settings,
    /// The likeliest tokens to give beside each.
    pub logprobs: Option<usize>,
    /// Answers begin with their prompt.
    pub is_echoed: bool,
    /// The prompts are of messages, so that answers end where a turn does, and decode as turns do.
    pub is_chat: bool,
    pub deadline: Instant,
    pub record: Arc<Record>,
}

/// What a request cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    pub prompt_tokens: usize,
    pub cached_tokens: usize,
    pub completion_tokens: usize,
}

/// A request on its way.
pub(crate) struct Run {
    asked: Asked,
    events: UnboundedReceiver<(usize, Event)>,
    /// Prompt after prompt, and within each answer after answer.
    choices: Vec<Choice>,
    /// Of the answers that go on.
    tickets: Vec<Option<Ticket>>,
    /// For the log, if it wants them.
    texts: Option<String>,
}

impl Run {
    /// # Errors
    /// When one of the prompts does not fit, or there is no room for all of them now.
    pub fn start(state: &AppState, asked: Asked) -> Result<Run, ApiError> {
        let engine = &state.models()?.base().actor.engine;
        let (sender, events) = unbounded_channel();
        let (mut choices, mut tickets) = (Vec::new(), Vec::new());
        let settings = &asked.settings;
        let matcher = settings.shape.matcher(&asked.target.words)?;
        for prompt in &asked.prompts {
            let max_new_tokens = new_tokens(prompt, settings, asked.is_echoed, state)?;
            for choice_index in 0..settings.choice_count {
                let sampling = Sampling {
                    max_new_tokens,
                    logprobs: asked.logprobs,
                    stop_ids: stop_ids(&asked),
                    ..settings.of_choice(choice_index)
                };
                let request = Request {
                    adapter: asked.target.actor.adapter.clone(),
                    deadline: Some(asked.deadline),
                    constraint: matcher.clone(),
                    prompt_logprobs: if asked.is_echoed {
                        asked.logprobs.or((max_new_tokens == 0).then_some(0))
                    } else {
                        None
                    },
                    ..Request::new(prompt.ids(), sampling)
                };
                let (index, sender) = (choices.len(), sender.clone());
                // When nobody reads any more the ticket is gone too.
                let on_event = Box::new(move |event| drop(sender.send((index, event))));
                tickets.push(Some(engine.submit(request, on_event)?));
                let format = &asked.target.actor.format;
                let stream = if asked.is_chat { format.stream() } else { format.stream_after(&prompt.ids()) };
                let watch = settings.stops.watch(settings.is_stop_shown);
                let kept_stop = settings.execute_stop().filter(|_| state.agents.settings.keep_execute_stop);
                let choice = Choice::new(Arc::clone(&asked.target.words), stream, watch);
                choices.push(choice.with_kept_stop(kept_stop));
            }
        }
        let texts = asked.record.is_with_texts().then(String::new);
        let run = Run { asked, events, choices, tickets, texts };
        run.note_beginning();
        Ok(run)
    }

    pub fn asked(&self) -> &Asked {
        &self.asked
    }

    pub fn choice_count(&self) -> usize {
        self.choices.len()
    }

    /// The next piece, and which answer it belongs to; `None` after the last.
    pub async fn next(&mut self) -> Option<Result<(usize, Piece), ApiError>> {
        poll_fn(|context| self.poll_next(context)).await
    }

    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<(usize, Piece), ApiError>>> {
        loop {
            if self.choices.iter().all(Choice::is_ended) {
                return Poll::Ready(None);
            }
            let Some((index, event)) = ready!(self.events.poll_recv(context)) else {
                return Poll::Ready(Some(Err(ApiError::internal("the engine went away"))));
            };
            if matches!(event, Event::Token(_)) {
                self.asked.record.note_token();
            }
            let choice = &mut self.choices[index];
            let prompt = &self.asked.prompts[index / self.asked.settings.choice_count];
            let piece = match choice.take(event, self.asked.is_echoed.then_some(prompt)) {
                Ok(Some(piece)) => piece,
                Ok(None) => continue,
                Err(error) => {
                    self.asked.record.facts().error = Some(error.message().to_owned());
                    return Poll::Ready(Some(Err(error)));
                }
            };
            if let Some(texts) = &mut self.texts {
                texts.push_str(&piece.text);
            }
            if let Some(end) = &piece.end {
                self.tickets[index] = None;
                self.asked.record.facts().finish = Some(end.reason);
            }
            return Poll::Ready(Some(Ok((index, piece))));
        }
    }

    /// What it cost so far. A prompt with several answers counts once.
    pub fn usage(&self) -> Usage {
        let firsts = self.choices.iter().step_by(self.asked.settings.choice_count);
        Usage {
            prompt_tokens: self.asked.prompts.iter().map(|prompt| prompt.tokens.len()).sum(),
            cached_tokens: firsts.map(|choice| choice.cached_tokens).sum(),
            completion_tokens: self.choices.iter().map(|choice| choice.token_count).sum(),
        }
    }

    fn note_beginning(&self) {
        let mut facts = self.asked.record.facts();
        facts.model = Some(self.asked.target.name.to_string());
        if self.texts.is_some() {
            let texts: Vec<&str> = self.asked.prompts.iter().map(|prompt| prompt.text.as_str()).collect();
            facts.prompt = Some(texts.join("\n"));
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let usage = self.usage();
        let mut facts = self.asked.record.facts();
        facts.prompt_tokens = Some(usage.prompt_tokens);
        facts.cached_tokens = Some(usage.cached_tokens);
        facts.completion_tokens = Some(usage.completion_tokens);
        facts.answer = self.texts.take();
    }
}

fn stop_ids(asked: &Asked) -> Vec<u32> {
    let mut ids = asked.settings.stop_ids.clone();
    // A text ends there too: behind the end of a turn the model was never trained to go on.
    ids.extend(asked.target.actor.format.end_of_turn_ids().iter().filter(|id| !asked.settings.stop_ids.contains(id)));
    ids
}

/// Tokens that the answer to a prompt may have.
fn new_tokens(prompt: &Prompt, settings: &Settings, is_echoed: bool, state: &AppState) -> Result<usize, ApiError> {
    let context = state.models()?.base().actor.engine.context_tokens_max();
    let most = state.limits.reply_tokens_max.unwrap_or(context);
    let prompt_tokens = prompt.tokens.len();
    if let Some(asked) = settings.max_tokens.filter(|asked| *asked > most) {
        return Err(ApiError::invalid("max_tokens", format!("`max_tokens` is {asked}; it must be at most {most}")));
    }
    let least = usize::from(!is_echoed);
    let wanted = settings.max_tokens.unwrap_or(least);
    if wanted < least {
        return Err(ApiError::invalid("max_tokens", "`max_tokens` is 0; it must be at least 1 unless `echo` is set"));
    }
    if prompt_tokens.saturating_add(wanted) > context {
        let message = format!(
            "the context of this model is {context} tokens, but the prompt has {prompt_tokens} and the answer may have {wanted}\nhint: shorten the prompt or lower `max_tokens`"
        );
        return Err(ApiError::new(ErrorKind::ContextLength, message));
    }
    Ok(settings.max_tokens.unwrap_or_else(|| most.min(context - prompt_tokens)))
}
