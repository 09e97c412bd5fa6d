//! Which sizes go with which: those of frames that come, times the factor, are those of frames that leave.

use gst::glib::SendValue;
use gst::glib::prelude::*;

/// Longest side of frames that come.
pub const MAX_SIDE: i32 = 16_384;
/// Longest side of frames that leave.
pub const MAX_LARGE_SIDE: i32 = 65_536;

/// Which way caps are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From frames that come to those that leave.
    Enlarged,
    /// Back.
    Reduced,
}

/// What is possible on the other side of the element. Everything but width and height stays: pixels keep their shape, as both are
/// enlarged alike, and frames their rate and format. Without a factor, because no model is known yet, all sizes are.
pub fn carried(caps: &gst::Caps, factor: Option<i32>, way: Way) -> gst::Caps {
    let mut carried = gst::Caps::new_empty();
    let out = carried.make_mut();
    for (structure, features) in caps.iter_with_features() {
        let mut structure = structure.to_owned();
        let possible = ["width", "height"].iter().all(|side| {
            let value = match (structure.value(*side), factor) {
                (Err(_), None) => return true,
                // Nothing said is anything possible, within what this element takes.
                (Err(_), Some(factor)) => side_value(&whole(way).to_send_value(), factor, way),
                (Ok(_), None) => Some(whole(way.back()).to_send_value()),
                (Ok(value), Some(factor)) => side_value(value, factor, way),
            };
            value.map(|value| structure.set_value(*side, value)).is_some()
        });
        if possible {
            out.append_structure_full(structure, Some(features.to_owned()));
        }
    }
    carried
}

impl Way {
    fn back(self) -> Self {
        match self {
            Self::Enlarged => Self::Reduced,
            Self::Reduced => Self::Enlarged,
        }
    }
}

/// All sides that caps carried this way can have.
fn whole(way: Way) -> gst::IntRange<i32> {
    gst::IntRange::new(1, if way == Way::Enlarged { MAX_SIDE } else { MAX_LARGE_SIDE })
}

/// A side, a range or a list of sides, on the other side of the element; nothing where there is none.
fn side_value(value: &SendValue, factor: i32, way: Way) -> Option<SendValue> {
    if let Ok(side) = value.get::<i32>() {
        let other = match way {
            Way::Enlarged => side.checked_mul(factor).filter(|side| *side <= MAX_LARGE_SIDE)?,
            Way::Reduced if side % factor == 0 => side / factor,
            Way::Reduced => return None,
        };
        return (other > 0).then(|| other.to_send_value());
    }
    if let Ok(list) = value.get::<gst::List>() {
        let values: Vec<_> = list.iter().filter_map(|value| side_value(value, factor, way)).collect();
        return (!values.is_empty()).then(|| gst::List::from_values(values).to_send_value());
    }
    let range = value.get::<gst::IntRange<i32>>().ok()?;
    // In 64 bits: a range often ends at the largest number there is.
    let [min, max, step, factor] =
        [range.min(), range.max(), range.step(), factor].map(|v| u64::from(v.max(1).unsigned_abs()));
    let most = u64::from(MAX_LARGE_SIDE.unsigned_abs());
    let (min, max, step) = match way {
        Way::Enlarged => (min * factor, (max * factor).min(most), step * factor),
        // Of the steps only those count that are multiples of the factor.
        Way::Reduced => {
            (min.div_ceil(factor), max.min(most) / factor, step / greatest_common_divisor(step, factor))
        }
    };
    let (min, max) = (min.next_multiple_of(step), max / step * step);
    let [min, max, step] = [min, max, step].map(|v| i32::try_from(v).unwrap_or(i32::MAX));
    match min.cmp(&max) {
        std::cmp::Ordering::Greater => None,
        std::cmp::Ordering::Equal => Some(min.to_send_value()),
        std::cmp::Ordering::Less => Some(gst::IntRange::with_step(min, max, step).to_send_value()),
    }
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gst::prelude::GstValueExt;

    fn carried_text(text: &str, factor: i32, way: Way) -> String {
        gst::init().unwrap();
        carried(&text.parse().unwrap(), Some(factor), way).to_string()
    }

    fn equal(found: &str, expected: &str) {
        let parse = |text: &str| -> gst::Caps {
            if text == "EMPTY" { gst::Caps::new_empty() } else { text.parse().unwrap() }
        };
        assert!(parse(found).is_strictly_equal(&parse(expected)), "{found}, but expected {expected}");
    }

    #[test]
    fn sides_are_multiplied_and_the_rest_stays() {
        let small =
            "video/x-raw, format=RGB, width=320, height=180, framerate=30000/1001, pixel-aspect-ratio=4/3";
        let large =
            "video/x-raw, format=RGB, width=640, height=360, framerate=30000/1001, pixel-aspect-ratio=4/3";
        equal(&carried_text(small, 2, Way::Enlarged), large);
        equal(&carried_text(large, 2, Way::Reduced), small);
        // Neither of them is a multiple of 3, and then of 7.
        equal(&carried_text(large, 7, Way::Reduced), "EMPTY");
        equal(&carried_text("video/x-raw, width=639, height=360", 2, Way::Reduced), "EMPTY");
        // A factor of 1 changes nothing.
        equal(&carried_text(small, 1, Way::Enlarged), small);
    }

    #[test]
    fn ranges_and_lists_keep_what_is_possible() {
        let of = |width: &str, factor, way| {
            let text = carried_text(&format!("video/x-raw, width={width}, height=12"), factor, way);
            let caps: gst::Caps = if text == "EMPTY" { return None } else { text.parse().unwrap() };
            Some(caps.structure(0).unwrap().value("width").unwrap().serialize().unwrap().to_string())
        };
        let of = |width: &str, factor, way| {
            of(width, factor, way).map(|text| text.replace(' ', "").replace("(int)", ""))
        };
        assert_eq!(of("[1, 100]", 2, Way::Enlarged).as_deref(), Some("[2,200,2]"));
        assert_eq!(of("[1, 2147483647]", 4, Way::Enlarged).as_deref(), Some("[4,65536,4]"));
        assert_eq!(of("[1, 2147483647]", 4, Way::Reduced).as_deref(), Some("[1,16384]"));
        assert_eq!(of("[5, 13]", 4, Way::Reduced).as_deref(), Some("[2,3]"));
        assert_eq!(of("[5, 11]", 4, Way::Reduced).as_deref(), Some("2"));
        assert_eq!(of("[5, 7]", 4, Way::Reduced), None);
        // Multiples of 6 that are multiples of 4 are multiples of 12, and those of 3 before.
        assert_eq!(of("[6, 60, 6]", 4, Way::Reduced).as_deref(), Some("[3,15,3]"));
        assert_eq!(of("{ 10, 12, 15, 16 }", 4, Way::Reduced).as_deref(), Some("{3,4}"));
        assert_eq!(of("{ 10, 15 }", 4, Way::Reduced), None);
        assert_eq!(of("40000", 2, Way::Enlarged), None);
    }

    #[test]
    fn several_structures_and_unknown_factors() {
        equal(
            &carried_text("video/x-raw, width=7, height=7; video/x-raw, width=8, height=8", 2, Way::Reduced),
            "video/x-raw, width=4, height=4",
        );
        let any =
            carried(&"video/x-raw, format=RGB, width=7, height=9".parse().unwrap(), None, Way::Enlarged);
        equal(&any.to_string(), "video/x-raw, format=RGB, width=[1, 65536], height=[1, 65536]");
        // Where nothing is said about a side, there is something to say on the other one.
        equal(
            &carried_text("video/x-raw, format=RGB", 4, Way::Enlarged),
            "video/x-raw, format=RGB, width=[4, 65536, 4], height=[4, 65536, 4]",
        );
    }

    #[test]
    fn there_and_back_is_where_one_was() {
        gst::init().unwrap();
        for factor in 1..=4 {
            for side in ["[1, 16384]", "[16, 4096, 16]", "{ 6, 240, 1080 }", "77"] {
                let caps: gst::Caps = format!("video/x-raw, width={side}, height={side}").parse().unwrap();
                let there = carried(&caps, Some(factor), Way::Enlarged);
                let back = carried(&there, Some(factor), Way::Reduced);
                assert!(back == caps, "{factor}: {caps} {there} {back}");
            }
        }
    }
}
