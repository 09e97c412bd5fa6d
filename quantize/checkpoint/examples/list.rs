//! Names and shapes of the tensors in a checkpoint: `cargo run -p mcir-checkpoint --example list -- weights.pth`.

use std::io::Write;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in std::env::args_os().skip(1) {
        for (name, (shape, values)) in mcir_checkpoint::read(path.as_ref(), &|_| true)? {
            let sum: f64 = values.iter().map(|&v| f64::from(v)).sum();
            writeln!(std::io::stdout(), "{name} {shape:?} {sum:.4}")?;
        }
    }
    Ok(())
}
