//! What several fuzz targets share.

use mcir_boards::camera::raw::{Packing, Siting, Subsampling};

/// The bytes of a model file with the checksum that they need; `None` if they are too few.
pub fn sealed(data: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = data.to_vec();
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(bytes.get(..20)?);
    hasher.update(bytes.get(24..)?);
    bytes[20..24].copy_from_slice(&hasher.finalize().to_le_bytes());
    Some(bytes)
}

/// Every way in which a camera's frames may lie in memory.
pub fn packings() -> Vec<Packing> {
    let mut all = vec![Packing::Grey];
    for subsampling in [Subsampling::None, Subsampling::Half, Subsampling::Quarter, Subsampling::FourInARow] {
        all.extend([Siting::Centre, Siting::Left].map(|siting| Packing::Planar { subsampling, siting }));
    }
    for flag in [false, true] {
        all.extend([
            Packing::SemiPlanar { red_first: flag },
            Packing::Packed422 { luma_first: flag },
            Packing::Rgb { blue_first: flag },
        ]);
    }
    all
}
