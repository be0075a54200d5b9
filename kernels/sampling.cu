// The next token of each row of logits: the likeliest, or one drawn among those that the row's settings leave.
//
// Order of the steps: temperature, then the k likeliest, then the likeliest that reach a share of the mass, then those not
// too unlikely beside the likeliest, then the draw. Equal logits are ordered by id, smaller first. What is not finite is
// never chosen. Masses are whole numbers, 2^32 for the likeliest: their sums have no order, and no thread's is lost. The
// random number comes with the row, so that it can be the same wherever the row is drawn.
#include "device.cuh"

// Numbers of a row's settings as the host packs them.
struct Settings {
    // One over the temperature; 0 asks for the likeliest.
    float inverse_temperature;
    // 0 for all.
    uint32_t top_k;
    // 1 for all.
    float top_p;
    float min_p;
    // 53 random bits, the upper 21 of them first.
    uint32_t random_high, random_low;
    uint32_t unused[2];
};

namespace {
namespace sampling {

using Mass = unsigned long long;

constexpr int THREADS = 512, DIGIT = 8, BINS = 1 << DIGIT, TILES_MAX = 512;
constexpr uint32_t NONE = 0xffffffffu;

// Larger for larger logits, 0 for what is not finite.
__device__ __forceinline__ uint32_t key_of(float logit) {
    // Minus zero becomes zero.
    const uint32_t bits = __float_as_uint(logit + 0.0f);
    if ((bits & 0x7f800000u) == 0x7f800000u) return 0;
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

__device__ __forceinline__ float logit_of(uint32_t key) {
    return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

struct Shared {
    Mass bins[BINS];
    Mass tiles[TILES_MAX];
    Mass warps[WARP];
    Mass before;
    uint32_t chosen;
};

// A row of logits, what its tokens weigh, and which of them are left: those above `bar`, and those at it with ids up to
// `last_tie`.
struct Row {
    const float* logits;
    int count;
    float largest, scale, min_p;
    uint32_t bar, last_tie;

    __device__ __forceinline__ uint32_t key(int id) const { return key_of(logits[id]); }
    __device__ __forceinline__ float weight(uint32_t key) const { return expf((logit_of(key) - largest) * scale); }
    __device__ __forceinline__ Mass mass(uint32_t key) const { return Mass(weight(key) * 4294967296.0f); }
    __device__ __forceinline__ bool is_left(uint32_t key, int id) const {
        return key > bar || (key == bar && key > 0 && uint32_t(id) <= last_tie);
    }
};

// The sum over the block, in every thread.
__device__ __forceinline__ Mass block_total(Mass value, Shared& shared) {
#pragma unroll
    for (int mask = WARP / 2; mask > 0; mask /= 2) value += __shfl_xor_sync(ALL_LANES, value, mask);
    __syncthreads();
    if (threadIdx.x % WARP == 0) shared.warps[threadIdx.x / WARP] = value;
    __syncthreads();
    Mass total = 0;
    for (int i = 0; i < THREADS / WARP; ++i) total += shared.warps[i];
    return total;
}

// The smallest id at which the running sum of `weigh(key, id)`, in the order of ids, exceeds `target`.
template <class Weigh>
__device__ uint32_t find(const Row& row, Mass target, Shared& shared, Weigh weigh) {
    __syncthreads();
    for (int i = threadIdx.x; i < TILES_MAX; i += THREADS) shared.tiles[i] = 0;
    if (threadIdx.x == 0) shared.chosen = NONE;
    __syncthreads();
    for (int id = threadIdx.x; id < row.count; id += THREADS) {
        const Mass mass = weigh(row.key(id), id);
        if (mass > 0) atomicAdd(&shared.tiles[id / THREADS], mass);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        Mass before = 0;
        int tile = 0;
        while (tile + 1 < TILES_MAX && before + shared.tiles[tile] <= target) before += shared.tiles[tile++];
        shared.before = before;
        shared.tiles[0] = tile;
    }
    __syncthreads();
    const int id = int(shared.tiles[0]) * THREADS + threadIdx.x, lane = threadIdx.x % WARP;
    const Mass own = id < row.count ? weigh(row.key(id), id) : 0;
    Mass running = own;
#pragma unroll
    for (int back = 1; back < WARP; back *= 2) {
        const Mass other = __shfl_sync(ALL_LANES, running, (lane - back) & (WARP - 1));
        if (lane >= back) running += other;
    }
    if (lane == WARP - 1) shared.warps[threadIdx.x / WARP] = running;
    __syncthreads();
    for (int i = 0; i < int(threadIdx.x) / WARP; ++i) running += shared.warps[i];
    running += shared.before;
    // One thread at most: the first whose sum is beyond the target.
    if (running > target && running - own <= target) shared.chosen = uint32_t(id);
    __syncthreads();
    return shared.chosen;
}

// The largest key such that those left that are not below it weigh `target` or more, and what those above it weigh:
// digit by digit from the highest. Less than `target` altogether gives the smallest key left.
template <class Weigh>
__device__ uint32_t select(const Row& row, Mass target, Mass& above, Shared& shared, Weigh weigh) {
    uint32_t prefix = 0;
    above = 0;
    for (int shift = 32 - DIGIT; shift >= 0; shift -= DIGIT) {
        __syncthreads();
        for (int i = threadIdx.x; i < BINS; i += THREADS) shared.bins[i] = 0;
        __syncthreads();
        const uint32_t fixed = shift + DIGIT < 32 ? NONE << (shift + DIGIT) : 0;
        for (int id = threadIdx.x; id < row.count; id += THREADS) {
            const uint32_t key = row.key(id);
            if (key == 0 || (key & fixed) != prefix || !row.is_left(key, id)) continue;
            const Mass mass = weigh(key, id);
            if (mass > 0) atomicAdd(&shared.bins[key >> shift & (BINS - 1)], mass);
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            Mass sum = above;
            int digit = BINS - 1, lowest = BINS - 1;
            for (; digit > 0 && sum + shared.bins[digit] < target; --digit) {
                if (shared.bins[digit] > 0) lowest = digit;
                sum += shared.bins[digit];
            }
            // All together are not enough: stay with the last that there was.
            if (sum + shared.bins[digit] < target && shared.bins[digit] == 0) {
                digit = lowest;
                sum -= shared.bins[digit];
            }
            shared.before = sum;
            shared.chosen = uint32_t(digit);
        }
        __syncthreads();
        above = shared.before;
        prefix |= shared.chosen << shift;
    }
    return prefix;
}

// Leaves the `count` likeliest.
__device__ void keep_count(Row& row, uint32_t count, Shared& shared) {
    Mass above;
    const auto one = [](uint32_t, int) { return Mass(1); };
    const uint32_t bar = select(row, count, above, shared, one);
    row.last_tie = find(row, count - above - 1, shared, [&](uint32_t key, int) { return Mass(key == bar); });
    row.bar = bar;
}

// Leaves the likeliest that together weigh the share `top_p` of those left.
__device__ void keep_share(Row& row, float top_p, Shared& shared) {
    const auto own = [&](uint32_t key, int id) { return row.is_left(key, id) ? row.mass(key) : 0; };
    Mass total = 0, above;
    for (int id = threadIdx.x; id < row.count; id += THREADS) {
        const uint32_t key = row.key(id);
        if (key > 0) total += own(key, id);
    }
    total = block_total(total, shared);
    const Mass wanted = max(Mass(1), Mass(ceil(double(top_p) * double(total))));
    const uint32_t bar = select(row, wanted, above, shared, own);
    const Mass each = max(Mass(1), row.mass(bar)), ties = (wanted - above + each - 1) / each;
    const auto tie = [&](uint32_t key, int id) { return Mass(key == bar && row.is_left(key, id)); };
    const uint32_t last = find(row, ties - 1, shared, tie);
    // Fewer ties than asked for: rounding, and all of them are left.
    if (last != NONE || bar != row.bar) row.last_tie = last;
    row.bar = bar;
}

__device__ uint32_t draw(Row& row, const Settings& settings, Shared& shared) {
    if (settings.top_k > 0 && settings.top_k < uint32_t(row.count)) keep_count(row, settings.top_k, shared);
    if (settings.top_p < 1.0f) keep_share(row, settings.top_p, shared);
    const auto own = [&](uint32_t key, int id) {
        return row.is_left(key, id) && row.weight(key) >= row.min_p ? row.mass(key) : 0;
    };
    Mass total = 0;
    for (int id = threadIdx.x; id < row.count; id += THREADS) total += own(row.key(id), id);
    total = block_total(total, shared);
    const Mass random = Mass(settings.random_high) << 32 | settings.random_low;
    return find(row, __umul64hi(random << 11, total), shared, own);
}

}  // namespace sampling
}  // namespace

// Grid: one block of 512 threads for each row; at most 262,144 logits. `tokens`: NONE where no logit is finite.
extern "C" __global__ void __launch_bounds__(512) sampling_choose(uint32_t* tokens, const float* logits,
                                                                  const Settings* settings, int count) {
    using namespace sampling;
    __shared__ Shared shared;
    const Settings own = settings[blockIdx.x];
    Row row{logits + size_t(blockIdx.x) * count, count, 0.0f, own.inverse_temperature, own.min_p, 0, NONE};
    // The largest key with the smallest id.
    Mass best = 0;
    for (int id = threadIdx.x; id < count; id += THREADS) {
        const uint32_t key = row.key(id);
        if (key > 0) best = max(best, Mass(key) << 32 | (NONE - uint32_t(id)));
    }
#pragma unroll
    for (int mask = WARP / 2; mask > 0; mask /= 2) best = max(best, __shfl_xor_sync(ALL_LANES, best, mask));
    if (threadIdx.x % WARP == 0) shared.warps[threadIdx.x / WARP] = best;
    __syncthreads();
    for (int i = 0; i < THREADS / WARP; ++i) best = max(best, shared.warps[i]);
    uint32_t token = best == 0 ? NONE : NONE - uint32_t(best);
    if (best > 0 && own.inverse_temperature > 0.0f && own.top_k != 1) {
        row.largest = logit_of(uint32_t(best >> 32));
        token = draw(row, own, shared);
    }
    if (threadIdx.x == 0) tokens[blockIdx.x] = token;
}
KERNEL(sampling_choose)
