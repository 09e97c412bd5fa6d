//! The models that the page offers, and what a client orders of them.

use mcir_runtime::plan::PlanOptions;
use mcir_upscale::args::Mode;
use mcir_upscale::device::Accelerator;
use mcir_upscale::embedded::{MODELS, families};
use mcir_upscale::error::Result;
use mcir_upscale::models::{ModelArgs, NamedModel};
use mcir_upscale::upscale::Models;
use mcir_upscale::upscaler::Upscaler;
use mcir_web::Request;
use serde::Serialize;

/// Factor where neither a model nor a factor is asked for; that of `upscale`.
const DEFAULT_UPSCALE: &str = "4";

/// What there is to choose from.
pub struct Menu {
    /// Models that the user brought, under the names that the page shows.
    own: Vec<(String, NamedModel)>,
    options: PlanOptions,
    mode: Mode,
    gpu: Option<Accelerator>,
}

/// A model, or a family of models that clean up more and more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// Its name.
    pub name: String,
    /// Its factor.
    pub upscale: usize,
    /// Steps of strength in percent; none where it has no strengths.
    pub strengths: Vec<u8>,
    /// Whether it was brought with `-m`.
    pub own: bool,
}

/// What a client wants its picture enlarged with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Order {
    /// The name of a [`Choice`]; without one the picture decides, as with `upscale`.
    pub model: Option<String>,
    /// The factor, where there is no model.
    pub upscale: Option<String>,
    /// Percent.
    pub strength: Option<u8>,
}

impl Menu {
    /// The embedded families, and these models.
    pub fn new(own: Vec<NamedModel>, options: PlanOptions, mode: Mode, gpu: Option<Accelerator>) -> Self {
        let mut menu = Self { own: Vec::new(), options, mode, gpu };
        for model in own {
            // A file that is called like a family is not to be taken for it.
            let taken = |name: &str| menu.choices().iter().any(|choice| choice.name == name);
            let numbered = (2..).map(|n| format!("{} ({n})", model.name));
            let name = std::iter::once(model.name.clone()).chain(numbered).find(|name| !taken(name));
            menu.own.push((name.expect("numbers do not end"), model));
        }
        menu
    }

    /// What the page offers, the user's own models first.
    pub fn choices(&self) -> Vec<Choice> {
        let own = self.own.iter().map(|(name, model)| {
            let (name, upscale) = (name.clone(), model.upscale());
            Choice { name, upscale, strengths: Vec::new(), own: true }
        });
        let families = families().map(|(clean, strengths)| Choice {
            name: clean.name.into(),
            upscale: clean.upscale,
            strengths,
            own: false,
        });
        own.chain(families).collect()
    }

    /// Factors for which the picture can decide.
    pub fn automatic() -> Vec<usize> {
        let mut factors: Vec<_> = MODELS.iter().map(|model| model.upscale).collect();
        factors.sort_unstable();
        factors.dedup();
        factors
    }

    /// What an order is upscaled with.
    ///
    /// # Errors
    /// As [`Models::choose`], for a model or factor that is not offered or has no strengths.
    pub fn models(&self, order: &Order) -> Result<Models> {
        let own = self.own.iter().find(|(name, _)| Some(name) == order.model.as_ref());
        if let (Some((_, model)), None) = (own, order.strength) {
            let upscaler = Upscaler::new(model.clone(), self.options).mode(self.mode).on(self.gpu.as_ref());
            return Ok(Models::only(upscaler));
        }
        if let Some(name) = &order.model
            && !self.choices().iter().any(|choice| choice.name == *name)
        {
            // A name on the page is never a path on this machine.
            let names = self.choices().into_iter().map(|choice| choice.name).collect::<Vec<_>>().join(", ");
            return Err(mcir_upscale::error::Error::NoModel { name: name.clone(), embedded: names });
        }
        let upscale = match (&order.model, &order.upscale) {
            (None, None) => Some(DEFAULT_UPSCALE.to_owned()),
            (_, upscale) => upscale.clone(),
        };
        let strength = order.strength.map(|percent| f32::from(percent) / 100.0);
        let args = ModelArgs { model: order.model.clone(), upscale, strength };
        Models::choose(&args, self.mode, self.options, self.gpu.as_ref())
    }
}

impl Order {
    /// What the query asks for.
    ///
    /// # Errors
    /// A message for the client.
    pub fn of(request: &Request) -> Result<Self, String> {
        let word = |name| request.word(name).filter(|word| !word.is_empty());
        let upscale = word("s");
        if let Some(factor) = &upscale
            && !Menu::automatic().iter().any(|n| n.to_string() == *factor)
        {
            return Err(format!("there is no model for the factor {}", mcir_files::name::escaped(factor)));
        }
        let strength = match word("strength").map(|word| word.parse::<u8>()) {
            None => None,
            Some(Ok(percent)) if percent <= 100 => Some(percent),
            Some(_) => return Err("a strength is a number from 0 to 100".into()),
        };
        Ok(Self { model: word("model"), upscale, strength })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn menu(own: &[&str]) -> Menu {
        let own = own.iter().map(|name| NamedModel::open(name).unwrap()).collect();
        Menu::new(own, PlanOptions::default(), Mode::Rgb, None)
    }

    fn order(query: &str) -> Result<Order, String> {
        let text = format!("GET /upscale?{query} HTTP/1.1\r\n\r\n");
        let rules = mcir_web::Rules::default();
        Order::of(&Request::parse(text.as_bytes(), &rules).unwrap().unwrap().0)
    }

    #[test]
    fn orders_are_what_upscale_understands() {
        let menu = menu(&["edsr-edge-x2.f32", "edsr-edge-x2.f32"]);
        let of = |query: &str| {
            let models = menu.models(&order(query).unwrap()).unwrap();
            let model = models.last().model();
            (model.name.clone(), model.precision(), model.upscale())
        };
        let found = |name: &str, precision, upscale| (name.to_owned(), precision, upscale);
        assert_eq!(of(""), found("edsr-edge-x4", "int8", 4));
        assert_eq!(of("s=3"), found("edsr-edge-x3", "int8", 3));
        assert_eq!(of("s=2&strength=100"), found("edsr-edge-x2-camera", "int8", 2));
        assert_eq!(of("model=edsr-edge-m-x2"), found("edsr-edge-m-x2", "int8", 2));
        assert_eq!(of("model=edsr-edge-x2&strength=60"), found("edsr-edge-x2-camera-50", "int8", 2));
        assert_eq!(of("model=edsr-edge-x2%20(2)"), found("edsr-edge-x2", "f32", 2));
        assert_eq!(of("model=edsr-edge-x2%20(3)"), found("edsr-edge-x2", "f32", 2));
        let own: Vec<_> = menu.choices().into_iter().filter(|c| c.own).map(|c| c.name).collect();
        assert_eq!(own, ["edsr-edge-x2 (2)", "edsr-edge-x2 (3)"]);
    }

    #[test]
    fn what_is_not_offered_is_refused() {
        let menu = menu(&["edsr-edge-x2.f32"]);
        for query in ["s=5", "s=0", "s=two", "strength=101", "strength=-1", "strength=x"] {
            assert!(order(query).is_err(), "{query}");
        }
        for query in [
            "model=/etc/passwd",
            "model=.",
            "model=edsr-edge-x2.f32",
            "model=edsr-edge-x2&s=4",
            "model=edsr-edge-x2%20(2)&strength=50",
        ] {
            assert!(menu.models(&order(query).unwrap()).is_err(), "{query}");
        }
    }
}
