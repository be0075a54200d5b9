//! What a decoder takes while it is served out of the memory it is trained in, by arithmetic, before there is any.

use codeact_cpu::paged::{KvFormat, KvPool, PAGE_TOKENS};
use codeact_ops::paged::Pages;

use super::card;
use super::scratch::Scratch;
use crate::Workload;
use crate::adapter::Fused;
use crate::weights::Weights;

/// What is served, and in what portions.
#[derive(Debug, Clone)]
pub struct LiveShape<'a> {
    /// What is trained, and where.
    pub workload: &'a Workload,
    /// Tokens of a pass at most.
    pub pass_tokens: usize,
}

impl LiveShape<'_> {
    /// Tokens that a page holds.
    pub const PAGE_TOKENS: usize = PAGE_TOKENS;

    /// Bytes of one page in all layers.
    pub fn page_bytes(&self) -> usize {
        let (config, weights) = (&self.workload.model, self.workload.weights.dtype());
        if self.workload.is_on_card {
            return config.layer_count * Pages::page_bytes(weights, &config.attention(weights));
        }
        let kv = if self.workload.weights == Weights::F32 { KvFormat::F32 } else { KvFormat::F16 };
        KvPool::page_bytes(config.layer_count, config.kv_head_count, config.head_width, kv)
    }

    /// Bytes of everything but the weights: so many pages, what passes compute in, a copy of the adapter, and where
    /// weights are in 4 bits the largest one expanded.
    pub fn bytes(&self, page_count: usize) -> usize {
        let (config, parameters) = (&self.workload.model, self.workload.parameter_count());
        let passes = match self.workload.is_on_card {
            true => card::live_bytes(config, self.workload.weights.dtype(), page_count, self.pass_tokens),
            false => Scratch::byte_count(config, self.pass_tokens),
        };
        let expanded =
            |fused: &Fused| fused.targets().iter().map(|target| target.widths(config)).map(|(a, b)| a * b).sum();
        let expanded = match self.workload.weights {
            Weights::Nf4 => Fused::ALL.iter().map(expanded).max().unwrap_or(0_usize),
            _ => 0,
        };
        // An adapter on the host, and in f32 or less on the card. Weights that are all trained are served as they lie.
        let copies = if self.workload.lora.is_some() { 2 * parameters * size_of::<f32>() } else { 0 };
        page_count * self.page_bytes() + passes + copies + expanded * size_of::<u16>()
    }

    /// The most pages, up to `wanted`, that take no more than `bytes` with all the rest; `None` when not even `least` do.
    pub fn pages_within(&self, bytes: usize, least: usize, wanted: usize) -> Option<usize> {
        let mut pages = wanted.max(least);
        while self.bytes(pages) > bytes {
            if pages == least {
                return None;
            }
            pages = (pages - pages.div_ceil(16)).max(least);
        }
        Some(pages)
    }
}
