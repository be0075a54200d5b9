//! Where the matrices of an adapter lie in its flat vector.

use std::ops::Range;

use candle_core::{Result, Tensor};
use codeact_ops::linear::{Lora, Up};

use super::{LoraConfig, PairShape, Target};
use crate::config::ModelConfig;

/// Projections that read the same input and are one weight: their output columns lie side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fused {
    /// Queries, keys and values.
    Qkv,
    /// Attention output.
    Output,
    /// MLP gate and up.
    GateUp,
    /// MLP down.
    Down,
}

impl Fused {
    pub(crate) const ALL: [Self; 4] = [Self::Qkv, Self::Output, Self::GateUp, Self::Down];

    /// The projections in the order of their columns.
    pub(crate) fn targets(self) -> &'static [Target] {
        match self {
            Self::Qkv => &[Target::Q, Target::K, Target::V],
            Self::Output => &[Target::O],
            Self::GateUp => &[Target::Gate, Target::Up],
            Self::Down => &[Target::Down],
        }
    }
}

/// Where one pair lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) layer: usize,
    pub(super) target: Target,
    /// `R`, and the factor on the update.
    pub(super) rank: usize,
    pub(super) scaling: f64,
    /// Where `A (R, in)` starts, and `Bᵀ (R, out)`.
    pub(super) a_start: usize,
    pub(super) b_start: usize,
    /// Where the magnitudes `(out,)` start, with DoRA.
    pub(super) m_start: Option<usize>,
    pub(super) c_in: usize,
    pub(super) c_out: usize,
    fused: Fused,
    /// First output column of the projection in its fused weight.
    column: usize,
}

impl Slot {
    /// A view of the magnitudes in a flat vector, with DoRA.
    pub(super) fn magnitude(&self, flat: &Tensor) -> Result<Option<Tensor>> {
        self.m_start.map(|start| flat.narrow(0, start, self.c_out)).transpose()
    }

    /// Where `Bᵀ` lies, and with DoRA the magnitudes.
    pub(super) fn up_ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let magnitudes = self.m_start.map(|start| start..start + self.c_out);
        std::iter::once(self.b_start..self.b_start + self.rank * self.c_out).chain(magnitudes)
    }

    /// Views of `A` and `Bᵀ` in a flat vector.
    pub(super) fn views(&self, flat: &Tensor) -> Result<(Tensor, Tensor)> {
        let rank = self.rank;
        let a = flat.narrow(0, self.a_start, rank * self.c_in)?;
        let b = flat.narrow(0, self.b_start, rank * self.c_out)?;
        Ok((a.reshape((rank, self.c_in))?, b.reshape((rank, self.c_out))?))
    }
}

/// Every pair in order, and the number of values in all.
///
/// Layer by layer and fused weight by fused weight: the `A` of its pairs, then their `Bᵀ`, then with DoRA
/// their magnitudes.
pub(super) fn slots(model: &ModelConfig, config: &LoraConfig) -> (Vec<Slot>, usize) {
    let (mut start, mut slots) = (0, Vec::new());
    for layer in 0..model.layer_count {
        for fused in Fused::ALL {
            let first = slots.len();
            let mut column = 0;
            for target in fused.targets() {
                let (c_in, c_out) = target.widths(model);
                if let Some(PairShape { rank, scaling }) = config.pair(layer, *target) {
                    let (target, a_start, b_start, m_start) = (*target, start, 0, None);
                    slots.push(Slot {
                        layer,
                        target,
                        rank,
                        scaling,
                        a_start,
                        b_start,
                        m_start,
                        c_in,
                        c_out,
                        fused,
                        column,
                    });
                    start += rank * c_in;
                }
                column += c_out;
            }
            for slot in &mut slots[first..] {
                slot.b_start = start;
                start += slot.rank * slot.c_out;
            }
            for slot in slots[first..].iter_mut().filter(|_| config.dora) {
                slot.m_start = Some(start);
                start += slot.c_out;
            }
        }
    }
    (slots, start)
}

/// Views of all pairs on one fused weight of a layer; `slots` are the layer's. `None` when it has none.
pub(super) fn lora(slots: &[Slot], fused: Fused, flat: &Tensor) -> Result<Option<Lora>> {
    let slots: Vec<&Slot> = slots.iter().filter(|slot| slot.fused == fused).collect();
    let Some(first) = slots.first() else {
        return Ok(None);
    };
    let ranks: usize = slots.iter().map(|slot| slot.rank).sum();
    let a = flat.narrow(0, first.a_start, ranks * first.c_in)?.reshape((ranks, first.c_in))?;
    let up = |slot: &&Slot| Ok(Up { column: slot.column, b: slot.views(flat)?.1, scale: slot.scaling as f32 });
    Ok(Some(Lora { a, b: slots.iter().map(up).collect::<Result<_>>()?, dropout: None }))
}

/// Views of the magnitudes of all pairs on one fused weight, in their order; none without DoRA.
pub(super) fn magnitudes(slots: &[Slot], fused: Fused, flat: &Tensor) -> Result<Vec<Tensor>> {
    let slots = slots.iter().filter(|slot| slot.fused == fused);
    slots.filter_map(|slot| slot.magnitude(flat).transpose()).collect()
}

/// For each pair on a fused weight the random numbers that are its own; `slots` are the layer's.
pub(super) fn streams(slots: &[Slot], fused: Fused) -> Vec<u32> {
    let slots = slots.iter().filter(|slot| slot.fused == fused);
    slots.map(|slot| (slot.layer * Target::ALL.len() + slot.target as usize) as u32).collect()
}
