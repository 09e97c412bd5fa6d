//! A fixed set of threads that work on one thing at a time, step by step.
//!
//! A step has as many parts as there are threads. Every thread begins with the part of its own number and goes on with those that
//! nobody has begun; the step is complete when all parts are, whoever computed them. So nobody waits for a thread that sleeps or
//! whose processor was taken, unless that happened in the middle of a part. Then, on Linux, the thread that waits lends it its own
//! processor, and for a while the caller goes on alone.

use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::vec::Vec;

/// Turns of the waiting loop between two looks at the clock.
const SPINS: usize = 64;
/// How long a thread waits for another to finish its part of a step before it gives its processor away, beyond twice the time
/// that its own part took. Little beside the milliseconds for which a processor is taken, and more than parts differ by
/// where one of them has all columns of a narrow edge.
const PATIENCE: Duration = Duration::from_micros(300);
/// How long a worker that has nothing to do looks for work before it sleeps: about the time between two bands.
const IDLE: Duration = Duration::from_micros(100);
/// How long a thread sleeps at most before it looks again who keeps it waiting.
const NAP: Duration = Duration::from_millis(2);

/// What all threads of a pool run: called with the step, the part, and the thread's number.
type Work<'a> = dyn Fn(usize, usize, usize) + Sync + 'a;

/// Threads 1 and up; the caller of [`Pool::run`] is thread 0.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Calls of [`Pool::run`] that the caller will do alone, and how many those were, or will be, after the last time that
    /// somebody was late.
    alone: usize,
    penalty: usize,
}

/// Most calls that the caller does alone before it tries with the others again.
const MAX_PENALTY: usize = 32;

/// What is to be done.
#[derive(Clone, Copy)]
struct Task {
    work: &'static Work<'static>,
    /// Number of its first step.
    first: usize,
}

struct Shared {
    /// Number of the step that is being computed. Steps count on through all of a pool's work.
    step: AtomicUsize,
    /// Number of the step at which there is no more work.
    end: AtomicUsize,
    /// For every part the last step in which it was begun.
    begun: Vec<AtomicUsize>,
    /// Parts of this step that are complete.
    complete: AtomicUsize,
    /// Written only while `step` is `end`, read only by who has begun a part, which keeps `step` from going on.
    task: UnsafeCell<Option<Task>>,
    threads: Vec<Thread>,
    /// A part panicked: the pool is of no use any more.
    failed: AtomicBool,
    /// How often a thread was found late.
    late: AtomicUsize,
    /// The workers are to leave.
    leave: AtomicBool,
    /// The caller, while it waits for a step to be complete.
    caller: Sleepers,
    /// Workers that wait for work.
    idle: Sleepers,
}

// SAFETY: `task` is the only field that is not `Sync` by itself, and is used as its comment says.
unsafe impl Sync for Shared {}

/// What others know of a thread.
struct Thread {
    /// The step of which it computes a part, or [`IDLING`].
    at: AtomicUsize,
    #[cfg(target_os = "linux")]
    seat: crate::threads::pin::Seat,
}

/// No step.
const IDLING: usize = usize::MAX;

/// Threads that wait for a step to be complete, or for work.
#[derive(Default)]
struct Sleepers {
    number: AtomicUsize,
    lock: Mutex<()>,
    wake: Condvar,
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
        let thread = |_| Thread {
            at: AtomicUsize::new(IDLING),
            #[cfg(target_os = "linux")]
            seat: crate::threads::pin::Seat::new(pinned),
        };
        #[cfg(not(target_os = "linux"))]
        let _ = pinned;
        let shared = Arc::new(Shared {
            step: AtomicUsize::new(1),
            end: AtomicUsize::new(1),
            begun: (0..threads).map(|_| AtomicUsize::new(0)).collect(),
            complete: AtomicUsize::new(0),
            task: UnsafeCell::new(None),
            threads: (0..threads).map(thread).collect(),
            failed: AtomicBool::new(false),
            late: AtomicUsize::new(0),
            leave: AtomicBool::new(false),
            caller: Sleepers::default(),
            idle: Sleepers::default(),
        });
        let mut pool = Self { shared, workers: Vec::new(), alone: 0, penalty: 0 };
        for thread in 1..threads {
            let shared = pool.shared.clone();
            let builder = std::thread::Builder::new().name(std::format!("mcir-{thread}"));
            // Those that did start leave when the pool is dropped.
            pool.workers.push(builder.spawn(move || {
                #[cfg(target_os = "linux")]
                {
                    if pinned {
                        crate::threads::pin::pin(thread);
                    }
                    shared.threads[thread].seat.take();
                }
                shared.serve(thread);
            })?);
        }
        Ok(pool)
    }

    /// The next call is not done alone.
    #[cfg(test)]
    pub fn not_alone(&mut self) {
        self.alone = 0;
    }

    /// Number of threads, the caller's included.
    pub fn threads(&self) -> usize {
        self.shared.threads.len()
    }

    /// Runs `work` for every part of so many steps, a step after the other, on all threads, the caller's being number 0, and
    /// returns when all is done. There are as many parts as threads.
    ///
    /// # Panics
    /// If `work` panics on any thread; the pool cannot be used after that and panics again.
    pub fn run(&mut self, steps: usize, work: &Work<'_>) {
        let shared = &*self.shared;
        assert!(!shared.failed(), "a thread of the pool panicked before");
        // Where other programs want the processors too, more threads than there is room for are in each other's way.
        if steps == 0 || self.alone > 0 {
            self.alone = self.alone.saturating_sub(1);
            (0..steps).for_each(|step| (0..self.threads()).for_each(|part| work(step, part, 0)));
            return;
        }
        let late = shared.late.load(Ordering::Relaxed);
        // SAFETY: only the lifetime changes. The reference is used by who has begun a part of these steps, and this function
        // returns, or unwinds, only when all parts of all steps are complete: a panic of `work` is caught, and the rest of
        // the parts then done without it.
        let work = unsafe { core::mem::transmute::<&Work<'_>, &'static Work<'static>>(work) };
        let first = shared.step.load(Ordering::Relaxed);
        // SAFETY: `step` is `end`, so nobody has begun a part and nobody can; no other caller is here, because the pool is
        // borrowed exclusively.
        unsafe { *shared.task.get() = Some(Task { work, first }) };
        #[cfg(target_os = "linux")]
        shared.threads[0].seat.take();
        let end = first + steps;
        shared.end.store(end, Ordering::SeqCst);
        shared.idle.wake();
        let mut panic = None;
        loop {
            let step = shared.step.load(Ordering::SeqCst);
            if step == end {
                break;
            }
            let started = Instant::now();
            shared.compute(step, 0, &mut panic);
            shared.wait_for(step, 0, started.elapsed());
        }
        if shared.late.load(Ordering::Relaxed) == late {
            self.penalty /= 2;
        } else {
            self.penalty = (2 * self.penalty + 1).min(MAX_PENALTY);
            self.alone = self.penalty;
        }
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
        assert!(!shared.failed(), "another thread panicked");
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.leave.store(true, Ordering::SeqCst);
        self.shared.idle.wake();
        for worker in self.workers.drain(..) {
            // A panic of a worker was already passed on by `run`.
            drop(worker.join());
        }
    }
}

/// What a panic leaves.
type Panic = std::boxed::Box<dyn core::any::Any + Send>;

impl Shared {
    /// What a worker does until the pool ends.
    fn serve(&self, thread: usize) {
        let mut panic = None;
        while !self.leave.load(Ordering::SeqCst) {
            let step = self.step.load(Ordering::SeqCst);
            // Read after the step: as long as it is at an end, the end is not an older one.
            let end = self.end.load(Ordering::SeqCst);
            let idle = || self.end.load(Ordering::SeqCst) == end && !self.leave.load(Ordering::SeqCst);
            if step == end {
                if !spin(IDLE, idle, || false) {
                    self.idle.sleep_while(idle, None);
                }
                continue;
            }
            let started = Instant::now();
            self.compute(step, thread, &mut panic);
            if !self.wait_for(step, thread, started.elapsed()) {
                // Whom it waited for has its processor now. It joins again for the next work.
                self.idle.sleep_while(idle, None);
            }
        }
    }

    /// Computes the thread's own part of a step, and those that nobody has begun.
    fn compute(&self, step: usize, thread: usize, panic: &mut Option<Panic>) {
        let parts = self.begun.len();
        for part in (thread..parts).chain(0..thread) {
            // A part is begun once in every step. Where this one was begun last in the step before, `step` is the one that is
            // being computed, and remains it until the part is complete.
            let begun = &self.begun[part];
            let (before, now) = (step.wrapping_sub(1), step);
            if begun.compare_exchange(before, now, Ordering::SeqCst, Ordering::Relaxed).is_err() {
                continue;
            }
            #[cfg(target_os = "linux")]
            self.threads[thread].seat.sit();
            self.threads[thread].at.store(step, Ordering::SeqCst);
            if !self.failed() {
                // SAFETY: a part is begun and not complete: `step` cannot become `end`, so nobody writes the task.
                let task = unsafe { *self.task.get() };
                let result = catch_unwind(AssertUnwindSafe(|| {
                    let Task { work, first } = task.expect("there is work before the end");
                    work(step - first, part, thread);
                }));
                if let Err(left) = result {
                    *panic = Some(left);
                    self.failed.store(true, Ordering::SeqCst);
                }
            }
            self.threads[thread].at.store(IDLING, Ordering::SeqCst);
            if self.complete.fetch_add(1, Ordering::AcqRel) + 1 == parts {
                self.complete.store(0, Ordering::Relaxed);
                self.step.store(step + 1, Ordering::SeqCst);
                self.caller.wake();
            }
        }
    }

    /// Waits until others have completed the step of which this thread computed its part in the time `own`. When they take much
    /// longer it lends them its processor: a worker then does not wait, and returns `false`.
    fn wait_for(&self, step: usize, thread: usize, own: Duration) -> bool {
        let waits = || self.step.load(Ordering::SeqCst) == step;
        if spin(2 * own + PATIENCE, waits, || self.is_in_the_way(step, thread)) {
            return true;
        }
        loop {
            self.lend(step, thread);
            if thread != 0 {
                return !waits();
            }
            self.caller.sleep_while(waits, Some(NAP));
            if !waits() {
                return true;
            }
        }
    }

    /// Whether a thread that computes a part of this step cannot go on because the caller has its processor.
    fn is_in_the_way(&self, step: usize, thread: usize) -> bool {
        #[cfg(target_os = "linux")]
        {
            let others = self.threads.iter().enumerate().filter(|&(other, _)| other != thread);
            let mut late = others.filter(|(_, other)| other.at.load(Ordering::SeqCst) == step);
            late.any(|(_, other)| other.seat.is_here())
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = (step, thread);
            false
        }
    }

    /// Brings threads that compute parts of this step to the processor of this one, which is about to sleep.
    fn lend(&self, step: usize, thread: usize) {
        self.late.fetch_add(1, Ordering::Relaxed);
        #[cfg(target_os = "linux")]
        for (_, other) in self.threads.iter().enumerate().filter(|&(other, _)| other != thread) {
            if other.at.load(Ordering::SeqCst) == step {
                other.seat.bring_here();
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (step, thread);
    }

    fn failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }
}

/// Turns around for so long while `waits`, or until it is `hopeless`; whether the waiting is over.
fn spin(time: Duration, waits: impl Fn() -> bool, hopeless: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    loop {
        for _ in 0..SPINS {
            if !waits() {
                return true;
            }
            std::hint::spin_loop();
        }
        if start.elapsed() >= time || hopeless() {
            return false;
        }
    }
}

impl Sleepers {
    /// Sleeps while `waits`, but not much longer than the given time.
    fn sleep_while(&self, waits: impl Fn() -> bool, at_most: Option<Duration>) {
        let mut guard = lock(&self.lock);
        // Whoever changes what `waits` looks at does so before it asks for this number.
        self.number.fetch_add(1, Ordering::SeqCst);
        while waits() {
            guard = match at_most {
                None => self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner),
                Some(time) => {
                    let (guard, slept) =
                        self.wake.wait_timeout(guard, time).unwrap_or_else(PoisonError::into_inner);
                    if slept.timed_out() {
                        drop(guard);
                        break;
                    }
                    guard
                }
            };
        }
        self.number.fetch_sub(1, Ordering::SeqCst);
    }

    fn wake(&self) {
        if self.number.load(Ordering::SeqCst) > 0 {
            // Who goes to sleep holds the lock from before its last look.
            drop(lock(&self.lock));
            self.wake.notify_all();
        }
    }
}

/// The lock guards nothing that a panic can leave half-written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::array::from_fn;

    #[test]
    fn every_part_of_every_step_is_computed_once_and_sees_the_step_before() {
        const THREADS: usize = 4;
        let mut pool = Pool::new(THREADS, false).unwrap();
        for round in 0..50 {
            let steps = 1 + round % 7;
            let cells: Vec<[AtomicUsize; THREADS]> =
                (0..steps).map(|_| from_fn(|_| AtomicUsize::new(0))).collect();
            pool.run(steps, &|step, part, thread| {
                let before = step.checked_sub(1).map(|before| &cells[before]);
                assert!(before.is_none_or(|cells| cells.iter().all(|c| c.load(Ordering::Relaxed) == 1)));
                // Threads that are late in turn: others do their parts.
                if thread == (step + round) % (2 * THREADS) {
                    std::thread::sleep(Duration::from_micros(300));
                }
                cells[step][part].fetch_add(1, Ordering::Relaxed);
            });
            let all = cells.iter().flatten();
            assert!(all.into_iter().all(|cell| cell.load(Ordering::Relaxed) == 1), "round {round}");
        }
    }

    #[test]
    fn threads_work_at_the_same_time() {
        let mut pool = Pool::new(3, false).unwrap();
        // Nobody can do two parts, so all three threads have to come.
        let barrier = std::sync::Barrier::new(3);
        let seen: [AtomicUsize; 3] = from_fn(|_| AtomicUsize::new(0));
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(20));
            pool.not_alone();
            pool.run(1, &|_, _, thread| {
                barrier.wait();
                seen[thread].fetch_add(1, Ordering::Relaxed);
            });
        }
        assert_eq!(seen.map(AtomicUsize::into_inner), [3; 3]);
    }

    #[test]
    fn a_panic_on_any_thread_reaches_the_caller() {
        for bad in 0..3 {
            let mut pool = Pool::new(3, false).unwrap();
            let barrier = std::sync::Barrier::new(3);
            let mut run = || {
                pool.not_alone();
                catch_unwind(AssertUnwindSafe(|| {
                    pool.run(2, &|step, _, thread| {
                        if step == 0 {
                            barrier.wait();
                        }
                        assert_ne!(thread, bad, "on purpose");
                    });
                }))
            };
            assert!(run().is_err(), "thread {bad}");
            assert!(run().is_err(), "a broken pool says so");
        }
    }
}
