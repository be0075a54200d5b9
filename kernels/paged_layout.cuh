// How keys and values lie in pages, and what the host says of a pass.
//
// A layer's pages are (pages, 2, G, 16, D): in a page first the keys of all G heads, then the values, and the 16 rows of
// a head side by side. A pass says of every token which row of which page is its own.
#pragma once
#include "attention_tile.cuh"

namespace paged {

constexpr int PAGE_TOKENS = 16, CHUNK_TOKENS = 128, CHUNK_PAGES = CHUNK_TOKENS / PAGE_TOKENS;
// Of a token that is none: a row that only fills a batch up.
constexpr uint32_t NOWHERE = 0xffffffffu;

// Keys of one sequence that a block works on: those at `key ..` that the sequence has, at most 128. The sequence's new
// tokens are the batch's rows `row .. row + rows`, the first of them at `position`. Without rows there is no work.
struct Chunk {
    int row, rows, position, key;
    uint32_t pages[CHUNK_PAGES];
};

// The chunks of the sequence that a row belongs to, and which of the sequence's new tokens the row is.
struct Span {
    int first, count, token, unused;
};

// Queries at positions `begin .. end` of a sequence, all at `position .. position + 128` (a multiple of 128). The query
// at `position` is, or would be, the batch's row `row`. `pages`: where the sequence's pages begin in the list of all.
struct QueryTile {
    int row, position, begin, end, pages, unused[3];
};

// One layer's pages.
struct Pages {
    int kv_heads, width;

    __device__ __forceinline__ size_t page() const { return size_t(2) * kv_heads * PAGE_TOKENS * width; }
    __device__ __forceinline__ size_t key(int head) const { return size_t(head) * PAGE_TOKENS * width; }
    __device__ __forceinline__ size_t value(int head) const { return key(kv_heads + head); }
    // Row `token` of a page.
    __device__ __forceinline__ size_t row(uint32_t page_index, int token) const {
        return page_index * page() + size_t(token) * width;
    }
};

// Starts to copy the rows of positions `key .. key + ROWS` (a multiple of 16) of one head to a tile. `from` is the head's
// first row in page 0, `pages` the page that holds position `key` and those after it. Positions outside of
// `begin .. end` become zeros, and nothing is read for them.
template <int ROWS, int D>
__device__ __forceinline__ void copy_pages(bf16* tile, const bf16* from, const uint32_t* pages, size_t page_stride,
                                           int key, int begin, int end) {
    constexpr int GROUPS = D / 8, STEP = attention::THREADS / GROUPS;
    static_assert(ROWS % STEP == 0 && STEP % 8 == 0, "a thread keeps its place in the swizzle");
    const int first = threadIdx.x / GROUPS, group = threadIdx.x % GROUPS;
    bf16* to = tile + first * D + (group ^ (first % 8)) * 8;
#pragma unroll
    for (int row = 0; row < ROWS; row += STEP) {
        const int at = first + row;
        const bool valid = key + at >= begin && key + at < end;
        const uint32_t page = valid ? pages[at / PAGE_TOKENS] : 0;
        copy_async_16(to + row * D, from + page * page_stride + at % PAGE_TOKENS * D + group * 8, valid);
    }
}

}  // namespace paged
