//! What the fuzz targets call: the readers, as other tests feed them too.

#[path = "../../src/readers.rs"]
pub mod readers;
