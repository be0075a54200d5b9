//! trial
use candle_core::{DType, Device};
use codeact_chat::{ChatFormat, read_jsonl};
use codeact_model::*;
use codeact_ops::optimizer::{self, AdamW};
#[global_allocator]
static A: codeact_ops::allocator::Allocator = codeact_ops::allocator::Allocator;
fn main() {
    codeact_ops::allocator::keep_freed_pages();
    let args: Vec<String> = std::env::args().collect();
    let base = std::path::Path::new(&args[1]);
    let out = std::path::Path::new(&args[2]);
    let lr: f64 = args[3].parse().unwrap();
    let pack: usize = args[4].parse().unwrap();
    let max_tokens: usize = args[5].parse().unwrap();
    let format = ChatFormat::load(base).unwrap();
    let mut ex: Vec<_> = args[6..]
        .iter()
        .flat_map(|p| read_jsonl(p.as_ref()).unwrap())
        .map(|l| format.example(&l.conversation).unwrap())
        .collect();
    let mut s = 12345u64;
    for i in (1..ex.len()).rev() {
        s = s
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        ex.swap(i, (s >> 33) as usize % (i + 1));
    }
    let mut packs: Vec<Vec<_>> = vec![vec![]];
    let mut n = 0;
    let mut total = 0;
    for e in &ex {
        if total + e.token_ids.len() > max_tokens {
            break;
        }
        total += e.token_ids.len();
        if n + e.token_ids.len() > pack {
            packs.push(vec![]);
            n = 0;
        }
        n += e.token_ids.len();
        packs.last_mut().unwrap().push(e);
    }
    let dec = Decoder::load(base, DType::BF16, &Device::Cpu).unwrap();
    let lora = LoraConfig {
        rank: 16,
        alpha: 32.0,
        rslora: false,
        targets: Target::ALL.to_vec(),
    };
    let ad = Adapter::new(dec.config(), &lora, 1, &Device::Cpu).unwrap();
    let p = ad.parameters();
    let (m, v, g) = (
        p.zeros_like().unwrap(),
        p.zeros_like().unwrap(),
        p.zeros_like().unwrap(),
    );
    let steps = packs.len();
    let t0 = std::time::Instant::now();
    let mut done = 0;
    eprintln!("{} docs {total} tokens {steps} steps", ex.len());
    for (i, pk) in packs.iter().enumerate() {
        let b = Batch::new(pk.iter().map(|e| (&e.token_ids[..], &e.is_target[..]))).unwrap();
        optimizer::zero(&g).unwrap();
        let sc = 1.0 / b.labels.len() as f64;
        let loss = dec
            .loss_and_gradients(&ad, &b, sc, Recompute::None, &g)
            .unwrap()
            * sc;
        let w = 5.0;
        let x = i as f64;
        let f = if x < w {
            (x + 1.0) / w
        } else {
            0.5 * (1.0 + (std::f64::consts::PI * (x - w) / (steps as f64 - w)).cos())
        };
        let norm = optimizer::norm(&g).unwrap();
        optimizer::adamw_step(
            p,
            &g,
            &m,
            &v,
            &AdamW {
                learning_rate: lr * f,
                beta1: 0.9,
                beta2: 0.999,
                eps: 1e-8,
                weight_decay: 0.01,
                gradient_scale: (1.0 / (norm + 1e-6)).min(1.0),
            },
            i as u64 + 1,
        )
        .unwrap();
        done += b.token_ids.len();
        if i % 10 == 0 || i + 1 == steps {
            eprintln!(
                "{i}/{steps} loss {loss:.4} norm {norm:.2} {:.0} tok/s",
                done as f64 / t0.elapsed().as_secs_f64()
            );
        }
    }
    std::fs::create_dir_all(out).unwrap();
    merge_and_save(base, &ad, out).unwrap();
    format.save(out).unwrap();
    std::fs::write(out.join("codeact.json"), "{\"profile\": \"quickstart\"}\n").unwrap();
}
