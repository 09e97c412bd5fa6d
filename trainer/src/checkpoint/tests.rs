use super::*;

fn checkpoint(step: u64) -> Checkpoint {
    let mut net = Tensors::default();
    net.insert("a.weight".into(), vec![2, 3], vec![1.0, -2.0, 3.5, f32::MIN_POSITIVE, 1e30, -0.0]);
    net.insert("a.bias".into(), vec![2], vec![step as f32, 0.25]);
    let mut ema = net.clone();
    ema.insert("a.bias".into(), vec![2], vec![0.5, 0.125]);
    Checkpoint {
        config: "name = 'x'".into(),
        step,
        negatives: vec![net.clone(), ema.clone()],
        net,
        ema,
        optimizer: vec![1, 2, 3, 250],
    }
}

#[test]
fn what_is_saved_is_loaded_and_the_one_before_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    checkpoint(1).save(folder.path()).expect("saved");
    assert_eq!(Checkpoint::load(folder.path()).expect("loaded"), checkpoint(1));
    checkpoint(2).save(folder.path()).expect("saved");
    assert_eq!(Checkpoint::load(folder.path()).expect("loaded"), checkpoint(2));
    assert_eq!(Checkpoint::load(&folder.path().join(PREVIOUS)).expect("loaded"), checkpoint(1));
    // As after a crash between the two renames.
    std::fs::remove_file(folder.path().join(FILE)).expect("removed");
    assert_eq!(Checkpoint::load(folder.path()).expect("loaded"), checkpoint(1));
    let names = std::fs::read_dir(folder.path()).expect("listed").count();
    assert_eq!(names, 1, "no temporary file stays");
}

#[test]
fn damage_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    checkpoint(7).save(folder.path()).expect("saved");
    let path = folder.path().join(FILE);
    let good = std::fs::read(&path).expect("read");
    let error = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("written");
        Checkpoint::load(&path).unwrap_err().to_string()
    };
    // The one before it is named where there is one.
    assert!(error(b"").contains("not a usable checkpoint") && !error(b"").contains(PREVIOUS));
    let previous = folder.path().join(PREVIOUS);
    std::fs::write(&previous, b"damaged as well").expect("written");
    assert!(error(b"").contains("not a usable checkpoint"));
    for cut in [1, good.len() / 2, good.len() - 1] {
        assert!(error(&good[..cut]).contains(PREVIOUS));
    }
    let own = Checkpoint::load(&previous).unwrap_err().to_string();
    assert!(own.contains("not a usable checkpoint") && !own.contains("rename"), "{own}");
    // A bit anywhere in the tensors, which lie at the end.
    for at in [good.len() - 1, good.len() - 300] {
        let mut bad = good.clone();
        bad[at] ^= 4;
        if bad[at..at + 1] != good[at..at + 1] {
            std::fs::write(&path, &bad).expect("written");
            match Checkpoint::load(&path) {
                // Padding between tensors means nothing.
                Ok(loaded) => assert_eq!(loaded, checkpoint(7)),
                Err(error) => assert!(error.to_string().contains("usable"), "{error}"),
            }
        }
    }
}

#[test]
fn a_checkpoint_that_cannot_be_written_leaves_the_earlier_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let nothing = checkpoint(1).save(&folder.path().join("none")).unwrap_err().to_string();
    assert!(!nothing.contains("still there"), "{nothing}");
    checkpoint(1).save(folder.path()).expect("saved");
    // A folder in the place of the temporary file makes the write fail on every system.
    std::fs::create_dir(folder.path().join(format!("{FILE}.tmp"))).expect("made");
    let error = checkpoint(2).save(folder.path()).unwrap_err().to_string();
    assert!(error.contains("still there"), "{error}");
    assert_eq!(Checkpoint::load(folder.path()).expect("loaded"), checkpoint(1));
    let error = checkpoint(2).save(&folder.path().join("none")).unwrap_err().to_string();
    assert!(error.contains("none"), "{error}");
}
