//! `mcirsr`: super-resolution of video as a GStreamer element, with the models and the bits of `mcir-board`.
//!
//! [`caps`] says which sizes go with which, [`pixels`] how rows of a format are read and written; the element ties them to GStreamer.

pub mod caps;
mod element;
pub mod pixels;

use gst::glib;

glib::wrapper! {
    /// The element.
    pub struct McirSr(ObjectSubclass<element::McirSr>)
        @extends gst_video::VideoFilter, gst_base::BaseTransform, gst::Element, gst::Object;
}

#[allow(missing_docs, reason = "what GStreamer's macro makes")]
mod plugin {
    use gst::glib;
    use gst::prelude::*;

    fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
        gst::Element::register(Some(plugin), "mcirsr", gst::Rank::NONE, super::McirSr::static_type())
    }

    gst::plugin_define!(
        mcir,
        env!("CARGO_PKG_DESCRIPTION"),
        plugin_init,
        env!("CARGO_PKG_VERSION"),
        "MIT/X11",
        "mcir",
        "mcir-gstreamer",
        "mcir"
    );
}
