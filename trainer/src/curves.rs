//! `curves.svg`: loss and PSNR over the steps, drawn from `log.csv`.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const PANEL: f64 = 200.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 28.0;
const GAP: f64 = 48.0;

/// A series of the log: step and value.
type Series = Vec<(f64, f64)>;

/// Draws the loss (logarithmic) and, where the log has it, the PSNR on Y. A log without rows gives a picture
/// without lines.
pub fn svg(log: &str) -> String {
    let (loss, psnr) = (column(log, "loss"), column(log, "psnr_y_db"));
    let logarithm: Series = loss.iter().filter(|p| p.1 > 0.0).map(|p| (p.0, p.1.log10())).collect();
    let last = loss.iter().chain(&psnr).map(|p| p.0).fold(1.0, f64::max);
    let height = 2.0 * (TOP + PANEL) + GAP;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    panel(&mut out, "loss", &logarithm, TOP, last, |v| format!("{:.4}", 10f64.powf(v)));
    panel(&mut out, "PSNR-Y in dB", &psnr, 2.0 * TOP + PANEL, last, |v| format!("{v:.2}"));
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{last} steps</text>\n</svg>",
        WIDTH - 16.0,
        height - 16.0
    );
    out
}

/// The rows of the log that have a value in a column.
fn column(log: &str, name: &str) -> Series {
    let header: Vec<&str> = log.lines().next().unwrap_or("").split(',').collect();
    let Some(at) = header.iter().position(|h| *h == name) else { return Series::new() };
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let point = (cells.first()?.parse().ok()?, cells.get(at)?.parse().ok()?);
        Some(point).filter(|p: &(f64, f64)| p.1.is_finite())
    };
    log.lines().skip(1).filter_map(row).collect()
}

fn panel(out: &mut String, title: &str, series: &Series, top: f64, last: f64, label: impl Fn(f64) -> String) {
    let (width, bottom) = (WIDTH - LEFT - 16.0, top + PANEL);
    let _ = writeln!(out, "<text x=\"{LEFT}\" y=\"{}\">{title}</text>", top - 8.0);
    let _ = writeln!(
        out,
        "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{width}\" height=\"{PANEL}\" fill=\"none\" stroke=\"#bbb\"/>"
    );
    let bound = |f: fn(f64, f64) -> f64, start| series.iter().map(|p| p.1).fold(start, f);
    let (low, high) = (bound(f64::min, f64::INFINITY), bound(f64::max, f64::NEG_INFINITY));
    if series.is_empty() {
        return;
    }
    // A constant series lies in the middle.
    let (low, high) = if high > low { (low, high) } else { (low - 0.5, high + 0.5) };
    for (value, y) in [(high, top + 10.0), (low, bottom)] {
        let _ =
            writeln!(out, "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{}</text>", LEFT - 6.0, label(value));
    }
    let points: Vec<String> = series
        .iter()
        .map(|(step, value)| {
            let (x, y) = (LEFT + width * step / last, bottom - PANEL * (value - low) / (high - low));
            format!("{x:.1},{y:.1}")
        })
        .collect();
    let _ = writeln!(
        out,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#1f6feb\" stroke-width=\"1.5\"/>",
        points.join(" ")
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "step,lr,loss,l_neg,psnr_y_db,ssim_y,seconds\n10,1e-3,0.1,,,,1.0\n20,1e-3,0.01,,30.5,0.8,2.0\n\
                       30,1e-3,nonsense,,31.5,0.9,3.0\n";

    #[test]
    fn columns_skip_rows_without_a_value() {
        assert_eq!(column(LOG, "loss"), [(10.0, 0.1), (20.0, 0.01)]);
        assert_eq!(column(LOG, "psnr_y_db"), [(20.0, 30.5), (30.0, 31.5)]);
        assert_eq!(column(LOG, "other"), []);
    }

    #[test]
    fn lines_span_the_panel() {
        let svg = svg(LOG);
        let lines: Vec<&str> = svg.lines().filter(|l| l.starts_with("<polyline")).collect();
        assert_eq!(lines.len(), 2);
        // Loss: from the top at a third of the width to the bottom at two thirds.
        let (w, third) =
            (WIDTH - LEFT - 16.0, |n: f64| format!("{:.1}", LEFT + (WIDTH - LEFT - 16.0) * n / 3.0));
        assert!(
            lines[0].contains(&format!("{},{:.1} {},{:.1}", third(1.0), TOP, third(2.0), TOP + PANEL)),
            "{}",
            lines[0]
        );
        assert!(lines[1].contains(&format!("{:.1},{:.1}", LEFT + w, 2.0 * TOP + PANEL)), "{}", lines[1]);
        assert!(svg.contains("0.1000") && svg.contains("31.50") && svg.contains("30 steps"));
        assert!(svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn an_empty_log_is_a_picture_without_lines() {
        for log in ["", "step,loss\n", "step,loss\n5,0.5\n"] {
            let svg = svg(log);
            assert!(svg.starts_with("<svg") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
