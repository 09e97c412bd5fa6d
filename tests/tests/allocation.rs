//! After `Plan::new` and `workspace`, running frames allocates nothing.

use mcir_boards::models::NamedModel;
use mcir_runtime::plan::{Plan, PlanOptions};

#[test]
fn running_a_frame_allocates_nothing() {
    for name in ["edsr-edge-x4.f32", "edsr-edge-x4.int8"] {
        let model = NamedModel::open(name).expect("an embedded model").model;
        let plan = Plan::new(&model, 60, &PlanOptions::default()).expect("a plan");
        let mut workspace = plan.workspace();
        let pixels = vec![77; 60 * 40 * 3];
        let mut out = vec![0; 240 * 160 * 3];
        let whole = allocation_counter::measure(|| {
            plan.run_image(&mut workspace, &pixels, 40, &mut out).expect("runs");
        });
        assert_eq!(whole.count_total, 0, "{name}: a whole image");
        let streamed = allocation_counter::measure(|| {
            let mut frame = plan.begin(&mut workspace, 40).expect("begins");
            for row in pixels.chunks(60 * 3) {
                frame
                    .push(row, &mut |y, pixels| out[y * 720..(y + 1) * 720].copy_from_slice(pixels))
                    .expect("runs");
            }
        });
        assert_eq!(streamed.count_total, 0, "{name}: row by row");
    }
}
