//! The engine over a model on a card, its kernels run by the processor, or on the card where `CODEACT_DEVICE=cuda` asks
//! for it: the same tokens as over the model on the processor, and in any company the same as alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::Device;
use codeact_engine::{Engine, EngineLimits, Forward, Request, Row, Sampler, Sampling, Step, Wanted};
use codeact_model::serving::card::CardModel;
use codeact_model::serving::{ServedAdapter, ServedWeights, ServingOptions};
use codeact_model::source::ModelFiles;
use codeact_ops::emulation::Emulation;

use crate::tiny;

fn is_on_card() -> bool {
    std::env::var_os("CODEACT_DEVICE").is_some_and(|device| device == "cuda")
}

/// Plays the card on this thread, unless there is one.
fn emulation() -> Option<Emulation> {
    (!is_on_card()).then(|| Emulation::begin(5))
}

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

    fn check_adapter(adapter: &ServedAdapter) -> Result<(), String> {
        <CardModel as Forward>::check_adapter(adapter)
    }

    fn draft_tokens_max(&self) -> usize {
        self.0.draft_tokens_max()
    }

    fn chooses(&self) -> bool {
        Forward::chooses(&self.0)
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

    fn forward(&mut self, steps: &[Step<'_>], on_row: &mut dyn FnMut(usize, usize, Row<'_>)) -> Result<(), String> {
        let _emulation = emulation();
        Forward::forward(&mut self.0, steps, on_row)
    }
}

fn load(weights: ServedWeights, tokens: usize) -> CardModel {
    let folder = tempfile::tempdir().unwrap();
    tiny::write(folder.path());
    let _emulation = emulation();
    let device = if is_on_card() { codeact_ops::device::open(0).unwrap() } else { Device::Cpu };
    let load = |kv_bytes: usize| {
        let options = ServingOptions { weights, kv_bytes: Some(kv_bytes), ..ServingOptions::default() };
        CardModel::load(&ModelFiles::in_folder(folder.path()), &options, &device).unwrap()
    };
    let token_bytes = load(1 << 20).kv_bytes_per_token();
    load(tokens * token_bytes)
}

fn on_card(weights: ServedWeights, tokens: usize, limits: EngineLimits) -> Engine {
    Engine::start(Emulated(load(weights, tokens)), limits).unwrap()
}

#[test]
fn a_card_gives_the_tokens_of_the_processor() {
    // Few pages: requests take them from each other, and find what others left.
    let card = on_card(ServedWeights::F32, 256, EngineLimits::default());
    let processor = tiny::engine(EngineLimits::default());
    let adapters = [None, Some(tiny::adapter(1, 0)), Some(tiny::adapter(2, 3))];
    let request = |index: u32| {
        let phrase = [index % 3 + 1, 7, 9, index % 2 + 20, 30];
        let prompt: Vec<u32> = (0..20).map(|at| at * 3 % 90).chain(phrase.repeat(2 + index as usize % 3)).collect();
        let sampling = Sampling {
            temperature: if index.is_multiple_of(2) { 0.0 } else { 0.8 },
            seed: u64::from(index),
            // Chosen on the host, out of logits.
            logprobs: index.is_multiple_of(5).then_some(1),
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

/// A request that several callers make, and what it gets alone.
struct Asked {
    prompt: Vec<u32>,
    sampling: Sampling,
    adapter: Option<Arc<ServedAdapter>>,
    alone: Vec<u32>,
}

impl Asked {
    fn new(index: u32, adapters: &[Option<Arc<ServedAdapter>>]) -> Asked {
        let beginning = (0..40).map(|at| (at * at + index % 2) % tiny::VOCAB_SIZE);
        let phrase = [index % 5 + 1, 7, 9, index % 7 + 20];
        let prompt = beginning.chain(phrase.repeat(1 + index as usize % 6)).collect();
        let sampling = Sampling {
            temperature: if index.is_multiple_of(3) { 0.5 } else { 0.0 },
            top_p: if index.is_multiple_of(6) { 0.9 } else { 1.0 },
            seed: index.into(),
            max_new_tokens: 40 + index as usize % 20,
            ..Sampling::default()
        };
        let adapter = adapters[index as usize % 3].clone();
        Asked { prompt, sampling, adapter, alone: Vec::new() }
    }

    /// The same without an engine: the prompt a few tokens at a time, then one token after the other.
    fn alone(&self, model: &mut CardModel) -> Vec<u32> {
        let pages: Vec<u32> = (0..8).collect();
        let adapter = self.adapter.as_deref();
        let sampler = Sampler::new(self.sampling.clone(), &self.prompt);
        let (mut known, mut first) = (self.prompt.clone(), 0);
        while known.len() < self.prompt.len() + self.sampling.max_new_tokens {
            let last = known.len().min(first + 5);
            let token_ids = &known[first..last];
            let step = Step { token_ids, first, pages: &pages, adapter, wanted: Wanted::Nothing };
            if last < known.len() {
                model.forward(&[step], &mut |_, _, _| {}).unwrap();
            } else {
                let choices: Vec<_> = (first..last).map(|at| sampler.choice(at + 1).unwrap()).collect();
                known.push(*model.choose(&[step], &choices).unwrap().last().unwrap());
            }
            first = last;
        }
        known.split_off(self.prompt.len())
    }
}

#[test]
fn many_requests_get_in_any_company_what_each_gets_alone() {
    let adapters = [None, Some(tiny::adapter(1, 0)), Some(tiny::adapter(2, 3))];
    // Steps of few tokens only: what goes through cuBLAS is not held to bits.
    let limits =
        EngineLimits { running_max: 8, prompt_tokens_per_pass: 8, draft_requests_max: 8, ..EngineLimits::default() };
    for weights in [ServedWeights::Bf16, ServedWeights::Q8_0, ServedWeights::Q4K] {
        let mut model = load(weights, 256);
        let emulation = emulation();
        let mut questions: Vec<Asked> = (0..12).map(|index| Asked::new(index, &adapters)).collect();
        questions.iter_mut().for_each(|asked| asked.alone = asked.alone(&mut model));
        drop(emulation);
        // Less than what those that run at once need in the end.
        let engine = on_card(weights, 256, limits.clone());
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| {
                    while let turn @ 0..36 = next.fetch_add(1, Ordering::Relaxed) {
                        let asked = &questions[turn / 3 % questions.len()];
                        let request = Request {
                            adapter: asked.adapter.clone(),
                            speculation: !turn.is_multiple_of(4),
                            ..Request::new(asked.prompt.clone(), asked.sampling.clone())
                        };
                        let answer = engine.generate(request, &mut |_| true).unwrap();
                        assert_eq!(answer.token_ids(), asked.alone, "{weights:?}, request {turn}");
                    }
                });
            }
        });
        let metrics = engine.metrics();
        assert_eq!(metrics.finished_length, 36, "{metrics:?}");
        assert!(metrics.preemptions > 0 && metrics.prefix_hit_tokens > 200, "{weights:?}: {metrics:?}");
        assert!(metrics.accepted_tokens > 50 && metrics.drafted_tokens > metrics.accepted_tokens, "{metrics:?}");
    }
}

#[test]
fn an_adapter_that_has_no_room_on_a_card_is_refused_before_it_costs_anybody_anything() {
    let engine = on_card(ServedWeights::Bf16, 256, EngineLimits::default());
    let adapter = tiny::adapter(1, 65);
    let error = engine.check_adapter(&adapter).unwrap_err().to_string();
    assert!(error.contains("65 new tokens") && error.contains("--device cpu"), "{error}");
    let request = Request { adapter: Some(adapter), ..Request::new(vec![1], Sampling::default()) };
    assert_eq!(engine.generate(request, &mut |_| true).unwrap_err().to_string(), error);
    assert_eq!(engine.metrics().accepted, 0);
}
