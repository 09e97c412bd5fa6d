//! `curves.svg`: losses and PSNR over the steps, drawn from `log.csv` and `validation.csv`.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const PANEL: f64 = 200.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 28.0;
const GAP: f64 = 48.0;
/// Colours that differ for most eyes and in grey.
const COLORS: [&str; 6] = ["#1f6feb", "#d1570d", "#1a7f37", "#8250df", "#0b7285", "#6e4c13"];

/// A series: step and value.
type Series = Vec<(f64, f64)>;

/// One picture of several under each other.
struct Panel {
    title: &'static str,
    /// Name and values of each line; a single one needs no name.
    lines: Vec<(String, Series)>,
    logarithmic: bool,
}

/// Draws the loss (logarithmic where it has no negative values), the contrastive loss where the run has one, and the PSNR on Y of each validation set.
/// A log without rows gives a picture without lines.
pub fn svg(log: &str, validation: &str) -> String {
    let one = |name: &str| vec![(String::new(), column(log, name, None))];
    let loss = one("loss");
    // That of NAFNet is a negative PSNR.
    let logarithmic = loss[0].1.iter().all(|p| p.1 >= 0.0);
    let mut panels = vec![Panel { title: "loss", lines: loss, logarithmic }];
    let negative = one("l_neg");
    if !negative[0].1.is_empty() {
        panels.push(Panel { title: "contrastive loss", lines: negative, logarithmic: false });
    }
    let set = |name: String| {
        let series = column(validation, "psnr_y_db", Some(&name));
        (name, series)
    };
    let lines = sets(validation).into_iter().map(set).collect();
    panels.push(Panel { title: "PSNR-Y in dB", lines, logarithmic: false });
    let last = panels.iter().flat_map(|p| &p.lines).flat_map(|l| &l.1).map(|p| p.0).fold(1.0, f64::max);
    let height = panels.len() as f64 * (TOP + PANEL) + GAP;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (i, panel) in panels.iter().enumerate() {
        draw(&mut out, panel, TOP + i as f64 * (TOP + PANEL), last);
    }
    let bottom = height - GAP;
    for step in ticks(0.0, last, 6) {
        let (x, y) = (across(step, last), bottom + 16.0);
        let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{step}</text>");
    }
    let (x, y) = (WIDTH - RIGHT, height - 12.0);
    let _ = writeln!(out, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"end\">{last} steps</text>\n</svg>");
    out
}

/// The names in the column `set`, in their order.
fn sets(validation: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in validation.lines().skip(1).filter_map(|line| line.split(',').nth(1)) {
        if !names.iter().any(|n| n == name) {
            names.push(name.into());
        }
    }
    names
}

/// The rows of a table that have a value in a column; of a set if one is named.
fn column(table: &str, name: &str, set: Option<&str>) -> Series {
    let header: Vec<&str> = table.lines().next().unwrap_or("").split(',').collect();
    let Some(at) = header.iter().position(|h| *h == name) else { return Series::new() };
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let point = (cells.first()?.parse().ok()?, cells.get(at)?.parse().ok()?);
        let wanted = set.is_none_or(|set| cells.get(1) == Some(&set));
        Some(point).filter(|p: &(f64, f64)| wanted && p.1.is_finite())
    };
    table.lines().skip(1).filter_map(row).collect()
}

fn across(step: f64, last: f64) -> f64 {
    LEFT + (WIDTH - LEFT - RIGHT) * step / last
}

fn draw(out: &mut String, panel: &Panel, top: f64, last: f64) {
    let (width, bottom) = (WIDTH - LEFT - RIGHT, top + PANEL);
    let _ = writeln!(out, "<text x=\"{LEFT}\" y=\"{}\">{}</text>", top - 8.0, panel.title);
    let scale = |v: f64| if panel.logarithmic { v.log10() } else { v };
    let usable = |p: &&(f64, f64)| !panel.logarithmic || p.1 > 0.0;
    let values = || panel.lines.iter().flat_map(|l| &l.1).filter(usable).map(|p| p.1);
    let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    // A constant series lies in the middle.
    let (low, high) = match scale(most) - scale(least) {
        d if d > 0.0 => (scale(least), scale(most)),
        _ => (scale(least) - 0.5, scale(most) + 0.5),
    };
    let up = |v: f64| bottom - PANEL * (scale(v) - low) / (high - low);
    if least.is_finite() {
        let marks = if panel.logarithmic { decades(low, high) } else { ticks(low, high, 5) };
        for value in marks {
            let y = up(value);
            let _ = writeln!(
                out,
                "<path d=\"M{LEFT} {y:.1}h{width}\" stroke=\"#e4e4e4\"/><text x=\"{}\" y=\"{:.1}\" \
                 text-anchor=\"end\">{value}</text>",
                LEFT - 6.0,
                y + 4.0
            );
        }
    }
    let _ = writeln!(
        out,
        "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{width}\" height=\"{PANEL}\" fill=\"none\" stroke=\"#bbb\"/>"
    );
    for (i, (name, series)) in panel.lines.iter().enumerate() {
        let color = COLORS[i % COLORS.len()];
        let points: Vec<String> = series
            .iter()
            .filter(usable)
            .map(|p| format!("{:.1},{:.1}", across(p.0, last), up(p.1)))
            .collect();
        if let [one] = &points[..] {
            let (x, y) = one.split_once(',').expect("written above");
            let _ = writeln!(out, "<circle cx=\"{x}\" cy=\"{y}\" r=\"3\" fill=\"{color}\"/>");
        } else if !points.is_empty() {
            let _ = writeln!(
                out,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\"/>",
                points.join(" ")
            );
        }
        if panel.lines.len() > 1 {
            let name = name.replace('&', "&amp;").replace('<', "&lt;");
            let (x, y) = (LEFT + 120.0 + 110.0 * i as f64, top - 8.0);
            let _ = writeln!(out, "<text x=\"{x}\" y=\"{y}\" fill=\"{color}\">{name}</text>");
        }
    }
}

/// About `count` round numbers from `low` to `high`.
fn ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let rough = (high - low) / count as f64;
    let decade = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|n| n * decade).into_iter().find(|s| *s >= rough).unwrap_or(rough);
    let digits = (1.0 - step.log10()).ceil().clamp(0.0, 12.0);
    let round = |v: f64| (v * 10f64.powf(digits)).round() / 10f64.powf(digits);
    ((low / step).ceil() as i64..=(high / step).floor() as i64).map(|i| round(i as f64 * step)).collect()
}

/// Round numbers for a logarithmic axis between these exponents: 1, 2 and 5 times powers of ten, or more of them where
/// these are too few.
fn decades(low: f64, high: f64) -> Vec<f64> {
    let mut found = Vec::new();
    for exponent in low.floor() as i32..=high.ceil() as i32 {
        // Parsed, so that they print as they are written.
        found.extend([1, 2, 5].iter().filter_map(|digit| format!("{digit}e{exponent}").parse::<f64>().ok()));
    }
    found.retain(|v| (low..=high).contains(&v.log10()));
    if found.len() < 2 { ticks(10f64.powf(low), 10f64.powf(high), 4) } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "step,lr,loss,l_neg,psnr_y_db,ssim_y,seconds\n10,1e-3,0.1,,,,1.0\n20,1e-3,0.01,,30.5,0.8,2.0\n\
                       30,1e-3,nonsense,,31.5,0.9,3.0\n";
    const VALIDATION: &str =
        "step,set,psnr_y_db,ssim_y\n20,A,30.5,0.8\n20,B<,20.5,0.7\n30,A,31.5,0.9\n30,B<,20.0,0.7\n";

    #[test]
    fn columns_skip_rows_without_a_value() {
        assert_eq!(column(LOG, "loss", None), [(10.0, 0.1), (20.0, 0.01)]);
        assert_eq!(column(LOG, "psnr_y_db", None), [(20.0, 30.5), (30.0, 31.5)]);
        assert_eq!(column(LOG, "other", None), []);
        assert_eq!(sets(VALIDATION), ["A", "B<"]);
        assert_eq!(column(VALIDATION, "psnr_y_db", Some("B<")), [(20.0, 20.5), (30.0, 20.0)]);
    }

    #[test]
    fn lines_span_the_panel() {
        let svg = svg(LOG, VALIDATION);
        let lines: Vec<&str> = svg.lines().filter(|l| l.starts_with("<polyline")).collect();
        assert_eq!(lines.len(), 3);
        let third = |n: f64| format!("{:.1}", LEFT + (WIDTH - LEFT - RIGHT) * n / 3.0);
        // Loss: from the top at a third of the width to the bottom at two thirds.
        let expected = format!("{},{:.1} {},{:.1}", third(1.0), TOP, third(2.0), TOP + PANEL);
        assert!(lines[0].contains(&expected), "{}", lines[0]);
        // The best of the first set is at the top, the worst of the second at the bottom.
        let top = 2.0 * TOP + PANEL;
        assert!(lines[1].contains(&format!("{},{:.1}", third(3.0), top)), "{}", lines[1]);
        assert!(lines[2].contains(&format!("{},{:.1}", third(3.0), top + PANEL)), "{}", lines[2]);
        for text in [">0.1<", ">0.05<", ">0.01<", ">30<", ">A<", ">B&lt;<", "30 steps", ">25<"] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
        assert!(svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn a_contrastive_loss_has_a_panel() {
        let log = "step,loss,l_neg\n1,0.5,-0.25\n2,0.5,0.5\n";
        let svg = svg(log, "");
        assert!(svg.contains("contrastive loss") && svg.matches("<polyline").count() == 2, "{svg}");
        // The constant loss is in the middle of its panel.
        assert!(svg.contains(&format!(",{:.1}", TOP + PANEL / 2.0)), "{svg}");
    }

    #[test]
    fn a_negative_loss_is_drawn_on_a_linear_axis() {
        let svg = svg("step,loss\n1,-20\n2,-30\n", "");
        let (from, to) = (format!(",{TOP:.1} "), format!(",{:.1}\"", TOP + PANEL));
        assert!(svg.contains(&from) && svg.contains(&to) && svg.contains(">-26<"), "{svg}");
    }

    #[test]
    fn an_empty_log_is_a_picture_without_lines() {
        for log in ["", "step,loss\n", "step,loss\n5,0.5\n", "step,loss\n5,0\n"] {
            let svg = svg(log, "");
            assert!(svg.starts_with("<svg") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            assert!(!svg.contains("<polyline"), "{svg}");
        }
        assert!(svg("step,loss\n5,0.5\n", "").contains("<circle"));
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(ticks(27.31, 30.9, 5), [28.0, 29.0, 30.0]);
        assert_eq!(ticks(0.0, 20000.0, 6), [0.0, 5000.0, 10000.0, 15000.0, 20000.0]);
        assert_eq!(ticks(30.701, 30.768, 5), [30.72, 30.74, 30.76]);
        assert_eq!(decades(-2.0, -0.5), [0.01, 0.02, 0.05, 0.1, 0.2]);
        assert_eq!(decades((0.031f64).log10(), (0.039f64).log10()), [0.032, 0.034, 0.036, 0.038]);
    }
}
