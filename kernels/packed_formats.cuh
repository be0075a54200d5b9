// Weights in few bits, as the kernels read them, and how they become factors of a product.
//
// A unit is 32 rows by 32 columns, units of the same rows lie side by side. Lane (g, q) of a warp, with g = lane / 4 and
// q = lane % 4, has of each unit the rows g, g + 8, g + 16, g + 24 in the columns 8 q .. 8 q + 8, which is what two
// 16x16 matrices on the left of a product want of it when the columns of the sum are counted in that order: for the
// first step of 16 columns its columns 8 q, +1 and +2, +3, for the second +4, +5 and +6, +7.
//
// Every 32 columns of a row have a scale in f16, and in one format an offset. Scales lie for each unit and g in the order
// of the four rows.
#pragma once
#include "tensor_core.cuh"

namespace packed {

constexpr int UNIT = 32;

// Rows `g + 8 i` of a unit: pairs of columns, in the order of the columns.
struct Fragments {
    uint32_t pairs[4][4];
};

// Scales of the rows, and offsets if there are any.
struct Scales {
    float scale[4], offset[4];
};

__device__ __forceinline__ int lane() { return threadIdx.x % WARP; }

// What a lane has of a unit, before it is expanded: `WORDS` of values.
template <int W, int S>
struct Raw {
    static constexpr int WORDS = W, SCALE_WORDS = S;
    uint32_t words[W], scales[S > 0 ? S : 1];
};

__device__ __forceinline__ float low_f16(uint32_t word) {
    const uint16_t bits = uint16_t(word);
    f16 value;
    memcpy(&value, &bits, sizeof value);
    return to_float(value);
}
__device__ __forceinline__ float high_f16(uint32_t word) { return low_f16(word >> 16); }

// Loads a lane's part of unit `unit`, counted over all rows.
template <class R>
__device__ __forceinline__ R load_unit(const uint32_t* values, const uint32_t* scales, size_t unit) {
    R raw;
#pragma unroll
    for (int part = 0; part < R::WORDS / 4; ++part) {
        const Pack<uint32_t, 4> pack = load_once(values + ((unit * (R::WORDS / 4) + part) * WARP + lane()) * 4);
#pragma unroll
        for (int i = 0; i < 4; ++i) raw.words[4 * part + i] = pack.values[i];
    }
    const Pack<uint32_t, R::SCALE_WORDS> pack =
        load<R::SCALE_WORDS>(scales + (unit * (WARP / 4) + lane() / 4) * R::SCALE_WORDS);
#pragma unroll
    for (int i = 0; i < R::SCALE_WORDS; ++i) raw.scales[i] = pack.values[i];
    return raw;
}

// 128 + v in bf16, for v below 128 in the low bits of each half.
constexpr uint32_t ABOVE_128 = 0x43004300u;

// 8 bits, signed: 8.5 bits a weight.
struct Q8 {
    using Unit = Raw<8, 2>;
    static constexpr bool HAS_OFFSET = false, HAS_SCALE = true;

    static __device__ __forceinline__ Unit load(const uint32_t* values, const uint32_t* scales, size_t unit) {
        return load_unit<Unit>(values, scales, unit);
    }
    // The bytes of a word are columns 0, 2, 1, 3.
    static __device__ __forceinline__ Fragments expand(const Unit& raw) {
        Fragments result;
#pragma unroll
        for (int row = 0; row < 4; ++row)
#pragma unroll
            for (int pair = 0; pair < 4; ++pair) {
                const uint32_t word = raw.words[2 * row + pair / 2] >> (pair % 2 * 8);
                // The lower seven bits less 128 for the eighth: 128 + v, and -128 or -256.
                const uint32_t low = (word & 0x007f007fu) | ABOVE_128, sign = (word & 0x00800080u) | 0xc300c300u;
                result.pairs[row][pair] = add_bf16x2(low, sign);
            }
        return result;
    }
    static __device__ __forceinline__ Scales scales(const Unit& raw) {
        return {{low_f16(raw.scales[0]), high_f16(raw.scales[0]), low_f16(raw.scales[1]), high_f16(raw.scales[1])}, {}};
    }
};

// 4 bits. Nibbles of a word are columns 0, 2, 4, 6, 1, 3, 5, 7; they become v + `shift`, where shift is a pair of bf16.
__device__ __forceinline__ Fragments expand_nibbles(const uint32_t* words, uint32_t shift) {
    Fragments result;
#pragma unroll
    for (int row = 0; row < 4; ++row)
#pragma unroll
        for (int pair = 0; pair < 4; ++pair) {
            const uint32_t above = (words[row] >> (4 * pair) & 0x000f000fu) | ABOVE_128;
            result.pairs[row][pair] = add_bf16x2(above, shift);
        }
    return result;
}

// v - 8: 4.5 bits a weight.
struct Q4 {
    using Unit = Raw<4, 2>;
    static constexpr bool HAS_OFFSET = false, HAS_SCALE = true;

    static __device__ __forceinline__ Unit load(const uint32_t* values, const uint32_t* scales, size_t unit) {
        return load_unit<Unit>(values, scales, unit);
    }
    static __device__ __forceinline__ Fragments expand(const Unit& raw) {
        return expand_nibbles(raw.words, 0xc308c308u);  // -136
    }
    static __device__ __forceinline__ Scales scales(const Unit& raw) {
        return {{low_f16(raw.scales[0]), high_f16(raw.scales[0]), low_f16(raw.scales[1]), high_f16(raw.scales[1])}, {}};
    }
};

// v, with an offset behind each scale: 5 bits a weight.
struct Q4Offset {
    using Unit = Raw<4, 4>;
    static constexpr bool HAS_OFFSET = true, HAS_SCALE = true;

    static __device__ __forceinline__ Unit load(const uint32_t* values, const uint32_t* scales, size_t unit) {
        return load_unit<Unit>(values, scales, unit);
    }
    static __device__ __forceinline__ Fragments expand(const Unit& raw) {
        return expand_nibbles(raw.words, 0xc300c300u);  // -128
    }
    static __device__ __forceinline__ Scales scales(const Unit& raw) {
        Scales result;
#pragma unroll
        for (int i = 0; i < 4; ++i) result.scale[i] = low_f16(raw.scales[i]), result.offset[i] = high_f16(raw.scales[i]);
        return result;
    }
};

}  // namespace packed
