//! Encoding for viewers.

use super::hub::{Frame, Hub};
use crate::jpeg;
use crate::output::{Sink, Taken};
use crate::work::Job;
use mcir_upscale::error::Result;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Quality of the super-resolved picture, of 100.
const LARGE_QUALITY: u8 = 88;
/// Quality of the camera's picture: it is enlarged, which would show its errors.
const SMALL_QUALITY: u8 = 96;

/// Hands frames to a [`Hub`], while anybody watches.
pub struct LiveSink {
    hub: Arc<Hub>,
}

impl LiveSink {
    /// For the viewers of this hub.
    pub fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }
}

impl Sink for LiveSink {
    fn put(&mut self, job: &Job, waited: &mut Duration) -> Result<Taken> {
        if !self.hub.is_watched() {
            return Ok(Taken::Whole);
        }
        let start = Instant::now();
        let mut here = Duration::ZERO;
        let Some(small) = jpeg::encode_image(&job.small, job.space, SMALL_QUALITY) else {
            return Ok(Taken::Broken);
        };
        let Some(large) = jpeg::encode_rows(&job.rows, LARGE_QUALITY, &mut here) else {
            return Ok(Taken::Broken);
        };
        *waited += here;
        let encode = start.elapsed().saturating_sub(here);
        let [capture, queue, convert] = job.before;
        let infer = job.rows.spent().unwrap_or_default();
        let total = job.began.elapsed();
        let times = [
            ("capture", capture),
            ("queue", queue),
            ("convert", convert),
            ("infer", infer),
            ("encode", encode),
            ("total", total),
        ];
        let times = times.map(|(name, time)| (name, time.as_secs_f64() * 1e3)).into();
        let size = (job.small.width(), job.small.height());
        self.hub.publish(Frame { id: job.id, size, times, small, large });
        Ok(Taken::Whole)
    }
}
