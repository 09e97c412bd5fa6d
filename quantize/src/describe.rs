//! What a quantized model says about how it was made, in its metadata.

use crate::QuantizeError;
use crate::cost::{self, BASIS, KeptNode};
use crate::gate::Drops;
use crate::types;
use mcir_runtime::model::Model;

/// Adds to the metadata how the model was quantized: on how many images, what it cost, what was kept in more than int8.
///
/// # Errors
/// [`QuantizeError::Rewrite`] when a model cannot hold that.
pub fn describe(
    model: Model,
    kept: &[KeptNode],
    samples: usize,
    drops: &Drops,
) -> Result<Model, QuantizeError> {
    let mut metadata = model.metadata().to_vec();
    // The int8 model's edges have the types themselves.
    metadata.retain(|(key, _)| key != types::KEY);
    let mut set = |key: &str, value: String| {
        metadata.retain(|(k, _)| k != key);
        metadata.push((key.to_string(), value));
    };
    set("quantize.version", env!("CARGO_PKG_VERSION").into());
    set("quantize.calibration_images", samples.to_string());
    set("quantize.validation_images", drops.images.len().to_string());
    set("quantize.psnr_y_f32_db", format!("{:.4}", drops.psnr_f32_db));
    set("quantize.psnr_y_int8_db", format!("{:.4}", drops.psnr_int8_db));
    set("quantize.mean_drop_db", format!("{:.4}", drops.mean_drop_db));
    set("quantize.agreement_db", format!("{:.2}", drops.agreement_db));
    if !kept.is_empty() {
        set("quantize.kept", cost::describe(kept));
        set("quantize.predicted_for", BASIS.into());
    }
    model.with_metadata(metadata).map_err(QuantizeError::Rewrite)
}
