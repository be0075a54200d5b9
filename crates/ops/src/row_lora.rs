//! Adapters of a batch's rows, each row with its own or none, for serving on a card.
//!
//! Adapters lie in slots; a row names its slot. Where their factors are is written in tables that have one address for
//! good, so that work recorded before finds what was loaded since.

use candle_core::{DType, Result, Tensor, bail};

use crate::gpu::{Argument, Gpu, Grid, Operand, kernel_name};
use crate::linear::Lora;
use crate::recording::{buffer, upload};

/// The slot of a row without an adapter.
pub const NO_SLOT: u32 = u32::MAX;

/// Pairs that share an input: queries, keys and values.
const PAIRS_MAX: usize = 3;

/// 32-bit numbers of a table's entry for the pairs on a weight, and for new tokens (`kernels/row_lora.cu`).
const PAIRS_WORDS: usize = 22;
const NEW_WORDS: usize = 8;

const THREADS: usize = 128;
const WARPS: usize = THREADS / 32;

/// The adapters on a card.
pub struct Slots {
    /// For each weight `(slots * 22,)` u32.
    pairs: Vec<Tensor>,
    /// `(slots * 8,)` u32.
    new_tokens: Tensor,
    /// What the tables lead to.
    held: Vec<Vec<Option<Lora>>>,
    held_rows: Vec<Option<(Tensor, Tensor)>>,
    ranks_max: usize,
    dtype: DType,
}

impl Slots {
    /// `count` empty slots for adapters on `weights` weights, whose pairs on one weight have up to `ranks_max` rows of `A`
    /// together; beside `like` and in its dtype.
    ///
    /// # Errors
    /// When the device cannot hold the tables, or is none with kernels.
    pub fn new(count: usize, weights: usize, ranks_max: usize, like: &Tensor) -> Result<Self> {
        let table = |words: usize| {
            let table = buffer(like, count * words, DType::U32)?;
            upload(&table, &vec![0; count * words])?;
            Ok(table)
        };
        Ok(Self {
            pairs: (0..weights).map(|_| table(PAIRS_WORDS)).collect::<Result<_>>()?,
            new_tokens: table(NEW_WORDS)?,
            held: (0..weights).map(|_| (0..count).map(|_| None).collect()).collect(),
            held_rows: (0..count).map(|_| None).collect(),
            ranks_max,
            dtype: like.dtype(),
        })
    }

    /// Number of slots.
    pub fn count(&self) -> usize {
        self.held_rows.len()
    }

    /// Rows of `A` that a weight's pairs may have together.
    pub fn ranks_max(&self) -> usize {
        self.ranks_max
    }

    /// Puts an adapter's pairs on one weight into a slot, or empties it.
    ///
    /// * `lora`: factors in the dtype of the slots, contiguous.
    ///
    /// # Errors
    /// When they do not fit.
    pub fn set(&mut self, weight: usize, slot: usize, lora: Option<Lora>) -> Result<()> {
        let mut words = vec![0; PAIRS_WORDS];
        if let Some(lora) = &lora {
            let (ranks, _) = lora.a.dims2()?;
            let factors = std::iter::once(&lora.a).chain(lora.b.iter().map(|up| &up.b));
            if lora.b.len() > PAIRS_MAX || ranks > self.ranks_max || factors.clone().any(|x| x.dtype() != self.dtype) {
                bail!(
                    "lora: {} pairs with {ranks} rows of A in {:?}; room is for {PAIRS_MAX} with {} in {:?}",
                    lora.b.len(),
                    lora.a.dtype(),
                    self.ranks_max,
                    self.dtype
                );
            }
            for (at, factor) in factors.enumerate() {
                put_address(&mut words, at, factor)?;
            }
            for (at, up) in lora.b.iter().enumerate() {
                let (rank, columns) = up.b.dims2()?;
                words[8 + at] = up.column as u32;
                words[11 + at] = columns as u32;
                words[14 + at] = rank as u32;
                words[17 + at] = up.scale.to_bits();
            }
            words[20] = lora.b.len() as u32;
            words[21] = ranks as u32;
        }
        upload(&self.pairs[weight].narrow(0, slot * PAIRS_WORDS, PAIRS_WORDS)?, &words)?;
        self.held[weight][slot] = lora;
        Ok(())
    }

    /// Puts the rows that a slot's adapter adds to embedding and head, `(N, C)` each, or none.
    ///
    /// # Errors
    /// When their shapes differ.
    pub fn set_new_tokens(&mut self, slot: usize, rows: Option<(Tensor, Tensor)>) -> Result<()> {
        let mut words = vec![0; NEW_WORDS];
        if let Some((embedding, head)) = &rows {
            if embedding.dims() != head.dims() || embedding.dtype() != self.dtype || head.dtype() != self.dtype {
                bail!("lora: new rows {:?} and {:?}", embedding.dims(), head.dims());
            }
            put_address(&mut words, 0, embedding)?;
            put_address(&mut words, 1, head)?;
            words[4] = embedding.dim(0)? as u32;
        }
        upload(&self.new_tokens.narrow(0, slot * NEW_WORDS, NEW_WORDS)?, &words)?;
        self.held_rows[slot] = rows;
        Ok(())
    }

    /// `y += s (x Aᵀ) B` for every row with its own adapter.
    ///
    /// * `x`: `(T, in)`, contiguous. `y`: `(T, out)` in the same dtype. `slots`: `(T,)` u32, [`NO_SLOT`] for none.
    /// * `ranks`: rows of `A` together that any of these rows' adapters has on a weight, or more.
    /// * `side`: room for `T * ranks_max` f32.
    ///
    /// # Errors
    /// When shapes or dtypes disagree.
    pub fn add(
        &self,
        weight: usize,
        x: &Tensor,
        y: &Tensor,
        (slots, ranks): (&Tensor, usize),
        side: &Tensor,
    ) -> Result<()> {
        let ((t, width), out) = (x.dims2()?, Operand::write(y)?);
        let fits = slots.dims() == [t] && out.rows == t && side.elem_count() >= t * self.ranks_max;
        if !fits || [x.dtype(), y.dtype()] != [self.dtype; 2] || side.dtype() != DType::F32 {
            bail!("lora: x {:?}, y {out}, slots {:?}, side {:?}", x.dims(), slots.dims(), side.dims());
        }
        let gpu = gpu(x)?;
        let (table, slots) = (Argument::read(&self.pairs[weight])?, Argument::read(slots)?);
        let ranks_max = Argument::int(self.ranks_max)?;
        let arguments = [Argument::write(side)?, Argument::read(x)?, table, slots, Argument::int(width)?, ranks_max];
        let grid = grid(t, ranks.min(self.ranks_max).div_ceil(WARPS));
        gpu.launch(&kernel_name("row_lora_down", self.dtype), grid, &arguments)?;
        let (columns, stride) = (Argument::int(out.cols)?, Argument::int(out.stride)?);
        let arguments =
            [Argument::Address(out.address), Argument::read(side)?, table, slots, columns, stride, ranks_max];
        gpu.launch(&kernel_name("row_lora_up", self.dtype), self::grid(t, out.cols.div_ceil(THREADS)), &arguments)
    }

    /// Rows of the embedding, those of new tokens from each row's adapter.
    ///
    /// * `out`: `(T, C)`, written. `table`: `(V, C)`. `ids`, `slots`: `(T,)` u32. An id that neither has gives zeros.
    ///
    /// # Errors
    /// When shapes or dtypes disagree.
    pub fn embed(&self, out: &Tensor, table: &Tensor, ids: &Tensor, slots: &Tensor) -> Result<()> {
        let ((t, width), (rows, c)) = (out.dims2()?, table.dims2()?);
        if width != c || ids.dims() != [t] || slots.dims() != [t] || [out.dtype(), table.dtype()] != [self.dtype; 2] {
            bail!("lora: {t} rows of {width} out of {rows} x {c}, ids {:?}, slots {:?}", ids.dims(), slots.dims());
        }
        let arguments = [
            Argument::write(out)?,
            Argument::read(table)?,
            Argument::read(&self.new_tokens)?,
            Argument::read(ids)?,
            Argument::read(slots)?,
            Argument::int(rows)?,
            Argument::int(width)?,
        ];
        gpu(out)?.launch(&kernel_name("row_lora_embed", self.dtype), Grid::of(t, THREADS), &arguments)
    }

    /// Logits of new tokens, behind the first `vocab_size` columns; minus infinity where a row's adapter has none.
    ///
    /// * `logits`: `(T, V + N)` f32. `x`: `(T, C)`.
    ///
    /// # Errors
    /// When shapes or dtypes disagree.
    pub fn head(&self, logits: &Tensor, vocab_size: usize, x: &Tensor, slots: &Tensor) -> Result<()> {
        let ((t, columns), (rows, width)) = (logits.dims2()?, x.dims2()?);
        if t != rows || columns < vocab_size || slots.dims() != [t] || logits.dtype() != DType::F32 {
            bail!("lora: logits {:?}, {rows} rows, slots {:?}", logits.dims(), slots.dims());
        }
        let arguments = [
            Argument::write(logits)?,
            Argument::read(x)?,
            Argument::read(&self.new_tokens)?,
            Argument::read(slots)?,
            Argument::int(vocab_size)?,
            Argument::int(columns)?,
            Argument::int(width)?,
        ];
        let grid = grid(t, (columns - vocab_size).div_ceil(WARPS));
        gpu(x)?.launch(&kernel_name("row_lora_head", self.dtype), grid, &arguments)
    }
}

fn grid(rows: usize, parts: usize) -> Grid {
    Grid { blocks: [rows, parts, 1], threads: THREADS, shared_bytes: 0 }
}

fn put_address(words: &mut [u32], at: usize, tensor: &Tensor) -> Result<()> {
    let Argument::Address(address) = Argument::read(tensor)? else {
        bail!("a tensor without an address");
    };
    words[2 * at] = address as u32;
    words[2 * at + 1] = (address >> 32) as u32;
    Ok(())
}

fn gpu(tensor: &Tensor) -> Result<Gpu> {
    match Gpu::of(tensor) {
        Some(gpu) => Ok(gpu),
        None => bail!("adapters by rows run on a card; processors have crate `cpu`"),
    }
}
