//! [`Named`]: parameters by their names in published checkpoints, for networks that are written for burn alone.

use super::{blend, param};
use crate::seed::{Purpose, Stream};
use crate::weights::{Tensors, WeightsError};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

/// What networks have in common that are a struct of `named` parameters, a `config` that has their `specs`, and a `precision`.
macro_rules! named_network {
    ($net:ident, $config:ty) => {
        impl $net {
            /// A network with the given values.
            ///
            /// # Errors
            /// A tensor that is missing, left over, of the wrong shape or not finite.
            pub fn from_tensors(
                config: &$config,
                tensors: &$crate::weights::Tensors,
                device: &burn::tensor::Device,
            ) -> Result<Self, $crate::weights::WeightsError> {
                let named = $crate::net::named::Named::from_tensors(config.specs(), tensors, device)?;
                Ok(Self { named, config: config.clone(), precision: $crate::conv::Precision::F32 })
            }

            /// A network with random weights, drawn as the publication's are.
            ///
            /// # Errors
            /// None that a valid configuration can cause.
            pub fn random(
                config: &$config,
                seed: u64,
                device: &burn::tensor::Device,
            ) -> Result<Self, $crate::weights::WeightsError> {
                Self::from_tensors(config, &$crate::net::named::Named::random(config.specs(), seed), device)
            }

            /// The same network with convolutions in another precision.
            pub fn with_precision(self, precision: $crate::conv::Precision) -> Self {
                Self { precision, ..self }
            }

            /// What its convolutions compute in.
            pub fn precision(&self) -> $crate::conv::Precision {
                self.precision
            }

            /// Its shape.
            pub fn config(&self) -> &$config {
                &self.config
            }

            /// All values, as `from_tensors` takes them.
            pub fn to_tensors(&self) -> $crate::weights::Tensors {
                self.named.to_tensors()
            }

            /// `keep · self + (1 − keep) · newer`, parameter by parameter.
            ///
            /// # Panics
            /// If the two networks have different shapes.
            pub fn blend(self, newer: &Self, keep: f64) -> Self {
                assert_eq!(self.config, newer.config, "only networks of one architecture can be blended");
                Self { named: self.named.blend(&newer.named, keep), ..self }
            }
        }
    };
}
pub(super) use named_network;

/// A parameter: what it is called, its shape and how it starts.
pub(super) struct Spec {
    name: String,
    shape: Vec<usize>,
    start: Start,
}

/// First values of a parameter.
#[derive(Clone, Copy)]
pub(super) enum Start {
    Constant(f32),
    Uniform(f32),
    Normal(f32),
}

impl Start {
    /// PyTorch's default for a layer whose outputs are sums of so many products.
    pub(super) fn of_sum(terms: usize) -> Self {
        Self::Uniform(1.0 / (terms as f32).sqrt())
    }
}

impl Spec {
    pub(super) fn new(name: String, shape: &[usize], start: Start) -> Self {
        Self { name, shape: shape.to_vec(), start }
    }

    /// Weight and bias of a convolution `[out, in, kernel, kernel]`, as PyTorch starts them.
    pub(super) fn conv(name: &str, shape: [usize; 4]) -> [Self; 2] {
        let start = Start::of_sum(shape[1] * shape[2] * shape[3]);
        [
            Self::new(format!("{name}.weight"), &shape, start),
            Self::new(format!("{name}.bias"), &shape[..1], start),
        ]
    }
}

/// A parameter of any rank.
#[derive(Module, Debug)]
pub enum Value {
    /// Biases and layer norms.
    Vector(Param<Tensor<1>>),
    /// Linear layers, `[out, in]`.
    Matrix(Param<Tensor<2>>),
    /// Convolutions, `[out, in, kernel, kernel]`, and factors of channels, `[1, C, 1, 1]`.
    Kernel(Param<Tensor<4>>),
}

/// Parameters by name.
#[derive(Module, Debug)]
pub struct Named {
    /// In the order of the names.
    values: Vec<Value>,
    /// Sorted.
    #[module(skip)]
    names: Vec<String>,
}

impl Named {
    /// Parameters with the given values.
    ///
    /// # Errors
    /// A tensor that is missing, left over, of the wrong shape or not finite.
    pub(super) fn from_tensors(
        mut specs: Vec<Spec>,
        tensors: &Tensors,
        device: &Device,
    ) -> Result<Self, WeightsError> {
        specs.sort_by(|a, b| a.name.cmp(&b.name));
        let mut values = Vec::with_capacity(specs.len());
        for (place, spec) in specs.iter().enumerate() {
            let data = tensors.get(&spec.name, &spec.shape)?.to_vec();
            values.push(match *spec.shape {
                [n] => Value::Vector(param(place, data, [n], true, device)),
                [o, i] => Value::Matrix(param(place, data, [o, i], true, device)),
                [o, i, h, w] => Value::Kernel(param(place, data, [o, i, h, w], true, device)),
                _ => unreachable!("specs have one, two or four dimensions"),
            });
        }
        tensors.expect_len(specs.len())?;
        Ok(Self { values, names: specs.into_iter().map(|spec| spec.name).collect() })
    }

    /// Values that a training begins with.
    pub(super) fn random(specs: Vec<Spec>, seed: u64) -> Tensors {
        let mut tensors = Tensors::default();
        for (index, spec) in specs.into_iter().enumerate() {
            let mut stream = Stream::new(seed, Purpose::Weights, index as u64);
            let n = spec.shape.iter().product();
            let values = match spec.start {
                Start::Constant(value) => vec![value; n],
                Start::Uniform(bound) => (0..n).map(|_| stream.symmetric(bound)).collect(),
                Start::Normal(deviation) => (0..n).map(|_| deviation * stream.normal()).collect(),
            };
            tensors.insert(spec.name, spec.shape, values);
        }
        tensors
    }

    /// All values, as [`Named::from_tensors`] takes them.
    pub fn to_tensors(&self) -> Tensors {
        let mut tensors = Tensors::default();
        for (name, value) in self.iter() {
            let data = match value {
                Value::Vector(v) => v.val().into_data(),
                Value::Matrix(v) => v.val().into_data(),
                Value::Kernel(v) => v.val().into_data(),
            };
            let shape = data.shape().to_vec();
            tensors.insert(name.into(), shape, data.try_into_vec().expect("parameters are f32"));
        }
        tensors
    }

    /// `keep · self + (1 − keep) · newer`, parameter by parameter, of two networks of one shape.
    pub(super) fn blend(self, newer: &Self, keep: f64) -> Self {
        let values = self.values.into_iter().zip(&newer.values).map(|(old, new)| match (old, new) {
            (Value::Vector(a), Value::Vector(b)) => Value::Vector(blend(a, b, keep)),
            (Value::Matrix(a), Value::Matrix(b)) => Value::Matrix(blend(a, b, keep)),
            (Value::Kernel(a), Value::Kernel(b)) => Value::Kernel(blend(a, b, keep)),
            (Value::Vector(_) | Value::Matrix(_) | Value::Kernel(_), _) => {
                unreachable!("equal shapes have equal parameters")
            }
        });
        Self { values: values.collect(), ..self }
    }

    /// Holds the gradients of a loss against others, which may be off by a part of the largest of a parameter, or of `least`.
    #[cfg(test)]
    pub(super) fn assert_gradients(&self, loss: Tensor<1>, expected: &Tensors, tolerance: f32, least: f32) {
        let grads = loss.backward();
        for (name, value) in self.iter() {
            let found = match value {
                Value::Vector(v) => v.val().grad(&grads).expect(name).into_data(),
                Value::Matrix(v) => v.val().grad(&grads).expect(name).into_data(),
                Value::Kernel(v) => v.val().grad(&grads).expect(name).into_data(),
            };
            let found = found.try_into_vec::<f32>().expect("f32");
            let shape = expected.shape(name).expect(name).to_vec();
            let expected = expected.get(name, &shape).expect(name);
            let size = expected.iter().fold(least, |m, v| m.max(v.abs()));
            for (f, e) in found.iter().zip(expected) {
                assert!((f - e).abs() < tolerance * size, "{name}: {f} for {e}");
            }
        }
    }

    /// Names and parameters, in the order of the names.
    fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.names.iter().map(String::as_str).zip(&self.values)
    }

    /// Whether there is a parameter of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.binary_search_by(|n| n.as_str().cmp(name)).is_ok()
    }

    fn value(&self, name: &str) -> &Value {
        let place = self.names.binary_search_by(|n| n.as_str().cmp(name));
        &self.values[place.expect("specs and forward name the same parameters")]
    }

    pub(super) fn kernel(&self, name: &str) -> Tensor<4> {
        match self.value(name) {
            Value::Kernel(v) => v.val(),
            Value::Vector(_) | Value::Matrix(_) => unreachable!("{name} has four dimensions"),
        }
    }

    pub(super) fn matrix(&self, name: &str) -> Tensor<2> {
        match self.value(name) {
            Value::Matrix(v) => v.val(),
            Value::Vector(_) | Value::Kernel(_) => unreachable!("{name} has two dimensions"),
        }
    }

    pub(super) fn vector(&self, name: &str) -> Tensor<1> {
        match self.value(name) {
            Value::Vector(v) => v.val(),
            Value::Matrix(_) | Value::Kernel(_) => unreachable!("{name} has one dimension"),
        }
    }
}
