// Every instruction that the kernels use and C++ has no word for, and nothing else: tensor cores, asynchronous copies,
// sums of pairs, loads of what is read once, the fast power of two. On a card each is one instruction (sm_80 and later); in the emulation each does element by
// element what the PTX manual says it does.
#pragma once
#include "device.cuh"

// A 16-byte address in shared memory that `ldmatrix` takes from its lane.
#if defined(CODEACT_EMULATION)
using SharedAddress = const bf16*;
__device__ __forceinline__ SharedAddress shared_address(const bf16* pointer) { return pointer; }
#else
using SharedAddress = uint32_t;
__device__ __forceinline__ SharedAddress shared_address(const bf16* pointer) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}
#endif

// The address `elements` further on.
__device__ __forceinline__ SharedAddress shared_offset(SharedAddress from, int elements) {
#if defined(CODEACT_EMULATION)
    return from + elements;
#else
    return from + uint32_t(elements) * uint32_t(sizeof(bf16));
#endif
}

// Two bf16 in one register, the first in the lower half.
__device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
#if defined(CODEACT_EMULATION)
    return uint32_t(__float2bfloat16_rn(low).bits) | uint32_t(__float2bfloat16_rn(high).bits) << 16;
#else
    __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<uint32_t*>(&pair);
#endif
}

#if defined(CODEACT_EMULATION)
namespace emulation {
inline float half_of(uint32_t word, int which) { return __bfloat162float({uint16_t(which ? word >> 16 : word)}); }

// `ldmatrix.x4`: lane `8 m + r` gives row `r` of the 8x8 matrix `m`.
inline void load_matrices(uint32_t (&to)[4], SharedAddress row, bool transposed) {
    Slot mine{};
    check_aligned(row, 16);
    std::memcpy(mine.words, &row, sizeof(row));
    const Slot* all = exchange(mine);
    const unsigned lane = place().lane;
    for (unsigned m = 0; m < 4; ++m) {
        to[m] = 0;
        for (unsigned half = 0; half < 2; ++half) {
            const unsigned across = lane / 4, along = lane % 4 * 2 + half;
            const bf16* from;
            std::memcpy(&from, all[8 * m + (transposed ? along : across)].words, sizeof(from));
            to[m] |= uint32_t(from[transposed ? across : along].bits) << (16 * half);
        }
    }
    warp_barrier();
}
}  // namespace emulation
#endif

// Four 8x8 matrices of bf16 from shared memory: lane `l` gets elements `(l / 4, 2 (l % 4))` and its right neighbour.
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&to)[4], SharedAddress row) {
#if defined(CODEACT_EMULATION)
    emulation::load_matrices(to, row, false);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(row)
                 : "memory");
#endif
}

// The same, each matrix transposed on the way.
__device__ __forceinline__ void ldmatrix_x4_transposed(uint32_t (&to)[4], SharedAddress row) {
#if defined(CODEACT_EMULATION)
    emulation::load_matrices(to, row, true);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(row)
                 : "memory");
#endif
}

// `c += a b` for `a` 16x16 (rows), `b` 16x8 (columns), f32 sums.
//
// With g = lane / 4 and q = lane % 4: a holds rows g, g + 8 at columns 2q, 2q + 1, then the same at columns + 8; b
// holds column g at rows 2q, 2q + 1, then + 8; c holds row g at columns 2q, 2q + 1, then row g + 8.
__device__ __forceinline__ void mma_16x8x16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#if defined(CODEACT_EMULATION)
    const emulation::Slot* all = emulation::exchange({{a[0], a[1], a[2], a[3], b0, b1}});
    const unsigned g = emulation::place().lane / 4, q = emulation::place().lane % 4;
    for (unsigned i = 0; i < 4; ++i) {
        const unsigned column = 2 * q + i % 2;
        float sum = 0.0f;
        for (unsigned k = 0; k < 16; ++k) {
            const unsigned pair = k % 8 / 2, upper = k / 8;
            const float x = emulation::half_of(all[g * 4 + pair].words[i / 2 + 2 * upper], k % 2);
            const float y = emulation::half_of(all[column * 4 + pair].words[4 + upper], k % 2);
            sum += x * y;
        }
        c[i] += sum;
    }
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

// Starts a copy of 16 bytes from global to shared memory; with `valid` false it writes zeros and reads nothing.
__device__ __forceinline__ void copy_async_16(bf16* to, const bf16* from, bool valid) {
#if defined(CODEACT_EMULATION)
    emulation::copy_later(to, from, 16, valid ? 16 : 0);
#else
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_address(to)), "l"(from),
                 "r"(valid ? 16 : 0)
                 : "memory");
#endif
}

// The same for 4 bytes.
__device__ __forceinline__ void copy_async_4(float* to, const float* from, bool valid) {
#if defined(CODEACT_EMULATION)
    emulation::copy_later(to, from, 4, valid ? 4 : 0);
#else
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;\n" ::"r"(
                     static_cast<uint32_t>(__cvta_generic_to_shared(to))),
                 "l"(from), "r"(valid ? 4 : 0)
                 : "memory");
#endif
}

// Closes the group of copies started since the last one.
__device__ __forceinline__ void copy_async_commit() {
#if defined(CODEACT_EMULATION)
    emulation::copies_commit();
#else
    asm volatile("cp.async.commit_group;\n" ::: "memory");
#endif
}

// Waits until at most `LEFT` groups of this thread are on their way. Others see the data after a barrier.
template <int LEFT>
__device__ __forceinline__ void copy_async_wait() {
#if defined(CODEACT_EMULATION)
    emulation::copies_wait(LEFT);
#else
    asm volatile("cp.async.wait_group %0;\n" ::"n"(LEFT) : "memory");
#endif
}

// The sums of two pairs of bf16, each rounded to bf16.
__device__ __forceinline__ uint32_t add_bf16x2(uint32_t a, uint32_t b) {
#if defined(CODEACT_EMULATION)
    using emulation::half_of;
    return pack_bf16(half_of(a, 0) + half_of(b, 0), half_of(a, 1) + half_of(b, 1));
#else
    uint32_t result;
    // One is 0x3f80; an addition of pairs came with sm_90 only.
    asm("fma.rn.bf16x2 %0, %1, %2, %3;\n" : "=r"(result) : "r"(a), "r"(0x3f803f80u), "r"(b));
    return result;
#endif
}

// Sixteen bytes that are read once in a kernel: they pass by the first level of the cache.
__device__ __forceinline__ Pack<uint32_t, 4> load_once(const uint32_t* from) {
#if defined(CODEACT_EMULATION)
    return load<4>(from);
#else
    Pack<uint32_t, 4> pack;
    asm("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0,%1,%2,%3}, [%4];\n"
        : "=r"(pack.values[0]), "=r"(pack.values[1]), "=r"(pack.values[2]), "=r"(pack.values[3])
        : "l"(from));
    return pack;
#endif
}

// Eight values to global memory in one access, which the compiler would take to pieces otherwise.
__device__ __forceinline__ void store_global(bf16* to, const Pack<bf16, 8>& pack) {
#if defined(CODEACT_EMULATION)
    store<8>(to, pack);
#else
    uint4 words;
    memcpy(&words, &pack, sizeof words);
    __stwb(reinterpret_cast<uint4*>(to), words);
#endif
}

// 2 to the power of `x`, to two units in the last place; subnormal results become 0.
__device__ __forceinline__ float exp2_fast(float x) {
#if defined(CODEACT_EMULATION)
    return std::exp2(x);
#else
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(result) : "f"(x));
    return result;
#endif
}
