// NF4: frozen weights in 4 bits with 8-bit scales. Bit for bit what crates/ops/src/nf4/mod.rs does.
//
// Layout   codes: two a byte, the first value in the upper half. scales: one byte for 64 values. scale_of_scales: one
//          f32 for 256 scales. tables: the 16 fractions, then the 256 levels of a scale.
// Value    fraction[code] * (level[scale] * scale_of_scales + offset), in f32, then rounded to the output's format.
// Cost     dequantising is memory bound: 0.52 bytes read and 2 (bf16) or 4 (f32) written for a value.
#include "device.cuh"

namespace nf4 {

constexpr int BLOCK = 64;   // values that share a scale
constexpr int GROUP = 256;  // scales that share a scale of scales
constexpr int VALUES = 16;
constexpr float SCALE_MIN = 1e-38f;
constexpr int MEAN_LANES = 1024;

// Magnitudes are ordered as their bits are, and what is not a number is above all.
__device__ __forceinline__ unsigned magnitude_bits(float value) {
    unsigned bits;
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x7fffffffu;
}

__device__ __forceinline__ float from_bits(unsigned bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

__device__ __forceinline__ unsigned larger(unsigned a, unsigned b) { return a > b ? a : b; }

// A value as a fraction of its scale. Whole runs multiply by the reciprocal and a short last run divides: the two may
// round differently.
struct Divisor {
    float scale, reciprocal;
    bool whole;

    __device__ __forceinline__ Divisor(float largest, bool is_whole)
        : scale(fmaxf(largest, SCALE_MIN)), reciprocal(1.0f / scale), whole(is_whole) {}
    __device__ __forceinline__ float fraction(float value) const { return whole ? value * reciprocal : value / scale; }
};

// The number of thresholds below a fraction; one that is halfway gets the lower code.
__device__ __forceinline__ unsigned code_of(float fraction) {
    constexpr float values[VALUES] = {-1.0f,        -0.6961928f,  -0.52507305f, -0.3949175f, -0.28444138f, -0.18477343f,
                                      -0.091050036f, 0.0f,        0.0795803f,   0.1609302f,  0.2461123f,   0.33791524f,
                                      0.44070983f,  0.562617f,    0.72295684f,  1.0f};
    unsigned code = 0;
#pragma unroll
    for (int i = 0; i + 1 < VALUES; ++i) code += fraction > (values[i] + values[i + 1]) * 0.5f ? 1 : 0;
    return code;
}

// A tile of the output is PACKS accesses of 16 bytes for each thread, side by side over the threads. Reads of several
// packs are under way at once.
template <class T, int PACKS>
__device__ void dequantise(T* out, const unsigned char* codes, const unsigned char* scales,
                           const float* scale_of_scales, const float* tables, long long count, float offset) {
    constexpr int N = WIDE<T>;
    __shared__ float values[VALUES], levels[GROUP];
    for (int i = threadIdx.x; i < VALUES; i += blockDim.x) values[i] = tables[i];
    for (int i = threadIdx.x; i < GROUP; i += blockDim.x) levels[i] = tables[VALUES + i];
    __syncthreads();

    const long long step = static_cast<long long>(blockDim.x) * N, tile = step * PACKS;
    for (long long start = blockIdx.x * tile; start < count; start += gridDim.x * tile) {
        Pack<unsigned char, N / 2> bytes[PACKS];
        float scale[PACKS];
#pragma unroll
        for (int i = 0; i < PACKS; ++i) {
            const long long first = start + i * step + threadIdx.x * N;
            if (first >= count) continue;
            if (first + N <= count) {
                bytes[i] = load<N / 2>(codes + first / 2);
            } else {
                for (int j = 0; j < N / 2; ++j) bytes[i].values[j] = first + 2 * j < count ? codes[first / 2 + j] : 0;
            }
            const long long block = first / BLOCK;
            scale[i] = multiply_then_add(levels[scales[block]], scale_of_scales[block / GROUP], offset);
        }
#pragma unroll
        for (int i = 0; i < PACKS; ++i) {
            const long long first = start + i * step + threadIdx.x * N;
            if (first >= count) continue;
            Pack<T, N> pack;
#pragma unroll
            for (int j = 0; j < N; ++j) {
                const unsigned byte = bytes[i].values[j / 2];
                pack.values[j] = from_float<T>(values[j % 2 ? byte & 15 : byte >> 4] * scale[i]);
            }
            if (first + N <= count) {
                store<N>(out + first, pack);
            } else {
#pragma unroll
                for (int j = 0; j < N; ++j) {
                    if (first + j < count) out[first + j] = pack.values[j];
                }
            }
        }
    }
}

// Eight lanes share a block, eight values each; a warp quantises four blocks at a time.
template <class T>
__device__ void quantise(unsigned char* codes, float* absmax, const T* weight, long long count) {
    constexpr int N = 8, LANES = BLOCK / N;
    const long long step = static_cast<long long>(gridDim.x) * blockDim.x * N;
    const long long warp_start = (static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x / WARP * WARP) * N;
    // The same number of rounds for all lanes of a warp: they exchange their largest values.
    for (long long round = warp_start; round < count; round += step) {
        const long long first = round + threadIdx.x % WARP * N, block = first / BLOCK;
        float values[N];
#pragma unroll
        for (int i = 0; i < N; i += WIDE<T>) {
            if (first + N <= count) {
                const Pack<T, WIDE<T>> pack = load<WIDE<T>>(weight + first + i);
#pragma unroll
                for (int j = 0; j < WIDE<T>; ++j) values[i + j] = to_float(pack.values[j]);
            } else {
#pragma unroll
                for (int j = 0; j < WIDE<T>; ++j) {
                    values[i + j] = first + i + j < count ? to_float(weight[first + i + j]) : 0.0f;
                }
            }
        }
        unsigned largest = 0;
#pragma unroll
        for (int i = 0; i < N; ++i) largest = larger(largest, magnitude_bits(values[i]));
#pragma unroll
        for (int mask = LANES / 2; mask > 0; mask /= 2) {
            largest = larger(largest, __shfl_xor_sync(ALL_LANES, largest, mask));
        }
        if (first >= count) continue;

        const bool whole = (block + 1) * BLOCK <= count;
        const Divisor divisor(from_bits(largest), whole);
        if (first % BLOCK == 0) {
            // What is not a number stays so: the mean shows it.
            const bool small = largest < magnitude_bits(SCALE_MIN);
            absmax[block] = !whole && small ? SCALE_MIN : from_bits(largest);
        }
        Pack<unsigned char, N / 2> bytes;
#pragma unroll
        for (int i = 0; i < N / 2; ++i) {
            const unsigned upper = code_of(divisor.fraction(values[2 * i]));
            bytes.values[i] = static_cast<unsigned char>(upper << 4 | code_of(divisor.fraction(values[2 * i + 1])));
        }
        if (first + N <= count) {
            store<N / 2>(codes + first / 2, bytes);
        } else {
#pragma unroll
            for (int i = 0; i < N / 2; ++i) {
                if (first + 2 * i < count) codes[first / 2 + i] = bytes.values[i];
            }
        }
    }
}

}  // namespace nf4

// Grid: any, best a few blocks for each multiprocessor. Threads: whole warps, best 256. Dequantising takes 32 values
// for each thread at a time, quantising 8. All pointers are aligned to 16 bytes. `absmax`: (ceil(count / 64)) f32, for
// nf4_mean and nf4_quantise_scales.
#define ENTRIES(T, dtype, packs)                                                                                     \
    extern "C" __global__ void nf4_dequantise_##dtype(T* out, const unsigned char* codes,                            \
                                                      const unsigned char* scales, const float* scale_of_scales,     \
                                                      const float* tables, long long count, float offset) {          \
        nf4::dequantise<T, packs>(out, codes, scales, scale_of_scales, tables, count, offset);                       \
    }                                                                                                                \
    KERNEL(nf4_dequantise_##dtype)                                                                                   \
    extern "C" __global__ void nf4_quantise_##dtype(unsigned char* codes, float* absmax, const T* weight,            \
                                                    long long count) {                                               \
        nf4::quantise<T>(codes, absmax, weight, count);                                                              \
    }                                                                                                                \
    KERNEL(nf4_quantise_##dtype)
ENTRIES(float, f32, 8)
ENTRIES(bf16, bf16, 4)
#undef ENTRIES

// The mean of the blocks' scales: f64 sums in 1024 lanes, value i in lane i % 1024, which are then added by halves, 512
// to 512 and on. Grid: 1. Threads: 1024.
extern "C" __global__ void __launch_bounds__(nf4::MEAN_LANES)
    nf4_mean(float* mean, const float* absmax, long long count) {
    __shared__ double lanes[nf4::MEAN_LANES];
    double sum = 0.0;
    for (long long i = threadIdx.x; i < count; i += nf4::MEAN_LANES) sum += static_cast<double>(absmax[i]);
    lanes[threadIdx.x] = sum;
    __syncthreads();
    for (unsigned half = nf4::MEAN_LANES / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) lanes[threadIdx.x] += lanes[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) *mean = static_cast<float>(lanes[0] / static_cast<double>(count));
}
KERNEL(nf4_mean)

// Each scale as a level of its group's largest. Grid: one block for each 256 scales. Threads: 256.
extern "C" __global__ void nf4_quantise_scales(unsigned char* scales, float* scale_of_scales, const float* absmax,
                                               const float* tables, long long count, float offset) {
    __shared__ float scratch[nf4::GROUP / WARP], thresholds[nf4::GROUP];
    const long long first = static_cast<long long>(blockIdx.x) * nf4::GROUP, index = first + threadIdx.x;
    const float* levels = tables + nf4::VALUES;
    if (threadIdx.x + 1 < nf4::GROUP) thresholds[threadIdx.x] = (levels[threadIdx.x] + levels[threadIdx.x + 1]) * 0.5f;
    const float centred = index < count ? absmax[index] - offset : 0.0f;
    const float largest = block_max(fabs(centred), scratch);
    if (index >= count) return;

    const bool whole = first + nf4::GROUP <= count;
    const float fraction = nf4::Divisor(largest, whole).fraction(centred);
    int below = 0;
#pragma unroll
    for (int step = nf4::GROUP / 2; step > 0; step /= 2) {
        if (thresholds[below + step - 1] < fraction) below += step;
    }
    scales[index] = static_cast<unsigned char>(below);
    if (threadIdx.x == 0) scale_of_scales[blockIdx.x] = whole ? largest : fmaxf(largest, nf4::SCALE_MIN);
}
KERNEL(nf4_quantise_scales)
