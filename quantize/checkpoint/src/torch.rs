//! What `torch.save` writes: a zip archive with a pickle and the bytes of its tensors beside it, or, before PyTorch 1.6,
//! pickles in a row with the bytes behind them.

use crate::pickle::{self, Node, Rebuild, Value, Values};
use crate::tensors::{Kind, Tensors};
use crate::{MAX_UNFOLDING, groups};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use zip::ZipArchive;

/// Objects that a pickle may have whatever the file's size is, and bytes of the file for each more: one takes some 50 bytes of
/// memory, and for every tensor there are about a dozen.
const OBJECTS: usize = 100_000;
const BYTES_AN_OBJECT: u64 = 16;
/// Bytes of a pickle that are read whatever the file's size is.
const PICKLE_BYTES: u64 = 1 << 16;
/// Keys that lead to a state dict: one of the file's own, and what a module keeps its parameters under.
const MAX_DEPTH: usize = 8;

/// Where a tensor's values are.
#[derive(Debug, Clone)]
struct Place {
    kind: Kind,
    key: String,
    /// Elements of the storage before the first.
    offset: u64,
    shape: Vec<usize>,
    strides: Vec<u64>,
}

pub(crate) fn read(file: File, bytes: u64, wanted: &dyn Fn(&str) -> bool) -> Result<Tensors, String> {
    let mut file = BufReader::new(file);
    let mut start = [0; 2];
    file.read_exact(&mut start).and_then(|()| file.rewind()).map_err(|e| e.to_string())?;
    let limits = Limits {
        bytes: bytes.saturating_mul(MAX_UNFOLDING).max(PICKLE_BYTES),
        objects: OBJECTS.saturating_add(usize::try_from(bytes / BYTES_AN_OBJECT).unwrap_or(usize::MAX)),
    };
    if &start == b"PK" { from_zip(file, &limits, wanted) } else { from_pickles(file, &limits, wanted) }
}

struct Limits {
    /// Of a pickle, and of all tensors together.
    bytes: u64,
    objects: usize,
}

fn from_zip(
    file: BufReader<File>,
    limits: &Limits,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Tensors, String> {
    let mut archive = ZipArchive::new(file).map_err(|e| e.to_string())?;
    let mut names = archive.file_names().filter_map(Result::ok).map(std::borrow::Cow::into_owned);
    let pickle = names.find(|name| name.ends_with("/data.pkl") || name == "data.pkl");
    let pickle = pickle.ok_or("it is an archive without data.pkl, so not of torch.save")?;
    drop(names);
    let folder = pickle.strip_suffix("data.pkl").unwrap_or_default().to_owned();
    if let Ok(mut order) = archive.by_name(&format!("{folder}byteorder")) {
        let mut text = String::new();
        let _ = (&mut order).take(16).read_to_string(&mut text);
        if text.trim() == "big" {
            return Err("its numbers have their highest byte first".into());
        }
    }
    let (top, values) = {
        let entry = archive.by_name(&pickle).map_err(|e| e.to_string())?;
        if entry.size() > limits.bytes {
            return Err("its pickle unfolds to many times the bytes of the file".into());
        }
        pickle::load(&mut BufReader::new(entry), limits.bytes, limits.objects)?
    };
    let by_storage = places(top, &values, limits, wanted)?;
    let mut tensors = Tensors::default();
    for (key, places) in by_storage {
        let entry = archive.by_name(&format!("{folder}data/{key}"));
        let entry = entry.map_err(|_| format!("the values of {} are missing", places[0].0))?;
        if entry.size() > limits.bytes {
            return Err(unfolds());
        }
        let mut storage = Vec::new();
        entry.take(limits.bytes).read_to_end(&mut storage).map_err(|e| e.to_string())?;
        for (name, place) in places {
            let values = place.values(&storage).ok_or_else(|| format!("{name} reaches beyond its values"))?;
            tensors.insert(name, place.shape, values);
        }
    }
    Ok(tensors)
}

fn from_pickles(
    mut file: BufReader<File>,
    limits: &Limits,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Tensors, String> {
    // A magic number, a version, facts about the machine; then what was saved, and the keys of its storages.
    for _ in 0..3 {
        pickle::load(&mut file, limits.bytes, limits.objects)?;
    }
    let (top, values) = pickle::load(&mut file, limits.bytes, limits.objects)?;
    let (keys, key_values) = pickle::load(&mut file, limits.bytes, limits.objects)?;
    let keys = key_values.tuple(keys).ok_or("it has no list of its storages")?;
    let sizes = storage_sizes(&values);
    let mut by_storage = places(top, &values, limits, wanted)?;
    let mut tensors = Tensors::default();
    for &key in keys {
        let key = key_values.text(key).unwrap_or_default();
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(|_| "it is cut off")?;
        let size = sizes.get(key).copied().ok_or("it has a storage that nothing is known of")?;
        let bytes = u64::from_le_bytes(length).checked_mul(size).filter(|&bytes| bytes <= limits.bytes);
        let bytes = bytes.ok_or_else(unfolds)?;
        let mut storage = Vec::new();
        let read = (&mut file).take(bytes).read_to_end(&mut storage).map_err(|e| e.to_string())?;
        if (read as u64) < bytes {
            return Err("it is cut off".into());
        }
        for (name, place) in by_storage.remove(key).unwrap_or_default() {
            let values = place.values(&storage).ok_or_else(|| format!("{name} reaches beyond its values"))?;
            tensors.insert(name, place.shape, values);
        }
    }
    match by_storage.into_values().flatten().next() {
        Some((name, _)) => Err(format!("the values of {name} are missing")),
        None => Ok(tensors),
    }
}

fn unfolds() -> String {
    format!("its tensors have more than {MAX_UNFOLDING} times the bytes of the file")
}

/// Where the float tensors of the chosen group are, by the storage that they are in.
fn places(
    top: Value,
    values: &Values,
    limits: &Limits,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<BTreeMap<String, Vec<(String, Place)>>, String> {
    let mut found = Vec::new();
    let mut budget = limits.objects;
    collect(top, values, &mut Vec::new(), &mut found, &mut budget);
    let (mut by_storage, mut total) = (BTreeMap::<String, Vec<(String, Place)>>::new(), 0_u64);
    for (name, value) in groups::choose(found) {
        let Some(place) = Place::of(value, values).filter(|_| wanted(&name)) else { continue };
        let elements = place.shape.iter().try_fold(1_u64, |n, &side| n.checked_mul(side as u64));
        let bytes = elements.and_then(|n| n.checked_mul(place.kind.bytes() as u64)).unwrap_or(u64::MAX);
        total = total.saturating_add(bytes);
        if total > limits.bytes {
            return Err(unfolds());
        }
        by_storage.entry(place.key.clone()).or_default().push((name, place));
    }
    Ok(by_storage)
}

/// All tensors below a value, with the keys that lead to them.
fn collect(
    value: Value,
    values: &Values,
    keys: &mut Vec<String>,
    found: &mut Vec<(Vec<String>, String, Value)>,
    budget: &mut usize,
) {
    let entries = match values.node(value) {
        Some(Node::Dict(entries)) => entries,
        // A whole module: its state is a dict.
        Some(Node::Object(state)) if keys.len() < MAX_DEPTH && *budget > 0 => {
            *budget -= 1;
            return collect_module(*state, values, "", keys, found, budget);
        }
        _ => return,
    };
    for &(key, value) in entries {
        if *budget == 0 {
            return;
        }
        *budget -= 1;
        let Some(key) = values.text(key) else { continue };
        match values.node(value) {
            Some(Node::Tensor(..)) => found.push((keys.clone(), key.to_owned(), value)),
            Some(Node::Dict(_) | Node::Object(_)) if keys.len() < MAX_DEPTH => {
                keys.push(key.to_owned());
                collect(value, values, keys, found, budget);
                keys.pop();
            }
            _ => {}
        }
    }
}

/// The parameters of a module and of those inside it, whose names are joined by dots.
fn collect_module(
    state: Value,
    values: &Values,
    prefix: &str,
    keys: &[String],
    found: &mut Vec<(Vec<String>, String, Value)>,
    budget: &mut usize,
) {
    let Some(Node::Dict(entries)) = values.node(state) else { return };
    for &(key, value) in entries {
        let (Some(key), Some(Node::Dict(inner))) = (values.text(key), values.node(value)) else { continue };
        for &(name, value) in inner {
            if *budget == 0 {
                return;
            }
            *budget -= 1;
            let Some(name) = values.text(name) else { continue };
            let name = format!("{prefix}{name}");
            match (key, values.node(value)) {
                ("_parameters" | "_buffers", Some(Node::Tensor(..))) => {
                    found.push((keys.to_vec(), name, value))
                }
                ("_modules", Some(Node::Object(state))) if name.matches('.').count() < MAX_DEPTH => {
                    collect_module(*state, values, &format!("{name}."), keys, found, budget);
                }
                _ => {}
            }
        }
    }
}

/// Bytes of an element of each storage that the values name, also of those without floats.
fn storage_sizes(values: &Values) -> BTreeMap<String, u64> {
    let mut sizes = BTreeMap::new();
    for id in values.storages() {
        if let Some([_, kind, key, ..]) = values.tuple(id)
            && let (Some(Node::Global(kind)), Some(key)) = (values.node(*kind), values.text(*key))
        {
            sizes.insert(key.to_owned(), element_bytes(kind));
        }
    }
    sizes
}

fn element_bytes(storage: &str) -> u64 {
    match storage.rsplit('.').next().unwrap_or_default() {
        "DoubleStorage" | "LongStorage" | "ComplexFloatStorage" => 8,
        "FloatStorage" | "IntStorage" => 4,
        "HalfStorage" | "BFloat16Storage" | "ShortStorage" => 2,
        "ComplexDoubleStorage" => 16,
        _ => 1,
    }
}

fn kind_of(name: &str) -> Option<Kind> {
    match name.rsplit('.').next().unwrap_or_default() {
        "FloatStorage" | "float32" | "float" => Some(Kind::F32),
        "DoubleStorage" | "float64" | "double" => Some(Kind::F64),
        "HalfStorage" | "float16" | "half" => Some(Kind::F16),
        "BFloat16Storage" | "bfloat16" => Some(Kind::BF16),
        _ => None,
    }
}

impl Place {
    /// `None` for tensors that are no floats, or make no sense.
    fn of(value: Value, values: &Values) -> Option<Self> {
        let Node::Tensor(arguments, rebuild) = values.node(value)? else { return None };
        let [storage, offset, shape, strides, ..] = arguments[..] else { return None };
        let Node::Storage(id) = values.node(storage)? else { return None };
        let [_, kind, key, ..] = *values.tuple(*id)? else { return None };
        let kind = match rebuild {
            Rebuild::Plain => kind,
            Rebuild::Typed => *arguments.get(6)?,
        };
        let Node::Global(kind) = values.node(kind)? else { return None };
        let number = |value: &Value| match value {
            Value::Int(n) => u64::try_from(*n).ok(),
            _ => None,
        };
        let all = |value| values.tuple(value)?.iter().map(number).collect::<Option<Vec<_>>>();
        let (shape, strides) = (all(shape)?, all(strides)?);
        let shape = shape.into_iter().map(|side| usize::try_from(side).ok()).collect::<Option<Vec<_>>>()?;
        let (kind, key, offset) = (kind_of(kind)?, values.text(key)?.to_owned(), number(&offset)?);
        (shape.len() == strides.len()).then_some(Self { kind, key, offset, shape, strides })
    }

    /// The values, in the order of the shape; `None` where they are not all there.
    fn values(&self, storage: &[u8]) -> Option<Vec<f32>> {
        let count: usize = self.shape.iter().product();
        if count == 0 {
            return Some(Vec::new());
        }
        // The last one tells whether all are there.
        let last = self.shape.iter().zip(&self.strides).try_fold(self.offset, |at, (&side, &stride)| {
            at.checked_add((side as u64 - 1).checked_mul(stride)?)
        })?;
        let size = self.kind.bytes() as u64;
        let end = last.checked_add(1)?.checked_mul(size)?;
        if end > storage.len() as u64 {
            return None;
        }
        let mut values = Vec::with_capacity(count);
        let mut index = vec![0; self.shape.len()];
        let mut at = self.offset;
        loop {
            values.push(self.kind.value(&storage[(at * size) as usize..]));
            // The next index, the last dimension first.
            let mut dimension = self.shape.len();
            loop {
                if dimension == 0 {
                    return Some(values);
                }
                dimension -= 1;
                index[dimension] += 1;
                at += self.strides[dimension];
                if index[dimension] < self.shape[dimension] {
                    break;
                }
                at -= self.strides[dimension] * self.shape[dimension] as u64;
                index[dimension] = 0;
            }
        }
    }
}
