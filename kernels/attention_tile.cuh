// What the attention kernels on tensor cores share: tiles in shared memory, products of tiles, masks, stores.
//
// A tile lies in shared memory row by row, D bf16 wide. Groups of 8 values (16 bytes, one access) are permuted inside a
// row: group `c` of row `r` lies at `c ^ (r % 8)`. So the eight rows of an 8x8 matrix, the same group of each, lie in
// different banks, and so do the groups of one row.
#pragma once
#include "tensor_core.cuh"

// A run of rows of one sequence, in rows of the whole batch. The host makes one for every 64 (or 128) rows of every
// sequence, counted from the sequence's first row. A query sees the keys up to itself.
struct AttentionTile {
    int sequence_start, sequence_end, start, unused;
};

namespace {
namespace attention {

constexpr float LOG2E = 1.44269504088896340736f, LN2 = 0.69314718055994530942f;
constexpr int THREADS = 128;
// Rows of a warp: two 16-row tiles, so that each matrix loaded for the right side serves two products.
constexpr int WARP_ROWS = 32;

// The packed buffer of a batch: H query heads, G key heads, G value heads in each row.
struct Heads {
    int query_heads, kv_heads, width;

    __device__ __forceinline__ size_t row() const { return size_t(query_heads + 2 * kv_heads) * width; }
    __device__ __forceinline__ size_t query(int head) const { return size_t(head) * width; }
    __device__ __forceinline__ size_t key(int head) const { return size_t(query_heads + head) * width; }
    __device__ __forceinline__ size_t value(int head) const { return size_t(query_heads + kv_heads + head) * width; }
    __device__ __forceinline__ int group() const { return query_heads / kv_heads; }
};

// 0 asks for no window: one wider than any sequence.
__device__ __forceinline__ int window_or_all(int window) { return window > 0 ? window : 1 << 30; }

// Whether a query sees the key that lies `back` before it: one comparison, as what lies ahead becomes very large.
__device__ __forceinline__ bool sees(int back, int window) { return unsigned(back) < unsigned(window); }
// For rows `[query, query + queries)` and keys alike: whether any query sees any key, and whether all see all.
__device__ __forceinline__ bool any_sees(int query, int queries, int key, int keys, int window) {
    return key <= query + queries - 1 && key + keys - 1 > query - window;
}
__device__ __forceinline__ bool all_see(int query, int queries, int key, int keys, int window) {
    return key + keys - 1 <= query && key > query + queries - 1 - window;
}

__device__ __forceinline__ int lane_index() { return threadIdx.x % WARP; }
// Where a lane's part of a 16x8 result lies: rows `lane_row()` and 8 further, columns `lane_column()` and the next.
__device__ __forceinline__ int lane_row() { return lane_index() / 4; }
__device__ __forceinline__ int lane_column() { return lane_index() % 4 * 2; }

// Where this thread's share of a tile starts, in a matrix whose rows are `stride` apart.
template <int D>
__device__ __forceinline__ const bf16* thread_share(const bf16* from, size_t stride) {
    constexpr int GROUPS = D / 8;
    return from + threadIdx.x / GROUPS * stride + threadIdx.x % GROUPS * 8;
}

// Starts to copy `ROWS` rows to a tile, each thread from its `share`; rows from `valid` on become zeros.
template <int ROWS, int D>
__device__ __forceinline__ void copy_share(bf16* tile, const bf16* share, size_t stride, int valid) {
    constexpr int GROUPS = D / 8;
    static_assert(ROWS * GROUPS % THREADS == 0 && THREADS / GROUPS % 8 == 0, "a thread keeps its place in the swizzle");
    const int first = threadIdx.x / GROUPS, group = threadIdx.x % GROUPS;
    bf16* to = tile + first * D + (group ^ (first % 8)) * 8;
    const int step = THREADS / GROUPS * int(stride);
#pragma unroll
    for (int row = 0; row < ROWS; row += THREADS / GROUPS) {
        copy_async_16(to + row * D, share, first + row < valid);
        share += step;
    }
}

template <int ROWS, int D>
__device__ __forceinline__ void copy_tile(bf16* tile, const bf16* from, size_t stride, int valid) {
    copy_share<ROWS, D>(tile, thread_share<D>(from, stride), stride, valid);
}

// The row of a tile that a lane gives to `ldmatrix`, and how its groups are permuted.
template <int D>
struct LanePlace {
    SharedAddress row;
    int swizzle;

    // `column` is a multiple of 16, `rows` of 8. Columns 64 apart are swizzled alike: only the rest needs a register.
    __device__ __forceinline__ SharedAddress at(int rows, int column) const {
        return shared_offset(row, (column % 64 ^ swizzle) + rows * D + column / 64 * 64);
    }
};

// A 16x16 block as 8x8 matrices, column after column: the left side of a product, and the right side with its rows
// running along the sum.
template <int D>
__device__ __forceinline__ LanePlace<D> by_columns(SharedAddress tile, int row) {
    const int lane = lane_index();
    return {shared_offset(tile, (row + lane % 16) * D), (lane / 16 ^ lane % 8) * 8};
}
// The same, row after row: the right side of a product with its columns running along the sum.
template <int D>
__device__ __forceinline__ LanePlace<D> by_rows(SharedAddress tile, int row) {
    const int lane = lane_index();
    return {shared_offset(tile, (row + lane / 16 * 8 + lane % 8) * D), (lane / 8 % 2 ^ lane % 8) * 8};
}

template <int M, int N>
__device__ __forceinline__ void clear(float (&c)[M][N][4]) {
#pragma unroll
    for (int m = 0; m < M; ++m)
#pragma unroll
        for (int n = 0; n < N; ++n)
#pragma unroll
            for (int i = 0; i < 4; ++i) c[m][n][i] = 0.0f;
}

// c = left right^T: 16 M rows of the tile `left` from `row` on, 8 N rows of the tile `right`, both D wide.
template <int D, int M, int N>
__device__ __forceinline__ void multiply_transposed(float (&c)[M][N][4], SharedAddress left, int row,
                                                    SharedAddress right) {
    const LanePlace<D> a = by_columns<D>(left, row), b = by_rows<D>(right, 0);
    clear(c);
    // Not unrolled further: fewer addresses to keep, and D = 128 has no register to spare.
#pragma unroll 4
    for (int column = 0; column < D; column += 16) {
        uint32_t rows[M][4];
#pragma unroll
        for (int m = 0; m < M; ++m) ldmatrix_x4(rows[m], a.at(16 * m, column));
#pragma unroll
        for (int n = 0; n < N; n += 2) {
            uint32_t columns[4];
            ldmatrix_x4(columns, b.at(8 * n, column));
#pragma unroll
            for (int m = 0; m < M; ++m) {
                mma_16x8x16(c[m][n], rows[m], columns[0], columns[1]);
                mma_16x8x16(c[m][n + 1], rows[m], columns[2], columns[3]);
            }
        }
    }
}

// c += left right: `left` in registers, 16 M x 16 K, `right` a tile of 16 K rows, D wide.
template <int D, int M, int K>
__device__ __forceinline__ void multiply_add(float (&c)[M][D / 8][4], const uint32_t (&left)[M][K][4],
                                             SharedAddress right) {
    const LanePlace<D> b = by_columns<D>(right, 0);
#pragma unroll
    for (int k = 0; k < K; ++k) {
#pragma unroll
        for (int n = 0; n < D / 8; n += 2) {
            uint32_t columns[4];
            ldmatrix_x4_transposed(columns, b.at(16 * k, 8 * n));
#pragma unroll
            for (int m = 0; m < M; ++m) {
                mma_16x8x16(c[m][n], left[m][k], columns[0], columns[1]);
                mma_16x8x16(c[m][n + 1], left[m][k], columns[2], columns[3]);
            }
        }
    }
}

// The 16 columns from `16 k` on of a result, as the left side of the next product: a lane's values stay its own.
template <int N>
__device__ __forceinline__ void pack_fragment(uint32_t (&to)[4], const float (&c)[N][4], int k) {
    to[0] = pack_bf16(c[2 * k][0], c[2 * k][1]);
    to[1] = pack_bf16(c[2 * k][2], c[2 * k][3]);
    to[2] = pack_bf16(c[2 * k + 1][0], c[2 * k + 1][1]);
    to[3] = pack_bf16(c[2 * k + 1][2], c[2 * k + 1][3]);
}

// Writes a warp's result to global memory, its rows from `first` up to `valid`, through its own rows of a tile so that
// the accesses are wide.
template <int D, int M>
__device__ __forceinline__ void store_rows(bf16* to, size_t stride, int valid, const float (&c)[M][D / 8][4],
                                           float factor, bf16* tile, int first = 0) {
    constexpr int GROUPS = D / 8;
    const int row = lane_row(), column = lane_column(), lane = lane_index();
    __syncwarp();
#pragma unroll
    for (int m = 0; m < M; ++m)
#pragma unroll
        for (int n = 0; n < GROUPS; ++n)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const float low = c[m][n][2 * half] * factor, high = c[m][n][2 * half + 1] * factor;
                bf16* to_tile = tile + (16 * m + 8 * half + row) * D + (n ^ row) * 8 + column;
                store<1>(reinterpret_cast<uint32_t*>(to_tile), {{pack_bf16(low, high)}});
            }
    __syncwarp();
#pragma unroll
    for (int i = 0; i < 16 * M * GROUPS / WARP; ++i) {
        const int r = (i * WARP + lane) / GROUPS, group = lane % GROUPS;
        if (r >= first && r < valid) store_global(to + r * stride + group * 8, load<8>(tile + r * D + (group ^ (r % 8)) * 8));
    }
}

}  // namespace attention
}  // namespace
