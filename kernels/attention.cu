// Causal attention over sequences of different lengths, forward and backward: all entry points.
//
// `qkv` holds in each row H query heads, G key heads and G value heads, rotated already; all sequences lie end to end.
// Query i of a sequence sees keys j <= i and, with a window w > 0, only j > i - w. `lse` is the natural log-sum-exp of
// the scaled scores, `delta` the sum of dout * out over a head. No kernel uses atomics: the same input gives the same
// bits. Each element of the outputs is written, by one thread.
#include "attention_backward_kv.cuh"
#include "attention_backward_q.cuh"
#include "attention_forward.cuh"
#include "attention_plain.cuh"

// Tensor cores: 128 threads. Grid: (tiles, H), for backward_kv (tiles, G). Forward and backward_q take tiles of 128
// rows: what a block reads of keys and values then serves twice the queries. backward_kv takes tiles of 64 rows. The
// work of a tile grows with the rows before it, for backward_kv with the rows after it.
#define ENTRIES(D, blocks)                                                                                             \
    extern "C" __global__ void __launch_bounds__(128, blocks) attention_forward_bf16_d##D(                             \
        bf16* out, float* lse, const bf16* qkv, const AttentionTile* tiles, int query_heads, int kv_heads, int window, \
        float scale) {                                                                                                 \
        attention::forward<D>(out, lse, qkv, tiles, query_heads, kv_heads, window, scale);                             \
    }                                                                                                                  \
    KERNEL(attention_forward_bf16_d##D)                                                                                \
    extern "C" __global__ void __launch_bounds__(128, blocks) attention_backward_kv_bf16_d##D(                         \
        bf16* dqkv, const bf16* dout, const bf16* qkv, const float* lse, const float* delta,                           \
        const AttentionTile* tiles, int query_heads, int kv_heads, int window, float scale) {                          \
        attention::backward_kv<D>(dqkv, {dout, qkv, lse, delta}, tiles, query_heads, kv_heads, window, scale);         \
    }                                                                                                                  \
    KERNEL(attention_backward_kv_bf16_d##D)                                                                            \
    extern "C" __global__ void __launch_bounds__(128, blocks) attention_backward_q_bf16_d##D(                          \
        bf16* dqkv, const bf16* dout, const bf16* qkv, const float* lse, const float* delta,                           \
        const AttentionTile* tiles, int query_heads, int kv_heads, int window, float scale) {                          \
        attention::backward_q<D>(dqkv, {dout, qkv, lse, delta}, tiles, query_heads, kv_heads, window, scale);          \
    }                                                                                                                  \
    KERNEL(attention_backward_q_bf16_d##D)
ENTRIES(64, 2)
ENTRIES(128, 2)
#undef ENTRIES

// Any head width up to 256: 256 threads. Grid: (tiles of 64 rows, H), for backward_kv (tiles of 64 rows, G). Delta: 256
// threads, a block for each 64 of the `items`, the H heads of all rows.
#define ENTRIES(T, dtype)                                                                                              \
    extern "C" __global__ void attention_forward_plain_##dtype(T* out, float* lse, const T* qkv,                       \
                                                               const AttentionTile* tiles, int query_heads,            \
                                                               int kv_heads, int width, int window, float scale) {     \
        attention::forward_plain<T>(out, lse, qkv, tiles, {query_heads, kv_heads, width}, window, scale);              \
    }                                                                                                                  \
    KERNEL(attention_forward_plain_##dtype)                                                                            \
    extern "C" __global__ void attention_backward_kv_plain_##dtype(                                                    \
        T* dqkv, const T* dout, const T* qkv, const float* lse, const float* delta, const AttentionTile* tiles,        \
        int query_heads, int kv_heads, int width, int window, float scale) {                                           \
        attention::backward_kv_plain<T>(dqkv, {dout, qkv, lse, delta}, tiles, {query_heads, kv_heads, width}, window,  \
                                        scale);                                                                        \
    }                                                                                                                  \
    KERNEL(attention_backward_kv_plain_##dtype)                                                                        \
    extern "C" __global__ void attention_backward_q_plain_##dtype(                                                     \
        T* dqkv, const T* dout, const T* qkv, const float* lse, const float* delta, const AttentionTile* tiles,        \
        int query_heads, int kv_heads, int width, int window, float scale) {                                           \
        attention::backward_q_plain<T>(dqkv, {dout, qkv, lse, delta}, tiles, {query_heads, kv_heads, width}, window,   \
                                       scale);                                                                         \
    }                                                                                                                  \
    KERNEL(attention_backward_q_plain_##dtype)                                                                         \
    extern "C" __global__ void attention_delta_##dtype(float* delta, const T* dout, const T* out, int items,           \
                                                       int width) {                                                    \
        attention::row_delta<T>(delta, dout, out, items, width);                                                       \
    }                                                                                                                  \
    KERNEL(attention_delta_##dtype)
ENTRIES(float, f32)
ENTRIES(bf16, bf16)
#undef ENTRIES
