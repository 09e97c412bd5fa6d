//! A fixed set of threads that work on one thing at a time, and the barrier between its steps.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::vec::Vec;

/// Turns of the waiting loop before a thread goes to sleep: about the length of one step of a band.
const SPINS: usize = 4000;

/// What all threads of a pool run: called with the thread's number.
type Work<'a> = dyn Fn(usize, &Barrier) + Sync + 'a;

/// Threads 1 and up; the caller of [`Pool::run`] is thread 0.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

struct Shared {
    /// Everybody meets here before and after each piece of work, and between its steps.
    barrier: Barrier,
    /// The work, while there is some. `None` after the first barrier tells the workers to end.
    work: Mutex<Option<&'static Work<'static>>>,
    /// Workers that have left: what they did happened before their leaving is seen.
    gone: AtomicUsize,
}

impl Pool {
    /// Starts `threads − 1` threads, each of which keeps to a processor of its own if they are `pinned`.
    ///
    /// # Errors
    /// The operating system's, when it has no more threads to give.
    pub fn new(threads: usize, pinned: bool) -> std::io::Result<Self> {
        #[cfg(target_os = "linux")]
        if pinned {
            crate::threads::pin::prepare();
        }
        #[cfg(not(target_os = "linux"))]
        let _ = pinned;
        let shared = Arc::new(Shared {
            barrier: Barrier::new(threads),
            work: Mutex::new(None),
            gone: AtomicUsize::new(0),
        });
        let mut pool = Self { shared, workers: Vec::new() };
        for thread in 1..threads {
            let shared = pool.shared.clone();
            let builder = std::thread::Builder::new().name(std::format!("mcir-{thread}"));
            match builder.spawn(move || {
                #[cfg(target_os = "linux")]
                if pinned {
                    crate::threads::pin::pin(thread);
                }
                worker(thread, &shared);
            }) {
                Ok(worker) => pool.workers.push(worker),
                Err(error) => {
                    // The threads that did start wait for others that never come.
                    pool.shared.barrier.fail();
                    return Err(error);
                }
            }
        }
        Ok(pool)
    }

    /// Number of threads, the caller's included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `work` on all threads, the caller's being number 0, and returns when all are done.
    ///
    /// # Panics
    /// If `work` panics on any thread; the pool cannot be used after that and panics again.
    pub fn run(&self, work: &Work<'_>) {
        // SAFETY: only the lifetime changes. The reference is used by the workers between the two barriers
        // below and not after; this function passes the second only when all of them have. It does not
        // return or unwind before: a panic of `work` is caught, and after one anywhere in the pool the
        // workers have left before it goes on.
        let erased = unsafe { core::mem::transmute::<&Work<'_>, &'static Work<'static>>(work) };
        *lock(&self.shared.work) = Some(erased);
        let barrier = &self.shared.barrier;
        let result = catch_unwind(AssertUnwindSafe(|| {
            barrier.wait();
            work(0, barrier);
            barrier.wait();
        }));
        *lock(&self.shared.work) = None;
        if let Err(panic) = result {
            barrier.fail();
            // Not `JoinHandle::is_finished`, which does not synchronize with what the thread did.
            while self.shared.gone.load(Ordering::Acquire) < self.workers.len() {
                std::thread::yield_now();
            }
            resume_unwind(panic);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if !self.shared.barrier.failed() {
            // Without work the workers leave after the first barrier.
            self.shared.barrier.wait();
        }
        for worker in self.workers.drain(..) {
            // A panic of a worker was already passed on by `run`.
            drop(worker.join());
        }
    }
}

fn worker(thread: usize, shared: &Shared) {
    let barrier = &shared.barrier;
    let result = catch_unwind(AssertUnwindSafe(|| {
        loop {
            barrier.wait();
            let Some(work) = *lock(&shared.work) else { return };
            work(thread, barrier);
            barrier.wait();
        }
    }));
    if result.is_err() {
        barrier.fail();
    }
    shared.gone.fetch_add(1, Ordering::Release);
}

/// The lock only guards a copy of a reference, which no panic can leave half-written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A barrier that spins for a while, then sleeps.
pub(crate) struct Barrier {
    threads: usize,
    arrived: AtomicUsize,
    generation: AtomicUsize,
    failed: AtomicBool,
    sleepers: Mutex<usize>,
    wake: Condvar,
}

impl Barrier {
    fn new(threads: usize) -> Self {
        Self {
            threads,
            arrived: AtomicUsize::new(0),
            generation: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
            sleepers: Mutex::new(0),
            wake: Condvar::new(),
        }
    }

    /// Returns when all threads have called it; what they wrote before is then visible to all.
    ///
    /// # Panics
    /// If a thread has panicked, so that it will never arrive.
    pub fn wait(&self) {
        let generation = self.generation.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.threads {
            self.arrived.store(0, Ordering::Relaxed);
            self.generation.store(generation.wrapping_add(1), Ordering::SeqCst);
            self.wake_all();
        } else {
            self.wait_for(generation);
        }
        assert!(!self.failed(), "another thread panicked");
    }

    fn wait_for(&self, generation: usize) {
        let passed = || self.generation.load(Ordering::SeqCst) != generation || self.failed();
        for _ in 0..SPINS {
            if passed() {
                return;
            }
            std::hint::spin_loop();
        }
        let mut sleepers = lock(&self.sleepers);
        *sleepers += 1;
        while !passed() {
            sleepers = self.wake.wait(sleepers).unwrap_or_else(PoisonError::into_inner);
        }
        *sleepers -= 1;
    }

    fn wake_all(&self) {
        // A thread that goes to sleep holds the lock from before its last look at the generation.
        if *lock(&self.sleepers) > 0 {
            self.wake.notify_all();
        }
    }

    fn fail(&self) {
        self.failed.store(true, Ordering::SeqCst);
        self.wake_all();
    }

    fn failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_threads_see_what_was_written_before_the_barrier() {
        let pool = Pool::new(4, false).unwrap();
        let cells: std::boxed::Box<[AtomicUsize]> = (0..4).map(|_| AtomicUsize::new(0)).collect();
        for round in 1..200 {
            pool.run(&|thread, barrier| {
                cells[thread].store(round, Ordering::Relaxed);
                barrier.wait();
                assert!(cells.iter().all(|c| c.load(Ordering::Relaxed) == round));
                barrier.wait();
            });
        }
    }

    #[test]
    fn sleeping_threads_wake_up() {
        let pool = Pool::new(3, false).unwrap();
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let count = AtomicUsize::new(0);
            pool.run(&|_, _| {
                count.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(count.load(Ordering::Relaxed), 3);
        }
    }

    #[test]
    fn a_panic_on_any_thread_reaches_the_caller() {
        for bad in 0..3 {
            let pool = Pool::new(3, false).unwrap();
            let result = catch_unwind(AssertUnwindSafe(|| {
                pool.run(&|thread, barrier| {
                    assert_ne!(thread, bad, "on purpose");
                    barrier.wait();
                });
            }));
            assert!(result.is_err(), "thread {bad}");
            let again = catch_unwind(AssertUnwindSafe(|| pool.run(&|_, _| {})));
            assert!(again.is_err(), "a broken pool says so");
        }
    }
}
