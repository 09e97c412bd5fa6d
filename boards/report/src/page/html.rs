//! The page as text.

use super::Plate;
use super::plot::{self, Key};
use super::text::Text;
use crate::report::{HERE, Line, Report, Section, Table, Target};
use std::fmt::{self, Display, Formatter};

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
            Text(&report.version),
        )?;
        if report.targets.iter().any(|t| t.target != HERE || !t.invalid_because.is_empty()) {
            machines(f, &report.targets)?;
        }
        let key = Key::new(report.sections.iter().flat_map(|s| &s.rows));
        for section in &report.sections {
            self.section(f, section, &key)?;
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
    fn section(&self, f: &mut Formatter<'_>, section: &Section, key: &Key) -> fmt::Result {
        let upscale = section.upscale;
        write!(
            f,
            "<section>\n<h2>×{upscale}</h2>\n<p class=\"note\">{}, PSNR and SSIM on Y, {} pixels of border \
             left out. Latency: {}. The details are where the models differ most from bicubic, for better or worse.</p>\n",
            mcir_files::name::counted(section.images.len(), "image"),
            section.crop_border,
            Text(&self.report.latency.describe(upscale, &self.report.targets)),
        )?;
        table(f, &section.summary(&self.report.targets))?;
        if let Some(note) = section.note() {
            writeln!(f, "<p class=\"note wrong\">{}</p>", Text(&note))?;
        }
        if let Some(note) = section.exact_note() {
            writeln!(f, "<p class=\"note\">{}</p>", Text(&note))?;
        }
        plots(f, section, key)?;
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
    for (column, cell) in table.heading.iter().enumerate() {
        let class = if column < table.text_columns { " class=\"text\"" } else { "" };
        write!(f, "<th{class}>{}</th>", Text(cell))?;
    }
    f.write_str("</tr></thead>\n<tbody>\n")?;
    for line in &table.lines {
        match line {
            Line::Cells(cells) => {
                f.write_str("<tr>")?;
                for (column, cell) in cells.iter().enumerate() {
                    let class = match cell.as_str() {
                        _ if column < table.text_columns => " class=\"text\"",
                        "NO" => " class=\"wrong\"",
                        _ => "",
                    };
                    write!(f, "<td{class}>{}</td>", Text(cell))?;
                }
            }
            Line::Across(first, text) => write!(
                f,
                "<tr class=\"wrong\"><td class=\"text\">{}</td><td class=\"text\" colspan=\"{}\">{}</td>",
                Text(first),
                table.heading.len() - 1,
                Text(text)
            )?,
        }
        f.write_str("</tr>\n")?;
    }
    f.write_str("</tbody></table></div>\n")
}

/// What was measured on, and how it felt: a card for each machine.
fn machines(f: &mut Formatter<'_>, targets: &[Target]) -> fmt::Result {
    f.write_str("<section>\n<h2>Machines</h2>\n<div class=\"machines\">\n")?;
    for target in targets {
        let wrong = target.failed.is_some() || !target.invalid_because.is_empty();
        let class = if wrong { "machine wrong" } else { "machine" };
        write!(f, "<div class=\"{class}\"><h3>{}</h3>", Text(&target.target))?;
        if let Some(failure) = &target.failed {
            writeln!(
                f,
                "<p><b>Not measured:</b> {}</p><p>{}</p></div>",
                Text(&failure.message),
                Text(&failure.help)
            )?;
            continue;
        }
        for reason in &target.invalid_because {
            write!(f, "<p><b>Not valid:</b> {}</p>", Text(reason))?;
        }
        f.write_str("<dl>")?;
        let kernels = [&target.architecture, &target.isa].into_iter().flatten().cloned().collect::<Vec<_>>();
        let lines = [
            ("machine", target.machine.clone()),
            ("kernels", Some(kernels.join(", "))),
            ("program", target.program.clone()),
            ("before", Some(target.before.to_string())),
            ("after", Some(target.after.to_string())),
            ("energy", Some(target.energy_source.clone().unwrap_or_else(|| "not readable".into()))),
        ];
        for (label, value) in lines {
            if let Some(value) = value {
                write!(f, "<dt>{label}</dt><dd>{}</dd>", Text(&value))?;
            }
        }
        f.write_str("</dl></div>\n")?;
    }
    f.write_str("</div>\n</section>\n")
}

/// Latency against PSNR, and the distribution of latency, with the meaning of colours and shapes.
fn plots(f: &mut Formatter<'_>, section: &Section, key: &Key) -> fmt::Result {
    f.write_str("<p class=\"key\">")?;
    for (colour, name) in key.entries() {
        write!(f, "<span><i class=\"swatch c{colour}\"></i>{}</span>", Text(name))?;
    }
    f.write_str("<span class=\"shapes\">● int8 &nbsp; ◆ f32 &nbsp; ■ interpolation</span></p>\n<div class=\"plots\">\n")?;
    writeln!(
        f,
        "<figure><figcaption>Quality against time: up and to the left is better</figcaption>{}</figure>",
        plot::scatter(section, key)
    )?;
    writeln!(
        f,
        "<figure><figcaption>Every run: box to p90, thick bar at the median, thin bar at p99</figcaption>{}</figure>",
        plot::distribution(section, key)
    )?;
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
