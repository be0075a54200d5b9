// Adapters of the rows of a batch, each row with its own or none: y[t] += s (x[t] A^T) B, and the rows that an adapter
// adds to embedding and head.
//
// Adapters lie in slots. For each projection there is a table of slots that says where the factors are; a row names its
// slot, or NO_SLOT. Tables have one address for good, so that recorded work finds what was loaded since. Rows of one
// adapter read the same factors one after the other: out of the second level of the cache.
#include "device.cuh"

namespace {
namespace row_lora {

constexpr uint32_t NO_SLOT = 0xffffffffu;
constexpr int PAIRS_MAX = 3;

// The pairs of one adapter on one weight: `rank` rows of A for each pair, under each other, `ranks` in all, and for each pair
// B^T, as many rows, for the columns `first .. first + columns` of y. No pairs: the adapter does not touch the weight.
struct Pairs {
    const void* a;
    const void* b[PAIRS_MAX];
    int first[PAIRS_MAX], columns[PAIRS_MAX], rank[PAIRS_MAX];
    float scale[PAIRS_MAX];
    int count, ranks;
};

// Rows behind those of the embedding and the head, `count` each.
struct NewTokens {
    const void *embedding, *head;
    int count, unused[3];
};

template <class T, int N>
__device__ __forceinline__ float dot(const T* a, const T* b, int width) {
    float sum = 0.0f;
    for (int i = threadIdx.x % WARP * N; i < width; i += WARP * N) {
        const Pack<T, N> x = load<N>(a + i), y = load<N>(b + i);
#pragma unroll
        for (int j = 0; j < N; ++j) sum += to_float(x.values[j]) * to_float(y.values[j]);
    }
    return warp_sum(sum);
}

// The product of two rows, by a warp.
template <class T>
__device__ __forceinline__ float dot_of(const T* a, const T* b, int width) {
    return width % WIDE<T> == 0 ? dot<T, WIDE<T>>(a, b, width) : dot<T, 1>(a, b, width);
}

// u[t] = x[t] A^T, a warp for each rank.
template <class T>
__device__ void down(float* u, const T* x, const Pairs* table, const uint32_t* slots, int width, int ranks_max) {
    const uint32_t row = blockIdx.x, slot = slots[row];
    if (slot == NO_SLOT) return;
    const Pairs& pairs = table[slot];
    const int rank = blockIdx.y * (blockDim.x / WARP) + threadIdx.x / WARP;
    if (rank >= pairs.ranks) return;
    const float sum = dot_of(x + size_t(row) * width, static_cast<const T*>(pairs.a) + size_t(rank) * width, width);
    if (threadIdx.x % WARP == 0) u[size_t(row) * ranks_max + rank] = sum;
}

// y[t] += s u[t] B, a thread for each column.
template <class T>
__device__ void up(T* y, const float* u, const Pairs* table, const uint32_t* slots, int width, int stride, int ranks_max) {
    const uint32_t row = blockIdx.x, slot = slots[row];
    if (slot == NO_SLOT) return;
    const Pairs& pairs = table[slot];
    const int column = blockIdx.y * blockDim.x + threadIdx.x;
    if (column >= width) return;
    const float* own = u + size_t(row) * ranks_max;
    for (int pair = 0; pair < pairs.count; own += pairs.rank[pair], ++pair) {
        const int at = column - pairs.first[pair], columns = pairs.columns[pair];
        if (at < 0 || at >= columns) continue;
        const T* b = static_cast<const T*>(pairs.b[pair]) + at;
        float sum = 0.0f;
        for (int rank = 0; rank < pairs.rank[pair]; ++rank) sum += own[rank] * to_float(b[size_t(rank) * columns]);
        T& to = y[size_t(row) * stride + column];
        to = from_float<T>(to_float(to) + pairs.scale[pair] * sum);
    }
}

// Rows of the table, or of what the row's adapter adds behind it. An id that neither has gives zeros.
template <class T>
__device__ void embed(T* out, const T* table, const NewTokens* added, const uint32_t* ids, const uint32_t* slots, int rows,
                      int width) {
    const uint32_t row = blockIdx.x, id = ids[row], slot = slots[row];
    const T* from = nullptr;
    if (id < uint32_t(rows)) {
        from = table + size_t(id) * width;
    } else if (slot != NO_SLOT && id - rows < uint32_t(added[slot].count)) {
        from = static_cast<const T*>(added[slot].embedding) + size_t(id - rows) * width;
    }
    T* to = out + size_t(row) * width;
    for (int i = threadIdx.x; i < width; i += blockDim.x) to[i] = from ? from[i] : from_float<T>(0.0f);
}

// Logits of the tokens that the row's adapter adds, behind those of the model; minus infinity where it adds fewer. A
// warp for each.
template <class T>
__device__ void head(float* logits, const T* x, const NewTokens* added, const uint32_t* slots, int rows, int stride,
                     int width) {
    const uint32_t row = blockIdx.x, slot = slots[row];
    const int token = blockIdx.y * (blockDim.x / WARP) + threadIdx.x / WARP;
    if (rows + token >= stride) return;
    float logit = -INFINITY;
    if (slot != NO_SLOT && token < added[slot].count) {
        logit = dot_of(x + size_t(row) * width, static_cast<const T*>(added[slot].head) + size_t(token) * width, width);
    }
    if (threadIdx.x % WARP == 0) logits[size_t(row) * stride + rows + token] = logit;
}

}  // namespace row_lora
}  // namespace

// Grids: rows in x; in y ranks / warps, columns / threads, nothing, tokens / warps.
#define ENTRIES(T, dtype)                                                                                              \
    extern "C" __global__ void row_lora_down_##dtype(float* u, const T* x, const row_lora::Pairs* table,               \
                                                     const uint32_t* slots, int width, int ranks_max) {                \
        row_lora::down<T>(u, x, table, slots, width, ranks_max);                                                       \
    }                                                                                                                  \
    KERNEL(row_lora_down_##dtype)                                                                                      \
    extern "C" __global__ void row_lora_up_##dtype(T* y, const float* u, const row_lora::Pairs* table,                 \
                                                   const uint32_t* slots, int width, int stride, int ranks_max) {      \
        row_lora::up<T>(y, u, table, slots, width, stride, ranks_max);                                                 \
    }                                                                                                                  \
    KERNEL(row_lora_up_##dtype)                                                                                        \
    extern "C" __global__ void row_lora_embed_##dtype(T* out, const T* table, const row_lora::NewTokens* added,        \
                                                      const uint32_t* ids, const uint32_t* slots, int rows,            \
                                                      int width) {                                                     \
        row_lora::embed<T>(out, table, added, ids, slots, rows, width);                                                \
    }                                                                                                                  \
    KERNEL(row_lora_embed_##dtype)                                                                                     \
    extern "C" __global__ void row_lora_head_##dtype(float* logits, const T* x, const row_lora::NewTokens* added,      \
                                                     const uint32_t* slots, int rows, int stride, int width) {         \
        row_lora::head<T>(logits, x, added, slots, rows, stride, width);                                               \
    }                                                                                                                  \
    KERNEL(row_lora_head_##dtype)
ENTRIES(float, f32)
ENTRIES(bf16, bf16)
#undef ENTRIES
