//! Window attention as ONNX operators, for one image size.
//!
//! The engine computes the rectangles between the lines `shift + k·window`. Here they are made as the published
//! code makes them: the image is rolled by the shift and cut into whole windows, and a mask parts what was not
//! adjacent.

use super::build::{Attribute, Builder};

/// Size of the image that is cut into windows, a multiple of them.
#[derive(Debug, Clone, Copy)]
pub struct Windows {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
}

/// An attention layer.
pub struct Layer<'a> {
    /// Channels written; three times as many are read.
    pub channels: usize,
    /// Heads.
    pub heads: usize,
    /// Window side.
    pub window: usize,
    /// Cyclic shift.
    pub shift: usize,
    /// `[(2·window − 1)², heads]`.
    pub bias: &'a [f32],
}

/// What a score that must not count is lowered by, as in the published code.
const MASKED: f32 = -100.0;

/// Adds the operators that turn the tensor `x`, `[1, H, W, 3·C]`, into `[1, H, W, C]`.
pub fn export(b: &mut Builder, name: &str, x: &str, size: Windows, layer: &Layer<'_>) -> String {
    let Layer { channels, heads, window, shift, .. } = *layer;
    let (rows, columns) = (size.height / window, size.width / window);
    let (keys, head) = (window * window, channels / heads);
    let x = roll(b, &format!("{name}.rolled"), x, shift, size);
    let parts = ["query", "key", "value"].map(|part| format!("{name}.{part}"));
    let channel_axis = [("axis", Attribute::Int(-1))];
    b.split(&[&parts[0], &parts[1], &parts[2]], "Split", &[&x], &channel_axis);
    let mut by_window = |part: &str, perm: [i64; 6], shape: [usize; 4]| {
        let cut = dims(b, &[rows, window, columns, window, heads, head]);
        let cut = b.node(&format!("{part}.cut"), "Reshape", &[part, &cut], &[]);
        let moved = [("perm", Attribute::Ints(&perm))];
        let moved = b.node(&format!("{part}.moved"), "Transpose", &[&cut], &moved);
        let shape = dims(b, &shape);
        b.node(&format!("{part}.windows"), "Reshape", &[&moved, &shape], &[])
    };
    let pixels = [rows * columns, heads, keys, head];
    let query = by_window(&parts[0], [0, 2, 4, 1, 3, 5], pixels);
    let key = by_window(&parts[1], [0, 2, 4, 5, 1, 3], [rows * columns, heads, head, keys]);
    let value = by_window(&parts[2], [0, 2, 4, 1, 3, 5], pixels);

    let scale = b.f32s(&format!("{name}.scale"), &[], &[1.0 / (head as f32).sqrt()]);
    let query = b.node(&format!("{name}.query.scaled"), "Mul", &[&query, &scale], &[]);
    let scores = b.node(&format!("{name}.scores"), "MatMul", &[&query, &key], &[]);
    let bias = b.f32s(&format!("{name}.position_bias"), &[1, heads, keys, keys], &position_bias(layer));
    let mut scores = b.node(&format!("{name}.scores.biased"), "Add", &[&scores, &bias], &[]);
    if shift > 0 {
        let mask = mask(b, layer, rows, columns);
        scores = b.node(&format!("{name}.scores.masked"), "Add", &[&scores, &mask], &[]);
    }
    let weights = b.node(&format!("{name}.softmax"), "Softmax", &[&scores], &channel_axis);
    let sums = b.node(&format!("{name}.sums"), "MatMul", &[&weights, &value], &[]);

    let cut = dims(b, &[rows, columns, heads, window, window, head]);
    let cut = b.node(&format!("{name}.sums.cut"), "Reshape", &[&sums, &cut], &[]);
    let back = [("perm", Attribute::Ints(&[0, 3, 1, 4, 2, 5]))];
    let back = b.node(&format!("{name}.sums.moved"), "Transpose", &[&cut], &back);
    let whole = dims(b, &[1, size.height, size.width, channels]);
    let whole = b.node(&format!("{name}.whole"), "Reshape", &[&back, &whole], &[]);
    unroll(b, &format!("{name}.unrolled"), &whole, shift, size)
}

fn dims(b: &mut Builder, dims: &[usize]) -> String {
    let dims: Vec<i64> = dims.iter().map(|&d| d as i64).collect();
    b.i64s(&dims)
}

/// Moves rows and columns up and left by `shift`, around the border.
fn roll(b: &mut Builder, name: &str, x: &str, shift: usize, size: Windows) -> String {
    let x = rotate(b, &format!("{name}.rows"), x, 1, shift, size.height);
    rotate(b, &format!("{name}.columns"), &x, 2, shift, size.width)
}

/// The reverse of [`roll`].
fn unroll(b: &mut Builder, name: &str, x: &str, shift: usize, size: Windows) -> String {
    let x = rotate(b, &format!("{name}.rows"), x, 1, (size.height - shift) % size.height, size.height);
    rotate(b, &format!("{name}.columns"), &x, 2, (size.width - shift) % size.width, size.width)
}

fn rotate(b: &mut Builder, name: &str, x: &str, axis: i64, by: usize, size: usize) -> String {
    if by == 0 {
        return x.to_string();
    }
    let axes = b.i64s(&[axis]);
    let mut part = |suffix: &str, from: usize, to: usize| {
        let (from, to) = (b.i64s(&[from as i64]), b.i64s(&[to as i64]));
        b.node(&format!("{name}.{suffix}"), "Slice", &[x, &from, &to, &axes], &[])
    };
    let (head, tail) = (part("head", 0, by), part("tail", by, size));
    b.node(name, "Concat", &[&tail, &head], &[("axis", Attribute::Int(axis))])
}

/// The table as `[heads, query, key]`.
fn position_bias(layer: &Layer<'_>) -> Vec<f32> {
    let Layer { heads, window, bias, .. } = *layer;
    let (side, keys) = (2 * window - 1, window * window);
    (0..heads * keys * keys)
        .map(|i| {
            let (h, q, k) = (i / (keys * keys), i / keys % keys, i % keys);
            let dy = q / window + window - 1 - k / window;
            let dx = q % window + window - 1 - k % window;
            bias[(dy * side + dx) * heads + h]
        })
        .collect()
}

/// `[windows, 1, query, key]`: [`MASKED`] between pixels that only rolling has brought together, which is in
/// the last row and column of windows. Gathered from the four kinds of windows, so that the file stays small.
fn mask(b: &mut Builder, layer: &Layer<'_>, rows: usize, columns: usize) -> String {
    let Layer { window, shift, .. } = *layer;
    let name = format!("mask.{window}.{shift}");
    if b.graph.node.iter().any(|node| node.output[0] == name) {
        return name;
    }
    let keys = window * window;
    let parted = |a: usize, b: usize| (a < window - shift) != (b < window - shift);
    let kinds: Vec<f32> = (0..4 * keys * keys)
        .map(|i| {
            let (kind, q, k) = (i / (keys * keys), i / keys % keys, i % keys);
            let (last_row, last_column) = (kind / 2 == 1, kind % 2 == 1);
            let apart = (last_row && parted(q / window, k / window))
                || (last_column && parted(q % window, k % window));
            if apart { MASKED } else { 0.0 }
        })
        .collect();
    let kinds = b.f32s(&format!("{name}.kinds"), &[4, 1, keys, keys], &kinds);
    let kind = |i: usize| 2 * i64::from(i / columns == rows - 1) + i64::from(i % columns == columns - 1);
    let of_window: Vec<i64> = (0..rows * columns).map(kind).collect();
    let of_window = b.i64s(&of_window);
    b.node(&name, "Gather", &[&kinds, &of_window], &[("axis", Attribute::Int(0))])
}
