// What every kernel uses: number formats, wide loads, sums over a warp and a block.
#pragma once
#if defined(CODEACT_EMULATION)
#include "emulation/emulate.h"
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstddef>
#include <cstdint>
#endif

using bf16 = __nv_bfloat16;
using f16 = __half;

constexpr int WARP = 32;
constexpr unsigned ALL_LANES = 0xffffffffu;

// Makes a kernel known to the emulation; a card finds it by its name.
#if defined(CODEACT_EMULATION)
#define KERNEL(name) static emulation::Entry<&name> entry_##name(#name);
#define DYNAMIC_SHARED(type, name) type* name = reinterpret_cast<type*>(emulation::place().shared)
#else
#define KERNEL(name)
#define DYNAMIC_SHARED(type, name)                         \
    extern __shared__ __align__(128) unsigned char name##_bytes[]; \
    type* name = reinterpret_cast<type*>(name##_bytes)
#endif

__device__ __forceinline__ float to_float(float value) { return value; }
__device__ __forceinline__ float to_float(bf16 value) { return __bfloat162float(value); }
__device__ __forceinline__ float to_float(f16 value) { return __half2float(value); }

template <class T>
__device__ __forceinline__ T from_float(float value);
template <>
__device__ __forceinline__ float from_float<float>(float value) {
    return value;
}
template <>
__device__ __forceinline__ bf16 from_float<bf16>(float value) {
    return __float2bfloat16_rn(value);
}

// The sum of a product and a number, rounded twice as on the CPU: a fused one would round once.
__device__ __forceinline__ float multiply_then_add(float a, float b, float c) {
#if defined(CODEACT_EMULATION)
    const volatile float product = a * b;
    return product + c;
#else
    return __fadd_rn(__fmul_rn(a, b), c);
#endif
}

// N neighbouring values, moved in one access of up to 16 bytes.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
    T values[N];
};

// Values of one 16-byte access.
template <class T>
constexpr int WIDE = 16 / sizeof(T);

template <int N, class T>
__device__ __forceinline__ Pack<T, N> load(const T* from) {
#if defined(CODEACT_EMULATION)
    emulation::check_aligned(from, sizeof(Pack<T, N>));
    Pack<T, N> pack;
    std::memcpy(&pack, from, sizeof pack);
    return pack;
#else
    return *reinterpret_cast<const Pack<T, N>*>(from);
#endif
}
template <int N, class T>
__device__ __forceinline__ void store(T* to, const Pack<T, N>& pack) {
#if defined(CODEACT_EMULATION)
    emulation::check_aligned(to, sizeof pack);
    std::memcpy(to, &pack, sizeof pack);
#else
    *reinterpret_cast<Pack<T, N>*>(to) = pack;
#endif
}

// The sum over a warp, in every lane; always added in the same order.
__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
    for (int mask = WARP / 2; mask > 0; mask /= 2) value += __shfl_xor_sync(ALL_LANES, value, mask);
    return value;
}

__device__ __forceinline__ float warp_max(float value) {
#pragma unroll
    for (int mask = WARP / 2; mask > 0; mask /= 2) value = fmaxf(value, __shfl_xor_sync(ALL_LANES, value, mask));
    return value;
}

// Combines what each warp has, in the order of the warps, for every thread of the block; `scratch` has one float for each
// warp. Blocks have whole warps.
template <class Combine>
__device__ __forceinline__ float across_warps(float value, float* scratch, Combine combine) {
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, warps = blockDim.x / WARP;
    __syncthreads();
    if (lane == 0) scratch[warp] = value;
    __syncthreads();
    float result = scratch[0];
    for (int i = 1; i < warps; ++i) result = combine(result, scratch[i]);
    return result;
}

// The sum over a block, in every thread.
__device__ __forceinline__ float block_sum(float value, float* scratch) {
    return across_warps(warp_sum(value), scratch, [](float a, float b) { return a + b; });
}

__device__ __forceinline__ float block_max(float value, float* scratch) {
    return across_warps(warp_max(value), scratch, [](float a, float b) { return fmaxf(a, b); });
}
