//! Adapters of a batch that decodes, each row with its own: all at once on all threads, beside one after the other on one.
//!
//!     cargo run --release --package codeact-cpu --example loras [ROWS] [THREADS]
//!
//! The two ways take turns, so that what else this machine does slows both. Prints the median of each and their ratio.

use std::time::Instant;

use codeact_cpu::{Lora, LoraUpdate, Team, add_loras};

const INPUTS: usize = 4096;
const OUTPUTS: usize = 4096;
const RANK: usize = 16;
const TURNS: usize = 41;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse().expect("a number"));
    let rows = arguments.next().unwrap_or(8);
    let threads = arguments.next().unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let ramp = |count: usize, step: usize| -> Vec<f32> { (0..count).map(|i| (i * step % 101) as f32 * 0.01).collect() };
    let factors: Vec<[Vec<f32>; 2]> =
        (0..rows).map(|row| [ramp(RANK * INPUTS, 7 + row), ramp(RANK * OUTPUTS, 11 + row)]).collect();
    let update = |row: usize| {
        let [a, b] = &factors[row];
        LoraUpdate { rows: row..row + 1, lora: Lora { a, b, rank: RANK, scale: 0.5 }, first_column: 0 }
    };
    let (all, x): (Vec<LoraUpdate<'_>>, Vec<f32>) = ((0..rows).map(update).collect(), ramp(rows * INPUTS, 13));
    let (team, alone) = (Team::new(threads), Team::new(1));
    let (mut y, mut side) = (vec![0.0; rows * OUTPUTS], Vec::new());
    let mut seconds = [Vec::new(), Vec::new()];
    for _ in 0..TURNS {
        let start = Instant::now();
        for row in 0..rows {
            let (x, y) = (&x[row * INPUTS..][..INPUTS], &mut y[row * OUTPUTS..][..OUTPUTS]);
            add_loras(&alone, x, y, OUTPUTS, &[LoraUpdate { rows: 0..1, ..update(row) }], &mut side);
        }
        seconds[0].push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        add_loras(&team, &x, &mut y, OUTPUTS, &all, &mut side);
        seconds[1].push(start.elapsed().as_secs_f64());
    }
    let [one_by_one, at_once] = seconds.map(|mut seconds| {
        seconds.sort_by(f64::total_cmp);
        seconds[TURNS / 2]
    });
    println!(
        "{rows} rows with an adapter each, {INPUTS} x {OUTPUTS}, rank {RANK}: one by one {:.0} us, at once on {threads} \
         threads {:.0} us, {:.2} times as fast",
        one_by_one * 1e6,
        at_once * 1e6,
        one_by_one / at_once
    );
}
