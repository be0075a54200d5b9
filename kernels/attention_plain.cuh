// Attention in f32 arithmetic for any head width up to 256 (a multiple of 2), and the delta of the backward pass.
//
// A warp works on one row. 32 partners (keys for a query, queries for a key) at a time: first each lane computes the
// score of one partner, then all lanes add up the partners' rows, each its own columns.
#pragma once
#include "attention_tile.cuh"

namespace {
namespace attention {

constexpr int MAX_WIDTH = 256, PLAIN_WARPS = 8, PLAIN_ROWS = 64, DELTA_ITEMS = 8;
// Columns of a lane: pairs, 64 columns apart.
constexpr int LANE_PAIRS = MAX_WIDTH / (2 * WARP);

// A row of a sum, spread over a warp.
struct RowSum {
    float values[LANE_PAIRS][2] = {};

    __device__ __forceinline__ void scale(float factor) {
#pragma unroll
        for (int i = 0; i < LANE_PAIRS; ++i) values[i][0] *= factor, values[i][1] *= factor;
    }
    template <class T>
    __device__ __forceinline__ void add(float factor, const T* row, int width) {
#pragma unroll
        for (int i = 0; i < LANE_PAIRS; ++i) {
            const int column = 2 * (i * WARP + lane_index());
            if (column >= width) break;
            const Pack<T, 2> pair = load<2>(row + column);
            values[i][0] += factor * to_float(pair.values[0]);
            values[i][1] += factor * to_float(pair.values[1]);
        }
    }
    template <class T>
    __device__ __forceinline__ void put(T* row, float factor, int width) const {
#pragma unroll
        for (int i = 0; i < LANE_PAIRS; ++i) {
            const int column = 2 * (i * WARP + lane_index());
            if (column >= width) break;
            store<2>(row + column,
                     Pack<T, 2>{{from_float<T>(values[i][0] * factor), from_float<T>(values[i][1] * factor)}});
        }
    }
};

// Copies a row to a warp's place in shared memory, in f32.
template <class T>
__device__ __forceinline__ void keep_row(float* to, const T* from, int width) {
    __syncwarp();
    for (int i = lane_index(); i < width; i += WARP) to[i] = to_float(from[i]);
    __syncwarp();
}

template <class T>
__device__ __forceinline__ float dot(const float* a, const T* b, int width) {
    float even = 0.0f, odd = 0.0f;
    for (int i = 0; i < width; i += 2) {
        const Pack<T, 2> pair = load<2>(b + i);
        even += a[i] * to_float(pair.values[0]);
        odd += a[i + 1] * to_float(pair.values[1]);
    }
    return even + odd;
}

// The batch as a plain kernel sees it.
template <class T>
struct PlainInputs {
    const T *dout, *qkv;
    const float *lse, *delta;
};

// Calls `visit(row)` for the rows of a tile that fall to this warp.
template <class Visit>
__device__ __forceinline__ void for_each_own_row(const AttentionTile& tile, Visit visit) {
    const int last = min(tile.start + PLAIN_ROWS, tile.sequence_end);
    for (int row = tile.start + int(threadIdx.x) / WARP; row < last; row += PLAIN_WARPS) visit(row);
}

template <class T>
__device__ void forward_plain(T* out, float* lse, const T* qkv, const AttentionTile* tiles, Heads heads, int window,
                              float scale) {
    __shared__ float queries[PLAIN_WARPS][MAX_WIDTH];
    float* query = queries[threadIdx.x / WARP];
    const AttentionTile tile = tiles[blockIdx.x];
    const int head = blockIdx.y, kv_head = head / heads.group(), width = heads.width;
    const size_t stride = heads.row();
    const T *keys = qkv + heads.key(kv_head), *values = qkv + heads.value(kv_head);
    window = window_or_all(window);
    for_each_own_row(tile, [&](int row) {
        keep_row(query, qkv + row * stride + heads.query(head), width);
        RowSum sum;
        float highest = -INFINITY, total = 0.0f;
        for (int first = max(tile.sequence_start, row - window + 1); first <= row; first += WARP) {
            const int key = first + lane_index(), count = min(WARP, row - first + 1);
            const float score = key <= row ? dot(query, keys + key * stride, width) * scale : -INFINITY;
            const float top = fmaxf(highest, warp_max(score)), shrink = expf(highest - top);
            const float p = expf(score - top);
            highest = top;
            total = total * shrink + warp_sum(p);
            sum.scale(shrink);
            for (int i = 0; i < count; ++i) {
                sum.add(__shfl_sync(ALL_LANES, p, i), values + (first + i) * stride, width);
            }
        }
        const size_t at = size_t(row) * heads.query_heads + head;
        sum.put(out + at * width, 1.0f / total, width);
        if (lane_index() == 0) lse[at] = highest + logf(total);
    });
}

template <class T>
__device__ void backward_q_plain(T* dqkv, PlainInputs<T> in, const AttentionTile* tiles, Heads heads, int window,
                                 float scale) {
    __shared__ float rows[PLAIN_WARPS][2][MAX_WIDTH];
    float *query = rows[threadIdx.x / WARP][0], *dout = rows[threadIdx.x / WARP][1];
    const AttentionTile tile = tiles[blockIdx.x];
    const int head = blockIdx.y, kv_head = head / heads.group(), width = heads.width;
    const size_t stride = heads.row();
    const T *keys = in.qkv + heads.key(kv_head), *values = in.qkv + heads.value(kv_head);
    window = window_or_all(window);
    for_each_own_row(tile, [&](int row) {
        const size_t at = size_t(row) * heads.query_heads + head;
        keep_row(query, in.qkv + row * stride + heads.query(head), width);
        keep_row(dout, in.dout + at * width, width);
        RowSum sum;
        for (int first = max(tile.sequence_start, row - window + 1); first <= row; first += WARP) {
            const int key = first + lane_index(), count = min(WARP, row - first + 1);
            float ds = 0.0f;
            if (key <= row) {
                const float p = expf(dot(query, keys + key * stride, width) * scale - in.lse[at]);
                ds = p * (dot(dout, values + key * stride, width) - in.delta[at]);
            }
            for (int i = 0; i < count; ++i) {
                sum.add(__shfl_sync(ALL_LANES, ds, i), keys + (first + i) * stride, width);
            }
        }
        sum.put(dqkv + row * stride + heads.query(head), scale, width);
    });
}

template <class T>
__device__ void backward_kv_plain(T* dqkv, PlainInputs<T> in, const AttentionTile* tiles, Heads heads, int window,
                                  float scale) {
    __shared__ float rows[PLAIN_WARPS][2][MAX_WIDTH];
    float *key = rows[threadIdx.x / WARP][0], *value = rows[threadIdx.x / WARP][1];
    const AttentionTile tile = tiles[blockIdx.x];
    const int kv_head = blockIdx.y, width = heads.width, first_head = kv_head * heads.group();
    const size_t stride = heads.row();
    window = window_or_all(window);
    for_each_own_row(tile, [&](int row) {
        keep_row(key, in.qkv + row * stride + heads.key(kv_head), width);
        keep_row(value, in.qkv + row * stride + heads.value(kv_head), width);
        const int last = min(tile.sequence_end - 1, row + (window - 1));
        RowSum dk, dv;
        for (int head = first_head; head < first_head + heads.group(); ++head) {
            for (int first = row; first <= last; first += WARP) {
                const int query = first + lane_index(), count = min(WARP, last - first + 1);
                float p = 0.0f, ds = 0.0f;
                if (query <= last) {
                    const size_t at = size_t(query) * heads.query_heads + head;
                    p = expf(dot(key, in.qkv + query * stride + heads.query(head), width) * scale - in.lse[at]);
                    ds = p * (dot(value, in.dout + at * width, width) - in.delta[at]);
                }
                for (int i = 0; i < count; ++i) {
                    const size_t at = size_t(first + i) * heads.query_heads + head;
                    dk.add(__shfl_sync(ALL_LANES, ds, i), in.qkv + (first + i) * stride + heads.query(head), width);
                    dv.add(__shfl_sync(ALL_LANES, p, i), in.dout + at * width, width);
                }
            }
        }
        dk.put(dqkv + row * stride + heads.key(kv_head), scale, width);
        dv.put(dqkv + row * stride + heads.value(kv_head), 1.0f, width);
    });
}

// delta = sum of dout * out over a head. Heads lie end to end, whatever rows they belong to: 8 for each warp, as many
// at a time as wide accesses can.
template <class T>
__device__ void row_delta(float* delta, const T* dout, const T* out, int items, int width) {
    const int first = (blockIdx.x * PLAIN_WARPS + threadIdx.x / WARP) * DELTA_ITEMS;
    const int last = min(first + DELTA_ITEMS, items);
    const int wide = width / WIDE<T>;
    const bool even = width % WIDE<T> == 0 && wide <= WARP && (wide & (wide - 1)) == 0;
    const int lanes = even ? wide : WARP, own = lane_index() % lanes;
    for (int from = first; from < last; from += WARP / lanes) {
        const int item = from + lane_index() / lanes;
        const T *a = dout + size_t(item) * width, *b = out + size_t(item) * width;
        float sum = 0.0f;
        if (item < last && even) {
            const auto x = load<WIDE<T>>(a + own * WIDE<T>), y = load<WIDE<T>>(b + own * WIDE<T>);
#pragma unroll
            for (int i = 0; i < WIDE<T>; ++i) sum += to_float(x.values[i]) * to_float(y.values[i]);
        } else if (item < last) {
            for (int i = own; i < width; i += WARP) sum += to_float(a[i]) * to_float(b[i]);
        }
        for (int mask = lanes / 2; mask > 0; mask /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, mask);
        if (item < last && own == 0) delta[item] = sum;
    }
}

}  // namespace attention
}  // namespace
