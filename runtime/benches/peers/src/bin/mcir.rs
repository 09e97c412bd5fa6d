//! This engine as a worker.

use mcir_peers::{Args, work};
use mcir_runtime::Isa;
use mcir_runtime::model::Model;
use mcir_runtime::plan::{Plan, PlanOptions};

fn main() {
    let args = Args::parse();
    work(|| {
        let model = Model::from_bytes(std::fs::read(&args.model).expect("the model file is there"));
        let model = model.expect("the model is valid");
        // Held to an instruction set, as the others are by their own settings.
        let isa = std::env::var("MCIR_ISA").ok();
        let isa = isa.map(|name| Isa::from_name(&name).expect("an instruction set of this processor"));
        let options = PlanOptions::default().threads(args.threads).isa(isa);
        let plan = Plan::new(&model, args.width, &options).expect("the engine runs it");
        let upscale = usize::from(model.upscale());
        drop(model);
        let mut workspace = plan.workspace();
        let pixels = (0..args.height).flat_map(|y| (0..args.width).map(move |x| (x, y)));
        let pixels: Vec<u8> = pixels.flat_map(|(x, y)| [0, 1, 2].map(|c| args.pixel(x, y, c))).collect();
        let mut out = vec![0; plan.out_row_bytes() * args.height * upscale];
        let height = args.height;
        move || plan.run_image(&mut workspace, &pixels, height, &mut out).expect("lengths fit")
    });
}
