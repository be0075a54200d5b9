// Attention forward on tensor cores: a block for 128 queries of one head, 32 of them for each warp.
//
// Keys and values take turns: while a tile of keys is multiplied, the values of the same tile arrive, and while the
// values are multiplied, the next keys do. Softmax runs along: each row keeps its maximum and its sum, and what was
// added up before is scaled when the maximum grows.
#pragma once
#include "attention_tile.cuh"

namespace {
namespace attention {

template <int D>
struct Forward {
    static constexpr int ROWS = 128, KEYS = 64, M = WARP_ROWS / 16, N = KEYS / 8;

    float out[M][D / 8][4];
    // Of the rows `16 m + 8 half + lane_row()`: maxima of the unscaled scores, and sums of this lane's columns.
    float highest[M][2], sum[M][2];

    __device__ __forceinline__ void begin() {
        clear(out);
#pragma unroll
        for (int m = 0; m < M; ++m)
#pragma unroll
            for (int half = 0; half < 2; ++half) highest[m][half] = -INFINITY, sum[m][half] = 0.0f;
    }

    static __device__ __forceinline__ void mask(float (&scores)[M][N][4], int query, int key, int window) {
        const int first = query + lane_row() - (key + lane_column());
#pragma unroll
        for (int m = 0; m < M; ++m)
#pragma unroll
            for (int n = 0; n < N; ++n)
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    const int back = first + (16 * m + i / 2 * 8 - 8 * n - i % 2);
                    if (!sees(back, window)) scores[m][n][i] = -INFINITY;
                }
    }

    // Scores become probabilities as far as they are known. A row's first tile of keys holds the row's own key, so the
    // maximum is finite from then on.
    __device__ __forceinline__ void soften(float (&scores)[M][N][4], float scale_log2) {
#pragma unroll
        for (int m = 0; m < M; ++m)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                float top = highest[m][half];
#pragma unroll
                for (int n = 0; n < N; ++n) {
                    top = fmaxf(top, fmaxf(scores[m][n][2 * half], scores[m][n][2 * half + 1]));
                }
                top = fmaxf(top, __shfl_xor_sync(ALL_LANES, top, 1));
                top = fmaxf(top, __shfl_xor_sync(ALL_LANES, top, 2));
                const float shrink = exp2_fast((highest[m][half] - top) * scale_log2), shift = top * scale_log2;
                highest[m][half] = top;
                float added = 0.0f;
#pragma unroll
                for (int n = 0; n < N; ++n)
#pragma unroll
                    for (int i = 2 * half; i < 2 * half + 2; ++i) {
                        scores[m][n][i] = exp2_fast(scores[m][n][i] * scale_log2 - shift);
                        added += scores[m][n][i];
                    }
                sum[m][half] = sum[m][half] * shrink + added;
#pragma unroll
                for (int n = 0; n < D / 8; ++n)
#pragma unroll
                    for (int i = 2 * half; i < 2 * half + 2; ++i) out[m][n][i] *= shrink;
            }
    }

    // Divides by the sums and stores the log-sum-exp of `valid` rows.
    __device__ __forceinline__ void finish(float* lse, int stride, int valid, float scale) {
#pragma unroll
        for (int m = 0; m < M; ++m)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                float total = sum[m][half];
                total += __shfl_xor_sync(ALL_LANES, total, 1);
                total += __shfl_xor_sync(ALL_LANES, total, 2);
                const float factor = 1.0f / total;
                const int row = 16 * m + 8 * half + lane_row();
                if (lane_column() == 0 && row < valid) {
                    lse[size_t(row) * stride] = highest[m][half] * scale + logf(total);
                }
#pragma unroll
                for (int n = 0; n < D / 8; ++n)
#pragma unroll
                    for (int i = 2 * half; i < 2 * half + 2; ++i) out[m][n][i] *= factor;
            }
    }
};

// Shared memory: queries, keys, values.
template <int D>
__device__ __forceinline__ void forward(bf16* out, float* lse, const bf16* qkv, const AttentionTile* tiles,
                                        int query_heads, int kv_heads, int window, float scale) {
    using Work = Forward<D>;
    constexpr int ROWS = Work::ROWS, KEYS = Work::KEYS;
    DYNAMIC_SHARED(bf16, shared);
    bf16 *queries = shared, *keys = queries + ROWS * D, *values = keys + KEYS * D;
    const SharedAddress queries_at = shared_address(queries), keys_at = shared_address(keys),
                        values_at = shared_address(values);
    const AttentionTile tile = tiles[blockIdx.x];
    const Heads heads{query_heads, kv_heads, D};
    const int head = blockIdx.y, begin = tile.sequence_start, end = tile.sequence_end;
    const size_t stride = heads.row();
    window = window_or_all(window);

    const int last = min(tile.start + ROWS, end) - 1, lowest = max(begin, tile.start - window + 1);
    const int first_key = begin + (lowest - begin) / KEYS * KEYS, last_key = begin + (last - begin) / KEYS * KEYS;
    copy_tile<ROWS, D>(queries, qkv + tile.start * stride + heads.query(head), stride, end - tile.start);
    // Moves with the keys; the values of the same rows lie G heads further.
    const bf16* share = thread_share<D>(qkv + last_key * stride + heads.key(head / heads.group()), stride);
    copy_share<KEYS, D>(keys, share, stride, end - last_key);
    copy_async_commit();

    const int own_row = threadIdx.x / WARP * WARP_ROWS, row = tile.start + own_row;
    Work work;
    work.begin();
    // From the diagonal backwards: each row meets its own key in the first tile it works on.
    for (int key = last_key; key >= first_key; key -= KEYS) {
        const bool busy = row < end && any_sees(row, WARP_ROWS, key, KEYS, window);
        float scores[Work::M][Work::N][4];
        uint32_t probabilities[Work::M][KEYS / 16][4];
        copy_async_wait<0>();
        __syncthreads();
        copy_share<KEYS, D>(values, share + kv_heads * D, stride, end - key);
        copy_async_commit();
        if (busy) {
            multiply_transposed<D>(scores, queries_at, own_row, keys_at);
            if (!all_see(row, WARP_ROWS, key, KEYS, window)) Work::mask(scores, row, key, window);
            work.soften(scores, scale * LOG2E);
#pragma unroll
            for (int m = 0; m < Work::M; ++m)
#pragma unroll
                for (int k = 0; k < KEYS / 16; ++k) pack_fragment(probabilities[m][k], scores[m], k);
        }
        copy_async_wait<0>();
        __syncthreads();
        if (key > first_key) {
            share -= KEYS * stride;
            copy_share<KEYS, D>(keys, share, stride, KEYS);
            copy_async_commit();
        }
        if (busy) multiply_add<D>(work.out, probabilities, values_at);
    }
    if (row >= end) return;
    work.finish(lse + size_t(row) * query_heads + head, query_heads, end - row, scale);
    const size_t out_stride = size_t(query_heads) * D;
    store_rows<D>(out + row * out_stride + heads.query(head), out_stride, end - row, work.out, 1.0f,
                  queries + own_row * D);
}

}  // namespace attention
}  // namespace
