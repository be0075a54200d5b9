// Rows picked out of a table, and their gradients put back.
#include "device.cuh"

namespace {

// Copies a row of floats or of the same format, converting where they differ.
template <class To, class From>
__device__ __forceinline__ void copy_row(To* to, const From* from, int width) {
    for (int i = threadIdx.x; i < width; i += blockDim.x) to[i] = from_float<To>(to_float(from[i]));
}

template <class T>
__device__ void forward(T* out, const T* table, const float* extra, const uint32_t* indices, int rows, int width) {
    const size_t index = indices[blockIdx.x];
    T* to = out + size_t(blockIdx.x) * width;
    if (index < size_t(rows)) {
        copy_row(to, table + index * width, width);
    } else {
        copy_row(to, extra + (index - rows) * width, width);
    }
}

template <class T>
__device__ void backward(T* dx, const T* dy, const uint32_t* sources, int width) {
    const size_t source = sources[blockIdx.x];
    T* to = dx + size_t(blockIdx.x) * width;
    if (source > 0) {
        copy_row(to, dy + (source - 1) * width, width);
    } else {
        for (int i = threadIdx.x; i < width; i += blockDim.x) to[i] = from_float<T>(0.0f);
    }
}

template <class T>
__device__ void backward_extra(float* gradient, const T* dy, const uint32_t* tokens, const uint32_t* starts, int width) {
    float* to = gradient + size_t(blockIdx.x) * width;
    const uint32_t first = starts[blockIdx.x], last = starts[blockIdx.x + 1];
    if (first == last) return;
    for (int i = threadIdx.x; i < width; i += blockDim.x) {
        float sum = to[i];
        for (uint32_t at = first; at < last; ++at) sum += to_float(dy[size_t(tokens[at]) * width + i]);
        to[i] = sum;
    }
}

}  // namespace

// forward: a block for each token; ids from `rows` on pick rows of `extra`.
// backward: a block for each row of the table; `sources` has the row of dy that goes there, counted from 1, or 0.
// backward_extra: a block for each extra row; its tokens are `tokens[starts[row] .. starts[row + 1]]`.
#define ENTRIES(T, dtype)                                                                                         \
    extern "C" __global__ void embedding_forward_##dtype(T* out, const T* table, const float* extra,              \
                                                         const uint32_t* indices, int rows, int width) {          \
        forward<T>(out, table, extra, indices, rows, width);                                                      \
    }                                                                                                             \
    KERNEL(embedding_forward_##dtype)                                                                             \
    extern "C" __global__ void embedding_backward_##dtype(T* dx, const T* dy, const uint32_t* sources, int width) { \
        backward<T>(dx, dy, sources, width);                                                                      \
    }                                                                                                             \
    KERNEL(embedding_backward_##dtype)                                                                            \
    extern "C" __global__ void embedding_backward_extra_##dtype(float* gradient, const T* dy,                     \
                                                                const uint32_t* tokens, const uint32_t* starts,   \
                                                                int width) {                                      \
        backward_extra<T>(gradient, dy, tokens, starts, width);                                                   \
    }                                                                                                             \
    KERNEL(embedding_backward_extra_##dtype)
ENTRIES(float, f32)
ENTRIES(bf16, bf16)
#undef ENTRIES
