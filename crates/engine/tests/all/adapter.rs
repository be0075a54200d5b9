//! An adapter that adds tokens to the vocabulary.

use candle_core::{DType, Device};
use codeact_engine::{Engine, EngineError, EngineLimits, Sampling};
use codeact_model::{Decoder, LoraConfig, Target};

use crate::tiny;

#[test]
fn tokens_that_an_adapter_adds_are_known() {
    let folder = tempfile::tempdir().unwrap();
    tiny::write(folder.path());
    let decoder = Decoder::load(folder.path(), DType::F32, &Device::Cpu).unwrap();
    let lora = LoraConfig { rank: 2, alpha: 4.0, rslora: false, targets: vec![Target::Q] };
    let adapter = decoder.new_adapter(&lora, tiny::VOCAB_SIZE as usize + 2, 1).unwrap();
    let engine = Engine::start(decoder, Some(adapter), EngineLimits::default());
    let ask = |token_id| {
        let sampling = Sampling { max_new_tokens: 3, ..Sampling::default() };
        engine.generate(&[1, token_id, 2], &sampling, &mut |_| true)
    };
    assert_eq!(ask(tiny::VOCAB_SIZE + 1).unwrap().token_ids.len(), 3);
    let unknown = ask(tiny::VOCAB_SIZE + 2).unwrap_err();
    let vocab_size = tiny::VOCAB_SIZE as usize + 2;
    assert_eq!(unknown, EngineError::TokenUnknown { index: 1, token_id: tiny::VOCAB_SIZE + 2, vocab_size });
}
