//! Whether all numbers that bytes stand for are finite, without decoding them.

use super::Format;

/// The exponent bits of an f16 and of a bf16; all of them set are an infinity or no number.
const F16_EXPONENT: u16 = 0x7c00;
const BF16_EXPONENT: u16 = 0x7f80;
const F32_EXPONENT: u32 = 0x7f80_0000;

/// Numbers that are looked at before it is asked whether one was not finite.
const CHUNK: usize = 1024;

impl Format {
    /// Where the first number stands that is not finite: which number for plain formats, which block for the others,
    /// whose levels are always finite and whose scales and minima need not be.
    ///
    /// * `bytes`: whole blocks.
    pub fn first_not_finite(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::F32 => first(bytes.as_chunks().0, |bytes| u32::from_le_bytes(*bytes) & F32_EXPONENT == F32_EXPONENT),
            Self::F16 => first(bytes.as_chunks().0, |bytes| is_set(*bytes, F16_EXPONENT)),
            Self::Bf16 => first(bytes.as_chunks().0, |bytes| is_set(*bytes, BF16_EXPONENT)),
            Self::Q8_0 | Self::Q4_0 | Self::Q5_0 => self.first_of(bytes, &[0]),
            Self::Q4_1 | Self::Q5_1 | Self::Q4K | Self::Q5K => self.first_of(bytes, &[0, 2]),
            Self::Q6K => self.first_of(bytes, &[208]),
        }
    }

    /// * `halves`: where in a block an f16 stands.
    fn first_of(self, bytes: &[u8], halves: &[usize]) -> Option<usize> {
        let is_bad = |block: &[u8]| halves.iter().any(|&at| is_set([block[at], block[at + 1]], F16_EXPONENT));
        bytes.chunks_exact(self.block_bytes()).position(is_bad)
    }
}

fn is_set(bytes: [u8; 2], exponent: u16) -> bool {
    u16::from_le_bytes(bytes) & exponent == exponent
}

/// The first that is bad, looked for in chunks without branches, so that a compiler makes vectors of it.
fn first<const N: usize>(numbers: &[[u8; N]], is_bad: impl Fn(&[u8; N]) -> bool) -> Option<usize> {
    let has_bad = |numbers: &[[u8; N]]| numbers.iter().fold(false, |bad, number| bad | is_bad(number));
    let chunk = numbers.chunks(CHUNK).position(has_bad)? * CHUNK;
    numbers[chunk..].iter().position(is_bad).map(|index| chunk + index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_decoding_finds() {
        // 6 blocks of whole numbers, then one byte after the other set so that an exponent may become full.
        for format in Format::ALL {
            let columns = 6 * format.block_len().max(256);
            let values: Vec<f32> = (0..columns).map(|column| (column % 13) as f32 - 6.0).collect();
            let mut good = Vec::new();
            format.encode_row(&values, &mut good);
            assert_eq!(format.first_not_finite(&good), None, "{format}");
            let mut found = 0;
            for at in 0..good.len() {
                let mut bytes = good.clone();
                bytes[at] = 0xff;
                if at + 1 < bytes.len() {
                    bytes[at + 1] = 0x7f;
                }
                let mut decoded = vec![0.0; columns];
                format.decode_row(&bytes, &mut decoded);
                let expected = decoded.iter().position(|value| !value.is_finite());
                let place = format.first_not_finite(&bytes);
                // A scale that is no number may meet a group whose own scale is zero: then it is one all the same.
                assert!(
                    expected.is_none() || place == expected.map(|column| column / format.block_len()),
                    "{format} {at}"
                );
                found += usize::from(place.is_some());
            }
            assert!(found >= 6, "{format}: {found}");
        }
    }

    #[test]
    fn the_place_is_found_in_any_chunk() {
        for at in [0, 1, CHUNK - 1, CHUNK, 3 * CHUNK + 7] {
            let mut values = vec![1.0f32; 4 * CHUNK];
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                values[at] = bad;
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                assert_eq!(Format::F32.first_not_finite(&bytes), Some(at));
            }
        }
    }
}
