//! Models that viewers of the live page choose while it runs.

use crate::live::{Choice, Control, Hub, Running, Wish};
use crate::raw::Space;
use mcir_runtime::plan::PlanOptions;
use mcir_upscale::args::Mode;
use mcir_upscale::device::Accelerator;
use mcir_upscale::embedded::{families, family_of};
use mcir_upscale::error::Result;
use mcir_upscale::models::NamedModel;
use mcir_upscale::upscaler::Upscaler;
use std::sync::Arc;

/// What makes an upscaler out of a viewer's wish.
pub struct Chooser {
    hub: Arc<Hub>,
    /// The model that the program was started with.
    own: NamedModel,
    remake: Remake,
}

/// How every model is run.
#[derive(Default)]
pub struct Remake {
    /// On the processor.
    pub options: PlanOptions,
    /// What the network sees.
    pub mode: Mode,
    /// The GPU, where one was asked for.
    pub gpu: Option<Accelerator>,
}

impl Chooser {
    /// Offers the embedded families, and the model that the program was started with where it is none of them. With
    /// `same_size` only those of its factor: a recording should not change its size at a viewer's whim. With `is_local` to
    /// viewers on this machine alone.
    pub fn new(hub: Arc<Hub>, own: NamedModel, remake: Remake, same_size: bool, is_local: bool) -> Self {
        let family = |(clean, strengths): (&mcir_upscale::embedded::Embedded, Vec<u8>)| Choice {
            name: clean.name.into(),
            upscale: clean.upscale,
            strengths,
        };
        let mut choices: Vec<Choice> =
            families().map(family).filter(|choice| !same_size || choice.upscale == own.upscale()).collect();
        let embedded = family_of(&own.name).filter(|_| own.precision() == "int8");
        let wish = match embedded {
            Some((name, strength)) => Wish { model: name.into(), strength: Some(strength) },
            None => {
                let name = own.name.clone();
                // A file that is called like a family is not to be taken for it.
                choices.retain(|choice| choice.name != name);
                choices
                    .insert(0, Choice { name: name.clone(), upscale: own.upscale(), strengths: Vec::new() });
                Wish { model: name, strength: None }
            }
        };
        hub.offer(Control { choices, wish, is_local });
        Self { hub, own, remake }
    }

    /// Whether anything was chosen since the last call of [`Chooser::chosen`].
    pub fn waits(&self) -> bool {
        self.hub.has_wish()
    }

    /// An upscaler with what was chosen since the last call, if anything was. It is then said whether it [runs](Self::runs), or
    /// whether what ran before [goes on](Self::keep).
    ///
    /// # Errors
    /// As [`NamedModel::at_strength`].
    pub fn chosen(&self) -> Option<Result<Upscaler>> {
        let wish = self.hub.take_wish()?;
        let model = match wish.strength {
            Some(percent) => NamedModel::at_strength(&wish.model, f32::from(percent) / 100.0),
            None => Ok(self.own.clone()),
        };
        Some(model.map(|model| {
            Upscaler::new(model, self.remake.options).mode(self.remake.mode).on(self.remake.gpu.as_ref())
        }))
    }

    /// This one is run from now on.
    pub fn runs(&self, upscaler: &Upscaler) {
        self.hub.runs(running(upscaler));
    }

    /// What ran before goes on, and the page shows it.
    pub fn keep(&self) {
        self.hub.keeps();
    }
}

/// What a model is called, and how it is run.
pub fn running(upscaler: &Upscaler) -> Running {
    let model = upscaler.model();
    let (precision, upscale) = (model.precision(), model.upscale());
    let mode = if upscaler.space() == Space::YCbCr { "y" } else { "rgb" };
    Running { model: model.name.clone(), precision, upscale, mode }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chooser(name: &str, same_size: bool) -> (Chooser, Arc<Hub>) {
        let hub = Arc::new(Hub::default());
        let own = NamedModel::open(name).unwrap();
        (Chooser::new(Arc::clone(&hub), own, Remake::default(), same_size, true), hub)
    }

    #[test]
    fn what_is_chosen_runs() {
        let (chooser, hub) = chooser("edsr-edge-x2-camera", false);
        let control = hub.status().control.unwrap();
        assert_eq!(control.wish, Wish { model: "edsr-edge-x2".into(), strength: Some(100) });
        assert!(control.choices.iter().any(|choice| choice.upscale == 4));
        assert!(chooser.chosen().is_none());
        for choice in &control.choices {
            for &strength in &choice.strengths {
                hub.choose(&choice.name, Some(strength)).unwrap();
                // The first of all runs already when its turn comes.
                let Some(upscaler) = chooser.chosen() else { continue };
                let upscaler = upscaler.unwrap();
                assert_eq!(upscaler.model().upscale(), choice.upscale);
                let found = family_of(&upscaler.model().name);
                assert_eq!(found, Some((choice.name.as_str(), strength)));
                chooser.runs(&upscaler);
                assert_eq!(hub.status().model, upscaler.model().name);
                assert_eq!(hub.status().mode, "rgb");
            }
        }
    }

    #[test]
    fn what_cannot_run_is_not_shown_as_running() {
        let (chooser, hub) = chooser("edsr-edge-x2-camera", false);
        let wish = || hub.status().control.unwrap().wish;
        let before = wish();
        hub.choose("edsr-edge-x4", Some(0)).unwrap();
        hub.choose("edsr-edge-x4", Some(100)).unwrap();
        assert!(chooser.chosen().unwrap().is_ok());
        chooser.keep();
        assert_eq!(wish(), before);
        // A choice made in the meantime counts.
        hub.choose("edsr-edge-x4", Some(0)).unwrap();
        assert!(chooser.chosen().unwrap().is_ok());
        hub.choose("edsr-edge-x3", Some(0)).unwrap();
        chooser.keep();
        assert_eq!(wish().model, "edsr-edge-x3");
        chooser.runs(&chooser.chosen().unwrap().unwrap());
        hub.choose("edsr-edge-x4", Some(0)).unwrap();
        assert!(chooser.chosen().is_some());
        chooser.keep();
        assert_eq!(wish().model, "edsr-edge-x3");
    }

    #[test]
    fn a_recording_keeps_its_size_and_a_model_of_ones_own_can_be_gone_back_to() {
        let (chooser, hub) = chooser("edsr-edge-x4.f32", true);
        let control = hub.status().control.unwrap();
        assert!(control.choices.iter().all(|choice| choice.upscale == 4));
        assert_eq!(control.wish, Wish { model: "edsr-edge-x4".into(), strength: None });
        hub.choose("edsr-edge-m-x4", Some(0)).unwrap();
        assert_eq!(chooser.chosen().unwrap().unwrap().model().precision(), "int8");
        hub.choose("edsr-edge-x4", None).unwrap();
        assert_eq!(chooser.chosen().unwrap().unwrap().model().precision(), "f32");
    }
}
