//! A model for serving: packed weights, keys and values in pages, many adapters in one pass.
//!
//! Beside [`crate::Decoder`], which learns, because the two want opposite things: learning keeps activations and walks
//! weights both ways; serving reads every weight once for one token, and is as fast as memory if weights lie packed in
//! the order in which they are read. Both are held to the same golden references.
//!
//! What a pass computes for a row depends on that row and its positions alone, bit for bit: not on its company, not on
//! how a prompt was cut, not on which pages hold it ([`codeact_cpu`]).

mod adapter; // LoRA pairs in the layout of passes
pub mod card; // the same on a card
mod live; // out of the memory that it is trained in
mod live_memory; // what that takes
mod options; // what a caller may ask for
mod pass; // one pass
mod projections; // packed weights of a layer
mod scratch; // what a pass computes in
mod tensors; // weights out of safetensors or GGUF

pub use adapter::ServedAdapter;
pub use codeact_ops::sampling::Choice;
pub use live_memory::LiveShape;
pub use options::{ServedWeights, ServingOptions, ServingPlace};
pub use pass::{Row, Step, Wanted};

use codeact_cpu::paged::{KvFormat, KvPool, PAGE_TOKENS};
use codeact_cpu::{Isa, Matrix, Team};

use crate::ModelError;
use crate::config::ModelConfig;
use crate::source::ModelFiles;

use projections::Layer;
use scratch::Scratch;
use tensors::{Table, Tensors};

/// A model that continues sequences whose keys and values lie in its pages. Who owns which page is the caller's affair.
pub struct ServedModel {
    config: ModelConfig,
    team: Team,
    embedding: Embedding,
    layers: Vec<Layer>,
    /// Weight of the final norm, `(C,)`.
    norm: Vec<f32>,
    head: Matrix,
    pool: KvPool,
    scratch: Scratch,
    facts: Facts,
}

/// Where the rows of the embedding are.
enum Embedding {
    /// In the head: the model ties them.
    Head,
    Own(Table),
    /// The decoder that is trained has them.
    Lent(Matrix),
}

/// What a person wants to know about a loaded model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Bytes of the packed weights.
    pub weight_bytes: usize,
    /// Bytes of weights that one decoded token reads: all but the embedding.
    pub token_bytes: usize,
    /// Weights of the projections and the head.
    pub weight_count: usize,
    /// Formats of the weights, by how many bytes they take, largest first.
    pub formats: Vec<&'static str>,
    /// Bytes of all pages when all are in use.
    pub page_bytes: usize,
    /// Bytes of the keys and values of one token in all layers.
    pub kv_bytes_per_token: usize,
    /// What computes.
    pub on: Compute,
}

/// What computes the passes of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compute {
    /// Threads of this process.
    Processor {
        /// How many share a pass.
        threads: usize,
        /// Instructions that the kernels use.
        isa: Isa,
    },
    /// A GPU of this name.
    Card(String),
}

impl ServedModel {
    /// Loads a model.
    ///
    /// # Errors
    /// When a file cannot be read or does not fit its config, or the memory for pages holds less than one sequence of
    /// 256 tokens; the message names the file and the tensor or setting.
    ///
    /// # Panics
    /// When this processor does not have the instructions asked for.
    pub fn load(files: &ModelFiles, options: &ServingOptions) -> Result<Self, ModelError> {
        let config = ModelConfig::load(files.folder())?;
        let tensors = Tensors::open(files)?;
        let team = options.team();
        let isa = team.isa();
        let mut loading = projections::Loading::new(&tensors, options.weights, isa);
        let table = [config.vocab_size, config.hidden_size];
        let (head, embedding) = match config.tie_word_embeddings {
            true => (loading.matrix(&["model.embed_tokens.weight"], &[table])?, Embedding::Head),
            false => {
                let head = loading.matrix(&["lm_head.weight"], &[table])?;
                (head, Embedding::Own(loading.table("model.embed_tokens.weight", table)?))
            }
        };
        let layers =
            (0..config.layer_count).map(|index| Layer::load(&mut loading, &config, index)).collect::<Result<_, _>>()?;
        let norm = tensors.norm("model.norm.weight", config.hidden_size)?;
        let kv = options.kv_format(loading.is_f32());
        let pages = options.page_count(&config, kv)?;
        let page_bytes = KvPool::page_bytes(config.layer_count, config.kv_head_count, config.head_width, kv);
        let pool = KvPool::new(config.layer_count, config.kv_head_count, config.head_width, pages, kv);
        let own = match &embedding {
            Embedding::Head => 0,
            Embedding::Own(table) => table.byte_count(),
            Embedding::Lent(matrix) => matrix.byte_count(),
        };
        let facts = Facts {
            weight_bytes: loading.byte_count() + own,
            token_bytes: loading.byte_count(),
            weight_count: loading.weight_count(),
            formats: loading.formats(),
            page_bytes: pages * page_bytes,
            kv_bytes_per_token: page_bytes / PAGE_TOKENS,
            on: Compute::Processor { threads: team.thread_count(), isa },
        };
        Ok(Self { embedding, layers, norm, head, pool, team, facts, scratch: Scratch::default(), config })
    }

    /// Shape and constants.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// What to tell a person.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Pages there are.
    pub fn page_count(&self) -> usize {
        self.pool.page_count()
    }

    /// Tokens that a page holds.
    pub fn page_tokens(&self) -> usize {
        PAGE_TOKENS
    }

    /// Bytes of the keys and values of one token in all layers.
    pub fn kv_bytes_per_token(&self) -> usize {
        self.facts.kv_bytes_per_token
    }

    /// Bytes per second that the threads of this model read out of memory, measured now: it takes some tenths of a
    /// second and half a gigabyte.
    pub fn read_bandwidth(&self) -> f64 {
        codeact_cpu::read_bandwidth(&self.team)
    }

    /// Tokens that a sequence with this adapter may hold: the model's, then those that the adapter adds.
    pub fn vocab_size(&self, adapter: Option<&ServedAdapter>) -> usize {
        self.config.vocab_size + adapter.map_or(0, ServedAdapter::new_token_count)
    }
}

impl ServingOptions {
    fn kv_format(&self, is_f32: bool) -> KvFormat {
        // Keys and values as exact as the weights that made them.
        if is_f32 { KvFormat::F32 } else { KvFormat::F16 }
    }

    fn team(&self) -> Team {
        let team = self.threads.map_or_else(Team::of_machine, |threads| Team::new(threads.into()));
        match self.isa {
            Some(isa) => team.with_isa(isa),
            None => team,
        }
    }
}
