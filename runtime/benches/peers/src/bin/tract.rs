//! tract as a worker; it runs on one thread.

use mcir_peers::{Args, work};
use tract_onnx::prelude::*;

fn main() {
    let args = Args::parse();
    assert_eq!(args.threads, 1, "tract runs a network on one thread");
    work(|| {
        let shape = [1, 3, args.height, args.width];
        let model = tract_onnx::onnx()
            .model_for_path(&args.model)
            .and_then(|m| m.with_input_fact(0, f32::fact(shape).into()))
            .and_then(InferenceModelExt::into_optimized)
            .and_then(TypedModel::into_runnable)
            .expect("tract reads it");
        let image = tract_ndarray::Array4::from_shape_fn(shape, |(_, c, y, x)| {
            f32::from(args.pixel(x, y, c)) / 255.0
        });
        let image: Tensor = image.into();
        move || {
            let out = model.run(tvec!(image.clone().into())).expect("tract runs it");
            std::hint::black_box(&out);
        }
    });
}
