//! Plain JSON with the two things that `serde_json::Value` forgets: members given twice, and where
//! a value lies.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::ParseError;

/// Levels of nesting that serde_json reads.
pub const DEPTH: usize = 127;

/// A JSON text as a value, and the pointers of the members that occur twice in one object, in the
/// order of the text. Of those the last one counts.
#[derive(Debug)]
pub struct Document {
    pub value: Value,
    pub duplicates: Vec<String>,
}

/// Reads `text` as one JSON document.
pub fn read(text: &[u8]) -> Result<Document, ParseError> {
    let mut duplicates = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let reader = Reader { pointer: String::new(), duplicates: &mut duplicates };
    let value = reader.deserialize(&mut deserializer).map_err(syntax)?;
    deserializer.end().map_err(syntax)?;
    Ok(Document { value, duplicates })
}

/// The error for a text that is no JSON.
pub fn syntax(error: serde_json::Error) -> ParseError {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    let what = match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    };
    if what.starts_with("recursion limit") {
        return ParseError::TooDeep { line, column };
    }
    ParseError::Syntax { what, line, column }
}

/// `pointer` extended by one member name or index (RFC 6901, section 3).
pub fn join(pointer: &str, token: impl fmt::Display) -> String {
    let token = token.to_string();
    if token.contains(['~', '/']) {
        return format!("{pointer}/{}", token.replace('~', "~0").replace('/', "~1"));
    }
    format!("{pointer}/{token}")
}

/// Calls `visit` for each value below `root` that `pattern` names; `*` stands for every member or
/// element.
pub fn each<'v>(root: &'v Value, pattern: &str, visit: &mut impl FnMut(&str, &'v Value)) {
    walk(root, String::new(), pattern.strip_prefix('/'), visit);
}

fn walk<'v>(
    value: &'v Value,
    pointer: String,
    rest: Option<&str>,
    visit: &mut impl FnMut(&str, &'v Value),
) {
    let Some(rest) = rest else {
        visit(&pointer, value);
        return;
    };
    let (token, rest) = match rest.split_once('/') {
        Some((token, rest)) => (token, Some(rest)),
        None => (rest, None),
    };
    match value {
        Value::Array(items) if token == "*" => {
            for (index, item) in items.iter().enumerate() {
                walk(item, join(&pointer, index), rest, visit);
            }
        }
        Value::Object(members) if token == "*" => {
            for (name, member) in members {
                walk(member, join(&pointer, name), rest, visit);
            }
        }
        Value::Object(members) => {
            if let Some(member) = members.get(token) {
                walk(member, join(&pointer, token), rest, visit);
            }
        }
        _ => {}
    }
}

struct Reader<'d> {
    pointer: String,
    duplicates: &'d mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(Reader {
            pointer: join(&self.pointer, array.len()),
            duplicates: self.duplicates,
        })? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let pointer = join(&self.pointer, &name);
            if object.contains_key(&name) {
                self.duplicates.push(pointer.clone());
            }
            let value = members.next_value_seed(Reader { pointer, duplicates: self.duplicates })?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_given_twice_are_named() {
        let document = read(br#"{"a":[{"b":1,"b":2}],"c/d~":{"e":1,"e":1}}"#).unwrap();
        assert_eq!(document.duplicates, ["/a/0/b", "/c~1d~0/e"]);
        assert_eq!(document.value["a"][0]["b"], 2);
    }

    #[test]
    fn numbers_keep_their_whole_range() {
        let document = read(b"[-9223372036854775808,18446744073709551615,1.5]").unwrap();
        assert_eq!(document.value[0], i64::MIN);
        assert_eq!(document.value[1], u64::MAX);
        assert_eq!(document.value[2], 1.5);
    }

    #[test]
    fn depth_is_what_the_constant_says() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(read(nested(DEPTH).as_bytes()).is_ok());
        let error = read(nested(DEPTH + 1).as_bytes()).unwrap_err();
        assert!(matches!(error, ParseError::TooDeep { .. }), "{error}");
    }

    #[test]
    fn patterns_reach_members_and_elements() {
        let value = serde_json::json!({"a": [{"x": 1}, {"y": 2}, {"x": 3}], "b": {"k": {"x": 4}}});
        let found = |pattern: &str| {
            let mut found = Vec::new();
            each(&value, pattern, &mut |pointer, value| {
                found.push(format!("{pointer}={value}"));
            });
            found
        };
        assert_eq!(found("/a/*/x"), ["/a/0/x=1", "/a/2/x=3"]);
        assert_eq!(found("/b/*/x"), ["/b/k/x=4"]);
        assert_eq!(found("").len(), 1);
        assert!(found("/c/*").is_empty());
    }
}
