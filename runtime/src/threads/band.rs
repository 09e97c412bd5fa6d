//! Running the steps of a band on one or several threads.
//!
//! Every step has as many parts, its columns, as there are threads. A thread computes its own and those that nobody has begun;
//! the next step begins when all are complete, as convolutions read beyond the edges of a part. Which thread computes a pixel
//! does not change it, so the output does not depend on the threads.

use crate::memory::line::Line;
use crate::memory::ring::{Ring, RingReader};
use crate::threads::columns::RingWriter;
use core::ops::Range;
use core::ptr::NonNull;

#[cfg(feature = "std")]
pub(crate) use crate::threads::pool::Pool;

/// Stands for the thread pool where there are no threads.
#[cfg(not(feature = "std"))]
pub(crate) enum Pool {}

/// Rings that a step works on.
pub(crate) struct Rings<'a> {
    /// Rings that it reads, with the heights of their images.
    pub inputs: [(&'a Ring, usize); 2],
    /// The ring that it writes.
    pub out: &'a Ring,
    /// Another ring that it writes, behind the first.
    pub second: Option<&'a Ring>,
}

/// The steps of a band, in order.
pub(crate) trait Band: Sync {
    /// Number of steps.
    fn len(&self) -> usize;
    /// Rings of step `i`.
    fn rings(&self, i: usize) -> Rings<'_>;
    /// Runs step `i` on the columns of `out` and of the second output, if it has one, in the thread's working memory.
    fn run(
        &self,
        i: usize,
        inputs: [RingReader<'_>; 2],
        out: RingWriter<'_>,
        second: Option<RingWriter<'_>>,
        scratch: &mut [Line],
    );
}

/// Runs all steps of a band; `width` is the width of the network's input. Columns of a ring whose width is a multiple of it go
/// to the threads together with those of the input that they stand for, and those of another ring by themselves.
/// Of `scratch` every thread has an equal part.
pub(crate) fn run_band<B: Band>(
    pool: Option<&mut Pool>,
    (arena, scratch): (&mut [u8], &mut [Line]),
    width: usize,
    band: &B,
) {
    for i in 0..band.len() {
        let Rings { inputs, out, second } = band.rings(i);
        let apart = |a: &Ring, b: &Ring| a.range().end <= b.offset || b.range().end <= a.offset;
        for ring in core::iter::once(out).chain(second) {
            assert!(ring.range().end <= arena.len(), "the ring lies in the arena");
            for (input, _) in inputs {
                assert!(input.range().end <= arena.len(), "the ring lies in the arena");
                assert!(apart(input, ring), "a step reads other rings than it writes");
            }
        }
        assert!(second.is_none_or(|second| apart(out, second)), "the rings written do not overlap");
    }
    let threads = threads_of(pool.as_deref());
    let memory = Memory { arena: NonNull::from(arena).cast(), scratch: Shares::of(scratch, threads) };
    match pool {
        #[cfg(feature = "std")]
        Some(pool) => pool.run(band.len(), &|i, part, thread| {
            // SAFETY: checked above that the rings lie in the arena and do not overlap; arena and scratch are borrowed
            // exclusively. All threads are at the same step; every part is computed by one of them and has columns of its
            // own; every thread has its own number.
            unsafe { run_step(&memory, width, band, i, (part, threads), thread) };
        }),
        #[cfg(not(feature = "std"))]
        Some(pool) => match *pool {},
        None => {
            for i in 0..band.len() {
                // SAFETY: as above, with one thread.
                unsafe { run_step(&memory, width, band, i, (0, 1), 0) };
            }
        }
    }
}

fn threads_of(pool: Option<&Pool>) -> usize {
    match pool {
        #[cfg(feature = "std")]
        Some(pool) => pool.threads(),
        #[cfg(not(feature = "std"))]
        Some(pool) => match *pool {},
        None => 1,
    }
}

/// Memory that the threads share while they run a band.
struct Memory {
    /// Start of the arena.
    arena: NonNull<u8>,
    scratch: Shares,
}

/// Working memory in equal parts.
struct Shares {
    start: NonNull<Line>,
    lines: usize,
    parts: usize,
}

impl Shares {
    fn of(scratch: &mut [Line], parts: usize) -> Self {
        Self { lines: scratch.len() / parts, start: NonNull::from(scratch).cast(), parts }
    }

    /// # Safety
    /// Nobody else uses this part for as long as the slice lives, and nobody uses the whole.
    unsafe fn part<'a>(&self, i: usize) -> &'a mut [Line] {
        assert!(i < self.parts, "there are so many parts");
        // SAFETY: within the slice that this was made of; nobody else uses it, by contract.
        unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr().add(i * self.lines), self.lines) }
    }
}

// SAFETY: the pointers are only used in `run_step`, whose callers guarantee that no two threads touch the same
// bytes, unless all of them only read.
unsafe impl Sync for Memory {}

/// Runs part `part.0` of `part.1` of step `i`.
///
/// # Safety
/// The rings of step `i` lie in the arena, the outputs' apart from each other and the inputs'. Until the step
/// is complete nobody else writes the inputs' rings, reads the outputs', or writes the same columns of them. No other call
/// has the number of this thread at the same time.
unsafe fn run_step<B: Band>(
    memory: &Memory,
    width: usize,
    band: &B,
    i: usize,
    part: (usize, usize),
    thread: usize,
) {
    let Rings { inputs, out, second } = band.rings(i);
    let columns = |ring| ring_columns(ring, width, part);
    if columns(out).is_empty() {
        return;
    }
    let arena = memory.arena;
    // SAFETY: the ranges lie in the arena, and nobody writes the inputs or touches these columns of the
    // output, or has this thread's part of the working memory, as promised by the caller.
    unsafe {
        let inputs = inputs.map(|(ring, height)| {
            let bytes = core::slice::from_raw_parts(arena.as_ptr().add(ring.offset), ring.bytes());
            RingReader::new(ring, bytes, height)
        });
        let writer = |ring| writer(arena, ring, columns(ring));
        band.run(i, inputs, writer(out), second.map(writer), memory.scratch.part(thread));
    }
}

/// The columns of a ring that are one of so many parts.
fn ring_columns(ring: &Ring, width: usize, (thread, threads): (usize, usize)) -> Range<usize> {
    if !ring.width.is_multiple_of(width) {
        return columns(ring.width, thread, threads);
    }
    let (upscale, lr) = (ring.width / width, columns(width, thread, threads));
    lr.start * upscale..lr.end * upscale
}

/// # Safety
/// As [`RingWriter::columns`], for this ring of the arena.
unsafe fn writer<'a>(arena: NonNull<u8>, ring: &'a Ring, cols: Range<usize>) -> RingWriter<'a> {
    // SAFETY: passed on from the caller.
    unsafe { RingWriter::columns(ring, arena.add(ring.offset), cols) }
}

/// Most columns that one of the threads computes: what all of them wait for.
pub(crate) fn most_columns(width: usize, threads: usize) -> usize {
    (0..threads).map(|thread| columns(width, thread, threads).len()).max().unwrap_or(width)
}

/// Columns of part `thread`: about equal parts in whole units of 8 pixels.
fn columns(width: usize, thread: usize, threads: usize) -> Range<usize> {
    const UNIT: usize = 8;
    let units = width.div_ceil(UNIT);
    let at = |t: usize| (units * t / threads * UNIT).min(width);
    at(thread)..at(thread + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicUsize, Ordering};

    /// Two steps from ring to ring; the thread with column `bad` panics in the second.
    struct Fragile {
        rings: [Ring; 3],
        bad: AtomicUsize,
    }

    impl Band for Fragile {
        fn len(&self) -> usize {
            2
        }
        fn rings(&self, i: usize) -> Rings<'_> {
            Rings { inputs: [(&self.rings[i], 1); 2], out: &self.rings[i + 1], second: None }
        }
        fn run(
            &self,
            i: usize,
            [input, _]: [RingReader<'_>; 2],
            mut out: RingWriter<'_>,
            _: Option<RingWriter<'_>>,
            _: &mut [Line],
        ) {
            let cols = out.cols();
            assert!(i == 0 || !cols.contains(&self.bad.load(Ordering::Relaxed)), "on purpose");
            out.row_mut(0).copy_from_slice(input.pixels(0, cols));
        }
    }

    #[test]
    fn a_step_that_panics_on_any_thread_reaches_the_caller() {
        use std::panic::{AssertUnwindSafe, catch_unwind};
        let (width, threads) = (32, 4);
        let row_bytes = Ring::stride(width, 0, 1);
        let ring =
            |n: usize| Ring { offset: n * 2 * row_bytes, rows: 1, row_bytes, pad: 0, width, px_bytes: 1 };
        let band = Fragile { rings: [ring(0), ring(1), ring(2)], bad: AtomicUsize::new(usize::MAX) };
        let mut arena = std::vec![7; 6 * row_bytes];
        for bad in [0, 8, 31] {
            let mut pool = Pool::new(threads, false).unwrap();
            band.bad.store(usize::MAX, Ordering::Relaxed);
            arena[4 * row_bytes..].fill(0);
            run_band(Some(&mut pool), (&mut arena, &mut []), width, &band);
            assert_eq!(arena[4 * row_bytes..][..width], [7; 32]);
            band.bad.store(bad, Ordering::Relaxed);
            // The second time the pool is broken, and says so instead of waiting for a thread that is gone.
            for _ in 0..2 {
                let mut run = || run_band(Some(&mut pool), (&mut arena, &mut []), width, &band);
                assert!(catch_unwind(AssertUnwindSafe(&mut run)).is_err(), "column {bad}");
            }
        }
    }

    #[test]
    fn columns_cover_the_width_once() {
        for width in [1, 7, 8, 9, 63, 320] {
            for threads in 1..=9 {
                let mut next = 0;
                for t in 0..threads {
                    let range = columns(width, t, threads);
                    assert_eq!(range.start, next, "width {width}, thread {t} of {threads}");
                    next = range.end;
                }
                assert_eq!(next, width);
            }
        }
    }

    #[test]
    fn the_busiest_thread_has_whole_units_of_columns() {
        for (width, threads, most) in
            [(320, 1, 320), (320, 4, 80), (320, 6, 56), (100, 4, 28), (7, 4, 7), (7, 1, 7)]
        {
            assert_eq!(most_columns(width, threads), most, "{width} on {threads}");
        }
    }
}
