// AdamW over one flat f32 vector, and the sums behind its clipping.
#include "device.cuh"

namespace {

__device__ __forceinline__ long long index_of_thread() { return size_t(blockIdx.x) * blockDim.x + threadIdx.x; }

}  // namespace

// Grid: a thread for each value. The arithmetic is that of the CPU path, operation by operation: the same bits.
extern "C" __global__ void optimizer_adamw(float* parameters, float* m, float* v, const float* gradients,
                                           long long count, float scale, float beta1, float beta2, float keep,
                                           float step_size, float bias2_sqrt, float eps) {
    const long long i = index_of_thread();
    if (i >= count) return;
    const float g = gradients[i] * scale;
    const float first = multiply_then_add(beta1, m[i], (1.0f - beta1) * g);
    const float second = multiply_then_add(beta2, v[i], (1.0f - beta2) * (g * g));
    m[i] = first;
    v[i] = second;
    const float root = sqrtf(second) / bias2_sqrt + eps;
    parameters[i] = multiply_then_add(parameters[i], keep, -(step_size * first / root));
}
KERNEL(optimizer_adamw)

// Block `b` sums the squares of its share, always the same values in the same order.
extern "C" __global__ void optimizer_square_sums(float* sums, const float* values, long long count) {
    __shared__ float scratch[WARP];
    float sum = 0.0f;
    for (long long i = index_of_thread(); i < count; i += size_t(gridDim.x) * blockDim.x) sum += values[i] * values[i];
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}
KERNEL(optimizer_square_sums)

extern "C" __global__ void optimizer_zero(float* values, long long count) {
    const long long i = index_of_thread();
    if (i < count) values[i] = 0.0f;
}
KERNEL(optimizer_zero)
