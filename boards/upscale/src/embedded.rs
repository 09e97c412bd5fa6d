//! Models that are compiled into the program, so that it works on a machine without any other file.

/// A trained model, as the bytes of its two files in `boards/models/NAME`.
#[derive(Debug, Clone, Copy)]
pub struct Embedded {
    /// Name for `-m`; the folder's name.
    pub name: &'static str,
    /// Factor.
    pub upscale: usize,
    /// The float model.
    pub f32: &'static [u8],
    /// The quantized model.
    pub int8: &'static [u8],
}

/// An entry of [`MODELS`]: the name of a folder in `boards/models` and the factor of its model.
macro_rules! embedded {
    ($name:literal, $upscale:literal) => {
        Embedded {
            name: $name,
            upscale: $upscale,
            f32: include_bytes!(concat!("../../models/", $name, "/model.f32.mcir")),
            int8: include_bytes!(concat!("../../models/", $name, "/model.int8.mcir")),
        }
    };
}

/// All embedded models. The first one of a factor is the default for it.
pub const MODELS: &[Embedded] =
    &[embedded!("edsr-edge-x4", 4), embedded!("edsr-edge-x2", 2), embedded!("edsr-edge-m-x4", 4)];

/// The default model for a factor.
pub fn default_for(upscale: usize) -> Option<&'static Embedded> {
    MODELS.iter().find(|m| m.upscale == upscale)
}

/// Names and factors for messages.
pub fn names() -> String {
    if MODELS.is_empty() {
        return "this build has none".into();
    }
    MODELS.iter().map(|m| format!("{} (x{})", m.name, m.upscale)).collect::<Vec<_>>().join(", ")
}
