use super::*;

fn row(name: &str, precision: Option<&str>, psnr_y_db: f64) -> Row {
    let samples_ms = vec![12.34, 15.0, 11.0];
    Row {
        device: None,
        target: HERE.into(),
        name: name.into(),
        precision: precision.map(Into::into),
        psnr_y_db,
        gain_db: None,
        ssim_y: 0.8,
        drop_db: None,
        latency_ms: 12.34,
        latency: bench::Latency::of(&samples_ms),
        samples_ms,
        waited: Some(0.01),
        energy_mj: None,
        memory_bytes: None,
        file_bytes: Some(1500),
        same_bits: None,
        sets: Vec::new(),
        images: vec![Quality { psnr_y_db, ssim_y: 0.8 }],
        crc32: vec![7],
    }
}

fn report() -> Report {
    let rows = vec![
        row("bicubic", None, 28.0),
        row("edge", Some("f32"), 29.5),
        row("edge", Some("int8"), 29.25),
        row("other", Some("int8"), 27.5),
    ];
    let sets = vec![ImageSet { name: "a folder".into(), images: 1 }];
    let mut section = Section { upscale: 4, crop_border: 4, images: vec!["bird".into()], sets, rows };
    section.relate();
    Report {
        schema: SCHEMA,
        command: "compare".into(),
        version: "0.0.0".into(),
        data: "a folder".into(),
        latency: Latency { width: 320, height: 180, threads: 2 },
        targets: vec![Target { target: HERE.into(), isa: Some("scalar".into()), ..Target::default() }],
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
fn several_sets_stand_side_by_side() {
    let mut report = report();
    let section = &mut report.sections[0];
    section.images = ["clean/bird", "clean/dog", "damaged/bird"].map(Into::into).to_vec();
    section.sets =
        [("clean", 2), ("damaged", 1)].map(|(name, images)| ImageSet { name: name.into(), images }).into();
    section.rows.truncate(2);
    for (row, psnr) in section.rows.iter_mut().zip([[28.0, 26.0, 24.0], [29.0, 28.0, 23.5]]) {
        row.images = psnr.map(|psnr_y_db| Quality { psnr_y_db, ssim_y: psnr_y_db / 32.0 }).to_vec();
        row.file_bytes = None;
    }
    section.relate();
    let expected = "
  method    clean dB  vs bicubic  SSIM-Y  damaged dB  vs bicubic  SSIM-Y  latency ms  p99 ms  frames/s
  --------  --------  ----------  ------  ----------  ----------  ------  ----------  ------  --------
  bicubic     27.000              0.8438      24.000              0.7500        12.3    15.0      81.0
  edge f32    28.500      +1.500  0.8906      23.500      -0.500  0.7344        12.3    15.0      81.0
";
    let table = section.summary(&report.targets).to_string();
    assert_eq!(table.trim(), expected.trim());
    let json = serde_json::to_value(&*section).unwrap();
    assert_eq!(json["sets"][0], serde_json::json!({ "name": "clean", "images": 2 }));
    let damaged = &json["rows"][1]["sets"][1];
    assert_eq!((damaged["psnr_y_db"].as_f64(), damaged["gain_db"].as_f64()), (Some(23.5), Some(-0.5)));
    assert_eq!(serde_json::from_value::<Section>(json.clone()).unwrap(), *section);
}

#[test]
fn prints_aligned_columns() {
    let expected = "\
x4: a folder, 1 image, 4 pixels of border left out
latency: 320x180 to 1280x720, median, 2 threads, scalar

  method      PSNR-Y dB  vs bicubic  SSIM-Y  int8 drop dB  latency ms  p99 ms  frames/s  file kB
  ----------  ---------  ----------  ------  ------------  ----------  ------  --------  -------
  bicubic        28.000              0.8000                      12.3    15.0      81.0      1.5
  edge f32       29.500      +1.500  0.8000                      12.3    15.0      81.0      1.5
  edge int8      29.250      +1.250  0.8000         0.250        12.3    15.0      81.0      1.5
  other int8     27.500      -0.500  0.8000                      12.3    15.0      81.0      1.5

  PSNR-Y dB / SSIM-Y         bicubic        edge f32       edge int8      other int8
  ------------------  --------------  --------------  --------------  --------------
  bird                28.00 / 0.8000  29.50 / 0.8000  29.25 / 0.8000  27.50 / 0.8000

skipped dot: too small
";
    assert_eq!(report().to_string(), expected);
}

#[test]
fn figures_that_others_spoiled_are_marked() {
    let mut report = report();
    assert_eq!(report.sections[0].note(), None);
    report.sections[0].rows[2].waited = Some(0.21);
    report.sections[0].rows[3].waited = None;
    let text = report.to_string();
    let line =
        |start: &str| text.lines().find(|line| line.trim_start().starts_with(start)).unwrap().to_owned();
    assert!(line("edge int8").contains(" 12.3*") && line("edge int8").contains(" 15.0*"), "{text}");
    assert!(!line("edge f32").contains('*') && !line("other int8").contains('*'), "{text}");
    assert!(
        text.contains("* not valid: other programs used the processors for up to 21 % of the time"),
        "{text}"
    );
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["sections"][0]["rows"][2]["waited"], 0.21);
    // Reports of older programs have no such field.
    let mut older = json;
    older["sections"][0]["rows"][0].as_object_mut().unwrap().remove("waited");
    let read: Report = serde_json::from_value(older).unwrap();
    assert_eq!(read.sections[0].rows[0].waited, None);
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

/// What another machine says of itself, over a connection.
fn sent(report: &Report) -> Report {
    serde_json::from_str(&serde_json::to_string(report).unwrap()).unwrap()
}

#[test]
fn reports_of_several_machines_become_one() {
    let here = report();
    assert_eq!(sent(&here), here);
    let mut fast = sent(&here);
    fast.sections[0].rows[2].latency_ms = 2.0;
    fast.sections[0].rows[2].energy_mj = Some(41.25);
    let mut odd = sent(&here);
    odd.sections[0].rows[1].crc32 = vec![8];
    let mut all = Report { targets: vec![], sections: vec![], skipped: vec![], ..here.clone() };
    all.add("ssh://fast", fast, &here.sections);
    let missing = mcir_upscale::error::Error::missing("there");
    all.add_failed("ssh://gone", &missing);
    all.add("local:odd", odd, &here.sections);
    assert_eq!((all.failed(), all.targets.len(), all.sections.len(), all.skipped.len()), (1, 3, 1, 1));
    let bits: Vec<_> = all.sections[0].rows.iter().map(|r| r.same_bits).collect();
    assert_eq!(bits[..4], [Some(true); 4]);
    assert_eq!(bits[4..], [Some(true), Some(false), Some(true), Some(true)]);
    let text = all.to_string();
    let lines: Vec<&str> =
        text.lines().filter(|l| l.starts_with("  ssh") || l.starts_with("  local")).collect();
    assert_eq!(lines.len(), 9, "{text}");
    assert!(
        lines[2].contains("edge int8") && lines[2].contains("41.2") && lines[2].ends_with("yes"),
        "{text}"
    );
    assert_eq!(lines[4], "  ssh://gone  failed: there does not exist");
    assert!(lines[6].starts_with("  local:odd   edge f32 ") && lines[6].ends_with("NO"), "{text}");
    assert!(text.contains("check the path") && text.contains("edge f32, local:odd"), "{text}");
}

#[test]
fn machines_with_other_images_are_marked() {
    let here = report();
    let mut all = here.clone();
    let mut fewer = sent(&here);
    fewer.sections[0].images = vec!["dog".into()];
    all.add("ssh://x", fewer, &here.sections);
    assert!(all.targets[1].invalid_because[0].contains("1 image could be used"), "{all}");
    assert_eq!(all.sections[0].rows[4].same_bits, None);
}

/// An infinite mean would say nothing of the other images, and a gain over it nothing at all.
#[test]
fn exact_images_are_left_out_of_means_for_all_methods() {
    let mut report = report();
    let section = &mut report.sections[0];
    section.images = ["flat", "bird", "dog"].map(Into::into).to_vec();
    section.sets = [("a", 2), ("b", 1)].map(|(name, images)| ImageSet { name: name.into(), images }).into();
    section.rows.truncate(3);
    let infinite = f64::INFINITY;
    for (row, psnr) in
        section.rows.iter_mut().zip([[50.0, 26.0, 24.0], [infinite, 28.0, 25.0], [48.0, 27.5, 24.5]])
    {
        row.images = psnr.map(|psnr_y_db| Quality { psnr_y_db, ssim_y: 0.5 }).to_vec();
    }
    section.relate();
    let of = |value: fn(&Row) -> Option<f64>| section.rows.iter().map(value).collect::<Vec<_>>();
    assert_eq!(of(|r| Some(r.psnr_y_db)), [Some(25.0), Some(26.5), Some(26.0)]);
    assert_eq!(of(|r| r.gain_db), [None, Some(1.5), Some(1.0)]);
    assert_eq!(of(|r| r.drop_db), [None, None, Some(0.5)]);
    assert_eq!(of(|r| r.sets[0].quality.map(|q| q.psnr_y_db)), [Some(26.0), Some(28.0), Some(27.5)]);
    assert_eq!(of(|r| r.sets[0].gain_db), [None, Some(2.0), Some(1.5)]);
    let note = section.exact_note().unwrap();
    assert_eq!(
        note,
        "flat came out exact (infinite PSNR) with at least one method; means of PSNR are over the other 2"
    );
    assert!(report.to_string().contains(&note));

    // All of them: there is nothing to compare.
    let section = &mut report.sections[0];
    section.rows.iter_mut().for_each(|row| {
        row.images.iter_mut().for_each(|q| q.psnr_y_db = infinite);
    });
    section.relate();
    assert!(
        section.rows.iter().all(|r| r.psnr_y_db == infinite && r.gain_db.is_none() && r.drop_db.is_none())
    );
    assert!(section.exact_note().unwrap().contains("flat and 2 more came out exact"));
}

#[test]
fn a_perfect_image_is_null_in_json() {
    let json = serde_json::to_value(Quality { psnr_y_db: f64::INFINITY, ssim_y: 1.0 }).unwrap();
    assert_eq!(json["psnr_y_db"], serde_json::Value::Null);
    let back: Quality = serde_json::from_value(json).unwrap();
    assert_eq!(back.psnr_y_db, f64::INFINITY);
}
