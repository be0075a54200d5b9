//! The joint to the model: what the worker needs of one, and how a decoder gives it.

use candle_core::{CpuStorage, Storage, Tensor};
use codeact_model::{Adapter, Continuation, Decoder, KvCache};

/// New tokens of one sequence, and its cache, which holds what precedes them.
pub(crate) type Step<'a, C> = (&'a [u32], &'a mut C);

/// A model that continues sequences. The worker is written against this, so its tests can use one that fails.
pub(crate) trait Forward: Send + 'static {
    /// What one sequence has computed.
    type Cache: Send;

    fn new_cache(&self) -> Self::Cache;

    /// Forgets all tokens from `token_count` on.
    fn truncate(cache: &mut Self::Cache, token_count: usize);

    /// Bytes held.
    fn bytes(cache: &Self::Cache) -> usize;

    /// Tokens the model knows, those that an adapter adds included.
    fn vocab_size(&self) -> usize;

    /// The longest sequence the model was made for.
    fn context_tokens_max(&self) -> usize;

    /// One pass over all `steps`. `on_logits` gets, for each, its index and the `(V,)` logits after its last token.
    ///
    /// # Errors
    /// What the model said. The caches are then not to be used any more.
    fn forward(
        &self,
        steps: &mut [Step<'_, Self::Cache>],
        on_logits: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), String>;
}

/// A decoder with the adapter it is used with.
pub(crate) struct AdaptedDecoder {
    pub decoder: Decoder,
    pub adapter: Option<Adapter>,
}

impl Forward for AdaptedDecoder {
    type Cache = KvCache;

    fn new_cache(&self) -> KvCache {
        self.decoder.new_cache()
    }

    fn truncate(cache: &mut KvCache, token_count: usize) {
        cache.truncate(token_count);
    }

    fn bytes(cache: &KvCache) -> usize {
        cache.byte_count()
    }

    fn vocab_size(&self) -> usize {
        self.decoder.config().vocab_size + self.adapter.as_ref().map_or(0, Adapter::new_token_count)
    }

    fn context_tokens_max(&self) -> usize {
        self.decoder.config().context_tokens_max
    }

    fn forward(&self, steps: &mut [Step<'_, KvCache>], on_logits: &mut dyn FnMut(usize, &[f32])) -> Result<(), String> {
        let mut sequences: Vec<Continuation<'_>> =
            steps.iter_mut().map(|(token_ids, cache)| Continuation { token_ids, cache }).collect();
        let logits =
            self.decoder.forward_cached(self.adapter.as_ref(), &mut sequences).map_err(|error| with_sources(&error))?;
        each_row(&logits, on_logits).map_err(|error| with_sources(&error))
    }
}

/// Shows the rows of `(S, V)` f32 logits: where they lie on the CPU, copied once from elsewhere.
fn each_row(logits: &Tensor, on_row: &mut dyn FnMut(usize, &[f32])) -> candle_core::Result<()> {
    let (_, vocab_size) = logits.dims2()?;
    let mut show = |values: &[f32]| {
        let rows = values.chunks_exact(vocab_size).enumerate();
        rows.for_each(|(index, row)| on_row(index, row));
    };
    let (storage, layout) = logits.storage_and_layout();
    if let (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) = (&*storage, layout.contiguous_offsets()) {
        show(&values[start..end]);
        return Ok(());
    }
    drop(storage);
    show(&logits.flatten_all()?.to_vec1::<f32>()?);
    Ok(())
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        // Some errors repeat their source in their own text.
        if !text.contains(&inner.to_string()) {
            text.push_str(&format!(": {inner}"));
        }
        source = inner.source();
    }
    text
}
