//! What is in a video file, as ffprobe tells it, and whether that can be enlarged frame by frame.

use super::VideoError;
use crate::raw::Matrix;
use serde::Deserialize;

/// Lines from which on untagged video has the colours of high definition, as players take it.
const HD_LINES: usize = 720;

/// What ffprobe prints with `-show_streams -show_format -of json`; of it what matters here.
#[derive(Debug, Default, Deserialize)]
pub struct Probe {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    format: Format,
}

#[derive(Debug, Default, Deserialize)]
struct Format {
    start_time: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Stream {
    index: usize,
    codec_type: String,
    codec_name: String,
    width: usize,
    height: usize,
    pix_fmt: Option<String>,
    field_order: Option<String>,
    color_range: Option<String>,
    color_space: Option<String>,
    color_transfer: Option<String>,
    color_primaries: Option<String>,
    r_frame_rate: Option<String>,
    avg_frame_rate: Option<String>,
    start_time: Option<String>,
    nb_read_packets: Option<String>,
    disposition: Disposition,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Disposition {
    attached_pic: u8,
}

/// A video that can be enlarged.
#[derive(Debug, Clone, PartialEq)]
pub struct Video {
    /// Number of its stream in the file.
    pub stream: usize,
    /// Width and height in pixels.
    pub size: (usize, usize),
    /// Which colours Cb and Cr stand for.
    pub matrix: Matrix,
    /// Rows of two fields alternate.
    pub interlaced: bool,
    /// Colour is as sharp as this: `420`, `422` or `444`.
    pub subsampling: &'static str,
    /// Tags of colour that the file has, with the names that ffmpeg's `setparams` has for them: primaries and transfer.
    pub tags: Vec<(&'static str, String)>,
    /// Seconds by which it begins later than the file.
    pub delay_s: f64,
    /// Frames, where they were counted.
    pub frames: Option<u64>,
    /// Streams of sound.
    pub sounds: usize,
    /// What the user should know.
    pub notes: Vec<String>,
}

impl Probe {
    /// From what ffprobe printed.
    ///
    /// # Errors
    /// [`VideoError::Probe`] where it is something else.
    pub fn parse(name: &str, json: &[u8]) -> Result<Self, VideoError> {
        serde_json::from_slice(json).map_err(|e| VideoError::Probe {
            name: name.into(),
            why: format!("ffprobe printed something else: {e}"),
        })
    }

    /// The video of the file; pictures of covers are none.
    ///
    /// # Errors
    /// [`VideoError`] where there is none, or none that frames of 8 bits can stand for.
    pub fn video(&self, name: &str) -> Result<Video, VideoError> {
        let is_video = |s: &&Stream| s.codec_type == "video" && s.disposition.attached_pic == 0;
        let stream = self.streams.iter().find(is_video);
        let stream = stream.ok_or_else(|| VideoError::NoVideo { name: name.into() })?;
        let tag =
            |tag: &Option<String>| tag.clone().filter(|t| !matches!(t.as_str(), "unknown" | "reserved" | ""));
        let transfer = tag(&stream.color_transfer);
        if let Some(transfer) = transfer.as_deref().filter(|t| matches!(*t, "smpte2084" | "arib-std-b67")) {
            let curve = if transfer == "smpte2084" { "PQ" } else { "HLG" };
            return Err(VideoError::Hdr { name: name.into(), curve });
        }
        let space = tag(&stream.color_space);
        let matrix = match space.as_deref() {
            Some("bt709") => Matrix::Bt709,
            Some("smpte170m" | "bt470bg" | "fcc") => Matrix::Bt601,
            // RGB becomes Y, Cb, Cr on the way.
            None | Some("gbr") if stream.height >= HD_LINES => Matrix::Bt709,
            None | Some("gbr") => Matrix::Bt601,
            Some(other) => return Err(VideoError::Matrix { name: name.into(), found: other.into() }),
        };
        let pix_fmt = stream.pix_fmt.as_deref().unwrap_or_default();
        let mut notes = Vec::new();
        let bits = bits(pix_fmt);
        if bits > 8 {
            notes.push(format!("{name} has {bits} bits a sample; 8 are left"));
        }
        if has_opacity(pix_fmt) {
            notes.push(format!("{name} has opacity, which is not kept"));
        }
        let rates = [&stream.r_frame_rate, &stream.avg_frame_rate].map(|r| r.as_deref().and_then(rate));
        if let [Some(least), Some(mean)] = rates
            && (least - mean).abs() > 0.02 * least
        {
            notes.push(format!(
                "the frame rate of {name} varies ({mean:.2} a second in the mean); the result has {least:.2} throughout"
            ));
        }
        let seconds = |text: &Option<String>| text.as_deref().and_then(|t| t.parse::<f64>().ok());
        let delay_s = seconds(&stream.start_time)
            .zip(seconds(&self.format.start_time))
            .map_or(0.0, |(own, all)| own - all);
        let primaries = tag(&stream.color_primaries).map(|p| ("color_primaries", p));
        Ok(Video {
            stream: stream.index,
            size: (stream.width, stream.height),
            matrix,
            interlaced: matches!(stream.field_order.as_deref(), Some("tt" | "bb" | "tb" | "bt")),
            subsampling: subsampling(pix_fmt),
            tags: primaries.into_iter().chain(transfer.map(|t| ("color_trc", t))).collect(),
            delay_s: if delay_s.abs() < 0.001 { 0.0 } else { delay_s },
            frames: stream.nb_read_packets.as_deref().and_then(|n| n.parse().ok()),
            sounds: self.streams.iter().filter(|s| s.codec_type == "audio").count(),
            notes,
        })
    }
}

/// Bits of a sample, by the name of the format: `yuv420p10le`, `p010le`, `gray12be`, `rgb48le`.
fn bits(pix_fmt: &str) -> u32 {
    let name = pix_fmt.trim_end_matches("le").trim_end_matches("be");
    if name == pix_fmt {
        return 8;
    }
    let digits = name.rfind(|c: char| !c.is_ascii_digit()).map_or(name, |at| &name[at + 1..]);
    match digits.parse() {
        Ok(bits @ 9..=16) => bits,
        // Bits of a pixel.
        Ok(48 | 64) => 16,
        // P010 and P016 of two planes.
        _ if name.starts_with("p0") || name.starts_with("p2") || name.starts_with("p4") => 10,
        _ => 8,
    }
}

fn has_opacity(pix_fmt: &str) -> bool {
    ["yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya8", "ya16"]
        .iter()
        .any(|start| pix_fmt.starts_with(start))
}

/// How sharp colour is: no sharper than it is read by players.
fn subsampling(pix_fmt: &str) -> &'static str {
    match pix_fmt {
        f if f.contains("444") || f.starts_with("gbr") || f.starts_with("rgb") || f.starts_with("bgr") => {
            "444"
        }
        f if f.contains("422") || f.starts_with("yuyv") || f.starts_with("uyvy") => "422",
        _ => "420",
    }
}

/// A rate as ffprobe has it, 30000/1001.
fn rate(text: &str) -> Option<f64> {
    let (n, d) = text.split_once('/')?;
    let (n, d): (f64, f64) = (n.parse().ok()?, d.parse().ok()?);
    (n > 0.0 && d > 0.0).then(|| n / d)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(stream: &str) -> Result<Video, VideoError> {
        let json = format!(
            r#"{{"streams":[{{"index":0,"codec_type":"video","disposition":{{"attached_pic":1}}}},
            {{"index":1,"codec_type":"audio"}},{{"index":2,"codec_type":"video","width":320,"height":180,"start_time":"0.5",{stream}}}],
            "format":{{"start_time":"0.1"}}}}"#
        );
        Probe::parse("a.mp4", json.as_bytes()).unwrap().video("a.mp4")
    }

    #[test]
    fn the_video_is_found_with_what_matters() {
        let found = video(
            r#""pix_fmt":"yuv420p","color_space":"bt709","color_primaries":"bt709","color_transfer":"unknown",
            "r_frame_rate":"30000/1001","avg_frame_rate":"30000/1001","field_order":"progressive","nb_read_packets":"7""#,
        )
        .unwrap();
        assert_eq!((found.stream, found.size, found.sounds, found.frames), (2, (320, 180), 1, Some(7)));
        assert_eq!((found.matrix, found.subsampling, found.interlaced), (Matrix::Bt709, "420", false));
        assert_eq!(found.tags, [("color_primaries", "bt709".to_owned())]);
        assert!((found.delay_s - 0.4).abs() < 1e-9 && found.notes.is_empty(), "{found:?}");
        // Without tags as players have it: by the lines.
        assert_eq!(video(r#""pix_fmt":"yuv420p""#).unwrap().matrix, Matrix::Bt601);
        let hd = br#"{"streams":[{"codec_type":"video","width":1280,"height":720}]}"#;
        let hd = Probe::parse("b.mp4", hd).unwrap().video("b.mp4").unwrap();
        assert_eq!((hd.matrix, hd.delay_s, hd.sounds), (Matrix::Bt709, 0.0, 0));
    }

    #[test]
    fn what_cannot_be_kept_is_refused_or_told() {
        let text = |stream: &str| video(stream).unwrap_err().to_string();
        assert!(text(r#""color_transfer":"smpte2084""#).contains("HDR (PQ)"));
        assert!(text(r#""color_transfer":"arib-std-b67""#).contains("HDR (HLG)"));
        assert!(text(r#""color_space":"bt2020nc""#).contains("bt2020nc"));
        let note = |stream: &str| video(stream).unwrap().notes.join("; ");
        assert_eq!(note(r#""pix_fmt":"yuv420p10le""#), "a.mp4 has 10 bits a sample; 8 are left");
        assert!(note(r#""pix_fmt":"yuva444p""#).contains("opacity"));
        assert!(note(r#""r_frame_rate":"60/1","avg_frame_rate":"2997/100""#).contains("varies (29.97"));
        assert!(video(r#""field_order":"tt""#).unwrap().interlaced);
        let none = Probe::parse("b.mp3", br#"{"streams":[{"codec_type":"audio"}]}"#).unwrap().video("b.mp3");
        assert!(none.unwrap_err().to_string().contains("b.mp3 has no video"));
        assert!(Probe::parse("x", b"{").is_err() && Probe::parse("x", b"").is_err());
    }

    #[test]
    fn formats_are_told_by_their_names() {
        for (name, expected) in [
            ("yuv420p", (8, "420")),
            ("yuvj422p", (8, "422")),
            ("yuv444p12le", (12, "444")),
            ("p010le", (10, "420")),
            ("gbrp", (8, "444")),
            ("rgb48le", (16, "444")),
            ("nv12", (8, "420")),
            ("uyvy422", (8, "422")),
            ("gray", (8, "420")),
            ("gray16le", (16, "420")),
        ] {
            assert_eq!((bits(name), subsampling(name)), expected, "{name}");
        }
    }
}
