//! `mcir-board studio`: a page on this machine that enlarges pictures.
//!
//! A picture is posted, takes a seat at the desk, waits for its turn and comes back as a PNG file, by the same way as with
//! `mcir-board upscale`, and so with the same bytes ([`mcir_upscale::upscale::Models`]). What it takes of the disk has no name there,
//! and is gone with the connection or the program, whatever ends them. The server is [`mcir_web`]'s.

mod cmd;
mod desk;
mod menu;
mod site;

pub use cmd::{Cmd, run};
pub use desk::{Desk, Full, Progress, SEATS};
pub use menu::{Choice, Menu, Order};
pub use site::{MAX_BODY, Studio};
