// CUDA C++ on a processor: the threads of a block are fibers, run one block after the other.
//
// What a card leaves open is chosen badly on purpose, so that a kernel that relies on it fails here. A seed decides the
// order of the blocks, the order of the threads between two barriers and how far one warp gets ahead of another. Shared
// memory starts as NaN and ends where it was asked to end. An asynchronous copy arrives at once or no sooner than it is
// waited for, by the seed: the first shows a tile that is overwritten while others still read it, the second one that
// is read too soon. A barrier that not all threads reach is an error, and so is an access wider than its address is
// aligned.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __shared__ static thread_local

struct Dim3 {
    unsigned x = 1, y = 1, z = 1;
};

namespace emulation {

constexpr unsigned WARP = 32;

// What a lane shows to the others of its warp: at most eight words.
struct Slot {
    uint32_t words[8];
};

// Where the running thread stands.
struct Place {
    Dim3 thread, block, threads, blocks;
    unsigned lane;
    unsigned char* shared;
};

const Place& place();
void block_barrier();
void warp_barrier();

// Shows `mine` to the warp and returns what all lanes show: 32 slots, valid until the next but one exchange.
const Slot* exchange(const Slot& mine);

void copy_later(void* to, const void* from, size_t bytes, size_t valid);
void copies_commit();
void copies_wait(unsigned groups_left);

// A card stops at an address that is no multiple of the access: here the launch fails once its block is done.
void check_aligned(const void* address, size_t bytes);

template <class T>
T shuffle(T value, unsigned from) {
    static_assert(sizeof(T) <= sizeof(Slot), "at most eight words");
    Slot mine{};
    std::memcpy(mine.words, &value, sizeof(T));
    const Slot* all = exchange(mine);
    std::memcpy(&value, all[from % WARP].words, sizeof(T));
    return value;
}

// One kernel with its arguments as an array of pointers, as a driver takes them.
struct Kernel {
    const char* name;
    void (*run)(void** arguments);
};
void enlist(Kernel kernel);

template <auto F>
struct Entry;
template <class... A, void (*F)(A...)>
struct Entry<F> {
    explicit Entry(const char* name) { enlist({name, &run}); }
    template <size_t... I>
    static void call(void** arguments, std::index_sequence<I...>) {
        F(*static_cast<std::remove_reference_t<A>*>(arguments[I])...);
    }
    static void run(void** arguments) { call(arguments, std::index_sequence_for<A...>{}); }
};

}  // namespace emulation

#define threadIdx (emulation::place().thread)
#define blockIdx (emulation::place().block)
#define blockDim (emulation::place().threads)
#define gridDim (emulation::place().blocks)

inline void __syncthreads() { emulation::block_barrier(); }
inline void __syncwarp(unsigned = ~0u) { emulation::warp_barrier(); }
template <class T>
T __shfl_sync(unsigned, T value, int lane) {
    return emulation::shuffle(value, unsigned(lane));
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
    return emulation::shuffle(value, emulation::place().lane ^ unsigned(mask));
}
template <class T>
T __shfl_down_sync(unsigned, T value, unsigned delta) {
    const unsigned lane = emulation::place().lane;
    return emulation::shuffle(value, lane + delta < emulation::WARP ? lane + delta : lane);
}

inline float __expf(float x) { return std::exp(x); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __uint_as_float(unsigned bits) {
    float result;
    std::memcpy(&result, &bits, 4);
    return result;
}
inline unsigned __float_as_uint(float value) {
    unsigned result;
    std::memcpy(&result, &value, 4);
    return result;
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
// Threads take turns only at barriers: nothing comes between.
template <class T>
T atomicAdd(T* address, T value) {
    const T before = *address;
    *address = before + value;
    return before;
}
using std::fabs;
using std::fmaxf;
using std::fminf;
using std::max;
using std::min;

// The storage format bf16: the upper half of an f32.
struct __nv_bfloat16 {
    uint16_t bits;
};
inline float __bfloat162float(__nv_bfloat16 value) {
    const uint32_t bits = uint32_t(value.bits) << 16;
    float result;
    std::memcpy(&result, &bits, 4);
    return result;
}
// To the nearest, ties to even.
inline __nv_bfloat16 __float2bfloat16_rn(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    if (value != value) return {uint16_t((bits >> 16) | 0x40)};
    bits += 0x7fff + ((bits >> 16) & 1);
    return {uint16_t(bits >> 16)};
}

// The storage format f16: 1 bit of sign, 5 of exponent, 10 of mantissa.
struct __half {
    uint16_t bits;
};
inline float __half2float(__half value) {
    const uint32_t sign = uint32_t(value.bits & 0x8000) << 16, exponent = value.bits >> 10 & 31;
    const uint32_t mantissa = value.bits & 1023;
    float result;
    if (exponent == 0) {
        result = std::ldexp(float(mantissa), -24);
        return sign ? -result : result;
    }
    const uint32_t bits = sign | (exponent == 31 ? 255u : exponent + 112) << 23 | mantissa << 13;
    std::memcpy(&result, &bits, 4);
    return result;
}
