//! One pass: new tokens of several sequences in, logits or hidden states of some of them out.

use std::ops::Range;

use codeact_cpu::paged::{KvPool, PAGE_TOKENS, Sequence, attention};
use codeact_cpu::{Activations, Angles, Matrix, Team, add_assign, add_lora, rms_norm, rope, swiglu};

use super::adapter::ServedAdapter;
use super::projections::Layer;
use super::scratch::{Scratch, sized};
use super::{Embedding, ServedModel};
use crate::ModelError;
use crate::adapter::Fused;
use crate::config::ModelConfig;

/// Rows whose logits exist at once.
const LOGIT_ROWS: usize = 32;

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
    pub wanted: Wanted,
}

/// What a pass gives back of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing: the prompt goes on.
    Nothing,
    /// Logits after the new tokens from this index on.
    Logits {
        /// Index into the step's tokens.
        from: usize,
    },
    /// The final norm of every new token.
    Hidden,
}

impl Wanted {
    /// The step's tokens of which something is given back.
    pub fn tokens(self, token_count: usize) -> Range<usize> {
        match self {
            Self::Nothing => token_count..token_count,
            Self::Logits { from } => from.min(token_count)..token_count,
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
        let Scratch { stream, normed, qkv, inner, activations, .. } = &mut *self.scratch;
        let width = config.hidden_size;
        let normed = sized(normed, tokens * width);
        rms_norm(self.team, &stream[..tokens * width], &weights.attention_norm, config.rms_norm_eps, normed);
        let qkv = sized(qkv, tokens * qkv_width);
        project(self.team, (weights, layer, Fused::Qkv), groups, activations, normed, qkv);
        rope(self.team, qkv, qkv_width, rotated, angles);
        self.pool.write(self.team, layer, sequences, qkv);
        let inner = sized(inner, tokens * config.head_count * config.head_width);
        attention(self.team, self.pool, layer, sequences, qkv, config.sliding_window, inner);
    }

    /// Adds to the stream what a layer makes of `inner`: the output projection of attention, then the MLP.
    fn settle(&mut self, layer: usize, tokens: usize, groups: &[Group<'_>]) {
        let (config, weights) = (self.config, &self.layers[layer]);
        let Scratch { stream, normed, inner, gate_up, update, activations, .. } = &mut *self.scratch;
        let (width, inner_width) = (config.hidden_size, config.intermediate_size);
        let stream = &mut stream[..tokens * width];
        let update = sized(update, tokens * width);
        let attended = &inner[..tokens * config.head_count * config.head_width];
        project(self.team, (weights, layer, Fused::Output), groups, activations, attended, update);
        add_assign(self.team, stream, update);
        let normed = sized(normed, tokens * width);
        rms_norm(self.team, stream, &weights.mlp_norm, config.rms_norm_eps, normed);
        let gate_up = sized(gate_up, tokens * 2 * inner_width);
        project(self.team, (weights, layer, Fused::GateUp), groups, activations, normed, gate_up);
        let inner = sized(inner, tokens * inner_width);
        swiglu(self.team, gate_up, inner_width, inner);
        project(self.team, (weights, layer, Fused::Down), groups, activations, inner, update);
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
            let step = &self.steps[first.step];
            // Rows of the same adapter have logits of the same width.
            let alike = |row: &&WantedRow| {
                let other = &self.steps[row.step];
                is_same(other.adapter, step.adapter) && is_hidden(other.wanted) == is_hidden(step.wanted)
            };
            let count = wanted.iter().take_while(alike).take(LOGIT_ROWS).count();
            let (now, later) = wanted.split_at(count);
            let (values, rest) = normed.split_at_mut(count * width);
            (wanted, normed) = (later, rest);
            let (values, width) = match step.wanted {
                Wanted::Hidden => (values, width),
                _ => self::logits(self.team, self.head, step.adapter, activations, values, count, logits),
            };
            for (row, values) in now.iter().zip(values.chunks_exact_mut(width)) {
                on_row(row.step, row.token, values);
            }
        }
    }
}

/// Logits after normed rows, `(rows, V)`, and `V`.
fn logits<'a>(
    team: &Team,
    head: &Matrix,
    adapter: Option<&ServedAdapter>,
    activations: &mut Activations,
    normed: &[f32],
    rows: usize,
    out: &'a mut Vec<f32>,
) -> (&'a mut [f32], usize) {
    let Some(new) = adapter.and_then(ServedAdapter::new_tokens) else {
        let out = sized(out, rows * head.rows());
        activations.set(team, normed, rows, head.columns(), head.wants());
        head.multiply(team, activations, out);
        return (out, head.rows());
    };
    // Behind the joined rows, the two products that they are made of.
    let (first, second) = (head.rows(), new.head().rows());
    let width = first + second;
    let (out, parts) = sized(out, 2 * rows * width).split_at_mut(rows * width);
    let (base, added) = parts.split_at_mut(rows * first);
    activations.set(team, normed, rows, head.columns(), head.wants().and(new.head().wants()));
    head.multiply(team, activations, base);
    new.head().multiply(team, activations, added);
    for (row, out) in out.chunks_exact_mut(width).enumerate() {
        out[..first].copy_from_slice(&base[row * first..][..first]);
        out[first..].copy_from_slice(&added[row * second..][..second]);
    }
    (out, width)
}

/// `y = x Wᵀ` for all rows, and the pairs of the adapters for those that have one.
fn project(
    team: &Team,
    (weights, layer, fused): (&Layer, usize, Fused),
    groups: &[Group<'_>],
    activations: &mut Activations,
    x: &[f32],
    y: &mut [f32],
) {
    let matrix = weights.projection(fused);
    let (c_in, c_out) = (matrix.columns(), matrix.rows());
    activations.set(team, x, x.len() / c_in, c_in, matrix.wants());
    matrix.multiply(team, activations, y);
    for Group { rows, adapter } in groups {
        let (x, y) = (&x[rows.start * c_in..rows.end * c_in], &mut y[rows.start * c_out..rows.end * c_out]);
        for (column, lora) in adapter.pairs(layer, fused) {
            add_lora(team, x, lora, y, c_out, column);
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

fn is_same(one: Option<&ServedAdapter>, other: Option<&ServedAdapter>) -> bool {
    one.map(ServedAdapter::id) == other.map(ServedAdapter::id)
}

fn is_hidden(wanted: Wanted) -> bool {
    wanted == Wanted::Hidden
}
