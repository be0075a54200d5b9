//! Threads that share each step of a forward pass.
//!
//! A pass of a small model is hundreds of steps of microseconds, so waking sleeping threads for each would cost more than
//! the work. The threads spin for a moment after each step and sleep only when none follows.

use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};

use crate::Isa;
use crate::disjoint::Disjoint;

/// Looks at the next step before a thread sleeps; some hundred microseconds.
const SPINS: usize = 20_000;

/// Looks after which a waiting thread lets others run between them: the one it waits for may have no processor.
const SPINS_ALONE: usize = 2_000;

type Task<'a> = dyn Fn(usize) + Sync + 'a;

/// A fixed number of threads, the caller's included, and the instructions they use.
pub struct Team {
    isa: Isa,
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// One step at a time.
    turn: Mutex<()>,
}

struct Shared {
    /// Counts steps; odd bits mean nothing. Its change is what workers wait for.
    step: AtomicUsize,
    job: UnsafeCell<Option<Job>>,
    /// The next index to take.
    next: AtomicUsize,
    /// Workers that have not finished the step.
    busy: AtomicUsize,
    sleeping: Vec<AtomicBool>,
    panicked: AtomicBool,
    is_over: AtomicBool,
}

#[derive(Clone, Copy)]
struct Job {
    task: *const Task<'static>,
    count: usize,
}

// SAFETY: `job` is written by the thread that holds `turn` while no worker is busy, and read by workers only between the
// change of `step` that follows the write and their decrement of `busy`.
unsafe impl Sync for Shared {}
// SAFETY: the pointer in `job` is only followed while `each` keeps the task alive.
unsafe impl Send for Shared {}

impl Team {
    /// A team of `thread_count` threads, of which `thread_count - 1` are started here.
    ///
    /// # Panics
    /// When the operating system gives no thread.
    pub fn new(thread_count: usize) -> Self {
        let workers = thread_count.max(1) - 1;
        let shared = Arc::new(Shared {
            step: AtomicUsize::new(0),
            job: UnsafeCell::new(None),
            next: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            sleeping: (0..workers).map(|_| AtomicBool::new(false)).collect(),
            panicked: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        });
        let start = |index| {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(format!("team-{}", index + 1));
            thread.spawn(move || shared.work(index)).expect("the operating system gives a thread")
        };
        let workers = (0..workers).map(start).collect();
        Self { isa: Isa::best(), shared, workers, turn: Mutex::new(()) }
    }

    /// A team of as many threads as this process may use at once.
    pub fn of_machine() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// The same team with kernels of another instruction set, for comparing them.
    ///
    /// # Panics
    /// When this processor does not have it.
    #[must_use]
    pub fn with_isa(mut self, isa: Isa) -> Self {
        assert!(isa <= Isa::best(), "{isa:?} on a processor that has {:?}", Isa::best());
        self.isa = isa;
        self
    }

    /// The instructions of its kernels: the best this processor has, unless told otherwise.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Threads, the caller's included.
    pub fn thread_count(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `task(index, chunk)` for each chunk of `chunk_len` values; the last may be shorter.
    pub(crate) fn each_chunk<T: Send>(
        &self,
        values: &mut [T],
        chunk_len: usize,
        task: &(dyn Fn(usize, &mut [T]) + Sync),
    ) {
        let (len, values) = (values.len(), Disjoint::new(values));
        self.each(len.div_ceil(chunk_len), &|index| {
            let first = index * chunk_len;
            // SAFETY: chunks of different indices do not overlap, and each index is handed out once.
            task(index, unsafe { values.part(first, chunk_len.min(len - first)) });
        });
    }

    /// Runs `task(index)` once for each index below `count`, on all threads; returns when all are done.
    ///
    /// Indices are handed out in order, one at a time. A task must not call its own team.
    ///
    /// # Panics
    /// When a task does.
    pub fn each(&self, count: usize, task: &Task<'_>) {
        if self.workers.is_empty() || count <= 1 {
            (0..count).for_each(task);
            return;
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes; this function does not return before all workers are done with it.
        let task: *const Task<'static> = unsafe { std::mem::transmute::<&Task<'_>, &Task<'static>>(task) };
        // SAFETY: no worker is busy, so none reads.
        unsafe { *shared.job.get() = Some(Job { task, count }) };
        shared.next.store(0, Ordering::Relaxed);
        shared.busy.store(self.workers.len(), Ordering::Relaxed);
        // Sequentially consistent, as are a worker's announcement that it sleeps and its last look before: one of the two
        // sees the other.
        shared.step.fetch_add(1, Ordering::SeqCst);
        for (worker, sleeping) in self.workers.iter().zip(&shared.sleeping) {
            if sleeping.load(Ordering::SeqCst) {
                Thread::unpark(worker.thread());
            }
        }
        let own = catch_unwind(AssertUnwindSafe(|| shared.take_tasks(Job { task, count })));
        let mut spins = 0;
        while shared.busy.load(Ordering::Acquire) > 0 {
            wait_a_little(&mut spins);
        }
        if let Err(panic) = own {
            shared.panicked.store(false, Ordering::Relaxed);
            resume_unwind(panic);
        }
        assert!(!shared.panicked.swap(false, Ordering::Relaxed), "a thread of the team panicked");
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.shared.step.fetch_add(1, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // Its panics were caught and told to the caller of `each`.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn work(&self, index: usize) {
        let mut seen = 0;
        loop {
            seen = self.next_step(index, seen);
            if self.is_over.load(Ordering::SeqCst) {
                return;
            }
            // SAFETY: the step has changed and this worker has not yet said that it is done.
            let job = unsafe { *self.job.get() }.expect("written before the step changed");
            if catch_unwind(AssertUnwindSafe(|| self.take_tasks(job))).is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.busy.fetch_sub(1, Ordering::Release);
        }
    }

    /// Waits for a step after `seen`: awake for a moment, then asleep.
    fn next_step(&self, index: usize, seen: usize) -> usize {
        let mut spins = 0;
        while spins < SPINS {
            let step = self.step.load(Ordering::Acquire);
            if step != seen {
                return step;
            }
            wait_a_little(&mut spins);
        }
        self.sleeping[index].store(true, Ordering::SeqCst);
        let step = loop {
            let step = self.step.load(Ordering::SeqCst);
            if step != seen {
                break step;
            }
            std::thread::park();
        };
        self.sleeping[index].store(false, Ordering::SeqCst);
        step
    }

    fn take_tasks(&self, job: Job) {
        // SAFETY: `each` keeps the task alive until every worker is done.
        let task = unsafe { &*job.task };
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= job.count {
                return;
            }
            task(index);
        }
    }
}

fn wait_a_little(spins: &mut usize) {
    *spins += 1;
    match *spins > SPINS_ALONE && spins.is_multiple_of(64) {
        true => std::thread::yield_now(),
        false => std::hint::spin_loop(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_is_done_once_in_every_step() {
        for threads in [1, 2, 5] {
            let team = Team::new(threads);
            for count in [0, 1, 2, 7, 100] {
                for _ in 0..200 {
                    let done: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                    team.each(count, &|index| {
                        done[index].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(done.iter().all(|done| done.load(Ordering::Relaxed) == 1));
                }
            }
        }
    }

    #[test]
    fn threads_that_fell_asleep_wake_up() {
        let team = Team::new(3);
        for _ in 0..5 {
            std::thread::sleep(std::time::Duration::from_millis(30));
            let sum = AtomicUsize::new(0);
            team.each(64, &|index| {
                sum.fetch_add(index, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 63 * 64 / 2);
        }
    }

    #[test]
    fn a_panic_of_a_task_reaches_the_caller_and_the_team_goes_on() {
        let team = Team::new(2);
        for _ in 0..20 {
            let result = catch_unwind(AssertUnwindSafe(|| team.each(8, &|index| assert!(index != 5))));
            assert!(result.is_err());
            team.each(8, &|_| {});
        }
    }
}
