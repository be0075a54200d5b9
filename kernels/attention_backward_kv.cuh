// Attention backward on tensor cores, gradients of keys and values: a block for 64 keys of one key head.
//
// Two warps work on 32 keys and share four products. The first computes the scores K Q^T and from them probabilities,
// and adds up dV = P^T dout. The second computes V dout^T, takes the probabilities from the first, and adds up
// dK = dS^T Q. So both do the same two products, on other tiles, and a warp holds one gradient only: there are
// registers for 32 rows, which halves what it reads from shared memory for each product. Results stand transposed
// (keys are rows), so that P^T and dS^T are left sides as they are.
#pragma once
#include "attention_tile.cuh"

namespace {
namespace attention {

template <int D>
struct BackwardKv {
    static constexpr int KEYS = 64, QUERIES = D > 64 ? 32 : 64, M = WARP_ROWS / 16, N = QUERIES / 8, K = QUERIES / 16;
    static constexpr int PAIRS = KEYS / WARP_ROWS;
    static_assert(2 * PAIRS * WARP == THREADS, "two warps for 32 keys");
    using Words = Pack<uint32_t, 4>;

    // Shared memory, in this order; queries with their gradients and row values come in two stages.
    bf16 *keys, *values, *queries, *douts;
    // Log-sum-exps, then deltas, of a stage's queries.
    float* stats;
    Words* probabilities;

    __device__ __forceinline__ explicit BackwardKv(bf16* shared)
        : keys(shared), values(keys + KEYS * D), queries(values + KEYS * D), douts(queries + 2 * QUERIES * D),
          stats(reinterpret_cast<float*>(douts + 2 * QUERIES * D)),
          probabilities(reinterpret_cast<Words*>(stats + 4 * QUERIES)) {}

    // The first warp's half of a step: probabilities, for itself and for the second warp.
    static __device__ __forceinline__ void make_probabilities(uint32_t (&left)[M][K][4], float (&scores)[M][N][4],
                                                              const float* lse, float scale_log2, Words* share) {
#pragma unroll
        for (int n = 0; n < N; ++n) {
            const Pack<float, 2> shift = load<2>(lse + 8 * n + lane_column());
#pragma unroll
            for (int m = 0; m < M; ++m)
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    scores[m][n][i] = exp2_fast(scores[m][n][i] * scale_log2 - shift.values[i % 2] * LOG2E);
                }
        }
#pragma unroll
        for (int m = 0; m < M; ++m)
#pragma unroll
            for (int k = 0; k < K; ++k) {
                pack_fragment(left[m][k], scores[m], k);
                const Words words = {{left[m][k][0], left[m][k][1], left[m][k][2], left[m][k][3]}};
                share[(m * K + k) * WARP + lane_index()] = words;
            }
    }

    // The second warp's half: dS = P (dP - delta), not yet scaled.
    static __device__ __forceinline__ void make_gradients(uint32_t (&left)[M][K][4], float (&scores)[M][N][4],
                                                          const float* delta, const Words* share) {
#pragma unroll
        for (int k = 0; k < K; ++k) {
            const Pack<float, 2> near = load<2>(delta + 16 * k + lane_column());
            const Pack<float, 2> far = load<2>(delta + 16 * k + 8 + lane_column());
#pragma unroll
            for (int m = 0; m < M; ++m) {
                const Words p = share[(m * K + k) * WARP + lane_index()];
#pragma unroll
                for (int i = 0; i < 8; ++i) {
                    const uint32_t word = p.values[i / 2];
                    const float probability = __uint_as_float(i % 2 ? word & 0xffff0000u : word << 16);
                    float& score = scores[m][2 * k + i / 4][i % 4];
                    score = probability * (score - (i < 4 ? near : far).values[i % 2]);
                }
                pack_fragment(left[m][k], scores[m], k);
            }
        }
    }

    static __device__ __forceinline__ void mask(float (&scores)[M][N][4], int query, int key, int window) {
        const int first = query + lane_column() - (key + lane_row());
#pragma unroll
        for (int m = 0; m < M; ++m)
#pragma unroll
            for (int n = 0; n < N; ++n)
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    const int back = first + (8 * n + i % 2 - 16 * m - i / 2 * 8);
                    if (!sees(back, window)) scores[m][n][i] = -INFINITY;
                }
    }
};

// The inputs of a batch, as pointers to its first row.
struct BackwardInputs {
    const bf16 *dout, *qkv;
    const float *lse, *delta;
};

// Starts to copy queries of one head with all that belongs to them. Zeros beyond the sequence add nothing.
template <int D>
__device__ __forceinline__ void copy_queries(const BackwardKv<D>& work, const BackwardInputs& in, const Heads& heads,
                                             int stage, int head, int query, int end) {
    constexpr int QUERIES = BackwardKv<D>::QUERIES;
    const size_t stride = heads.row(), out_stride = size_t(heads.query_heads) * D;
    copy_tile<QUERIES, D>(work.queries + stage * QUERIES * D, in.qkv + query * stride + heads.query(head), stride,
                          end - query);
    copy_tile<QUERIES, D>(work.douts + stage * QUERIES * D, in.dout + query * out_stride + heads.query(head),
                          out_stride, end - query);
    const int row = threadIdx.x % QUERIES;
    if (threadIdx.x < 2 * QUERIES) {
        const float* from = threadIdx.x < QUERIES ? in.lse : in.delta;
        copy_async_4(work.stats + stage * 2 * QUERIES + threadIdx.x,
                     from + size_t(query + row) * heads.query_heads + head, query + row < end);
    }
    copy_async_commit();
}

template <int D>
__device__ __forceinline__ void backward_kv(bf16* dqkv, const BackwardInputs& in, const AttentionTile* tiles,
                                            int query_heads, int kv_heads, int window, float scale) {
    using Work = BackwardKv<D>;
    constexpr int KEYS = Work::KEYS, QUERIES = Work::QUERIES;
    DYNAMIC_SHARED(bf16, shared);
    const Work work(shared);
    const AttentionTile tile = tiles[blockIdx.x];
    const Heads heads{query_heads, kv_heads, D};
    const int kv_head = blockIdx.y, first_head = kv_head * heads.group(), end = tile.sequence_end;
    const size_t stride = heads.row();
    window = window_or_all(window);
    const int last_query = min(end - 1, min(tile.start + KEYS, end) - 1 + (window - 1));
    const int per_head = (last_query - tile.start) / QUERIES + 1, steps = per_head * heads.group();

    copy_tile<KEYS, D>(work.keys, in.qkv + tile.start * stride + heads.key(kv_head), stride, end - tile.start);
    copy_tile<KEYS, D>(work.values, in.qkv + tile.start * stride + heads.value(kv_head), stride, end - tile.start);
    copy_queries<D>(work, in, heads, 0, first_head, tile.start, end);

    const int warp = threadIdx.x / WARP, own_row = warp / 2 * WARP_ROWS, key = tile.start + own_row;
    const bool second = warp % 2;
    const SharedAddress left_at = shared_address(second ? work.values : work.keys);
    const SharedAddress right_at = shared_address(second ? work.douts : work.queries);
    const SharedAddress other_at = shared_address(second ? work.queries : work.douts);
    typename Work::Words* share = work.probabilities + warp / 2 * (Work::M * Work::K * WARP);
    float gradient[Work::M][D / 8][4];
    clear(gradient);
    int query = tile.start, head = first_head;
    for (int step = 0; step < steps; ++step) {
        const int now = query, stage = step % 2;
        const float* stats = work.stats + (2 * stage + second) * QUERIES;
        const bool busy = key < end && any_sees(now, QUERIES, key, WARP_ROWS, window);
        float scores[Work::M][Work::N][4];
        uint32_t left[Work::M][Work::K][4];
        query += QUERIES;
        if (query > last_query) query = tile.start, ++head;
        copy_async_wait<0>();
        __syncthreads();
        if (step + 1 < steps) copy_queries<D>(work, in, heads, 1 - stage, head, query, end);
        if (busy) {
            multiply_transposed<D>(scores, left_at, own_row, shared_offset(right_at, stage * QUERIES * D));
            if (!second) {
                if (!all_see(now, QUERIES, key, WARP_ROWS, window)) Work::mask(scores, now, key, window);
                Work::make_probabilities(left, scores, stats, scale * LOG2E, share);
            }
        }
        __syncthreads();
        if (!busy) continue;
        if (second) Work::make_gradients(left, scores, stats, share);
        multiply_add<D>(gradient, left, shared_offset(other_at, stage * QUERIES * D));
    }
    if (key >= end) return;
    const size_t column = second ? heads.key(kv_head) : heads.value(kv_head);
    // A warp's left rows are read by nobody else: its gradient may take their place.
    store_rows<D>(dqkv + key * stride + column, stride, end - key, gradient, second ? scale : 1.0f,
                  (second ? work.values : work.keys) + own_row * D);
}

}  // namespace attention
}  // namespace
