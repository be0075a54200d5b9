//! One pass: new tokens of several sequences in, logits or hidden states of some of them out.

use std::ops::Range;

use codeact_cpu::paged::{KvPool, PAGE_TOKENS, Sequence, attention};
use codeact_cpu::{Activations, Angles, LoraUpdate, Matrix, Team, add_assign, add_loras, rms_norm, rope, swiglu};

use super::adapter::ServedAdapter;
use super::projections::Layer;
use super::scratch::{Scratch, sized};
use super::{Choice, Embedding, ServedModel};
use crate::ModelError;
use crate::adapter::Fused;
use crate::config::ModelConfig;

/// Rows whose logits exist at once. Each time the head is read once.
pub(super) const LOGIT_ROWS: usize = 64;

/// New tokens of one sequence.
#[derive(Debug)]
pub struct Step<'a, A = ServedAdapter> {
    /// At least one.
    pub token_ids: &'a [u32],
    /// Tokens before them, which the pages hold already.
    pub first: usize,
    /// The sequence's pages in order, enough for all its tokens. Sequences may share pages that are full.
    pub pages: &'a [u32],
    /// The adapter it goes through.
    pub adapter: Option<&'a A>,
    /// What to give back.
    pub wanted: Wanted<'a>,
}

impl<A> Clone for Step<'_, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for Step<'_, A> {}

/// What a pass gives back of a sequence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wanted<'a> {
    /// Nothing: the prompt goes on.
    Nothing,
    /// Logits after the new tokens from this index on.
    Logits {
        /// Index into the step's tokens.
        from: usize,
    },
    /// The tokens to come after the new tokens from this index on, from a model that chooses some; logits from others.
    Tokens {
        /// Index into the step's tokens.
        from: usize,
        /// How each of them is chosen.
        choices: &'a [Choice],
    },
    /// The final norm of every new token.
    Hidden,
}

/// What a pass gives back of one token of a sequence.
#[derive(Debug, PartialEq)]
pub enum Row<'a> {
    /// Logits, `(V,)` with the adapter's new tokens last, or the final norm, `(C,)`. They may be changed.
    Values(&'a mut [f32]),
    /// The token that comes next; `None` where no logit is finite.
    Token(Option<u32>),
}

impl Wanted<'_> {
    /// The step's tokens of which something is given back.
    pub fn tokens(self, token_count: usize) -> Range<usize> {
        match self {
            Self::Nothing => token_count..token_count,
            Self::Logits { from } | Self::Tokens { from, .. } => from.min(token_count)..token_count,
            Self::Hidden => 0..token_count,
        }
    }
}

impl ServedModel {
    /// Runs the new tokens of all `steps` and writes their keys and values into the pages.
    ///
    /// `on_row` gets, in order, the index of a step, the index of a token in it, and what is wanted of it: logits,
    /// `(V,)` with the adapter's new tokens last, or the final norm, `(C,)`. It may change the values.
    ///
    /// # Errors
    /// When a step has no tokens, a token that the model does not know, or too few pages. Nothing is computed then.
    pub fn forward(
        &mut self,
        steps: &[Step<'_>],
        on_row: &mut dyn FnMut(usize, usize, &mut [f32]),
    ) -> Result<(), ModelError> {
        check(steps, self.config.vocab_size, self.page_count())?;
        if !steps.is_empty() {
            let Self { config, team, embedding, layers, norm, head, pool, scratch, .. } = self;
            Pass { config, team, embedding, layers, norm, head, pool, scratch, steps }.run(on_row);
        }
        Ok(())
    }
}

/// Refuses steps that a model of this vocabulary and so many pages cannot run.
pub(super) fn check(steps: &[Step<'_>], vocab_size: usize, page_count: usize) -> Result<(), ModelError> {
    for (index, step) in steps.iter().enumerate() {
        let refuse = |what: String| Err(ModelError::Batch(format!("sequence {index}: {what}")));
        if step.token_ids.is_empty() {
            return refuse("no new tokens".to_owned());
        }
        let end = step.first + step.token_ids.len();
        if end > step.pages.len() * PAGE_TOKENS {
            return refuse(format!("{} pages for {end} tokens", step.pages.len()));
        }
        if let Some(page) = step.pages.iter().find(|page| **page as usize >= page_count) {
            return refuse(format!("page {page} of {page_count}"));
        }
        if let Wanted::Tokens { from, choices } = step.wanted
            && choices.len() != step.token_ids.len().saturating_sub(from)
        {
            return refuse(format!("{} choices for {} tokens from {from} on", choices.len(), step.token_ids.len()));
        }
        let vocab_size = vocab_size + step.adapter.map_or(0, ServedAdapter::new_token_count);
        if let Some(id) = step.token_ids.iter().find(|id| **id as usize >= vocab_size) {
            return refuse(format!("token {id} of a vocabulary of {vocab_size}"));
        }
    }
    Ok(())
}

/// Rows that go through the same adapter.
struct Group<'a> {
    rows: Range<usize>,
    adapter: &'a ServedAdapter,
}

/// A row of which something is wanted.
pub(super) struct WantedRow {
    pub(super) step: usize,
    pub(super) token: usize,
    /// Among all rows of the pass.
    pub(super) row: usize,
}

struct Pass<'a> {
    config: &'a ModelConfig,
    team: &'a Team,
    embedding: &'a Embedding,
    layers: &'a [Layer],
    norm: &'a [f32],
    head: &'a Matrix,
    pool: &'a mut KvPool,
    scratch: &'a mut Scratch,
    steps: &'a [Step<'a>],
}

impl Pass<'_> {
    fn run(&mut self, on_row: &mut dyn FnMut(usize, usize, &mut [f32])) {
        let steps = self.steps;
        let sequences: Vec<Sequence<'_>> = steps
            .iter()
            .map(|step| Sequence { pages: step.pages, first: step.first, len: step.token_ids.len() })
            .collect();
        let positions = sequences.iter().flat_map(|sequence| sequence.first..sequence.first + sequence.len);
        let angles = Angles::new(positions, &self.config.rotary.inverse_frequencies);
        let tokens = sequences.iter().map(|sequence| sequence.len).sum();
        let groups = groups(steps.iter().flat_map(|step| std::iter::repeat_n(step.adapter, step.token_ids.len())));
        self.embed(tokens);
        let last = self.layers.len() - 1;
        for layer in 0..last {
            self.attend(layer, tokens, &sequences, &angles, &groups);
            self.settle(layer, tokens, &groups);
        }
        self.attend(last, tokens, &sequences, &angles, &groups);
        // Nobody reads the other rows any more: the keys and values of all are in their pages.
        let wanted = wanted_rows(steps);
        self.keep(&wanted);
        let groups = self::groups(wanted.iter().map(|row| steps[row.step].adapter));
        self.settle(last, wanted.len(), &groups);
        self.give(&wanted, on_row);
    }

    /// Token embeddings into the stream.
    fn embed(&mut self, tokens: usize) {
        let width = self.config.hidden_size;
        let ids = self.steps.iter().flat_map(|step| step.token_ids.iter().map(|id| (*id as usize, step.adapter)));
        let stream = sized(&mut self.scratch.stream, tokens * width);
        for (row, (id, adapter)) in stream.chunks_exact_mut(width).zip(ids) {
            match (id.checked_sub(self.config.vocab_size), self.embedding) {
                (None, Embedding::Head) => self.head.decode_row(id, row),
                (None, Embedding::Own(table)) => table.row(id, row),
                (None, Embedding::Lent(matrix)) => matrix.decode_row(id, row),
                (Some(new), _) => {
                    let tokens = adapter.and_then(ServedAdapter::new_tokens).expect("ids were checked");
                    row.copy_from_slice(tokens.embedding(new));
                }
            }
        }
    }

    /// What attention of a layer gives, into `inner`.
    fn attend(
        &mut self,
        layer: usize,
        tokens: usize,
        sequences: &[Sequence<'_>],
        angles: &Angles,
        groups: &[Group<'_>],
    ) {
        let (config, weights) = (self.config, &self.layers[layer]);
        let rotated = config.head_count + config.kv_head_count;
        let qkv_width = (rotated + config.kv_head_count) * config.head_width;
        let Scratch { stream, normed, qkv, inner, activations, side, .. } = &mut *self.scratch;
        let width = config.hidden_size;
        let normed = sized(normed, tokens * width);
        rms_norm(self.team, &stream[..tokens * width], &weights.attention_norm, config.rms_norm_eps, normed);
        let qkv = sized(qkv, tokens * qkv_width);
        project(self.team, (weights, layer, Fused::Qkv), groups, (activations, side), normed, qkv);
        rope(self.team, qkv, qkv_width, rotated, angles);
        self.pool.write(self.team, layer, sequences, qkv);
        let inner = sized(inner, tokens * config.head_count * config.head_width);
        attention(self.team, self.pool, layer, sequences, qkv, config.sliding_window, inner);
    }

    /// Adds to the stream what a layer makes of `inner`: the output projection of attention, then the MLP.
    fn settle(&mut self, layer: usize, tokens: usize, groups: &[Group<'_>]) {
        let (config, weights) = (self.config, &self.layers[layer]);
        let Scratch { stream, normed, inner, gate_up, update, activations, side, .. } = &mut *self.scratch;
        let (width, inner_width) = (config.hidden_size, config.intermediate_size);
        let stream = &mut stream[..tokens * width];
        let update = sized(update, tokens * width);
        let attended = &inner[..tokens * config.head_count * config.head_width];
        project(self.team, (weights, layer, Fused::Output), groups, (activations, side), attended, update);
        add_assign(self.team, stream, update);
        let normed = sized(normed, tokens * width);
        rms_norm(self.team, stream, &weights.mlp_norm, config.rms_norm_eps, normed);
        let gate_up = sized(gate_up, tokens * 2 * inner_width);
        project(self.team, (weights, layer, Fused::GateUp), groups, (activations, side), normed, gate_up);
        let inner = sized(inner, tokens * inner_width);
        swiglu(self.team, gate_up, inner_width, inner);
        project(self.team, (weights, layer, Fused::Down), groups, (activations, side), inner, update);
        add_assign(self.team, stream, update);
    }

    /// Moves the wanted rows of the stream and of `inner` to the front.
    fn keep(&mut self, wanted: &[WantedRow]) {
        let attended = self.config.head_count * self.config.head_width;
        let Scratch { stream, inner, .. } = &mut *self.scratch;
        for (buffer, width) in [(stream, self.config.hidden_size), (inner, attended)] {
            for (to, WantedRow { row, .. }) in wanted.iter().enumerate() {
                buffer.copy_within(row * width..(row + 1) * width, to * width);
            }
        }
    }

    /// Shows what is wanted: the final norm of the stream's rows, or the logits after them.
    fn give(&mut self, wanted: &[WantedRow], on_row: &mut dyn FnMut(usize, usize, &mut [f32])) {
        let (width, rows) = (self.config.hidden_size, wanted.len());
        let Scratch { stream, normed, logits, activations, .. } = &mut *self.scratch;
        let normed = sized(normed, rows * width);
        rms_norm(self.team, &stream[..rows * width], self.norm, self.config.rms_norm_eps, normed);
        let (mut wanted, mut normed) = (wanted, normed);
        while let Some(first) = wanted.first() {
            let hidden = is_hidden(self.steps[first.step].wanted);
            let alike = |row: &&WantedRow| is_hidden(self.steps[row.step].wanted) == hidden;
            let count = wanted.iter().take_while(alike).take(LOGIT_ROWS).count();
            let (now, later) = wanted.split_at(count);
            let (values, rest) = normed.split_at_mut(count * width);
            (wanted, normed) = (later, rest);
            if hidden {
                let rows = now.iter().zip(values.chunks_exact_mut(width));
                rows.for_each(|(row, values)| on_row(row.step, row.token, values));
                continue;
            }
            let adapters = now.iter().map(|row| self.steps[row.step].adapter);
            let rows = self::logits(self.team, self.head, adapters, activations, values, logits);
            now.iter().zip(rows).for_each(|(row, values)| on_row(row.step, row.token, values));
        }
    }
}

/// Logits after normed rows, one slice each: `(V,)`, with the new tokens of the row's adapter last. The head is read once
/// for all rows, whatever their adapters.
fn logits<'a, 'b>(
    team: &Team,
    head: &Matrix,
    adapters: impl ExactSizeIterator<Item = Option<&'b ServedAdapter>> + Clone,
    activations: &mut Activations,
    normed: &[f32],
    out: &'a mut Vec<f32>,
) -> Vec<&'a mut [f32]> {
    let (rows, columns, vocab_size) = (adapters.len(), head.columns(), head.rows());
    let added = |adapter: Option<&'b ServedAdapter>| adapter.and_then(ServedAdapter::new_tokens);
    let counts = || adapters.clone().map(|adapter| added(adapter).map_or(0, |new| new.head().rows()));
    let added_count: usize = counts().sum();
    // Rows of different lengths are put together behind the products that they are made of.
    let (base, rest) = sized(out, (rows + usize::from(added_count > 0) * rows) * vocab_size + 2 * added_count)
        .split_at_mut(rows * vocab_size);
    activations.set(team, normed, rows, columns, head.wants());
    head.multiply(team, activations, base);
    if added_count == 0 {
        return base.chunks_exact_mut(vocab_size).collect();
    }
    let (mut products, mut joined) = rest.split_at_mut(added_count);
    let mut results = Vec::with_capacity(rows);
    let groups = groups(adapters.clone().map(|adapter| adapter.filter(|adapter| adapter.new_tokens().is_some())));
    for Group { rows, adapter } in groups {
        let Some(new) = added(Some(adapter)) else { continue };
        let (own, later) = products.split_at_mut(rows.len() * new.head().rows());
        products = later;
        let x = &normed[rows.start * columns..rows.end * columns];
        activations.set(team, x, rows.len(), columns, new.head().wants());
        new.head().multiply(team, activations, own);
        results.push(own);
    }
    let mut added_rows = results.into_iter().flat_map(|own| own.iter());
    let joined_rows = base.chunks_exact(vocab_size).zip(counts()).map(|(base, count)| {
        let (row, later) = std::mem::take(&mut joined).split_at_mut(vocab_size + count);
        joined = later;
        row[..vocab_size].copy_from_slice(base);
        row[vocab_size..].iter_mut().for_each(|logit| *logit = *added_rows.next().expect("one for each new token"));
        row
    });
    joined_rows.collect()
}

/// `y = x Wᵀ` for all rows, and the pairs of the adapters for those that have one.
fn project(
    team: &Team,
    (weights, layer, fused): (&Layer, usize, Fused),
    groups: &[Group<'_>],
    (activations, side): (&mut Activations, &mut Vec<f32>),
    x: &[f32],
    y: &mut [f32],
) {
    let matrix = weights.projection(fused);
    let (c_in, c_out) = (matrix.columns(), matrix.rows());
    activations.set(team, x, x.len() / c_in, c_in, matrix.wants());
    matrix.multiply(team, activations, y);
    let updates = groups.iter().flat_map(|Group { rows, adapter }| {
        let pairs = adapter.pairs(layer, fused);
        pairs.map(|(first_column, lora)| LoraUpdate { rows: rows.clone(), lora, first_column })
    });
    add_loras(team, x, y, c_out, &updates.collect::<Vec<_>>(), side);
    for Group { rows, adapter } in groups {
        for (first, factors) in adapter.factors(layer, fused) {
            for y in y[rows.start * c_out..rows.end * c_out].chunks_exact_mut(c_out) {
                y[first..].iter_mut().zip(factors).for_each(|(y, factor)| *y *= factor);
            }
        }
    }
}

pub(super) fn wanted_rows(steps: &[Step<'_>]) -> Vec<WantedRow> {
    let mut wanted = Vec::new();
    let mut first = 0;
    for (step, Step { token_ids, wanted: rows, .. }) in steps.iter().enumerate() {
        wanted.extend(rows.tokens(token_ids.len()).map(|token| WantedRow { step, token, row: first + token }));
        first += token_ids.len();
    }
    wanted
}

/// Runs of rows with the same adapter; rows without one are in none.
fn groups<'a>(adapters: impl Iterator<Item = Option<&'a ServedAdapter>>) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for (row, adapter) in adapters.enumerate() {
        let Some(adapter) = adapter else { continue };
        match groups.last_mut() {
            Some(group) if group.rows.end == row && group.adapter.id() == adapter.id() => group.rows.end += 1,
            _ => groups.push(Group { rows: row..row + 1, adapter }),
        }
    }
    groups
}

fn is_hidden(wanted: Wanted<'_>) -> bool {
    wanted == Wanted::Hidden
}
