// Random numbers by counter: dropout, and noise on embeddings.
//
// A number is a function of the key (seed and step), the row's document and position, the stream (which module) and the
// column: nothing is kept, and the same pass draws the same numbers again. Philox4x32-10 (Salmon et al. 2011), four columns
// a call, as the CPU path draws them.
#include "device.cuh"

namespace {
namespace noise {

struct Draws {
    uint32_t values[4];
};

__device__ __forceinline__ Draws draw(uint32_t group, uint32_t position, uint32_t document, uint32_t stream,
                                      uint32_t key0, uint32_t key1) {
    uint32_t a = group, b = position, c = document, d = stream;
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        const uint64_t left = uint64_t(0xD2511F53u) * a, right = uint64_t(0xCD9E8D57u) * c;
        a = uint32_t(right >> 32) ^ b ^ key0;
        b = uint32_t(right);
        c = uint32_t(left >> 32) ^ d ^ key1;
        d = uint32_t(left);
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return {{a, b, c, d}};
}

// Calls `each(column, draw)` for every column of this block's row.
template <class Each>
__device__ __forceinline__ void for_each_column(const uint32_t* ids, int width, uint32_t stream, uint32_t key0,
                                                uint32_t key1, Each each) {
    const uint32_t document = ids[2 * size_t(blockIdx.x)], position = ids[2 * size_t(blockIdx.x) + 1];
    for (int group = threadIdx.x; group * 4 < width; group += blockDim.x) {
        const Draws draws = draw(group, position, document, stream, key0, key1);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            if (group * 4 + i < width) each(group * 4 + i, draws.values[i]);
        }
    }
}

template <class T, bool ADD>
__device__ void keep(T* y, const T* x, const uint32_t* ids, int width, uint32_t stream, uint32_t key0, uint32_t key1,
                     uint32_t threshold, float scale) {
    const size_t start = size_t(blockIdx.x) * width;
    for_each_column(ids, width, stream, key0, key1, [&](int column, uint32_t draw) {
        const float kept = draw >= threshold ? to_float(x[start + column]) * scale : 0.0f;
        T& to = y[start + column];
        to = from_float<T>(ADD ? to_float(to) + kept : kept);
    });
}

template <class T>
__device__ void uniform(T* x, const uint32_t* ids, const float* magnitudes, int width, uint32_t stream, uint32_t key0,
                        uint32_t key1) {
    const float magnitude = magnitudes[blockIdx.x];
    for_each_column(ids, width, stream, key0, key1, [&](int column, uint32_t draw) {
        const float unit = float(draw >> 8) * (1.0f / 16777216.0f);
        T& to = x[size_t(blockIdx.x) * width + column];
        to = from_float<T>(multiply_then_add(2.0f * unit - 1.0f, magnitude, to_float(to)));
    });
}

}  // namespace noise
}  // namespace

// A block for each row; `ids` has the document and the position of each.
// keep: y = x / (1 - p) where the draw is at least p 2^32, elsewhere 0. add: y += that. uniform: x += noise within the row's
// magnitude on both sides.
#define ENTRIES(T, dtype)                                                                                           \
    extern "C" __global__ void noise_keep_##dtype(T* y, const T* x, const uint32_t* ids, int width, int stream,      \
                                                  int key0, int key1, int threshold, float scale) {                  \
        noise::keep<T, false>(y, x, ids, width, stream, key0, key1, threshold, scale);                               \
    }                                                                                                               \
    KERNEL(noise_keep_##dtype)                                                                                      \
    extern "C" __global__ void noise_add_##dtype(T* y, const T* x, const uint32_t* ids, int width, int stream,       \
                                                 int key0, int key1, int threshold, float scale) {                   \
        noise::keep<T, true>(y, x, ids, width, stream, key0, key1, threshold, scale);                                \
    }                                                                                                               \
    KERNEL(noise_add_##dtype)                                                                                       \
    extern "C" __global__ void noise_uniform_##dtype(T* x, const uint32_t* ids, const float* magnitudes, int width,  \
                                                     int stream, int key0, int key1) {                              \
        noise::uniform<T>(x, ids, magnitudes, width, stream, key0, key1);                                           \
    }                                                                                                               \
    KERNEL(noise_uniform_##dtype)
ENTRIES(float, f32)
ENTRIES(bf16, bf16)
#undef ENTRIES
