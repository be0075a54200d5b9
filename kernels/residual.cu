// Sums of activations and of gradients, element by element.
#include "device.cuh"

namespace {

template <class T>
__device__ void add(T* sum, const T* a, const T* b, long long count) {
    constexpr int N = WIDE<T>;
    const long long first = (size_t(blockIdx.x) * blockDim.x + threadIdx.x) * N;
    // A view into something longer can start anywhere.
    const bool aligned = (uintptr_t(sum) | uintptr_t(a) | uintptr_t(b)) % 16 == 0;
    if (aligned && first + N <= count) {
        Pack<T, N> pack = load<N>(a + first);
        const Pack<T, N> other = load<N>(b + first);
#pragma unroll
        for (int i = 0; i < N; ++i) {
            pack.values[i] = from_float<T>(to_float(pack.values[i]) + to_float(other.values[i]));
        }
        store<N>(sum + first, pack);
        return;
    }
    for (long long i = first; i < min(first + N, count); ++i) sum[i] = from_float<T>(to_float(a[i]) + to_float(b[i]));
}

}  // namespace

// Grid: a thread for each 16 bytes. `sum` may be `a`.
extern "C" __global__ void residual_add_f32(float* sum, const float* a, const float* b, long long count) {
    add<float>(sum, a, b, count);
}
KERNEL(residual_add_f32)
extern "C" __global__ void residual_add_bf16(bf16* sum, const bf16* a, const bf16* b, long long count) {
    add<bf16>(sum, a, b, count);
}
KERNEL(residual_add_bf16)
