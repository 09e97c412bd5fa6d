//! Lines of stroked letters in falling sizes, dark on light and light on dark.

use super::SIDE;
use super::canvas::{Canvas, Colour, Point, mix};
use mcir_runtime::image::Image;

const PAPER: Colour = [0.97, 0.96, 0.92];
const NIGHT: Colour = [0.09, 0.13, 0.22];
/// Cell height of a letter in the units of [`glyph`]; the stem is six units tall.
const UNITS: f64 = 6.0;
/// Where the light half ends.
const FOLD: f64 = 208.0;

/// Text, left, top and height of capitals in pixels, stroke width as part of the height, and colour.
const LINES: [(&str, f64, f64, f64, f64, Colour); 15] = [
    ("SUPER", 16.0, 16.0, 46.0, 0.15, [0.12, 0.12, 0.14]),
    ("RESOLUTION", 16.0, 74.0, 30.0, 0.13, [0.66, 0.12, 0.14]),
    ("ZONE 30  KM 1284  N 47-09", 16.0, 117.0, 15.0, 0.12, [0.12, 0.12, 0.14]),
    ("THE QUICK BROWN FOX JUMPS OVER", 16.0, 143.0, 12.0, 0.12, [0.10, 0.20, 0.48]),
    ("THE LAZY DOG 0123456789 HAMBURG", 16.0, 164.0, 10.0, 0.13, [0.12, 0.12, 0.14]),
    ("SIX BIG JUICY STEAKS SIZZLED IN A PAN AS FIVE", 16.0, 181.0, 8.0, 0.14, [0.12, 0.12, 0.14]),
    ("WORKMEN LEFT THE QUARRY", 16.0, 195.0, 7.0, 0.15, [0.12, 0.12, 0.14]),
    ("EXIT", 16.0, 224.0, 40.0, 0.16, [0.97, 0.93, 0.62]),
    ("PLATFORM 24", 190.0, 228.0, 16.0, 0.13, [0.95, 0.97, 1.0]),
    ("DEPARTS 18.45", 190.0, 252.0, 12.0, 0.12, [0.55, 0.86, 0.62]),
    ("AMAZINGLY FEW DISCOTHEQUES", 16.0, 282.0, 14.0, 0.12, [0.95, 0.97, 1.0]),
    ("PROVIDE JUKEBOXES 7531/8642", 16.0, 306.0, 12.0, 0.12, [0.98, 0.62, 0.42]),
    ("PACK MY BOX WITH FIVE DOZEN LIQUOR JUGS", 16.0, 328.0, 9.0, 0.13, [0.95, 0.97, 1.0]),
    ("HOW VEXINGLY QUICK DAFT ZEBRAS JUMP 1/2 3/4", 16.0, 346.0, 8.0, 0.14, [0.55, 0.86, 0.62]),
    ("SPHINX OF BLACK QUARTZ JUDGE MY VOW", 16.0, 362.0, 7.0, 0.15, [0.95, 0.97, 1.0]),
];

pub fn draw() -> Image {
    let mut canvas = Canvas::painted(|[x, y]| {
        let t = x / SIDE as f64;
        if y < FOLD { mix(PAPER, [0.90, 0.90, 0.94], t) } else { mix(NIGHT, [0.16, 0.25, 0.30], t) }
    });
    for (text, left, top, height, weight, colour) in LINES {
        let unit = height / UNITS;
        for (i, letter) in text.chars().enumerate() {
            let x = left + i as f64 * unit * 5.6;
            let at = |p: [u8; 2]| -> Point { [x + f64::from(p[0]) * unit, top + f64::from(p[1]) * unit] };
            for line in glyph(letter).split('|') {
                let points: Vec<_> = line.split_whitespace().map(|p| at(corner(p))).collect();
                for pair in points.windows(2) {
                    canvas.stroke(pair[0], pair[1], height * weight, colour);
                }
            }
        }
    }
    canvas.develop()
}

/// The two digits of a corner: column 0..=4 and row 0..=6, from the upper left.
fn corner(digits: &str) -> [u8; 2] {
    let digits = digits.as_bytes();
    [digits[0] - b'0', digits[1] - b'0']
}

/// Strokes of a letter, as corners to join; `|` lifts the pen.
fn glyph(letter: char) -> &'static str {
    match letter {
        'A' => "06 20 46|14 34",
        'B' => "30 00 06 36 45 44 33 03|33 42 41 30",
        'C' => "41 30 10 01 05 16 36 45",
        'D' => "00 06 26 45 41 20 00",
        'E' => "40 00 06 46|03 33",
        'F' => "40 00 06|03 33",
        'G' => "41 30 10 01 05 16 36 45 43 23",
        'H' => "00 06|40 46|03 43",
        'I' => "20 26|10 30|16 36",
        'J' => "40 45 36 16 05",
        'K' => "00 06|40 03 46",
        'L' => "00 06 46",
        'M' => "06 00 23 40 46",
        'N' => "06 00 46 40",
        'O' => "10 30 41 45 36 16 05 01 10",
        'P' => "06 00 30 41 42 33 03",
        'Q' => "10 30 41 45 36 16 05 01 10|24 46",
        'R' => "06 00 30 41 42 33 03|23 46",
        'S' => "41 30 10 01 02 13 33 44 45 36 16 05",
        'T' => "00 40|20 26",
        'U' => "00 05 16 36 45 40",
        'V' => "00 26 40",
        'W' => "00 16 22 36 40",
        'X' => "00 46|40 06",
        'Y' => "00 23 40|23 26",
        'Z' => "00 40 06 46",
        '0' => "10 30 41 45 36 16 05 01 10|41 05",
        '1' => "11 20 26|16 36",
        '2' => "01 10 30 41 42 06 46",
        '3' => "01 10 30 41 42 33 44 45 36 16 05|13 33",
        '4' => "36 30 04 44",
        '5' => "40 00 03 33 44 45 36 06",
        '6' => "30 10 01 05 16 36 45 44 33 03",
        '7' => "00 40 16",
        '8' => "13 02 01 10 30 41 42 33 13 04 05 16 36 45 44 33",
        '9' => "43 13 02 01 10 30 41 45 36 16",
        '.' => "26 26",
        '-' => "13 33",
        '/' => "06 40",
        _ => "",
    }
}
