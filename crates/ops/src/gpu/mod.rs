//! What an op needs of a card: memory, kernels, products. Where a build has the `emulation` feature the same calls can
//! be answered by the processor (`emulation`), so that whatever runs on a card also runs in a test without one.

// A build with neither feature compiles what it cannot reach, so that it stays right.
#![cfg_attr(not(any(feature = "cuda", feature = "emulation")), allow(dead_code))]

#[cfg(feature = "cuda")]
mod card;
#[cfg(feature = "emulation")]
pub mod emulation;
mod operand;
mod recorder;

use candle_core::{DType, Result, Shape, Tensor, WithDType, bail};

pub(crate) use operand::Operand;

/// Where a tensor's kernels run. A build with neither feature has no value of this type.
#[derive(Clone)]
pub(crate) enum Gpu {
    #[cfg(feature = "cuda")]
    Card(card::Card),
    #[cfg(feature = "emulation")]
    Emulated,
}

/// Work that was recorded.
pub(crate) enum Recorded {
    #[cfg(feature = "cuda")]
    Card(card::Graph),
    #[cfg(feature = "emulation")]
    Emulated(recorder::Recorder),
}

/// Shape of a launch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grid {
    pub(crate) blocks: [usize; 3],
    /// Threads of a block, a multiple of 32.
    pub(crate) threads: usize,
    /// Dynamic shared memory of a block.
    pub(crate) shared_bytes: usize,
}

impl Grid {
    /// One block for each of `blocks` pieces of work.
    pub(crate) fn of(blocks: usize, threads: usize) -> Self {
        Self { blocks: [blocks, 1, 1], threads, shared_bytes: 0 }
    }

    /// As many blocks as it takes to give each of `items` a thread.
    pub(crate) fn covering(items: usize, threads: usize) -> Self {
        Self::of(items.div_ceil(threads), threads)
    }
}

/// One argument of a kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Argument {
    Address(u64),
    Int(i32),
    Long(i64),
    Float(f32),
}

impl Argument {
    /// For an operand that is not there.
    pub(crate) const NULL: Self = Self::Address(0);

    /// A count as the kernels take it.
    ///
    /// # Errors
    /// When it exceeds 31 bits.
    pub(crate) fn int(count: usize) -> Result<Self> {
        match i32::try_from(count) {
            Ok(count) => Ok(Self::Int(count)),
            Err(_) => bail!("{count} is more than a kernel counts to"),
        }
    }

    /// The address of a contiguous tensor that the kernel reads.
    pub(crate) fn read(tensor: &Tensor) -> Result<Self> {
        Ok(Self::Address(operand::address(tensor, true)?))
    }

    /// As [`Argument::read`]; null where there is no tensor.
    pub(crate) fn read_optional(tensor: Option<&Tensor>) -> Result<Self> {
        tensor.map_or(Ok(Self::NULL), Self::read)
    }

    /// The address of a contiguous tensor that the kernel writes.
    pub(crate) fn write(tensor: &Tensor) -> Result<Self> {
        Ok(Self::Address(operand::address_to_write(tensor, true)?))
    }
}

impl From<f32> for Argument {
    fn from(value: f32) -> Self {
        Self::Float(value)
    }
}

impl Gpu {
    /// The place of this tensor's kernels; `None` when ops compute on the CPU.
    pub(crate) fn of(tensor: &Tensor) -> Option<Self> {
        #[cfg(feature = "cuda")]
        if let candle_core::Device::Cuda(device) = tensor.device() {
            return Some(Self::Card(card::Card::new(device.clone())));
        }
        #[cfg(feature = "emulation")]
        if tensor.device().is_cpu() && emulation::seed().is_some() {
            return Some(Self::Emulated);
        }
        let _ = tensor;
        None
    }

    /// A tensor beside `like` whose every element a kernel is to write; the emulation fills it with NaN.
    pub(crate) fn empty(&self, like: &Tensor, shape: impl Into<Shape>, dtype: DType) -> Result<Tensor> {
        recorder::refuse("memory is asked for")?;
        like.apply_op1_no_bwd(&operand::Empty { shape: shape.into(), dtype })
    }

    /// A list beside `like`, for a kernel to read. An empty one becomes a zero that nobody reads: a card has no empty
    /// tensors.
    pub(crate) fn list<T: WithDType>(&self, values: &[T], like: &Tensor) -> Result<Tensor> {
        recorder::refuse("a list is uploaded")?;
        let nothing = [T::from_f64(0.0)];
        let values = if values.is_empty() { &nothing[..] } else { values };
        Tensor::from_slice(values, values.len(), like.device())
    }

    /// Starts the kernel of this name. A grid without blocks is no work.
    pub(crate) fn launch(&self, kernel: &str, grid: Grid, arguments: &[Argument]) -> Result<()> {
        if grid.blocks.contains(&0) {
            return Ok(());
        }
        match *self {
            #[cfg(feature = "cuda")]
            Self::Card(ref card) => card.launch(kernel, grid, arguments),
            #[cfg(feature = "emulation")]
            Self::Emulated => emulation::launch(kernel, grid, arguments),
            #[cfg(not(any(feature = "cuda", feature = "emulation")))]
            _ => bail!("`{kernel}` {grid:?} {arguments:?}: this build has no kernels"),
        }
    }

    /// Records what `work` queues; nothing of it is done.
    pub(crate) fn record(&self, work: impl FnOnce() -> Result<()>) -> Result<Recorded> {
        match *self {
            #[cfg(feature = "cuda")]
            Self::Card(ref card) => Ok(Recorded::Card(card.record(work)?)),
            #[cfg(feature = "emulation")]
            Self::Emulated => Ok(Recorded::Emulated(emulation::record(work)?)),
            #[cfg(not(any(feature = "cuda", feature = "emulation")))]
            _ => work().and_then(|()| bail!("this build records nothing")),
        }
    }

    /// Does recorded work.
    pub(crate) fn repeat(&self, recorded: &Recorded) -> Result<()> {
        recorder::refuse("a recording is repeated")?;
        match *recorded {
            #[cfg(feature = "cuda")]
            Recorded::Card(ref graph) => graph.launch(),
            #[cfg(feature = "emulation")]
            Recorded::Emulated(ref recorded) => emulation::repeat(recorded),
        }
    }

    /// Writes to the beginning of a contiguous tensor of this type, in the order of the queue.
    pub(crate) fn upload<T: WithDType>(&self, to: &Tensor, values: &[T]) -> Result<()> {
        recorder::refuse("values are uploaded")?;
        let address = operand::address_to_write(to, true)?;
        match *self {
            #[cfg(feature = "cuda")]
            Self::Card(ref card) => card.upload(address, values),
            #[cfg(feature = "emulation")]
            Self::Emulated => emulation::upload(address, values),
            #[cfg(not(any(feature = "cuda", feature = "emulation")))]
            _ => bail!("{} values to {address}: this build has no card", values.len()),
        }
    }

    /// Reads the beginning of a contiguous tensor of this type, when all that was queued is done.
    pub(crate) fn download<T: WithDType>(&self, from: &Tensor, values: &mut [T]) -> Result<()> {
        recorder::refuse("values are downloaded")?;
        let address = operand::address(from, true)?;
        match *self {
            #[cfg(feature = "cuda")]
            Self::Card(ref card) => card.download(address, values),
            #[cfg(feature = "emulation")]
            Self::Emulated => emulation::download(address, values),
            #[cfg(not(any(feature = "cuda", feature = "emulation")))]
            _ => bail!("{} values from {address}: this build has no card", values.len()),
        }
    }

    /// `c = alpha a b + beta c` with f32 sums, for `a (M, K)`, `b (K, N)` and `c (M, N)`.
    ///
    /// Factors may be transposed, and all three may be ranges of the columns of something wider. Both factors have one
    /// dtype, f32 or bf16; `c` has that dtype or is f32.
    ///
    /// # Errors
    /// When shapes, strides or dtypes are others.
    pub(crate) fn gemm(&self, alpha: f32, a: &Tensor, b: &Tensor, beta: f32, c: &Tensor) -> Result<()> {
        let (a, b, c) = (Operand::read(a)?, Operand::read(b)?, Operand::write(c)?);
        let fits = a.cols == b.rows && a.rows == c.rows && b.cols == c.cols && !c.is_transposed;
        let dtypes = a.dtype == b.dtype && (c.dtype == a.dtype || c.dtype == DType::F32);
        if !fits || !dtypes {
            bail!("product of {a} and {b} into {c}");
        }
        if c.rows == 0 || c.cols == 0 {
            return Ok(());
        }
        match *self {
            #[cfg(feature = "cuda")]
            Self::Card(ref card) => card.gemm(alpha, a, b, beta, c),
            #[cfg(feature = "emulation")]
            Self::Emulated => emulation::gemm(alpha, a, b, beta, c),
            #[cfg(not(any(feature = "cuda", feature = "emulation")))]
            _ => bail!("{alpha} {a} {b} {beta} {c}: this build has no products on a card"),
        }
    }
}

/// The name of an op's kernel for tensors of this dtype.
pub(crate) fn kernel_name(op: &str, dtype: DType) -> String {
    format!("{op}_{}", dtype.as_str())
}
