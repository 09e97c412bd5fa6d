//! `mcir-board upscale` on good input.

mod support;

use image::{DynamicImage, GenericImageView, GrayImage, Luma, LumaA, RgbaImage};
use mcir_runtime::image::{Image, resize_bicubic};
use support::{Folder, Run, arg, board, picture};

#[test]
fn upscales_a_file_to_the_format_of_its_extension() {
    let folder = Folder::new();
    let input = folder.image("in.png", 37, 21);
    for (model, upscale) in
        [(folder.model("m2", 2), 2), (folder.model("m3", 3), 3), (folder.model("m4", 4), 4)]
    {
        for extension in ["png", "jpg", "webp", "bmp", "tiff"] {
            let output = folder.path(&format!("out.{extension}"));
            let run = board(["upscale", "-i", arg(&input), "-o", arg(&output), "-m", arg(&model)]).succeeds();
            assert!(run.stdout().contains("out."), "{}", run.stdout());
            let written = image::open(&output).unwrap();
            assert_eq!(written.dimensions(), (37 * upscale, 21 * upscale), "{extension}");
            let format = image::ImageFormat::from_path(&output).unwrap();
            assert_eq!(image::guess_format(&std::fs::read(&output).unwrap()).unwrap(), format);
        }
    }
    assert!(folder.names().iter().all(|n| !n.contains("tmp")), "{:?}", folder.names());
}

#[test]
fn the_result_does_not_depend_on_threads_or_instruction_set() {
    let folder = Folder::new();
    let (input, model) = (folder.image("in.png", 64, 33), folder.model("m", 2));
    let run = |name: &str, options: &[&str]| {
        let output = folder.path(name);
        let args = ["upscale", "-i", arg(&input), "-o", arg(&output), "-m", arg(&model)];
        board(args.iter().chain(options)).succeeds();
        image::open(&output).unwrap()
    };
    let reference = run("a.png", &["-j", "1"]);
    assert_eq!(run("b.png", &["-j", "3"]), reference);
    assert_eq!(run("c.png", &["--isa", "scalar"]), reference);
}

#[test]
fn one_pixel_works() {
    let folder = Folder::new();
    let (input, model) = (folder.image("in.png", 1, 1), folder.model("m", 4));
    let output = folder.path("out.png");
    board(["upscale", "-i", arg(&input), "-o", arg(&output), "-m", arg(&model), "-s", "4"]).succeeds();
    assert_eq!(image::open(&output).unwrap().dimensions(), (4, 4));
}

#[test]
fn a_very_wide_image_works() {
    let folder = Folder::new();
    let (input, model) = (folder.image("in.png", 20_000, 2), folder.model("m", 2));
    let output = folder.path("out.png");
    board(["upscale", "-i", arg(&input), "-o", arg(&output), "-m", arg(&model)]).succeeds();
    assert_eq!(image::open(&output).unwrap().dimensions(), (40_000, 4));
}

#[test]
fn grey_stays_grey_and_opacity_is_enlarged_with_bicubic() {
    let folder = Folder::new();
    let model = folder.model("m", 2);
    let alpha = |x: u32, y: u32| ((x * 16 + y * 5) % 256) as u8;
    let cases: [(&str, DynamicImage); 3] = [
        ("grey.png", GrayImage::from_fn(20, 9, |x, y| Luma([(x * 12 + y) as u8])).into()),
        ("grey-alpha.png", image::GrayAlphaImage::from_fn(20, 9, |x, y| LumaA([90, alpha(x, y)])).into()),
        ("rgba.png", {
            let rgb = picture(20, 9);
            let pixel = |x, y| {
                let [r, g, b] = rgb.get_pixel(x, y).0;
                image::Rgba([r, g, b, alpha(x, y)])
            };
            RgbaImage::from_fn(20, 9, pixel).into()
        }),
    ];
    let plane = (0..9).flat_map(|y| (0..20).map(move |x| alpha(x, y))).collect();
    let enlarged = resize_bicubic(&Image::new(20, 9, 1, plane).unwrap(), 40, 18).unwrap();
    for (name, image) in cases {
        let (input, output) = (folder.path(name), folder.path(&format!("big-{name}")));
        image.save(&input).unwrap();
        board(["upscale", "-i", arg(&input), "-o", arg(&output), "-m", arg(&model)]).succeeds();
        let written = image::open(&output).unwrap();
        assert_eq!(written.color(), image.color(), "{name}");
        assert_eq!(written.dimensions(), (40, 18));
        if written.color().has_alpha() {
            let found: Vec<u8> = written.to_rgba8().pixels().map(|p| p[3]).collect();
            assert_eq!(found, enlarged.data(), "{name}");
        }
    }
    // JPEG has no opacity: the picture is put on white, with a note.
    let output = folder.path("flat.jpg");
    let input = folder.path("rgba.png");
    let run = board(["upscale", "-i", arg(&input), "-o", arg(&output), "-m", arg(&model)]).succeeds();
    assert!(run.stderr().contains("has opacity, but the output format has not"), "{}", run.stderr());
    let corner = image::open(&output).unwrap().to_rgb8().get_pixel(0, 0).0;
    assert!(corner.iter().all(|&v| v > 225), "a transparent corner is white: {corner:?}");
}

#[test]
fn sixteen_bits_are_converted_with_a_note() {
    let folder = Folder::new();
    let (input, output) = (folder.path("deep.png"), folder.path("out.png"));
    DynamicImage::from(picture(12, 8)).to_rgb16().save(&input).unwrap();
    let model = folder.model("m", 2);
    let run = board(["upscale", "-i", arg(&input), "-o", arg(&output), "-m", arg(&model)]).succeeds();
    assert!(run.stderr().contains("more than 8 bits"), "{}", run.stderr());
    let shallow = folder.image("shallow.png", 12, 8);
    let reference = folder.path("reference.png");
    let run = board(["upscale", "-i", arg(&shallow), "-o", arg(&reference), "-m", arg(&model)]).succeeds();
    assert_eq!(run.stderr(), "");
    assert_eq!(image::open(&output).unwrap(), image::open(&reference).unwrap());
}

#[test]
fn photographs_are_turned_upright_and_keep_their_colour_profile() {
    let folder = Folder::new();
    let plain = folder.image("plain.jpg", 24, 10);
    let jpeg = std::fs::read(plain).unwrap();
    // An Exif segment after the start marker, with one entry: orientation 6, turned by 90 degrees.
    let exif = b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    // The start of a profile for RGB, in one piece of one.
    let mut profile = vec![0; 128];
    profile[16..20].copy_from_slice(b"RGB ");
    let mut icc = vec![0xff, 0xe2, 0, (2 + 14 + profile.len()) as u8];
    icc.extend_from_slice(b"ICC_PROFILE\0\x01\x01");
    icc.extend_from_slice(&profile);
    let input = folder.file("turned.jpg", &[&jpeg[..2], exif, &icc, &jpeg[2..]].concat());
    let (output, model) = (folder.path("out.png"), folder.model("m", 2));
    board(["upscale", "-i", arg(&input), "-o", arg(&output), "-m", arg(&model)]).succeeds();
    assert_eq!(image::open(&output).unwrap().dimensions(), (20, 48));
    let bytes = std::fs::read(&output).unwrap();
    assert!(bytes.windows(4).any(|w| w == b"iCCP"), "the profile is in the output");
}

#[test]
fn a_folder_goes_on_after_a_bad_file() {
    let folder = Folder::new();
    let inputs = folder.path("in");
    std::fs::create_dir(&inputs).unwrap();
    picture(10, 6).save(inputs.join("a.png")).unwrap();
    std::fs::write(inputs.join("b.png"), b"not a picture").unwrap();
    picture(8, 8).save(inputs.join("c.jpg")).unwrap();
    picture(8, 8).save(inputs.join("c.png")).unwrap();
    std::fs::write(inputs.join("notes.txt"), b"ignored").unwrap();
    let (outputs, model) = (folder.path("out"), folder.model("m", 2));
    let args = ["upscale", "-i", arg(&inputs), "-o", arg(&outputs), "-m", arg(&model), "-f", "jpg", "--json"];
    let run = board(args).fails(1, &["b.png", "c.jpg is already made from", "2 of 4 images failed"]);
    let json = run.json();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["model"], "untrained");
    assert_eq!(json["images"].as_array().unwrap().len(), 2);
    assert_eq!(json["images"][0]["width"], 20);
    assert_eq!(json["failed"].as_array().unwrap().len(), 2);
    let mut written: Vec<_> =
        std::fs::read_dir(&outputs).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    written.sort();
    assert_eq!(written, ["a.jpg", "c.jpg"]);
}

#[test]
fn quiet_prints_nothing_and_verbose_the_engine() {
    let folder = Folder::new();
    let (input, model) = (folder.image("in.png", 9, 9), folder.model("m", 2));
    let output = folder.path("out.png");
    let args = ["upscale", "-i", arg(&input), "-o", arg(&output), "-m", arg(&model)];
    let quiet = board(args.iter().chain(&["-q"])).succeeds();
    assert_eq!((quiet.stdout(), quiet.stderr()), (String::new(), String::new()));
    let verbose = board(args.iter().chain(&["-v", "--isa", "scalar"])).succeeds();
    assert!(verbose.stderr().contains("scalar"), "{}", verbose.stderr());
}

/// Standard input and output, pipes, and what has no extension.
#[test]
fn pipes_at_both_ends() {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let folder = Folder::new();
    let (input, model) = (folder.image("in.png", 30, 20), folder.model("m", 2));
    let expected = folder.path("expected.png");
    board(["upscale", "-i", arg(&input), "-o", arg(&expected), "-m", arg(&model)]).succeeds();
    let (expected, bytes) = (image::open(&expected).unwrap(), std::fs::read(&input).unwrap());
    for (from, to, format) in [
        ("-", "-", "png"),
        ("/dev/stdin", "-", "bmp"),
        ("-", "/dev/stdout", "tiff"),
        ("/dev/stdin", "/dev/stdout", "png"),
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mcir-board"))
            .args(["upscale", "-q", "-i", from, "-o", to, "-m", arg(&model), "-f", format])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&bytes).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{from} to {to}");
        assert_eq!(image::load_from_memory(&output.stdout).unwrap(), expected, "{from} to {to}");
    }
    // A pipe with a name.
    let pipe = folder.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::write(pipe, bytes).unwrap()
    });
    let output = folder.path("out.png");
    board(["upscale", "-i", arg(&pipe), "-o", arg(&output), "-m", arg(&model)]).succeeds();
    writer.join().unwrap();
    assert_eq!(image::open(&output).unwrap(), expected);
    board(["upscale", "-i", arg(&input), "-o", "-", "-m", arg(&model), "--json"])
        .fails(2, &["cannot both go to the standard output"]);
    board(["upscale", "-i", arg(&folder.path(".")), "-o", "-", "-m", arg(&model)])
        .fails(2, &["the input is a folder"]);
}

/// One folder that cannot be listed keeps no other from being upscaled.
#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_read_is_told_and_the_others_are_done() {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;
    let folder = Folder::new();
    let (inputs, outputs, model) = (folder.path("in"), folder.path("out"), folder.model("m", 2));
    for name in ["a", "b", "closed"] {
        std::fs::create_dir_all(inputs.join(name)).unwrap();
        folder.image(&format!("in/{name}/1.png"), 9, 9);
    }
    let close = |mode| {
        std::fs::set_permissions(inputs.join("closed"), std::fs::Permissions::from_mode(mode)).unwrap()
    };
    close(0o000);
    let program = env!("CARGO_BIN_EXE_mcir-board");
    // Who may read everything has to let go of that first.
    let mut command = match std::fs::read_dir(inputs.join("closed")) {
        Err(_) => Command::new(program),
        Ok(_) => {
            let mut command = Command::new("setpriv");
            command.args(["--bounding-set", "-all", program]);
            command
        }
    };
    let args = ["upscale", "-r", "-i", arg(&inputs), "-o", arg(&outputs), "-m", arg(&model), "--json"];
    let output = command.args(args).output();
    close(0o755);
    let Ok(output) = output else { return support::skip::skip("setpriv is not installed") };
    let run = Run::of(output).fails(1, &["cannot list", "in/closed", "1 folder could not be read"]);
    let json = run.stdout();
    assert!(
        outputs.join("a/1.png").is_file()
            && outputs.join("b/1.png").is_file()
            && !outputs.join("closed").exists()
    );
    let json: serde_json::Value =
        serde_json::Deserializer::from_str(&json).into_iter().next().unwrap().unwrap();
    assert_eq!((json["images"].as_array().unwrap().len(), json["failed"].as_array().unwrap().len()), (2, 1));
}

/// What a reader of JSON or a terminal cannot take is escaped, and nothing panics when nobody reads any more.
#[cfg(unix)]
#[test]
fn any_name_and_any_reader() {
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new();
    let (inputs, outputs, model) = (folder.path("in"), folder.path("out"), folder.model("m", 2));
    std::fs::create_dir_all(inputs.join("sub")).unwrap();
    for name in [&b"\xff.png"[..], b"\x1b[31mred.png", b"ok.jfif", b"._ok.png"] {
        let file = folder.image("one.png", 9, 9);
        std::fs::rename(file, inputs.join(std::ffi::OsStr::from_bytes(name))).unwrap();
    }
    let deep = DynamicImage::from(picture(12, 8)).to_rgb16();
    deep.save(inputs.join("deep.png")).unwrap();
    deep.save(inputs.join("deeper.png")).unwrap();
    let args = ["upscale", "-i", arg(&inputs), "-o", arg(&outputs), "-m", arg(&model)];
    let run = board(args.iter().chain(&["--json"])).succeeds();
    assert!(
        run.stderr().contains("left out: 1 folder in it (-r takes folders in it, too)\n"),
        "{}",
        run.stderr()
    );
    assert!(!run.stderr().contains('\x1b') && !run.stdout().contains('\x1b'));
    let names: Vec<_> =
        run.json()["images"].as_array().unwrap().iter().map(|i| i["input"].to_string()).collect();
    assert_eq!(names.len(), 5, "{names:?}");
    assert!(names.iter().any(|n| n.contains("\\\\xff.png")), "{names:?}");
    // Both streams closed: every image is still made.
    std::fs::remove_dir_all(&outputs).unwrap();
    let shell = "exec 3>&1; { \"$@\" 2>&1 >&3 3>&-; echo $? >\"$0\"; } | true";
    let code = folder.path("code");
    let status = std::process::Command::new("sh")
        .args(["-c", shell, arg(&code), env!("CARGO_BIN_EXE_mcir-board")])
        .args(args)
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(std::fs::read_to_string(&code).unwrap(), "0\n");
    assert_eq!(std::fs::read_dir(&outputs).unwrap().count(), 5);
}

#[cfg(unix)]
#[test]
fn what_is_replaced_keeps_its_place_and_permissions() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = Folder::new();
    let (input, model) = (folder.image("in.png", 9, 9), folder.model("m", 2));
    let real = folder.file("real.png", b"old");
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o600)).unwrap();
    symlink("real.png", folder.path("link.png")).unwrap();
    let long = folder.path(&format!("{}.png", "n".repeat(251)));
    for output in [folder.path("link.png"), long] {
        board(["upscale", "-i", arg(&input), "-o", arg(&output), "-m", arg(&model)]).succeeds();
        assert_eq!(image::open(&output).unwrap().dimensions(), (18, 18));
    }
    assert!(folder.path("link.png").is_symlink());
    assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(image::open(&real).unwrap().dimensions(), (18, 18));
}
