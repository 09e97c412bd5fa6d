//! Published weights on Set5 (`../shared/data`): what they are known to reach, by the importer and the engine.

#[path = "../../../tests/src/skip.rs"]
mod skip;

use mcir_import::dict::{self, Options};
use mcir_import::{Range, ncnn};
use mcir_runtime::image::Image;
use mcir_runtime::metrics::psnr_y;
use mcir_runtime::model::Model;
use mcir_runtime::plan::{Plan, PlanOptions};
use skip::skip;
use std::path::{Path, PathBuf};

const ALL: [&str; 5] = ["baby", "bird", "butterfly", "head", "woman"];

fn data() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    path.join("networks").is_dir().then_some(path)
}

fn picture(path: &Path) -> Image {
    let picture = image::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).into_rgb8();
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    Image::new(width, height, 3, picture.into_raw()).expect("RGB")
}

fn upscaled(model: &Model, lr: &Image) -> Image {
    let r = usize::from(model.upscale());
    let (width, height) = (lr.width() * r, lr.height() * r);
    let plan = Plan::new(model, lr.width(), &PlanOptions::default()).expect("planned");
    let mut out = vec![0; width * height * 3];
    plan.run_image(&mut plan.workspace(), lr.data(), lr.height(), &mut out).expect("run");
    Image::new(width, height, 3, out).expect("an image")
}

/// Mean PSNR of brightness over images of Set5, as super-resolution papers give it: borders of the scale are left out.
fn set5(data: &Path, model: &Model, names: &[&str]) -> f64 {
    let r = usize::from(model.upscale());
    let one = |name: &&str| {
        let lr = picture(&data.join(format!("sr/Set5/LR_bicubic/X{r}/{name}x{r}.png")));
        let hr = picture(&data.join(format!("sr/Set5/HR/{name}.png"))).crop_to_multiple(r).expect("large");
        psnr_y(&upscaled(model, &lr), &hr, r).expect("sizes")
    };
    names.iter().map(one).sum::<f64>() / names.len() as f64
}

#[test]
fn published_weights_reach_what_they_are_known_for() {
    let Some(data) = data() else { return skip("there is no ../shared/data/networks") };
    let small = &ALL[2..3];
    // CARN-M's and RLFN-S's are what PyTorch gives with these weights, by implementations of their own: CARN-M's are not those of
    // its paper. RLFN-S works on 0..255, which its file does not say: with 0..1 it has 26.64 dB.
    let cases: [(&str, Option<usize>, &[&str], f64); 5] = [
        ("PlainUSRU_Rep_x4", None, &ALL, 30.769),
        ("PlainUSRT_Rep_x2", None, &ALL, 37.464),
        ("rlfn_s_x2", None, small, 35.550),
        ("carn_m", Some(2), small, 34.594),
        ("carn_m", Some(4), small, 27.988),
    ];
    for (file, scale, names, known) in cases {
        let tensors =
            mcir_checkpoint::read(&data.join(format!("networks/{file}.pth")), &|_| true).expect("weights");
        let found = dict::import(&tensors, &Options { scale, ..Options::default() }, file);
        let model = found.unwrap_or_else(|e| panic!("{file}: {e}")).model;
        let db = set5(&data, &model, names);
        assert!((db - known).abs() < 0.02, "{file} x{}: {db:.3} dB, known {known}", model.upscale());
    }
}

/// Of networks whose files do not say it.
#[test]
fn ranges_of_published_networks_are_found_out() {
    let Some(data) = data() else { return skip("there is no ../shared/data/networks") };
    for name in ["realesr-animevideov3-x4", "RealESRGAN_General_x4_v3", "upconv_7_photo-scale2.0x"] {
        let path = |end: &str| data.join(format!("networks/{name}.{end}"));
        let param = std::fs::read_to_string(path("param")).expect("layers");
        let net = ncnn::read(&param, &std::fs::read(path("bin")).expect("weights")).expect("a network");
        let options = mcir_import::Options { name: name.into(), ..Default::default() };
        let (_, range) = mcir_import::import_by_range(&net, &options).expect("imported");
        assert!(matches!(range, Range::Found { range: 1.0, .. }), "{name}: {range:?}");
    }
}
