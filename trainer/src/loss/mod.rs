//! What is minimised: distances between pixels ([`pixel`]) and, with a negative sign, between features
//! ([`contrastive`], over the network in [`vgg`]).

pub mod contrastive;
pub mod distance;
pub mod pixel;
pub mod pool;
pub mod vgg;
