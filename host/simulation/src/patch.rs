//! Patches: which of the three forms a request has, and its application to an object.

pub(crate) mod strategic;

use serde_json::Value;

use crate::kinds::Kind;
use crate::refusal::{self, Refusal};

/// A patch as a request brings it.
#[derive(Clone, Debug)]
pub(crate) enum Patch {
    /// RFC 7386.
    Merge(Value),
    /// RFC 6902.
    Json(json_patch::Patch),
    /// Kubernetes' own, which merges some lists by key; for built-in kinds only.
    Strategic(Value),
}

const MERGE: &str = "application/merge-patch+json";
const JSON: &str = "application/json-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// Not understood here, but named by the real server among what it takes.
const APPLY: &str = "application/apply-patch+yaml";
const APPLY_CBOR: &str = "application/apply-patch+cbor";

impl Patch {
    /// Reads the body of a patch request by its content type.
    pub(crate) fn parse(content_type: &str, body: &[u8], kind: &Kind) -> Result<Self, Refusal> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let document = || -> Result<Value, Refusal> {
            let value: Value = serde_json::from_slice(body)
                .map_err(|error| refusal::bad_request(format!("error decoding patch: {error}")))?;
            if value.is_object() {
                Ok(value)
            } else {
                Err(refusal::bad_request(
                    "error decoding patch: it must be a JSON object",
                ))
            }
        };
        match essence {
            MERGE => document().map(Self::Merge),
            JSON => {
                let operations: Value = serde_json::from_slice(body).map_err(|error| {
                    refusal::bad_request(format!("error decoding patch: {error}"))
                })?;
                if !operations.is_array() {
                    return Err(refusal::bad_request(
                        "error decoding patch: it must be a list of operations",
                    ));
                }
                serde_json::from_value(operations)
                    .map(Self::Json)
                    .map_err(|error| inapplicable(&error.to_string()))
            }
            STRATEGIC if !kind.is_custom() => document().map(Self::Strategic),
            _ if kind.is_custom() => Err(refusal::unsupported_media_type(&[
                JSON, MERGE, APPLY, APPLY_CBOR,
            ])),
            // Said before anybody looks at the kind, in other words.
            _ => Err(refusal::plain(
                415,
                "UnsupportedMediaType",
                "415: Unsupported Media Type",
            )),
        }
    }

    /// The object as the patch wants it.
    pub(crate) fn apply(&self, object: &Value) -> Result<Value, Refusal> {
        let mut patched = object.clone();
        match self {
            Self::Merge(patch) => json_patch::merge(&mut patched, patch),
            Self::Json(patch) => {
                json_patch::patch(&mut patched, patch)
                    .map_err(|error| inapplicable(&error.to_string()))?;
            }
            Self::Strategic(patch) => strategic::merge(&mut patched, patch)?,
        }
        Ok(patched)
    }
}

/// The real server does not say what is wrong with a JSON patch; the trace does.
fn inapplicable(why: &str) -> Refusal {
    tracing::debug!(why, "a JSON patch was refused");
    refusal::unprocessable("the server rejected our request due to an error in our request")
}
