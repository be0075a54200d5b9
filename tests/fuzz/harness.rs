//! Campaigns of damaged inputs: seeded, measured, and reported so that one case can be run again alone.
//!
//! `CODEACT_FUZZ_CASES` sets the number of cases of every campaign, `CODEACT_FUZZ_SEED` the first seed. With
//! `RUST_BACKTRACE=1` candle makes a backtrace for every error, which takes hundreds of times as long.
#![allow(dead_code)] // each test file uses its part

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::allocation;

/// Longest time for one input. Generous, because the machine may be busy; a loop without end has none.
const TIME_MAX: Duration = Duration::from_secs(20);

/// What the last panic said, and where.
static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

/// Numbers that follow from the seed alone (splitmix64).
pub struct Random(u64);

impl Random {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, or 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end.max(1) as u64) as usize
    }

    /// True once in `count` times.
    pub fn once_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// One of them.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// A number of the kind that breaks arithmetic.
    pub fn odd_number(&mut self) -> u64 {
        const BASES: [u64; 16] = [
            0,
            1,
            2,
            7,
            31,
            255,
            256,
            1 << 16,
            1 << 24,
            1 << 31,
            1 << 32,
            1 << 40,
            1 << 48,
            1 << 62,
            1 << 63,
            u64::MAX,
        ];
        match self.below(4) {
            0 => self.number(),
            1 => self.number() % 1000,
            _ => self.pick(&BASES).wrapping_add(self.below(3) as u64).wrapping_sub(1),
        }
    }
}

/// What one input may cost.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes allocated for each byte of input.
    pub factor: usize,
    /// Bytes allocated whatever the input.
    pub constant: usize,
}

/// One case of a campaign.
pub struct Case {
    /// Decides everything about it.
    pub random: Random,
    bounds: Bounds,
}

impl Case {
    /// Runs what is under test on an input of this size and holds it to its bounds.
    pub fn measure<T>(&self, input_bytes: usize, load: impl FnOnce() -> T) -> T {
        let (start, before) = (Instant::now(), allocation::reset_peak());
        let result = load();
        let (time, bytes) = (start.elapsed(), allocation::peak().saturating_sub(before));
        let bytes_max = self.bounds.factor * input_bytes + self.bounds.constant;
        assert!(
            bytes <= bytes_max,
            "{bytes} bytes allocated for an input of {input_bytes}, at most {bytes_max} are due"
        );
        assert!(time <= TIME_MAX, "it took {time:?}");
        result
    }
}

/// Keeps other tests of this process waiting: allocations are counted for all of it.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs cases until one panics, allocates too much or takes too long; then says how to run that one again.
pub fn campaign(name: &str, case_count: u64, bounds: Bounds, mut run: impl FnMut(&mut Case)) {
    let _alone = alone();
    let setting = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number of cases"));
    let first = setting("CODEACT_FUZZ_SEED").unwrap_or(1);
    let (start, case_count) = (Instant::now(), setting("CODEACT_FUZZ_CASES").unwrap_or(case_count));
    // A panic that the code under test contains is no failure: nothing is printed, and no backtrace is made, which
    // would allocate more than the bounds.
    let hook = take_hook();
    set_hook(Box::new(|panic| *LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner) = panic.to_string()));
    for seed in first..first + case_count {
        allocation::name_case(seed);
        let mut case = Case { random: Random(seed), bounds };
        if catch_unwind(AssertUnwindSafe(|| run(&mut case))).is_err() {
            set_hook(hook);
            let text = LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner).clone();
            panic!("{name}, seed {seed}: {text}\nagain: CODEACT_FUZZ_SEED={seed} CODEACT_FUZZ_CASES=1");
        }
    }
    set_hook(hook);
    println!("{name}: {case_count} cases from seed {first} in {:.1?}", start.elapsed());
}

/// Changes bytes anywhere: flips, overwrites, cuts, doubles.
pub fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..1 + random.below(4) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => {
                let end = (at + random.below(64)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            2 => {
                let end = (at + random.below(64)).min(bytes.len());
                bytes.drain(at..end);
            }
            3 if bytes.len() >= at + 8 => {
                let number = random.odd_number().to_le_bytes();
                bytes[at..at + 8].copy_from_slice(&number);
            }
            _ if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            _ => {}
        }
    }
}
