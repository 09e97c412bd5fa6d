//! The plots of the page, as SVG inside it: latency against PSNR, and how latency is distributed.

use super::text::Text;
use crate::report::{HERE, Row, Section};
use std::fmt::Write;

/// Colours that the style sheet has; further ones begin again.
const COLOURS: usize = 8;
/// Samples that are drawn of one row at most: more cannot be told apart.
const MAX_DOTS: usize = 200;
/// Width of a character of a label relative to its height, on the generous side.
const CHARACTER: f64 = 0.56;

/// A logarithmic axis for latencies in milliseconds.
struct Log {
    from: f64,
    to: f64,
    left: f64,
    right: f64,
}

impl Log {
    fn over(values: impl Iterator<Item = f64>, left: f64, right: f64) -> Self {
        let sound = values.filter(|v| v.is_finite() && *v > 0.0);
        let (from, to) = sound.fold((f64::INFINITY, 0.0_f64), |(a, b), v| (a.min(v), b.max(v)));
        match from <= to {
            // Some room around, and never less than the scale of two.
            true => Self { from: (from / 1.25).ln(), to: (to * 1.6).max(from * 2.0).ln(), left, right },
            false => Self { from: 0.0, to: 1.0, left, right },
        }
    }

    fn at(&self, value: f64) -> f64 {
        let part = (value.max(1e-6).ln() - self.from) / (self.to - self.from);
        self.left + (self.right - self.left) * part
    }

    /// 1, 2, 5, 10, … as far as they are on the axis; fewer of them on a long one.
    fn ticks(&self) -> Vec<f64> {
        let steps: &[f64] = match (self.to - self.from) / std::f64::consts::LN_10 {
            decades if decades > 3.0 => &[1.0],
            decades if decades > 0.7 => &[1.0, 2.0, 5.0],
            _ => &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
        };
        let all = (-4..7).flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)));
        all.filter(|tick| (self.from..=self.to).contains(&tick.ln())).collect()
    }
}

/// How rows are told apart by colour: machines where there are several, models on a single one.
pub struct Key {
    names: Vec<String>,
    by_target: bool,
}

impl Key {
    /// For the rows of all sections.
    pub fn new<'a>(rows: impl Iterator<Item = &'a Row> + Clone) -> Self {
        let by_target = rows.clone().any(|r| r.target != HERE);
        let mut names: Vec<String> = Vec::new();
        for row in rows {
            let name = if by_target { &row.target } else { &row.name };
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        Self { names, by_target }
    }

    /// Names with their colours.
    pub fn entries(&self) -> impl Iterator<Item = (usize, &str)> {
        self.names.iter().enumerate().map(|(i, name)| (i % COLOURS, name.as_str()))
    }

    fn colour(&self, row: &Row) -> usize {
        let name = if self.by_target { &row.target } else { &row.name };
        self.names.iter().position(|n| n == name).unwrap_or(0) % COLOURS
    }
}

/// A picture with its axes' descriptions.
fn open(width: f64, height: f64, what: &str) -> String {
    format!(
        "<svg class=\"plot\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{}\">\n",
        Text(what)
    )
}

fn milliseconds(value: f64) -> String {
    match value {
        v if v < 0.995 => format!("{v:.2}"),
        v if v < 9.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

/// The number of a tick, without zeros that say nothing.
fn tick_text(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Latency against PSNR: up and to the left is better. A line leads from a model's f32 form to its int8 form.
pub fn scatter(section: &Section, key: &Key) -> String {
    const SIZE: (f64, f64) = (680.0, 380.0);
    let (left, right, top, bottom) = (58.0, SIZE.0 - 18.0, 14.0, SIZE.1 - 46.0);
    let rows: Vec<&Row> = section.rows.iter().filter(|r| r.psnr_y_db.is_finite()).collect();
    let x = Log::over(rows.iter().map(|r| r.latency_ms), left, right);
    let (low, high) = rows
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), r| (a.min(r.psnr_y_db), b.max(r.psnr_y_db)));
    if low > high {
        return String::new();
    }
    let margin = ((high - low) * 0.12).max(0.05);
    let (low, high) = (low - margin, high + margin);
    let y = |db: f64| bottom - (bottom - top) * (db - low) / (high - low);
    let mut out = open(SIZE.0, SIZE.1, "latency against PSNR");
    for tick in x.ticks() {
        let at = x.at(tick);
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{at:.1}\" y1=\"{top}\" x2=\"{at:.1}\" y2=\"{bottom}\"/>\
             <text class=\"tick\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 17.0,
            tick_text(tick)
        );
    }
    let step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
    let step = step.into_iter().find(|step| (high - low) / step <= 7.0).unwrap_or(20.0);
    let first = (low / step).ceil() as i64;
    for tick in (first..).map(|n| n as f64 * step).take_while(|tick| *tick <= high) {
        let at = y(tick);
        let digits = if step < 0.1 { 2 } else { usize::from(step < 1.0) };
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{left}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\"/>\
             <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{tick:.digits$}</text>",
            left - 8.0,
            at + 4.0
        );
    }
    let _ = writeln!(
        out,
        "<text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">median latency in ms, logarithmic</text>\
         <text class=\"axis\" transform=\"translate(14 {:.1}) rotate(-90)\" text-anchor=\"middle\">PSNR-Y in dB</text>",
        (left + right) / 2.0,
        SIZE.1 - 8.0,
        (top + bottom) / 2.0
    );
    for row in rows.iter().filter(|r| r.precision.as_deref() == Some("int8")) {
        let same =
            |r: &&&Row| r.target == row.target && r.name == row.name && r.precision.as_deref() == Some("f32");
        if let Some(float) = rows.iter().find(same) {
            let _ = writeln!(
                out,
                "<line class=\"joint c{}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
                key.colour(row),
                x.at(float.latency_ms),
                y(float.psnr_y_db),
                x.at(row.latency_ms),
                y(row.psnr_y_db)
            );
        }
    }
    let marks: Vec<(f64, f64)> = rows.iter().map(|r| (x.at(r.latency_ms), y(r.psnr_y_db))).collect();
    let mut taken: Vec<[f64; 4]> = marks.iter().map(|&(x, y)| [x - 7.0, y - 7.0, x + 7.0, y + 7.0]).collect();
    for (row, &(at_x, at_y)) in rows.iter().zip(&marks) {
        mark(&mut out, row, key.colour(row), at_x, at_y);
        let label = row.label();
        if let Some((tx, ty, anchor)) = place(&label, at_x, at_y, [left, top, right, bottom], &mut taken) {
            let _ = writeln!(
                out,
                "<text class=\"label\" x=\"{tx:.1}\" y=\"{ty:.1}\" text-anchor=\"{anchor}\">{}</text>",
                Text(&label)
            );
        }
    }
    out.push_str("</svg>\n");
    out
}

/// A point: a circle for int8, a diamond for f32, a square for interpolation; its numbers appear under the mouse.
fn mark(out: &mut String, row: &Row, colour: usize, x: f64, y: f64) {
    let shape = match row.precision.as_deref() {
        Some("int8") => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"6\""),
        Some(_) => format!("<path d=\"M{x:.1} {:.1}l7 7l-7 7l-7 -7z\"", y - 7.0),
        None => format!("<rect x=\"{:.1}\" y=\"{:.1}\" width=\"11\" height=\"11\"", x - 5.5, y - 5.5),
    };
    let place = if row.target == HERE { String::new() } else { format!(" on {}", row.target) };
    let _ = writeln!(
        out,
        "{shape} class=\"mark c{colour}\"><title>{}{}: {} ms, {:.3} dB</title>{}",
        Text(&row.label()),
        Text(&place),
        milliseconds(row.latency_ms),
        row.psnr_y_db,
        match row.precision.as_deref() {
            Some("int8") => "</circle>",
            Some(_) => "</path>",
            None => "</rect>",
        }
    );
}

/// A place for a label beside its mark where nothing else is; the mark alone has to do where there is none.
fn place(
    label: &str,
    x: f64,
    y: f64,
    [left, top, right, bottom]: [f64; 4],
    taken: &mut Vec<[f64; 4]>,
) -> Option<(f64, f64, &'static str)> {
    const HEIGHT: f64 = 13.0;
    let width = label.chars().count() as f64 * HEIGHT * CHARACTER;
    let candidates = [
        (x + 10.0, y + 4.0, "start"),
        (x - 10.0, y + 4.0, "end"),
        (x, y - 12.0, "middle"),
        (x, y + 21.0, "middle"),
        (x + 8.0, y - 10.0, "start"),
        (x + 8.0, y + 18.0, "start"),
        (x - 8.0, y - 10.0, "end"),
        (x - 8.0, y + 18.0, "end"),
    ];
    candidates.into_iter().find(|&(tx, ty, anchor)| {
        let start = match anchor {
            "start" => tx,
            "end" => tx - width,
            _ => tx - width / 2.0,
        };
        let area = [start, ty - HEIGHT + 3.0, start + width, ty + 3.0];
        let inside = area[0] >= left && area[1] >= top && area[2] <= right && area[3] <= bottom;
        let free = |t: &[f64; 4]| area[2] < t[0] || t[2] < area[0] || area[3] < t[1] || t[3] < area[1];
        let good = inside && taken.iter().all(free);
        if good {
            taken.push(area);
        }
        good
    })
}

/// A line a row: every run as a dot, from the least to the most, with a bar at the median and one at 99 of 100.
pub fn distribution(section: &Section, key: &Key) -> String {
    const ROW: f64 = 34.0;
    let several = section.rows.iter().any(|r| r.target != HERE);
    let (left, right, top) = (226.0, 612.0, 6.0);
    let bottom = top + ROW * section.rows.len() as f64;
    let latencies = section.rows.iter().flat_map(|r| [r.latency.min_ms, r.latency.max_ms]);
    let x = Log::over(latencies, left, right);
    let mut out = open(720.0, bottom + 44.0, "distribution of latency");
    for tick in x.ticks() {
        let at = x.at(tick);
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{at:.1}\" y1=\"{top}\" x2=\"{at:.1}\" y2=\"{bottom}\"/>\
             <text class=\"tick\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 17.0,
            tick_text(tick)
        );
    }
    let _ = writeln!(
        out,
        "<text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">latency in ms, logarithmic</text>\
         <text class=\"axis\" x=\"718\" y=\"{:.1}\" text-anchor=\"end\">median · p99</text>",
        (left + right) / 2.0,
        bottom + 36.0,
        bottom + 17.0
    );
    for (n, row) in section.rows.iter().enumerate() {
        let middle = top + ROW * (n as f64 + 0.5);
        let colour = key.colour(row);
        let names = if several {
            [(-2.0, row.label()), (12.0, row.target.clone())]
        } else {
            [(4.0, row.label()), (0.0, String::new())]
        };
        for ((down, name), class) in names.iter().zip(["label", "tick"]) {
            if !name.is_empty() {
                let _ = writeln!(
                    out,
                    "<text class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                    left - 14.0,
                    middle + down,
                    Text(&shortened(name))
                );
            }
        }
        let bar = |out: &mut String, class: &str, from: f64, to: f64, half: f64| {
            let _ = write!(
                out,
                "<rect class=\"{class} c{colour}\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
                middle - half,
                (to - from).max(1.0),
                2.0 * half
            );
        };
        let at = |ms: f64| x.at(ms);
        let times = &row.latency;
        bar(&mut out, "range", at(times.min_ms), at(times.max_ms), 1.0);
        bar(&mut out, "box", at(times.min_ms), at(times.p90_ms), 9.0);
        let every = row.samples_ms.len().div_ceil(MAX_DOTS).max(1);
        for (i, &ms) in row.samples_ms.iter().enumerate().step_by(every) {
            // Spread evenly, by the golden ratio, so that equal times do not cover each other.
            let spread = (i as f64 * 0.618_034).fract() * 14.0 - 7.0;
            let _ = write!(
                out,
                "<circle class=\"dot c{colour}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"1.6\"/>",
                at(ms),
                middle + spread
            );
        }
        bar(&mut out, "median", at(times.p50_ms) - 1.5, at(times.p50_ms) + 1.5, 11.0);
        bar(&mut out, "tail", at(times.p99_ms) - 0.75, at(times.p99_ms) + 0.75, 11.0);
        let _ = writeln!(
            out,
            "<text class=\"label\" x=\"718\" y=\"{:.1}\" text-anchor=\"end\">{} · {}</text>",
            middle + 4.0,
            milliseconds(times.p50_ms),
            milliseconds(times.p99_ms)
        );
    }
    out.push_str("</svg>\n");
    out
}

/// The end of a name that is too long for its place: hosts and folders differ there.
fn shortened(name: &str) -> String {
    const LONGEST: usize = 26;
    let count = name.chars().count();
    match count > LONGEST {
        true => format!("…{}", name.chars().skip(count - LONGEST + 1).collect::<String>()),
        false => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_a_few_round_numbers() {
        for values in [[8.0, 31.0], [1.0, 1.01], [0.02, 900.0], [7.0, 7.0]] {
            let axis = Log::over(values.into_iter(), 0.0, 100.0);
            let ticks = axis.ticks();
            assert!((1..=9).contains(&ticks.len()), "{values:?}: {ticks:?}");
            assert!(values.iter().all(|&v| (0.0..=100.0).contains(&axis.at(v))));
        }
        assert_eq!([0.5, 20.0, 1.5].map(tick_text), ["0.5", "20", "1.5"]);
    }

    #[test]
    fn labels_do_not_cover_one_another() {
        let mut taken = Vec::new();
        let area = [0.0, 0.0, 400.0, 300.0];
        let places: Vec<_> =
            (0..6).filter_map(|_| place("edsr-edge-x4", 200.0, 150.0, area, &mut taken)).collect();
        assert!(places.len() >= 4, "{places:?}");
        for (i, a) in taken.iter().enumerate() {
            for b in &taken[i + 1..] {
                assert!(a[2] < b[0] || b[2] < a[0] || a[3] < b[1] || b[3] < a[1], "{a:?} {b:?}");
            }
        }
        assert_eq!(
            place(
                "a label that is far too long for the picture, at any place of it, by some way",
                200.0,
                150.0,
                area,
                &mut taken
            ),
            None
        );
    }

    #[test]
    fn long_names_keep_their_end() {
        assert_eq!(shortened("ssh://pi@10.0.0.7"), "ssh://pi@10.0.0.7");
        let long = shortened("ssh://somebody@a-board-in-the-lab.example:2222/opt/mcir");
        assert!(long.starts_with('…') && long.ends_with(":2222/opt/mcir") && long.chars().count() == 26);
    }
}
