// Keys and values in pages: writing them, and attention over them for a few new tokens of a sequence and for many.
//
// `qkv` holds in each row H query heads, G key heads and G value heads. Keys and values of the new tokens go to their
// pages first; attention then reads nothing else. How pages and passes are described: `paged_layout.cuh`.
#include "paged_decode.cuh"
#include "paged_plain.cuh"
#include "paged_prefill.cuh"

namespace paged {

// Turns the queries and keys of a row, in place and on the way to its page, and copies its values there.
template <class T, int N>
__device__ void write_row(T* pages, T* row, const float* cos, const float* sin, uint32_t slot, Heads heads) {
    const int half = heads.width / 2, packs = half / N, rotated = heads.query_heads + heads.kv_heads;
    const Pages layout{heads.kv_heads, heads.width};
    T* page = slot == NOWHERE ? nullptr : pages + layout.row(slot / PAGE_TOKENS, slot % PAGE_TOKENS);
    for (int item = threadIdx.x; item < (rotated + heads.kv_heads) * packs; item += blockDim.x) {
        const int head = item / packs, first = item % packs * N;
        T* from = row + head * heads.width + first;
        Pack<T, N> a = load<N>(from), b = load<N>(from + half);
        if (head < rotated) {
#pragma unroll
            for (int i = 0; i < N; ++i) {
                const float c = cos[first + i], s = sin[first + i];
                const float x = to_float(a.values[i]), y = to_float(b.values[i]);
                a.values[i] = from_float<T>(x * c - y * s);
                b.values[i] = from_float<T>(y * c + x * s);
            }
        }
        T* to = from;
        if (head >= heads.query_heads) {
            if (!page) continue;
            // Keys and values of a page count their heads on.
            to = page + layout.key(head - heads.query_heads) + first;
        }
        store<N>(to, a);
        store<N>(to + half, b);
    }
}

template <class T>
__device__ void write(T* pages, T* qkv, const float* cos, const float* sin, const uint32_t* slots, Heads heads) {
    const size_t token = blockIdx.x;
    const int half = heads.width / 2;
    T* row = qkv + token * heads.row();
    cos += token * half, sin += token * half;
    if (half % WIDE<T> == 0) {
        write_row<T, WIDE<T>>(pages, row, cos, sin, slots[token], heads);
    } else {
        write_row<T, 1>(pages, row, cos, sin, slots[token], heads);
    }
}

// Adds up a row's chunks, in their order. A row that has none becomes zeros.
template <class T>
__device__ void combine(T* out, const float* sums, const State* states, const Span* spans, Heads heads, int rows_max) {
    const int head = blockIdx.y, group = heads.group(), kv_head = head / group, width = heads.width;
    const Span span = spans[blockIdx.x];
    const int row = span.token * group + head % group;
    const auto at = [&](int i) { return place(span.first + i, heads.kv_heads, kv_head, rows_max, row); };
    float highest = -INFINITY, total = 0.0f;
    for (int i = 0; i < span.count; ++i) highest = fmaxf(highest, states[at(i)].highest);
    for (int i = 0; i < span.count; ++i) {
        const State state = states[at(i)];
        total += state.sum * exp2_fast(state.highest - highest);
    }
    T* to = out + (size_t(blockIdx.x) * heads.query_heads + head) * width;
    for (int column = threadIdx.x; column < width; column += blockDim.x) {
        float sum = 0.0f;
        for (int i = 0; i < span.count; ++i) {
            sum += sums[at(i) * width + column] * exp2_fast(states[at(i)].highest - highest);
        }
        to[column] = from_float<T>(span.count > 0 ? sum / total : 0.0f);
    }
}

}  // namespace paged

// write: grid (tokens). `cos`, `sin`: (tokens, D / 2). `slots`: of each token page * 16 + row, or NOWHERE.
// decode: grid (chunks, G), 128 threads; combine: grid (tokens, H). `rows_max`: new tokens of a sequence at most, times
// H / G. prefill: grid (tiles, H), 128 threads on tensor cores, else 256.
#define ENTRIES(D)                                                                                                      \
    extern "C" __global__ void __launch_bounds__(128) paged_decode_bf16_d##D(                                          \
        float* sums, paged::State* states, const bf16* qkv, const bf16* pages, const paged::Chunk* chunks,             \
        int query_heads, int kv_heads, int window, float scale, int rows_max) {                                        \
        paged::decode<D>(sums, states, qkv, pages, chunks, {query_heads, kv_heads, D}, window, scale, rows_max);       \
    }                                                                                                                  \
    KERNEL(paged_decode_bf16_d##D)                                                                                     \
    extern "C" __global__ void __launch_bounds__(128, 2) paged_prefill_bf16_d##D(                                      \
        bf16* out, const bf16* qkv, const bf16* pages, const uint32_t* page_list, const paged::QueryTile* tiles,       \
        int query_heads, int kv_heads, int window, float scale) {                                                      \
        paged::prefill<D>(out, qkv, pages, page_list, tiles, {query_heads, kv_heads, D}, window, scale);               \
    }                                                                                                                  \
    KERNEL(paged_prefill_bf16_d##D)
ENTRIES(64)
ENTRIES(128)
#undef ENTRIES

#define ENTRIES(T, dtype)                                                                                              \
    extern "C" __global__ void paged_write_##dtype(T* pages, T* qkv, const float* cos, const float* sin,               \
                                                   const uint32_t* slots, int query_heads, int kv_heads, int width) {  \
        paged::write<T>(pages, qkv, cos, sin, slots, {query_heads, kv_heads, width});                                  \
    }                                                                                                                  \
    KERNEL(paged_write_##dtype)                                                                                        \
    extern "C" __global__ void paged_combine_##dtype(T* out, const float* sums, const paged::State* states,            \
                                                     const paged::Span* spans, int query_heads, int kv_heads,          \
                                                     int width, int rows_max) {                                        \
        paged::combine<T>(out, sums, states, spans, {query_heads, kv_heads, width}, rows_max);                         \
    }                                                                                                                  \
    KERNEL(paged_combine_##dtype)                                                                                      \
    extern "C" __global__ void __launch_bounds__(128) paged_decode_plain_##dtype(                                      \
        float* sums, paged::State* states, const T* qkv, const T* pages, const paged::Chunk* chunks, int query_heads,  \
        int kv_heads, int width, int window, float scale, int rows_max) {                                              \
        paged::decode_plain<T>(sums, states, qkv, pages, chunks, {query_heads, kv_heads, width}, window, scale,        \
                               rows_max);                                                                              \
    }                                                                                                                  \
    KERNEL(paged_decode_plain_##dtype)                                                                                 \
    extern "C" __global__ void __launch_bounds__(256) paged_prefill_plain_##dtype(                                     \
        T* out, const T* qkv, const T* pages, const uint32_t* page_list, const paged::QueryTile* tiles,                \
        int query_heads, int kv_heads, int width, int window, float scale) {                                           \
        paged::prefill_plain<T>(out, qkv, pages, page_list, tiles, {query_heads, kv_heads, width}, window, scale);     \
    }                                                                                                                  \
    KERNEL(paged_prefill_plain_##dtype)
ENTRIES(float, f32)
ENTRIES(bf16, bf16)
#undef ENTRIES
