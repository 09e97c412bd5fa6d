use super::*;

fn row(name: &str, precision: Option<&'static str>, psnr_y_db: f64) -> Row {
    Row {
        name: name.into(),
        precision,
        psnr_y_db,
        gain_db: None,
        ssim_y: 0.8,
        drop_db: None,
        latency_ms: 12.34,
        latency_runs: 5,
        memory_bytes: None,
        file_bytes: Some(1500),
        images: vec![Quality { psnr_y_db, ssim_y: 0.8 }],
    }
}

fn report() -> Report {
    let rows = vec![
        row("bicubic", None, 28.0),
        row("edge", Some("f32"), 29.5),
        row("edge", Some("int8"), 29.25),
        row("other", Some("int8"), 27.5),
    ];
    let mut section = Section { upscale: 4, crop_border: 4, images: vec!["bird".into()], rows };
    section.relate();
    Report {
        schema: SCHEMA,
        command: "compare",
        version: "0.0.0",
        data: "a folder".into(),
        latency: Latency { width: 320, height: 180, threads: 2, isa: "scalar" },
        sections: vec![section],
        skipped: vec![Skipped { image: "dot".into(), error: "too small".into() }],
    }
}

#[test]
fn gain_is_against_bicubic_and_drop_against_the_float_model_of_the_same_name() {
    let rows = &report().sections[0].rows;
    assert_eq!(rows.iter().map(|r| r.gain_db).collect::<Vec<_>>(), [None, Some(1.5), Some(1.25), Some(-0.5)]);
    assert_eq!(rows.iter().map(|r| r.drop_db).collect::<Vec<_>>(), [None, None, Some(0.25), None]);
}

#[test]
fn prints_aligned_columns() {
    let expected = "\
x4: a folder, 1 images, 4 pixels of border left out
latency: 320x180 to 1280x720, median, 2 threads, scalar

  method      PSNR-Y dB  vs bicubic  SSIM-Y  int8 drop dB  latency ms  file kB
  ----------  ---------  ----------  ------  ------------  ----------  -------
  bicubic        28.000              0.8000                      12.3      1.5
  edge f32       29.500      +1.500  0.8000                      12.3      1.5
  edge int8      29.250      +1.250  0.8000         0.250        12.3      1.5
  other int8     27.500      -0.500  0.8000                      12.3      1.5

  PSNR-Y dB / SSIM-Y         bicubic        edge f32       edge int8      other int8
  ------------------  --------------  --------------  --------------  --------------
  bird                28.00 / 0.8000  29.50 / 0.8000  29.25 / 0.8000  27.50 / 0.8000

skipped dot: too small
";
    assert_eq!(report().to_string(), expected);
}

#[test]
fn json_has_the_fields_of_the_table() {
    let json = serde_json::to_value(report()).unwrap();
    assert_eq!(json["schema"], SCHEMA);
    let rows = &json["sections"][0]["rows"];
    assert_eq!(rows[2]["name"], "edge");
    assert_eq!(rows[2]["precision"], "int8");
    assert_eq!(rows[2]["psnr_y_db"], 29.25);
    assert_eq!(rows[2]["gain_db"], 1.25);
    assert_eq!(rows[2]["drop_db"], 0.25);
    assert_eq!(rows[0]["drop_db"], serde_json::Value::Null);
    assert_eq!(json["latency"]["threads"], 2);
    assert_eq!(json["skipped"][0]["image"], "dot");
}

#[test]
fn a_perfect_image_is_null_in_json() {
    let json = serde_json::to_value(Quality { psnr_y_db: f64::INFINITY, ssim_y: 1.0 }).unwrap();
    assert_eq!(json["psnr_y_db"], serde_json::Value::Null);
}
