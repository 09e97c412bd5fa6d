use super::*;

#[test]
fn cards_are_the_same_everywhere() {
    // CRC-32 of the pixels. A change of a drawing changes published figures: change them together.
    let expected: [(&str, u32); 5] = [
        ("zone-plate", 0x7d71_63db),
        ("edges", 0xce48_dd05),
        ("text", 0x9ee2_1cdb),
        ("facade", 0x671b_d5bf),
        ("leaves", 0x242e_e2fa),
    ];
    let drawn = draw();
    let found: Vec<_> = drawn.iter().map(|c| (c.name, crc32(c.image.data()))).collect();
    assert_eq!(found, expected);
}

#[test]
fn cards_can_be_shrunk_by_every_factor() {
    for card in draw() {
        assert_eq!((card.image.width(), card.image.height(), card.image.channels()), (SIDE, SIDE, 3));
        for upscale in [2, 3, 4] {
            assert_eq!(card.image.crop_to_multiple(upscale).unwrap(), card.image);
        }
    }
}

/// CRC-32 (IEEE), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}
