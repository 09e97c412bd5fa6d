//! Published layouts with reference outputs: imported by the trainer, run by the engine in f32.

use mcir_runtime::plan::{Plan, PlanOptions};
use mcir_tests::{npy, shared_data};
use mcir_trainer::export;
use mcir_trainer::import::{self, Options};
use std::path::Path;

/// `[1, 3, H, W]` to `[H, W, 3]`.
fn interleaved(values: &[f32]) -> Vec<f32> {
    let plane = values.len() / 3;
    (0..plane).flat_map(|i| (0..3).map(move |c| c * plane + i)).map(|i| values[i]).collect()
}

fn check(folder: &Path, file: &str) {
    let name = format!("{}/{file}", folder.display());
    let trained = import::load(&folder.join(file), &Options::default()).expect(&name);
    let net = trained.net(&burn::tensor::Device::flex()).expect(&name);
    let model = export::model(&net, vec![]).expect(&name);
    let mut cases = 0;
    for case in ["48x48", "37x53"] {
        let input = folder.join(format!("in_{case}.npy"));
        if !input.exists() {
            continue;
        }
        cases += 1;
        let (shape, x) = npy(&input).expect(&name);
        let (out_shape, expected) = npy(&folder.join(format!("out_{case}.npy"))).expect(&name);
        let (height, width) = (shape[2], shape[3]);
        let plan = Plan::new(&model, width, &PlanOptions::default()).expect(&name);
        let mut out = vec![0.0; expected.len()];
        plan.run_image_f32(&mut plan.workspace(), &interleaved(&x), height, &mut out).expect(&name);
        assert_eq!(out_shape[3], width * usize::from(model.upscale()), "{name}");
        let expected = interleaved(&expected);
        let worst = out.iter().zip(&expected).map(|(a, e)| (a - e).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-4, "{name} {case}: differs by {worst}");
    }
    assert!(cases > 0, "{name}: there are reference cases");
}

#[test]
fn the_engine_gives_the_reference_outputs() {
    let Some(models) = shared_data("reference/models") else { return };
    for network in ["edsr_small_x2", "edsr_small_x3", "edsr_small_x4", "edsr_light_x4", "swinir_small_x2"] {
        check(&models.join(network), "weights.pth");
    }
    for network in ["swinir_small_x4", "swinir_light_x4"] {
        check(&models.join(network), "weights.pth");
    }
    for file in ["weights.pth", "weights_legacy.pt", "weights.safetensors"] {
        check(&models.join("edsr_pytorch_small_x4"), file);
    }
}
