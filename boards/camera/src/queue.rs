//! The bounded queue between the camera and the engine.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What happens to a new item when the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Drop {
    /// The oldest item makes room: what comes out is as fresh as it can be.
    Oldest,
    /// The sender waits: nothing is lost.
    Never,
}

/// First in, first out, of at most `capacity` items.
#[derive(Debug)]
pub struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    capacity: usize,
    policy: Drop,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    closed: bool,
}

impl<T> Queue<T> {
    /// An empty queue.
    ///
    /// # Panics
    /// If `capacity` is 0.
    pub fn new(capacity: usize, policy: Drop) -> Self {
        assert!(capacity > 0, "a queue without room passes nothing on");
        let state = State { items: VecDeque::with_capacity(capacity), closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), capacity, policy }
    }

    /// Appends an item. What does not stay in the queue comes back: the oldest one, or this one when the queue
    /// is closed.
    pub fn push(&self, item: T) -> Option<T> {
        let mut state = self.lock();
        while self.policy == Drop::Never && state.items.len() == self.capacity && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return Some(item);
        }
        let out = if state.items.len() == self.capacity { state.items.pop_front() } else { None };
        state.items.push_back(item);
        self.changed.notify_all();
        out
    }

    /// Waits for the oldest item; `None` when the queue is closed and empty.
    pub fn pop(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(item) = state.items.pop_front() {
                self.changed.notify_all();
                return Some(item);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The oldest item, if there is one just now.
    pub fn try_pop(&self) -> Option<T> {
        let item = self.lock().items.pop_front();
        self.changed.notify_all();
        item
    }

    /// Takes no more items; those inside can still be popped.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Closes the queue and empties it; the number of items that were inside.
    pub fn abandon(&self) -> usize {
        let mut state = self.lock();
        state.closed = true;
        let left = state.items.len();
        state.items.clear();
        self.changed.notify_all();
        left
    }

    /// Items inside.
    pub fn len(&self) -> usize {
        self.lock().items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    #[test]
    fn the_oldest_makes_room() {
        let queue = Queue::new(2, Drop::Oldest);
        let out: Vec<_> = (0..5).filter_map(|i| queue.push(i)).collect();
        assert_eq!(out, [0, 1, 2]);
        assert_eq!((queue.pop(), queue.pop(), queue.len()), (Some(3), Some(4), 0));
    }

    #[test]
    fn a_sender_that_may_not_drop_waits() {
        let queue = Arc::new(Queue::new(1, Drop::Never));
        let sender = Arc::clone(&queue);
        let thread = thread::spawn(move || {
            for i in 0..100 {
                assert_eq!(sender.push(i), None);
            }
            sender.close();
        });
        let mut got = Vec::new();
        while let Some(i) = queue.pop() {
            got.push(i);
        }
        thread.join().unwrap();
        assert_eq!(got, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn closing_frees_a_waiting_sender_and_gives_the_item_back() {
        let queue = Arc::new(Queue::new(1, Drop::Never));
        assert_eq!(queue.push(1), None);
        let sender = Arc::clone(&queue);
        let thread = thread::spawn(move || sender.push(2));
        assert_eq!(queue.abandon(), 1);
        // Either it waited, or it came after the queue was closed; it gets its item back in both cases.
        assert_eq!(thread.join().unwrap(), Some(2));
        assert_eq!(queue.pop(), None);
        assert_eq!(queue.push(3), Some(3));
    }
}
