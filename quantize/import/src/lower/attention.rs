//! Attention in windows, as exporters write SwinIR's: rows and columns are cut into windows by a reshape, perhaps of an image
//! that was rolled; queries meet keys in a product of matrices, to which a table of positions and a mask are added; a softmax,
//! and a product with the values. It becomes the engine's operator, which does all of this.
//!
//! The mask is checked against what the engine leaves out: pairs of pixels that the roll has put beside each other.

use super::{Lowering, Value, Why};
use crate::array::{self, Array};
use crate::draft::{Conv, NO_MARGIN, Ratio, Size, Work};
use crate::net::Layer;
use crate::view::{Of, Piece, View};

/// A mask at or below this leaves nothing of a softmax's term; SwinIR's has −100.
const MASKED: f64 = -50.0;

/// Scores of queries and keys, before a softmax or behind it: `[.., queries, keys]`.
#[derive(Debug, Clone)]
pub(super) struct Scores {
    /// `[.., queries, d]`
    queries: View,
    /// `[.., d, keys]`
    keys: View,
    /// The axes before those of queries and keys, as they are now.
    lead: View,
    /// Factor of the products.
    scale: f32,
    /// What is added: `[rows of windows, columns of windows, heads, queries, keys]`, with one where it is the same for all.
    added: Vec<Array>,
    soft: bool,
}

/// The parts of a view that is cut into windows.
struct Windows {
    side: usize,
    /// Rows and columns of windows.
    count: [usize; 2],
    heads: usize,
    /// Channels from one head to the next.
    head_step: usize,
    head: usize,
    /// Channels from one value of a head to the next.
    step: usize,
}

impl Lowering<'_> {
    /// What an operator makes of scores, or the scores that it makes; nothing if it does neither.
    pub(super) fn attention(
        &mut self,
        layer: &Layer,
        inputs: &[Option<Value>],
    ) -> Option<Result<Vec<Value>, Why>> {
        let operands = [0, 1].map(|k| inputs.get(k).and_then(Option::as_ref));
        let kept = |scores: Scores| Ok(vec![Value::Scores(Box::new(scores))]);
        match (layer.kind.as_str(), operands) {
            ("MatMul" | "FusedMatMul", [Some(Value::View(queries)), Some(Value::View(keys))]) => {
                let [turned, keys_turned] = ["transA", "transB"].map(|name| layer.int(name, 0) != 0);
                let swapped = |view: &View, swap: bool| if swap { last_two_swapped(view) } else { Some(view.clone()) };
                let (queries, keys) = (swapped(queries, turned)?, swapped(keys, keys_turned)?);
                let made = scores(&queries, &keys);
                Some(made.and_then(|made| kept(Scores { scale: layer.float("alpha", 1.0), ..made })))
            }
            ("MatMul", [Some(Value::Scores(scores)), Some(Value::View(values))]) if scores.soft => {
                Some(self.attend(layer, scores, values))
            }
            ("Identity" | "Dropout" | "Cast", [Some(Value::Scores(scores)), _]) => Some(kept((**scores).clone())),
            (
                "Add",
                [Some(Value::Scores(scores)), Some(Value::Constant(added))]
                | [Some(Value::Constant(added)), Some(Value::Scores(scores))],
            ) if !scores.soft => Some(scores.plus(added).and_then(kept)),
            ("Mul" | "Div", [Some(Value::Scores(scores)), Some(Value::Constant(by))])
                if !scores.soft && scores.added.is_empty() =>
            {
                let by = by.scalar()? as f32;
                let by = if layer.kind == "Div" { 1.0 / by } else { by };
                Some(kept(Scores { scale: scores.scale * by, ..(**scores).clone() }))
            }
            ("Reshape", [Some(Value::Scores(scores)), Some(Value::Constant(to))]) => {
                Some(scores.reshape(&to.ints()).and_then(kept))
            }
            ("Unsqueeze" | "Squeeze", [Some(Value::Scores(scores)), axes]) => {
                let axes = match axes {
                    Some(Value::Constant(axes)) => Some(axes),
                    _ => None,
                };
                let axes = super::fold::axes(layer, axes)?;
                let lead = match layer.kind.as_str() {
                    "Squeeze" => scores.lead.squeeze(Some(&axes)),
                    _ => scores.lead.unsqueeze(&axes),
                };
                let inside = axes.iter().all(|axis| *axis >= 0);
                let lead = lead.filter(|_| inside).ok_or_else(|| "it moves the scores of an attention".to_string());
                Some(lead.and_then(|lead| kept(Scores { lead, ..(**scores).clone() })))
            }
            ("Softmax", [Some(Value::Scores(scores)), _]) if !scores.soft => {
                let last = scores.lead.axes.len() + 1;
                match array::index(layer.int("axis", -1), last + 1) == Some(last) {
                    true => Some(kept(Scores { soft: true, ..(**scores).clone() })),
                    false => Some(Err("its softmax is not over the keys".into())),
                }
            }
            (_, [Some(Value::Scores(_)), _] | [_, Some(Value::Scores(_))]) => Some(Err(
                "it does something else to the scores of an attention than scaling, adding a table of positions and a mask, and a \
                 softmax"
                    .into(),
            )),
            _ => None,
        }
    }

    fn attend(&mut self, layer: &Layer, scores: &Scores, values: &View) -> Result<Vec<Value>, Why> {
        let Scores { queries, keys, lead, scale, added, .. } = scores;
        let keys = last_two_swapped(keys).ok_or("its keys have no order of axes that is known")?;
        let views = [queries, &keys, values];
        let windows = views.map(|view| self.windows(view));
        let [Some(q), Some(k), Some(v)] = &windows else {
            return Err("it attends to something else than the pixels of square windows of an image, in heads of channels; \
                        SwinIR's attention is done"
                .into());
        };
        let alike = |w: &Windows| (w.side, w.count, w.heads, w.head) == (q.side, q.count, q.heads, q.head);
        let same_windows = alike(k) && alike(v) && lead_of(values).axes.len() == lead.axes.len();
        if !same_windows || views.iter().any(|view| view.roll != queries.roll || view.origin != [0; 2]) {
            return Err("its queries, keys and values are of different windows".into());
        }
        let [shift, across] = queries.roll;
        if shift != across || shift >= q.side {
            return Err(format!(
                "the image is rolled by {shift} rows and {across} columns; the same, less than a window, is done"
            ));
        }
        let nodes = views.map(|view| view.node);
        let whole = |&node: &usize| {
            let node = &self.draft.nodes[node];
            node.margin == NO_MARGIN && matches!(node.size, Size::Times(Ratio { of: 1, .. }))
        };
        if self.extended > 0 || !nodes.iter().all(whole) {
            return Err("it attends to an image that is cropped, extended or pooled".into());
        }
        let table = table(added, q, shift)?;
        let source = self.heads(layer, views, [q, k, v], nodes)?;
        // The engine divides by the root of a head's channels itself.
        let factor = scale * queries.factor.value() * keys.factor.value() * (q.head as f32).sqrt();
        let (channels, plain) = (q.heads * q.head, (factor - 1.0).abs() < 1e-6);
        let source = match plain {
            true => source,
            false => {
                let mut scale = vec![factor; channels];
                scale.resize(3 * channels, 1.0);
                let shift = vec![0.0; 3 * channels];
                self.push(layer, Work::Affine { scale, shift }, &[source])
            }
        };
        let work = Work::Attention { heads: q.heads, window: q.side, shift, table };
        let mut node = self.push(layer, work, &[source]);
        if values.factor.value() != 1.0 {
            let (scale, shift) = (vec![values.factor.value(); channels], vec![0.0; channels]);
            node = self.push(layer, Work::Affine { scale, shift }, &[node]);
        }
        // Where the queries were, in heads that lie behind each other.
        let piece = |p: &Piece| match p.of {
            Of::Channel(_) => Piece { of: Of::Channel(q.head), ..*p },
            _ => *p,
        };
        let mut axes: Vec<Vec<Piece>> =
            lead.axes.iter().map(|axis| axis.iter().map(piece).collect()).collect();
        let rank = queries.axes.len();
        axes.push(queries.axes[rank - 2].clone());
        axes.push(if q.head == 1 { Vec::new() } else { vec![Piece { size: q.head, of: Of::Channel(1) }] });
        Ok(vec![Value::View(View { axes, roll: queries.roll, ..View::of(node) })])
    }

    /// Queries, keys and values behind each other, in heads that lie behind each other.
    fn heads(
        &mut self,
        layer: &Layer,
        views: [&View; 3],
        windows: [&Windows; 3],
        nodes: [usize; 3],
    ) -> Result<usize, Why> {
        let same = nodes.iter().all(|node| *node == nodes[0]);
        let mut first = 0;
        let mut chosen = Vec::new();
        for (k, (view, w)) in views.iter().zip(windows).enumerate() {
            for (head, i) in (0..w.heads).flat_map(|head| (0..w.head).map(move |i| (head, i))) {
                chosen.push(first + view.first + head * w.head_step + i * w.step);
            }
            if !same {
                first += self.draft.nodes[nodes[k]].channels;
            }
        }
        let source = if same { nodes[0] } else { self.push(layer, Work::Concat, &nodes) };
        let inputs = self.draft.nodes[source].channels;
        if chosen.iter().copied().eq(0..inputs) {
            return Ok(source);
        }
        self.spend(chosen.len(), inputs)?;
        let name = format!("{}.heads", layer.name);
        Ok(self.draft.push(name, Work::Conv(Conv::select(&chosen, inputs)), &[source]))
    }

    /// The windows of `[.., pixels of a window, channels of a head]`.
    fn windows(&self, view: &View) -> Option<Windows> {
        let [_, height, width] = self.sizes(view.node);
        let [lead @ .., pixels, channels] = &view.axes[..] else { return None };
        let &[Piece { size: side, of: Of::Row(1) }, Piece { size: across, of: Of::Column(1) }] = &pixels[..]
        else {
            return None;
        };
        let (head, step) = match channels[..] {
            [] => (1, 1),
            [Piece { size, of: Of::Channel(step) }] => (size, step),
            _ => return None,
        };
        let (mut count, mut heads) = ([1; 2], (1, head));
        for piece in lead.iter().flatten() {
            match piece.of {
                Of::Row(apart) if apart == side && count[0] == 1 => count[0] = piece.size,
                Of::Column(apart) if apart == side && count[1] == 1 => count[1] = piece.size,
                Of::Channel(apart) if heads.0 == 1 => heads = (piece.size, apart),
                _ => return None,
            }
        }
        let fits = side == across && [height, width] == count.map(|count| count * side);
        fits.then_some(Windows { side, count, heads: heads.0, head_step: heads.1, head, step })
    }
}

/// Scores of queries `[.., n, d]` and keys `[.., d, m]`.
fn scores(queries: &View, keys: &View) -> Result<Scores, Why> {
    let (q, k) = (queries.dims(), keys.dims());
    let rank = q.len();
    if rank < 3 || k.len() != rank || q[..rank - 2] != k[..rank - 2] || q[rank - 1] != k[rank - 2] {
        return Err(format!(
            "it multiplies matrices of the sizes {q:?} and {k:?} that both come from the image; the attention of square windows \
             is done"
        ));
    }
    let lead = lead_of(queries);
    Ok(Scores {
        queries: queries.clone(),
        keys: keys.clone(),
        lead,
        scale: 1.0,
        added: Vec::new(),
        soft: false,
    })
}

/// With its last two axes in the other order.
fn last_two_swapped(view: &View) -> Option<View> {
    let rank = view.axes.len();
    let mut order: Vec<usize> = (0..rank).collect();
    order.swap(rank.checked_sub(2)?, rank - 1);
    view.transpose(&order)
}

/// Without its last two axes.
fn lead_of(view: &View) -> View {
    View { axes: view.axes[..view.axes.len() - 2].to_vec(), ..view.clone() }
}

impl Scores {
    /// Queries and keys of a window.
    fn pixels(&self) -> [usize; 2] {
        let (q, k) = (self.queries.dims(), self.keys.dims());
        [q[q.len() - 2], k[k.len() - 1]]
    }

    fn reshape(&self, target: &[i64]) -> Result<Self, Why> {
        let why = || Why::from("it cuts the scores of an attention apart");
        let [n, m] = self.pixels();
        let dims = [&self.lead.dims()[..], &[n, m]].concat();
        let resolved = array::product(&dims).and_then(|count| array::resolve(target, &dims, count));
        let resolved = resolved.filter(|to| to.len() >= 2 && to.ends_with(&[n, m])).ok_or_else(why)?;
        let to: Vec<i64> = resolved[..resolved.len() - 2].iter().map(|&d| d as i64).collect();
        let lead = self.lead.reshape(&to).ok_or_else(why)?;
        Ok(Self { lead, ..self.clone() })
    }

    /// With a constant added, which is brought to axes of its own for rows and columns of windows, and heads.
    fn plus(&self, added: &Array) -> Result<Self, Why> {
        let why = || Why::from("what it adds to the scores of an attention has other sizes than these");
        let [n, m] = self.pixels();
        let dims = [&self.lead.dims()[..], &[n, m]].concat();
        let missing = dims.len().checked_sub(added.dims.len()).ok_or_else(why)?;
        let given = [&vec![1; missing][..], &added.dims].concat();
        if given.iter().zip(&dims).any(|(given, size)| given != size && *given != 1) {
            return Err(why());
        }
        // Each piece of an axis as an axis.
        let mut sizes = Vec::new();
        let mut order = [None; 3];
        for (axis, &given) in self.lead.axes.iter().zip(&given) {
            for piece in axis {
                let kind = match piece.of {
                    Of::Row(_) => 0,
                    Of::Column(_) => 1,
                    Of::Channel(_) | Of::Repeat => 2,
                };
                if order[kind].replace(sizes.len()).is_some() {
                    return Err(
                        "the scores of an attention are cut otherwise than in windows and heads".into()
                    );
                }
                sizes.push(if given == 1 { 1 } else { piece.size });
            }
        }
        let places = order.map(|place| {
            place.unwrap_or_else(|| {
                sizes.push(1);
                sizes.len() - 1
            })
        });
        let last = sizes.len();
        sizes.extend(&given[dims.len() - 2..]);
        let whole = Array { dims: sizes, ..added.clone() };
        let all = [&places[..], &[last, last + 1]].concat();
        let mut scores = self.clone();
        scores.added.push(whole.transpose(&all).ok_or_else(why)?);
        Ok(scores)
    }
}

/// The table of positions, `[(2·side − 1)², heads]`, from what is added to the scores; what belongs to pairs of pixels that the
/// engine does not compare must be a mask.
fn table(added: &[Array], w: &Windows, shift: usize) -> Result<Vec<f32>, Why> {
    /// The engine's limit.
    const MOST: usize = 16;
    if w.side > MOST {
        return Err(format!("its windows have {} pixels a side; {MOST} are done", w.side));
    }
    let (side, span) = (w.side, 2 * w.side - 1);
    let mut table = vec![None; span * span * w.heads];
    let at = |place: [usize; 5]| -> f64 {
        let value = |array: &Array| {
            let index = place.iter().zip(&array.dims).fold(0, |at, (&i, &size)| at * size + i.min(size - 1));
            array.values[index]
        };
        added.iter().map(value).sum()
    };
    // Pixels that came around the border, of the last windows.
    let around = |window: usize, count: usize, at: usize| window + 1 == count && at + shift >= side;
    // Where it is the same for all windows, the first and the last ones are all there are.
    let checked = [0, 1].map(|side| {
        let last = w.count[side] - 1;
        let same = added.iter().all(|array| array.dims[side] == 1);
        if same { (0..=last).step_by(last.max(1)).collect::<Vec<_>>() } else { (0..=last).collect() }
    });
    for (&row, &column) in
        checked[0].iter().flat_map(|row| checked[1].iter().map(move |column| (row, column)))
    {
        let region = |(y, x): (usize, usize)| (around(row, w.count[0], y), around(column, w.count[1], x));
        for (i, j) in (0..side * side).flat_map(|i| (0..side * side).map(move |j| (i, j))) {
            let [(y, x), (ky, kx)] = [i, j].map(|pixel| (pixel / side, pixel % side));
            let entry = (y + side - 1 - ky) * span + x + side - 1 - kx;
            for head in 0..w.heads {
                let found = at([row, column, head, i, j]);
                if region((y, x)) != region((ky, kx)) {
                    if found > MASKED {
                        return Err(format!(
                            "its mask lets pixels see each other that a roll by {shift} has put into one window (window {row}, \
                             {column}); SwinIR's does not"
                        ));
                    }
                    continue;
                }
                let known = table[entry * w.heads + head].get_or_insert(found);
                if (*known - found).abs() > 1e-6 * known.abs().max(1.0) {
                    return Err(format!(
                        "what it adds to its scores does not only depend on how far two pixels lie apart (window {row}, {column}); \
                         a table of relative positions, and the mask of shifted windows, are done"
                    ));
                }
            }
        }
    }
    Ok(table.into_iter().map(|found| found.unwrap_or(0.0) as f32).collect())
}
