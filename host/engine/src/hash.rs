//! Every hash that has a meaning on the wire or in a key.
//!
//! FNV-1a and the alphabet are those of Kubernetes' `rand.SafeEncodeString`; Go's JSON differs from serde's in escaping
//! `<`, `>`, `&` and the line separators, which matters because the step hash of a half-way canary must not change.

use std::fmt::Write as _;
use std::io;

use serde::{Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::plugin::PluginCall;

/// Identity of a plugin call: equal calls, equal keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct CallKey(pub String);

/// The key of a call: plugin digest, function, subject, config, desired state and due number.
pub fn call_key(call: &PluginCall) -> CallKey {
    CallKey(digest(call))
}

/// SHA-256, in hexadecimal, of the value's JSON with sorted keys.
pub fn digest<T: Serialize>(value: &T) -> String {
    struct Sink(Sha256);
    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut sink = Sink(Sha256::new());
    // Serialising our own types cannot fail: no map has keys that are not text, and the sink takes everything.
    let _ = serde_json::to_writer(&mut sink, value);
    let mut text = String::with_capacity(64);
    for byte in sink.0.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// 32-bit FNV-1a (offset basis 2166136261, prime 16777619).
pub fn fnv32a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

/// Kubernetes' safe alphabet: no vowels and no look-alikes, so that a hash never spells a word.
const SAFE: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A 32-bit hash as Kubernetes writes it: its decimal digits, each byte mapped into the safe alphabet.
pub fn safe_encode(hash: u32) -> String {
    hash.to_string()
        .bytes()
        .map(|byte| {
            char::from(
                SAFE.get(usize::from(byte) % SAFE.len())
                    .copied()
                    .unwrap_or(b'b'),
            )
        })
        .collect()
}

/// The hash that names the ReplicaSet of a pod template, with Go's collision counter mixed in (HASH-001).
///
/// It need not equal the hash that Argo Rollouts computes: sets are recognised by their template, and a set that exists
/// keeps its hash label.
pub fn pod_template(template: &Value, collisions: Option<i32>) -> String {
    let mut bytes = go_json(&Canonical(template));
    if let Some(count) = collisions {
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
    }
    safe_encode(fnv32a(&bytes))
}

/// The hash of the canary steps (HASH-007): FNV-1a over Go's JSON of the list, exactly.
///
/// `steps` must serialise in the field order of upstream's Go structs. That there are none is hashed like any other
/// value: `null`.
pub fn steps<T: Serialize>(steps: &T) -> String {
    safe_encode(fnv32a(&go_json(steps)))
}

/// The identity of a template as the user wrote it.
pub fn template_source(template: &Value) -> String {
    digest(&Canonical(template))
}

/// A value without what means nothing: nulls in objects, and `creationTimestamp`. Hashed in every pass, so nothing is copied.
struct Canonical<'a>(&'a Value);

impl Serialize for Canonical<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(fields) => {
                let told = fields.iter().filter(|(name, value)| {
                    !value.is_null() && name.as_str() != "creationTimestamp"
                });
                serializer.collect_map(told.map(|(name, value)| (name, Canonical(value))))
            }
            Value::Array(items) => serializer.collect_seq(items.iter().map(Canonical)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.0.serialize(serializer)
            }
        }
    }
}

/// JSON as Go's `encoding/json` writes it.
pub fn go_json<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, GoFormatter);
    // As above: our own types always serialise.
    let _ = value.serialize(&mut serializer);
    bytes
}

/// Escapes what Go escapes and serde does not, and writes numbers with a point as Go does.
struct GoFormatter;

impl serde_json::ser::Formatter for GoFormatter {
    /// Go writes digits without an exponent from 1e-6 up to 1e21, and signs an exponent.
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let size = value.abs();
        if size == 0.0 || (1e-6..1e21).contains(&size) {
            return write!(writer, "{value}");
        }
        let text = format!("{value:e}");
        match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                write!(writer, "{digits}e+{exponent}")
            }
            Some(_) | None => writer.write_all(text.as_bytes()),
        }
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (before, from) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            let mut chars = from.chars();
            if let Some(special) = chars.next() {
                write!(writer, "\\u{:04x}", u32::from(special))?;
            }
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}
