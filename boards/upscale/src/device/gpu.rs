//! Models on a GPU, and what is done when it does not take them: the processor goes on, and says so once.

use super::{Device, GpuInfo};
use crate::error::{Error, Result};
use mcir_gpu::{DeviceInfo, Fault, Frames, Gpu, Network, Options, Selection};
use mcir_runtime::model::{Model, NodeId};
use std::collections::VecDeque;

/// A fault of the GPU that is made on purpose, as `lost@3`: to see what the program does then.
const FAULT: &str = "MCIR_GPU_FAULT";

/// Pictures that are made at a time: one is, while another is handed over.
const IN_FLIGHT: usize = 2;

/// An open GPU.
#[derive(Clone)]
pub struct Accelerator {
    gpu: Gpu,
}

/// GPUs of this machine, or why they are not known.
pub fn gpus() -> Result<Vec<GpuInfo>, String> {
    match mcir_gpu::devices() {
        Ok(devices) => Ok(devices.iter().map(info).collect()),
        Err(error) => Err(error.to_string()),
    }
}

fn info(device: &DeviceInfo) -> GpuInfo {
    GpuInfo {
        index: device.index,
        name: device.name.clone(),
        driver: device.driver.clone(),
        vulkan: device.vulkan.clone(),
        kind: device.kind.name().into(),
        dot_product: device.dot_accelerated,
        matrices: device.matrices,
        lacks: device.lacks.map(str::to_owned),
    }
}

impl Accelerator {
    /// Opens the GPU that is asked for.
    pub fn open(device: Device) -> Result<Option<Self>> {
        let selection = match device {
            Device::Cpu => return Ok(None),
            Device::Auto => Selection::Best,
            Device::Gpu(None) => Selection::Any,
            Device::Gpu(Some(index)) => Selection::Index(index),
        };
        let refused = |reason: String| Error::Gpu { reason };
        let fault = std::env::var(FAULT).ok().map(|text| text.parse::<Fault>()).transpose();
        let options = Options { fault: fault.map_err(refused)?, ..Options::default() };
        match Gpu::open(selection, options) {
            // Without a fast product of bytes the processor is faster, as on a Raspberry Pi or a Jetson Nano.
            Ok(gpu) if device == Device::Auto && !gpu.info().dot_accelerated => Ok(None),
            Ok(gpu) => Ok(Some(Self { gpu })),
            Err(_) if device == Device::Auto => Ok(None),
            Err(error) => Err(refused(error.to_string())),
        }
    }

    /// What it is.
    pub fn info(&self) -> GpuInfo {
        info(self.gpu.info())
    }

    /// Milliseconds of the steps of a picture on the GPU's own clock, by the graph's nodes; nothing where it has none.
    pub fn profile(&self, model: &Model, size: [usize; 2], pixels: &[u8]) -> Vec<(NodeId, f64)> {
        let network = Network::new(&self.gpu, model);
        let steps = network.and_then(|network| network.profile(size[0], size[1], pixels)).unwrap_or_default();
        steps.iter().map(|step| (step.node, step.ms)).collect()
    }

    /// The GPU itself.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }
}

impl std::fmt::Debug for Accelerator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Accelerator").field(self.gpu.info()).finish()
    }
}

/// A model on a GPU.
pub(crate) struct Placed {
    gpu: Gpu,
    network: Option<Network>,
    /// Of one size: one picture in each, and so many at a time as there are.
    slots: Vec<Frames>,
    /// Slots with pictures that are being made, the oldest first.
    running: VecDeque<usize>,
    /// The GPU is not asked again: it was lost, or has no kernel for the model.
    off: bool,
    /// A size that it had no room for.
    refused: Option<[usize; 2]>,
    told: bool,
    note: Option<String>,
}

impl Placed {
    /// Puts nothing there yet.
    pub fn new(accelerator: &Accelerator) -> Self {
        Self {
            gpu: accelerator.gpu.clone(),
            network: None,
            slots: Vec::new(),
            running: VecDeque::new(),
            off: false,
            refused: None,
            told: false,
            note: None,
        }
    }

    /// Prepares pictures of this width and height; whether they can be run.
    pub fn takes(&mut self, model: &Model, size: [usize; 2]) -> bool {
        if self.off || self.refused == Some(size) {
            return false;
        }
        if self.slots.first().is_some_and(|frames| frames.size() == size) {
            return true;
        }
        // The old buffers go before the new ones come.
        self.rest();
        match self.prepare(model, size) {
            Ok(frames) => {
                self.slots.push(frames);
                true
            }
            Err(error) => {
                self.give_up(&error, Some(size));
                false
            }
        }
    }

    fn prepare(&mut self, model: &Model, [width, height]: [usize; 2]) -> mcir_gpu::Result<Frames> {
        let network = match self.network.take() {
            Some(network) => network,
            None => Network::new(&self.gpu, model)?,
        };
        self.network.insert(network).frames(width, height)
    }

    /// Runs a picture of the size that was prepared; nothing where the GPU fails.
    pub fn run(&mut self, pixels: &[u8]) -> Option<&[u8]> {
        debug_assert!(self.running.is_empty(), "pictures that were submitted are taken first");
        if let Err(error) = self.slots.first_mut()?.run(pixels) {
            self.give_up(&error, None);
        }
        self.slots.first()?.last().ok()
    }

    /// Begins a picture, which [`Placed::take`] then waits for; up to [`IN_FLIGHT`] at a time, of one size. Whether it was begun.
    pub fn submit(&mut self, model: &Model, size: [usize; 2], pixels: &[u8]) -> bool {
        let other = self.slots.first().is_some_and(|frames| frames.size() != size);
        if self.running.len() == IN_FLIGHT || other && !self.running.is_empty() || !self.takes(model, size) {
            return false;
        }
        let free = (0..self.slots.len()).find(|slot| !self.running.contains(slot));
        let slot = match free {
            Some(slot) => slot,
            // Where there is no room for another one, pictures are made one after the other.
            None => match self.network.as_ref().map(|network| network.frames(size[0], size[1])) {
                Some(Ok(frames)) => {
                    self.slots.push(frames);
                    self.slots.len() - 1
                }
                Some(Err(_)) | None => return false,
            },
        };
        match self.slots[slot].submit(pixels) {
            Ok(()) => {
                self.running.push_back(slot);
                true
            }
            Err(error) => {
                self.give_up(&error, None);
                false
            }
        }
    }

    /// Waits for the picture that was begun first; nothing where the GPU has failed.
    pub fn take(&mut self) -> Option<&[u8]> {
        let slot = self.running.pop_front()?;
        match self.slots.get_mut(slot)?.wait() {
            Ok(_) => self.slots[slot].last().ok(),
            Err(error) => {
                self.give_up(&error, None);
                None
            }
        }
    }

    fn give_up(&mut self, error: &mcir_gpu::Error, size: Option<[usize; 2]>) {
        use mcir_gpu::Error as Gpu;
        match (error, size) {
            // Another picture may fit.
            (Gpu::OutOfMemory { .. } | Gpu::Size { .. }, Some(_)) => self.refused = size,
            _ => {
                self.off = true;
                self.network = None;
                self.rest();
            }
        }
        if !self.told {
            self.told = true;
            self.note = Some(format!("{error}; the CPU goes on, with the same pictures"));
        }
    }

    /// What the user should know, once.
    pub fn take_note(&mut self) -> Option<String> {
        self.note.take()
    }

    /// Its name, while it is used.
    pub fn name(&self) -> Option<&str> {
        self.slots.first().map(|_| self.gpu.info().name.as_str())
    }

    /// Bytes of buffers and weights.
    pub fn memory_bytes(&self) -> usize {
        let bytes = self.slots.iter().map(Frames::memory_bytes).sum::<u64>()
            + self.network.as_ref().map_or(0, Network::weight_bytes);
        bytes as usize
    }

    /// Gives buffers back; weights stay.
    pub fn rest(&mut self) {
        self.slots.clear();
        self.running.clear();
    }
}
