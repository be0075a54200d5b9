// The scheduler of the emulation: blocks in turn, threads as fibers that hand over at barriers.
#include "emulate.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulation {
namespace {

constexpr size_t STACK_BYTES = 256 * 1024;

enum class State { Ready, AtWarp, AtBlock, Done };

struct Copy {
    void* to;
    const void* from;
    size_t bytes, valid;
};

// A thread of a block. `stack_pointer` is where it goes on.
struct Fiber {
    void* stack_pointer = nullptr;
    unsigned char* stack = nullptr;
    void* fake_stack = nullptr;
    State state = State::Ready;
    Place place;
    bool parity = false;
    std::vector<Copy> open;
    std::vector<std::vector<Copy>> groups;
#if !defined(__x86_64__)
    ucontext_t context;
#endif
};

struct Warp {
    Slot slots[2][WARP];
};

struct Block {
    std::vector<Fiber> fibers;
    std::vector<Warp> warps;
    void (*run)(void**);
    void** arguments;
    uint64_t seed;
    // Copies started so far.
    unsigned copies = 0;
    bool misaligned = false;
};

thread_local Block* block;
thread_local Fiber* running;
// The scheduler itself: where a fiber hands back to.
thread_local Fiber scheduler;
// Stacks are kept from launch to launch.
thread_local std::vector<std::unique_ptr<unsigned char[]>> stacks;

#if defined(__x86_64__)
extern "C" void codeact_switch(void** save, void* load);
asm(R"(
.text
.globl codeact_switch
.type codeact_switch, @function
codeact_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size codeact_switch, .-codeact_switch
)");
#endif

void hand_over(Fiber& from, Fiber& to) {
#if defined(__SANITIZE_ADDRESS__)
    const bool last = from.state == State::Done;
    __sanitizer_start_switch_fiber(last ? nullptr : &from.fake_stack, to.stack, STACK_BYTES);
#endif
#if defined(__x86_64__)
    codeact_switch(&from.stack_pointer, to.stack_pointer);
#else
    swapcontext(&from.context, &to.context);
#endif
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

void fiber_main() {
#if defined(__SANITIZE_ADDRESS__)
    const void* bottom;
    size_t size;
    __sanitizer_finish_switch_fiber(nullptr, &bottom, &size);
    if (!scheduler.stack) scheduler.stack = (unsigned char*)bottom;
#endif
    block->run(block->arguments);
    running->state = State::Done;
    hand_over(*running, scheduler);
    std::abort();
}

void prepare(Fiber& fiber) {
#if defined(__SANITIZE_ADDRESS__)
    // The last frame of the stack's former fiber never returned: its red zones still stand.
    ASAN_UNPOISON_MEMORY_REGION(fiber.stack, STACK_BYTES);
#endif
#if defined(__x86_64__)
    auto* top = reinterpret_cast<void**>((reinterpret_cast<uintptr_t>(fiber.stack) + STACK_BYTES) & ~uintptr_t(15));
    *--top = nullptr;  // keeps the alignment that a call leaves
    *--top = reinterpret_cast<void*>(&fiber_main);
    for (int i = 0; i < 6; ++i) *--top = nullptr;
    fiber.stack_pointer = top;
#else
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack;
    fiber.context.uc_stack.ss_size = STACK_BYTES;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, fiber_main, 0);
#endif
}

void wait(State state) {
    running->state = state;
    hand_over(*running, scheduler);
}

std::vector<Kernel>& kernels() {
    static std::vector<Kernel> all;
    return all;
}

// A permutation of `0..count` from a seed; seed 0 keeps the order, 1 turns it round.
std::vector<unsigned> order(unsigned count, uint64_t seed) {
    std::vector<unsigned> result(count);
    for (unsigned i = 0; i < count; ++i) result[i] = seed == 1 ? count - 1 - i : i;
    uint64_t state = seed * 0x9e3779b97f4a7c15ull;
    for (unsigned i = count; seed > 1 && i > 1; --i) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        std::swap(result[i - 1], result[(state >> 33) % i]);
    }
    return result;
}

bool all_in(const Fiber* first, const Fiber* last, State state) {
    return std::all_of(first, last, [state](const Fiber& fiber) { return fiber.state == state; });
}

// Runs a warp to its next barrier, its lanes in turn; false when it waits there for other warps or is done.
bool advance(Fiber* first, Fiber* last, const std::vector<unsigned>& lanes) {
    for (unsigned lane : lanes) {
        if (lane >= last - first || first[lane].state != State::Ready) continue;
        running = first + lane;
        hand_over(scheduler, *running);
    }
    if (!all_in(first, last, State::AtWarp)) return false;
    std::for_each(first, last, [](Fiber& fiber) { fiber.state = State::Ready; });
    return true;
}

// Runs one block; false when its threads wait for each other without end.
//
// Between two barriers of the block a warp may be as far ahead of another as it likes. With seeds 0 and 1 each gets to
// the barrier before the next one starts, else the warp that goes on is drawn anew each time.
bool run_block(Block& current) {
    block = &current;
    Fiber* fibers = current.fibers.data();
    const size_t count = current.fibers.size();
    const auto lanes = order(WARP, current.seed), all = order(unsigned(current.warps.size()), current.seed);
    uint64_t state = current.seed;
    while (true) {
        auto waiting = all;
        while (!waiting.empty()) {
            state = state * 6364136223846793005ull + 1442695040888963407ull;
            const size_t at = current.seed > 1 ? (state >> 33) % waiting.size() : 0;
            const size_t first = size_t(waiting[at]) * WARP;
            if (advance(fibers + first, fibers + std::min(first + WARP, count), lanes)) continue;
            waiting.erase(waiting.begin() + long(at));
        }
        if (all_in(fibers, fibers + count, State::Done)) return true;
        if (!all_in(fibers, fibers + count, State::AtBlock)) return false;
        std::for_each(fibers, fibers + count, [](Fiber& fiber) { fiber.state = State::Ready; });
    }
}

void deliver(const Copy& copy) {
    std::memcpy(copy.to, copy.from, copy.valid);
    std::memset(static_cast<char*>(copy.to) + copy.valid, 0, copy.bytes - copy.valid);
}

// Whether the next copy arrives at once: with seed 0 none does, with 1 all do, else every copy has its own luck.
bool comes_early(Block& block) {
    if (block.seed <= 1) return block.seed == 1;
    const uint64_t mixed = (block.seed + block.copies++) * 0x9e3779b97f4a7c15ull;
    return (mixed ^ mixed >> 29) >> 40 & 1;
}

void make_fibers(Block& current, Dim3 at, Dim3 blocks, unsigned threads, unsigned char* shared) {
    while (stacks.size() < threads) stacks.emplace_back(new unsigned char[STACK_BYTES]);
    current.fibers = std::vector<Fiber>(threads);
    current.warps = std::vector<Warp>((threads + WARP - 1) / WARP);
    for (unsigned i = 0; i < threads; ++i) {
        Fiber& fiber = current.fibers[i];
        fiber.stack = stacks[i].get();
        fiber.place = {{i, 0, 0}, at, {threads, 1, 1}, blocks, i % WARP, shared};
        prepare(fiber);
    }
}

}  // namespace

const Place& place() { return running->place; }
void block_barrier() { wait(State::AtBlock); }
void warp_barrier() { wait(State::AtWarp); }

const Slot* exchange(const Slot& mine) {
    Warp& warp = block->warps[running->place.thread.x / WARP];
    Slot* slots = warp.slots[running->parity];
    running->parity = !running->parity;
    slots[running->place.lane] = mine;
    warp_barrier();
    return slots;
}

void check_aligned(const void* address, size_t bytes) {
    if (reinterpret_cast<uintptr_t>(address) % bytes != 0) block->misaligned = true;
}

void copy_later(void* to, const void* from, size_t bytes, size_t valid) {
    check_aligned(to, bytes);
    check_aligned(from, bytes);
    const Copy copy{to, from, bytes, valid};
    if (comes_early(*block)) {
        deliver(copy);
    } else {
        running->open.push_back(copy);
    }
}
void copies_commit() {
    running->groups.push_back(std::move(running->open));
    running->open.clear();
}
void copies_wait(unsigned groups_left) {
    auto& groups = running->groups;
    while (groups.size() > groups_left) {
        std::for_each(groups.front().begin(), groups.front().end(), deliver);
        groups.erase(groups.begin());
    }
}

void enlist(Kernel kernel) { kernels().push_back(kernel); }

}  // namespace emulation

// Runs a kernel. 0: done. 1: no kernel of this name. 2: a barrier that not all threads reach. 3: an access wider than
// its address is aligned.
extern "C" int codeact_emulate(const char* name, const unsigned* grid, unsigned threads, size_t shared_bytes,
                               void** arguments, uint64_t seed) {
    using namespace emulation;
    const auto& all = kernels();
    const auto kernel =
        std::find_if(all.begin(), all.end(), [name](const Kernel& kernel) { return kernel.name == std::string(name); });
    if (kernel == all.end()) return 1;
    const Dim3 blocks{grid[0], grid[1], grid[2]};
    for (unsigned index : order(blocks.x * blocks.y * blocks.z, seed)) {
        const Dim3 at{index % blocks.x, index / blocks.x % blocks.y, index / blocks.x / blocks.y};
        // Aligned as dynamic shared memory is, and exactly as long, so that a sanitizer sees its end.
        const size_t padding = (128 - shared_bytes % 128) % 128;
        auto* memory = static_cast<unsigned char*>(std::aligned_alloc(128, shared_bytes + padding + 128));
#if defined(__SANITIZE_ADDRESS__)
        ASAN_POISON_MEMORY_REGION(memory + shared_bytes, padding + 128);
#endif
        std::memset(memory, 0xff, shared_bytes);
        Block current;
        current.run = kernel->run;
        current.arguments = arguments;
        current.seed = seed;
        make_fibers(current, at, blocks, threads, memory);
        const bool done = run_block(current);
#if defined(__SANITIZE_ADDRESS__)
        ASAN_UNPOISON_MEMORY_REGION(memory + shared_bytes, padding + 128);
#endif
        std::free(memory);
        if (!done) return 2;
        if (current.misaligned) return 3;
    }
    return 0;
}

// Every kernel there is.
#include "kernels.inc"
