// A few queries of a sequence over a long past, on tensor cores: a block for 128 keys of one head.
//
// All query heads that share the key head are rows of one product, and so are the few tokens of a sequence that are
// checked at once: keys and values are read once for all of them. A block leaves, for each of its rows, the maximum of the
// scores, the sum of the exponentials and the sum of the values (`state`, `sums`); another kernel adds the chunks up.
// The chunks begin at multiples of 128: what a row comes to does not depend on who else is in the batch.
#pragma once
#include "paged_layout.cuh"

namespace paged {

using namespace attention;

// What a chunk of keys says about a row: of the scores in powers of two.
struct State {
    float highest, sum;
};

// Where a row's state and sums are: `rows_max` rows for each chunk and head.
__device__ __forceinline__ size_t place(int chunk, int kv_heads, int head, int rows_max, int row) {
    return (size_t(chunk) * kv_heads + head) * rows_max + row;
}

template <int D>
struct Decode {
    // Rows at a time, and keys of a warp.
    static constexpr int ROWS = 16, KEYS = CHUNK_TOKENS / (THREADS / WARP), N = KEYS / 8;
    // Columns of a warp when the values are added up.
    static constexpr int COLUMNS = D / (THREADS / WARP);

    bf16 *keys, *values, *queries, *probabilities;
    // Of each warp and row: maxima, then sums.
    float* shares;

    __device__ __forceinline__ explicit Decode(bf16* shared)
        : keys(shared), values(keys + CHUNK_TOKENS * D), queries(values + CHUNK_TOKENS * D),
          probabilities(queries + ROWS * D), shares(reinterpret_cast<float*>(probabilities + ROWS * CHUNK_TOKENS)) {}

    // Rows `first ..` of the product: query heads `group` at a time, token after token. Those past the end are zeros.
    __device__ __forceinline__ void copy_queries(const bf16* qkv, const Chunk& chunk, Heads heads, int head, int first) {
        constexpr int GROUPS = D / 8;
        const int group = heads.group();
        for (int item = threadIdx.x; item < ROWS * GROUPS; item += THREADS) {
            const int at = item / GROUPS, part = item % GROUPS, row = first + at;
            Pack<bf16, 8> pack{};
            if (row < chunk.rows * group) {
                const bf16* token = qkv + size_t(chunk.row + row / group) * heads.row();
                pack = load<8>(token + heads.query(head * group + row % group) + part * 8);
            }
            store<8>(queries + at * D + (part ^ (at % 8)) * 8, pack);
        }
    }

    // Each warp its keys: scores to exponentials, and what the rows' maxima and sums are over all keys.
    __device__ __forceinline__ void soften(float (&scores)[1][N][4], float scale_log2, State (&state)[2]) {
        const int warp = threadIdx.x / WARP;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float top = -INFINITY;
#pragma unroll
            for (int n = 0; n < N; ++n) top = fmaxf(top, fmaxf(scores[0][n][2 * half], scores[0][n][2 * half + 1]));
            top = fmaxf(top, __shfl_xor_sync(ALL_LANES, top, 1));
            top = fmaxf(top, __shfl_xor_sync(ALL_LANES, top, 2));
            if (lane_column() == 0) shares[warp * ROWS + 8 * half + lane_row()] = top;
        }
        __syncthreads();
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float top = -INFINITY;
            for (int i = 0; i < THREADS / WARP; ++i) top = fmaxf(top, shares[i * ROWS + 8 * half + lane_row()]);
            // A row that sees none of these keys has no maximum; its exponentials are to be zeros.
            const float highest = top * scale_log2, shift = top == -INFINITY ? 0.0f : highest;
            float sum = 0.0f;
#pragma unroll
            for (int n = 0; n < N; ++n)
#pragma unroll
                for (int i = 2 * half; i < 2 * half + 2; ++i) {
                    scores[0][n][i] = exp2_fast(scores[0][n][i] * scale_log2 - shift);
                    sum += scores[0][n][i];
                }
            sum += __shfl_xor_sync(ALL_LANES, sum, 1);
            sum += __shfl_xor_sync(ALL_LANES, sum, 2);
            state[half] = {highest, sum};
        }
    }

    // Exponentials and sums to shared memory, where the other warps find them.
    __device__ __forceinline__ void share(const float (&scores)[1][N][4], const State (&state)[2]) {
        const int warp = threadIdx.x / WARP, row = lane_row(), column = lane_column();
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            if (column == 0) shares[(THREADS / WARP + warp) * ROWS + 8 * half + row] = state[half].sum;
#pragma unroll
            for (int n = 0; n < N; ++n) {
                bf16* to = probabilities + (8 * half + row) * CHUNK_TOKENS + ((warp * N + n) ^ row) * 8 + column;
                store<1>(reinterpret_cast<uint32_t*>(to),
                         {{pack_bf16(scores[0][n][2 * half], scores[0][n][2 * half + 1])}});
            }
        }
    }

    // Each warp its columns: exponentials times values.
    __device__ __forceinline__ void add_values(float (&out)[COLUMNS / 8][4]) {
        const LanePlace<CHUNK_TOKENS> a = by_columns<CHUNK_TOKENS>(shared_address(probabilities), 0);
        const LanePlace<D> b = by_columns<D>(shared_address(values), 0);
        const int first = threadIdx.x / WARP * COLUMNS;
#pragma unroll
        for (int n = 0; n < COLUMNS / 8; ++n)
#pragma unroll
            for (int i = 0; i < 4; ++i) out[n][i] = 0.0f;
#pragma unroll
        for (int k = 0; k < CHUNK_TOKENS; k += 16) {
            uint32_t rows[4];
            ldmatrix_x4(rows, a.at(0, k));
#pragma unroll
            for (int n = 0; n < COLUMNS / 8; n += 2) {
                uint32_t columns[4];
                ldmatrix_x4_transposed(columns, b.at(k, first + 8 * n));
                mma_16x8x16(out[n], rows, columns[0], columns[1]);
                mma_16x8x16(out[n + 1], rows, columns[2], columns[3]);
            }
        }
    }
};

// Shared memory: keys, values, queries, exponentials, and two floats for each warp and row.
template <int D>
__device__ __forceinline__ void decode(float* sums, State* states, const bf16* qkv, const bf16* pages,
                                       const Chunk* chunks, Heads heads, int window, float scale, int rows_max) {
    using Work = Decode<D>;
    DYNAMIC_SHARED(bf16, shared);
    const Chunk& chunk = chunks[blockIdx.x];
    if (chunk.rows == 0) return;
    Work work(shared);
    const int head = blockIdx.y, group = heads.group(), warp = threadIdx.x / WARP;
    window = window_or_all(window);
    const Pages layout{heads.kv_heads, D};
    const int begin = chunk.position - window + 1, end = chunk.position + chunk.rows;
    copy_pages<CHUNK_TOKENS, D>(work.keys, pages + layout.key(head), chunk.pages, layout.page(), chunk.key, begin, end);
    copy_async_commit();
    copy_pages<CHUNK_TOKENS, D>(work.values, pages + layout.value(head), chunk.pages, layout.page(), chunk.key, begin,
                                end);
    copy_async_commit();
    work.copy_queries(qkv, chunk, heads, head, 0);
    copy_async_wait<1>();
    __syncthreads();
    for (int first = 0; first < chunk.rows * group; first += Work::ROWS) {
        float scores[1][Work::N][4], out[Work::COLUMNS / 8][4];
        State state[2];
        if (first > 0) {
            __syncthreads();
            work.copy_queries(qkv, chunk, heads, head, first);
            __syncthreads();
        }
        const int key = chunk.key + warp * Work::KEYS;
        multiply_transposed<D>(scores, shared_address(work.queries), 0,
                               shared_address(work.keys + warp * Work::KEYS * D));
#pragma unroll
        for (int n = 0; n < Work::N; ++n)
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const int position = chunk.position + (first + i / 2 * 8 + lane_row()) / group;
                if (!sees(position - (key + 8 * n + lane_column() + i % 2), window)) scores[0][n][i] = -INFINITY;
            }
        work.soften(scores, scale * LOG2E, state);
        work.share(scores, state);
        copy_async_wait<0>();
        __syncthreads();
        work.add_values(out);
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int at = 8 * half + lane_row(), row = first + at;
            if (row >= chunk.rows * group) continue;
            const size_t to = place(blockIdx.x, heads.kv_heads, head, rows_max, row);
            float sum = 0.0f;
            for (int i = 0; i < THREADS / WARP; ++i) sum += work.shares[(THREADS / WARP + i) * Work::ROWS + at];
            if (warp == 0 && lane_column() == 0) states[to] = {state[half].highest, sum};
#pragma unroll
            for (int n = 0; n < Work::COLUMNS / 8; ++n) {
                store<2>(sums + to * D + warp * Work::COLUMNS + 8 * n + lane_column(),
                         Pack<float, 2>{{out[n][2 * half], out[n][2 * half + 1]}});
            }
        }
    }
}

}  // namespace paged
