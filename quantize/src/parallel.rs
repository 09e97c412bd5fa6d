//! Work on many items with all cores, and the same result on any number of them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Receives progress; the library itself never prints.
pub trait Progress: Sync {
    /// A stage of `total` steps begins.
    fn begin(&self, stage: &str, total: usize);
    /// One step is done.
    fn step(&self);
    /// The stage is over.
    fn end(&self);
}

/// Shows nothing.
impl Progress for () {
    fn begin(&self, _stage: &str, _total: usize) {}
    fn step(&self) {}
    fn end(&self) {}
}

/// The number of threads that this machine runs at once.
pub fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Calls `f` for every item, on `threads` threads that each begin with a state from `init`.
///
/// The results come in the order of the items. The states are returned too; which items a state has seen is
/// left to chance, so only what does not depend on order may be gathered in it.
///
/// # Errors
/// The error of the first item, in item order, among those that failed before work stopped.
pub fn map<T, S, R, E>(
    items: &[T],
    threads: usize,
    init: impl Fn() -> S + Sync,
    f: impl Fn(&mut S, &T) -> Result<R, E> + Sync,
) -> Result<(Vec<R>, Vec<S>), E>
where
    T: Sync,
    S: Send,
    R: Send,
    E: Send,
{
    let mut results = Vec::with_capacity(items.len());
    let states = in_order(items, threads, init, f, |result| results.push(result))?;
    Ok((results, states))
}

/// Results on their way to `sink`.
struct Queue<R, E, F> {
    /// The item whose result `sink` gets next.
    next: usize,
    /// Results of later items, which wait for it: few, as all threads take items in order.
    waiting: BTreeMap<usize, R>,
    error: Option<(usize, E)>,
    sink: F,
}

/// As [`map`], but gives the results to `sink`, one after another in the order of the items, instead of keeping them.
///
/// # Errors
/// As [`map`]; `sink` may have got results by then.
pub fn in_order<T, S, R, E>(
    items: &[T],
    threads: usize,
    init: impl Fn() -> S + Sync,
    f: impl Fn(&mut S, &T) -> Result<R, E> + Sync,
    sink: impl FnMut(R) + Send,
) -> Result<Vec<S>, E>
where
    T: Sync,
    S: Send,
    R: Send,
    E: Send,
{
    let taken = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let queue = Mutex::new(Queue { next: 0, waiting: BTreeMap::new(), error: None, sink });
    let work = || {
        let mut state = init();
        while !failed.load(Ordering::Relaxed) {
            let i = taken.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(i) else { break };
            let result = f(&mut state, item);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            queue.lock().expect("no thread panics while it holds the lock").push(i, result);
        }
        state
    };
    let states = std::thread::scope(|scope| {
        let threads = threads.clamp(1, items.len().max(1));
        // Threads that the system does not give make it slower, not wrong.
        let start = |_| std::thread::Builder::new().spawn_scoped(scope, work).ok();
        let others: Vec<_> = (1..threads).map_while(start).collect();
        let mut states = vec![work()];
        for other in others {
            match other.join() {
                Ok(state) => states.push(state),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        states
    });
    match queue.into_inner().expect("no thread panicked").error {
        Some((_, error)) => Err(error),
        None => Ok(states),
    }
}

impl<R, E, F: FnMut(R)> Queue<R, E, F> {
    fn push(&mut self, item: usize, result: Result<R, E>) {
        match result {
            Ok(result) => {
                self.waiting.insert(item, result);
            }
            Err(error) => {
                if self.error.as_ref().is_none_or(|(first, _)| item < *first) {
                    self.error = Some((item, error));
                }
            }
        }
        while let Some(result) = self.waiting.remove(&self.next) {
            (self.sink)(result);
            self.next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_item_order() {
        let items: Vec<u64> = (0..100).collect();
        for threads in [1, 2, 7, 200] {
            let (squares, sums) = map(
                &items,
                threads,
                || 0,
                |sum, &x| {
                    Ok::<_, ()>({
                        *sum += x;
                        x * x
                    })
                },
            )
            .unwrap();
            assert!(squares.iter().zip(&items).all(|(s, x)| *s == x * x));
            assert_eq!(sums.iter().sum::<u64>(), 4950);
        }
        assert_eq!(map(&[] as &[u8], 3, || (), |(), _| Ok::<_, ()>(1)).unwrap().0, Vec::<i32>::new());
    }

    #[test]
    fn results_reach_the_sink_in_order() {
        let items: Vec<u64> = (0..200).collect();
        for threads in [1, 3, 8] {
            let mut seen = Vec::new();
            // Some items take much longer than those after them.
            let slow = |(): &mut (), &x: &u64| {
                (0..(x % 7) * 1000).for_each(|i| _ = std::hint::black_box(i));
                Ok::<_, ()>(x)
            };
            in_order(&items, threads, || (), slow, |x| seen.push(x)).unwrap();
            assert_eq!(seen, items);
        }
    }

    #[test]
    fn an_error_ends_the_work() {
        let items: Vec<u64> = (0..1000).collect();
        let f = |(): &mut (), &x: &u64| if x >= 3 { Err(x) } else { Ok(x) };
        assert_eq!(map(&items, 1, || (), f).unwrap_err(), 3);
        assert!(map(&items, 4, || (), f).unwrap_err() < 20);
    }
}
