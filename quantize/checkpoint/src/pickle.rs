//! Pickles, as far as they make up tensors: a machine that builds values and calls nothing.
//!
//! Values lie in one list and refer to each other by number, so that neither depth nor circles matter. Their number is
//! limited before they are made.

use std::collections::HashMap;
use std::io::Read;

/// A value, or where it is in [`Values`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    /// Everything that no tensor needs: None, floats, long numbers.
    Nothing,
    Bool(bool),
    Int(i64),
    At(u32),
}

/// What a [`Value::At`] is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Text(String),
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// A name in a module, which is never looked up.
    Global(String),
    /// What a call gives whose function is known, and its arguments.
    Tensor(Vec<Value>, Rebuild),
    /// What stands for bytes elsewhere.
    Storage(Value),
    /// Anything else, with the state that it was given.
    Object(Value),
}

/// The functions that make tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rebuild {
    /// Storage, offset, shape, strides.
    Plain,
    /// The same, with the type in the seventh argument.
    Typed,
}

/// All values of a pickle.
#[derive(Debug, Default)]
pub(crate) struct Values {
    nodes: Vec<Node>,
    limit: usize,
}

impl Values {
    pub fn node(&self, value: Value) -> Option<&Node> {
        match value {
            Value::At(index) => self.nodes.get(index as usize),
            _ => None,
        }
    }

    pub fn text(&self, value: Value) -> Option<&str> {
        match self.node(value)? {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn tuple(&self, value: Value) -> Option<&[Value]> {
        match self.node(value)? {
            Node::Tuple(values) | Node::List(values) => Some(values),
            _ => None,
        }
    }

    /// What stands for the bytes of tensors, each with how it is named.
    pub fn storages(&self) -> impl Iterator<Item = Value> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Storage(id) => Some(*id),
            _ => None,
        })
    }

    fn add(&mut self, node: Node) -> Result<Value, String> {
        if self.nodes.len() >= self.limit {
            return Err(format!("its pickle has more than {} objects, too many for its size", self.limit));
        }
        self.nodes.push(node);
        Ok(Value::At((self.nodes.len() - 1) as u32))
    }
}

/// Entries of the stack: values and the marks between them.
#[derive(Debug, Clone, Copy)]
enum Entry {
    Value(Value),
    Mark,
}

struct Machine<'a, R> {
    input: &'a mut R,
    values: Values,
    stack: Vec<Entry>,
    memo: HashMap<u64, Value>,
    bytes_left: u64,
}

/// Reads one pickle of at most `max_bytes` with at most `max_objects` values.
pub(crate) fn load(
    input: &mut impl Read,
    max_bytes: u64,
    max_objects: usize,
) -> Result<(Value, Values), String> {
    let values = Values { nodes: Vec::new(), limit: max_objects.min(u32::MAX as usize) };
    let mut machine =
        Machine { input, values, stack: Vec::new(), memo: HashMap::new(), bytes_left: max_bytes };
    let value = machine.run()?;
    Ok((value, machine.values))
}

impl<R: Read> Machine<'_, R> {
    fn run(&mut self) -> Result<Value, String> {
        loop {
            let [code] = self.take()?;
            match code {
                0x80 => drop(self.take::<1>()?),
                0x95 => drop(self.take::<8>()?),
                b'.' => return self.pop(),
                b'(' => self.enter(Entry::Mark)?,
                b'0' => {
                    self.stack.pop().ok_or("its pickle takes from an empty stack")?;
                }
                b'1' => drop(self.take_to_mark()?),
                b'2' => {
                    let top = self.pop()?;
                    self.push(top)?;
                    self.push(top)?;
                }
                b'N' => self.push(Value::Nothing)?,
                0x88 => self.push(Value::Bool(true))?,
                0x89 => self.push(Value::Bool(false))?,
                b'J' => {
                    let number = i32::from_le_bytes(self.take()?);
                    self.push(Value::Int(number.into()))?;
                }
                b'K' => {
                    let [number] = self.take()?;
                    self.push(Value::Int(number.into()))?;
                }
                b'M' => {
                    let number = u16::from_le_bytes(self.take()?);
                    self.push(Value::Int(number.into()))?;
                }
                b'I' | b'L' => {
                    let line = self.line()?;
                    let text = line.trim_end_matches('L');
                    let value = match (code, text) {
                        (b'I', "00") => Value::Bool(false),
                        (b'I', "01") => Value::Bool(true),
                        _ => text.parse().map_or(Value::Nothing, Value::Int),
                    };
                    self.push(value)?;
                }
                0x8a | 0x8b => {
                    let length = if code == 0x8a {
                        let [length] = self.take()?;
                        length.into()
                    } else {
                        u32::from_le_bytes(self.take()?).into()
                    };
                    let bytes = self.bytes(length)?;
                    self.push(long(&bytes))?;
                }
                b'F' => {
                    self.line()?;
                    self.push(Value::Nothing)?;
                }
                b'G' => {
                    self.take::<8>()?;
                    self.push(Value::Nothing)?;
                }
                b'S' | b'V' => {
                    let line = self.line()?;
                    self.make(Node::Text(line.trim_matches(['\'', '"']).to_owned()))?;
                }
                b'T' | b'X' | b'B' => {
                    let length = u32::from_le_bytes(self.take()?);
                    self.text(length.into())?;
                }
                b'U' | 0x8c | b'C' => {
                    let [length] = self.take()?;
                    self.text(length.into())?;
                }
                0x8d | 0x8e | 0x96 => {
                    let length = u64::from_le_bytes(self.take()?);
                    self.text(length)?;
                }
                b']' => self.make(Node::List(Vec::new()))?,
                b'}' => self.make(Node::Dict(Vec::new()))?,
                b')' => self.make(Node::Tuple(Vec::new()))?,
                0x8f => self.make(Node::Object(Value::Nothing))?,
                b'l' => {
                    let values = self.take_to_mark()?;
                    self.make(Node::List(values))?;
                }
                b't' => {
                    let values = self.take_to_mark()?;
                    self.make(Node::Tuple(values))?;
                }
                0x91 => {
                    self.take_to_mark()?;
                    self.make(Node::Object(Value::Nothing))?;
                }
                0x85..=0x87 => {
                    let mut values = Vec::new();
                    for _ in 0x85..=code {
                        values.push(self.pop()?);
                    }
                    values.reverse();
                    self.make(Node::Tuple(values))?;
                }
                b'd' => {
                    let values = self.take_to_mark()?;
                    self.make(Node::Dict(pairs(&values)))?;
                }
                b'a' => {
                    let value = self.pop()?;
                    self.extend(&[value])?;
                }
                b'e' | 0x90 => {
                    let values = self.take_to_mark()?;
                    self.extend(&values)?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.set(&[key, value])?;
                }
                b'u' => {
                    let values = self.take_to_mark()?;
                    self.set(&values)?;
                }
                b'g' | b'p' => {
                    let line = self.line()?;
                    let index = line.parse().map_err(|_| "its pickle has a number that is none")?;
                    if code == b'g' { self.get(index)? } else { self.put(index)? }
                }
                b'h' | b'q' => {
                    let [index] = self.take()?;
                    if code == b'h' { self.get(index.into())? } else { self.put(index.into())? }
                }
                b'j' | b'r' => {
                    let index = u32::from_le_bytes(self.take()?).into();
                    if code == b'j' { self.get(index)? } else { self.put(index)? }
                }
                0x94 => self.put(self.memo.len() as u64)?,
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.make(Node::Global(format!("{module}.{name}")))?;
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let word = |value| self.values.text(value).unwrap_or_default();
                    let global = format!("{}.{}", word(module), word(name));
                    self.make(Node::Global(global))?;
                }
                b'R' | 0x81 => {
                    let (arguments, function) = (self.pop()?, self.pop()?);
                    self.call(function, arguments)?;
                }
                0x92 => {
                    let (_, arguments, function) = (self.pop()?, self.pop()?, self.pop()?);
                    self.call(function, arguments)?;
                }
                b'b' => {
                    let state = self.pop()?;
                    if let Some(Entry::Value(Value::At(index))) = self.stack.last()
                        && let Some(Node::Object(of)) = self.values.nodes.get_mut(*index as usize)
                    {
                        *of = state;
                    }
                }
                b'Q' => {
                    let id = self.pop()?;
                    self.make(Node::Storage(id))?;
                }
                other => {
                    return Err(format!(
                        "its pickle has the code {other:#04x}, which saves of tensors do not"
                    ));
                }
            }
        }
    }

    /// What a call gives: only those that make tensors and their parts mean anything, and nothing is called.
    fn call(&mut self, function: Value, arguments: Value) -> Result<(), String> {
        let name = match self.values.node(function) {
            Some(Node::Global(name)) => name.as_str(),
            _ => "",
        };
        let values = self.values.tuple(arguments).unwrap_or_default();
        match name {
            "collections.OrderedDict" | "builtins.dict" | "__builtin__.dict" | "collections.defaultdict" => {
                let of_pairs = values.first().and_then(|&list| self.values.tuple(list)).unwrap_or_default();
                let pair = |&pair: &Value| match self.values.tuple(pair)? {
                    [key, value] => Some((*key, *value)),
                    _ => None,
                };
                let pairs = of_pairs.iter().filter_map(pair).collect();
                self.make(Node::Dict(pairs))
            }
            "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor" => {
                let values = values.iter().take(4).copied().collect();
                self.make(Node::Tensor(values, Rebuild::Plain))
            }
            "torch._utils._rebuild_tensor_v3" => {
                let values = values.iter().take(7).copied().collect();
                self.make(Node::Tensor(values, Rebuild::Typed))
            }
            // The tensor that a parameter is.
            "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state" => {
                let tensor = values.first().copied().unwrap_or(Value::Nothing);
                self.push(tensor)
            }
            // A subclass: the function that makes its tensor, its class, and the arguments.
            "torch._tensor._rebuild_from_type_v2" => match *values {
                // Not one that leads here again, as deep as somebody likes.
                [function, _, arguments, ..] if !matches!(self.values.node(function), Some(Node::Global(name)) if name.ends_with("type_v2")) => {
                    self.call(function, arguments)
                }
                _ => self.make(Node::Object(Value::Nothing)),
            },
            "torch.Size" => self.push(values.first().copied().unwrap_or(Value::Nothing)),
            _ => self.make(Node::Object(Value::Nothing)),
        }
    }

    fn make(&mut self, node: Node) -> Result<(), String> {
        let value = self.values.add(node)?;
        self.push(value)
    }

    fn push(&mut self, value: Value) -> Result<(), String> {
        self.enter(Entry::Value(value))
    }

    fn enter(&mut self, entry: Entry) -> Result<(), String> {
        if self.stack.len() >= self.values.limit {
            return Err(format!(
                "its pickle has more than {} objects, too many for its size",
                self.values.limit
            ));
        }
        self.stack.push(entry);
        Ok(())
    }

    fn pop(&mut self) -> Result<Value, String> {
        match self.stack.pop() {
            Some(Entry::Value(value)) => Ok(value),
            _ => Err("its pickle takes from an empty stack".into()),
        }
    }

    /// Everything above the last mark, which goes too.
    fn take_to_mark(&mut self) -> Result<Vec<Value>, String> {
        let mark = self.stack.iter().rposition(|entry| matches!(entry, Entry::Mark));
        let above = self.stack.split_off(mark.ok_or("its pickle has no mark where one is needed")?);
        let value = |entry| match entry {
            Entry::Value(value) => Some(value),
            Entry::Mark => None,
        };
        Ok(above.into_iter().filter_map(value).collect())
    }

    fn top(&mut self) -> Result<Option<&mut Node>, String> {
        match self.stack.last() {
            Some(Entry::Value(Value::At(index))) => Ok(self.values.nodes.get_mut(*index as usize)),
            Some(Entry::Value(_)) => Ok(None),
            _ => Err("its pickle takes from an empty stack".into()),
        }
    }

    fn extend(&mut self, more: &[Value]) -> Result<(), String> {
        if let Some(Node::List(values)) = self.top()? {
            values.extend(more);
        }
        Ok(())
    }

    fn set(&mut self, more: &[Value]) -> Result<(), String> {
        if let Some(Node::Dict(entries)) = self.top()? {
            entries.extend(pairs(more));
        }
        Ok(())
    }

    fn get(&mut self, index: u64) -> Result<(), String> {
        let value = self.memo.get(&index).copied();
        self.push(value.ok_or("its pickle refers to what is not there")?)
    }

    fn put(&mut self, index: u64) -> Result<(), String> {
        let top = self.pop()?;
        if self.memo.len() >= self.values.limit {
            return Err(format!(
                "its pickle has more than {} objects, too many for its size",
                self.values.limit
            ));
        }
        self.memo.insert(index, top);
        self.push(top)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.spend(N as u64)?;
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes).map_err(|_| "its pickle is cut off")?;
        Ok(bytes)
    }

    fn bytes(&mut self, length: u64) -> Result<Vec<u8>, String> {
        self.spend(length)?;
        let mut bytes = Vec::new();
        let read = (&mut *self.input).take(length).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        if (read as u64) < length { Err("its pickle is cut off".into()) } else { Ok(bytes) }
    }

    fn spend(&mut self, bytes: u64) -> Result<(), String> {
        let left = self.bytes_left.checked_sub(bytes);
        self.bytes_left = left.ok_or("its pickle unfolds to many times the bytes of the file")?;
        Ok(())
    }

    fn text(&mut self, length: u64) -> Result<(), String> {
        let bytes = self.bytes(length)?;
        self.make(Node::Text(String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = Vec::new();
        loop {
            match self.take()? {
                [b'\n'] => return Ok(String::from_utf8_lossy(&line).trim_end().to_owned()),
                [byte] => line.push(byte),
            }
        }
    }
}

fn pairs(values: &[Value]) -> Vec<(Value, Value)> {
    values.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

/// A number of any length in two's complement.
fn long(bytes: &[u8]) -> Value {
    if bytes.len() > 8 {
        return Value::Nothing;
    }
    let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
    let mut all = [if negative { 0xff } else { 0 }; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(all))
}
