// Products of a few rows with weights in few bits, and such weights expanded: y[t, n] = sum over k of w[n, k] x[t, k].
//
// A block has 32 rows of the weight (outputs) and all rows of x, up to 64. Its warps share the columns: warp i takes
// units i, i + warps, ..., and what they have is added in the order of the warps. Weights are expanded in registers to
// whole numbers in bf16, which is exact, and multiplied on tensor cores; each unit's sums are scaled in f32 and added.
// Every row of x has its own column of each product: what it comes to does not depend on the others.
#include "packed_formats.cuh"

namespace packed {

// Warps of a block at most, and columns of the table that they leave their sums in: so wide that lanes write to different
// banks.
constexpr int WARPS_MAX = 16, SHARE_WIDTH = 36;

// bf16 as it is, row by row.
struct Bf16 {
    static constexpr bool HAS_OFFSET = false, HAS_SCALE = false;
    using Unit = Fragments;
};

// Rows `row ..` of the weight as one lane has them; those past the end are zeros.
struct DenseRows {
    const bf16* weight;
    int row, rows, columns;

    __device__ __forceinline__ Fragments load(int unit) const {
        Fragments result;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const int at = row + 8 * i + lane() / 4;
            Pack<uint32_t, 4> pack{};
            if (at < rows) {
                const bf16* from = weight + size_t(at) * columns + unit * UNIT + lane() % 4 * 8;
                pack = load_once(reinterpret_cast<const uint32_t*>(from));
            }
#pragma unroll
            for (int pair = 0; pair < 4; ++pair) result.pairs[i][pair] = pack.values[pair];
        }
        return result;
    }
};

// c += the two matrices of rows `16 m ..` times one tile of eight rows of x.
__device__ __forceinline__ void multiply_unit(float (&c)[4], const Fragments& w, int m, const Pack<uint32_t, 4>& x) {
#pragma unroll
    for (int step = 0; step < 2; ++step) {
        const uint32_t a[4] = {w.pairs[2 * m][2 * step], w.pairs[2 * m + 1][2 * step], w.pairs[2 * m][2 * step + 1],
                               w.pairs[2 * m + 1][2 * step + 1]};
        mma_16x8x16(c, a, x.values[2 * step], x.values[2 * step + 1]);
    }
}

// The sums of the columns of a tile of x, as a product with ones.
__device__ __forceinline__ void sum_unit(float (&c)[4], const Pack<uint32_t, 4>& x) {
    const uint32_t ones[4] = {0x3f803f80u, 0x3f803f80u, 0x3f803f80u, 0x3f803f80u};
    mma_16x8x16(c, ones, x.values[0], x.values[1]);
    mma_16x8x16(c, ones, x.values[2], x.values[3]);
}

template <class F, int TILES>
struct Product {
    float sums[2][TILES][4];

    __device__ __forceinline__ void begin() {
#pragma unroll
        for (int m = 0; m < 2; ++m)
#pragma unroll
            for (int tile = 0; tile < TILES; ++tile)
#pragma unroll
                for (int i = 0; i < 4; ++i) sums[m][tile][i] = 0.0f;
    }

    __device__ __forceinline__ void add(const Fragments& w, const Scales& scales, const bf16* x, int rows, int columns) {
#pragma unroll
        for (int tile = 0; tile < TILES; ++tile) {
            const int row = 8 * tile + lane() / 4;
            Pack<uint32_t, 4> pack{};
            if (row < rows) {
                pack = load<4>(reinterpret_cast<const uint32_t*>(x + size_t(row) * columns + lane() % 4 * 8));
            }
            float whole[4] = {};
            if constexpr (F::HAS_OFFSET) sum_unit(whole, pack);
#pragma unroll
            for (int m = 0; m < 2; ++m) {
                if constexpr (F::HAS_SCALE) {
                    float c[4] = {};
                    multiply_unit(c, w, m, pack);
#pragma unroll
                    for (int i = 0; i < 4; ++i) {
                        float& sum = sums[m][tile][i];
                        sum = fmaf(scales.scale[2 * m + i / 2], c[i], sum);
                        if constexpr (F::HAS_OFFSET) sum = fmaf(scales.offset[2 * m + i / 2], whole[i % 2], sum);
                    }
                } else {
                    multiply_unit(sums[m][tile], w, m, pack);
                }
            }
        }
    }

    // Adds up what the warps have, tile by tile, and stores it.
    template <class Out>
    __device__ __forceinline__ void finish(Out* y, int rows, int y_stride, int row, int row_count) {
        __shared__ float shares[WARPS_MAX][8 * SHARE_WIDTH];
        const int warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
#pragma unroll
        for (int tile = 0; tile < TILES; ++tile) {
            __syncthreads();
#pragma unroll
            for (int m = 0; m < 2; ++m)
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    const int column = lane() % 4 * 2 + i % 2;
                    shares[warp][column * SHARE_WIDTH + 16 * m + i / 2 * 8 + lane() / 4] = sums[m][tile][i];
                }
            __syncthreads();
            for (int item = threadIdx.x; item < 8 * UNIT; item += blockDim.x) {
                const int at = item % UNIT, column = item / UNIT;
                if (8 * tile + column >= rows || row + at >= row_count) continue;
                float sum = 0.0f;
                for (int i = 0; i < warps; ++i) sum += shares[i][column * SHARE_WIDTH + at];
                y[size_t(8 * tile + column) * y_stride + row + at] = from_float<Out>(sum);
            }
        }
    }
};

// `row_count`, `columns`: of the weight. `rows`: of x, which are `columns` wide; those of y are `y_stride` apart.
template <class F, class Out, int TILES>
__device__ void multiply(Out* y, const uint32_t* values, const uint32_t* scales, const bf16* x, int row_count,
                         int columns, int rows, int y_stride) {
    // Units on their way to a warp: as many as there are registers for.
    constexpr int AHEAD = TILES >= 8 ? 1 : TILES >= 4 ? 2 : 4;
    const int warp = threadIdx.x / WARP, warps = blockDim.x / WARP, units = columns / UNIT;
    const size_t first = size_t(blockIdx.x) * units;
    Product<F, TILES> product;
    product.begin();
    for (int unit = warp; unit < units; unit += AHEAD * warps) {
        typename F::Unit raw[AHEAD];
#pragma unroll
        for (int i = 0; i < AHEAD; ++i) {
            if (unit + i * warps < units) raw[i] = F::load(values, scales, first + unit + i * warps);
        }
#pragma unroll
        for (int i = 0; i < AHEAD; ++i) {
            const int at = unit + i * warps;
            if (at < units) product.add(F::expand(raw[i]), F::scales(raw[i]), x + at * UNIT, rows, columns);
        }
    }
    product.template finish<Out>(y, rows, y_stride, blockIdx.x * UNIT, row_count);
}

template <class Out, int TILES>
__device__ void multiply_dense(Out* y, const bf16* weight, const bf16* x, int row_count, int columns, int rows,
                               int y_stride) {
    constexpr int AHEAD = TILES >= 8 ? 1 : 2;
    const int warp = threadIdx.x / WARP, warps = blockDim.x / WARP, units = columns / UNIT;
    const DenseRows own{weight, int(blockIdx.x) * UNIT, row_count, columns};
    Product<Bf16, TILES> product;
    product.begin();
    for (int unit = warp; unit < units; unit += AHEAD * warps) {
        Fragments raw[AHEAD];
#pragma unroll
        for (int i = 0; i < AHEAD; ++i) {
            if (unit + i * warps < units) raw[i] = own.load(unit + i * warps);
        }
#pragma unroll
        for (int i = 0; i < AHEAD; ++i) {
            const int at = unit + i * warps;
            if (at < units) product.add(raw[i], {}, x + at * UNIT, rows, columns);
        }
    }
    product.template finish<Out>(y, rows, y_stride, blockIdx.x * UNIT, row_count);
}

// A warp for each unit.
template <class F>
__device__ void expand(bf16* out, const uint32_t* values, const uint32_t* scales, int row_count, int columns) {
    const int units = columns / UNIT, unit = blockIdx.y * (blockDim.x / WARP) + threadIdx.x / WARP;
    if (unit >= units) return;
    const typename F::Unit raw = F::load(values, scales, size_t(blockIdx.x) * units + unit);
    const Fragments whole = F::expand(raw);
    const Scales own = F::scales(raw);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const int row = blockIdx.x * UNIT + 8 * i + lane() / 4;
        if (row >= row_count) continue;
        Pack<bf16, 8> pack;
#pragma unroll
        for (int column = 0; column < 8; ++column) {
            const uint16_t bits = uint16_t(whole.pairs[i][column / 2] >> (column % 2 * 16));
            bf16 value;
            memcpy(&value, &bits, sizeof value);
            float weight = own.scale[i] * to_float(value);
            if constexpr (F::HAS_OFFSET) weight += own.offset[i];
            pack.values[column] = from_float<bf16>(weight);
        }
        store_global(out + size_t(row) * columns + unit * UNIT + lane() % 4 * 8, pack);
    }
}

}  // namespace packed

// multiply: grid (groups of 32 rows of the weight), up to 512 threads; rows of x: up to 8 times the number at the end.
// expand: grid (groups, units / warps), 256 threads.
#define PRODUCT(F, format, Out, dtype, tiles)                                                                          \
    extern "C" __global__ void __launch_bounds__(512) packed_multiply_##format##_##dtype##_x##tiles(                   \
        Out* y, const uint32_t* values, const uint32_t* scales, const bf16* x, int row_count, int columns, int rows,   \
        int y_stride) {                                                                                                \
        packed::multiply<packed::F, Out, tiles>(y, values, scales, x, row_count, columns, rows, y_stride);             \
    }                                                                                                                  \
    KERNEL(packed_multiply_##format##_##dtype##_x##tiles)
#define PRODUCTS(F, format, Out, dtype)                                                                                \
    PRODUCT(F, format, Out, dtype, 1)                                                                                  \
    PRODUCT(F, format, Out, dtype, 2)                                                                                  \
    PRODUCT(F, format, Out, dtype, 4)                                                                                  \
    PRODUCT(F, format, Out, dtype, 8)
#define ENTRIES(F, format)                                                                                             \
    PRODUCTS(F, format, float, f32)                                                                                    \
    PRODUCTS(F, format, bf16, bf16)                                                                                    \
    extern "C" __global__ void packed_expand_##format(bf16* out, const uint32_t* values, const uint32_t* scales,       \
                                                      int row_count, int columns) {                                    \
        packed::expand<packed::F>(out, values, scales, row_count, columns);                                            \
    }                                                                                                                  \
    KERNEL(packed_expand_##format)
ENTRIES(Q8, q8)
ENTRIES(Q4, q4)
ENTRIES(Q4Offset, q4_offset)
#undef ENTRIES
#undef PRODUCTS
#undef PRODUCT

#define DENSE(Out, dtype, tiles)                                                                                       \
    extern "C" __global__ void __launch_bounds__(512) packed_multiply_dense_##dtype##_x##tiles(                        \
        Out* y, const bf16* weight, const bf16* x, int row_count, int columns, int rows, int y_stride) {               \
        packed::multiply_dense<Out, tiles>(y, weight, x, row_count, columns, rows, y_stride);                          \
    }                                                                                                                  \
    KERNEL(packed_multiply_dense_##dtype##_x##tiles)
#define DENSES(Out, dtype)                                                                                             \
    DENSE(Out, dtype, 1)                                                                                               \
    DENSE(Out, dtype, 2)                                                                                               \
    DENSE(Out, dtype, 4)                                                                                               \
    DENSE(Out, dtype, 8)
DENSES(float, f32)
DENSES(bf16, bf16)
#undef DENSES
#undef DENSE
