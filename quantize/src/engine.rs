//! Running a model on images of many widths: a [`Runner`] keeps the plans of the last few.

use mcir_runtime::error::RunError;
use mcir_runtime::exec::{EdgeRow, Workspace};
use mcir_runtime::image::Image;
use mcir_runtime::model::{Model, NodeId};
use mcir_runtime::plan::{Plan, PlanOptions};

use crate::error::QuantizeError;

/// Plans kept; folders of photographs mostly have two widths. They share the packed weights.
const KEPT: usize = 3;

/// A model with plans and workspaces for the widths that were used last; one for each thread.
pub struct Runner<'m> {
    model: &'m Model,
    options: PlanOptions,
    /// Most recent last.
    plans: Vec<(Plan, Workspace)>,
}

impl<'m> Runner<'m> {
    /// For output images.
    pub fn new(model: &'m Model) -> Self {
        Self { model, options: PlanOptions::default(), plans: Vec::new() }
    }

    /// For observing edges in the documented channel order.
    pub fn observing(model: &'m Model) -> Self {
        Self { options: PlanOptions::default().observable(true), ..Self::new(model) }
    }

    /// The upscaled image.
    ///
    /// # Errors
    /// What the engine refuses.
    pub fn upscale(&mut self, lr: &Image) -> Result<Image, QuantizeError> {
        let upscale = usize::from(self.model.upscale());
        let channels = self.model.out_channels();
        let (width, height) = (lr.width() * upscale, lr.height() * upscale);
        let mut out = vec![0; width * height * channels];
        let (plan, workspace) = self.plan(lr.width())?;
        plan.run_image(workspace, lr.data(), lr.height(), &mut out)?;
        Ok(Image::new(width, height, channels, out)?)
    }

    /// Shows every row of every edge to `observer`.
    ///
    /// # Errors
    /// What the engine refuses.
    pub fn observe(
        &mut self,
        lr: &Image,
        observer: &mut dyn FnMut(NodeId, usize, EdgeRow<'_>),
    ) -> Result<(), QuantizeError> {
        let (plan, workspace) = self.plan(lr.width())?;
        let run: Result<(), RunError> = plan.observe(workspace, lr.data(), lr.height(), observer);
        Ok(run?)
    }

    fn plan(&mut self, width: usize) -> Result<&mut (Plan, Workspace), QuantizeError> {
        let entry = match self.plans.iter().position(|(plan, _)| plan.width() == width) {
            Some(at) => self.plans.remove(at),
            None => {
                let plan = match self.plans.last() {
                    Some((other, _)) => Plan::of(other.packed(), width, &self.options)?,
                    None => Plan::new(self.model, width, &self.options)?,
                };
                let workspace = plan.workspace();
                (plan, workspace)
            }
        };
        if self.plans.len() == KEPT {
            self.plans.remove(0);
        }
        self.plans.push(entry);
        Ok(self.plans.last_mut().expect("just pushed"))
    }
}
