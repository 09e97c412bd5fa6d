//! Commands that are recorded once and submitted for every frame.

use super::buffer::Buffer;
use super::commands::Commands;
use super::instance::failed;
use super::logical::Device;
use super::pipeline::{BINDINGS, Pipeline};
use super::timestamps::Timestamps;
use crate::error::{Error, Result};
use crate::kernel::Dispatch;
use ash::vk;
use std::sync::Arc;

/// Buffers of a frame.
pub(crate) struct Buffers {
    /// Weights and numbers, of all frames.
    pub constants: Arc<Buffer>,
    /// Edges.
    pub arena: Buffer,
    /// What the processor writes.
    pub input: Buffer,
    /// What kernels write.
    pub output: Buffer,
    /// What the processor reads, if that is another buffer.
    pub download: Option<Buffer>,
}

/// A frame's commands with all that they use.
pub(crate) struct Recording {
    // Dropped first: it waits for what is running.
    commands: Commands,
    _descriptors: Descriptors,
    timestamps: Option<Timestamps>,
    buffers: Buffers,
    pipelines: Vec<Arc<Pipeline>>,
    device: Arc<Device>,
}

/// A pool of one descriptor set.
struct Descriptors {
    pool: vk::DescriptorPool,
    device: Arc<Device>,
}

impl Drop for Descriptors {
    fn drop(&mut self) {
        if !self.device.hangs() {
            // SAFETY: the commands that used its set have ended: they are dropped before it.
            unsafe { self.device.handle.destroy_descriptor_pool(self.pool, None) };
        }
    }
}

impl Recording {
    /// Records the dispatches, each of which sees what those before it have written.
    pub fn new(device: &Arc<Device>, buffers: Buffers, dispatches: &[Dispatch]) -> Result<Self> {
        Self::with(device, buffers, dispatches, None)
    }

    /// The same with the time that each takes, as far as the device has a clock.
    pub fn timed(device: &Arc<Device>, buffers: Buffers, dispatches: &[Dispatch]) -> Result<Self> {
        let timestamps = Timestamps::new(device, dispatches.len())?;
        Self::with(device, buffers, dispatches, timestamps)
    }

    fn with(
        device: &Arc<Device>,
        buffers: Buffers,
        dispatches: &[Dispatch],
        timestamps: Option<Timestamps>,
    ) -> Result<Self> {
        let commands = Commands::new(device)?;
        let (descriptors, set) = descriptor_set(device, &buffers)?;
        let pipelines = dispatches.iter().map(|d| device.pipeline(&d.kernel)).collect::<Result<_>>()?;
        let recording = Self {
            commands,
            _descriptors: descriptors,
            timestamps,
            buffers,
            pipelines,
            device: Arc::clone(device),
        };
        recording.record(set, dispatches).map_err(|code| device.note(failed("vkEndCommandBuffer", code)))?;
        Ok(recording)
    }

    /// Copies all of a buffer to one of the same size, at once.
    pub fn copy(device: &Arc<Device>, from: &Buffer, to: &Buffer) -> Result<()> {
        let mut commands = Commands::new(device)?;
        let (vulkan, command) = (&device.handle, commands.buffer);
        let all = [vk::BufferCopy { src_offset: 0, dst_offset: 0, size: from.bytes.min(to.bytes) }];
        // SAFETY: the command buffer is fresh; both buffers are this device's and at least as large as what is copied.
        let recorded = unsafe {
            let begun = vulkan.begin_command_buffer(command, &vk::CommandBufferBeginInfo::default());
            begun.and_then(|()| {
                vulkan.cmd_copy_buffer(command, from.handle, to.handle, &all);
                // Kernels of later submissions read it.
                let (written, read) = (vk::AccessFlags::TRANSFER_WRITE, vk::AccessFlags::SHADER_READ);
                let memory = [vk::MemoryBarrier::default().src_access_mask(written).dst_access_mask(read)];
                let stages = (vk::PipelineStageFlags::TRANSFER, vk::PipelineStageFlags::COMPUTE_SHADER);
                let none = vk::DependencyFlags::empty();
                vulkan.cmd_pipeline_barrier(command, stages.0, stages.1, none, &memory, &[], &[]);
                vulkan.end_command_buffer(command)
            })
        };
        recorded.map_err(|code| device.note(failed("vkEndCommandBuffer", code)))?;
        // SAFETY: recorded to its end; both buffers outlive this function, at whose end it is over or the device hangs, when
        // buffers are not destroyed.
        unsafe { commands.submit() }?;
        commands.finish()
    }

    /// Bytes of its buffers, those of other frames left out.
    pub fn memory_bytes(&self) -> u64 {
        let Buffers { arena, input, output, download, .. } = &self.buffers;
        arena.bytes + input.bytes + output.bytes + download.as_ref().map_or(0, |download| download.bytes)
    }

    fn record(&self, set: vk::DescriptorSet, dispatches: &[Dispatch]) -> std::result::Result<(), vk::Result> {
        let (vulkan, layout) = (&self.device.handle, self.device.layout.handle);
        let command = self.commands.buffer;
        let barrier = |from: (vk::PipelineStageFlags, vk::AccessFlags),
                       to: (vk::PipelineStageFlags, vk::AccessFlags)| {
            let memory = [vk::MemoryBarrier::default().src_access_mask(from.1).dst_access_mask(to.1)];
            // SAFETY: the command buffer is being recorded; stages and accesses are those of compute, copies and the host.
            unsafe {
                vulkan.cmd_pipeline_barrier(
                    command,
                    from.0,
                    to.0,
                    vk::DependencyFlags::empty(),
                    &memory,
                    &[],
                    &[],
                );
            }
        };
        const COMPUTE: vk::PipelineStageFlags = vk::PipelineStageFlags::COMPUTE_SHADER;
        const COPY: vk::PipelineStageFlags = vk::PipelineStageFlags::TRANSFER;
        const HOST: (vk::PipelineStageFlags, vk::AccessFlags) =
            (vk::PipelineStageFlags::HOST, vk::AccessFlags::HOST_READ);
        let written = (COMPUTE, vk::AccessFlags::SHADER_WRITE);
        // SAFETY: the buffer is fresh; set, layout and pipelines are this device's and held by `self`, push constants have the
        // layout's size, group counts were checked against the device's limits (`Dispatch::groups`); there is a timestamp for each
        // dispatch and one more.
        unsafe {
            vulkan.begin_command_buffer(command, &vk::CommandBufferBeginInfo::default())?;
            if let Some(timestamps) = &self.timestamps {
                vulkan.cmd_reset_query_pool(command, timestamps.pool, 0, timestamps.count());
                let stage = vk::PipelineStageFlags::BOTTOM_OF_PIPE;
                vulkan.cmd_write_timestamp(command, stage, timestamps.pool, 0);
            }
            vulkan.cmd_bind_descriptor_sets(command, vk::PipelineBindPoint::COMPUTE, layout, 0, &[set], &[]);
            for (i, (dispatch, pipeline)) in dispatches.iter().zip(&self.pipelines).enumerate() {
                if i > 0 {
                    let access = vk::AccessFlags::SHADER_READ | vk::AccessFlags::SHADER_WRITE;
                    barrier(written, (COMPUTE, access));
                }
                vulkan.cmd_bind_pipeline(command, vk::PipelineBindPoint::COMPUTE, pipeline.handle);
                let push = bytemuck::bytes_of(&dispatch.push);
                vulkan.cmd_push_constants(command, layout, vk::ShaderStageFlags::COMPUTE, 0, push);
                let [x, y, z] = dispatch.groups;
                vulkan.cmd_dispatch(command, x, y, z);
                if let Some(timestamps) = &self.timestamps {
                    let stage = vk::PipelineStageFlags::BOTTOM_OF_PIPE;
                    vulkan.cmd_write_timestamp(command, stage, timestamps.pool, i as u32 + 1);
                }
            }
            match &self.buffers.download {
                Some(download) => {
                    barrier(written, (COPY, vk::AccessFlags::TRANSFER_READ));
                    let output = &self.buffers.output;
                    let all = [vk::BufferCopy { src_offset: 0, dst_offset: 0, size: output.bytes }];
                    vulkan.cmd_copy_buffer(command, output.handle, download.handle, &all);
                    barrier((COPY, vk::AccessFlags::TRANSFER_WRITE), HOST);
                }
                None => barrier(written, HOST),
            }
            vulkan.end_command_buffer(command)
        }
    }

    /// Fills the input and submits a frame.
    ///
    /// # Panics
    /// While a frame is running.
    pub fn submit(&mut self, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        assert!(!self.commands.is_running(), "one frame at a time");
        if self.device.is_lost() {
            return Err(Error::Lost);
        }
        self.device.count_frame()?;
        fill(self.buffers.input.bytes_mut()?);
        self.buffers.input.flush()?;
        // SAFETY: recorded to its end; buffers, descriptors and pipelines are held by `self`, which drops them after the commands.
        unsafe { self.commands.submit() }
    }

    /// Waits for the frame.
    pub fn wait(&mut self) -> Result<()> {
        self.commands.finish()
    }

    /// What the last frame made that was waited for.
    ///
    /// # Panics
    /// While one is running.
    pub fn result(&self) -> Result<&[u8]> {
        assert!(!self.commands.is_running(), "what a frame makes is read when it has ended");
        self.buffers.download.as_ref().unwrap_or(&self.buffers.output).bytes()
    }

    /// What each dispatch of the last frame took, in nanoseconds; nothing where the device does not tell.
    ///
    /// # Panics
    /// While one is running.
    pub fn spent_ns(&self) -> Result<Vec<f64>> {
        assert!(!self.commands.is_running(), "times are known when a frame has ended");
        self.timestamps.as_ref().map_or_else(|| Ok(Vec::new()), Timestamps::spent_ns)
    }

    /// Whether a frame was submitted that was not waited for.
    pub fn is_running(&self) -> bool {
        self.commands.is_running()
    }
}

/// The set of the four buffers, with its pool.
fn descriptor_set(device: &Arc<Device>, buffers: &Buffers) -> Result<(Descriptors, vk::DescriptorSet)> {
    let vulkan = &device.handle;
    let failed = |call, code| device.note(failed(call, code));
    let kind = vk::DescriptorType::STORAGE_BUFFER;
    let sizes = [vk::DescriptorPoolSize { ty: kind, descriptor_count: BINDINGS as u32 }];
    let info = vk::DescriptorPoolCreateInfo::default().max_sets(1).pool_sizes(&sizes);
    // SAFETY: everything pointed to outlives the call.
    let pool = unsafe { vulkan.create_descriptor_pool(&info, None) };
    let pool = pool.map_err(|code| failed("vkCreateDescriptorPool", code))?;
    let descriptors = Descriptors { pool, device: Arc::clone(device) };
    let layouts = [device.layout.set];
    let info = vk::DescriptorSetAllocateInfo::default().descriptor_pool(pool).set_layouts(&layouts);
    // SAFETY: the pool was just made, with room for one set of this layout.
    let set = unsafe { vulkan.allocate_descriptor_sets(&info) }
        .map_err(|code| failed("vkAllocateDescriptorSets", code))?[0];
    let Buffers { constants, arena, input, output, .. } = buffers;
    let all: [_; BINDINGS] = [&**constants, arena, input, output]
        .map(|b| [vk::DescriptorBufferInfo { buffer: b.handle, offset: 0, range: b.bytes }]);
    let writes: [_; BINDINGS] = std::array::from_fn(|binding| {
        let write = vk::WriteDescriptorSet::default().dst_set(set).dst_binding(binding as u32);
        write.descriptor_type(kind).buffer_info(&all[binding])
    });
    // SAFETY: the set is not in use, the buffers live as long as it, their sizes are within the device's limit.
    unsafe { vulkan.update_descriptor_sets(&writes, &[]) };
    Ok((descriptors, set))
}
