//! What is minimised: distances between pixels ([`pixel`]) and, with a negative sign, between features
//! ([`contrastive`], over the network in [`features`], mostly that of [`vgg`]).

pub mod contrastive;
pub mod distance;
pub mod features;
pub mod pixel;
pub mod pool;
pub mod vgg;
