//! NF4 by the kernels of a card (`kernels/nf4.cu`): the same bits as on the CPU.

use candle_core::{DType, Result, Tensor, bail};

use super::{BLOCK, GROUP, MEAN_LANES, Nf4, tables};
use crate::gpu::{Argument, Gpu, Grid, kernel_name};

const THREADS: usize = 256;

/// Values that a block of threads quantises, and expands, at a time.
const QUANTISED: usize = 8 * THREADS;
const EXPANDED: usize = 32 * THREADS;

/// Blocks at most: enough for every card to be full, each then walks on.
const BLOCKS_MAX: usize = 2048;

/// As [`Nf4::quantise`], on the card that holds the weight.
pub(super) fn quantise(gpu: &Gpu, weight: &Tensor) -> Result<Nf4> {
    let (shape, count) = (weight.dims2()?, weight.elem_count());
    let blocks = count.div_ceil(BLOCK);
    let codes = gpu.empty(weight, count.div_ceil(2), DType::U8)?;
    let absmax = gpu.empty(weight, blocks, DType::F32)?;
    let arguments =
        [Argument::write(&codes)?, Argument::write(&absmax)?, Argument::read(weight)?, Argument::Long(count as i64)];
    let grid = Grid::of(count.div_ceil(QUANTISED).min(BLOCKS_MAX), THREADS);
    gpu.launch(&kernel_name("nf4_quantise", weight.dtype()), grid, &arguments)?;

    let mean = gpu.empty(weight, 1, DType::F32)?;
    let block_count = Argument::Long(blocks as i64);
    let arguments = [Argument::write(&mean)?, Argument::read(&absmax)?, block_count];
    gpu.launch("nf4_mean", Grid::of(1, MEAN_LANES), &arguments)?;
    let offset = mean.to_vec1::<f32>()?[0];
    if !offset.is_finite() {
        bail!("nf4: the weight has values that are not finite");
    }
    let scales = gpu.empty(weight, blocks, DType::U8)?;
    let scale_of_scales = gpu.empty(weight, blocks.div_ceil(GROUP), DType::F32)?;
    let tables = tables(weight.device())?;
    let arguments = [
        Argument::write(&scales)?,
        Argument::write(&scale_of_scales)?,
        Argument::read(&absmax)?,
        Argument::read(&tables)?,
        block_count,
        offset.into(),
    ];
    gpu.launch("nf4_quantise_scales", Grid::of(blocks.div_ceil(GROUP), GROUP), &arguments)?;
    Ok(Nf4 { codes, scales, scale_of_scales, tables, offset, shape })
}

/// Expands into `output`, `(out, in)` f32 or bf16.
pub(super) fn dequantise(gpu: &Gpu, weight: &Nf4, output: &Tensor) -> Result<()> {
    if output.dims() != [weight.shape.0, weight.shape.1] {
        bail!("nf4: {:?} expanded into {:?}", weight.shape, output.dims());
    }
    let count = output.elem_count();
    let arguments = [
        Argument::write(output)?,
        Argument::read(&weight.codes)?,
        Argument::read(&weight.scales)?,
        Argument::read(&weight.scale_of_scales)?,
        Argument::read(&weight.tables)?,
        Argument::Long(count as i64),
        weight.offset.into(),
    ];
    let grid = Grid::of(count.div_ceil(EXPANDED).min(BLOCKS_MAX), THREADS);
    gpu.launch(&kernel_name("nf4_dequantise", output.dtype()), grid, &arguments)
}
