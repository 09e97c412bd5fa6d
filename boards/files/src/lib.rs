//! Files for people and programs: pictures, folders of them, names and progress.
//!
//! - [`read`](fn@read) decodes a picture from a file, a pipe or the standard input, with limits that are checked before
//!   anything is allocated; [`Picture`] is what comes of it;
//! - [`write()`] encodes a picture row by row while it is still being made, so that memory does not grow with its height;
//! - [`Pending`] is a file that appears under its name only when it is complete;
//! - [`list`] finds the pictures of a folder, [`fits`] and [`Shard`] take a part of them;
//! - [`name`] writes paths so that a terminal and a JSON document can take them, [`terminal`] talks to the user,
//!   [`without_passwords`] hides what only the user should know.
//!
//! With the feature `package` there is also [`package`]: what stands beside a program when it is installed.
//!
//! Boards, quantizer and trainer share this crate. It knows nothing of networks; of the engine it only takes
//! [`Image`](mcir_runtime::image::Image).

mod about;
mod atomic;
mod error;
mod folder;
pub mod name;
#[cfg(feature = "package")]
pub mod package;
mod part;
mod picture;
mod read;
mod secret;
pub mod terminal;
mod write;

pub use about::{About, Density};
pub use atomic::{Pending, behind_links, hand_down};
pub use error::{Error, Result};
pub use folder::{Listing, READABLE, images, list, list_all};
pub use part::{Pattern, Shard, fits};
pub use picture::Picture;
pub use read::{Input, MAX_PIXELS, MAX_SIDE, buffer, bytes, end_strictly, read};
pub use secret::without_passwords;
pub use write::{Format, Header, Output, Sink, encode_png, write, write_image};
