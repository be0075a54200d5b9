// Attention over pages in f32 arithmetic, for any head width up to 256 (a multiple of 2).
#pragma once
#include "attention_plain.cuh"
#include "paged_decode.cuh"

namespace paged {

// As `decode`, one row after the other: first each of the 128 threads has a key, then each has columns.
template <class T>
__device__ void decode_plain(float* sums, State* states, const T* qkv, const T* pages, const Chunk* chunks, Heads heads,
                             int window, float scale, int rows_max) {
    __shared__ float query[MAX_WIDTH], exponentials[CHUNK_TOKENS], scratch[WARP];
    const Chunk& chunk = chunks[blockIdx.x];
    const int head = blockIdx.y, group = heads.group(), width = heads.width, own = threadIdx.x;
    const Pages layout{heads.kv_heads, width};
    window = window_or_all(window);
    for (int row = 0; row < chunk.rows * group; ++row) {
        const int position = chunk.position + row / group, key = chunk.key + own;
        const T* token = qkv + size_t(chunk.row + row / group) * heads.row() + heads.query(head * group + row % group);
        __syncthreads();
        for (int i = own; i < width; i += blockDim.x) query[i] = to_float(token[i]);
        __syncthreads();
        float score = -INFINITY;
        if (sees(position - key, window)) {
            const size_t at = layout.row(chunk.pages[own / PAGE_TOKENS], own % PAGE_TOKENS);
            score = dot(query, pages + at + layout.key(head), width) * (scale * LOG2E);
        }
        const float highest = block_max(score, scratch);
        const float p = exp2_fast(score - (highest == -INFINITY ? 0.0f : highest));
        exponentials[own] = p;
        const float sum = block_sum(p, scratch);
        const size_t to = place(blockIdx.x, heads.kv_heads, head, rows_max, row);
        if (own == 0) states[to] = {highest, sum};
        const int first = max(0, position - window + 1 - chunk.key), last = min(CHUNK_TOKENS - 1, position - chunk.key);
        for (int column = own; column < width; column += blockDim.x) {
            float total = 0.0f;
            for (int i = first; i <= last; ++i) {
                const size_t at = layout.row(chunk.pages[i / PAGE_TOKENS], i % PAGE_TOKENS);
                total += exponentials[i] * to_float(pages[at + layout.value(head) + column]);
            }
            sums[to * width + column] = total;
        }
    }
}

// As `prefill`, a warp for a row: 32 keys at a time, from the first that the row sees.
template <class T>
__device__ void prefill_plain(T* out, const T* qkv, const T* pages, const uint32_t* page_list, const QueryTile* tiles,
                              Heads heads, int window, float scale) {
    __shared__ float queries[PLAIN_WARPS][MAX_WIDTH];
    float* query = queries[threadIdx.x / WARP];
    const QueryTile tile = tiles[blockIdx.x];
    const int head = blockIdx.y, kv_head = head / heads.group(), width = heads.width;
    const Pages layout{heads.kv_heads, width};
    const uint32_t* own_pages = page_list + tile.pages;
    window = window_or_all(window);
    const auto row_of = [&](int key) { return layout.row(own_pages[key / PAGE_TOKENS], key % PAGE_TOKENS); };
    for (int position = tile.begin + int(threadIdx.x) / WARP; position < tile.end; position += PLAIN_WARPS) {
        const size_t row = size_t(tile.row + (position - tile.position));
        keep_row(query, qkv + row * heads.row() + heads.query(head), width);
        RowSum sum;
        float highest = -INFINITY, total = 0.0f;
        const int lowest = max(0, position - window + 1);
        for (int first = lowest / WARP * WARP; first <= position; first += WARP) {
            const int key = first + lane_index(), count = min(WARP, position - first + 1);
            float score = -INFINITY;
            if (key >= lowest && key <= position) {
                score = dot(query, pages + row_of(key) + layout.key(kv_head), width) * scale;
            }
            const float top = fmaxf(highest, warp_max(score)), shrink = expf(highest - top);
            const float p = expf(score - top);
            highest = top;
            total = total * shrink + warp_sum(p);
            sum.scale(shrink);
            for (int i = max(0, lowest - first); i < count; ++i) {
                const T* value = pages + row_of(first + i) + layout.value(kv_head);
                sum.add(__shfl_sync(ALL_LANES, p, i), value, width);
            }
        }
        sum.put(out + (row * heads.query_heads + head) * width, 1.0f / total, width);
    }
}

}  // namespace paged
