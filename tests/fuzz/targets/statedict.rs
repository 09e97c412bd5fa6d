//! State dicts: names, shapes and a value for each tensor, one a line, such as `body.0.weight 8 3 3 3`. Whatever they are, they
//! are a network or refused.
#![no_main]

use mcir_checkpoint::Tensors;
use mcir_import::dict::{self, Options};
use mcir_runtime::model::Model;

/// Most values of a tensor, and of all.
const VALUES: [usize; 2] = [1 << 14, 1 << 18];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut tensors = Tensors::default();
    let mut left = VALUES[1];
    for (i, line) in String::from_utf8_lossy(data).lines().enumerate() {
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default().to_owned();
        let shape: Vec<usize> = words.filter_map(|word| word.parse().ok()).collect();
        let count = shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size));
        if let Some(count) = count.filter(|n| *n <= VALUES[0].min(left)) {
            left -= count;
            tensors.insert(name, shape, (0..count).map(|k| ((i + k) % 7) as f32 / 50.0 - 0.05).collect());
        }
    }
    for scale in [None, Some(2), Some(4)] {
        if let Ok(found) = dict::import(&tensors, &Options { scale, ..Options::default() }, "n") {
            // What the engine took is a model file.
            Model::from_bytes(found.model.to_bytes()).expect("its own output");
        }
    }
});
