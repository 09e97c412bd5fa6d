//! Rules that make a draft smaller and bring it to what the engine has. None changes what is computed, but for the order in
//! which floats are added up.

use super::{Conv, Draft, Node, Work, linear};
use mcir_runtime::model::Activation;
use std::collections::HashMap;

/// Applies all rules until none applies.
pub fn simplify(draft: &mut Draft) {
    without_concat(draft);
    // Every rule takes a node away or brings a change of scale nearer to the input, so this ends; the bound is for a mistake.
    for _ in 0..4 * draft.nodes.len() + 16 {
        if !(0..draft.nodes.len()).any(|i| step(draft, i)) {
            break;
        }
        sweep(draft);
    }
    sweep(draft);
}

/// The first rule that applies to a node.
fn step(draft: &mut Draft, i: usize) -> bool {
    nothing(draft, i)
        || choose(draft, i)
        || scale_of_sum(draft, i)
        || scale(draft, i)
        || scale_of_inputs(draft, i)
        || relu(draft, i)
        || gate(draft, i)
        || linear::join(draft, i)
}

/// Lets readers of `from` read `to`.
fn redirect(draft: &mut Draft, from: usize, to: usize) {
    draft.nodes.iter_mut().flat_map(|n| &mut n.inputs).filter(|i| **i == from).for_each(|i| *i = to);
    if draft.output == from {
        draft.output = to;
    }
}

/// Drops what changes nothing: scales of one, choosing all channels.
fn nothing(draft: &mut Draft, i: usize) -> bool {
    let is_nothing = match &draft.nodes[i].work {
        Work::Affine { scale, shift } => scale.iter().all(|s| *s == 1.0) && shift.iter().all(|s| *s == 0.0),
        Work::Conv(conv) => conv.chosen().is_some_and(|c| c.iter().copied().eq(0..conv.inputs())),
        _ => false,
    };
    if is_nothing {
        redirect(draft, i, draft.nodes[i].inputs[0]);
        // It reads nothing any more, so that it does not count as a reader.
        draft.nodes[i].inputs.clear();
        draft.nodes[i].work = Work::Input;
    }
    is_nothing
}

/// A choice of channels goes into the convolution before it, or into those behind it.
fn choose(draft: &mut Draft, i: usize) -> bool {
    let Work::Conv(conv) = &draft.nodes[i].work else { return false };
    let Some(chosen) = conv.chosen() else { return false };
    let (from, inputs) = (draft.nodes[i].inputs[0], conv.inputs());
    if let Work::Conv(before) = &draft.nodes[from].work
        && draft.is_read_once(from)
    {
        let ones = vec![1.0; chosen.len()];
        let joined = before.with_outputs(&chosen, &ones, &vec![0.0; chosen.len()]);
        let (name, input) = (draft.nodes[from].name.clone(), draft.nodes[from].inputs[0]);
        draft.nodes[i] =
            Node { name, work: Work::Conv(joined), inputs: vec![input], ..draft.nodes[i].clone() };
        return true;
    }
    let readers = draft.readers(i);
    let all = readers.iter().all(|&r| matches!(draft.nodes[r].work, Work::Conv(_)));
    if readers.is_empty() || !all || draft.output == i {
        return false;
    }
    for reader in readers {
        let Work::Conv(conv) = &mut draft.nodes[reader].work else { unreachable!("all are convolutions") };
        *conv = conv.with_inputs(&chosen, inputs);
        draft.nodes[reader].inputs = vec![from];
    }
    true
}

/// The same factor for all channels, and nothing added.
fn uniform(work: &Work) -> Option<f32> {
    let Work::Affine { scale, shift } = work else { return None };
    let factor = *scale.first()?;
    (scale.iter().all(|s| *s == factor) && shift.iter().all(|s| *s == 0.0)).then_some(factor)
}

/// `x + s·y` has its factor in the sum.
fn scale_of_sum(draft: &mut Draft, i: usize) -> bool {
    let Work::Add { scale } = draft.nodes[i].work else { return false };
    let inputs = draft.nodes[i].inputs.clone();
    let factor = |k: usize| uniform(&draft.nodes[inputs[k]].work).filter(|_| draft.is_read_once(inputs[k]));
    if let Some(factor) = factor(1) {
        draft.nodes[i].work = Work::Add { scale: scale * factor };
        draft.nodes[i].inputs[1] = draft.nodes[inputs[1]].inputs[0];
        return true;
    }
    match factor(0) {
        Some(factor) if scale == 1.0 => {
            draft.nodes[i].work = Work::Add { scale: factor };
            draft.nodes[i].inputs = vec![inputs[1], draft.nodes[inputs[0]].inputs[0]];
            true
        }
        _ => false,
    }
}

/// A change of scale joins the one before it or goes into the convolution before it; one that is the same for all channels
/// changes places with what does not mind.
fn scale(draft: &mut Draft, i: usize) -> bool {
    let Work::Affine { scale, shift } = draft.nodes[i].work.clone() else { return false };
    let from = draft.nodes[i].inputs[0];
    if !draft.is_read_once(from) {
        return false;
    }
    let before = draft.nodes[from].clone();
    let uniform = uniform(&draft.nodes[i].work);
    match (&before.work, uniform) {
        (Work::Affine { scale: s, shift: t }, _) => {
            let shift = scale.iter().zip(t).zip(&shift).map(|((a, t), b)| a * t + b).collect();
            let scale = scale.iter().zip(s).map(|(a, s)| a * s).collect();
            draft.nodes[i].work = Work::Affine { scale, shift };
            draft.nodes[i].inputs = before.inputs;
        }
        (Work::Conv(conv), _) if !conv.relu => {
            let all: Vec<usize> = (0..conv.bias.len()).collect();
            let joined = conv.with_outputs(&all, &scale, &shift);
            let Node { name, inputs, .. } = before;
            draft.nodes[i] = Node { name, work: Work::Conv(joined), inputs, ..draft.nodes[i].clone() };
        }
        (Work::LayerNorm { eps, weight, bias }, _) => {
            let bias = scale.iter().zip(bias).zip(&shift).map(|((a, t), b)| a * t + b).collect();
            let weight = scale.iter().zip(weight).map(|(a, s)| a * s).collect();
            draft.nodes[i].work = Work::LayerNorm { eps: *eps, weight, bias };
            draft.nodes[i].inputs = before.inputs;
        }
        (Work::Shuffle(_) | Work::Resize(..) | Work::Reduce(..), Some(factor)) => {
            exchange(draft, i, from, factor)
        }
        (
            Work::Activation(Activation::Relu | Activation::LeakyRelu { .. }) | Work::PRelu(_),
            Some(factor),
        ) if factor > 0.0 => {
            exchange(draft, i, from, factor);
        }
        (Work::Add { scale }, Some(factor)) => {
            // Both parts are scaled; the factor of the second stays where it is.
            let scale = *scale;
            let [a, b] = [before.inputs[0], before.inputs[1]].map(|part| (part, draft.nodes[part].channels));
            let affine =
                |channels: usize| Work::Affine { scale: vec![factor; channels], shift: vec![0.0; channels] };
            let name = draft.nodes[i].name.clone();
            let first = insert(draft, i, format!("{name}.a"), affine(a.1), a.0);
            let second = insert(draft, i + 1, format!("{name}.b"), affine(b.1), b.0);
            draft.nodes[i + 2].work = Work::Add { scale };
            draft.nodes[i + 2].inputs = vec![first, second];
        }
        _ => return false,
    }
    true
}

/// `s·f(x)` becomes `f(s·x)`.
fn exchange(draft: &mut Draft, i: usize, from: usize, factor: f32) {
    let input = draft.nodes[from].inputs[0];
    let channels = draft.nodes[input].channels;
    let affine = Work::Affine { scale: vec![factor; channels], shift: vec![0.0; channels] };
    let (name, work, label) =
        (draft.nodes[i].name.clone(), draft.nodes[from].work.clone(), draft.nodes[from].name.clone());
    let scaled = insert(draft, i, name, affine, input);
    draft.nodes[i + 1].work = work;
    draft.nodes[i + 1].name = label;
    draft.nodes[i + 1].inputs = vec![scaled];
}

/// Puts a node before node `at`; returns its number, `at`.
fn insert(draft: &mut Draft, at: usize, name: String, work: Work, input: usize) -> usize {
    for node in &mut draft.nodes {
        node.inputs.iter_mut().filter(|i| **i >= at).for_each(|i| *i += 1);
    }
    if draft.output >= at {
        draft.output += 1;
    }
    let Node { channels, size, margin, .. } = draft.nodes[input];
    draft.nodes.insert(at, Node { name, work, inputs: vec![input], channels, size, margin });
    at
}

/// Factors, with nothing added, go into the convolutions that read them: zeros around the image stay zeros.
fn scale_of_inputs(draft: &mut Draft, i: usize) -> bool {
    let Work::Affine { scale, shift } = draft.nodes[i].work.clone() else { return false };
    let readers = draft.readers(i);
    let all = readers.iter().all(|&r| matches!(draft.nodes[r].work, Work::Conv(_)));
    if shift.iter().any(|s| *s != 0.0) || readers.is_empty() || !all || draft.output == i {
        return false;
    }
    let from = draft.nodes[i].inputs[0];
    for reader in readers {
        let Work::Conv(conv) = &mut draft.nodes[reader].work else { unreachable!("all are convolutions") };
        let area = conv.kernel * conv.kernel;
        for rows in conv.weight.chunks_exact_mut(scale.len() * area) {
            let taps = rows.chunks_exact_mut(area).zip(&scale);
            taps.for_each(|(taps, scale)| taps.iter_mut().for_each(|w| *w *= scale));
        }
        draft.nodes[reader].inputs = vec![from];
    }
    true
}

/// A ReLU behind a convolution becomes a part of it.
fn relu(draft: &mut Draft, i: usize) -> bool {
    if draft.nodes[i].work != Work::Activation(Activation::Relu) {
        return false;
    }
    let from = draft.nodes[i].inputs[0];
    let before = draft.nodes[from].clone();
    match before.work {
        Work::Conv(conv) if draft.is_read_once(from) => {
            let work = Work::Conv(Conv { relu: true, ..conv });
            draft.nodes[i] =
                Node { work, inputs: before.inputs, name: before.name, ..draft.nodes[i].clone() };
            true
        }
        _ => false,
    }
}

/// A product of a value and its own (hard) sigmoid is a SiLU (hard swish).
fn gate(draft: &mut Draft, i: usize) -> bool {
    if draft.nodes[i].work != Work::Mul {
        return false;
    }
    let [a, b] = [draft.nodes[i].inputs[0], draft.nodes[i].inputs[1]];
    for (x, factor) in [(a, b), (b, a)] {
        let swish = match draft.nodes[factor].work {
            Work::Activation(Activation::Sigmoid) => Activation::Silu,
            Work::Activation(Activation::HardSigmoid { alpha, beta }) => {
                Activation::HardSwish { alpha, beta }
            }
            _ => continue,
        };
        if draft.nodes[factor].inputs[0] == x {
            draft.nodes[i].work = Work::Activation(swish);
            draft.nodes[i].inputs = vec![x];
            return true;
        }
    }
    false
}

/// A convolution of a concatenation is the sum of one for each part. Anything else gets the parts side by side from sums of
/// convolutions of 1x1 that put each in its place.
fn without_concat(draft: &mut Draft) {
    let mut done = Draft { nodes: Vec::new(), ..draft.clone() };
    // What became of each node: its parts, more than one only for a concatenation.
    let mut parts: Vec<Vec<usize>> = Vec::new();
    let mut whole: HashMap<usize, usize> = HashMap::new();
    let mut joined = |done: &mut Draft, parts: &[Vec<usize>], node: usize, name: &str| -> usize {
        if let [one] = parts[node][..] {
            return one;
        }
        *whole.entry(node).or_insert_with(|| {
            let total: usize = parts[node].iter().map(|&p| done.nodes[p].channels).sum();
            let mut first = 0;
            let mut sum = None;
            for (k, &part) in parts[node].iter().enumerate() {
                let channels = done.nodes[part].channels;
                let mut weight = vec![0.0; total * channels];
                (0..channels).for_each(|c| weight[(first + c) * channels + c] = 1.0);
                let conv = Conv { kernel: 1, weight, bias: vec![0.0; total], relu: false };
                let placed = done.push(format!("{name}.place{k}"), Work::Conv(conv), &[part]);
                sum = Some(match sum {
                    Some(sum) => {
                        done.push(format!("{name}.join{k}"), Work::Add { scale: 1.0 }, &[sum, placed])
                    }
                    None => placed,
                });
                first += channels;
            }
            sum.expect("a concatenation has parts")
        })
    };
    for node in &draft.nodes {
        let made = match &node.work {
            Work::Concat => {
                parts.push(node.inputs.iter().flat_map(|&i| parts[i].clone()).collect());
                continue;
            }
            Work::Conv(conv) if parts[node.inputs[0]].len() > 1 => {
                let mut first = 0;
                let mut sum = None;
                for (k, part) in parts[node.inputs[0]].clone().into_iter().enumerate() {
                    let channels = done.nodes[part].channels;
                    let conv = conv.part(first..first + channels, k == 0);
                    let term = done.push(format!("{}.{k}", node.name), Work::Conv(conv), &[part]);
                    sum = Some(match sum {
                        Some(sum) => {
                            done.push(format!("{}.sum{k}", node.name), Work::Add { scale: 1.0 }, &[sum, term])
                        }
                        None => term,
                    });
                    first += channels;
                }
                let sum = sum.expect("a concatenation has parts");
                match conv.relu {
                    true => {
                        done.push(format!("{}.relu", node.name), Work::Activation(Activation::Relu), &[sum])
                    }
                    false => sum,
                }
            }
            work => {
                let inputs: Vec<usize> =
                    node.inputs.iter().map(|&i| joined(&mut done, &parts, i, &node.name)).collect();
                done.push(node.name.clone(), work.clone(), &inputs)
            }
        };
        // The input has nothing before it that its channels would follow from.
        if let Work::Input = node.work {
            done.nodes[made] = node.clone();
        }
        parts.push(vec![made]);
    }
    done.output = joined(&mut done, &parts, draft.output, "output");
    *draft = done;
}

/// Drops nodes that nothing reads. The input stays.
fn sweep(draft: &mut Draft) {
    let mut used = vec![false; draft.nodes.len()];
    used[0] = true;
    used[draft.output] = true;
    for i in (0..draft.nodes.len()).rev() {
        if used[i] {
            draft.nodes[i].inputs.iter().for_each(|&input| used[input] = true);
        }
    }
    let mut number = vec![0; draft.nodes.len()];
    let mut count = 0;
    for (i, used) in used.iter().enumerate() {
        number[i] = count;
        count += usize::from(*used);
    }
    let mut keep = used.iter();
    draft.nodes.retain(|_| *keep.next().expect("one for each node"));
    draft.nodes.iter_mut().flat_map(|n| &mut n.inputs).for_each(|i| *i = number[*i]);
    draft.output = number[draft.output];
}
