//! Attention against a plain f64 one, and cut in every way against itself.

use super::*;
use crate::Isa;

fn noise(seed: u32, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_769) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32 * 4.0 - 2.0
    };
    (0..len).map(|_| next()).collect()
}

#[derive(Clone, Copy)]
struct Case {
    heads: usize,
    kv_heads: usize,
    width: usize,
    window: Option<usize>,
    format: KvFormat,
}

impl Case {
    fn columns(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.width
    }

    fn pool(&self, pages: usize) -> KvPool {
        KvPool::new(2, self.kv_heads, self.width, pages, self.format)
    }

    /// Writes and attends chunk by chunk; each of `chunks` is the number of all sequences' next tokens, the last of all that follow.
    fn attend(&self, team: &Team, rows: &[Vec<f32>], pages: &[Vec<u32>], chunks: &[usize]) -> Vec<Vec<f32>> {
        let mut pool = self.pool(pages.iter().map(Vec::len).sum::<usize>() + 3);
        spoil(&mut pool);
        let mut outs = vec![Vec::new(); rows.len()];
        let mut firsts = vec![0; rows.len()];
        for chunk in chunks.iter().chain(std::iter::repeat(&chunks[chunks.len() - 1])) {
            let sequences: Vec<Sequence<'_>> = (0..rows.len())
                .map(|i| {
                    let len = (*chunk).min(rows[i].len() / self.columns() - firsts[i]);
                    Sequence { pages: &pages[i], first: firsts[i], len }
                })
                .collect();
            let tokens: usize = sequences.iter().map(|sequence| sequence.len).sum();
            if tokens == 0 {
                break;
            }
            let span = |i: usize| firsts[i] * self.columns()..(firsts[i] + sequences[i].len) * self.columns();
            let qkv: Vec<f32> = (0..rows.len()).flat_map(|i| rows[i][span(i)].to_vec()).collect();
            let mut out = vec![f32::NAN; tokens * self.heads * self.width];
            pool.write(team, 1, &sequences, &qkv);
            attention(team, &pool, 1, &sequences, &qkv, self.window, &mut out);
            let mut taken = 0;
            for (i, sequence) in sequences.iter().enumerate() {
                let len = sequence.len * self.heads * self.width;
                outs[i].extend(&out[taken..taken + len]);
                taken += len;
                firsts[i] += sequence.len;
            }
        }
        outs
    }

    fn oracle(&self, rows: &[f32]) -> Vec<f64> {
        let kept = |x: f32| match self.format {
            KvFormat::F32 => f64::from(x),
            KvFormat::F16 => f64::from(f16::from_f32(x).to_f32()),
        };
        let (columns, width) = (self.columns(), self.width);
        let mut out = Vec::new();
        for i in 0..rows.len() / columns {
            for head in 0..self.heads {
                let kv_head = head / (self.heads / self.kv_heads);
                let key = (self.heads + kv_head) * width;
                let value = key + self.kv_heads * width;
                let first = self.window.map_or(0, |window| (i + 1).saturating_sub(window));
                let scores: Vec<f64> = (first..=i)
                    .map(|j| {
                        let dot =
                            |d| f64::from(rows[i * columns + head * width + d]) * kept(rows[j * columns + key + d]);
                        (0..width).map(dot).sum::<f64>() / (width as f64).sqrt()
                    })
                    .collect();
                let largest = scores.iter().fold(f64::MIN, |a, b| a.max(*b));
                let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
                let sum: f64 = weights.iter().sum();
                out.extend((0..width).map(|d| {
                    let weighted = |(j, w): (usize, &f64)| w * kept(rows[(first + j) * columns + value + d]);
                    weights.iter().enumerate().map(weighted).sum::<f64>() / sum
                }));
            }
        }
        out
    }
}

/// What earlier tokens may have left in pages must not be seen.
fn spoil(pool: &mut KvPool) {
    match &mut pool.values {
        Values::F32(values) => values.fill(f32::NAN),
        Values::F16(values) => values.fill(f16::NAN.to_bits()),
    }
}

/// Pages for sequences of these lengths, in no order.
fn shuffled_pages(lens: &[usize]) -> Vec<Vec<u32>> {
    let counts: Vec<usize> = lens.iter().map(|len| len.div_ceil(PAGE_TOKENS)).collect();
    let total: usize = counts.iter().sum::<usize>() + 3;
    let step = (5..)
        .step_by(2)
        .find(|step: &usize| (2..=*step).all(|d| !step.is_multiple_of(d) || !total.is_multiple_of(d)))
        .unwrap();
    let mut next = (0..total).map(|i| (i * step % total) as u32);
    counts.iter().map(|count| next.by_ref().take(*count).collect()).collect()
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for format in [KvFormat::F32, KvFormat::F16] {
        for window in [None, Some(1), Some(40), Some(300)] {
            for (heads, kv_heads, width) in [(9, 3, 64), (4, 4, 20), (8, 1, 96)] {
                cases.push(Case { heads, kv_heads, width, window, format });
            }
        }
    }
    cases
}

#[test]
fn attention_is_that_of_f64_with_shuffled_pages() {
    let lens = [1, 70, 300];
    for case in cases() {
        let rows: Vec<Vec<f32>> = lens.iter().map(|len| noise(*len as u32, len * case.columns())).collect();
        let wants: Vec<Vec<f64>> = rows.iter().map(|rows| case.oracle(rows)).collect();
        for isa in Isa::available() {
            let team = Team::new(2).with_isa(isa);
            let outs = case.attend(&team, &rows, &shuffled_pages(&lens), &[300]);
            for (out, want) in outs.iter().zip(&wants) {
                assert_eq!(out.len(), want.len());
                for (out, want) in out.iter().zip(want) {
                    assert!((f64::from(*out) - want).abs() < 5e-6, "{isa:?}: {out} for {want}");
                }
            }
        }
    }
}

#[test]
fn a_query_has_the_same_bits_however_its_sequence_is_cut_and_whoever_is_beside_it() {
    let lens = [330, 17, 64];
    for case in cases() {
        let rows: Vec<Vec<f32>> = lens.iter().map(|len| noise(*len as u32, len * case.columns())).collect();
        for isa in Isa::available().filter(|isa| *isa != Isa::Portable || case.width == 20) {
            let whole = case.attend(&Team::new(1).with_isa(isa), &rows, &shuffled_pages(&lens), &[330]);
            for (threads, chunks) in [(2, &[5, 64, 180, 1][..]), (1, &[100, 37])] {
                let team = Team::new(threads).with_isa(isa);
                let cut = case.attend(&team, &rows, &shuffled_pages(&lens), chunks);
                assert!(same_bits(&whole, &cut), "{isa:?} {:?} {chunks:?}", case.window);
            }
            let pages: Vec<Vec<u32>> = vec![(0..21).collect()];
            let alone = case.attend(&Team::new(2).with_isa(isa), &rows[..1], &pages, &[64]);
            assert!(same_bits(&whole[..1], &alone), "{isa:?} {:?} alone", case.window);
        }
    }
}

fn same_bits(a: &[Vec<f32>], b: &[Vec<f32>]) -> bool {
    let bits = |rows: &[Vec<f32>]| rows.iter().flatten().map(|x| x.to_bits()).collect::<Vec<_>>();
    bits(a) == bits(b)
}

#[test]
fn a_page_has_the_bytes_it_says() {
    for format in [KvFormat::F32, KvFormat::F16] {
        let pool = KvPool::new(3, 2, 20, 5, format);
        let bytes = match &pool.values {
            Values::F32(values) => size_of_val(&**values),
            Values::F16(values) => size_of_val(&**values),
        };
        assert_eq!(bytes, 5 * KvPool::page_bytes(3, 2, 20, format));
    }
}
