//! In pipelines, where something changes while they play.

use super::*;
use std::sync::Arc;

type Frames = Arc<Mutex<Vec<Vec<u8>>>>;

/// Plays five equal frames through the element, with these properties, and gives what leaves; `after` is called with the element
/// behind every frame.
fn played(properties: &str, after: impl Fn(&gst::Element, usize) + Send + Sync + 'static) -> Vec<Vec<u8>> {
    gst::init().unwrap();
    // Another test may have been faster.
    let _ = gst::Element::register(None, "mcirsr", gst::Rank::NONE, crate::McirSr::static_type());
    let text = format!(
        "videotestsrc num-buffers=5 pattern=circular ! video/x-raw,format=RGB,width=32,height=16 ! mcirsr name=sr {properties} ! \
         fakesink name=sink signal-handoffs=true sync=false"
    );
    let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let (element, sink) = (pipeline.by_name("sr").unwrap(), pipeline.by_name("sink").unwrap());
    let frames = Frames::default();
    let taken = Arc::clone(&frames);
    sink.connect("handoff", false, move |values| {
        let buffer = values[1].get::<gst::Buffer>().unwrap();
        let mut taken = taken.lock().unwrap();
        taken.push(buffer.map_readable().unwrap().to_vec());
        after(&element, taken.len());
        None
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    for message in bus.iter_timed(gst::ClockTime::from_seconds(120)) {
        match message.view() {
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Error(error) => panic!("{}", error.error()),
            _ => {}
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
    let taken = frames.lock().unwrap().clone();
    assert_eq!(taken.len(), 5);
    taken
}

#[test]
fn another_strength_counts_from_the_next_frame_on() {
    let nothing = |_: &gst::Element, _| ();
    let plain = played("model=edsr-edge-x2 strength=0", nothing);
    let cleaned = played("model=edsr-edge-x2 strength=1", nothing);
    assert!(plain[0] != cleaned[0] && plain.iter().all(|frame| *frame == plain[0]));
    let changed = played("model=edsr-edge-x2 strength=0", |element, frames| {
        if frames == 2 {
            element.set_property("strength", 1.0_f32);
        }
    });
    assert!(changed[..2] == plain[..2] && changed[2..] == cleaned[2..]);
}

#[test]
fn a_strength_that_a_model_has_not_leaves_what_runs() {
    let plain = played("model=edsr-edge-x2.f32", |_, _| ());
    let asked = played("model=edsr-edge-x2.f32", |element, frames| {
        if frames == 2 {
            element.set_property("strength", 0.5_f32);
        }
    });
    assert!(plain == asked);
}

#[test]
fn advice_is_in_the_words_of_the_properties() {
    let told = |settings: Settings| advice(&settings.choose().unwrap_err());
    let model = |name: &str| Settings { model: Some(name.into()), ..Settings::default() };
    assert!(told(model("nonsense")).contains("set model to the path of a file, or to one of edsr"));
    assert!(
        told(Settings { upscale: 3, ..model("edsr-edge-x2") }).contains("leave upscale out, or set it to 2")
    );
    assert!(told(Settings { strength: 0.5, ..model("edsr-edge-x2.f32") }).contains("leave strength out"));
}
