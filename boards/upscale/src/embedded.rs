//! Models that are compiled into the program, so that it works on a machine without any other file.

/// What a model has learnt to undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Clean downscaling, and nothing else: what is in the picture is enlarged, damage included.
    Clean,
    /// Downscaling, and the blur, noise and compression of a camera.
    Camera,
}

/// A trained model, as the bytes of its files in `boards/models/NAME`.
#[derive(Debug, Clone, Copy)]
pub struct Embedded {
    /// Name for `-m`; the folder's name.
    pub name: &'static str,
    /// Factor.
    pub upscale: usize,
    /// What it has learnt.
    pub kind: Kind,
    /// The float model.
    pub f32: &'static [u8],
    /// The quantized model.
    pub int8: &'static [u8],
    /// Of a camera model, quantized models on the way from the clean one of its size to it, with their strength in percent.
    pub steps: &'static [(u8, &'static [u8])],
}

/// Ends the name of a camera model; what stands before it is the name of the clean model of its size.
pub const CAMERA: &str = "-camera";

/// An entry of [`MODELS`]: the name of a folder in `boards/models` and the factor of its model.
macro_rules! embedded {
    ($name:literal, $upscale:literal, $kind:ident $(, $step:literal)*) => {
        Embedded {
            name: $name,
            upscale: $upscale,
            kind: Kind::$kind,
            f32: include_bytes!(concat!("../models/", $name, "/model.f32.mcir")),
            int8: include_bytes!(concat!("../models/", $name, "/model.int8.mcir")),
            steps: &[$((
                $step,
                include_bytes!(concat!("../models/", $name, "/strength-", stringify!($step), ".int8.mcir")),
            )),*],
        }
    };
}

/// All embedded models. The first one of a factor and kind is the default for it. A `static`: every part of a program that names a
/// constant gets its bytes, and there would be eight copies of all models in it.
pub static MODELS: &[Embedded] = &[
    embedded!("edsr-edge-x4", 4, Clean),
    embedded!("edsr-edge-x2", 2, Clean),
    embedded!("edsr-edge-x3", 3, Clean),
    embedded!("edsr-edge-m-x4", 4, Clean),
    embedded!("edsr-edge-m-x2", 2, Clean),
    embedded!("edsr-edge-m-x3", 3, Clean),
    embedded!("edsr-edge-x4-camera", 4, Camera, 25, 50, 75),
    embedded!("edsr-edge-x2-camera", 2, Camera, 25, 50, 75),
    embedded!("edsr-edge-x3-camera", 3, Camera, 25, 50, 75),
    embedded!("edsr-edge-m-x4-camera", 4, Camera, 25, 50, 75),
    embedded!("edsr-edge-m-x2-camera", 2, Camera, 25, 50, 75),
    embedded!("edsr-edge-m-x3-camera", 3, Camera, 25, 50, 75),
];

/// The default model for a factor and kind.
pub fn default_for(upscale: usize, kind: Kind) -> Option<&'static Embedded> {
    MODELS.iter().find(|m| m.upscale == upscale && m.kind == kind)
}

/// Names and factors for messages.
pub fn names() -> String {
    if MODELS.is_empty() {
        return "this build has none".into();
    }
    MODELS.iter().map(|m| format!("{} (x{})", m.name, m.upscale)).collect::<Vec<_>>().join(", ")
}

/// The clean model of every size that also has a camera model, and the strengths in percent that lead from it to that.
pub fn families() -> impl Iterator<Item = (&'static Embedded, Vec<u8>)> {
    MODELS.iter().filter(|model| model.kind == Kind::Clean).filter_map(|clean| {
        let camera = MODELS.iter().find(|m| m.name.strip_suffix(CAMERA) == Some(clean.name))?;
        let steps = camera.steps.iter().map(|(percent, _)| *percent);
        Some((clean, [0].into_iter().chain(steps).chain([100]).collect()))
    })
}

/// The family of a model by its name, as [`at_strength`] and the table name it, and its strength in percent.
pub fn family_of(name: &str) -> Option<(&'static str, u8)> {
    families().find_map(|(clean, steps)| {
        let strength = match name.strip_prefix(clean.name)? {
            "" => 0,
            CAMERA => 100,
            rest => rest.strip_prefix(CAMERA)?.strip_prefix('-')?.parse().ok()?,
        };
        steps.contains(&strength).then_some((clean.name, strength))
    })
}

/// The options that ask for a quantized embedded model by the name that [`family_of`] knows; any other name as it is.
pub fn asked_for(name: &str) -> String {
    match family_of(name) {
        Some((family, percent)) if percent > 0 => {
            format!("-m {family} --strength {}", f32::from(percent) / 100.0)
        }
        _ => name.to_owned(),
    }
}

/// The model that cleans up with about this strength, 0 to 1: of the steps from the clean model to the camera model of a
/// family (either name), the nearest. Gives its bytes, the family's name and the strength in percent.
pub fn at_strength(name: &str, strength: f32) -> Option<(&'static [u8], &'static str, u8)> {
    let find = |name: &str| MODELS.iter().find(|m| m.name == name);
    let base = name.strip_suffix(CAMERA).unwrap_or(name);
    let (clean, camera) = (find(base)?, find(&format!("{base}{CAMERA}"))?);
    let ends = [(0, clean.int8), (100, camera.int8)];
    let all = ends.iter().chain(camera.steps);
    let off = |percent: u8| (f32::from(percent) - 100.0 * strength).abs();
    let (percent, bytes) = all.min_by(|a, b| off(a.0).total_cmp(&off(b.0)))?;
    Some((bytes, clean.name, *percent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_have_a_name_for_each_of_their_steps() {
        assert!(families().count() >= 3);
        for (clean, steps) in families() {
            assert_eq!((steps.first(), steps.last()), (Some(&0), Some(&100)));
            assert_eq!(family_of(clean.name), Some((clean.name, 0)));
            assert_eq!(family_of(&format!("{}{CAMERA}", clean.name)), Some((clean.name, 100)));
            assert_eq!(
                family_of(&format!("{}{CAMERA}-{}", clean.name, steps[1])),
                Some((clean.name, steps[1]))
            );
        }
        for name in ["", "mine", "edsr-edge-x4-camera-7", "edsr-edge-x4-", "edsr-edge-x4.f32"] {
            assert_eq!(family_of(name), None, "{name}");
        }
    }
}
