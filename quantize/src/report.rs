//! What the commands print: tables for people, the same values as JSON.

use crate::cost::{BASIS, KeptNode, precision_of, total_ms};
use crate::gate::{CAP_DB, Drops};
use crate::params::dtype_name;
use crate::rewrite::Precision;
use crate::sensitivity::{EdgeSnr, Sensitivity};
use mcir_runtime::error::PlanError;
use mcir_runtime::model::{DType, Extent, Model, NodeId};
use mcir_runtime::plan::{Plan, PlanOptions};
use serde::Serialize;
use std::fmt::Write as _;

/// Version of the JSON objects; a field that changes its meaning raises it.
pub const SCHEMA: u32 = 2;

/// Real values that an edge can hold; `None` for floats.
pub fn range(dtype: DType) -> Option<[f64; 2]> {
    let at = |scale: f32, level: i32| f64::from(scale) * f64::from(level);
    match dtype {
        DType::F32 => None,
        DType::I8 { scale, zero_point } => {
            let zero = i32::from(zero_point);
            Some([at(scale, -128 - zero), at(scale, 127 - zero)])
        }
        DType::I16 { scale } => Some([at(scale, -32767), at(scale, 32767)]),
    }
}

/// One node of a model, as `inspect` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeRow {
    /// Number.
    pub id: NodeId,
    /// Name.
    pub name: String,
    /// Operator.
    pub op: String,
    /// Numbers of the nodes read.
    pub inputs: Vec<NodeId>,
    /// Channels of its edge.
    pub channels: u16,
    /// Rows and columns of its edge: `HxW` those of the input, `2Hx2W` twice as many, `1x1` what is known of a whole image,
    /// `pooled` what a pooling leaves.
    pub extent: String,
    /// Element type of its edge.
    pub dtype: String,
    /// Real values that the edge can hold; `None` for floats.
    pub range: Option<[f64; 2]>,
    /// Multiply-accumulates for one pixel of the input image.
    pub macs_per_pixel: u64,
    /// Bytes of its parameters.
    pub param_bytes: usize,
}

/// All that `inspect` tells about a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Version of this object.
    pub schema: u32,
    /// Upscaling factor.
    pub upscale: u8,
    /// Whether any edge carries integers.
    pub quantized: bool,
    /// Name, provenance and results.
    pub metadata: Vec<(String, String)>,
    /// Number of parameters.
    pub num_params: u64,
    /// Size of the file in bytes.
    pub file_bytes: usize,
    /// Multiply-accumulates for one pixel of the input image.
    pub macs_per_pixel: u64,
    /// The part of them in convolutions that read 8-bit integers, 0..1.
    pub int8_macs_part: f64,
    /// The part of them in convolutions that read 16-bit integers, 0..1.
    pub int16_macs_part: f64,
    /// Predicted milliseconds for one image, for the machine and image size of `predicted_for`.
    pub predicted_ms: f64,
    /// What the prediction is based on.
    pub predicted_for: &'static str,
    /// Width that the memory is for, in pixels.
    pub width: usize,
    /// Working memory for images of this width, in bytes; of this height, too, if the network looks at the whole image.
    pub memory_bytes: usize,
    /// The nodes.
    pub nodes: Vec<NodeRow>,
}

/// Describes a model and plans it for images of `width` pixels.
///
/// # Errors
/// What the engine refuses: an impossible width, or an operator that it does not have.
pub fn summary(model: &Model, width: usize) -> Result<Summary, PlanError> {
    let plan = Plan::new(model, width, &PlanOptions::default())?;
    let graph = model.graph();
    let (mut int8_macs, mut int16_macs) = (0, 0);
    let nodes = (0..).zip(&graph.nodes).map(|(id, node)| {
        let shape = model.shape(id);
        let macs_per_pixel = model.node_macs_per_pixel(id);
        match precision_of(model, id) {
            Precision::Int8 => int8_macs += macs_per_pixel,
            Precision::Int16 => int16_macs += macs_per_pixel,
            Precision::F32 => {}
        }
        let specs = model.param_specs(id);
        NodeRow {
            id,
            name: node.name.clone(),
            op: node.op.name().into(),
            inputs: node.inputs.clone(),
            channels: shape.channels,
            extent: extent_text(shape.extent),
            dtype: dtype_name(node.dtype).into(),
            range: range(node.dtype),
            macs_per_pixel,
            param_bytes: specs.iter().map(|s| s.len() * s.element.size_bytes()).sum(),
        }
    });
    let nodes = nodes.collect();
    let macs_per_pixel = model.macs_per_pixel();
    Ok(Summary {
        schema: SCHEMA,
        upscale: model.upscale(),
        quantized: model.is_quantized(),
        metadata: model.metadata().to_vec(),
        num_params: model.num_params(),
        file_bytes: model.to_bytes().len(),
        macs_per_pixel,
        int8_macs_part: int8_macs as f64 / macs_per_pixel.max(1) as f64,
        int16_macs_part: int16_macs as f64 / macs_per_pixel.max(1) as f64,
        predicted_ms: total_ms(model),
        predicted_for: BASIS,
        width,
        // As high as it is wide, where that matters.
        memory_bytes: plan.memory_bytes(width)?,
        nodes,
    })
}

fn extent_text(extent: Extent) -> String {
    match extent {
        Extent::Times(1) => "HxW".into(),
        Extent::Times(r) => format!("{r}Hx{r}W"),
        Extent::Part { times: 1, of } => format!("H/{of}xW/{of}"),
        Extent::Part { times, of } => format!("{times}H/{of}x{times}W/{of}"),
        Extent::One => "1x1".into(),
        Extent::Pooled { .. } => "pooled".into(),
    }
}

impl Summary {
    /// The summary as a table.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.metadata {
            let _ = writeln!(text, "{key}: {value}");
        }
        let name = self.nodes.iter().map(|n| n.name.len()).max().unwrap_or(4).max(4);
        let _ = writeln!(
            text,
            "{:>4}  {:name$}  {:15}  {:>11}  {:5}  {:>21}  {:>9}  {:>8}  reads",
            "node", "name", "operator", "shape", "dtype", "range", "MAC/px", "bytes"
        );
        for node in &self.nodes {
            let shape = format!("{}x{}", node.extent, node.channels);
            let range = node.range.map_or_else(String::new, |[lo, hi]| format!("{lo:.4} .. {hi:.4}"));
            let reads: Vec<String> = node.inputs.iter().map(ToString::to_string).collect();
            let _ = writeln!(
                text,
                "{:>4}  {:name$}  {:15}  {shape:>11}  {:5}  {range:>21}  {:>9}  {:>8}  {}",
                node.id,
                node.name,
                node.op,
                node.dtype,
                node.macs_per_pixel,
                node.param_bytes,
                reads.join(" ")
            );
        }
        let _ = writeln!(
            text,
            "x{}: {} parameters, {} bytes as a file, {} MAC per input pixel ({:.1} % in int8, {:.1} % in int16), \
             {} bytes of working memory for width {}; at least {:.1} ms on {}",
            self.upscale,
            self.num_params,
            self.file_bytes,
            self.macs_per_pixel,
            100.0 * self.int8_macs_part,
            100.0 * self.int16_macs_part,
            self.memory_bytes,
            self.width,
            self.predicted_ms,
            self.predicted_for
        );
        text
    }
}

/// The drops as a table, one line an image, and a summary.
pub fn drops_to_text(drops: &Drops) -> String {
    let name = drops.images.iter().map(|i| i.name.chars().count()).max().unwrap_or(5).max(5);
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:name$}  {:>11}  {:>8}  {:>8}  {:>8}",
        "image", "size", "f32 dB", "int8 dB", "drop dB"
    );
    for image in &drops.images {
        let size = format!("{}x{}", image.width, image.height);
        let _ = writeln!(
            text,
            "{:name$}  {size:>11}  {:>8.3}  {:>8.3}  {:>8.4}",
            image.name, image.psnr_f32_db, image.psnr_int8_db, image.drop_db
        );
    }
    let _ = writeln!(
        text,
        "{:name$}  {:>11}  {:>8.3}  {:>8.3}  {:>8.4}",
        "mean", "", drops.psnr_f32_db, drops.psnr_int8_db, drops.mean_drop_db
    );
    if drops.images.len() > 1 {
        let _ = writeln!(text, "\n{:>20}  images", "drop dB");
        for bin in &drops.histogram {
            let bar = "#".repeat((40 * bin.images).div_ceil(drops.images.len()));
            let range = format!("{:.4} .. {:.4}", bin.from_db, bin.to_db);
            let _ = writeln!(text, "{range:>20}  {:>6}  {bar}", bin.images);
        }
    }
    let exact = drops.images.iter().filter(|i| i.psnr_f32_db.max(i.psnr_int8_db) >= CAP_DB).count();
    if exact > 0 {
        let images = mcir_files::name::counted(exact, "image");
        let _ = writeln!(text, "{images} came out exact, which counts as {CAP_DB} dB in the means");
    }
    let worst = drops.worst();
    let _ = writeln!(text, "worst: {} loses {:.4} dB", worst.name, worst.drop_db);
    let _ = writeln!(text, "int8 pictures against f32 ones: {:.1} dB", drops.agreement_db);
    text
}

/// The convolutions that are not in int8 as a table, with the basis of the prediction; empty without any.
pub fn kept_to_text(kept: &[KeptNode]) -> String {
    let mut text = String::new();
    if kept.is_empty() {
        return text;
    }
    let name = kept.iter().map(|k| k.name.len()).max().unwrap_or(0).max(11);
    let _ = writeln!(
        text,
        "{:name$}  {:7}  {:>9}  {:>6}  {:>12}  {:>10}",
        "node", "kept in", "MAC/px", "of all", "predicted ms", "in int8 ms"
    );
    for k in kept {
        let _ = writeln!(
            text,
            "{:name$}  {:7}  {:>9}  {:>4.1} %  {:>12.2}  {:>10.2}",
            k.name,
            k.precision.name(),
            k.macs_per_pixel,
            100.0 * k.macs_part,
            k.predicted_ms,
            k.predicted_int8_ms
        );
    }
    let _ = writeln!(text, "predicted for {BASIS}\n");
    text
}

/// What single convolutions cost and how exact the edges are, as tables; empty without any.
pub fn sensitivity_to_text(costs: &[Sensitivity], snr: &[EdgeSnr]) -> String {
    let names = costs.iter().map(|c| c.name.len()).chain(snr.iter().map(|e| e.name.len()));
    let name = names.max().unwrap_or(0).max(11);
    let mut text = String::new();
    if !costs.is_empty() {
        let _ = writeln!(
            text,
            "{:name$}  {:>13}  {:>13}  {:>9}",
            "node", "drop alone dB", "with int16 dB", "MAC/px"
        );
        for cost in costs {
            let wide = cost.drop_int16_db.map_or_else(String::new, |drop| format!("{drop:.4}"));
            let _ = writeln!(
                text,
                "{:name$}  {:>13.4}  {wide:>13}  {:>9}",
                cost.name, cost.drop_db, cost.macs_per_pixel
            );
        }
        text.push('\n');
    }
    if !snr.is_empty() {
        let _ = writeln!(text, "{:name$}  {:15}  {:5}  {:>6}", "edge", "operator", "dtype", "SNR dB");
        for edge in snr {
            let _ =
                writeln!(text, "{:name$}  {:15}  {:5}  {:>6.1}", edge.name, edge.op, edge.dtype, edge.snr_db);
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{ImageDrop, Limits};

    #[test]
    fn ranges_are_what_the_type_holds() {
        let [lo, hi] = range(DType::PIXEL).unwrap();
        assert!(lo == 0.0 && (hi - 1.0).abs() < 1e-6);
        assert_eq!(range(DType::I8 { scale: 0.5, zero_point: 0 }), Some([-64.0, 63.5]));
        assert_eq!(range(DType::I16 { scale: 1.0 }), Some([-32767.0, 32767.0]));
        assert_eq!(range(DType::F32), None);
    }

    #[test]
    fn tables_name_the_worst_image() {
        let image = |name: &str, f32_db: f64, int8_db: f64| ImageDrop {
            name: name.into(),
            width: 30,
            height: 20,
            psnr_f32_db: f32_db,
            psnr_int8_db: int8_db,
            drop_db: f32_db - int8_db,
            agreement_db: 40.0,
        };
        let drops = Drops::new(vec![image("a.png", 30.0, 29.5), image("b.png", 33.0, 33.25)]);
        assert_eq!((drops.mean_drop_db, drops.psnr_f32_db), (0.125, 31.5));
        let text = drops_to_text(&drops);
        assert!(text.contains("worst: a.png loses 0.5000 dB"), "{text}");
        assert!(text.contains("mean") && text.contains("0.1250") && text.contains("-0.2500"), "{text}");
        assert!(!text.contains("exact"), "{text}");
        let exact =
            drops_to_text(&Drops::new(vec![image("a.png", CAP_DB, CAP_DB), image("b.png", 33.0, 33.25)]));
        assert!(exact.contains("1 image came out exact, which counts as 100 dB in the means"), "{exact}");
        let limits = |mean_db, worst_db| Limits { mean_db, worst_db, least_agreement_db: None };
        assert!(drops.passes(limits(0.125, None)) && !drops.passes(limits(0.12, None)));
        assert!(drops.passes(limits(0.125, Some(0.5))) && !drops.passes(limits(0.125, Some(0.4))));
        assert!((drops.excess_db(limits(0.1, Some(0.2))) - 0.3).abs() < 1e-12);
        let near = |least| Limits { least_agreement_db: Some(least), ..limits(9.0, None) };
        assert!(drops.passes(near(40.0)) && (drops.excess_db(near(40.5)) - 0.5).abs() < 1e-12);
        assert!((drops.noise() - 1e-4).abs() < 1e-12);
    }
}
