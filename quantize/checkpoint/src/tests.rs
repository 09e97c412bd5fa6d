//! Files as trainers write them, and as nobody should.

use super::*;
use std::io::Write;
use std::path::PathBuf;

fn load(path: &Path) -> Result<Tensors, Error> {
    read(path, &|_| true)
}

fn seed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/checkpoint/seeds").join(name)
}

/// Opcodes of a dict of one tensor for each name, of two values each in a storage of its own.
fn state_dict(names: &[&str]) -> Vec<u8> {
    let mut pickle = b"ccollections\nOrderedDict\n)R(".to_vec();
    for (key, name) in names.iter().enumerate() {
        text(&mut pickle, name);
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut pickle, "storage");
        pickle.extend(b"ctorch\nFloatStorage\n");
        text(&mut pickle, &key.to_string());
        text(&mut pickle, "cpu");
        pickle.extend(b"K\x02tQK\x00K\x02\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR");
    }
    pickle.push(b'u');
    pickle
}

fn text(pickle: &mut Vec<u8>, text: &str) {
    pickle.push(b'X');
    pickle.extend((text.len() as u32).to_le_bytes());
    pickle.extend(text.as_bytes());
}

/// A dict with other dicts below keys, and things that are none.
fn nested(dicts: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut pickle = b"}(".to_vec();
    text(&mut pickle, "epoch");
    pickle.extend(b"K\x03");
    for (key, dict) in dicts {
        text(&mut pickle, key);
        pickle.extend(dict);
    }
    pickle.push(b'u');
    pickle
}

/// An archive as `torch.save` writes it: the values of storage n are n and n + 1/2.
fn archive(path: &Path, pickle: &[u8], storages: usize, packed: bool) {
    let method = if packed { zip::CompressionMethod::Deflated } else { zip::CompressionMethod::Stored };
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    let mut archive = zip::ZipWriter::new(File::create(path).unwrap());
    archive.start_file("archive/data.pkl", options).unwrap();
    archive.write_all(&[b"\x80\x02", pickle, b"."].concat()).unwrap();
    for n in 0..storages {
        archive.start_file(format!("archive/data/{n}"), options).unwrap();
        let values = [n as f32, n as f32 + 0.5];
        archive.write_all(&values.map(f32::to_le_bytes).concat()).unwrap();
    }
    archive.finish().unwrap();
}

fn names(tensors: &Tensors) -> Vec<String> {
    tensors.clone().into_iter().map(|(name, _)| name).collect()
}

#[test]
fn small_files_of_every_format() {
    let (zip, pickles) = (load(&seed("small.pth")).unwrap(), load(&seed("small.pt")).unwrap());
    assert!(!zip.is_empty() && !pickles.is_empty());
    assert!(names(&zip).iter().any(|name| name.ends_with(".weight")), "{:?}", names(&zip));
}

#[test]
fn values_are_those_of_their_storages() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pth");
    for packed in [false, true] {
        archive(&path, &state_dict(&["a.weight", "b.bias"]), 2, packed);
        let tensors = load(&path).unwrap();
        assert_eq!(tensors.get("a.weight"), Some((&[2][..], &[0.0, 0.5][..])));
        assert_eq!(tensors.get("b.bias"), Some((&[2][..], &[1.0, 1.5][..])));
        assert_eq!(read(&path, &|name| name == "b.bias").unwrap().len(), 1);
    }
    archive(&path, &state_dict(&["a", "b"]), 1, false);
    assert!(load(&path).unwrap_err().to_string().contains("values of b are missing"));
}

#[test]
fn prefixes_and_keys_are_stripped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pth");
    let plain = || state_dict(&["conv.weight", "conv.bias"]);
    let other = || state_dict(&["x.weight", "x.bias", "y.weight"]);
    let prefixed = |prefix: &str| {
        let names = ["conv.weight", "conv.bias"].map(|name| format!("{prefix}{name}"));
        state_dict(&[&names[0], &names[1]])
    };
    for (what, pickle) in [
        ("nothing", plain()),
        ("module.", prefixed("module.")),
        ("_orig_mod.", prefixed("_orig_mod.")),
        ("_orig_mod.module.", prefixed("_orig_mod.module.")),
        ("module._orig_mod.net_g.", prefixed("module._orig_mod.net_g.")),
        ("generator", nested(&[("generator", plain())])),
        ("params-ema", nested(&[("params-ema", plain())])),
        ("net_g below state_dict", nested(&[("state_dict", nested(&[("net_g", plain())]))])),
        ("averages before weights", nested(&[("params", other()), ("params_ema", plain())])),
        ("weights before others", nested(&[("discriminator", other()), ("net_g", prefixed("module."))])),
        ("any key", nested(&[("something", plain())])),
        ("weights and an optimizer", nested(&[("optimizer", other()), ("model", plain())])),
    ] {
        archive(&path, &pickle, 3, false);
        assert_eq!(names(&load(&path).unwrap()), ["conv.bias", "conv.weight"], "{what}");
    }
}

fn safetensors_file(path: &Path, names: impl Iterator<Item = String>) {
    let (mut header, mut data) = (Vec::new(), Vec::new());
    for (n, name) in names.enumerate() {
        let start = data.len();
        data.extend((n as f32).to_le_bytes());
        header.push(format!(
            "\"{name}\":{{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[{start},{}]}}",
            data.len()
        ));
    }
    let header = format!("{{{}}}", header.join(","));
    let length = (header.len() as u64).to_le_bytes();
    std::fs::write(path, [&length[..], header.as_bytes(), &data].concat()).unwrap();
}

#[test]
fn safetensors_with_prefixes_and_with_many_tensors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    safetensors_file(
        &path,
        ["params_ema.module.a", "params_ema.b", "params.a", "params.b"].map(String::from).into_iter(),
    );
    let tensors = load(&path).unwrap();
    assert_eq!(
        (names(&tensors).as_slice(), tensors.get("a").unwrap().1),
        (&["a".into(), "b".into()][..], &[0.0][..])
    );
    // Quadratic, this would take minutes.
    safetensors_file(&path, (0..25_000).map(|n| format!("body.{n}.weight")));
    let tensors = load(&path).unwrap();
    assert_eq!((tensors.len(), tensors.get("body.24999.weight").unwrap().1), (25_000, &[24_999.0][..]));
    let names: Vec<_> = (0..25_000).map(|n| format!("body.{n}.weight")).collect();
    let all: Vec<_> = names.iter().map(String::as_str).collect();
    let pth = folder.path().join("a.pth");
    archive(&pth, &state_dict(&all), 25_000, false);
    assert_eq!(load(&pth).unwrap().len(), 25_000);
}

/// The length of the header begins the file, and with the byte 0x80 a pickle begins.
#[test]
fn safetensors_of_any_header_length_are_told_from_pickles() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let mut met = 0;
    for digits in 1..300 {
        safetensors_file(&path, [format!("{}.weight", "n".repeat(digits))].into_iter());
        met += usize::from(std::fs::read(&path).unwrap()[0] == 0x80);
        assert_eq!(load(&path).unwrap().len(), 1, "a name of {digits}");
    }
    assert!(met > 0, "one of them begins with 0x80");
}

#[test]
fn what_unfolds_is_refused_before_it_takes_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pth");
    for (what, pickle) in [
        ("lists", vec![b']'; 10_000_000]),
        ("marks", vec![b'('; 10_000_000]),
        ("texts", [&b"X\x00\x00\x80\x00"[..], &[b'a'; 1 << 23]].concat()),
        ("one tuple in another", [&b")"[..], &[0x85; 5_000_000]].concat()),
        ("one value again and again", [&b"]q\x00"[..], &b"h\x00".repeat(4_000_000)].concat()),
    ] {
        archive(&path, &pickle, 0, true);
        assert!(path.metadata().unwrap().len() < 100_000, "{what}");
        let error = load(&path).unwrap_err().to_string();
        assert!(error.contains("unfolds") || error.contains("too many"), "{what}: {error}");
    }
    // Not packed: every byte is an object.
    archive(&path, &vec![b']'; 10_000_000], 0, false);
    assert!(load(&path).unwrap_err().to_string().contains("too many for its size"));
    // A circle, and depth that nobody should follow.
    archive(&path, &[&b"}q\x00("[..], b"X\x01\x00\x00\x00ah\x00u"].concat(), 0, false);
    assert!(load(&path).unwrap().is_empty());
    archive(&path, &[&b")"[..], &[0x85; 50_000]].concat(), 0, false);
    assert!(load(&path).unwrap().is_empty());
    // A view of one number as a tensor of 1 GiB.
    let error = load(&seed("views.pth")).unwrap_err().to_string();
    assert!(error.contains("more than 4 times the bytes of the file"), "{error}");
}

#[test]
fn damage_is_an_error_and_nothing_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let witness = folder.path().join("called");
    let call = format!("cos\nsystem\n(X{}touch {}tR", "\u{20}\0\0\0", witness.display());
    archive(&path, call.as_bytes(), 0, false);
    let _ = load(&path);
    assert!(!witness.exists());
    let mut state = 1_u64;
    let mut below = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    for name in ["small.pth", "small.pt"] {
        let bytes = std::fs::read(seed(name)).unwrap();
        for _ in 0..3000 {
            let mut damaged = bytes.clone();
            for _ in 0..=below(4) {
                let at = below(damaged.len());
                damaged[at] = [0, 0x7f, 0x80, 0xff, below(256) as u8][below(5)];
            }
            if below(4) == 0 {
                damaged.truncate(below(damaged.len()));
            }
            std::fs::write(&path, damaged).unwrap();
            let _ = load(&path);
        }
    }
    for content in [
        &b""[..],
        b"not weights",
        b"PK\x03\x04",
        b"\x80\x02.",
        b"\x80",
        b"\xff\xff\xff\xff\xff\xff\xff\x7f{}",
    ] {
        std::fs::write(&path, content).unwrap();
        assert!(load(&path).unwrap_err().to_string().contains("cannot read"), "{content:?}");
    }
    assert!(matches!(load(&folder.path().join("none.pth")), Err(Error::Io { .. })));
}
