//! Limits of values, which the engine has as ReLUs.

use super::{Lowering, Value, Why};
use crate::array::Array;
use crate::draft::Work;
use crate::net::Layer;
use crate::view::View;
use mcir_runtime::model::Activation;

impl Lowering<'_> {
    /// Limits, as ReLUs: `min(x, high) = high − max(high − x, 0)`.
    pub(super) fn clip(
        &mut self,
        layer: &Layer,
        view: &View,
        array: &dyn Fn(usize) -> Option<Array>,
    ) -> Result<Vec<Value>, Why> {
        let limit = |k: usize, name: &str| {
            let given = array(k).and_then(|a| a.scalar()).map(|v| v as f32);
            given.or_else(|| layer.attributes.contains_key(name).then(|| layer.float(name, 0.0)))
        };
        self.between(layer, view, limit(1, "min"), limit(2, "max"))
    }

    /// `Min` and `Max` of an image and a number.
    pub(super) fn limit(&mut self, layer: &Layer, inputs: &[Option<Value>]) -> Result<Vec<Value>, Why> {
        let (view, at) = match (inputs.first(), inputs.get(1), inputs.len()) {
            (Some(Some(Value::View(view))), Some(Some(Value::Constant(at))), 2)
            | (Some(Some(Value::Constant(at))), Some(Some(Value::View(view))), 2) => (view, at.scalar()),
            _ => return Err("the limit of an image by a number is done".into()),
        };
        let at = at.ok_or("its limit is not a single number")? as f32;
        let (low, high) = if layer.kind == "Min" { (None, Some(at)) } else { (Some(at), None) };
        self.turned(view, |l, x| l.between(layer, x, low, high))
    }

    fn between(
        &mut self,
        layer: &Layer,
        view: &View,
        low: Option<f32>,
        high: Option<f32>,
    ) -> Result<Vec<Value>, Why> {
        let mut node = self.image(view)?;
        let channels = self.draft.nodes[node].channels;
        let mut bend = |node: usize, sign: f32, at: f32| {
            let affine = |scale: f32, shift: f32| Work::Affine {
                scale: vec![scale; channels],
                shift: vec![shift; channels],
            };
            // The part above zero of sign·(x − at), and back.
            let moved = self.push(layer, affine(sign, -sign * at), &[node]);
            let cut = self.push(layer, Work::Activation(Activation::Relu), &[moved]);
            self.push(layer, affine(sign, at), &[cut])
        };
        if let Some(low) = low.filter(|low| *low > -1e9) {
            node = bend(node, 1.0, low);
        }
        if let Some(high) = high.filter(|high| *high < 1e9) {
            node = bend(node, -1.0, high);
        }
        Ok(self.value(node))
    }
}
