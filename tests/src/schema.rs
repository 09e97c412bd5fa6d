//! What programs print, held against `tests/schemas/`: JSON Schema, as far as those files use it. Anything else in them is an error, so
//! that nothing in a schema goes unchecked.
//!
//! Test programs of several crates include this file.

use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Words of JSON Schema that are checked, and those that only describe.
const WORDS: [&str; 14] = [
    "$schema",
    "title",
    "description",
    "type",
    "const",
    "enum",
    "anyOf",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "minItems",
    "maxItems",
    "minimum",
];

/// The folder of schemas.
pub fn folder() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().find(|folder| folder.join("tests/schemas").is_dir());
    root.expect("the workspace has schemas").join("tests/schemas")
}

/// The schema of this name.
#[track_caller]
pub fn schema(name: &str) -> Value {
    let path = folder().join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Fails, with all that is wrong, unless the value is as the schema of this name says.
#[track_caller]
pub fn check(name: &str, value: &Value) {
    let mut wrong = Vec::new();
    hold(&schema(name), value, name, &mut wrong);
    assert!(wrong.is_empty(), "{}\n{value:#}", wrong.join("\n"));
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => panic!("{kind} is no type"),
    }
}

/// What a word of a schema has to be itself.
fn list<'a>(schema: &'a Map<String, Value>, word: &str) -> Option<&'a Vec<Value>> {
    schema.get(word).map(|value| value.as_array().unwrap_or_else(|| panic!("{word} is no list")))
}

fn hold(schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    let schema = schema.as_object().unwrap_or_else(|| panic!("{at}: a schema is an object"));
    for word in schema.keys() {
        assert!(WORDS.contains(&word.as_str()), "{at}: {word} is not checked here");
    }
    if let Some(kind) = schema.get("type") {
        let kinds = kind.as_array().map_or(std::slice::from_ref(kind), Vec::as_slice);
        if !kinds.iter().any(|kind| is(kind.as_str().expect("a type is a text"), value)) {
            return wrong.push(format!("{at}: {value} is no {kind}"));
        }
    }
    if let Some(only) = schema.get("const").filter(|only| *only != value) {
        wrong.push(format!("{at}: {value} is not {only}"));
    }
    if list(schema, "enum").is_some_and(|all| !all.contains(value)) {
        wrong.push(format!("{at}: {value} is none of {}", schema["enum"]));
    }
    if let Some(all) = list(schema, "anyOf") {
        let fits = |one: &Value| {
            let mut wrong = Vec::new();
            hold(one, value, at, &mut wrong);
            wrong.is_empty()
        };
        if !all.iter().any(fits) {
            wrong.push(format!("{at}: {value} fits none of the kinds there are"));
        }
    }
    if let (Some(least), Some(number)) = (schema.get("minimum").and_then(Value::as_f64), value.as_f64())
        && number < least
    {
        wrong.push(format!("{at}: {number} is below {least}"));
    }
    match value {
        Value::Object(object) => hold_object(schema, object, at, wrong),
        Value::Array(items) => {
            let limit = |word: &str| schema.get(word).and_then(Value::as_u64);
            let length = items.len() as u64;
            if limit("minItems").is_some_and(|least| length < least)
                || limit("maxItems").is_some_and(|most| length > most)
            {
                wrong.push(format!("{at}: {length} items"));
            }
            if let Some(schema) = schema.get("items") {
                items
                    .iter()
                    .enumerate()
                    .for_each(|(i, item)| hold(schema, item, &format!("{at}/{i}"), wrong));
            }
        }
        _ => {}
    }
}

fn hold_object(schema: &Map<String, Value>, object: &Map<String, Value>, at: &str, wrong: &mut Vec<String>) {
    for name in list(schema, "required").into_iter().flatten() {
        if !object.contains_key(name.as_str().expect("a name is a text")) {
            wrong.push(format!("{at}: {name} is missing"));
        }
    }
    let known = schema.get("properties").and_then(Value::as_object);
    for (name, value) in object {
        let at = format!("{at}/{name}");
        match (known.and_then(|known| known.get(name)), schema.get("additionalProperties")) {
            (Some(schema), _) => hold(schema, value, &at, wrong),
            (None, Some(Value::Bool(false))) => wrong.push(format!("{at}: the schema does not have it")),
            (None, Some(other @ Value::Object(_))) => hold(other, value, &at, wrong),
            (None, _) => {}
        }
    }
}

/// Fails unless every object of a schema that names its properties has no others.
pub fn check_closed(schema: &Value, at: &str) {
    match schema {
        Value::Object(object) => {
            if object.get("properties").is_some_and(Value::is_object) && object.contains_key("type") {
                assert_eq!(object.get("additionalProperties"), Some(&Value::Bool(false)), "{at}");
            }
            object.iter().for_each(|(name, value)| check_closed(value, &format!("{at}/{name}")));
        }
        Value::Array(items) => items.iter().for_each(|item| check_closed(item, at)),
        _ => {}
    }
}
