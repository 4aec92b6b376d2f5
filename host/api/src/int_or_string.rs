//! `intstr.IntOrString`: a count or a text such as `25%`. What a percentage is taken of belongs to the engine.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An integer or a string. A number that is not a 32-bit integer, or a boolean, is kept as its text, so that the object
/// decodes and validation can name the field and show the value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IntOrString {
    /// A JSON number.
    Int(i32),
    /// A JSON string.
    String(String),
}

impl IntOrString {
    /// The number, or the number that the whole string spells, or 0 (Go's `IntValue`).
    #[must_use]
    pub fn int_value(&self) -> i32 {
        match self {
            Self::Int(number) => *number,
            Self::String(text) => text.parse().unwrap_or(0),
        }
    }
}

impl Default for IntOrString {
    fn default() -> Self {
        Self::Int(0)
    }
}

impl From<i32> for IntOrString {
    fn from(number: i32) -> Self {
        Self::Int(number)
    }
}

impl From<&str> for IntOrString {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl fmt::Display for IntOrString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => number.fmt(f),
            Self::String(text) => f.write_str(text),
        }
    }
}

impl Serialize for IntOrString {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Int(number) => serializer.serialize_i32(*number),
            Self::String(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for IntOrString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

struct Visitor;

impl de::Visitor<'_> for Visitor {
    type Value = IntOrString;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer or a string")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<IntOrString, E> {
        Ok(i32::try_from(number).map_or_else(
            |_| IntOrString::String(number.to_string()),
            IntOrString::Int,
        ))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<IntOrString, E> {
        Ok(i32::try_from(number).map_or_else(
            |_| IntOrString::String(number.to_string()),
            IntOrString::Int,
        ))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<IntOrString, E> {
        // `5.0` prints as `5`: an integer that a client wrote as a float is still an integer.
        let text = number.to_string();
        Ok(text
            .parse()
            .map_or_else(|_| IntOrString::String(text), IntOrString::Int))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<IntOrString, E> {
        Ok(IntOrString::String(value.to_string()))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<IntOrString, E> {
        Ok(IntOrString::String(text.to_owned()))
    }
}

impl JsonSchema for IntOrString {
    fn schema_name() -> Cow<'static, str> {
        "IntOrString".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{ "type": "integer" }, { "type": "string" }],
            "x-kubernetes-int-or-string": true,
        })
    }
}
