// Rotary position embedding of the first heads of every row, in place, and the angles it turns by.
#include "device.cuh"

namespace {

template <class T, int N>
__device__ void rotate_row(T* row, const float* cos, const float* sin, int heads, int half, float direction) {
    const int packs = half / N;
    for (int item = threadIdx.x; item < heads * packs; item += blockDim.x) {
        const int first = item % packs * N;
        T* head = row + item / packs * 2 * half;
        Pack<T, N> a = load<N>(head + first), b = load<N>(head + half + first);
#pragma unroll
        for (int i = 0; i < N; ++i) {
            const float c = cos[first + i], turn = direction * sin[first + i];
            const float x = to_float(a.values[i]), y = to_float(b.values[i]);
            a.values[i] = from_float<T>(x * c - y * turn);
            b.values[i] = from_float<T>(y * c + x * turn);
        }
        store<N>(head + first, a);
        store<N>(head + half + first, b);
    }
}

template <class T>
__device__ void rotate(T* x, const float* cos, const float* sin, int width, int heads, int half, float direction) {
    const size_t token = blockIdx.x;
    T* row = x + token * width;
    if (half % WIDE<T> == 0 && width % WIDE<T> == 0) {
        rotate_row<T, WIDE<T>>(row, cos + token * half, sin + token * half, heads, half, direction);
    } else {
        rotate_row<T, 1>(row, cos + token * half, sin + token * half, heads, half, direction);
    }
}

}  // namespace

// Grid: one block for each token. `width`: elements of a row; `half`: half the width of a head.
extern "C" __global__ void rope_f32(float* x, const float* cos, const float* sin, int width, int heads, int half,
                                    float direction) {
    rotate<float>(x, cos, sin, width, heads, half, direction);
}
KERNEL(rope_f32)
extern "C" __global__ void rope_bf16(bf16* x, const float* cos, const float* sin, int width, int heads, int half,
                                     float direction) {
    rotate<bf16>(x, cos, sin, width, heads, half, direction);
}
KERNEL(rope_bf16)

// Cosines and sines of `position * frequency`, in f32 as the models were trained. Grid: a thread for each value.
extern "C" __global__ void rope_angles(float* cos, float* sin, const uint32_t* positions, const float* frequencies,
                                       int half, int count) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const float angle = float(positions[i / half]) * frequencies[i % half];
    cos[i] = cosf(angle);
    sin[i] = sinf(angle);
}
KERNEL(rope_angles)
