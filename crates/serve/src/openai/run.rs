//! A request on its way: all its answers, merged into one row of pieces. Dropping it cancels them.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use codeact_engine::{Event, Request, Sampling};
use codeact_grammar::Matcher;

use crate::edge::Record;
use crate::error::ErrorKind;
use crate::models::Target;
use crate::openai::backlog::{Backlog, Entrance};
use crate::openai::choice::{Choice, Piece};
use crate::openai::prompt::Prompt;
use crate::openai::settings::Settings;
use crate::{ApiError, AppState};

/// Log-probabilities that one request gives: of tokens, and of the likeliest in their places.
const LOGPROBS_MAX: usize = 1 << 20;

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
    backlog: Backlog,
    /// Prompt after prompt, and within each answer after answer.
    choices: Vec<Choice>,
    /// For the log, if it wants them.
    texts: Option<String>,
}

impl Run {
    /// # Errors
    /// When the prompts do not fit, or more is asked for than there ever is, or there is no room for all of them now.
    pub fn start(state: &AppState, asked: Asked) -> Result<Run, ApiError> {
        let lengths = check(&asked, state)?;
        let engine = &state.models()?.base().actor.engine;
        // Where nobody reads along, what comes is taken as it comes.
        let bytes_max = if asked.settings.is_stream { state.edge.settings.unread_bytes_max } else { usize::MAX };
        let (entrance, backlog) = Backlog::new(bytes_max);
        let mut choices = Vec::new();
        let matcher = asked.settings.shape.matcher(&asked.target.words)?;
        for (prompt, max_new_tokens) in asked.prompts.iter().zip(lengths) {
            for choice_index in 0..asked.settings.choice_count {
                let request = asked.request(prompt, choice_index, max_new_tokens, matcher.clone());
                backlog.add(engine.submit(request, on_event(entrance.clone(), choices.len()))?);
                let kept_stop = asked.settings.execute_stop().filter(|_| state.agents.settings.keep_execute_stop);
                choices.push(asked.choice(prompt).with_kept_stop(kept_stop));
            }
        }
        let texts = asked.record.is_with_texts().then(String::new);
        let run = Run { asked, backlog, choices, texts };
        run.note_beginning();
        Ok(run)
    }

    /// Whether the last piece of every answer was given out.
    pub fn is_ended(&self) -> bool {
        self.choices.iter().all(Choice::is_ended)
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
            if self.is_ended() {
                return Poll::Ready(None);
            }
            if self.backlog.is_over() {
                let most = self.backlog.bytes_max() >> 10;
                let message = format!("the answer was ended: more than {most} KiB of it waited to be read");
                return Poll::Ready(Some(Err(self.failed(ApiError::new(ErrorKind::Unread, message)))));
            }
            let Some((index, event)) = ready!(self.backlog.poll_next(context)) else {
                return Poll::Ready(Some(Err(self.failed(ApiError::internal("the engine went away")))));
            };
            if matches!(event, Event::Token(_)) {
                self.asked.record.note_token();
            }
            let choice = &mut self.choices[index];
            let prompt = &self.asked.prompts[index / self.asked.settings.choice_count];
            let piece = match choice.take(event, self.asked.is_echoed.then_some(prompt)) {
                Ok(Some(piece)) => piece,
                Ok(None) => continue,
                Err(error) => return Poll::Ready(Some(Err(self.failed(error)))),
            };
            if let Some(texts) = &mut self.texts {
                texts.push_str(&piece.text);
            }
            if let Some(end) = &piece.end {
                self.backlog.end(index);
                self.asked.record.facts().finish = Some(end.reason);
            }
            return Poll::Ready(Some(Ok((index, piece))));
        }
    }

    fn failed(&self, error: ApiError) -> ApiError {
        self.asked.record.facts().error = Some(error.message().to_owned());
        error
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
        self.asked.record.facts().model = Some(self.asked.target.name.to_string());
        self.asked.record.note_prompt(|| {
            let texts: Vec<&str> = self.asked.prompts.iter().map(|prompt| prompt.text.as_str()).collect();
            texts.join("\n")
        });
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

impl Asked {
    fn request(
        &self,
        prompt: &Prompt,
        choice_index: usize,
        max_new_tokens: usize,
        constraint: Option<Matcher>,
    ) -> Request {
        let sampling = Sampling {
            max_new_tokens,
            logprobs: self.logprobs,
            stop_ids: self.stop_ids(),
            ..self.settings.of_choice(choice_index)
        };
        // A prompt that is only repeated is scored, so that the engine has something to do.
        let scored = self.logprobs.or((max_new_tokens == 0).then_some(0));
        Request {
            adapter: self.target.actor.adapter.clone(),
            salt: self.record.salt(self.settings.cache_salt.as_deref()),
            deadline: Some(self.deadline),
            constraint,
            prompt_logprobs: scored.filter(|_| self.is_echoed),
            ..Request::new(prompt.ids(), sampling)
        }
    }

    fn choice(&self, prompt: &Prompt) -> Choice {
        let format = &self.target.actor.format;
        let stream = if self.is_chat { format.stream() } else { format.stream_after(&prompt.ids()) };
        let watch = self.settings.stops.watch(self.settings.is_stop_shown);
        Choice::new(Arc::clone(&self.target.words), stream, watch)
    }

    fn stop_ids(&self) -> Vec<u32> {
        let mut ids = self.settings.stop_ids.clone();
        // A text ends there too: behind the end of a turn the model was never trained to go on.
        ids.extend(self.target.actor.format.end_of_turn_ids().iter().filter(|id| !self.settings.stop_ids.contains(id)));
        ids
    }
}

fn on_event(entrance: Entrance, index: usize) -> Box<dyn FnMut(Event) + Send> {
    Box::new(move |event| entrance.put(index, event))
}

/// Tokens that the answers to each prompt may have.
fn check(asked: &Asked, state: &AppState) -> Result<Vec<usize>, ApiError> {
    let engine = &state.models()?.base().actor.engine;
    let (prompts, settings) = (asked.prompts.len(), &asked.settings);
    let (answers, places) = (prompts * settings.choice_count, engine.places_max());
    if answers > places {
        let message = format!(
            "{prompts} prompts with {} answers each are {answers} sequences; this server has room for {places} at once\nhint: send several requests",
            settings.choice_count
        );
        // Where one prompt alone is too much, it is not the number of prompts.
        return Err(ApiError::invalid(if settings.choice_count > places { "n" } else { "prompt" }, message));
    }
    let lengths = asked.prompts.iter().map(|prompt| new_tokens(asked, prompt, state));
    let lengths = lengths.collect::<Result<Vec<_>, _>>()?;
    let Some(top) = asked.logprobs else { return Ok(lengths) };
    let of = |(prompt, length): (&Prompt, &usize)| length + if asked.is_echoed { prompt.tokens.len() } else { 0 };
    let tokens: usize = asked.prompts.iter().zip(&lengths).map(of).sum();
    let count = tokens.saturating_mul(settings.choice_count).saturating_mul(1 + top);
    if count > LOGPROBS_MAX {
        let message = format!(
            "the answers may have {count} log-probabilities; one request gives {LOGPROBS_MAX} at most\nhint: lower `max_tokens`, or ask for fewer of the likeliest tokens"
        );
        return Err(ApiError::invalid("logprobs", message));
    }
    Ok(lengths)
}

/// Tokens that the answer to a prompt may have.
fn new_tokens(asked: &Asked, prompt: &Prompt, state: &AppState) -> Result<usize, ApiError> {
    let settings = &asked.settings;
    let context = state.models()?.base().actor.engine.context_tokens_max();
    let prompt_tokens = prompt.tokens.len();
    // As the request called it.
    let field = settings.max_tokens_field;
    let most = state.limits.reply_tokens_max;
    if let (Some(wanted), Some(most)) = (settings.max_tokens, most)
        && wanted > most
    {
        return Err(ApiError::invalid(field, format!("`{field}` is {wanted}; it must be at most {most}")));
    }
    let least = usize::from(!asked.is_echoed);
    let wanted = settings.max_tokens.unwrap_or(least);
    if wanted < least {
        let message = format!("`{field}` is 0; it must be at least 1 unless `echo` is set");
        return Err(ApiError::invalid(field, message));
    }
    if prompt_tokens.saturating_add(wanted) > context {
        let message = format!(
            "the context of this model is {context} tokens, but the prompt has {prompt_tokens} and the answer may have {wanted}\nhint: shorten the prompt or lower `{field}`"
        );
        // A prompt that fits by itself is not what is too long.
        let source = if asked.is_chat { "messages" } else { "prompt" };
        let blamed = if prompt_tokens + least > context { source } else { field };
        return Err(ApiError::new(ErrorKind::ContextLength, message).of(blamed));
    }
    let fitting = most.unwrap_or(context).min(context - prompt_tokens);
    Ok(settings.max_tokens.or(settings.tokens_by_default).map_or(fitting, |wanted| wanted.min(fitting)))
}
