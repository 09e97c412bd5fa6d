//! GELU as the arithmetic that it is: `x/2 · (1 + erf(x/√2))`, in any order.

use super::{Lowering, Value, Why};
use crate::draft::Work;
use crate::net::Layer;
use crate::view::View;
use mcir_runtime::model::Activation;

/// `factor · (erf(of) + plus)`
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Erf {
    of: View,
    factor: f64,
    plus: f64,
}

impl Lowering<'_> {
    /// What an operator makes of an error function, or the one that it begins; nothing if it does neither.
    pub(super) fn erf(&mut self, layer: &Layer, inputs: &[Option<Value>]) -> Option<Result<Vec<Value>, Why>> {
        let operands = [0, 1].map(|k| inputs.get(k).and_then(Option::as_ref));
        let kept = |erf: Erf| Some(Ok(vec![Value::Erf(erf)]));
        match (layer.kind.as_str(), operands) {
            ("Erf", [Some(Value::View(of)), _]) => kept(Erf { of: of.clone(), factor: 1.0, plus: 0.0 }),
            ("Identity" | "Cast", [Some(Value::Erf(erf)), _]) => kept(erf.clone()),
            (
                "Add",
                [Some(Value::Erf(erf)), Some(Value::Constant(by))]
                | [Some(Value::Constant(by)), Some(Value::Erf(erf))],
            ) => kept(Erf { plus: erf.plus + by.scalar()? / erf.factor, ..erf.clone() }),
            (
                "Mul",
                [Some(Value::Erf(erf)), Some(Value::Constant(by))]
                | [Some(Value::Constant(by)), Some(Value::Erf(erf))],
            ) => kept(Erf { factor: erf.factor * by.scalar()?, ..erf.clone() }),
            (
                "Mul",
                [Some(Value::Erf(erf)), Some(Value::View(x))] | [Some(Value::View(x)), Some(Value::Erf(erf))],
            ) => Some(self.gelu(layer, x, erf)),
            (_, [Some(Value::Erf(_)), _] | [_, Some(Value::Erf(_))]) => {
                Some(Err("an error function is done as a part of GELU, x/2 · (1 + erf(x/√2))".into()))
            }
            _ => None,
        }
    }

    fn gelu(&mut self, layer: &Layer, x: &View, erf: &Erf) -> Result<Vec<Value>, Why> {
        let ((base, mine), (argument, theirs)) = (self.unscaled(x), self.unscaled(&erf.of));
        let root = std::f64::consts::FRAC_1_SQRT_2;
        let fits = base == argument && (theirs - root).abs() < 1e-6 && (erf.plus - 1.0).abs() < 1e-6;
        if !fits {
            return Err("an error function is done as a part of GELU, x/2 · (1 + erf(x/√2))".into());
        }
        let found = self.activation(layer, &base, Activation::Gelu)?;
        let factor = (2.0 * mine * erf.factor) as f32;
        match &found[..] {
            [Value::View(view)] if (factor - 1.0).abs() > 1e-6 => {
                self.turned(view, |l, x| l.affine(layer, x, |_| (factor, 0.0)))
            }
            _ => Ok(found),
        }
    }

    /// A view without a factor that is the same for all channels, and that factor.
    fn unscaled(&self, view: &View) -> (View, f64) {
        let (mut at, mut factor) = (view.node, 1.0);
        while let Work::Affine { scale, shift } = &self.draft.nodes[at].work {
            let uniform = shift.iter().all(|s| *s == 0.0) && scale.iter().all(|s| *s == scale[0]);
            if !uniform {
                break;
            }
            factor *= f64::from(scale[0]);
            at = self.draft.nodes[at].inputs[0];
        }
        (View { node: at, ..view.clone() }, factor)
    }
}
