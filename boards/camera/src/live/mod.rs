//! The live page: what the camera sees, interpolated and super-resolved side by side, in a browser.
//!
//! The board sends each frame twice, as JPEG: as the camera took it, and super-resolved. The viewer's browser
//! interpolates the former, with the same bicubic kernel as everywhere in this project, so that the board spends
//! nothing on the comparison. Viewers ask for one frame at a time and always get the newest: a slow one sees
//! fewer frames, and slows nobody down.

mod hub;
mod metrics;
mod sink;
mod site;

pub use hub::{Choice, Control, Frame, Hub, Refusal, Running, Status, Wish};
pub use sink::LiveSink;
pub use site::Live;
