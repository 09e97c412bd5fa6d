//! Interpolation: by a factor, and to the size of another edge.

use super::build::Attribute;
use super::{Export, Layout};
use mcir_runtime::model::{Filter, NodeId};

impl Export<'_> {
    /// By a factor, a whole number or one over such.
    pub(super) fn resize(&mut self, name: &str, input: NodeId, factor: f32, filter: Filter) -> String {
        let x = self.edge(input, Layout::Planes);
        let scales = self.builder.f32s(&format!("{name}.scales"), &[4], &[1.0, 1.0, factor, factor]);
        // Some readers refuse the coefficient elsewhere.
        let (mode, a) = match filter {
            Filter::Nearest => ("nearest", None),
            Filter::Bilinear | Filter::AlignedBilinear => ("linear", None),
            Filter::Bicubic => ("cubic", Some(-0.5)),
            Filter::SharpBicubic => ("cubic", Some(-0.75)),
        };
        let places = match filter {
            // The first of the pixels that become one.
            Filter::Nearest if factor < 1.0 => "asymmetric",
            Filter::AlignedBilinear => "align_corners",
            _ => "half_pixel",
        };
        let mut attributes = vec![
            ("mode", Attribute::Text(mode)),
            ("coordinate_transformation_mode", Attribute::Text(places)),
        ];
        if places == "asymmetric" {
            attributes.push(("nearest_mode", Attribute::Text("floor")));
        }
        attributes.extend(a.map(|a| ("cubic_coeff_a", Attribute::Float(a))));
        self.builder.node(&format!("{name}.out"), "Resize", &[&x, "", &scales], &attributes)
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
            Filter::AlignedBilinear => ("linear", "align_corners"),
        };
        let attributes = [
            ("mode", Attribute::Text(mode)),
            ("coordinate_transformation_mode", Attribute::Text(transformation)),
            ("nearest_mode", Attribute::Text("floor")),
        ];
        builder.node(&format!("{name}.out"), "Resize", &[&x, "", "", &sizes], &attributes)
    }
}
