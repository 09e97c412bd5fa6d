//! A small HTTP server for the program's pages: the camera's live page and the studio.
//!
//! A page is a [`Site`]: what it answers, and what may be posted to it. Everything that protects the machine from strangers is
//! here and the same for all: how many connections there are and how many of them one address has ([`PER_ADDRESS`]), how long a request
//! or an answer may take, how much the kernel keeps for a client, which names the server goes by ([`Hosts`]), and that a change
//! comes from the page itself ([`Request`]).
//!
//! The pages share their looks ([`STYLE`]), the painter that shows two pictures under one border with the choice of a model beside it
//! ([`VIEWER`]), and the elements that both need ([`page`]).

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
/// The painter, the hands that move it, and the choice of a model, as a module of JavaScript.
pub const VIEWER: &str = include_str!("viewer.js");

/// Elements that pages share, by the name of the comment that stands for them.
const PARTS: [(&str, &str); 4] = [
    ("<!-- head -->", include_str!("head.html")),
    ("<!-- stage -->", include_str!("stage.html")),
    ("<!-- zoom -->", include_str!("zoom.html")),
    ("<!-- choice -->", include_str!("choice.html")),
];

/// A page whole: its own text, with what all pages share in place of the comments `head` (what stands in the head, but the title),
/// `stage` (the pictures under their border), `zoom` (its buttons) and `choice` (model and strength, inside of a form).
pub fn page(text: &str) -> String {
    PARTS.iter().fold(text.to_owned(), |page, (comment, part)| page.replace(comment, part.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_every_element_that_the_viewer_takes() {
        let page = page("<!-- head --><!-- stage --><!-- zoom --><!-- choice -->");
        assert!(!page.contains("<!--"), "{page}");
        let ids = VIEWER.split("$(\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        let ids: std::collections::BTreeSet<_> = ids.collect();
        // Of the page itself: the stage, the form around the choice, and the button beside the zoom.
        let own = ["stage", "choice", "full"];
        assert!(own.iter().all(|id| ids.contains(id)), "{ids:?}");
        for id in ids.iter().filter(|id| !own.contains(id)) {
            assert_eq!(page.matches(&format!("id=\"{id}\"")).count(), 1, "{id}");
        }
    }
}
