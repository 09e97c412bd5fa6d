//! When the dispatches of a frame ended, by the device's own clock.

use super::instance::failed;
use super::logical::Device;
use crate::error::Result;
use ash::vk;
use std::sync::Arc;

/// One time before the first dispatch and one after each.
pub(super) struct Timestamps {
    pub pool: vk::QueryPool,
    count: u32,
    device: Arc<Device>,
}

impl Timestamps {
    /// For so many dispatches; `None` where the device's queue has no clock.
    pub fn new(device: &Arc<Device>, dispatches: usize) -> Result<Option<Self>> {
        if device.properties.families[device.family as usize].timestamp_valid_bits == 0 {
            return Ok(None);
        }
        let count = dispatches as u32 + 1;
        let info = vk::QueryPoolCreateInfo::default().query_type(vk::QueryType::TIMESTAMP).query_count(count);
        // SAFETY: everything pointed to outlives the call; the queue family has timestamps.
        let pool = unsafe { device.handle.create_query_pool(&info, None) };
        let pool = pool.map_err(|code| device.note(failed("vkCreateQueryPool", code)))?;
        Ok(Some(Self { pool, count, device: Arc::clone(device) }))
    }

    /// All of them.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Times from each to the next in nanoseconds, of a frame that has ended.
    pub fn spent_ns(&self) -> Result<Vec<f64>> {
        let mut ticks = vec![0_u64; self.count as usize];
        let flags = vk::QueryResultFlags::TYPE_64 | vk::QueryResultFlags::WAIT;
        // SAFETY: the pool has as many queries as there are places for, and the commands that write them have ended.
        unsafe { self.device.handle.get_query_pool_results(self.pool, 0, &mut ticks, flags) }
            .map_err(|code| self.device.note(failed("vkGetQueryPoolResults", code)))?;
        let properties = &self.device.properties;
        let bits = properties.families[self.device.family as usize].timestamp_valid_bits;
        let mask = u64::MAX >> (64 - bits.min(64));
        let period = f64::from(properties.limits.timestamp_period);
        // A clock that begins again is no shorter step.
        Ok(ticks.windows(2).map(|two| (two[1].wrapping_sub(two[0]) & mask) as f64 * period).collect())
    }
}

impl Drop for Timestamps {
    fn drop(&mut self) {
        if !self.device.hangs() {
            // SAFETY: the commands that use it have ended: they are dropped before it.
            unsafe { self.device.handle.destroy_query_pool(self.pool, None) };
        }
    }
}
