//! What callers see: a GPU, a model on it, frames of one size.

use crate::device::buffer::{Buffer, Use};
use crate::device::instance::Instance;
use crate::device::logical::Device;
use crate::device::options::Options;
use crate::device::recording::{Buffers, Recording};
use crate::device::select::{DeviceInfo, Kind, Selection, select};
use crate::error::Result;
use crate::lower::Lowered;
use crate::plan::{Limits, Plan};
use crate::probe;
use mcir_runtime::model::{Model, NodeId};
use std::sync::Arc;

/// Pictures of which a profile is the least.
const PROFILES: usize = 5;

/// Time of a step of a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepTime {
    /// The graph's node; the input for what unpacks the picture, the output for what packs it.
    pub node: NodeId,
    /// Milliseconds.
    pub ms: f64,
}

/// An open GPU that computes the CPU's bits, as far as trying can tell. Clones are the same one.
#[derive(Clone)]
pub struct Gpu {
    device: Arc<Device>,
}

impl Gpu {
    /// Opens a device and tries whether it rounds, multiplies and adds as the CPU does, and makes the CPU's picture of a small
    /// network.
    ///
    /// # Errors
    /// [`Error::NoLoader`](crate::Error::NoLoader), [`Error::NoDevice`](crate::Error::NoDevice),
    /// [`Error::NoSuchDevice`](crate::Error::NoSuchDevice) or [`Error::Unusable`](crate::Error::Unusable) where there is none to
    /// use, [`Error::Probe`](crate::Error::Probe) where it computes something else.
    pub fn open(selection: Selection, options: Options) -> Result<Self> {
        let instance = Instance::new()?;
        let selected = select(&instance, selection)?;
        let device = Device::open(&instance, selected, Options { fault: None, ..options })?;
        probe::arithmetic(&device)?;
        let gpu = Self { device };
        probe::network(&gpu)?;
        gpu.device.expect_fault(options.fault);
        Ok(gpu)
    }

    /// What it is.
    pub fn info(&self) -> &DeviceInfo {
        &self.device.info
    }

    /// Bytes of memory that networks and frames have taken on it.
    pub fn allocated_bytes(&self) -> u64 {
        self.device.allocated_bytes()
    }

    /// Whether it was lost or hangs: every later frame is an error.
    pub fn is_lost(&self) -> bool {
        self.device.is_lost()
    }
}

/// A model on a GPU: its weights are there.
pub struct Network {
    device: Arc<Device>,
    lowered: Lowered,
    constants: Arc<Buffer>,
}

impl Network {
    /// Puts a model onto a GPU.
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) names the first operator without a kernel;
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory), [`Error::Lost`](crate::Error::Lost).
    pub fn new(gpu: &Gpu, model: &Model) -> Result<Self> {
        let lowered = Lowered::new(model)?;
        let device = Arc::clone(&gpu.device);
        let constants = Arc::new(upload(&device, bytemuck::cast_slice(&lowered.constants))?);
        Ok(Self { device, lowered, constants })
    }

    /// Bytes of weights on the GPU.
    pub fn weight_bytes(&self) -> u64 {
        self.constants.bytes
    }

    /// Frames of this width and height: buffers and commands for one picture at a time. Two of them make that one picture is
    /// computed while another is handed over.
    ///
    /// # Errors
    /// [`Error::Size`](crate::Error::Size) for a picture that is too large in one piece,
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory), [`Error::Lost`](crate::Error::Lost).
    pub fn frames(&self, width: usize, height: usize) -> Result<Frames> {
        let plan = self.plan(width, height)?;
        let recording = Recording::new(&self.device, self.buffers(&plan)?, &plan.dispatches)?;
        Ok(Frames {
            recording,
            size: [width, height],
            input_bytes: plan.input_bytes,
            output_bytes: plan.output_bytes,
        })
    }

    /// What each step of a picture takes on the GPU's own clock: of each the least of several pictures. Nothing where the GPU has no
    /// clock.
    ///
    /// # Shapes
    /// `pixels` is `[height, width, channels]`.
    ///
    /// # Errors
    /// As [`Network::frames`] and [`Frames::run`].
    ///
    /// # Panics
    /// For another number of bytes.
    pub fn profile(&self, width: usize, height: usize, pixels: &[u8]) -> Result<Vec<StepTime>> {
        let plan = self.plan(width, height)?;
        assert_eq!(pixels.len(), plan.input_bytes, "a picture of the size that is profiled");
        let mut recording = Recording::timed(&self.device, self.buffers(&plan)?, &plan.dispatches)?;
        let mut least = vec![f64::INFINITY; plan.dispatches.len()];
        for _ in 0..PROFILES {
            recording.submit(|input| input[..pixels.len()].copy_from_slice(pixels))?;
            recording.wait()?;
            let spent = recording.spent_ns()?;
            least.truncate(spent.len());
            least.iter_mut().zip(spent).for_each(|(least, ns)| *least = ns.min(*least));
        }
        let nodes = plan.nodes.iter().map(|&node| self.lowered.origins[node]);
        Ok(nodes.zip(least).map(|(node, ns)| StepTime { node, ms: ns * 1e-6 }).collect())
    }

    fn plan(&self, width: usize, height: usize) -> Result<Plan> {
        Plan::new(&self.lowered, (width, height), limits(&self.device))
    }

    fn buffers(&self, plan: &Plan) -> Result<Buffers> {
        let device = &self.device;
        let output_bytes = plan.output_bytes as u64;
        // On a GPU that shares the processor's memory kernels write where the processor reads; over a bus the result is better
        // copied at once.
        let shared = matches!(device.info.kind, Kind::Integrated | Kind::Software);
        let (output, download) = if shared {
            (Buffer::new(device, output_bytes, Use::Download)?, None)
        } else {
            let output = Buffer::new(device, output_bytes, Use::Device)?;
            (output, Some(Buffer::new(device, output_bytes, Use::Download)?))
        };
        Ok(Buffers {
            constants: Arc::clone(&self.constants),
            arena: Buffer::new(device, plan.arena_bytes, Use::Device)?,
            input: Buffer::new(device, plan.input_bytes as u64, Use::Upload)?,
            output,
            download,
        })
    }
}

fn limits(device: &Device) -> Limits {
    let limits = &device.properties.limits;
    Limits { invocations: limits.max_compute_work_group_invocations as usize, dot: device.uses_dot() }
}

/// A buffer for kernels with these bytes.
fn upload(device: &Arc<Device>, bytes: &[u8]) -> Result<Buffer> {
    let mut from = Buffer::new(device, bytes.len() as u64, Use::Upload)?;
    from.bytes_mut()?[..bytes.len()].copy_from_slice(bytes);
    from.flush()?;
    let to = Buffer::new(device, bytes.len() as u64, Use::Device)?;
    Recording::copy(device, &from, &to)?;
    Ok(to)
}

/// A network with all that a picture of one size needs on the GPU.
pub struct Frames {
    recording: Recording,
    size: [usize; 2],
    input_bytes: usize,
    output_bytes: usize,
}

impl Frames {
    /// Width and height of the pictures.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// Bytes of memory on the GPU, without weights.
    pub fn memory_bytes(&self) -> u64 {
        self.recording.memory_bytes()
    }

    /// Submits a picture, which [`Frames::wait`] is then for.
    ///
    /// # Shapes
    /// `pixels` is `[height, width, channels]`.
    ///
    /// # Errors
    /// [`Error::Lost`](crate::Error::Lost), [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    ///
    /// # Panics
    /// For another number of bytes, or while another picture was not waited for.
    pub fn submit(&mut self, pixels: &[u8]) -> Result<()> {
        assert_eq!(pixels.len(), self.input_bytes, "a picture of the size that the frames are for");
        self.recording.submit(|input| input[..pixels.len()].copy_from_slice(pixels))
    }

    /// Waits for the picture that was submitted.
    ///
    /// # Shapes
    /// `[height · upscale, width · upscale, channels]`.
    ///
    /// # Errors
    /// [`Error::Lost`](crate::Error::Lost), [`Error::Hang`](crate::Error::Hang).
    ///
    /// # Panics
    /// When none was submitted.
    pub fn wait(&mut self) -> Result<&[u8]> {
        assert!(self.recording.is_running(), "a picture was submitted");
        self.recording.wait()?;
        self.last()
    }

    /// The last picture that was waited for, once more.
    ///
    /// # Errors
    /// [`Error::Lost`](crate::Error::Lost).
    ///
    /// # Panics
    /// While another one was submitted.
    pub fn last(&self) -> Result<&[u8]> {
        assert!(!self.recording.is_running(), "the picture was waited for");
        Ok(&self.recording.result()?[..self.output_bytes])
    }

    /// A whole picture: [`Frames::submit`] and [`Frames::wait`].
    ///
    /// # Errors
    /// Of both.
    ///
    /// # Panics
    /// As both.
    pub fn run(&mut self, pixels: &[u8]) -> Result<&[u8]> {
        self.submit(pixels)?;
        self.wait()
    }
}
