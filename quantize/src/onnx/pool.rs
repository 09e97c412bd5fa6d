//! Pooling.

use super::build::Attribute;
use super::{Export, Layout};
use mcir_runtime::model::{NodeId, Pool};

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
}
