//! Commands that can be submitted, one submission at a time.

use super::instance::failed;
use super::logical::Device;
use crate::error::{Error, Result};
use ash::vk;
use std::sync::{Arc, PoisonError};

/// A command buffer with its pool and its fence.
pub(super) struct Commands {
    pool: vk::CommandPool,
    pub buffer: vk::CommandBuffer,
    fence: vk::Fence,
    running: bool,
    device: Arc<Device>,
}

impl Commands {
    /// An empty command buffer.
    pub fn new(device: &Arc<Device>) -> Result<Self> {
        let vulkan = &device.handle;
        let failed = |call, code| device.note(failed(call, code));
        // Made empty first, so that what is there is destroyed when something after it fails.
        let mut commands = Self {
            pool: vk::CommandPool::null(),
            buffer: vk::CommandBuffer::null(),
            fence: vk::Fence::null(),
            running: false,
            device: Arc::clone(device),
        };
        let info = vk::CommandPoolCreateInfo::default().queue_family_index(device.family);
        // SAFETY: the family is the device's.
        commands.pool = unsafe { vulkan.create_command_pool(&info, None) }
            .map_err(|code| failed("vkCreateCommandPool", code))?;
        let info = vk::CommandBufferAllocateInfo::default()
            .command_pool(commands.pool)
            .level(vk::CommandBufferLevel::PRIMARY)
            .command_buffer_count(1);
        // SAFETY: the pool was just made.
        commands.buffer = unsafe { vulkan.allocate_command_buffers(&info) }
            .map_err(|code| failed("vkAllocateCommandBuffers", code))?[0];
        // SAFETY: no preconditions.
        commands.fence = unsafe { vulkan.create_fence(&vk::FenceCreateInfo::default(), None) }
            .map_err(|code| failed("vkCreateFence", code))?;
        Ok(commands)
    }

    /// Submits what was recorded.
    ///
    /// # Safety
    /// The buffer was recorded to its end, and all that its commands use lives until [`Commands::finish`] has returned without an
    /// error, the device is lost, or this value is dropped.
    ///
    /// # Panics
    /// While they are running.
    pub unsafe fn submit(&mut self) -> Result<()> {
        assert!(!self.running, "one submission at a time");
        let device = &self.device;
        let failed = |call, code| device.note(failed(call, code));
        // SAFETY: the fence is not in use: nothing is running.
        unsafe { device.handle.reset_fences(&[self.fence]) }.map_err(|code| failed("vkResetFences", code))?;
        let commands = [self.buffer];
        let submits = [vk::SubmitInfo::default().command_buffers(&commands)];
        let queue = device.queue.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the commands are recorded and not pending, the fence is not signalled, the lock is held.
        unsafe { device.handle.queue_submit(*queue, &submits, self.fence) }
            .map_err(|code| failed("vkQueueSubmit", code))?;
        self.running = true;
        Ok(())
    }

    /// Whether they were submitted and not waited for.
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Waits for the end of what was submitted, if anything was.
    pub fn finish(&mut self) -> Result<()> {
        if !self.running {
            return Ok(());
        }
        let timeout = self.device.options.timeout;
        let nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        // SAFETY: the fence belongs to the submission that is running.
        let waited = unsafe { self.device.handle.wait_for_fences(&[self.fence], true, nanos) };
        waited.map_err(|code| {
            self.device.note(match code {
                vk::Result::TIMEOUT => Error::Hang(timeout),
                code => failed("vkWaitForFences", code),
            })
        })?;
        self.running = false;
        Ok(())
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        // What is still running must end before anything that it uses is destroyed; if it does not, nothing is destroyed. A wait on
        // a device that was lost comes back, too: then nothing is running any more.
        if !self.device.hangs() {
            let _ = self.finish();
        }
        if self.device.hangs() {
            return;
        }
        let vulkan = &self.device.handle;
        // SAFETY: nothing is running; what was not made is null, which these calls allow.
        unsafe {
            vulkan.destroy_fence(self.fence, None);
            vulkan.destroy_command_pool(self.pool, None);
        }
    }
}
