//! Pooling, and interpolation to the size of another edge.

use super::build::Attribute;
use super::{Export, Layout};
use mcir_runtime::model::{Filter, NodeId, Pool};

impl Export<'_> {
    /// Only whole windows begin before the image or end behind it in ONNX: what begins inside is cut off first.
    pub(super) fn max_pool(&mut self, name: &str, input: NodeId, pool: Pool) -> String {
        let Pool { window, stride, before, after } = pool;
        let mut x = self.edge(input, Layout::Planes);
        if before < 0 || after < 0 {
            let start = i64::from(-before.min(0));
            let end = if after < 0 { i64::from(after) } else { i64::MAX };
            let (starts, ends) = (self.builder.i64s(&[start, start]), self.builder.i64s(&[end, end]));
            let axes = self.builder.i64s(&[2, 3]);
            let inputs = [x.as_str(), &starts, &ends, &axes];
            x = self.builder.node(&format!("{name}.inside"), "Slice", &inputs, &[]);
        }
        let [window, stride] = [window, stride].map(|side| [i64::from(side); 2]);
        let [before, after] = [before, after].map(|rows| i64::from(rows.max(0)));
        let attributes = [
            ("kernel_shape", Attribute::Ints(&window)),
            ("strides", Attribute::Ints(&stride)),
            ("pads", Attribute::Ints(&[before, before, after, after])),
        ];
        self.builder.node(&format!("{name}.out"), "MaxPool", &[&x], &attributes)
    }

    /// To the size that the second input has when the network is run.
    pub(super) fn interpolate(&mut self, name: &str, inputs: &[NodeId], filter: Filter) -> String {
        let (x, like) = (self.edge(inputs[0], Layout::Planes), self.edge(inputs[1], Layout::Planes));
        let (zero, two, four) = (self.builder.i64s(&[0]), self.builder.i64s(&[2]), self.builder.i64s(&[4]));
        let builder = &mut self.builder;
        let shape = builder.node(&format!("{name}.shape"), "Shape", &[&x], &[]);
        let channels = builder.node(&format!("{name}.channels"), "Slice", &[&shape, &zero, &two], &[]);
        let shape = builder.node(&format!("{name}.like"), "Shape", &[&like], &[]);
        let sides = builder.node(&format!("{name}.sides"), "Slice", &[&shape, &two, &four], &[]);
        let axis = [("axis", Attribute::Int(0))];
        let sizes = builder.node(&format!("{name}.sizes"), "Concat", &[&channels, &sides], &axis);
        let (mode, transformation) = match filter {
            Filter::Nearest => ("nearest", "asymmetric"),
            Filter::Bilinear | Filter::Bicubic | Filter::SharpBicubic => ("linear", "half_pixel"),
        };
        let attributes = [
            ("mode", Attribute::Text(mode)),
            ("coordinate_transformation_mode", Attribute::Text(transformation)),
            ("nearest_mode", Attribute::Text("floor")),
        ];
        builder.node(&format!("{name}.out"), "Resize", &[&x, "", "", &sizes], &attributes)
    }
}
