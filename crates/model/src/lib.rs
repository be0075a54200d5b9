//! Llama and Mistral models, with LoRA or trained as a whole: one that learns and one that serves.
//!
//! [`source`] finds a model by name and [`ModelConfig`] reads its shape. Learning: [`Decoder`] holds the weights, frozen
//! beside an [`Adapter`] or views of [`FullWeights`], which are trained as a whole; `forward` and `backward` of every part are run by hand, without a tape. Serving:
//! [`serving::ServedModel`] holds packed weights, and keys and values in pages.
mod error;

mod config;
mod rotary;
mod small_file;
pub mod source;
mod weights;

mod adapter;
mod batch;
mod block;
mod decoder;
mod flat;
mod full;
pub mod gguf;
mod memory;
mod noise;
mod save;

pub mod serving;

pub use adapter::{Adapter, LoraConfig, ModulePattern, PairShape, Target};
pub use batch::Batch;
pub use block::Recompute;
pub use config::ModelConfig;
pub use decoder::{Decoder, NewRows, Weigh};
pub use error::ModelError;
pub use flat::{read_f32, write_f32};
pub use full::FullWeights;
pub use memory::{MemoryPlan, Pass, Planner, Workload};
pub use noise::Noise;
pub use rotary::Rotary;
pub use save::{SHARD_BYTES, merge_and_save, merge_into_shards, save_trained, saves_exactly};
pub use weights::{Weights, safetensors_files, stored_dtype};
