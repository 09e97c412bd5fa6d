//! What describes a picture beside its pixels: how they are to be shown, how large they are on paper, how many pictures there
//! are. Read from the files' own structure; decoders pass little of it on.

use image::ImageFormat;
use std::io::{self, Read, Seek, SeekFrom};

/// What is carried over to formats that can hold it, and named where they cannot.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct About {
    /// Gamma of the samples in 1/100000, as PNG has it.
    pub gamma: Option<u32>,
    /// White point, red, green and blue as x and y in 1/100000, as PNG has them.
    pub chromaticities: Option<[u32; 8]>,
    /// Pixels in a unit of length.
    pub density: Option<Density>,
    /// Pictures in the file of which the first is read.
    pub pictures: Option<u32>,
}

/// Pixels in a unit of length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Density {
    /// Along a row.
    pub x: f64,
    /// Along a column.
    pub y: f64,
    /// Whether the unit is an inch; otherwise only the shape of a pixel is known.
    pub per_inch: bool,
}

/// Metres in an inch.
const INCH: f64 = 0.0254;
/// Most parts of a file that are gone through.
const MAX_PARTS: u32 = 1 << 20;
/// Gamma of sRGB.
const SRGB_GAMMA: u32 = 45_455;

impl About {
    /// What a file says; whatever is cut off or odd says nothing.
    pub(crate) fn of(source: &mut (impl Read + Seek), format: ImageFormat) -> Self {
        let mut about = Self::default();
        let found = source.rewind().and_then(|()| match format {
            ImageFormat::Png => about.png(source),
            ImageFormat::Jpeg => about.jpeg(source),
            ImageFormat::Bmp => about.bmp(source),
            ImageFormat::Gif => about.gif(source),
            ImageFormat::WebP => about.webp(source),
            _ => Ok(()),
        });
        // The decoder has the last word on damaged files.
        let _ = found;
        about
    }

    /// Names what a format cannot hold, where it says more than files usually do.
    pub(crate) fn lost(&self, colours: bool, density: bool) -> Vec<&'static str> {
        let mut lost = Vec::new();
        if !colours && self.gamma.is_some_and(|gamma| gamma.abs_diff(SRGB_GAMMA) > 1000) {
            lost.push("gamma");
        }
        if !density && self.density.is_some_and(Density::is_unusual) {
            lost.push("resolution in pixels an inch");
        }
        lost
    }

    fn png(&mut self, source: &mut (impl Read + Seek)) -> io::Result<()> {
        source.seek(SeekFrom::Start(8))?;
        let mut is_srgb = false;
        for _ in 0..MAX_PARTS {
            let head: [u8; 8] = take(source)?;
            let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            let number = |bytes: &[u8]| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            let rest = match (&head[4..], length) {
                (b"gAMA", 4) => {
                    self.gamma = Some(number(&take::<4>(source)?)).filter(|&gamma| gamma > 0);
                    0
                }
                (b"cHRM", 32) => {
                    let bytes: [u8; 32] = take(source)?;
                    self.chromaticities = Some(std::array::from_fn(|i| number(&bytes[4 * i..])));
                    0
                }
                (b"pHYs", 9) => {
                    let bytes: [u8; 9] = take(source)?;
                    let (per_inch, unit) = (bytes[8] == 1, if bytes[8] == 1 { INCH } else { 1.0 });
                    let side = |at: usize| f64::from(number(&bytes[at..])) * unit;
                    self.density = Density::new(side(0), side(4), per_inch);
                    0
                }
                (b"sRGB", _) => {
                    is_srgb = true;
                    length
                }
                (b"acTL", 8) => {
                    self.pictures = Some(number(&take::<8>(source)?)).filter(|&n| n > 1);
                    0
                }
                (b"IDAT" | b"IEND", _) => break,
                _ => length,
            };
            source.seek_relative(i64::from(rest) + 4)?;
        }
        if is_srgb {
            (self.gamma, self.chromaticities) = (None, None);
        }
        Ok(())
    }

    fn jpeg(&mut self, source: &mut (impl Read + Seek)) -> io::Result<()> {
        source.seek(SeekFrom::Start(2))?;
        let head: [u8; 16] = take(source)?;
        if let [0xff, 0xe0, _, _, b'J', b'F', b'I', b'F', 0, _, _, unit, x0, x1, y0, y1] = head {
            let unit = match unit {
                2 => 2.54,
                _ => 1.0,
            };
            let side = |bytes| f64::from(u16::from_be_bytes(bytes)) * unit;
            self.density = Density::new(side([x0, x1]), side([y0, y1]), head[11] > 0);
        }
        Ok(())
    }

    fn bmp(&mut self, source: &mut (impl Read + Seek)) -> io::Result<()> {
        source.seek(SeekFrom::Start(14))?;
        let size = u32::from_le_bytes(take(source)?);
        if size >= 40 {
            source.seek(SeekFrom::Start(38))?;
            let mut side = || io::Result::Ok(f64::from(u32::from_le_bytes(take(source)?)) * INCH);
            self.density = Density::new(side()?, side()?, true);
        }
        Ok(())
    }

    /// Counts images. Their data lies in blocks, each with its length in front.
    fn gif(&mut self, source: &mut (impl Read + Seek)) -> io::Result<()> {
        let mut source = io::BufReader::new(source);
        let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
        let head: [u8; 13] = take(&mut source)?;
        source.seek_relative(table(head[10]))?;
        let mut count = 0;
        let blocks = |source: &mut io::BufReader<_>| -> io::Result<()> {
            loop {
                let [length] = take(source)?;
                if length == 0 {
                    return Ok(());
                }
                source.seek_relative(length.into())?;
            }
        };
        for _ in 0..MAX_PARTS {
            match take(&mut source)? {
                [0x21] => {
                    source.seek_relative(1)?;
                    blocks(&mut source)?;
                }
                [0x2c] => {
                    count += 1;
                    self.pictures = Some(count).filter(|&n| n > 1);
                    let head: [u8; 9] = take(&mut source)?;
                    source.seek_relative(table(head[8]) + 1)?;
                    blocks(&mut source)?;
                }
                _ => break,
            }
        }
        Ok(())
    }

    fn webp(&mut self, source: &mut (impl Read + Seek)) -> io::Result<()> {
        source.seek(SeekFrom::Start(12))?;
        let mut count = 0;
        for _ in 0..MAX_PARTS {
            let head: [u8; 8] = take(source)?;
            let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
            if &head[..4] == b"ANMF" {
                count += 1;
                self.pictures = Some(count).filter(|&n| n > 1);
            }
            source.seek_relative(i64::from(length) + i64::from(length % 2))?;
        }
        Ok(())
    }
}

impl Density {
    /// `None` where it says nothing.
    pub(crate) fn new(x: f64, y: f64, per_inch: bool) -> Option<Self> {
        let good = |v: f64| (1e-3..1e7).contains(&v);
        (good(x) && good(y) && (per_inch || x != y)).then_some(Self { x, y, per_inch })
    }

    /// Pixels a metre.
    pub(crate) fn per_metre(self) -> (u32, u32) {
        let unit = if self.per_inch { INCH } else { 1.0 };
        ((self.x / unit).round() as u32, (self.y / unit).round() as u32)
    }

    /// Programs that know none write 72 or 96.
    fn is_unusual(self) -> bool {
        let near = |v: f64, usual: f64| (v - usual).abs() < 0.5;
        !(self.per_inch && [72.0, 96.0].iter().any(|&usual| near(self.x, usual) && near(self.y, usual)))
    }
}

fn take<const N: usize>(source: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    source.read_exact(&mut bytes)?;
    Ok(bytes)
}
