//! Memory that kernels or the processor read and write.

use super::instance::failed;
use super::logical::Device;
use crate::error::{Error, Result};
use ash::vk;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What a buffer is for, by which its memory is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Kernels alone.
    Device,
    /// The processor writes, kernels read.
    Upload,
    /// Kernels write, the processor reads.
    Download,
}

/// A buffer with memory of its own.
pub(crate) struct Buffer {
    pub handle: vk::Buffer,
    memory: vk::DeviceMemory,
    pub bytes: u64,
    /// Where the processor sees it; not for [`Use::Device`].
    mapped: Option<NonNull<u8>>,
    coherent: bool,
    device: Arc<Device>,
}

// SAFETY: the pointer is to memory that this value owns and that is not tied to a thread; it is only reached through `&self` to
// read and through `&mut self` to write.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// At least `bytes` bytes, zero where the processor sees them.
    pub fn new(device: &Arc<Device>, bytes: u64, usage: Use) -> Result<Self> {
        let bytes = bytes.next_multiple_of(4).max(4);
        if bytes > u64::from(device.properties.limits.max_storage_buffer_range) {
            return Err(Error::OutOfMemory { bytes });
        }
        let taken = device.allocated.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let made = if taken > device.options.memory_limit {
            Err(Error::OutOfMemory { bytes })
        } else {
            Self::make(device, bytes, usage)
        };
        made.inspect_err(|_| {
            device.allocated.fetch_sub(bytes, Ordering::Relaxed);
        })
    }

    fn make(device: &Arc<Device>, bytes: u64, usage: Use) -> Result<Self> {
        let failed = |call, code| match failed(call, code) {
            Error::OutOfMemory { .. } => Error::OutOfMemory { bytes },
            error => device.note(error),
        };
        let flags = vk::BufferUsageFlags::STORAGE_BUFFER
            | vk::BufferUsageFlags::TRANSFER_SRC
            | vk::BufferUsageFlags::TRANSFER_DST;
        let info = vk::BufferCreateInfo::default().size(bytes).usage(flags);
        let vulkan = &device.handle;
        // SAFETY: everything pointed to outlives the call.
        let handle = unsafe { vulkan.create_buffer(&info, None) };
        let handle = handle.map_err(|code| failed("vkCreateBuffer", code))?;
        // SAFETY: the buffer was just made.
        let needs = unsafe { vulkan.get_buffer_memory_requirements(handle) };
        let destroy = || {
            // SAFETY: nothing uses it yet.
            unsafe { vulkan.destroy_buffer(handle, None) };
        };
        let Some(kind) = memory_type(&device.memory, needs.memory_type_bits, usage) else {
            destroy();
            return Err(Error::OutOfMemory { bytes });
        };
        let info = vk::MemoryAllocateInfo::default().allocation_size(needs.size).memory_type_index(kind);
        // SAFETY: the type is one of the device's.
        let memory = match unsafe { vulkan.allocate_memory(&info, None) } {
            Ok(memory) => memory,
            Err(code) => {
                destroy();
                return Err(failed("vkAllocateMemory", code));
            }
        };
        let properties = device.memory.memory_types[kind as usize].property_flags;
        let mut buffer = Self {
            handle,
            memory,
            bytes,
            mapped: None,
            coherent: properties.contains(vk::MemoryPropertyFlags::HOST_COHERENT),
            device: Arc::clone(device),
        };
        // SAFETY: memory of the size and kind that the buffer needs, which nothing else uses.
        unsafe { vulkan.bind_buffer_memory(handle, memory, 0) }
            .map_err(|code| failed("vkBindBufferMemory", code))?;
        if usage != Use::Device {
            // SAFETY: the type is visible to the processor, and the memory not mapped.
            let at = unsafe { vulkan.map_memory(memory, 0, vk::WHOLE_SIZE, vk::MemoryMapFlags::empty()) };
            buffer.mapped = NonNull::new(at.map_err(|code| failed("vkMapMemory", code))?.cast());
            buffer.bytes_mut()?.fill(0);
        }
        Ok(buffer)
    }

    /// What the processor sees. Nothing that is submitted uses it: a [`Recording`](super::recording::Recording) lends its buffers
    /// out only between frames.
    pub fn bytes(&self) -> Result<&[u8]> {
        let at = self.mapped.expect("only what is mapped is read");
        if !self.coherent {
            let range = [self.range()];
            // SAFETY: the range is all of mapped memory.
            unsafe { self.device.handle.invalidate_mapped_memory_ranges(&range) }
                .map_err(|code| self.device.note(failed("vkInvalidateMappedMemoryRanges", code)))?;
        }
        // SAFETY: mapped for as long as this value lives, of this length; bytes have no invalid values, and they are only written
        // through `&mut self` or by the device while it is not lent out.
        Ok(unsafe { std::slice::from_raw_parts(at.as_ptr(), self.bytes as usize) })
    }

    /// The same, to be written. [`Buffer::flush`] makes it seen by the device.
    pub fn bytes_mut(&mut self) -> Result<&mut [u8]> {
        let at = self.mapped.expect("only what is mapped is written");
        // SAFETY: as in `bytes`; `&mut self` makes it the only reference.
        Ok(unsafe { std::slice::from_raw_parts_mut(at.as_ptr(), self.bytes as usize) })
    }

    /// Makes what was written visible to the device.
    pub fn flush(&self) -> Result<()> {
        if !self.coherent {
            let range = [self.range()];
            // SAFETY: the range is all of mapped memory.
            unsafe { self.device.handle.flush_mapped_memory_ranges(&range) }
                .map_err(|code| self.device.note(failed("vkFlushMappedMemoryRanges", code)))?;
        }
        Ok(())
    }

    fn range(&self) -> vk::MappedMemoryRange<'_> {
        vk::MappedMemoryRange::default().memory(self.memory).size(vk::WHOLE_SIZE)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.device.allocated.fetch_sub(self.bytes, Ordering::Relaxed);
        if self.device.hangs() {
            return;
        }
        // SAFETY: whoever submits work with it holds it until that has ended. Freeing unmaps.
        unsafe {
            self.device.handle.destroy_buffer(self.handle, None);
            self.device.handle.free_memory(self.memory, None);
        }
    }
}

/// The type of memory for this use, among those that the buffer may have.
fn memory_type(memory: &vk::PhysicalDeviceMemoryProperties, bits: u32, usage: Use) -> Option<u32> {
    use vk::MemoryPropertyFlags as Flags;
    let coherent = Flags::HOST_VISIBLE | Flags::HOST_COHERENT;
    let wishes = match usage {
        Use::Device => [Flags::DEVICE_LOCAL, Flags::empty(), Flags::empty()],
        Use::Upload => [coherent, Flags::HOST_VISIBLE, Flags::HOST_VISIBLE],
        // Without a cache the processor reads a few bytes at a time over the bus.
        Use::Download => {
            [coherent | Flags::HOST_CACHED, Flags::HOST_VISIBLE | Flags::HOST_CACHED, Flags::HOST_VISIBLE]
        }
    };
    wishes.iter().find_map(|&wish| {
        let types = memory.memory_types_as_slice().iter().enumerate();
        let mut fits = types.filter(|(i, t)| bits & (1 << i) != 0 && t.property_flags.contains(wish));
        fits.next().map(|(i, _)| i as u32)
    })
}
