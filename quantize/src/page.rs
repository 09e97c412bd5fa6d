//! The report as one HTML file without anything from outside: drops, signal to noise of each edge, and the
//! worst image seen through both models.

use crate::cost::{self, KeptNode};
use crate::engine::Runner;
use crate::error::QuantizeError;
use crate::gate::{Bin, Drops, task_of};
use crate::images;
use crate::sensitivity::{EdgeSnr, Sensitivity};
use base64::Engine as _;
use mcir_runtime::image::Image;
use mcir_runtime::model::Model;
use std::fmt::Write as _;
use std::path::Path;

/// Side of the crops in pixels of the high-resolution image.
const CROP: usize = 96;
/// What differences are multiplied with to be seen.
const MAGNIFIED: i32 = 8;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;\
color:#222;background:#fff}table{border-collapse:collapse}td,th{padding:.1rem .8rem .1rem 0;text-align:right;\
font-variant-numeric:tabular-nums}td:first-child,th:first-child{text-align:left}.crops{display:flex;flex-wrap:wrap;\
gap:.5rem}figure{flex:1 1 10rem;max-width:18rem;margin:0}figure img{width:100%;image-rendering:pixelated;display:block}\
.plot{overflow-x:auto}rect{fill:#2a6f97}\
text{font:12px system-ui,sans-serif;fill:currentColor}@media(prefers-color-scheme:dark){body{color:#ddd;\
background:#181818}rect{fill:#61a5c2}}";

/// What a page shows besides the drops; empty lists leave their sections out.
#[derive(Clone, Copy, Default)]
pub struct Details<'a> {
    /// Signal to noise of each edge.
    pub snr: &'a [EdgeSnr],
    /// What each convolution costs alone.
    pub costs: &'a [Sensitivity],
    /// Convolutions that are not in int8.
    pub kept: &'a [KeptNode],
}

/// The crops of an image where two models differ most.
pub struct Crops {
    /// Upper left corner in the high-resolution image.
    at: (usize, usize),
    /// Title and picture: original, float, int8, difference.
    pictures: Vec<(String, Image)>,
}

/// Runs both models on a file and cuts out the part where they differ most.
///
/// # Errors
/// When the file cannot be used any more, and what the engine refuses.
pub fn crops(float: &Model, int8: &Model, path: &Path) -> Result<Crops, QuantizeError> {
    let pair = images::load(path, task_of(float)?)
        .map_err(|reason| QuantizeError::Image { path: path.to_path_buf(), reason })?;
    let [a, b] = [float, int8].map(|model| Runner::new(model).upscale(&pair.lr));
    let (a, b) = (a?, b?);
    let (x, y) = largest_difference(&a, &b);
    let (width, height) = (CROP.min(a.width()), CROP.min(a.height()));
    let cut = |image: &Image| image.crop(x, y, width, height);
    let (hr, a, b) = (cut(&pair.hr)?, cut(&a)?, cut(&b)?);
    let difference = a.data().iter().zip(b.data());
    let difference =
        difference.map(|(&a, &b)| (128 + MAGNIFIED * (i32::from(b) - i32::from(a))).clamp(0, 255) as u8);
    let difference = Image::new(width, height, a.channels(), difference.collect())?;
    let pictures = vec![
        ("original".into(), hr),
        ("f32".into(), a),
        ("int8".into(), b),
        (format!("difference x{MAGNIFIED}, grey is none"), difference),
    ];
    Ok(Crops { at: (x, y), pictures })
}

/// Corner of the crop, on a grid of half crops, with the largest squared difference.
fn largest_difference(a: &Image, b: &Image) -> (usize, usize) {
    let (width, height) = (CROP.min(a.width()), CROP.min(a.height()));
    let channels = a.channels();
    let error = |x: usize, y: usize| -> u64 {
        (y..y + height)
            .map(|row| {
                let part = x * channels..(x + width) * channels;
                let pairs = a.row(row)[part.clone()].iter().zip(&b.row(row)[part]);
                pairs.map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2)).sum::<u64>()
            })
            .sum()
    };
    let corners = |size: usize, crop: usize| (0..=size - crop).step_by(CROP / 2);
    let all = corners(a.height(), height).flat_map(|y| corners(a.width(), width).map(move |x| (x, y)));
    // Of equal ones the first.
    all.fold(((0, 0), None), |(best, least), at| {
        let found = error(at.0, at.1);
        if least.is_none_or(|least| found > least) { (at, Some(found)) } else { (best, least) }
    })
    .0
}

/// The page.
pub fn page(name: &str, drops: &Drops, crops: &Crops, details: Details<'_>) -> String {
    let mut html = String::new();
    let title = escape(name);
    let _ = write!(
        html,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}: int8 against f32</title><style>{STYLE}</style>\
         <h1>{title}: int8 against f32</h1><p>Mean PSNR-Y over {} images: {:.3} dB in f32, {:.3} dB in int8; \
         <b>{:.4} dB lost</b>. Worst: {} loses {:.4} dB. The int8 pictures agree with the f32 ones to {:.1} dB.</p>",
        drops.images.len(),
        drops.psnr_f32_db,
        drops.psnr_int8_db,
        drops.mean_drop_db,
        escape(&drops.worst().name),
        drops.worst().drop_db,
        drops.agreement_db
    );
    if !details.kept.is_empty() {
        html += "<h2>Convolutions kept in more than int8</h2><table><tr><th>convolution<th>kept in<th>MAC/px<th>of \
                 all<th>predicted ms<th>in int8 ms";
        for k in details.kept {
            let _ = write!(
                html,
                "<tr><td>{}<td>{}<td>{}<td>{:.1} %<td>{:.2}<td>{:.2}",
                escape(&k.name),
                k.precision.name(),
                k.macs_per_pixel,
                100.0 * k.macs_part,
                k.predicted_ms,
                k.predicted_int8_ms
            );
        }
        let _ = write!(html, "</table><p>Predicted for {}.</p>", escape(cost::BASIS));
    }
    let (worst, (x, y)) = (escape(&drops.worst().name), crops.at);
    let _ = write!(html, "<h2>Worst image, {worst}, from {x}, {y} on</h2><div class=\"crops\">");
    for (caption, picture) in &crops.pictures {
        let _ = write!(
            html,
            "<figure><img alt=\"{caption}\" src=\"{}\"><figcaption>{caption}</figcaption></figure>",
            data_uri(picture)
        );
    }
    html += "</div>";
    if !details.snr.is_empty() {
        let bars = details.snr.iter().map(|e| (format!("{} ({})", e.name, e.dtype), e.snr_db));
        html += "<h2>Signal to noise of each edge, in dB</h2>";
        html += &bar_plot(&bars.collect::<Vec<_>>(), 1);
    }
    if !details.costs.is_empty() {
        let bars = details.costs.iter().map(|c| (c.name.clone(), c.drop_db));
        html += "<h2>Drop when only this convolution or attention is int8, in dB</h2>";
        html += &bar_plot(&bars.collect::<Vec<_>>(), 4);
    }
    html += "<h2>Histogram of drops</h2>";
    let label = |bin: &Bin| (format!("{:.4} .. {:.4} dB", bin.from_db, bin.to_db), bin.images as f64);
    html += &bar_plot(&drops.histogram.iter().map(label).collect::<Vec<_>>(), 0);
    html += "<h2>Images</h2><table><tr><th>image<th>size<th>f32 dB<th>int8 dB<th>drop dB";
    for image in &drops.images {
        let _ = write!(
            html,
            "<tr><td>{}<td>{}x{}<td>{:.3}<td>{:.3}<td>{:.4}",
            escape(&image.name),
            image.width,
            image.height,
            image.psnr_f32_db,
            image.psnr_int8_db,
            image.drop_db
        );
    }
    html + "</table></html>\n"
}

/// Horizontal bars with their values; values below zero get none.
fn bar_plot(bars: &[(String, f64)], decimals: usize) -> String {
    /// Advance of a character of the labels in pixels, a little more than fonts have on average.
    const CHARACTER: usize = 7;
    const BAR: usize = 420;
    const VALUE: usize = 90;
    let longest = bars.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let left = CHARACTER * longest + 10;
    let largest = bars.iter().map(|(_, v)| *v).fold(1e-12, f64::max);
    let mut svg = format!(
        "<div class=\"plot\"><svg width=\"{}\" height=\"{}\" role=\"img\">",
        left + BAR + VALUE,
        20 * bars.len() + 4
    );
    for (i, (name, value)) in bars.iter().enumerate() {
        let width = (BAR as f64 * value / largest).max(0.0);
        let y = 20 * i;
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><rect x=\"{left}\" y=\"{}\" width=\"{width:.1}\" \
             height=\"14\"/><text x=\"{:.1}\" y=\"{}\">{value:.decimals$}</text>",
            left - 10,
            y + 14,
            escape(name),
            y + 3,
            (left + 6) as f64 + width,
            y + 14
        );
    }
    svg + "</svg></div>"
}

fn data_uri(picture: &Image) -> String {
    let png = mcir_files::encode_png(picture);
    format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(png))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::ImageDrop;

    fn drops(values: &[f64]) -> Drops {
        let image = |(i, &drop_db): (usize, &f64)| ImageDrop {
            name: format!("<{i}>.png"),
            width: 100,
            height: 100,
            psnr_f32_db: 30.0,
            psnr_int8_db: 30.0 - drop_db,
            drop_db,
            agreement_db: 40.0,
        };
        Drops::new(values.iter().enumerate().map(image).collect())
    }

    #[test]
    fn the_crop_is_where_the_difference_is() {
        let image = |at: Option<(usize, usize)>| {
            let mut data = vec![7; 300 * 200 * 3];
            if let Some((x, y)) = at {
                data[(y * 300 + x) * 3] = 200;
            }
            Image::new(300, 200, 3, data).unwrap()
        };
        let (x, y) = largest_difference(&image(None), &image(Some((250, 150))));
        assert!((x..x + CROP).contains(&250) && (y..y + CROP).contains(&150), "{x} {y}");
        let tiny = Image::new(20, 10, 1, vec![0; 200]).unwrap();
        assert_eq!(largest_difference(&tiny, &tiny), (0, 0));
    }

    #[test]
    fn names_are_escaped() {
        let picture = Image::new(2, 2, 1, vec![0, 1, 2, 3]).unwrap();
        let crops = Crops { at: (0, 0), pictures: vec![("f32".into(), picture)] };
        let html = page("a & b", &drops(&[0.1, 0.2]), &crops, Details::default());
        assert!(html.contains("a &amp; b") && html.contains("&lt;1&gt;.png") && !html.contains("<1>"));
        assert!(html.contains("data:image/png;base64,iVBOR"));
        assert!(!html.contains("http"), "nothing comes from outside");
    }

    #[test]
    fn labels_have_room() {
        let bars = ["a".repeat(50), "b".into()].map(|name| (name, 1.0));
        let svg = bar_plot(&bars, 1);
        let number = |after: &str| -> f64 {
            let text = svg.split_once(after).unwrap().1;
            text[..text.find('"').unwrap()].parse().unwrap()
        };
        // Wide fonts take 0.58 em a letter, and labels have 12 pixels.
        assert!(number("<text x=\"") >= 50.0 * 12.0 * 0.58, "{svg}");
        let bar_ends = number("<rect x=\"") + number("\" y=\"3\" width=\"");
        assert!(bar_ends + 40.0 < number("<svg width=\""), "the value has room too: {svg}");
    }
}
