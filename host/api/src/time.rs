//! Points in time as Kubernetes writes them: RFC 3339, UTC, whole seconds. Arithmetic belongs to [`jiff`].

use std::borrow::Cow;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A point in time on the wire (`metav1.Time`). Fractions of a second are read and kept, but never written.
///
/// The default is Go's zero time, which is written as `null`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub Timestamp);

impl Time {
    /// Whether this is Go's zero time, 0001-01-01T00:00:00Z.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// The time without its fraction of a second, as it reads after a round trip through the API server.
    #[must_use]
    pub fn truncated(self) -> Self {
        Self(Timestamp::from_second(self.0.as_second()).unwrap_or(self.0))
    }
}

impl Default for Time {
    fn default() -> Self {
        // Seconds from 1970 back to the first of January of year 1; far inside what jiff can hold.
        Self(Timestamp::from_second(-62_135_596_800).unwrap_or(Timestamp::MIN))
    }
}

impl From<Timestamp> for Time {
    fn from(timestamp: Timestamp) -> Self {
        Self(timestamp)
    }
}

impl From<Time> for Timestamp {
    fn from(time: Time) -> Self {
        time.0
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.strftime("%Y-%m-%dT%H:%M:%SZ"))
    }
}

impl std::str::FromStr for Time {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_zero() {
            serializer.serialize_unit()
        } else {
            serializer.collect_str(self)
        }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Option::<Cow<'de, str>>::deserialize(deserializer)? {
            None => Ok(Self::default()),
            // In our own words: those of the parser change with its version.
            Some(text) => text.parse().map_err(|_| {
                D::Error::custom(format_args!("invalid time {text:?}, expected RFC 3339"))
            }),
        }
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}
