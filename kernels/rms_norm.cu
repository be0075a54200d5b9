// Root-mean-square norm: one block for a row, rows in f32 registers' precision whatever the storage format.
#include "device.cuh"

namespace {

// Calls `visit(first, values...)` for the block's share of a row, `N` values at a time.
template <int N, class Visit>
__device__ __forceinline__ void for_each_pack(int width, Visit visit) {
    for (int first = threadIdx.x * N; first < width; first += blockDim.x * N) visit(first);
}

// normed = sum * r * weight with sum = x + delta (delta may be null, then sum is not written).
template <class T, int N>
__device__ void forward_row(T* normed, T* sum, const T* x, const T* delta, const T* weight, int width, float eps) {
    __shared__ float scratch[WARP];
    float square = 0.0f;
    for_each_pack<N>(width, [&](int first) {
        Pack<T, N> pack = load<N>(x + first);
        if (delta) {
            const Pack<T, N> other = load<N>(delta + first);
#pragma unroll
            for (int i = 0; i < N; ++i) {
                pack.values[i] = from_float<T>(to_float(pack.values[i]) + to_float(other.values[i]));
            }
            store<N>(sum + first, pack);
        }
#pragma unroll
        for (int i = 0; i < N; ++i) square += to_float(pack.values[i]) * to_float(pack.values[i]);
    });
    const float r = rsqrtf(block_sum(square, scratch) / width + eps);
    // Each thread reads again what it wrote or read itself: from the first level of the cache.
    const T* source = delta ? sum : x;
    for_each_pack<N>(width, [&](int first) {
        const Pack<T, N> pack = load<N>(source + first), w = load<N>(weight + first);
        Pack<T, N> out;
#pragma unroll
        for (int i = 0; i < N; ++i) out.values[i] = from_float<T>(to_float(pack.values[i]) * r * to_float(w.values[i]));
        store<N>(normed + first, out);
    });
}

// dx = residual + r (dy w) - x r^3 / width * sum(dy w x).
template <class T, int N>
__device__ void backward_row(T* dx, const T* dy, const T* x, const T* weight, const T* residual, int width, float eps) {
    __shared__ float scratch[2][WARP];
    float square = 0.0f, weighted = 0.0f;
    for_each_pack<N>(width, [&](int first) {
        const Pack<T, N> g = load<N>(dy + first), v = load<N>(x + first), w = load<N>(weight + first);
#pragma unroll
        for (int i = 0; i < N; ++i) {
            const float value = to_float(v.values[i]);
            square += value * value;
            weighted += to_float(g.values[i]) * to_float(w.values[i]) * value;
        }
    });
    const float r = rsqrtf(block_sum(square, scratch[0]) / width + eps);
    const float pull = r * r * r * block_sum(weighted, scratch[1]) / width;
    for_each_pack<N>(width, [&](int first) {
        const Pack<T, N> g = load<N>(dy + first), v = load<N>(x + first), w = load<N>(weight + first);
        Pack<T, N> out;
        if (residual) out = load<N>(residual + first);
#pragma unroll
        for (int i = 0; i < N; ++i) {
            const float base = residual ? to_float(out.values[i]) : 0.0f;
            out.values[i] =
                from_float<T>(base + r * to_float(g.values[i]) * to_float(w.values[i]) - pull * to_float(v.values[i]));
        }
        store<N>(dx + first, out);
    });
}

// partial = sum over the rows of a slab of dy x r: each thread adds to columns of its own, row after row.
template <class T>
__device__ void weight_slab(float* partial, const T* dy, const T* x, int rows, int slab_rows, int width, float eps) {
    __shared__ float scratch[WARP];
    const int first = blockIdx.x * slab_rows, last = min(first + slab_rows, rows);
    float* to = partial + size_t(blockIdx.x) * width;
    for (int i = threadIdx.x; i < width; i += blockDim.x) to[i] = 0.0f;
    for (int row = first; row < last; ++row) {
        const T *g = dy + size_t(row) * width, *v = x + size_t(row) * width;
        float square = 0.0f;
        for (int i = threadIdx.x; i < width; i += blockDim.x) square += to_float(v[i]) * to_float(v[i]);
        const float r = rsqrtf(block_sum(square, scratch) / width + eps);
        for (int i = threadIdx.x; i < width; i += blockDim.x) to[i] += to_float(g[i]) * to_float(v[i]) * r;
    }
}

template <class T>
__device__ void forward(T* normed, T* sum, const T* x, const T* delta, const T* weight, int width, float eps) {
    const size_t row = size_t(blockIdx.x) * width;
    const T* delta_row = delta ? delta + row : nullptr;
    T* sum_row = delta ? sum + row : nullptr;
    if (width % WIDE<T> == 0) {
        forward_row<T, WIDE<T>>(normed + row, sum_row, x + row, delta_row, weight, width, eps);
    } else {
        forward_row<T, 1>(normed + row, sum_row, x + row, delta_row, weight, width, eps);
    }
}

template <class T>
__device__ void backward(T* dx, const T* dy, const T* x, const T* weight, const T* residual, int width, float eps) {
    const size_t row = size_t(blockIdx.x) * width;
    const T* residual_row = residual ? residual + row : nullptr;
    if (width % WIDE<T> == 0) {
        backward_row<T, WIDE<T>>(dx + row, dy + row, x + row, weight, residual_row, width, eps);
    } else {
        backward_row<T, 1>(dx + row, dy + row, x + row, weight, residual_row, width, eps);
    }
}

}  // namespace

// Grid: one block for each row; of weight_slabs one for each `slab_rows` rows.
#define ENTRIES(T, dtype)                                                                                            \
    extern "C" __global__ void rms_norm_forward_##dtype(T* normed, T* sum, const T* x, const T* delta,               \
                                                        const T* weight, int width, float eps) {                    \
        forward<T>(normed, sum, x, delta, weight, width, eps);                                                       \
    }                                                                                                                \
    KERNEL(rms_norm_forward_##dtype)                                                                                 \
    extern "C" __global__ void rms_norm_backward_##dtype(T* dx, const T* dy, const T* x, const T* weight,            \
                                                         const T* residual, int width, float eps) {                 \
        backward<T>(dx, dy, x, weight, residual, width, eps);                                                        \
    }                                                                                                                \
    KERNEL(rms_norm_backward_##dtype)                                                                                \
    extern "C" __global__ void rms_norm_weight_slabs_##dtype(float* partial, const T* dy, const T* x, int rows,      \
                                                             int slab_rows, int width, float eps) {                 \
        weight_slab<T>(partial, dy, x, rows, slab_rows, width, eps);                                                 \
    }                                                                                                                \
    KERNEL(rms_norm_weight_slabs_##dtype)
ENTRIES(float, f32)
ENTRIES(bf16, bf16)
#undef ENTRIES

// Grid: a thread for each column. Adds what the slabs have, in their order.
extern "C" __global__ void rms_norm_weight_sum_f32(float* gradient, const float* partial, int slabs, int width) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= width) return;
    float sum = 0.0f;
    for (int slab = 0; slab < slabs; ++slab) sum += partial[size_t(slab) * width + i];
    gradient[i] += sum;
}
KERNEL(rms_norm_weight_sum_f32)
