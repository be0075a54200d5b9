//! How weights lie in memory: panels of 16 outputs.
//!
//! A panel holds first the levels of all its columns, then their scales.
//!
//! ```text
//! levels of 32 columns, `bits` lines of 64 bytes. Byte 4 * o + c of a group is column 4 * group + c of output o:
//!   8 bits  line i       group i
//!   4 bits  line i       group i in the lower nibbles, group i + 4 in the upper
//!   5 bits  lines 0 - 3  upper 4 bits as above; line 4: bit i of a byte is the lowest bit of group i
//!   6 bits  lines 0 - 3  upper 4 bits as above; line 4: bits 2i and 2i + 1 are the lowest of group i; line 5: of i + 4
//! scales
//!   Symmetric         one half line for 32 columns: 16 f16
//!   Affine            one line for 32 columns: 16 scales and 16 minima, f16
//!   GroupedAffine     5 lines for 256 columns: 16 d and 16 dmin, f16; then for 32 columns 16 scales and 16 minima, u8
//!   GroupedSymmetric  5 lines for 256 columns: 16 d, f16; then for 32 columns 16 scales of either half, i8
//! ```
//!
//! What is read from a format is kept as it is, so a row can be decoded again to the same bits.

use crate::format::{Format, GROUP, Lattice, Scales, half_at, k_scale, levels};
use crate::memory::Table;

/// Outputs of a panel: the 32-bit lanes of a vector of 512 bits.
pub(super) const OUTPUTS: usize = 16;

/// Lines of scales for 256 columns of the K formats.
pub(super) const SUPER_LINES: usize = 5;

/// Groups of 4 columns within 32, each one vector of levels.
pub(super) const VECTORS: usize = 8;

/// One line of a cache. Panels begin at lines, too.
pub(super) type Line = [u8; 64];

/// Where the parts of a panel are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    format: Format,
    lattice: Lattice,
    bits: usize,
    /// Groups of 32 columns.
    groups: usize,
}

impl Layout {
    /// None for plain formats.
    pub(super) fn new(format: Format, columns: usize) -> Option<Self> {
        let (lattice, bits) = format.lattice()?;
        Some(Self { format, lattice, bits, groups: columns / GROUP })
    }

    pub(super) fn columns(&self) -> usize {
        self.groups * GROUP
    }

    /// Lines of one panel.
    pub(super) fn panel_lines(&self) -> usize {
        self.level_lines() + scale_lines(self.lattice, self.groups)
    }

    fn level_lines(&self) -> usize {
        self.groups * self.bits
    }

    /// Packs `outputs` rows of the file on all processors.
    pub(super) fn pack<'a>(&self, outputs: usize, row: &(dyn Fn(usize) -> &'a [u8] + Sync)) -> Table<u8> {
        let panels = outputs.div_ceil(OUTPUTS);
        let panel_lines = self.panel_lines();
        let mut bytes = Table::zeros(panels * panel_lines * size_of::<Line>());
        if bytes.is_empty() {
            return bytes;
        }
        let lines = bytes.as_chunks_mut().0;
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(panels);
        let panels_per_thread = panels.div_ceil(threads);
        std::thread::scope(|scope| {
            for (part, lines) in lines.chunks_mut(panels_per_thread * panel_lines).enumerate() {
                let first = part * panels_per_thread * OUTPUTS;
                let mut pack = move || {
                    for (panel, lines) in lines.chunks_exact_mut(panel_lines).enumerate() {
                        let first = first + panel * OUTPUTS;
                        for output in 0..OUTPUTS.min(outputs - first) {
                            self.pack_row(row(first + output), output, lines);
                        }
                    }
                };
                // The last part runs here.
                match part + 1 == threads {
                    true => pack(),
                    false => drop(scope.spawn(pack)),
                }
            }
        });
        bytes
    }

    fn pack_row(&self, row: &[u8], output: usize, panel: &mut [Line]) {
        let (level_lines, scale_lines) = panel.split_at_mut(self.level_lines());
        let groups_per_block = self.format.block_len() / GROUP;
        for (index, lines) in level_lines.chunks_exact_mut(self.bits).enumerate() {
            let block = &row[index / groups_per_block * self.format.block_bytes()..][..self.format.block_bytes()];
            let levels = levels(self.format, block, index % groups_per_block);
            put_levels(&levels, self.bits, output, lines);
            self.put_scales(block, index, output, scale_lines);
        }
    }

    fn put_scales(&self, block: &[u8], group: usize, output: usize, lines: &mut [Line]) {
        let copy = |line: &mut Line, half: usize, at: usize| {
            line[half * 32 + output * 2..][..2].copy_from_slice(&block[at..at + 2]);
        };
        match self.lattice {
            Lattice::Symmetric => copy(&mut lines[group / 2], group % 2, 0),
            Lattice::Affine => {
                copy(&mut lines[group], 0, 0);
                copy(&mut lines[group], 1, 2);
            }
            Lattice::GroupedAffine | Lattice::GroupedSymmetric => {
                let lines = &mut lines[group / 8 * SUPER_LINES..][..SUPER_LINES];
                let group = group % 8;
                let (first, second) = match self.lattice == Lattice::GroupedAffine {
                    true => {
                        copy(&mut lines[0], 0, 0);
                        copy(&mut lines[0], 1, 2);
                        k_scale(block, group)
                    }
                    false => {
                        copy(&mut lines[0], 0, 208);
                        (block[192 + 2 * group], block[193 + 2 * group])
                    }
                };
                let integers = &mut lines[1 + group / 2][group % 2 * 32..];
                integers[output] = first;
                integers[OUTPUTS + output] = second;
            }
        }
    }

    /// One output of a panel.
    pub(super) fn decode_row(&self, panel: &[Line], output: usize, out: &mut [f32]) {
        let (level_lines, scale_lines) = panel.split_at(self.level_lines());
        let groups = level_lines.chunks_exact(self.bits).zip(out.chunks_exact_mut(GROUP));
        for (group, (lines, out)) in groups.enumerate() {
            let vectors = vectors(self.bits, lines);
            let levels = std::array::from_fn(|column| vectors[column / 4][output * 4 + column % 4] >> (8 - self.bits));
            let scales = self.scales(scale_lines, group);
            let one = Scales {
                scale: [scales.scale[0][output], scales.scale[1][output]],
                minimum: match self.lattice {
                    Lattice::GroupedAffine => -scales.minimum[output],
                    _ => scales.minimum[output],
                },
            };
            one.weights(self.lattice, self.bits, &levels, out);
        }
    }

    /// What the 16 outputs of a panel multiply the levels of a group with, and add.
    fn scales(&self, lines: &[Line], group: usize) -> PanelScales {
        scales(self.lattice, lines, group)
    }
}

/// Lines that the scales of a panel take.
pub(super) fn scale_lines(lattice: Lattice, groups: usize) -> usize {
    match lattice {
        Lattice::Symmetric => groups.div_ceil(2),
        Lattice::Affine => groups,
        Lattice::GroupedAffine | Lattice::GroupedSymmetric => groups / 8 * SUPER_LINES,
    }
}

/// Scales of 16 outputs for 32 columns.
pub(super) struct PanelScales {
    /// Of the first and of the second 16 columns.
    pub(super) scale: [[f32; OUTPUTS]; 2],
    /// What is added to each weight.
    pub(super) minimum: [f32; OUTPUTS],
}

/// Reads the scales of one group of 32 columns.
pub(super) fn scales(lattice: Lattice, lines: &[Line], group: usize) -> PanelScales {
    let floats = |line: &Line, half: usize| -> [f32; OUTPUTS] {
        std::array::from_fn(|output| half_at(line, half * 32 + output * 2).to_f32())
    };
    match lattice {
        Lattice::Symmetric => {
            let scale = floats(&lines[group / 2], group % 2);
            PanelScales { scale: [scale; 2], minimum: [0.0; OUTPUTS] }
        }
        Lattice::Affine => PanelScales { scale: [floats(&lines[group], 0); 2], minimum: floats(&lines[group], 1) },
        Lattice::GroupedAffine | Lattice::GroupedSymmetric => {
            let lines = &lines[group / 8 * SUPER_LINES..][..SUPER_LINES];
            let integers = &lines[1 + group % 8 / 2][group % 2 * 32..][..2 * OUTPUTS];
            let unit = floats(&lines[0], 0);
            if lattice == Lattice::GroupedAffine {
                let minimum_unit = floats(&lines[0], 1);
                let scale = std::array::from_fn(|output| unit[output] * f32::from(integers[output]));
                let minimum = |output: usize| -(minimum_unit[output] * f32::from(integers[OUTPUTS + output]));
                PanelScales { scale: [scale; 2], minimum: std::array::from_fn(minimum) }
            } else {
                let scale =
                    |part: usize, output: usize| unit[output] * f32::from(integers[part * OUTPUTS + output] as i8);
                let scales = std::array::from_fn(|part| std::array::from_fn(|output| scale(part, output)));
                PanelScales { scale: scales, minimum: [0.0; OUTPUTS] }
            }
        }
    }
}

fn put_levels(levels: &[u8; GROUP], bits: usize, output: usize, lines: &mut [Line]) {
    for (column, &level) in levels.iter().enumerate() {
        let (vector, at) = (column / 4, output * 4 + column % 4);
        if bits == 8 {
            lines[vector][at] = level;
            continue;
        }
        lines[vector % 4][at] |= level >> (bits - 4) << (vector / 4 * 4);
        match bits {
            5 => lines[4][at] |= (level & 1) << vector,
            6 => lines[4 + vector / 4][at] |= (level & 3) << (vector % 4 * 2),
            _ => {}
        }
    }
}

/// The levels of 32 columns, each moved to the upper bits of its byte, so that zero is 128 in every symmetric format.
pub(super) fn vectors(bits: usize, lines: &[Line]) -> [[u8; 64]; VECTORS] {
    std::array::from_fn(|vector| {
        std::array::from_fn(|at| {
            if bits == 8 {
                return lines[vector][at];
            }
            let upper = lines[vector % 4][at] >> (vector / 4 * 4) << 4;
            match bits {
                5 => upper | (lines[4][at] >> vector & 1) << 3,
                6 => upper | (lines[4 + vector / 4][at] >> (vector % 4 * 2) & 3) << 2,
                _ => upper,
            }
        })
    })
}
