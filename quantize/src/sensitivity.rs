//! Where quantization hurts: signal to noise of each edge, and what each convolution and attention costs alone.

use crate::engine::Runner;
use crate::error::QuantizeError;
use crate::gate::{Baseline, Drops};
use crate::parallel;
use crate::pipeline::{Calibrated, Kept};
use crate::rewrite::{Precision, Rewritten};
use crate::samples::Samples;
use mcir_runtime::image::Image;
use mcir_runtime::model::{Model, NodeId};
use serde::Serialize;
use std::path::PathBuf;

/// Images that the signal to noise is taken from, and the largest side of the part of each; all edges of one
/// are held in memory.
const SNR_IMAGES: usize = 8;
const SNR_SIDE: usize = 48;
/// Signal to noise of edges that are equal, in dB.
const CAP_DB: f64 = 100.0;

/// How exactly an edge of the quantized model follows the float model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EdgeSnr {
    /// Node that writes the edge.
    pub name: String,
    /// Operator of it.
    pub op: String,
    /// Type in the quantized model.
    pub dtype: String,
    /// Power of the float values (about their mean) over that of the difference, in dB.
    pub snr_db: f64,
}

/// What it costs to quantize one convolution or attention and nothing else.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sensitivity {
    /// Number in the folded float model.
    #[serde(skip)]
    pub node: NodeId,
    /// Name.
    pub name: String,
    /// Drop of PSNR-Y in dB, mean over the images.
    pub drop_db: f64,
    /// The same with 16-bit activations; `None` where they make no difference or are not possible.
    pub drop_int16_db: Option<f64>,
    /// Power of the difference that it makes to the pictures, that of full scale being 1.
    pub noise: f64,
    /// The same with 16-bit activations.
    pub noise_int16: Option<f64>,
    /// Multiply-accumulates for one pixel of the input image.
    pub macs_per_pixel: u64,
}

/// Sums over the values of one edge.
#[derive(Default, Clone, Copy)]
struct Power {
    n: f64,
    sum: f64,
    squares: f64,
    noise: f64,
}

/// Signal to noise of all edges that the two models share, in the order of the float model; `float` is the
/// folded model that was rewritten.
///
/// # Errors
/// What the engine refuses.
pub fn edge_snr(
    float: &Model,
    int8: &Rewritten,
    samples: &Samples,
    threads: usize,
) -> Result<Vec<EdgeSnr>, QuantizeError> {
    let edges = float.graph().nodes.len();
    let init = || [Runner::observing(float), Runner::observing(&int8.model)];
    let few = &samples.entries()[..samples.len().min(SNR_IMAGES)];
    let (images, _) = parallel::map(few, threads, init, |[float, quantized], entry| {
        let lr = small(&samples.read(entry)?.lr);
        let mut expected: Vec<Vec<f32>> = vec![Vec::new(); edges];
        float.observe(&lr, &mut |id, _, row| {
            let values = &mut expected[usize::from(id)];
            let at = values.len();
            values.resize(at + row.len(), 0.0);
            row.read(&mut values[at..]);
        })?;
        let mut powers = vec![Power::default(); edges];
        let mut found = Vec::new();
        quantized.observe(&lr, &mut |id, y, row| {
            // A node of the float model has the same place in `node`; the others are conversions.
            let Some(edge) = int8.node.iter().position(|&new| new == id) else { return };
            found.resize(row.len(), 0.0);
            row.read(&mut found);
            powers[edge].add(&expected[edge][y * row.len()..(y + 1) * row.len()], &found);
        })?;
        Ok::<_, QuantizeError>(powers)
    })?;
    let mut total = vec![Power::default(); edges];
    for image in &images {
        total.iter_mut().zip(image).for_each(|(total, part)| total.merge(part));
    }
    let rows = float.graph().nodes.iter().zip(&int8.node).zip(&total).skip(1);
    let rows = rows.map(|((node, &new), power)| EdgeSnr {
        name: node.name.clone(),
        op: node.op.name().into(),
        dtype: crate::params::dtype_name(int8.model.graph().node(new).dtype).into(),
        snr_db: power.snr_db(),
    });
    Ok(rows.collect())
}

/// The cost of each convolution and window attention, the most expensive one first (then in the order of the network).
///
/// # Errors
/// What building and measuring refuse.
pub fn sensitivities(
    calibrated: &Calibrated<'_>,
    files: &[PathBuf],
) -> Result<Vec<Sensitivity>, QuantizeError> {
    let all = calibrated.movable();
    let settings = calibrated.settings();
    let baseline = Baseline::new(calibrated.folded(), files, settings.threads, &())?;
    settings.progress.begin("single nodes", all.len());
    let mut found = Vec::with_capacity(all.len());
    for &node in &all {
        let others = all.iter().filter(|&&other| other != node).map(|&other| (other, Precision::F32));
        let mut kept: Vec<(NodeId, Precision)> = others.collect();
        let alone = |kept: &Kept| -> Result<Drops, QuantizeError> {
            baseline.measure(&calibrated.build_quickly(kept)?.model, settings.threads, &())
        };
        let int8 = alone(&kept)?;
        kept.push((node, Precision::Int16));
        let int16 = calibrated.can_be_int16(node).then(|| alone(&kept)).transpose()?;
        found.push(Sensitivity {
            node,
            name: calibrated.folded().graph().node(node).name.clone(),
            drop_db: int8.mean_drop_db,
            drop_int16_db: int16.as_ref().map(|drops| drops.mean_drop_db),
            noise: int8.noise(),
            noise_int16: int16.as_ref().map(Drops::noise),
            macs_per_pixel: calibrated.folded().node_macs_per_pixel(node),
        });
        settings.progress.step();
    }
    settings.progress.end();
    found.sort_by(|a, b| b.drop_db.total_cmp(&a.drop_db));
    Ok(found)
}

fn small(lr: &Image) -> Image {
    let (width, height) = (lr.width().min(SNR_SIDE), lr.height().min(SNR_SIDE));
    lr.crop((lr.width() - width) / 2, (lr.height() - height) / 2, width, height)
        .expect("the middle lies inside the image")
}

impl Power {
    fn add(&mut self, expected: &[f32], found: &[f32]) {
        self.n += expected.len() as f64;
        for (&a, &b) in expected.iter().zip(found) {
            let (a, b) = (f64::from(a), f64::from(b));
            self.sum += a;
            self.squares += a * a;
            self.noise += (a - b) * (a - b);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.n += other.n;
        self.sum += other.sum;
        self.squares += other.squares;
        self.noise += other.noise;
    }

    fn snr_db(&self) -> f64 {
        let signal = self.squares - self.sum * self.sum / self.n.max(1.0);
        if self.noise <= 0.0 { CAP_DB } else { (10.0 * (signal / self.noise).log10()).clamp(-CAP_DB, CAP_DB) }
    }
}
