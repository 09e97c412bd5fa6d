//! The live page: what the camera sees, interpolated and super-resolved side by side, in a browser.
//!
//! The board sends each frame twice, as JPEG: as the camera took it, and super-resolved. The viewer's browser
//! interpolates the former, with the same bicubic kernel as everywhere in this project, so that the board spends
//! nothing on the comparison. Viewers ask for one frame at a time and always get the newest: a slow one sees
//! fewer frames, and slows nobody down.

mod hosts;
mod hub;
mod metrics;
mod places;
mod proxy;
mod request;
mod server;
mod sink;

pub use hosts::{Hosts, parse_host};
pub use hub::{Choice, Control, Frame, Hub, Refusal, Running, Status, Wish};
pub use places::{MAX_CONNECTIONS, PER_ADDRESS};
pub use request::{MAX_HEAD, Request, RequestError};
pub use server::{Options, Server, parse_address};
pub use sink::LiveSink;
