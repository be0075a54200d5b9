// Attention backward on tensor cores, gradients of queries: a block for 128 queries of one head, 32 for each warp.
#pragma once
#include "attention_backward_kv.cuh"

namespace {
namespace attention {

template <int D>
struct BackwardQ {
    static constexpr int ROWS = 128, KEYS = 32, M = WARP_ROWS / 16, N = KEYS / 8, K = KEYS / 16;

    float gradient[M][D / 8][4];
    // Of the rows `16 m + 8 half + lane_row()`; the log-sum-exp to base 2.
    float lse[M][2], delta[M][2];

    __device__ __forceinline__ void begin(const BackwardInputs& in, size_t first, int stride, int valid) {
        clear(gradient);
#pragma unroll
        for (int m = 0; m < M; ++m)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const int row = 16 * m + 8 * half + lane_row();
                const size_t at = first + size_t(row) * stride;
                lse[m][half] = row < valid ? in.lse[at] * LOG2E : 0.0f;
                delta[m][half] = row < valid ? in.delta[at] : 0.0f;
            }
    }

    // Scores become probabilities; where a query does not see a key, 0.
    template <bool MASKED>
    __device__ __forceinline__ void soften(float (&scores)[M][N][4], int query, int key, int window, float scale_log2) {
        const int first = query + lane_row() - (key + lane_column());
#pragma unroll
        for (int m = 0; m < M; ++m)
#pragma unroll
            for (int n = 0; n < N; ++n)
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    const int back = first + (16 * m + i / 2 * 8 - 8 * n - i % 2);
                    const float p = exp2_fast(scores[m][n][i] * scale_log2 - lse[m][i / 2]);
                    scores[m][n][i] = !MASKED || sees(back, window) ? p : 0.0f;
                }
    }

    // dQ += dS K with dS = P (dP - delta), not yet scaled.
    __device__ __forceinline__ void add(float (&scores)[M][N][4], const float (&dp)[M][N][4], SharedAddress keys) {
        uint32_t left[M][K][4];
#pragma unroll
        for (int m = 0; m < M; ++m) {
#pragma unroll
            for (int n = 0; n < N; ++n)
#pragma unroll
                for (int i = 0; i < 4; ++i) scores[m][n][i] *= dp[m][n][i] - delta[m][i / 2];
#pragma unroll
            for (int k = 0; k < K; ++k) pack_fragment(left[m][k], scores[m], k);
        }
        multiply_add<D>(gradient, left, keys);
    }
};

// Shared memory: queries, gradients of the output, two stages of keys, two stages of values.
template <int D>
__device__ __forceinline__ void backward_q(bf16* dqkv, const BackwardInputs& in, const AttentionTile* tiles,
                                           int query_heads, int kv_heads, int window, float scale) {
    using Work = BackwardQ<D>;
    constexpr int ROWS = Work::ROWS, KEYS = Work::KEYS;
    DYNAMIC_SHARED(bf16, shared);
    bf16 *queries = shared, *douts = queries + ROWS * D, *keys = douts + ROWS * D, *values = keys + 2 * KEYS * D;
    const SharedAddress queries_at = shared_address(queries), douts_at = shared_address(douts);
    const AttentionTile tile = tiles[blockIdx.x];
    const Heads heads{query_heads, kv_heads, D};
    const int head = blockIdx.y, begin = tile.sequence_start, end = tile.sequence_end;
    const size_t stride = heads.row(), out_stride = size_t(query_heads) * D;
    window = window_or_all(window);
    const int last = min(tile.start + ROWS, end) - 1, lowest = max(begin, tile.start - window + 1);
    const int first_key = begin + (lowest - begin) / KEYS * KEYS;
    // Moves with the keys; the values of the same rows lie G heads further.
    const bf16* share = thread_share<D>(in.qkv + first_key * stride + heads.key(head / heads.group()), stride);
    const auto copy_keys = [&](int key, int stage) {
        copy_share<KEYS, D>(keys + stage * KEYS * D, share, stride, end - key);
        copy_share<KEYS, D>(values + stage * KEYS * D, share + kv_heads * D, stride, end - key);
        copy_async_commit();
        share += KEYS * stride;
    };
    copy_tile<ROWS, D>(queries, in.qkv + tile.start * stride + heads.query(head), stride, end - tile.start);
    copy_tile<ROWS, D>(douts, in.dout + tile.start * out_stride + heads.query(head), out_stride, end - tile.start);
    copy_keys(first_key, 0);

    const int own_row = threadIdx.x / WARP * WARP_ROWS, row = tile.start + own_row;
    Work work;
    work.begin(in, size_t(row) * query_heads + head, query_heads, end - row);
    int stage = 0;
    for (int key = first_key; key <= last; key += KEYS, stage = 1 - stage) {
        copy_async_wait<0>();
        __syncthreads();
        if (key + KEYS <= last) copy_keys(key + KEYS, 1 - stage);
        if (row >= end || !any_sees(row, WARP_ROWS, key, KEYS, window)) continue;
        const SharedAddress keys_at = shared_address(keys + stage * KEYS * D);
        float scores[Work::M][Work::N][4], dp[Work::M][Work::N][4];
        multiply_transposed<D>(scores, queries_at, own_row, keys_at);
        if (all_see(row, WARP_ROWS, key, KEYS, window)) {
            work.template soften<false>(scores, row, key, window, scale * LOG2E);
        } else {
            work.template soften<true>(scores, row, key, window, scale * LOG2E);
        }
        multiply_transposed<D>(dp, douts_at, own_row, shared_address(values + stage * KEYS * D));
        work.add(scores, dp, keys_at);
    }
    if (row >= end) return;
    store_rows<D>(dqkv + row * stride + heads.query(head), stride, end - row, work.gradient, scale,
                  queries + own_row * D);
}

}  // namespace attention
}  // namespace
