//! A model with its packed weights and the plan for the width that was last seen.

use crate::device::{Accelerator, Placed};
use crate::error::{Error, Result};
use mcir_runtime::exec::{Frame, Workspace};
use mcir_runtime::model::Model;
use mcir_runtime::plan::{PackedModel, Plan, PlanOptions};

/// A model that is run on images of one width after the other, `N` of them at a time. All plans share the packed weights.
pub(super) struct Engine<const N: usize> {
    model: Model,
    packed: Option<PackedModel>,
    ready: Option<(Plan, [Workspace; N])>,
    /// Of the last image.
    height: usize,
    gpu: Option<Placed>,
}

impl<const N: usize> Engine<N> {
    /// Prepares nothing yet; the plan is made for the first image.
    pub fn new(model: Model) -> Self {
        Self { model, packed: None, ready: None, height: 0, gpu: None }
    }

    /// The same, on a GPU as far as that goes.
    #[must_use]
    pub fn on(self, gpu: Option<&Accelerator>) -> Self {
        Self { gpu: gpu.map(Placed::new), ..self }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Whether a GPU takes images of this width and height.
    pub fn prepare_on_gpu(&mut self, size: [usize; 2]) -> bool {
        let Self { gpu: Some(gpu), model, .. } = self else { return false };
        gpu.takes(model, size)
    }

    /// A whole image, of the size that was prepared; nothing when the GPU fails.
    pub fn run_on_gpu(&mut self, pixels: &[u8]) -> Option<&[u8]> {
        self.gpu.as_mut()?.run(pixels)
    }

    /// Begins an image on the GPU, to be taken by [`Engine::take`]; whether it was begun.
    pub fn submit(&mut self, size: [usize; 2], pixels: &[u8]) -> bool {
        let Self { gpu: Some(gpu), model, .. } = self else { return false };
        gpu.submit(model, size, pixels)
    }

    /// The image that was begun first; nothing when the GPU has failed.
    pub fn take(&mut self) -> Option<&[u8]> {
        self.gpu.as_mut()?.take()
    }

    /// The GPU, if it is used.
    pub fn gpu(&self) -> Option<&str> {
        self.gpu.as_ref()?.name()
    }

    /// What there is to say about the GPU, once.
    pub fn take_note(&mut self) -> Option<String> {
        self.gpu.as_mut()?.take_note()
    }

    /// The plan for the last image's width.
    pub fn plan(&self) -> Option<&Plan> {
        self.ready.as_ref().map(|(plan, _)| plan)
    }

    /// Working memory and packed weights in bytes, of all that run at a time.
    pub fn memory_bytes(&self) -> usize {
        if let Some(gpu) = self.gpu.as_ref().filter(|gpu| gpu.name().is_some()) {
            return gpu.memory_bytes();
        }
        let Some(plan) = self.plan() else { return 0 };
        let all = plan.memory_bytes(self.height).unwrap_or(0);
        N * all.saturating_sub(plan.weight_bytes()) + plan.weight_bytes()
    }

    /// Gives working memory back; packed weights stay.
    pub fn rest(&mut self) {
        self.ready = None;
        if let Some(gpu) = &mut self.gpu {
            gpu.rest();
        }
    }

    /// Begins images of this width and height.
    ///
    /// # Errors
    /// [`Error::Plan`] when the engine cannot take the width, [`Error::Run`]; both name the model so.
    pub fn frames(
        &mut self,
        name: &str,
        options: &PlanOptions,
        width: usize,
        height: usize,
    ) -> Result<[Frame<'_>; N]> {
        let unplanned = |source| Error::Plan { name: name.into(), source };
        if self.ready.as_ref().is_none_or(|(plan, _)| plan.width() != width) {
            // The old workspace goes before the new one comes.
            self.ready = None;
            let plan = match &self.packed {
                Some(packed) => Plan::of(packed, width, options),
                None => Plan::new(&self.model, width, options),
            };
            let plan = plan.map_err(unplanned)?;
            self.packed = Some(plan.packed().clone());
            let mut workspaces = Vec::with_capacity(N);
            for _ in 0..N {
                workspaces.push(plan.try_workspace().map_err(unplanned)?);
            }
            let workspaces = workspaces.try_into().unwrap_or_else(|_| unreachable!("as many as were made"));
            self.ready = Some((plan, workspaces));
        }
        self.height = height;
        let (plan, workspaces) = self.ready.as_mut().expect("the plan was just made");
        let mut frames = Vec::with_capacity(N);
        for workspace in workspaces {
            let frame = plan.begin(workspace, height);
            frames.push(frame.map_err(|source| Error::Run { name: name.into(), source })?);
        }
        Ok(frames.try_into().unwrap_or_else(|_| unreachable!("one for each workspace")))
    }
}
