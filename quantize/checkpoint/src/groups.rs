//! Which of the tensors in a file are the network's.

use std::collections::BTreeMap;

/// What trainers put in front of the names of a network's tensors, best first: averages of weights, then weights, then what
/// data-parallel training and compilers wrap them in.
const WRAPPERS: [&str; 18] = [
    "params_ema",
    "params-ema",
    "model_ema",
    "ema_model",
    "g_ema",
    "ema",
    "params",
    "state_dict",
    "model_state_dict",
    "model_state",
    "network_g",
    "net_g",
    "netG",
    "generator",
    "model",
    "net",
    "module",
    "_orig_mod",
];
/// How many of these are averages.
const AVERAGES: usize = 6;

/// How good a group is: averages before plain weights, and both before what is below keys that say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Average,
    Weights,
    Unknown,
}

/// Chooses one group of tensors and strips its names. An item is the keys that lead to a tensor, its name and what it is.
/// Tensors with the same wrappers, keys and prefixes alike, are a group; of equal ones the largest counts.
pub(crate) fn choose<T>(items: Vec<(Vec<String>, String, T)>) -> Vec<(String, T)> {
    let mut groups = BTreeMap::<(Rank, Vec<String>), Vec<_>>::new();
    for (mut keys, name, item) in items {
        let mut name = name.as_str();
        while let Some((wrapper, rest)) =
            name.split_once('.').filter(|(wrapper, _)| WRAPPERS.contains(wrapper))
        {
            keys.push(wrapper.to_owned());
            name = rest;
        }
        let place = |key: &String| WRAPPERS.iter().position(|wrapper| wrapper == key);
        let places: Vec<_> = keys.iter().map(place).collect();
        let rank = if places.contains(&None) {
            Rank::Unknown
        } else if places.iter().flatten().any(|&place| place < AVERAGES) {
            Rank::Average
        } else {
            Rank::Weights
        };
        // The wrappers of wrappers do not make another network.
        keys.retain(|key| !["module", "_orig_mod"].contains(&key.as_str()));
        groups.entry((rank, keys)).or_default().push((name.to_owned(), item));
    }
    let Some(best) = groups.keys().map(|(rank, _)| *rank).min() else { return Vec::new() };
    let of_best = groups.into_iter().filter(|((rank, _), _)| *rank == best);
    of_best.map(|(_, group)| group).max_by_key(Vec::len).unwrap_or_default()
}
