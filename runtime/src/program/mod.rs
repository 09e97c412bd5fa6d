//! A model as it is run: lowered to few kinds of nodes, with rewrites that change no value.

pub(crate) mod edges;
pub(crate) mod interpolation;
pub(crate) mod lower;
pub(crate) mod order;
pub(crate) mod reach;
