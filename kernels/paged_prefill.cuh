// Many queries of a sequence over keys in pages, on tensor cores: the forward pass of training, its keys and values
// found page by page. Tiles begin at multiples of 128 of the sequence's positions, whatever part of it is new: what a
// row comes to does not depend on how its prompt was cut.
#pragma once
#include "attention_forward.cuh"
#include "paged_layout.cuh"

namespace paged {

template <int D>
__device__ __forceinline__ void prefill(bf16* out, const bf16* qkv, const bf16* pages, const uint32_t* page_list,
                                        const QueryTile* tiles, Heads heads, int window, float scale) {
    using Work = Forward<D>;
    constexpr int ROWS = Work::ROWS, KEYS = Work::KEYS;
    DYNAMIC_SHARED(bf16, shared);
    bf16 *queries = shared, *keys = queries + ROWS * D, *values = keys + KEYS * D;
    const SharedAddress queries_at = shared_address(queries), keys_at = shared_address(keys),
                        values_at = shared_address(values);
    const QueryTile tile = tiles[blockIdx.x];
    const Pages layout{heads.kv_heads, D};
    const int head = blockIdx.y, kv_head = head / heads.group();
    const size_t stride = heads.row(), page_stride = layout.page();
    const bf16 *keys_from = pages + layout.key(kv_head), *values_from = pages + layout.value(kv_head);
    const uint32_t* own_pages = page_list + tile.pages;
    window = window_or_all(window);

    const int end = min(tile.end, tile.position + ROWS), lowest = max(0, tile.begin - window + 1);
    const int first_key = lowest / KEYS * KEYS, last_key = (end - 1) / KEYS * KEYS;
    constexpr int GROUPS = D / 8;
    for (int item = threadIdx.x; item < ROWS * GROUPS; item += THREADS) {
        const int row = item / GROUPS, group = item % GROUPS, position = tile.position + row;
        const bool valid = position >= tile.begin && position < end;
        const bf16* from = qkv + (valid ? size_t(tile.row + row) * stride : 0) + heads.query(head);
        copy_async_16(queries + row * D + (group ^ (row % 8)) * 8, from + group * 8, valid);
    }
    copy_pages<KEYS, D>(keys, keys_from, own_pages + last_key / PAGE_TOKENS, page_stride, last_key, lowest, end);
    copy_async_commit();

    const int own_row = threadIdx.x / WARP * WARP_ROWS, position = tile.position + own_row;
    const bool used = position < end && position + WARP_ROWS > tile.begin;
    Work work;
    work.begin();
    // From the diagonal backwards: each row meets its own key in the first tile it works on.
    for (int key = last_key; key >= first_key; key -= KEYS) {
        const bool busy = used && any_sees(position, WARP_ROWS, key, KEYS, window);
        float scores[Work::M][Work::N][4];
        uint32_t probabilities[Work::M][KEYS / 16][4];
        copy_async_wait<0>();
        __syncthreads();
        copy_pages<KEYS, D>(values, values_from, own_pages + key / PAGE_TOKENS, page_stride, key, lowest, end);
        copy_async_commit();
        if (busy) {
            multiply_transposed<D>(scores, queries_at, own_row, keys_at);
            if (!all_see(position, WARP_ROWS, key, KEYS, window)) Work::mask(scores, position, key, window);
            work.soften(scores, scale * LOG2E);
#pragma unroll
            for (int m = 0; m < Work::M; ++m)
#pragma unroll
                for (int k = 0; k < KEYS / 16; ++k) pack_fragment(probabilities[m][k], scores[m], k);
        }
        copy_async_wait<0>();
        __syncthreads();
        if (key > first_key) {
            copy_pages<KEYS, D>(keys, keys_from, own_pages + (key - KEYS) / PAGE_TOKENS, page_stride, key - KEYS, lowest,
                                end);
            copy_async_commit();
        }
        if (busy) multiply_add<D>(work.out, probabilities, values_at);
    }
    if (!used) return;
    work.finish(nullptr, 0, 0, scale);
    const size_t out_stride = size_t(heads.query_heads) * D;
    const int unwritten = max(0, tile.begin - position);
    store_rows<D>(out + (ptrdiff_t(tile.row) + own_row) * ptrdiff_t(out_stride) + heads.query(head), out_stride,
                  end - position, work.out, 1.0f, queries + own_row * D, unwritten);
}

}  // namespace paged
