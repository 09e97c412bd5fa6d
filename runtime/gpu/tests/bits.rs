//! The GPU's bytes against the CPU's: operators one by one, and shipped models. On Mesa's driver in software, or a GPU.

#[path = "../../../tests/src/skip.rs"]
mod skip;

use mcir_gpu::cases::{self, SIZES, picture};
use mcir_gpu::{Error, Fault, Gpu, Network, Options, Selection};
use mcir_runtime::model::{DType, Graph, Model, Op};
use mcir_runtime::plan::{Plan, PlanOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The first usable device, or a word about why there is none.
fn gpu(options: Options) -> Option<Gpu> {
    match Gpu::open(Selection::Any, options) {
        Ok(gpu) => Some(gpu),
        Err(error @ (Error::NoLoader { .. } | Error::NoDevice { .. })) => {
            skip::skip(error);
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn on_cpu(model: &Model, [width, height]: [usize; 2], pixels: &[u8]) -> Vec<u8> {
    let plan = Plan::new(model, width, &PlanOptions::default()).unwrap();
    let upscale = usize::from(model.upscale());
    let mut out = vec![0; width * height * upscale * upscale * model.out_channels()];
    plan.run_image(&mut plan.workspace(), pixels, height, &mut out).unwrap();
    out
}

/// Runs a model on both, over pictures of all sizes.
fn compare(gpu: &Gpu, name: &str, model: &Model, sizes: &[[usize; 2]]) {
    let network = Network::new(gpu, model).unwrap_or_else(|error| panic!("{name}: {error}"));
    for &size in sizes {
        let [width, height] = size;
        let pixels = picture(width, height, model.in_channels());
        let expected = on_cpu(model, size, &pixels);
        let mut frames = network.frames(width, height).unwrap();
        // Twice: what the first left in memory must not matter.
        for round in 0..2 {
            let found = frames.run(&pixels).unwrap();
            let wrong = expected.iter().zip(found).filter(|(a, b)| a != b).count();
            assert_eq!(wrong, 0, "{name} {width}x{height}, round {round}: of {} bytes", expected.len());
        }
    }
}

#[test]
fn operators_have_the_bits_of_the_cpu() {
    let Some(gpu) = gpu(options()) else { return };
    for case in cases::all() {
        compare(&gpu, &case.name, &case.model, &SIZES);
    }
}

#[test]
fn convolutions_without_the_dot_product_have_them_too() {
    let Some(gpu) = gpu(Options { without_dot: true, ..options() }) else { return };
    for case in &cases::all()[..4] {
        compare(&gpu, &case.name, &case.model, &SIZES[1..3]);
    }
}

/// A driver in software compiles kernels when they are first run, which takes long on a busy machine.
fn options() -> Options {
    Options { timeout: Duration::from_secs(300), ..Options::default() }
}

fn shipped() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../boards/models");
    let folders = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = folders.map(|f| f.join("model.int8.mcir")).filter(|f| f.exists()).collect();
    files.sort();
    files
}

#[test]
fn shipped_models_have_the_bits_of_the_cpu() {
    let Some(gpu) = gpu(options()) else { return };
    let files = shipped();
    assert!(files.len() >= 10, "{files:?}");
    for file in files {
        let model = Model::from_bytes(std::fs::read(&file).unwrap()).unwrap();
        compare(&gpu, &file.display().to_string(), &model, &[[1, 1], [37, 23], [64, 17]]);
        // As grey pictures are run.
        if let Some(luma) = model.luma() {
            compare(&gpu, &format!("{} for Y", file.display()), &luma, &[[29, 11]]);
        }
    }
}

#[test]
fn what_has_no_kernel_is_named() {
    let Some(gpu) = gpu(options()) else { return };
    let mut graph = Graph::new(3, DType::PIXEL);
    let float = graph.push("to_float", Op::Convert, &[0], DType::F32);
    graph.push("back", Op::Convert, &[float], DType::PIXEL);
    let model = Model::new(graph, &[vec![], vec![], vec![]], vec![]).unwrap();
    let error = Network::new(&gpu, &model).err().unwrap();
    assert_eq!(error.to_string(), "the GPU has no kernel for Convert (to_float): its result is floats");
}

#[test]
fn a_device_that_is_lost_or_hangs_or_is_full_gives_an_error_and_no_picture() {
    let model = &cases::all()[0].model;
    let pixels = picture(13, 9, 3);
    let expected = on_cpu(model, [13, 9], &pixels);
    for fault in ["lost@2", "hang@2", "memory@2"] {
        let Some(gpu) = gpu(Options { fault: Some(fault.parse::<Fault>().unwrap()), ..options() }) else {
            return;
        };
        let network = Network::new(&gpu, model).unwrap();
        let mut frames = network.frames(13, 9).unwrap();
        for _ in 0..2 {
            assert_eq!(frames.run(&pixels).unwrap(), expected);
        }
        let error = frames.run(&pixels).unwrap_err();
        match fault {
            "lost@2" => assert_eq!(error, Error::Lost),
            "hang@2" => assert!(matches!(error, Error::Hang(_))),
            _ => assert!(matches!(error, Error::OutOfMemory { .. })),
        }
        assert_eq!(gpu.is_lost(), fault != "memory@2");
        assert!(frames.run(&pixels).is_err(), "a device that was lost stays so");
    }
}

/// What runs at that time ends before its buffers go.
#[test]
fn a_device_that_is_lost_while_it_works_is_left_in_order() {
    let model = &cases::all()[3].model;
    for _ in 0..5 {
        let Some(gpu) = gpu(Options { fault: "lost@1".parse().ok(), ..options() }) else { return };
        let network = Network::new(&gpu, model).unwrap();
        let [mut one, mut two] = [network.frames(150, 150).unwrap(), network.frames(150, 150).unwrap()];
        let pixels = picture(150, 150, 3);
        one.submit(&pixels).unwrap();
        assert_eq!(two.submit(&pixels), Err(Error::Lost));
    }
}

/// Not made on purpose but by the clock: a fence that is not waited for long enough. What runs on goes on, and nothing that it uses
/// is taken away.
#[test]
fn a_frame_that_takes_too_long_is_given_up() {
    if gpu(Options::default()).is_none() {
        return;
    }
    let timeout = Duration::from_nanos(1);
    let frame = Gpu::open(Selection::Any, Options { timeout, ..Options::default() }).and_then(|gpu| {
        // What is tried at the start was as fast as that.
        let network = Network::new(&gpu, &cases::all()[3].model)?;
        network.frames(200, 200)?.run(&picture(200, 200, 3)).map(<[u8]>::to_vec)
    });
    assert_eq!(frame.unwrap_err(), Error::Hang(timeout));
}

#[test]
fn memory_has_a_limit_and_is_given_back() {
    let Some(gpu) = gpu(Options { memory_limit: 1 << 20, ..options() }) else { return };
    let model = &cases::all()[0].model;
    let network = Network::new(&gpu, model).unwrap();
    let before = gpu.allocated_bytes();
    let frames = network.frames(13, 9).unwrap();
    assert_eq!(gpu.allocated_bytes(), before + frames.memory_bytes());
    assert!(matches!(network.frames(500, 500), Err(Error::OutOfMemory { .. })));
    drop(frames);
    assert_eq!(gpu.allocated_bytes(), before);
}

#[test]
fn a_profile_has_the_steps_of_a_picture() {
    let Some(gpu) = gpu(options()) else { return };
    let model = &cases::all()[0].model;
    let network = Network::new(&gpu, model).unwrap();
    let steps = network.profile(40, 30, &picture(40, 30, 3)).unwrap();
    if steps.is_empty() {
        return skip::skip("the device has no clock");
    }
    // The picture is unpacked, six convolutions, and packed again; each node of the graph takes part.
    assert_eq!(steps.len(), model.graph().nodes.len() + 1);
    assert!(steps.iter().all(|step| (0.0..10_000.0).contains(&step.ms)), "{steps:?}");
    assert!(steps.iter().map(|step| step.ms).sum::<f64>() > 0.0, "{steps:?}");
}

#[test]
fn frames_of_several_pictures_run_at_a_time() {
    let Some(gpu) = gpu(options()) else { return };
    let model = &cases::all()[0].model;
    let network = Network::new(&gpu, model).unwrap();
    let pictures: Vec<_> = (0..6).map(|i| picture(20 + i, 15, 3)[..20 * 15 * 3].to_vec()).collect();
    let mut slots = [network.frames(20, 15).unwrap(), network.frames(20, 15).unwrap()];
    slots[0].submit(&pictures[0]).unwrap();
    for i in 0..pictures.len() {
        if let Some(next) = pictures.get(i + 1) {
            slots[(i + 1) % 2].submit(next).unwrap();
        }
        assert_eq!(slots[i % 2].wait().unwrap(), on_cpu(model, [20, 15], &pictures[i]), "{i}");
    }
}
