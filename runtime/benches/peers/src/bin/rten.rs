//! rten as a worker. Threads are what `RTEN_NUM_THREADS` says.

use mcir_peers::{Args, work};
use rten::ModelOptions;
use rten_tensor::prelude::*;
use rten_tensor::NdTensor;

fn main() {
    let args = Args::parse();
    work(|| {
        let mut options = ModelOptions::with_all_ops();
        let model = options.prepack_weights(true).load_file(&args.model).expect("rten reads it");
        let (input, output) =
            (model.node_id("image").expect("an input"), model.node_id("upscaled").expect("an output"));
        let image = NdTensor::<f32, 4>::from_fn([1, 3, args.height, args.width], |[_, c, y, x]| {
            f32::from(args.pixel(x, y, c)) / 255.0
        });
        move || {
            let image = image.view().into();
            let out = model.run(vec![(input, image)], &[output], None).expect("rten runs it");
            std::hint::black_box(&out);
        }
    });
}
