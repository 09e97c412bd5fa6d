//! Threads that keep to one processor each, and those that lend theirs to another, where the operating system is one that lets
//! them.

use rustix::thread::{CpuSet, Pid, gettid, sched_getaffinity, sched_setaffinity};
use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::vec::Vec;

std::thread_local! {
    /// Where this thread was pinned to.
    static PINNED: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Processors that the program was given, before a thread of it was pinned: a thread that is pinned passes its only one on
/// to those that it starts.
fn given() -> &'static [usize] {
    static GIVEN: OnceLock<Vec<usize>> = OnceLock::new();
    GIVEN.get_or_init(|| {
        let set = sched_getaffinity(None).unwrap_or_default();
        (0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect()
    })
}

/// The processor of a thread with this number; they start over where there are more threads.
fn processor(thread: usize) -> Option<usize> {
    let given = given();
    given.get(thread % given.len().max(1)).copied()
}

/// Finds out which processors there are, before any thread is pinned.
pub(crate) fn prepare() {
    given();
}

/// Keeps the calling thread, which has this number, to its processor. One that the system does not let go there stays where
/// it is: the output is the same.
pub(crate) fn pin(thread: usize) {
    let processor = processor(thread);
    let Some(cpu) = processor.filter(|_| PINNED.get() != processor) else { return };
    let mut set = CpuSet::new();
    set.set(cpu);
    if sched_setaffinity(None, &set).is_ok() {
        PINNED.set(processor);
    }
}

/// The caller's processor; one that there is not, where the system does not say.
fn here() -> usize {
    // SAFETY: it takes nothing and changes nothing.
    let cpu = unsafe { libc::sched_getcpu() };
    usize::try_from(cpu).unwrap_or(usize::MAX - 1)
}

/// What others know of a thread's processor, and what they may do about it.
pub(crate) struct Seat {
    /// Whether it keeps to one.
    pinned: bool,
    /// The thread; 0 as long as nobody has taken the seat.
    thread: AtomicI32,
    /// The processor on which it began what it does.
    cpu: AtomicUsize,
    /// Somebody is bringing it elsewhere.
    moves: AtomicBool,
}

impl Seat {
    pub fn new(pinned: bool) -> Self {
        let (thread, cpu, moves) = (AtomicI32::new(0), AtomicUsize::new(usize::MAX), AtomicBool::new(false));
        Self { pinned, thread, cpu, moves }
    }

    /// The caller's from now on.
    pub fn take(&self) {
        // Miri has no system calls.
        if cfg!(miri) {
            return;
        }
        self.thread.store(gettid().as_raw_pid(), Ordering::Relaxed);
    }

    /// The caller begins something.
    pub fn sit(&self) {
        if cfg!(miri) {
            return;
        }
        self.cpu.store(here(), Ordering::Relaxed);
    }

    /// Whether it is on the caller's processor, so that it cannot run while the caller does.
    pub fn is_here(&self) -> bool {
        !cfg!(miri) && self.cpu.load(Ordering::Relaxed) == here()
    }

    /// Brings the thread to the caller's processor, which the caller is about to leave, and lets it go where it likes again.
    /// A thread whose own processor was taken by another program gets one at once; otherwise it would wait until the other
    /// program's time is over. What keeps to processors by itself, or by order of its user, stays there.
    pub fn bring_here(&self) {
        let thread = Pid::from_raw(self.thread.load(Ordering::Relaxed));
        if self.pinned || thread.is_none() || self.is_here() || self.moves.swap(true, Ordering::Acquire) {
            return;
        }
        let here = here();
        if let Ok(allowed) = sched_getaffinity(thread)
            && allowed.count() > 1
            && here < CpuSet::MAX_CPU
            && allowed.is_set(here)
        {
            let mut only = CpuSet::new();
            only.set(here);
            // Where the system does not allow it, the thread is late.
            if sched_setaffinity(thread, &only).is_ok() {
                self.cpu.store(here, Ordering::Relaxed);
                let _ = sched_setaffinity(thread, &allowed);
            }
        }
        self.moves.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads::pool::Pool;
    use std::sync::Mutex;

    /// Processors that the calling thread may run on.
    fn mine() -> Vec<usize> {
        let set = sched_getaffinity(None).expect("a set of processors");
        (0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect()
    }

    #[test]
    fn pinned_threads_keep_to_a_processor_each() {
        // In a thread of its own, as it stays pinned.
        let run = |pinned: bool| {
            let seen = Mutex::new(Vec::new());
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let mut pool = Pool::new(3, pinned).expect("threads");
                    // A part for each thread, as nobody goes on before all have begun one.
                    let all = std::sync::Barrier::new(3);
                    if pinned {
                        pin(0);
                    }
                    for _ in 0..2 {
                        pool.not_alone();
                        pool.run(1, &|_, _, thread| {
                            all.wait();
                            seen.lock().expect("no panic").push((thread, mine()));
                        });
                    }
                });
            });
            let mut seen = seen.into_inner().expect("no panic");
            seen.sort();
            seen.dedup();
            seen
        };
        let all = mine();
        let free = run(false);
        assert_eq!(free, (0..3).map(|thread| (thread, all.clone())).collect::<Vec<_>>());
        let expected: Vec<_> = (0..3).map(|thread| (thread, std::vec![all[thread % all.len()]])).collect();
        assert_eq!(run(true), expected);
        // A second pool, started by a thread that is pinned, spreads as the first.
        let nested = std::thread::scope(|scope| {
            let pinned = scope.spawn(|| {
                pin(1);
                run(true)
            });
            pinned.join().expect("no panic")
        });
        assert_eq!(nested, expected);
        assert_eq!(mine(), all, "other threads stay as they were");
    }
}
