//! Steps into passes, and what is wanted out of them.
//!
//! Steps of few tokens and the others never share a pass: what a generating request gets does not depend on whether
//! somebody reads a prompt beside it. That costs one more reading of the weights in a pass of both kinds.

use candle_core::{DType, Tensor};
use codeact_ops::embedding;
use codeact_ops::paged::{DECODE_TOKENS_MAX, Plan, Sequence, Tables};
use codeact_ops::recording::download;
use codeact_ops::sampling::{self, NO_TOKEN};

use super::CardModel;
use super::adapters::{self, ADDED_MAX, SLOT_COUNT};
use super::pass::{Buffers, Rows};
use super::small::{ROWS_MAX, Small, SmallPass};
use crate::ModelError;
use crate::serving::pass::{WantedRow, check, wanted_rows};
use crate::serving::{Choice, Row, Step, Wanted};

type OnRow<'a> = &'a mut dyn FnMut(usize, usize, Row<'_>);

/// What is given back of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Token,
    Logits,
    Hidden,
}

/// Where the rows of a pass are.
struct Outputs<'a> {
    hidden: &'a Tensor,
    logits: Option<&'a Tensor>,
    tokens: Option<&'a Tensor>,
}

impl CardModel {
    /// As [`crate::serving::ServedModel::forward`]; no step wants tokens.
    ///
    /// # Errors
    /// When a step has no tokens, a token that the model does not know, or too few pages, and nothing is computed then; or
    /// when the card fails.
    pub fn forward(
        &mut self,
        steps: &[Step<'_>],
        on_row: &mut dyn FnMut(usize, usize, &mut [f32]),
    ) -> Result<(), ModelError> {
        if steps.iter().any(|step| matches!(step.wanted, Wanted::Tokens { .. })) {
            return Err(ModelError::Batch("tokens are wanted, and only values are given".to_owned()));
        }
        self.forward_rows(steps, &mut |step, token, row| {
            if let Row::Values(values) = row {
                on_row(step, token, values);
            }
        })
    }

    /// As [`CardModel::forward`], and where a step wants tokens, tokens that are chosen on the card. The rows of a step
    /// come in the order of its tokens, those of different steps in any.
    ///
    /// # Errors
    /// As [`CardModel::forward`].
    pub fn forward_rows(&mut self, steps: &[Step<'_>], on_row: OnRow<'_>) -> Result<(), ModelError> {
        check(steps, self.config.vocab_size, self.page_count)?;
        let is_small = |index: &usize| steps[*index].token_ids.len() <= DECODE_TOKENS_MAX;
        let (small, large): (Vec<usize>, Vec<usize>) = (0..steps.len()).partition(is_small);
        for indices in [small, large] {
            let mut left = &indices[..];
            while !left.is_empty() {
                let part: Vec<Step<'_>> = left.iter().map(|index| steps[*index]).collect();
                let mut count = part.len();
                while count > 1 && !self.has_room(&part[..count])? {
                    count = count.div_ceil(2);
                }
                let (now, later) = left.split_at(count);
                left = later;
                self.forward_part(&part[..count], &mut |step, token, row| on_row(now[step], token, row))?;
            }
        }
        Ok(())
    }

    /// Chooses a token after every new token of every step, on the card.
    ///
    /// * `choices`: one for each new token, step after step.
    /// * Returns as many tokens, [`codeact_ops::sampling::NO_TOKEN`] where no logit is finite.
    ///
    /// # Errors
    /// As [`CardModel::forward`], and when there are other choices than tokens.
    pub fn choose(&mut self, steps: &[Step<'_>], choices: &[Choice]) -> Result<Vec<u32>, ModelError> {
        let count: usize = steps.iter().map(|step| step.token_ids.len()).sum();
        if choices.len() != count || !self.chooses() {
            let (vocab_size, most) = (self.config.vocab_size, sampling::TOKENS_MAX);
            let what = format!("{} choices for {count} new tokens of {vocab_size}, at most {most}", choices.len());
            return Err(ModelError::Batch(what));
        }
        let (mut own, mut firsts, mut first) = (Vec::with_capacity(steps.len()), Vec::new(), 0);
        for step in steps {
            let choices = &choices[first..first + step.token_ids.len()];
            own.push(Step { wanted: Wanted::Tokens { from: 0, choices }, ..*step });
            firsts.push(first);
            first += step.token_ids.len();
        }
        let mut tokens = vec![NO_TOKEN; count];
        self.forward_rows(&own, &mut |step, token, row| {
            if let Row::Token(Some(id)) = row {
                tokens[firsts[step] + token] = id;
            }
        })?;
        Ok(tokens)
    }

    /// Whether tokens are chosen on the card; a model with more tokens than the kernel takes gives logits instead.
    pub fn chooses(&self) -> bool {
        self.config.vocab_size + ADDED_MAX <= sampling::TOKENS_MAX
    }

    fn forward_part(&mut self, steps: &[Step<'_>], on_row: OnRow<'_>) -> Result<(), ModelError> {
        let plan = self.plan(steps)?;
        let wanted = wanted_rows(steps);
        if !Small::takes(&plan, &self.model()) {
            return self.run_large(steps, &plan, &wanted, on_row);
        }
        let choices = self.choices(steps, &wanted, plan.row_count(), |at| wanted[at].row);
        let has_choices = choices.is_some();
        let logits = self.run_small(steps, plan, choices)?;
        let Some(small) = &self.small else { return Ok(()) };
        let (hidden, tokens) = (small.hidden().clone(), small.tokens.clone());
        let outputs = Outputs { hidden: &hidden, logits: Some(&logits), tokens: has_choices.then_some(&tokens) };
        self.give(steps, &wanted, &outputs, |at| wanted[at].row, on_row)
    }

    fn run_small(
        &mut self,
        steps: &[Step<'_>],
        plan: Plan,
        choices: Option<Vec<Choice>>,
    ) -> Result<Tensor, ModelError> {
        let ids = steps.iter().flat_map(|step| step.token_ids).copied().collect();
        let (slots, ranks) = self.adapters.of_rows(steps, &self.config)?;
        let mut small = self.small.take().expect("put back below, whatever comes");
        let logits = small.run(SmallPass { plan, ids, slots, ranks, choices }, &self.model(), &self.like);
        self.small = Some(small);
        Ok(logits?)
    }

    /// A pass of any size, queued kernel by kernel.
    fn run_large(
        &mut self,
        steps: &[Step<'_>],
        plan: &Plan,
        wanted: &[WantedRow],
        on_row: OnRow<'_>,
    ) -> Result<(), ModelError> {
        let (slots, ranks) = self.adapters.of_rows(steps, &self.config)?;
        let (model, device) = (self.model(), self.like.device().clone());
        let list = |values: &[u32]| Tensor::from_slice(values, values.len(), &device);
        let ids: Vec<u32> = steps.iter().flat_map(|step| step.token_ids).copied().collect();
        let (ids, row_slots, tables) = (list(&ids)?, list(&slots)?, Tables::new(plan, &self.like)?);
        let buffers = Buffers::new(plan.row_count(), &self.config, model.slots.ranks_max(), &self.like)?;
        model.run(&Rows { ids: &ids, slots: &row_slots, ranks, tables: &tables, buffers: &buffers })?;
        for wanted in wanted.chunks(ROWS_MAX) {
            let rows: Vec<u32> = wanted.iter().map(|at| at.row as u32).collect();
            let hidden = embedding::forward(&buffers.normed, None, &rows)?;
            let Some(small) =
                self.small.as_ref().filter(|_| wanted.iter().any(|at| self.kind(steps, at) != Kind::Hidden))
            else {
                let outputs = Outputs { hidden: &hidden, logits: None, tokens: None };
                self.give(steps, wanted, &outputs, |at| at, on_row)?;
                continue;
            };
            let own: Vec<u32> = wanted.iter().map(|at| slots[at.row]).collect();
            let logits = self.model().head(&hidden, &list(&own)?, ranks > 0, &small.logits)?;
            let tokens = small.tokens.narrow(0, 0, wanted.len())?;
            let choices = self.choices(steps, wanted, wanted.len(), |at| at);
            if let Some(choices) = &choices {
                let words: Vec<u32> = choices.iter().flat_map(Choice::words).collect();
                sampling::choose(&logits, &list(&words)?, &tokens)?;
            }
            let tokens = choices.is_some().then_some(&tokens);
            let outputs = Outputs { hidden: &hidden, logits: Some(&logits), tokens };
            self.give(steps, wanted, &outputs, |at| at, on_row)?;
        }
        Ok(())
    }

    fn kind(&self, steps: &[Step<'_>], at: &WantedRow) -> Kind {
        match steps[at.step].wanted {
            Wanted::Hidden => Kind::Hidden,
            Wanted::Tokens { .. } if self.chooses() => Kind::Token,
            _ => Kind::Logits,
        }
    }

    /// For each of `count` rows how its token is chosen, when any is; `row` says where the wanted ones are.
    fn choices(
        &self,
        steps: &[Step<'_>],
        wanted: &[WantedRow],
        count: usize,
        row: impl Fn(usize) -> usize,
    ) -> Option<Vec<Choice>> {
        let mut all: Option<Vec<Choice>> = None;
        for (at, own) in wanted.iter().enumerate() {
            if let (Kind::Token, Wanted::Tokens { from, choices }) = (self.kind(steps, own), steps[own.step].wanted) {
                all.get_or_insert_with(|| vec![Choice::GREEDY; count])[row(at)] = choices[own.token - from];
            }
        }
        all
    }

    /// Shows what is wanted. Neighbours of one kind come over at once.
    fn give(
        &mut self,
        steps: &[Step<'_>],
        wanted: &[WantedRow],
        outputs: &Outputs<'_>,
        row: impl Fn(usize) -> usize,
        on_row: OnRow<'_>,
    ) -> Result<(), ModelError> {
        let mut tokens = vec![0; outputs.tokens.map_or(0, Tensor::elem_count)];
        if let Some(from) = outputs.tokens {
            download(from, &mut tokens)?;
        }
        let mut host = std::mem::take(&mut self.host);
        let mut first = 0;
        while first < wanted.len() {
            let kind = self.kind(steps, &wanted[first]);
            let is_next = |at: &usize| self.kind(steps, &wanted[*at]) == kind && row(*at) == row(first) + at - first;
            let last = (first..wanted.len()).take_while(is_next).last().map_or(first, |last| last) + 1;
            let own = &wanted[first..last];
            let values = match (kind, outputs.logits) {
                (Kind::Token, _) => {
                    for (at, own) in (first..last).zip(own) {
                        let id = Some(tokens[row(at)]).filter(|id| *id != NO_TOKEN);
                        on_row(own.step, own.token, Row::Token(id));
                    }
                    first = last;
                    continue;
                }
                (Kind::Logits, Some(logits)) => logits,
                _ => outputs.hidden,
            };
            let width = values.dim(1)?;
            read(&values.narrow(0, row(first), own.len())?, &mut host)?;
            for (own, values) in own.iter().zip(host.chunks_exact_mut(width)) {
                // Without the places of tokens that the step's adapter does not have.
                let width = if kind == Kind::Hidden { width } else { self.vocab_size(steps[own.step].adapter) };
                on_row(own.step, own.token, Row::Values(&mut values[..width]));
            }
            first = last;
        }
        self.host = host;
        Ok(())
    }

    fn plan<'a>(&self, steps: &[Step<'a>]) -> Result<Plan, ModelError> {
        let sequence = |step: &Step<'a>| Sequence { pages: step.pages, first: step.first, len: step.token_ids.len() };
        let sequences: Vec<Sequence<'_>> = steps.iter().map(sequence).collect();
        Ok(Plan::new(&sequences, self.config.sliding_window)?)
    }

    /// Whether these steps, all of few tokens or none, go through one pass.
    fn has_room(&self, steps: &[Step<'_>]) -> Result<bool, ModelError> {
        if adapters::count(steps) > SLOT_COUNT {
            return Ok(false);
        }
        let plan = self.plan(steps)?;
        Ok(!plan.tiles.is_empty() || Small::takes(&plan, &self.model()))
    }
}

/// A tensor's values, into the beginning of `host`.
fn read(tensor: &Tensor, host: &mut Vec<f32>) -> candle_core::Result<()> {
    let tensor = if tensor.dtype() == DType::F32 { tensor.clone() } else { tensor.to_dtype(DType::F32)? };
    let count = tensor.elem_count();
    if host.len() < count {
        host.resize(count, 0.0);
    }
    download(&tensor, &mut host[..count])
}
