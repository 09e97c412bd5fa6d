//! How coarsely a JPEG was compressed.

/// The luma table of JPEG's annex K, which encoders scale by their quality; in the order of any table, since only sums are
/// compared.
const LUMA: [u16; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17,
    22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78,
    87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
];

/// The quality that libjpeg would call it, 1 to 100: that whose luma table has the sum of the file's. Encoders with tables
/// of their own come out near what they look like. `None` where there is no table before the first scan.
pub(super) fn of(bytes: &[u8]) -> Option<u8> {
    let mut at = 2;
    loop {
        let &[0xff, code, high, low] = bytes.get(at..at + 4)? else { return None };
        // Any number of 0xff may stand before a marker.
        if code == 0xff {
            at += 1;
            continue;
        }
        let length = usize::from(u16::from_be_bytes([high, low]));
        let segment = bytes.get(at + 4..at + 2 + length)?;
        match code {
            0xda => return None,
            0xdb => {
                if let Some(sum) = luma(segment) {
                    return Some(nearest(sum));
                }
            }
            _ => {}
        }
        at += 2 + length;
    }
}

/// Sum of table 0 of a segment that may hold several, of 8 or 16 bits.
fn luma(mut tables: &[u8]) -> Option<u32> {
    while let Some((&head, rest)) = tables.split_first() {
        let wide = head >> 4 != 0;
        let table = rest.get(..if wide { 128 } else { 64 })?;
        if head & 15 == 0 {
            return Some(match wide {
                true => table.chunks_exact(2).map(|v| u32::from(u16::from_be_bytes([v[0], v[1]]))).sum(),
                false => table.iter().map(|&v| u32::from(v)).sum(),
            });
        }
        tables = &rest[table.len()..];
    }
    None
}

fn nearest(sum: u32) -> u8 {
    let of = |quality: u32| -> u32 {
        let scale = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
        LUMA.iter().map(|&v| ((u32::from(v) * scale + 50) / 100).clamp(1, 255)).sum()
    };
    (1..=100).min_by_key(|&quality| of(quality).abs_diff(sum)).unwrap_or(100) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

    #[test]
    fn the_quality_comes_back() {
        let pixels: Vec<u8> = (0..32 * 32 * 3).map(|i| (i * 7 % 251) as u8).collect();
        for quality in [5, 20, 50, 75, 85, 90, 95, 100] {
            for sampling in [SamplingFactor::F_1_1, SamplingFactor::F_2_2] {
                let mut file = Vec::new();
                let mut encoder = Encoder::new(&mut file, quality);
                encoder.set_sampling_factor(sampling);
                encoder.encode(&pixels, 32, 32, ColorType::Rgb).unwrap();
                let found = of(&file).unwrap();
                assert!(found.abs_diff(quality) <= 1, "{found} for {quality}");
                // Whatever is cut off or damaged is no reason to panic.
                for end in 0..file.len() {
                    let _ = of(&file[..end]);
                }
                for at in 0..file.len().min(700) {
                    let mut damaged = file.clone();
                    damaged[at] ^= 0xff;
                    let _ = of(&damaged);
                }
            }
        }
        assert_eq!(of(b"\xff\xd8\xff\xda\x00\x02"), None);
    }
}
