//! DoRA beside a decoder: where magnitudes start, and the gates of a pass.

use candle_core::{Result, Tensor};
use codeact_ops::dora::{self, Gate};

use super::Decoder;
use crate::adapter::{Adapter, Fused};
use crate::block::Gates;

impl Decoder {
    /// Puts the lengths of the changed weights' rows into the magnitudes, so that the model starts unchanged.
    pub(super) fn start_magnitudes(&self, adapter: &Adapter) -> Result<()> {
        if !adapter.config().dora {
            return Ok(());
        }
        let values = self.values_of(adapter)?;
        for (layer, block) in self.blocks.iter().enumerate() {
            for fused in Fused::ALL {
                let Some(lora) = adapter.lora(&values, layer, fused)? else { continue };
                let norms = dora::norms(&block.projection(fused).dense()?, &lora)?;
                for (magnitude, norms) in adapter.magnitudes(adapter.parameters(), layer, fused)?.iter().zip(&norms) {
                    magnitude.slice_set(norms, 0, 0)?;
                }
            }
        }
        Ok(())
    }

    /// The gates of an adapter as it is now; none without DoRA.
    pub(crate) fn gates_of(&self, adapter: &Adapter) -> Result<Gates> {
        self.gates(adapter, &self.values_of(adapter)?)
    }

    /// As [`Decoder::gates_of`].
    ///
    /// * `values`: the adapter's parameters in the dtype of the activations.
    pub(super) fn gates(&self, adapter: &Adapter, values: &Tensor) -> Result<Gates> {
        if !adapter.config().dora {
            return Ok(Gates::new());
        }
        let gate = |layer: usize, fused: Fused| -> Result<Option<Gate>> {
            let Some(lora) = adapter.lora(values, layer, fused)? else {
                return Ok(None);
            };
            let magnitudes = adapter.magnitudes(adapter.parameters(), layer, fused)?;
            Gate::new(&self.blocks[layer].projection(fused).dense()?, &lora, &magnitudes).map(Some)
        };
        let of_layer = |layer: usize| {
            let [qkv, output, gate_up, down] = Fused::ALL.map(|fused| gate(layer, fused));
            Ok([qkv?, output?, gate_up?, down?])
        };
        (0..self.blocks.len()).map(of_layer).collect()
    }
}
