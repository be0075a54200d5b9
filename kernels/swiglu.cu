// SwiGLU over rows that hold gates and then ups: a block for a part of a row.
#include "device.cuh"

namespace {

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + __expf(-x)); }

// Values that one thread takes: one wide access of bf16, two of f32.
constexpr int SHARE = 8;

template <class T, int N>
__device__ void forward_share(T* y, const T* gate, const T* up, int first, int width) {
    const int last = min(first + SHARE, width);
    for (; first < last; first += N) {
        const Pack<T, N> g = load<N>(gate + first), u = load<N>(up + first);
        Pack<T, N> out;
#pragma unroll
        for (int i = 0; i < N; ++i) {
            const float value = to_float(g.values[i]);
            out.values[i] = from_float<T>(value * sigmoid(value) * to_float(u.values[i]));
        }
        store<N>(y + first, out);
    }
}

// The product of the forward pass takes the place of its gradient: whoever needs it next need not read gate and up again.
template <class T, int N>
__device__ void backward_share(T* gate, T* up, T* dy, int first, int width) {
    const int last = min(first + SHARE, width);
    for (; first < last; first += N) {
        Pack<T, N> g = load<N>(gate + first), u = load<N>(up + first);
        Pack<T, N> d = load<N>(dy + first);
#pragma unroll
        for (int i = 0; i < N; ++i) {
            const float value = to_float(g.values[i]), other = to_float(u.values[i]), slope = to_float(d.values[i]);
            const float s = sigmoid(value);
            g.values[i] = from_float<T>(slope * other * s * (1.0f + value * (1.0f - s)));
            u.values[i] = from_float<T>(slope * value * s);
            d.values[i] = from_float<T>(value * s * other);
        }
        store<N>(dy + first, d);
        store<N>(gate + first, g);
        store<N>(up + first, u);
    }
}

__device__ __forceinline__ int first_of_thread() { return (blockIdx.y * blockDim.x + threadIdx.x) * SHARE; }

template <class T>
__device__ void forward(T* y, const T* gate_up, int width) {
    const T* gate = gate_up + size_t(blockIdx.x) * 2 * width;
    y += size_t(blockIdx.x) * width;
    if (width % WIDE<T> == 0) {
        forward_share<T, WIDE<T>>(y, gate, gate + width, first_of_thread(), width);
    } else {
        forward_share<T, 1>(y, gate, gate + width, first_of_thread(), width);
    }
}

template <class T>
__device__ void backward(T* gate_up, T* dy, int width) {
    T* gate = gate_up + size_t(blockIdx.x) * 2 * width;
    dy += size_t(blockIdx.x) * width;
    if (width % WIDE<T> == 0) {
        backward_share<T, WIDE<T>>(gate, gate + width, dy, first_of_thread(), width);
    } else {
        backward_share<T, 1>(gate, gate + width, dy, first_of_thread(), width);
    }
}

}  // namespace

// Grid: rows in x, parts of a row in y. `width`: of gate and up each.
extern "C" __global__ void swiglu_forward_f32(float* y, const float* gate_up, int width) {
    forward<float>(y, gate_up, width);
}
KERNEL(swiglu_forward_f32)
extern "C" __global__ void swiglu_forward_bf16(bf16* y, const bf16* gate_up, int width) {
    forward<bf16>(y, gate_up, width);
}
KERNEL(swiglu_forward_bf16)
extern "C" __global__ void swiglu_backward_f32(float* gate_up, float* dy, int width) {
    backward<float>(gate_up, dy, width);
}
KERNEL(swiglu_backward_f32)
extern "C" __global__ void swiglu_backward_bf16(bf16* gate_up, bf16* dy, int width) {
    backward<bf16>(gate_up, dy, width);
}
KERNEL(swiglu_backward_bf16)
