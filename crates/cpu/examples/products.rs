//! Speed of matrix products: GFLOP/s and GB/s of weights for each format, shape and number of rows.
//!
//! `cargo run --release -p codeact-cpu --example products [FORMAT] [THREADS] [ISA]`, for instance `BF16 2 Avx2`.

use std::time::Instant;

use codeact_cpu::{Activations, Format, Isa, Matrix, Part, Team};

/// Outputs and inputs of SmolLM2-135M's products and of its head, then of Mistral-7B's.
const SHAPES: [(usize, usize); 8] =
    [(960, 576), (576, 576), (3072, 576), (576, 1536), (49152, 576), (6144, 4096), (28672, 4096), (4096, 14336)];

/// Weights of each measurement together, so that none of them stay in caches between uses.
const WEIGHTS_BYTES: usize = 256 << 20;

/// Products of each measurement.
const PRODUCTS_MIN: usize = 15;

/// Rows of a prompt's chunk, of a small batch and of a single request.
const ROWS: [usize; 4] = [1, 4, 16, 512];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let formats: Vec<Format> = match arguments.first() {
        Some(name) => Format::ALL.into_iter().filter(|format| format.name() == name).collect(),
        None => vec![Format::F32, Format::F16, Format::Bf16],
    };
    let threads = arguments.get(1).map(|threads| threads.parse().expect("threads are a number"));
    let isa = arguments.get(2).map(|name| {
        Isa::available().find(|isa| format!("{isa:?}") == *name).expect("this processor has these instructions")
    });
    let team = threads.map_or_else(Team::of_machine, Team::new);
    let isa = isa.unwrap_or(Isa::best());
    println!("{} threads, {isa:?}; rates at the median time", team.thread_count());
    println!(
        "{:>6} {:>6} {:>6} {:>5} {:>10} {:>10} {:>8} {:>7}",
        "format", "N", "K", "rows", "us best", "us median", "GFLOP/s", "GB/s"
    );
    for format in formats {
        for (outputs, inputs) in SHAPES.into_iter().filter(|(_, inputs)| format.row_bytes(*inputs).is_some()) {
            measure(&team, isa, format, outputs, inputs);
        }
    }
}

fn measure(team: &Team, isa: Isa, format: Format, outputs: usize, inputs: usize) {
    let bytes = vec![0x3c; outputs * format.row_bytes(inputs).expect("whole blocks")];
    let part = Part { format, bytes: &bytes, rows: outputs, columns: inputs, row_order: None };
    let copies = (WEIGHTS_BYTES / bytes.len()).clamp(1, 40);
    let matrices: Vec<Matrix> = (0..copies).map(|_| Matrix::pack(&[part], isa).expect("the part fits")).collect();
    for rows in ROWS {
        let x = vec![1.0; rows * inputs];
        let mut y = vec![0.0; rows * outputs];
        let mut activations = Activations::new();
        let mut times = Vec::new();
        for matrix in matrices.iter().cycle().take(copies.max(PRODUCTS_MIN)) {
            let start = Instant::now();
            activations.set(team, &x, rows, inputs, matrix.wants());
            matrix.multiply(team, &activations, &mut y);
            times.push(start.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        let (best, seconds) = (times[0], times[times.len() / 2]);
        let flops = 2.0 * (rows * inputs * outputs) as f64;
        println!(
            "{:>6} {outputs:>6} {inputs:>6} {rows:>5} {:>10.1} {:>10.1} {:>8.1} {:>7.1}",
            format.name(),
            best * 1e6,
            seconds * 1e6,
            flops / seconds / 1e9,
            matrices[0].byte_count() as f64 / seconds / 1e9
        );
    }
}
