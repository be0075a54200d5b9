//! One Llama/Mistral decoder with optional LoRA, for learning and for serving.
//!
//! [`source`] finds a model by name, [`ModelConfig`] reads its shape, [`Decoder`] holds the frozen weights and
//! [`Adapter`] the trainable ones. Learning runs `forward` and `backward` of every part by hand, without a tape;
//! serving runs the same parts forward with a cache.
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
mod memory;
mod save;

pub mod serving;

pub use adapter::{Adapter, LoraConfig, Target};
pub use batch::Batch;
pub use block::Recompute;
pub use codeact_ops::attention::KvCache;
pub use config::ModelConfig;
pub use decoder::{Continuation, Decoder};
pub use error::ModelError;
pub use memory::{MemoryPlan, Pass, Workload};
pub use rotary::Rotary;
pub use save::merge_and_save;
pub use weights::Weights;
