//! The page as text.

use super::Plate;
use crate::report::{Report, Section, Table};
use std::fmt::{self, Display, Formatter, Write};

/// Most images that are shown for one factor; more would make the page too large to open.
const MAX_PLATES: usize = 16;

/// Writes the page when displayed.
pub struct Page<'a> {
    pub report: &'a Report,
    pub plates: &'a [Plate],
}

impl Display for Page<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let report = self.report;
        let (css, js) = (include_str!("page.css"), include_str!("page.js"));
        write!(
            f,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>Super-resolution: {}</title>\n<style>\n{css}</style>\n</head>\n<body>\n\
             <header><h1>Super-resolution compared</h1><p>{} · mcir-board {}</p></header>\n<main>\n",
            Text(&report.data),
            Text(&report.data),
            Text(report.version),
        )?;
        for section in &report.sections {
            self.section(f, section)?;
        }
        if !report.skipped.is_empty() {
            f.write_str("<section><h2>Left out</h2><ul>")?;
            for skipped in &report.skipped {
                write!(f, "<li><b>{}</b>: {}</li>", Text(&skipped.image), Text(&skipped.error))?;
            }
            f.write_str("</ul></section>\n")?;
        }
        write!(f, "</main>\n<script>\n{js}</script>\n</body>\n</html>\n")
    }
}

impl Page<'_> {
    fn section(&self, f: &mut Formatter<'_>, section: &Section) -> fmt::Result {
        let upscale = section.upscale;
        write!(
            f,
            "<section>\n<h2>×{upscale}</h2>\n<p class=\"note\">{} images, PSNR and SSIM on Y, {} pixels of border \
             left out. Latency: {}. The details are where the models differ most from bicubic, for better or worse.</p>\n",
            section.images.len(),
            section.crop_border,
            Text(&self.report.latency.describe(upscale)),
        )?;
        table(f, &section.summary())?;
        bars(f, section)?;
        f.write_str("<details><summary>Every image</summary>\n")?;
        table(f, &section.details())?;
        f.write_str("</details>\n")?;
        let plates: Vec<_> = self.plates.iter().filter(|p| p.upscale == upscale).collect();
        for plate in plates.iter().take(MAX_PLATES) {
            self::plate(f, plate)?;
        }
        if plates.len() > MAX_PLATES {
            let left = plates.len() - MAX_PLATES;
            writeln!(f, "<p class=\"note\">{left} more images are in the table only.</p>")?;
        }
        f.write_str("</section>\n")
    }
}

fn table(f: &mut Formatter<'_>, table: &Table) -> fmt::Result {
    f.write_str("<div class=\"scroll\"><table>\n<thead><tr>")?;
    for cell in &table.heading {
        write!(f, "<th>{}</th>", Text(cell))?;
    }
    f.write_str("</tr></thead>\n<tbody>\n")?;
    for line in &table.lines {
        f.write_str("<tr>")?;
        for cell in line {
            write!(f, "<td>{}</td>", Text(cell))?;
        }
        f.write_str("</tr>\n")?;
    }
    f.write_str("</tbody></table></div>\n")
}

/// Gain and latency as bars, to be taken in at a glance.
fn bars(f: &mut Formatter<'_>, section: &Section) -> fmt::Result {
    let group = |f: &mut Formatter<'_>, title: &str, values: Vec<(String, f64, String)>| {
        let largest = values.iter().map(|v| v.1).fold(0.0, f64::max);
        if values.is_empty() || largest <= 0.0 {
            return Ok(());
        }
        write!(f, "<figure><figcaption>{}</figcaption><dl>", Text(title))?;
        for (label, value, text) in values {
            let percent = (100.0 * value / largest).clamp(0.0, 100.0);
            write!(
                f,
                "<dt>{}</dt><dd><span class=\"bar\" style=\"--part:{percent:.1}%\"></span>{}</dd>",
                Text(&label),
                Text(&text)
            )?;
        }
        f.write_str("</dl></figure>\n")
    };
    let gain = |r: &crate::report::Row| r.gain_db.map(|g| (r.label(), g, format!("{g:+.2} dB")));
    f.write_str("<div class=\"bars\">\n")?;
    group(f, "PSNR-Y above bicubic, more is better", section.rows.iter().filter_map(gain).collect())?;
    let latency = |r: &crate::report::Row| (r.label(), r.latency_ms, format!("{:.1} ms", r.latency_ms));
    group(f, "Latency, less is better", section.rows.iter().map(latency).collect())?;
    f.write_str("</div>\n")
}

fn plate(f: &mut Formatter<'_>, plate: &Plate) -> fmt::Result {
    let (width, height) = plate.size;
    let (x, y, w, h) = plate.detail;
    write!(
        f,
        "<article>\n<h3>{} <small>×{}</small></h3>\n<div class=\"details\">\n",
        Text(&plate.name),
        plate.upscale
    )?;
    for view in &plate.views {
        let quality =
            view.quality.map_or_else(String::new, |q| format!("{:.2} dB · {:.4}", q.psnr_y_db, q.ssim_y));
        writeln!(
            f,
            "<figure><img class=\"pixels\" width=\"{w}\" height=\"{h}\" alt=\"detail, {0}\" src=\"{1}\">\
             <figcaption><b>{0}</b><span>{2}</span></figcaption></figure>",
            Text(&view.label),
            view.detail,
            quality,
        )?;
    }
    write!(
        f,
        "</div>\n<div class=\"slider\" style=\"--width:{width}px;--ratio:{width}/{height}\" \
         data-detail=\"{x},{y},{w},{h}\" data-size=\"{width},{height}\">\n<div class=\"controls\"></div>\n\
         <div class=\"stage\"><div class=\"layers\">\n",
    )?;
    for view in &plate.views {
        writeln!(
            f,
            "<img width=\"{width}\" height=\"{height}\" alt=\"{0}\" data-label=\"{0}\" src=\"{1}\">",
            Text(&view.label),
            view.picture,
        )?;
    }
    f.write_str("</div></div>\n</div>\n</article>\n")
}

/// Text with the characters escaped that mean something in HTML.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_cannot_break_the_page() {
        assert_eq!(Text("<b>\"a\" & b").to_string(), "&lt;b&gt;&quot;a&quot; &amp; b");
    }
}
