//! The engine over a model on a card, its kernels run by the processor: the same tokens as over the model on the
//! processor.

use candle_core::Device;
use codeact_engine::{Engine, EngineLimits, Forward, Request, Sampling, Step};
use codeact_model::serving::card::CardModel;
use codeact_model::serving::{ServedAdapter, ServedWeights, ServingOptions};
use codeact_model::source::ModelFiles;
use codeact_ops::emulation::Emulation;

use crate::tiny;

/// Plays the card on the engine's thread too.
struct Emulated(CardModel);

impl Forward for Emulated {
    type Adapter = ServedAdapter;

    fn adapter_id(adapter: &ServedAdapter) -> u64 {
        CardModel::adapter_id(adapter)
    }

    fn added_token_count(adapter: &ServedAdapter) -> usize {
        CardModel::added_token_count(adapter)
    }

    fn vocab_size(&self) -> usize {
        Forward::vocab_size(&self.0)
    }

    fn context_tokens_max(&self) -> usize {
        self.0.context_tokens_max()
    }

    fn page_tokens(&self) -> usize {
        Forward::page_tokens(&self.0)
    }

    fn page_count(&self) -> usize {
        Forward::page_count(&self.0)
    }

    fn forward(&mut self, steps: &[Step<'_>], on_row: &mut dyn FnMut(usize, usize, &mut [f32])) -> Result<(), String> {
        let _emulation = Emulation::begin(5);
        Forward::forward(&mut self.0, steps, on_row)
    }
}

fn on_card(tokens: usize) -> Engine {
    let folder = tempfile::tempdir().unwrap();
    tiny::write(folder.path());
    let _emulation = Emulation::begin(5);
    let load = |kv_bytes: usize| {
        let options = ServingOptions { weights: ServedWeights::F32, kv_bytes, ..ServingOptions::default() };
        CardModel::load(&ModelFiles::in_folder(folder.path()), &options, &Device::Cpu).unwrap()
    };
    let token_bytes = load(1 << 20).kv_bytes_per_token();
    Engine::start(Emulated(load(tokens * token_bytes)), EngineLimits::default()).unwrap()
}

#[test]
fn a_card_gives_the_tokens_of_the_processor() {
    // Few pages: requests take them from each other, and find what others left.
    let (card, processor) = (on_card(256), tiny::engine(EngineLimits::default()));
    let adapters = [None, Some(tiny::adapter(1, 0)), Some(tiny::adapter(2, 3))];
    let request = |index: u32| {
        let phrase = [index % 3 + 1, 7, 9, index % 2 + 20, 30];
        let prompt: Vec<u32> = (0..20).map(|at| at * 3 % 90).chain(phrase.repeat(2 + index as usize % 3)).collect();
        let sampling = Sampling {
            temperature: if index.is_multiple_of(2) { 0.0 } else { 0.8 },
            seed: u64::from(index),
            max_new_tokens: 12,
            ignore_eos: true,
            ..Sampling::default()
        };
        Request { adapter: adapters[index as usize % 3].clone(), ..Request::new(prompt, sampling) }
    };
    let expected: Vec<Vec<u32>> =
        (0..9).map(|index| processor.generate(request(index), &mut |_| true).unwrap().token_ids()).collect();
    std::thread::scope(|scope| {
        for (index, expected) in (0..9).zip(&expected) {
            let (card, request) = (&card, &request);
            scope.spawn(move || {
                let tokens = card.generate(request(index), &mut |_| true).unwrap().token_ids();
                assert_eq!(tokens, *expected, "request {index}");
            });
        }
    });
}
