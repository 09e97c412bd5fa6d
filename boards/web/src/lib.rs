//! A small HTTP server for the program's pages: the camera's live page and the studio.
//!
//! A page is a [`Site`]: what it answers, and what may be posted to it. Everything that protects the machine from strangers is
//! here and the same for all: how many connections there are and how many of them one address has ([`PER_ADDRESS`]), how long a request
//! or an answer may take, how much the kernel keeps for a client, which names the server goes by ([`Hosts`]), and that a change
//! comes from the page itself ([`Request`]).
//!
//! The pages share their looks ([`STYLE`]) and the painter that shows two pictures under one border ([`VIEWER`]).

mod answer;
mod error;
mod hosts;
mod places;
mod proxy;
mod request;
mod server;
mod visit;

pub use answer::{Answer, Body, Run, Take};
pub use error::WebError;
pub use hosts::{Hosts, parse_host};
pub use places::{MAX_CONNECTIONS, PER_ADDRESS};
pub use request::{MARK, MAX_HEAD, Post, Request, RequestError, Rules};
pub use server::{Options, Server, Site, parse_address};
pub use visit::{BodyError, MIN_RATE, Visit};

/// Looks that the pages share, as CSS.
pub const STYLE: &str = include_str!("page.css");
/// The painter and the hands that move it, as a module of JavaScript.
pub const VIEWER: &str = include_str!("viewer.js");
