//! A device that is open, with its queue.

use super::instance::{Instance, Properties, failed};
use super::options::{Fault, FaultKind, Options};
use super::pipeline::{Pipeline, PipelineLayout};
use super::select::{DeviceInfo, compute_family};
use crate::error::{Error, Result};
use crate::kernel::Kernel;
use ash::vk;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// States of a device. One that is lost has ended all that ran on it; what runs on one that hangs may go on.
const FINE: u8 = 0;
const LOST: u8 = 1;
const HANGS: u8 = 2;

/// An open device.
pub(crate) struct Device {
    pub handle: ash::Device,
    pub properties: Properties,
    pub info: DeviceInfo,
    pub options: Options,
    pub family: u32,
    pub memory: vk::PhysicalDeviceMemoryProperties,
    pub layout: PipelineLayout,
    /// Vulkan wants a queue to be used by one thread at a time.
    pub queue: Mutex<vk::Queue>,
    pipelines: Mutex<HashMap<Kernel, Arc<Pipeline>>>,
    pub allocated: AtomicU64,
    frames: AtomicU64,
    fault: Mutex<Option<Fault>>,
    state: AtomicU8,
    // Dropped last: the instance must outlive the device.
    instance: Arc<Instance>,
}

impl Device {
    /// Opens a device of this instance.
    pub fn open(
        instance: &Arc<Instance>,
        (info, properties): (DeviceInfo, Properties),
        options: Options,
    ) -> Result<Arc<Self>> {
        let family = compute_family(&properties).expect("a device without was refused");
        let priorities = [1.0];
        let queues =
            [vk::DeviceQueueCreateInfo::default().queue_family_index(family).queue_priorities(&priorities)];
        let extensions: Vec<_> = properties.extensions.iter().map(|name| name.as_ptr()).collect();
        let mut dot =
            vk::PhysicalDeviceShaderIntegerDotProductFeatures::default().shader_integer_dot_product(true);
        let mut create =
            vk::DeviceCreateInfo::default().queue_create_infos(&queues).enabled_extension_names(&extensions);
        if properties.dot {
            create = create.push_next(&mut dot);
        }
        // SAFETY: the handle is one of this instance's; everything pointed to outlives the call.
        let handle = unsafe { instance.handle.create_device(properties.handle, &create, None) };
        let handle = handle.map_err(|code| failed("vkCreateDevice", code))?;
        // SAFETY: the family has a queue 0, which was asked for.
        let queue = unsafe { handle.get_device_queue(family, 0) };
        // SAFETY: the handle is one of this instance's.
        let memory = unsafe { instance.handle.get_physical_device_memory_properties(properties.handle) };
        let layout = match PipelineLayout::new(&handle) {
            Ok(layout) => layout,
            Err(error) => {
                // SAFETY: nothing was made of it.
                unsafe { handle.destroy_device(None) };
                return Err(error);
            }
        };
        Ok(Arc::new(Self {
            handle,
            info,
            options,
            family,
            memory,
            layout,
            queue: Mutex::new(queue),
            pipelines: Mutex::default(),
            allocated: AtomicU64::new(0),
            frames: AtomicU64::new(0),
            fault: Mutex::new(options.fault),
            state: AtomicU8::new(FINE),
            properties,
            instance: Arc::clone(instance),
        }))
    }

    /// The pipeline of a kernel, which is made once.
    pub fn pipeline(&self, kernel: &Kernel) -> Result<Arc<Pipeline>> {
        let mut pipelines = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipeline) = pipelines.get(kernel) {
            return Ok(Arc::clone(pipeline));
        }
        let pipeline = Arc::new(Pipeline::new(&self.handle, &self.layout, kernel)?);
        pipelines.insert(kernel.clone(), Arc::clone(&pipeline));
        Ok(pipeline)
    }

    /// Whether convolutions take the instruction that multiplies and adds four bytes.
    pub fn uses_dot(&self) -> bool {
        self.properties.dot && !self.options.without_dot
    }

    /// Whether it must not be used any more.
    pub fn is_lost(&self) -> bool {
        self.state.load(Ordering::Acquire) != FINE
    }

    /// Whether something may still be running on it, so that nothing may be destroyed.
    pub fn hangs(&self) -> bool {
        self.state.load(Ordering::Acquire) == HANGS
    }

    /// An error as it is handed out: after some of them the device is not used any more.
    pub fn note(&self, error: Error) -> Error {
        let state = match error {
            Error::Hang(_) => HANGS,
            Error::Lost => LOST,
            _ => FINE,
        };
        self.state.fetch_max(state, Ordering::AcqRel);
        error
    }

    /// Makes this fault from now on; frames are counted anew.
    pub fn expect_fault(&self, fault: Option<Fault>) {
        self.frames.store(0, Ordering::Relaxed);
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Bytes of all its buffers.
    pub fn allocated_bytes(&self) -> u64 {
        self.allocated.load(Ordering::Relaxed)
    }

    /// Counts a frame, and makes the fault that was asked for.
    pub fn count_frame(&self) -> Result<()> {
        let before = self.frames.fetch_add(1, Ordering::Relaxed);
        match *self.fault.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Fault { kind, after }) if before >= after => Err(self.note(match kind {
                FaultKind::Lost => Error::Lost,
                FaultKind::Hang => Error::Hang(self.options.timeout),
                FaultKind::Memory => Error::OutOfMemory { bytes: 0 },
            })),
            _ => Ok(()),
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if self.hangs() {
            // What was made of the instance stays, and so must the instance.
            std::mem::forget(Arc::clone(&self.instance));
            return;
        }
        let pipelines = self.pipelines.get_mut().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: whatever uses the device holds it, so nothing is running and nothing else is left; pipelines are destroyed
        // before their layout, all before the device.
        unsafe {
            for (_, pipeline) in pipelines.drain() {
                self.handle.destroy_pipeline(pipeline.handle, None);
            }
            self.layout.destroy(&self.handle);
            self.handle.destroy_device(None);
        }
    }
}
