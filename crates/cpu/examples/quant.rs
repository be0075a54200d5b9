//! Times products of quantised weights.
//!
//! ```text
//! cargo run --release -p codeact-cpu --example quant [threads=N] [isa=Avx2] [FORMAT...]
//! ```
//!
//! Shapes are those of a small model (SmolLM2-135M). Weights are as many copies as do not fit in the caches when there
//! is one row, as in decoding; the best of some passes over them is printed.

use std::hint::black_box;
use std::time::Instant;

use codeact_cpu::quant::{Int8Rows, QuantPanels};
use codeact_cpu::{Format, Isa, Team};

/// N outputs, K columns.
const SHAPES: [(usize, usize); 5] = [(960, 576), (576, 576), (3072, 576), (576, 1536), (49152, 576)];
const ROWS: [usize; 6] = [1, 2, 4, 8, 16, 512];
/// Bytes of weights to go through: more than the last level of caches.
const COLD_BYTES: usize = 96 << 20;

fn main() {
    let (settings, wanted): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|arg| arg.contains('='));
    let setting = |name: &str| settings.iter().find_map(|setting| setting.strip_prefix(name));
    let threads = setting("threads=").map(|threads| threads.parse().expect("a number of threads"));
    let team = threads.map_or_else(Team::of_machine, Team::new);
    let named = |name: &str| Isa::available().find(|isa| format!("{isa:?}") == name).expect("what this processor has");
    let isa = setting("isa=").map_or(Isa::best(), named);
    println!("{isa:?}, {} threads", team.thread_count());
    println!("{:<6} {:>6} {:>6} {:>5} {:>9} {:>9} {:>8}", "format", "N", "K", "T", "us", "GOP/s", "GB/s");
    for format in Format::ALL {
        if format.block_len() == 1 || !(wanted.is_empty() || wanted.iter().any(|name| name == format.name())) {
            continue;
        }
        for (outputs, columns) in SHAPES {
            if columns.is_multiple_of(format.block_len()) {
                time(&team, isa, format, outputs, columns);
            }
        }
    }
}

fn time(team: &Team, isa: Isa, format: Format, outputs: usize, columns: usize) {
    let numbers: Vec<f32> = (0..outputs * columns).map(|i| ((i * 7919 % 1013) as f32 - 506.0) / 5000.0).collect();
    let mut bytes = Vec::new();
    format.encode_row(&numbers, &mut bytes);
    let pack = || QuantPanels::pack(format, &bytes, outputs, columns, None, isa).expect("rows are whole blocks");
    let first = pack();
    let copies = COLD_BYTES.div_ceil(first.byte_count());
    let weights: Vec<QuantPanels> = (1..copies).map(|_| pack()).chain([first]).collect();
    for rows in ROWS {
        let values: Vec<f32> = (0..rows * columns).map(|i| ((i * 31 % 257) as f32 - 128.0) / 64.0).collect();
        let mut x = Int8Rows::new();
        x.set(team, isa, &values, rows, columns);
        let mut y = vec![0.0; rows * outputs];
        // Many rows take long and read each weight from the caches anyway.
        let weights = &weights[..copies.min(1 + copies / rows).max(2)];
        let mut best = f64::INFINITY;
        for _ in 0..5 {
            let start = Instant::now();
            for weight in weights {
                weight.multiply(team, &x, black_box(&mut y), outputs, 0);
            }
            best = best.min(start.elapsed().as_secs_f64() / weights.len() as f64);
        }
        let operations = (2 * rows * outputs * columns) as f64;
        let bytes = weights[0].byte_count() as f64;
        let (us, gops, gbs) = (best * 1e6, operations / best / 1e9, bytes / best / 1e9);
        println!("{:<6} {outputs:>6} {columns:>6} {rows:>5} {us:>9.1} {gops:>9.1} {gbs:>8.1}", format.name());
    }
}
