// DoRA's gate behind a projection: norms of the rows of W + s B A, columns multiplied, gradients of magnitudes.
#include "device.cuh"

namespace {

// No norm is zero: the smallest normal number.
constexpr float SMALLEST = 1.17549435e-38f;

// norms[row] = |weight[row] + scale B[row] A|, with B transposed: (ranks, rows).
template <class T>
__device__ void row_norm(float* norms, const T* weight, const T* a, const T* b, int ranks, int width, int rows,
                         float scale) {
    __shared__ float scratch[WARP];
    const int row = blockIdx.x;
    float square = 0.0f;
    for (int i = threadIdx.x; i < width; i += blockDim.x) {
        float value = to_float(weight[size_t(row) * width + i]);
        for (int rank = 0; rank < ranks; ++rank) {
            value += scale * to_float(b[size_t(rank) * rows + row]) * to_float(a[size_t(rank) * width + i]);
        }
        square += value * value;
    }
    square = block_sum(square, scratch);
    if (threadIdx.x == 0) norms[row] = fmaxf(sqrtf(square), SMALLEST);
}

template <class T>
__device__ void scale_row(T* y, const float* factors, int width) {
    T* row = y + size_t(blockIdx.x) * width;
    for (int i = threadIdx.x; i < width; i += blockDim.x) row[i] = from_float<T>(to_float(row[i]) * factors[i]);
}

// partial = sum over the rows of a slab of dy z, for some columns of dy: each thread adds up columns of its own.
template <class T>
__device__ void slab(float* partial, const T* dy, const T* z, int rows, int slab_rows, int width, int first,
                     int columns) {
    const int begin = blockIdx.x * slab_rows, end = min(begin + slab_rows, rows);
    for (int i = threadIdx.x; i < columns; i += blockDim.x) {
        float sum = 0.0f;
        for (int row = begin; row < end; ++row) {
            sum += to_float(dy[size_t(row) * width + first + i]) * to_float(z[size_t(row) * columns + i]);
        }
        partial[size_t(blockIdx.x) * columns + i] = sum;
    }
}

}  // namespace

// Grid: row_norms a block for each row of the weight; scale a block for each row; slabs one for each `slab_rows` rows.
#define ENTRIES(T, dtype)                                                                                           \
    extern "C" __global__ void dora_row_norms_##dtype(float* norms, const T* weight, const T* a, const T* b,        \
                                                      int ranks, int width, int rows, float scale) {               \
        row_norm<T>(norms, weight, a, b, ranks, width, rows, scale);                                                \
    }                                                                                                               \
    KERNEL(dora_row_norms_##dtype)                                                                                  \
    extern "C" __global__ void dora_scale_##dtype(T* y, const float* factors, int width) {                          \
        scale_row<T>(y, factors, width);                                                                            \
    }                                                                                                               \
    KERNEL(dora_scale_##dtype)                                                                                      \
    extern "C" __global__ void dora_slabs_##dtype(float* partial, const T* dy, const T* z, int rows, int slab_rows, \
                                                  int width, int first, int columns) {                             \
        slab<T>(partial, dy, z, rows, slab_rows, width, first, columns);                                            \
    }                                                                                                               \
    KERNEL(dora_slabs_##dtype)
ENTRIES(float, f32)
ENTRIES(bf16, bf16)
#undef ENTRIES

// Grid: a thread for each column. Adds what the slabs have, in their order, over the norm.
extern "C" __global__ void dora_sum_f32(float* gradient, const float* partial, const float* norms, int slabs,
                                        int columns) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= columns) return;
    float sum = 0.0f;
    for (int slab = 0; slab < slabs; ++slab) sum += partial[size_t(slab) * columns + i];
    gradient[i] += sum / norms[i];
}
KERNEL(dora_sum_f32)
