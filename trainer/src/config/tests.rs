use super::*;
use crate::loss::pixel::Loss;
use crate::net::Architecture;

fn settings(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

#[test]
fn every_preset_resolves_and_survives_the_file() {
    for family in ["edsr-light", "edsr-edge", "edsr-edge-m", "swinir-light", "swinir-edge"] {
        for upscale in [2, 3, 4] {
            let name = format!("{family}-x{upscale}");
            let config = Config::resolve(Some(&name), "", &[]).expect(&name);
            assert_eq!(config.model.upscale(), upscale);
            let Architecture::Graph(graph) = config.model.architecture() else { panic!("{name} is a graph") };
            mcir_runtime::model::infer(&graph).expect(&name);
            assert_eq!(Config::resolve(None, &config.to_toml(), &[]).expect(&name), config);
        }
    }
}

#[test]
fn nafnets_resolve_and_mistakes_in_them_are_named() {
    for name in ["nafnet-w8", "nafnet-w16", "nafnet-w32", "nafnet-w64"] {
        let config = Config::resolve(Some(name), "", &[]).expect(name);
        assert_eq!((config.model.upscale(), config.train.loss), (1, Loss::Psnr));
        assert_eq!(Config::resolve(None, &config.to_toml(), &[]).expect(name), config);
    }
    let error =
        |over: &str| Config::resolve(Some("nafnet-w8"), "", &settings(&[over])).unwrap_err().to_string();
    assert!(
        error("model.dec_blk_nums=[1]").contains("model.dec_blk_nums"),
        "{}",
        error("model.dec_blk_nums=[1]")
    );
    assert!(error("model.width=0").contains("model.width is 0"));
    assert!(error("model.num_feat=8").contains("num_feat"));
    assert!(error("train.loss=psnr2").contains("psnr2"));
    assert!(error("train.betas=[0.9,1.0]").contains("train.betas"));
}

#[test]
fn recipes_that_begin_with_other_weights_are_known() {
    let short = |name: &str, over: &[&str]| {
        Config::resolve(Some(name), "", &settings(over)).expect("valid").is_short_of_a_start()
    };
    assert!(short("swinir-light-x4", &[]) && short("edsr-light-x3", &[]));
    assert!(!short("swinir-light-x2", &[]) && !short("edsr-edge-x4", &[]) && !short("nafnet-w8", &[]));
    // Another length is another recipe.
    assert!(!short("edsr-light-x4", &["train.from=x2"]) && !short("edsr-light-x4", &["train.steps=9"]));
}

#[test]
fn file_and_settings_are_laid_over_the_preset() {
    let document = "preset = 'edsr-edge-x4'\nseed = 7\n[train]\nsteps = 5\n[data]\nhr = 'a'";
    let over = settings(&["train.steps=9", "data.hr=some/folder", "train.schedule.end=0.0001"]);
    let config = Config::resolve(None, document, &over).expect("valid");
    assert_eq!((config.seed, config.train.steps, config.train.batch), (7, 9, 16));
    assert_eq!(config.data.hr, PathBuf::from("some/folder"));
    assert_eq!(config.train.schedule, Schedule::Cosine { end: 1e-4 });
    let over = settings(&["train.schedule={kind='multi_step',milestones=[3],gamma=0.5}"]);
    let config = Config::resolve(Some("edsr-edge-x4"), "", &over).expect("valid");
    assert_eq!(config.train.schedule, Schedule::MultiStep { milestones: vec![3], gamma: 0.5 });
}

#[test]
fn memory_is_written_down_only_if_it_was_chosen() {
    let resolve = |over: &[&str]| Config::resolve(Some("edsr-edge-x4"), "", &settings(over)).expect("valid");
    assert!(!resolve(&[]).to_toml().contains("memory_mb"));
    let chosen = resolve(&["data.memory_mb=100"]);
    assert_eq!(Config::resolve(None, &chosen.to_toml(), &[]).expect("valid").data.memory_mb, 100);
}

/// Runs of before there could be several sets name one as a string.
#[test]
fn validation_sets_are_one_or_many() {
    let resolve = |over: &[&str]| Config::resolve(Some("edsr-edge-x4"), "", &settings(over));
    let one = resolve(&["data.val_hr=Set5/HR"]).expect("valid");
    assert_eq!(one.data.val_hr, [PathBuf::from("Set5/HR")]);
    let two = resolve(&["data.val_hr=['Set5/HR','Set14/HR']"]).expect("valid");
    assert_eq!(two.data.val_hr, ["Set5/HR", "Set14/HR"].map(PathBuf::from));
    assert_eq!(Config::resolve(None, &two.to_toml(), &[]).expect("valid"), two);
    let error = resolve(&["data.val_hr=['a','b']", "data.val_lr=['c']"]).expect_err("refused").to_string();
    assert!(error.contains("data.val_lr is a list of 1"), "{error}");
    let error = resolve(&["data.val_hr=5"]).expect_err("refused").to_string();
    assert!(error.contains("a folder or a list of folders"), "{error}");
}

#[test]
fn mistakes_are_named() {
    let error = |preset, over: &[&str]| Config::resolve(preset, "", &settings(over)).unwrap_err().to_string();
    assert!(error(Some("edsr-edge-x5"), &[]).contains("edsr-edge-x5"));
    assert!(error(Some("edsr-edge-x4"), &["train.stpes=4"]).contains("stpes"));
    assert!(error(Some("edsr-edge-x4"), &["steps"]).contains("section.key=value"));
    assert!(error(Some("edsr-edge-x4"), &["train.batch=0"]).contains("train.batch is 0"));
    assert!(error(Some("edsr-edge-x4"), &["model.upscale=5"]).contains("model.upscale is 5"));
    assert!(error(Some("swinir-light-x2"), &["model.num_heads=[6,6,6]"]).contains("model.num_heads"));
    assert!(error(Some("swinir-light-x2"), &["model.num_heads=[6,6,6,7]"]).contains("model.num_heads"));
    assert!(error(Some("edsr-edge-x4"), &["train.lr=nan"]).contains("train.lr"));
    assert!(error(None, &[]).contains("missing field"));
}

#[test]
fn the_spn_loss_is_switched_on_by_any_of_its_settings() {
    let resolve = |over: &[&str]| Config::resolve(Some("edsr-edge-x4"), "", &settings(over));
    assert_eq!(resolve(&[]).expect("valid").spn, None);
    let config = resolve(&["spn.lambda=0.0005", "spn.steps=[10,20]"]).expect("valid");
    let expected = Spn { lambda: 5e-4, steps: vec![10, 20], ..Spn::default() };
    assert_eq!(config.spn, Some(expected));
    assert_eq!(Config::resolve(None, &config.to_toml(), &[]).expect("valid"), config);
    let config = resolve(&["spn.omega=[0.1,0.2,0.3,1]", "spn.nu=0", "spn.negative=none"]).expect("valid");
    let spn = config.spn.clone().expect("there");
    assert_eq!((spn.omega.of(2), spn.nu.of(2), spn.is_active(), spn.models()), (0.3, 0.0, false, 0));
    assert_eq!(Config::resolve(None, &config.to_toml(), &[]).expect("valid"), config);
    for (over, key) in [
        ("spn.steps=[]", "spn.steps"),
        ("spn.steps=[5,0]", "spn.steps"),
        ("spn.omega=2", "spn.omega"),
        ("spn.omega=[0.1,0.5]", "spn.omega"),
        ("spn.nu=[0.1,0.5,0.5,1.5]", "spn.nu"),
        ("spn.nu=much", "one for each of spn.steps"),
        ("spn.crop=8", "spn.crop"),
        ("spn.batch=0", "spn.batch"),
        ("spn.batch=17", "spn.batch"),
        ("spn.negative=pretrained", "spn.pretrained"),
        ("spn.negative=ccr", "spn.others"),
        ("spn.gamma=1", "spn.gamma"),
        ("spn.features.layers=[\"relu1_1\"]", "spn.features.weights"),
    ] {
        let error = resolve(&[over]).expect_err(over).to_string();
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn learning_rates_follow_their_schedules() {
    let mut t = Config::preset("edsr-edge-x4").expect("known").train;
    (t.steps, t.warmup, t.lr) = (1000, 10, 1.0e-3);
    assert!((t.lr_at(0) - 1e-4).abs() < 1e-6);
    assert!((t.lr_at(500) - (1e-3 + 1e-5) / 2.0).abs() < 1e-9);
    assert!((t.lr_at(1000) - 1e-5).abs() < 1e-12);
    t.schedule = Schedule::MultiStep { milestones: vec![20, 40], gamma: 0.5 };
    assert_eq!([19, 20, 39, 40].map(|s| t.lr_at(s)), [1e-3, 5e-4, 5e-4, 2.5e-4]);
}

#[test]
fn a_degradation_is_a_preset_with_changes() {
    let of = |list: &[&str]| Config::resolve(Some("edsr-edge-x2"), "", &settings(list));
    let camera = of(&["data.degrade=camera"]).expect("a preset").data.degrade.expect("set");
    assert_eq!(Some(camera.clone()), Degrade::preset("camera"));
    let config = of(&["data.degrade.preset=camera", "data.degrade.jpeg.quality=[40,60]"]).expect("changed");
    assert_eq!(Config::resolve(None, &config.to_toml(), &[]).expect("read back"), config);
    let changed = config.data.degrade.expect("set");
    assert_eq!((changed.jpeg.quality, changed.noise), ([40, 60], camera.noise));
    let document = "[data]\ndegrade = \"photo\"\n";
    let photo = Config::resolve(Some("edsr-edge-x2"), document, &[]).expect("a preset");
    let photo = Config::resolve(None, &photo.to_toml(), &settings(&["data.degrade.jpeg.prob=0"]));
    assert_eq!(photo.expect("changed").data.degrade.expect("set").jpeg.prob, 0.0);
    for (list, expected) in [
        (&["data.degrade=webcam"][..], "presets of data.degrade are camera, photo, clean"),
        (
            &["data.degrade=camera", "data.degrade.jpeg.quality=[60,40]"],
            "data.degrade.jpeg.quality is [60, 40]",
        ),
        (&["data.degrade=camera", "data.degrade.jpeg.qualtiy=[60,40]"], "qualtiy"),
        (&["data.degrade=camera", "data.lr=x"], "data.lr or data.teacher is set"),
        (&["train.teacher_weight=1.5"], "train.teacher_weight is 1.5"),
        (&["train.expand=2000"], "train.expand is 2000"),
    ] {
        let error = of(list).expect_err("refused").to_string();
        assert!(error.contains(expected), "{list:?}: {error}");
    }
}

#[test]
fn a_stable_rate_falls_at_the_end_only() {
    let schedule = "train.schedule={kind=\"stable\",decay=0.2,end=1e-5}";
    let train = Config::resolve(Some("edsr-edge-x2"), "", &settings(&["train.steps=1000", schedule]));
    let train = train.expect("a schedule").train;
    assert_eq!([100, 500, 800].map(|step| train.lr_at(step)), [1e-3; 3]);
    assert!((train.lr_at(900) - 0.5 * (1e-3 + 1e-5)).abs() < 1e-9 && train.lr_at(999) < 2e-5);
    let wrong = settings(&["train.schedule={kind=\"stable\",decay=1.2,end=1e-5}"]);
    let error = Config::resolve(Some("edsr-edge-x2"), "", &wrong).expect_err("refused").to_string();
    assert!(error.contains("train.schedule.decay is 1.2"), "{error}");
}

#[test]
fn dehazeformers_resolve_and_mistakes_in_them_are_named() {
    for name in ["dehazeformer-t", "dehazeformer-s", "dehazeformer-b"] {
        let config = Config::resolve(Some(name), "", &[]).expect(name);
        assert_eq!((config.model.upscale(), config.train.loss, config.data.patch), (1, Loss::L1, 256));
        assert_eq!(Config::resolve(None, &config.to_toml(), &[]).expect(name), config);
    }
    for (over, key) in [
        ("model.embed_dims=[24,48,96,48,23]", "model.embed_dims"),
        ("model.num_heads=[2,5,6,1,1]", "model.num_heads"),
        ("model.depths=[0,4,4,2,2]", "model.depths"),
        ("model.attn_ratio=[2.0,0.5,1.0,0.0,0.0]", "model.attn_ratio"),
        ("model.window_size=1", "model.window_size"),
        ("train.expand=8", "train.expand"),
    ] {
        let error = Config::resolve(Some("dehazeformer-t"), "", &settings(&[over])).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn ffanets_resolve_with_their_recipe() {
    for name in ["ffanet", "ffanet-edge"] {
        let config = Config::resolve(Some(name), "", &[]).expect(name);
        assert_eq!((config.model.upscale(), config.train.loss), (1, Loss::L1));
        let Architecture::Graph(graph) = config.model.architecture() else { panic!("{name} is a graph") };
        mcir_runtime::model::infer(&graph).expect(name);
        assert_eq!(Config::resolve(None, &config.to_toml(), &[]).expect(name), config);
    }
    let paper = Config::resolve(Some("ffanet"), "", &[]).expect("valid");
    assert_eq!((paper.train.steps, paper.train.batch, paper.data.patch), (500_000, 2, 240));
    assert_eq!((paper.train.lr, paper.train.lr_at(500_000)), (1e-4, 0.0));
    let error =
        |over: &str| Config::resolve(Some("ffanet-edge"), "", &settings(&[over])).unwrap_err().to_string();
    assert!(error("model.num_group=0").contains("model.num_group is 0"));
    assert!(error("model.num_block=65").contains("model.num_block is 65"));
    assert!(error("model.num_feat=0").contains("model.num_feat is 0"));
}

#[test]
fn what_is_in_the_air_is_written_down_where_it_was_chosen() {
    let resolve = |over: &str| Config::resolve(Some("ffanet-edge"), "", &settings(&[over]));
    let haze = resolve("data.degrade=haze").expect("valid");
    let degrade = haze.data.degrade.clone().expect("haze");
    assert_eq!((degrade.haze.prob, degrade.haze.beta, degrade.haze.light), (1.0, [0.6, 1.8], [0.7, 1.0]));
    assert_eq!(Config::resolve(None, &haze.to_toml(), &[]).expect("valid"), haze);
    // Degradations of before there was haze are as they were.
    let camera = resolve("data.degrade=camera").expect("valid");
    assert!(!camera.to_toml().contains("haze") && !camera.to_toml().contains("degrade.rain"));
    let both = resolve("data.degrade={preset='camera',haze={prob=0.5}}").expect("valid");
    let degrade = both.data.degrade.clone().expect("damage");
    assert_eq!((degrade.haze.prob, degrade.haze.beta, degrade.noise.prob), (0.5, [0.6, 1.8], 0.7));
    assert_eq!(Config::resolve(None, &both.to_toml(), &[]).expect("valid"), both);
    let error = resolve("data.degrade={preset='haze',haze={light=[0.5,1.2]}}").unwrap_err().to_string();
    assert!(
        error.contains("data.degrade.haze.light is [0.5, 1.2], but must be a range within 0 to 1"),
        "{error}"
    );
}
