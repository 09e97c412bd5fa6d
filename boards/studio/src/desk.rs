//! Who waits for a picture: a few seats, and one turn at a time.

use serde::Serialize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Pictures that may be there at a time, more than one address can have by itself: on their way in, waiting, in work or on their way out.
pub const SEATS: usize = 12;
/// How often whoever waits looks whether its client is still there.
const LOOK: Duration = Duration::from_millis(100);

/// Where a picture is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "stage", rename_all = "lowercase")]
pub enum Progress {
    /// Its bytes come.
    Receiving {
        /// Bytes that came.
        done: u64,
        /// All bytes.
        of: u64,
    },
    /// Others are before it.
    Waiting {
        /// How many.
        ahead: usize,
    },
    /// It is decoded.
    Reading,
    /// It goes through the engine.
    Enlarging {
        /// Rows that went.
        done: usize,
        /// All rows.
        of: usize,
    },
    /// The result goes to the client.
    Sending,
}

/// The desk.
#[derive(Debug, Default)]
pub struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    seats: Vec<Place>,
    /// The next number of a seat.
    next: u64,
    /// The seat whose turn it is.
    turn: Option<u64>,
}

#[derive(Debug)]
struct Place {
    number: u64,
    job: Option<String>,
    progress: Progress,
    /// Its number in the line, once it stands there.
    line: Option<u64>,
}

/// All seats are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl Desk {
    /// Takes a seat for a picture of so many bytes, under the name that its client gave the job.
    ///
    /// # Errors
    /// [`Full`].
    pub fn sit(self: &Arc<Self>, job: Option<String>, bytes: u64) -> Result<Seat, Full> {
        let mut state = self.lock();
        if state.seats.len() >= SEATS {
            return Err(Full);
        }
        let number = state.next;
        state.next += 1;
        let progress = Progress::Receiving { done: 0, of: bytes };
        state.seats.push(Place { number, job, progress, line: None });
        Ok(Seat { desk: Arc::clone(self), number })
    }

    /// Where the picture of a job is; nothing when there is none.
    pub fn look(&self, job: &str) -> Option<Progress> {
        let state = self.lock();
        let place = state.seats.iter().find(|place| place.job.as_deref() == Some(job))?;
        match (place.progress, place.line) {
            (Progress::Waiting { .. }, Some(line)) => {
                let ahead = state.seats.iter().filter(|other| other.line.is_some_and(|l| l < line)).count();
                Some(Progress::Waiting { ahead })
            }
            (progress, _) => Some(progress),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A picture's seat, free again when dropped.
#[derive(Debug)]
pub struct Seat {
    desk: Arc<Desk>,
    number: u64,
}

impl Seat {
    /// Tells how far it is.
    pub fn tell(&self, progress: Progress) {
        if let Some(place) = self.place(&mut self.desk.lock()) {
            place.progress = progress;
        }
    }

    /// Waits for its turn, behind all who waited before; nothing when `gone` says that nobody wants it any more.
    pub fn turn(&self, gone: &mut dyn FnMut() -> bool) -> Option<Turn<'_>> {
        let mut state = self.desk.lock();
        let line = state.next;
        state.next += 1;
        if let Some(place) = self.place(&mut state) {
            (place.line, place.progress) = (Some(line), Progress::Waiting { ahead: 0 });
        }
        loop {
            let first = state.seats.iter().filter_map(|place| place.line).min();
            if state.turn.is_none() && first == Some(line) {
                state.turn = Some(self.number);
                return Some(Turn(self));
            }
            let (woken, _) =
                self.desk.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner);
            drop(woken);
            if gone() {
                return None;
            }
            state = self.desk.lock();
        }
    }

    fn place<'a>(&self, state: &'a mut State) -> Option<&'a mut Place> {
        state.seats.iter_mut().find(|place| place.number == self.number)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.desk.lock().seats.retain(|place| place.number != self.number);
        self.desk.changed.notify_all();
    }
}

/// A seat's turn, over when dropped; it keeps the seat.
#[derive(Debug)]
pub struct Turn<'a>(&'a Seat);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.0.desk.lock();
        state.turn = None;
        if let Some(place) = self.0.place(&mut state) {
            (place.line, place.progress) = (None, Progress::Sending);
        }
        drop(state);
        self.0.desk.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn seats_are_limited_and_turns_come_in_the_order_of_waiting() {
        let desk = Arc::<Desk>::default();
        let seat = |job: &str| desk.sit(Some(job.into()), 10).unwrap();
        let (first, late, second) = (seat("first"), seat("late"), seat("second"));
        let _others: Vec<_> = (3..SEATS).map(|_| desk.sit(None, 1).unwrap()).collect();
        assert_eq!(desk.sit(None, 1).err(), Some(Full));
        first.tell(Progress::Receiving { done: 5, of: 10 });
        assert_eq!(desk.look("first"), Some(Progress::Receiving { done: 5, of: 10 }));
        assert_eq!(desk.look("nobody"), None);

        let turn = first.turn(&mut || false).unwrap();
        // Whoever waits goes when its client has gone.
        assert!(second.turn(&mut || true).is_none());
        drop(second);
        let second = seat("second");
        let order = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for (seat, ahead, name) in [(&second, 1, "second"), (&late, 2, "late")] {
                let order = &order;
                scope.spawn(move || {
                    let turn = seat.turn(&mut || false).unwrap();
                    order.lock().unwrap().push(name);
                    drop(turn);
                });
                while desk.look(name) != Some(Progress::Waiting { ahead }) {
                    thread::yield_now();
                }
            }
            drop(turn);
        });
        assert_eq!(*order.lock().unwrap(), ["second", "late"]);
        assert_eq!(desk.look("late"), Some(Progress::Sending));
        drop(first);
        assert!(desk.sit(None, 1).is_ok());
    }

    #[test]
    fn a_panic_gives_turn_and_seat_back() {
        let desk = Arc::<Desk>::default();
        let theirs = Arc::clone(&desk);
        let thread = thread::spawn(move || {
            let seat = theirs.sit(None, 1).unwrap();
            let _turn = seat.turn(&mut || false);
            panic!("on purpose");
        });
        assert!(thread.join().is_err());
        let seat = desk.sit(None, 1).unwrap();
        assert!(seat.turn(&mut || false).is_some());
        assert_eq!(desk.lock().seats.len(), 1);
    }
}
