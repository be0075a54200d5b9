//! Speed of attention over pages: a prompt's chunk and single tokens after contexts of several lengths.
//!
//! `cargo run --release -p codeact-cpu --example attention [THREADS] [ISA]`.

use std::time::Instant;

use codeact_cpu::paged::{KvFormat, KvPool, PAGE_TOKENS, Sequence, attention};
use codeact_cpu::{Isa, Team};

/// Heads, key heads and head width of SmolLM2-135M and of Mistral-7B.
const SHAPES: [(usize, usize, usize); 2] = [(9, 3, 64), (32, 8, 128)];

/// Tokens before and new tokens.
const CHUNKS: [(usize, usize); 6] = [(0, 512), (3584, 512), (127, 1), (511, 1), (4095, 1), (4095, 5)];

/// Layers, so that keys and values come from memory as in a model.
const LAYERS: usize = 30;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let threads = arguments.first().map(|threads| threads.parse().expect("threads are a number"));
    let isa = arguments.get(1).map(|name| {
        Isa::available().find(|isa| format!("{isa:?}") == *name).expect("this processor has these instructions")
    });
    let team = threads.map_or_else(Team::of_machine, Team::new).with_isa(isa.unwrap_or(Isa::best()));
    println!("{} threads, {:?}; rates at the median time", team.thread_count(), team.isa());
    println!("kept  heads     D  before   new  us write  us attend  GFLOP/s    GB/s");
    for format in [KvFormat::F32, KvFormat::F16] {
        for (heads, kv_heads, width) in SHAPES {
            for (first, len) in CHUNKS {
                measure(&team, format, (heads, kv_heads, width), first, len);
            }
        }
    }
}

fn measure(team: &Team, format: KvFormat, (heads, kv_heads, width): (usize, usize, usize), first: usize, len: usize) {
    let page_count = (first + len).div_ceil(PAGE_TOKENS);
    let mut pool = KvPool::new(LAYERS, kv_heads, width, page_count, format);
    let pages: Vec<u32> = (0..page_count as u32).rev().collect();
    let columns = (heads + 2 * kv_heads) * width;
    let qkv: Vec<f32> = (0..len * columns).map(|i| (i % 17) as f32 * 0.1).collect();
    let mut out = vec![0.0; len * heads * width];
    // Memory that was never written is not read from memory.
    let earlier: Vec<f32> = (0..(first + len) * columns).map(|i| (i % 13) as f32 * 0.1).collect();
    for layer in 0..LAYERS {
        pool.write(team, layer, &[Sequence { pages: &pages, first: 0, len: first + len }], &earlier);
    }
    let sequences = [Sequence { pages: &pages, first, len }];
    let (mut writes, mut attends) = (Vec::new(), Vec::new());
    for layer in 0..LAYERS {
        let start = Instant::now();
        pool.write(team, layer, &sequences, &qkv);
        writes.push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        attention(team, &pool, layer, &sequences, &qkv, None, &mut out);
        attends.push(start.elapsed().as_secs_f64());
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let (write, attend) = (median(&mut writes), median(&mut attends));
    let scores = (len * (2 * first + len + 1) / 2 * heads) as f64;
    let bytes = KvPool::page_bytes(1, kv_heads, width, format) * page_count;
    println!(
        "{format:?} {heads:>4}/{kv_heads:<2} {width:>4} {first:>7} {len:>5} {:>9.1} {:>10.1} {:>8.1} {:>7.1}",
        write * 1e6,
        attend * 1e6,
        scores * 4.0 * width as f64 / attend / 1e9,
        bytes as f64 / attend / 1e9
    );
}
