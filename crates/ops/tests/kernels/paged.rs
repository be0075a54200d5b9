//! Attention over pages: shuffled pages, ragged batches, windows, prompts cut anywhere, few new tokens and many.

use candle_core::{DType, Device, Tensor};
use codeact_ops::attention::Attention;
use codeact_ops::emulation::Emulation;
use codeact_ops::gemm::Precision;
use codeact_ops::paged::{PAGE_TOKENS, Pages, Partial, Plan, Sequence, Tables};
use codeact_ops::rope::Angles;

use super::lab::{BF16, F32, SEEDS, numbers, values};

/// A conversation: all its rows, and the positions at which its passes end.
struct Past {
    qkv: Tensor,
    ends: Vec<usize>,
    pages: Vec<u32>,
}

struct Scene {
    attention: Attention,
    dtype: DType,
    pasts: Vec<Past>,
}

const PAGE_COUNT: usize = 64;

impl Scene {
    /// Sequences that are read in passes ending at these positions, in pages that lie anywhere.
    fn new(dtype: DType, (heads, kv_heads, width, window): Shape, ends: &[&[usize]]) -> Self {
        let attention = Attention {
            head_count: heads,
            kv_head_count: kv_heads,
            head_width: width,
            window,
            precision: Precision::F32,
        };
        // 37 has no factor in common with the count: every page comes up once.
        let mut free = (0..PAGE_COUNT).map(|page| (page * 37 % PAGE_COUNT) as u32);
        let pasts = ends.iter().enumerate().map(|(index, ends)| {
            let length = *ends.last().unwrap();
            let qkv = (numbers(&[length, attention.qkv_width()], index as u32 + 1) * 2.0).unwrap();
            let pages = free.by_ref().take(length.div_ceil(PAGE_TOKENS)).collect();
            Past { qkv: qkv.to_dtype(dtype).unwrap(), ends: ends.to_vec(), pages }
        });
        Self { attention, dtype, pasts: pasts.collect() }
    }

    fn frequencies(&self) -> Vec<f32> {
        (0..self.attention.head_width / 2).map(|i| 1.0 / (1.0 + i as f32)).collect()
    }

    /// Runs all passes by the kernels, those of the sequences `chosen`; what each of their rows comes to.
    fn run(&self, chosen: &[usize]) -> Vec<Vec<f32>> {
        let like = Tensor::zeros(1, self.dtype, &Device::Cpu).unwrap();
        let pages = Pages::new(PAGE_COUNT, &self.attention, &like).unwrap();
        let partial = Partial::new(128, &self.attention, &like).unwrap();
        let mut results = vec![Vec::new(); chosen.len()];
        let passes = chosen.iter().map(|index| self.pasts[*index].ends.len()).max().unwrap_or(0);
        for pass in 0..passes {
            // Those that have no more passes leave the batch.
            let there: Vec<usize> = (0..chosen.len()).filter(|at| pass < self.pasts[chosen[*at]].ends.len()).collect();
            let part = |at: &usize| {
                let past = &self.pasts[chosen[*at]];
                let first = if pass == 0 { 0 } else { past.ends[pass - 1] };
                (past, first, past.ends[pass] - first)
            };
            let sequences: Vec<Sequence<'_>> =
                there.iter().map(part).map(|(past, first, len)| Sequence { pages: &past.pages, first, len }).collect();
            let rows: Vec<Tensor> =
                there.iter().map(part).map(|(past, first, len)| past.qkv.narrow(0, first, len).unwrap()).collect();
            let qkv = Tensor::cat(&rows, 0).unwrap().copy().unwrap();
            let plan = Plan::new(&sequences, self.attention.window).unwrap();
            let tables = Tables::new(&plan, &like).unwrap();
            let angles = Angles::new(&plan.positions, &self.frequencies(), &like).unwrap();
            pages.write(&qkv, &angles, &tables.slots, &self.attention).unwrap();
            let width = self.attention.head_count * self.attention.head_width;
            let out = Tensor::full(f32::NAN, (qkv.dim(0).unwrap(), width), &Device::Cpu).unwrap();
            let out = out.to_dtype(self.dtype).unwrap();
            pages.attend(&out, &qkv, &tables, &partial, &self.attention).unwrap();
            let mut out = values(&out).into_iter();
            for (at, sequence) in there.iter().zip(&sequences) {
                results[*at].extend(out.by_ref().take(sequence.len * width));
            }
        }
        results
    }

    /// What the rows of a sequence come to by definition, in f64.
    fn expected(&self, index: usize) -> Vec<f64> {
        let Attention { head_count, kv_head_count, head_width: width, window, .. } = self.attention;
        let columns = self.attention.qkv_width();
        let qkv: Vec<f64> = values(&self.pasts[index].qkv).into_iter().map(f64::from).collect();
        let frequencies = self.frequencies();
        let head = |row: usize, head: usize| -> Vec<f64> {
            let start = row * columns + head * width;
            let values = &qkv[start..start + width];
            if head >= head_count + kv_head_count {
                return values.to_vec();
            }
            let half = width / 2;
            let turned = |i: usize| {
                let angle = row as f64 * f64::from(frequencies[i % half]);
                let (x, y) = (values[i % half], values[i % half + half]);
                if i < half { x * angle.cos() - y * angle.sin() } else { y * angle.cos() + x * angle.sin() }
            };
            (0..width).map(turned).collect()
        };
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mut out = Vec::new();
        for row in 0..qkv.len() / columns {
            for query_head in 0..head_count {
                let (query, kv) = (head(row, query_head), query_head / (head_count / kv_head_count));
                let first = window.map_or(0, |window| (row + 1).saturating_sub(window));
                let weight = |key| (dot(&query, &head(key, head_count + kv)) / (width as f64).sqrt()).exp();
                let weights: Vec<f64> = (first..=row).map(weight).collect();
                let mut sum = vec![0.0; width];
                for (key, weight) in (first..=row).zip(&weights) {
                    let value = head(key, head_count + kv_head_count + kv);
                    sum.iter_mut().zip(&value).for_each(|(sum, value)| *sum += weight * value);
                }
                let total: f64 = weights.iter().sum();
                out.extend(sum.into_iter().map(|sum| sum / total));
            }
        }
        out
    }

    fn check(&self, tolerance: f64) {
        let all: Vec<usize> = (0..self.pasts.len()).collect();
        let expected: Vec<Vec<f64>> = all.iter().map(|index| self.expected(*index)).collect();
        let mut first: Option<Vec<Vec<f32>>> = None;
        for seed in SEEDS {
            let emulation = Emulation::begin(seed);
            let got = self.run(&all);
            drop(emulation);
            for (index, (got, expected)) in got.iter().zip(&expected).enumerate() {
                assert_eq!(got.len(), expected.len());
                let size = expected.iter().map(|x| x * x).sum::<f64>().sqrt();
                let off = got.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum::<f64>().sqrt();
                // Written so that NaN fails.
                let what = format!("{:?} {:?}, sequence {index}, seed {seed}", self.attention, self.dtype);
                assert!(off <= tolerance * size, "{what}: off by {off:.3e} of {size:.3e}");
            }
            let before = first.get_or_insert_with(|| got.clone());
            assert!(*before == got, "{:?}: the order of threads changes bits (seed {seed})", self.attention);
        }
    }
}

/// Query heads, key heads, head width, window.
type Shape = (usize, usize, usize, Option<usize>);

#[test]
fn rows_attend_to_their_pages() {
    // Prompts in one pass and in several, then tokens one by one and some at once; over a border of pages and chunks.
    let plain: [&[usize]; 3] = [&[9, 40, 41, 42], &[1, 2], &[130, 131, 139, 140]];
    for (dtype, tolerance) in [(DType::F32, F32), (DType::BF16, BF16)] {
        for shape in [(4, 2, 8, None), (3, 1, 40, Some(20)), (2, 2, 6, None)] {
            Scene::new(dtype, shape, &plain).check(tolerance);
        }
    }
}

#[test]
fn rows_attend_to_their_pages_on_tensor_cores() {
    for shape in [(4, 1, 64, None), (2, 2, 64, Some(33)), (3, 1, 128, None), (9, 3, 64, Some(140))] {
        let ends: [&[usize]; 3] = [&[150, 151, 156, 157], &[20, 170, 171], &[1, 3]];
        Scene::new(DType::BF16, shape, &ends).check(BF16);
    }
}

#[test]
fn more_than_sixteen_rows_share_a_chunk() {
    // Eight tokens of five heads each: three tiles of rows, the last not full.
    Scene::new(DType::BF16, (5, 1, 64, Some(70)), &[&[135, 143], &[3, 11]]).check(BF16);
}

#[test]
fn a_row_does_not_depend_on_company_or_on_how_its_prompt_was_cut() {
    for (dtype, width) in [(DType::BF16, 64), (DType::F32, 8)] {
        let shape = (4, 2, width, Some(100));
        let ends: [&[usize]; 4] = [&[150, 151, 152], &[20, 64, 150, 151, 152], &[70, 71], &[5, 6, 7]];
        let mut scene = Scene::new(dtype, shape, &ends);
        // The same conversation, cut otherwise.
        scene.pasts[1].qkv = scene.pasts[0].qkv.copy().unwrap();
        let emulation = Emulation::begin(7);
        let together = scene.run(&[0, 1, 2, 3]);
        for (index, expected) in together.iter().enumerate() {
            assert!(scene.run(&[index])[0] == *expected, "{dtype:?}: sequence {index} differs alone");
        }
        drop(emulation);
        assert!(together[0] == together[1], "{dtype:?}: how a prompt is cut changes bits");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let emulation = Emulation::begin(0);
    let attention =
        Attention { head_count: 2, kv_head_count: 1, head_width: 8, window: None, precision: Precision::F32 };
    let like = Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap();
    let pages = Pages::new(4, &attention, &like).unwrap();
    let partial = Partial::new(1, &attention, &like).unwrap();
    let plan = Plan::new(&[Sequence { pages: &[0], first: 3, len: 2 }], None).unwrap();
    let tables = Tables::new(&plan, &like).unwrap();
    let (qkv, out) = (numbers(&[2, 32], 1), numbers(&[2, 16], 2));
    let error = pages.attend(&out, &qkv, &tables, &partial, &attention).unwrap_err().to_string();
    assert!(error.contains("1 chunks of up to 2 tokens"), "{error}");
    let error = pages.attend(&out, &numbers(&[2, 24], 1), &tables, &partial, &attention).unwrap_err().to_string();
    assert!(error.contains("[2, 24]"), "{error}");
    drop(emulation);
}
