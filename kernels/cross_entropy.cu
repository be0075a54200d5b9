// Softmax cross-entropy of rows of f32 logits, with their gradient: one block for a row.
#include "device.cuh"

namespace {

// loss = log(sum(exp(logits))) - logits[label]; dlogits = scale (softmax - onehot), unless it is null. Where there are
// `scales` each row has its own.
template <class T>
__device__ void row_loss(T* dlogits, float* losses, const float* logits, const uint32_t* labels,
                         const float* scales, int width, int stride, float scale) {
    __shared__ float scratch[2][WARP];
    const size_t start = size_t(blockIdx.x) * stride;
    const float* row = logits + start;
    const int label = int(labels[blockIdx.x]);
    float largest = -INFINITY;
    for (int i = threadIdx.x; i < width; i += blockDim.x) largest = fmaxf(largest, row[i]);
    largest = block_max(largest, scratch[0]);
    float sum = 0.0f;
    for (int i = threadIdx.x; i < width; i += blockDim.x) sum += __expf(row[i] - largest);
    sum = block_sum(sum, scratch[1]);
    if (threadIdx.x == 0) losses[blockIdx.x] = logf(sum) + largest - row[label];
    if (!dlogits) return;
    if (scales) scale = scales[blockIdx.x];
    const float factor = scale / sum;
    for (int i = threadIdx.x; i < width; i += blockDim.x) {
        const float onehot = i == label ? scale : 0.0f;
        dlogits[start + i] = from_float<T>(__expf(row[i] - largest) * factor - onehot);
    }
}

}  // namespace

// Grid: one block for each row of `width` values, `stride` apart.
extern "C" __global__ void cross_entropy_f32(float* dlogits, float* losses, const float* logits,
                                             const uint32_t* labels, const float* scales, int width, int stride,
                                             float scale) {
    row_loss<float>(dlogits, losses, logits, labels, scales, width, stride, scale);
}
KERNEL(cross_entropy_f32)
extern "C" __global__ void cross_entropy_bf16(bf16* dlogits, float* losses, const float* logits,
                                              const uint32_t* labels, const float* scales, int width, int stride,
                                              float scale) {
    row_loss<bf16>(dlogits, losses, logits, labels, scales, width, stride, scale);
}
KERNEL(cross_entropy_bf16)
