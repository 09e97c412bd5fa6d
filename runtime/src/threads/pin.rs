//! Threads that keep to one processor each, where the operating system is one that lets them.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::cell::Cell;
use std::sync::OnceLock;
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
                    let pool = Pool::new(3, pinned).expect("threads");
                    if pinned {
                        pin(0);
                    }
                    for _ in 0..2 {
                        pool.run(&|thread, _| seen.lock().expect("no panic").push((thread, mine())));
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
