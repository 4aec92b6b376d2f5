//! What a plugin may do: pure checks of each read, change and request against its grant.
//!
//! A refusal is a sentence for the plugin's author and the administrator. Nothing here performs anything.

use serde::Deserialize;
use serde_json::Value;
use sluice_engine::object::ObjectKey;
use sluice_engine::read::Read;
use url::{Host, Url};

use crate::answer::{Change, ChangeEdit};
use crate::manifest::{Grants, Namespaces, Verb};

/// Bytes of JSON that one change may have.
const LARGEST_CHANGE: usize = 1 << 20;

/// Metadata that belongs to the API server, the garbage collector or the host.
const RESERVED: [&str; 3] = ["ownerReferences", "finalizers", "managedFields"];

/// Whether the plugin may read this, on behalf of a subject in this namespace.
///
/// # Errors
/// Why not.
pub(crate) fn check_read(
    grants: &Grants,
    read: &Read,
    subject_namespace: Option<&str>,
) -> Result<(), String> {
    let group = group_of(&read.api_version);
    if group.is_empty() && read.kind == "Secret" {
        return Err("Secrets are never handed to plugins".to_owned());
    }
    let mut of_kind = grants
        .reads
        .iter()
        .filter(|grant| grant.group == group && grant.kinds.contains(&read.kind))
        .peekable();
    if of_kind.peek().is_none() {
        return Err(format!(
            "the plugin's grant does not allow reading {}",
            kind_name(group, &read.kind)
        ));
    }
    let namespace = read.namespace.as_deref();
    if of_kind.any(|grant| in_namespace(grant.namespaces, namespace, subject_namespace)) {
        return Ok(());
    }
    Err(format!(
        "the plugin's grant allows reading {} in the subject's namespace only, not in {}",
        kind_name(group, &read.kind),
        namespace.unwrap_or_default()
    ))
}

/// Whether the plugin may make this change, on behalf of this subject.
///
/// # Errors
/// Why not.
pub(crate) fn check_change(
    grants: &Grants,
    change: &Change,
    subject: &ObjectKey,
) -> Result<(), String> {
    let target = &change.target;
    let group = target.group();
    let (verb, word) = match &change.edit {
        ChangeEdit::Create { .. } => (Verb::Create, "create"),
        ChangeEdit::MergePatch(_) | ChangeEdit::JsonPatch(_) => (Verb::Patch, "patch"),
        ChangeEdit::Delete(_) => (Verb::Delete, "delete"),
    };
    if group.is_empty() && target.kind == "Secret" {
        return Err("Secrets are never changed by plugins".to_owned());
    }
    let mut of_verb = grants
        .changes
        .iter()
        .filter(|grant| {
            grant.group == group
                && grant.kinds.contains(&target.kind)
                && grant.verbs.contains(&verb)
        })
        .peekable();
    let kind = kind_name(group, &target.kind);
    if of_verb.peek().is_none() {
        return Err(format!(
            "the plugin's grant does not allow to {word} {kind}"
        ));
    }
    let namespace = target.namespace.as_deref();
    let subject_namespace = subject.namespace.as_deref();
    if !of_verb.any(|grant| in_namespace(grant.namespaces, namespace, subject_namespace)) {
        return Err(format!(
            "the plugin's grant allows to {word} {kind} in the subject's namespace only, not in {}",
            namespace.unwrap_or_default()
        ));
    }
    if target.name.is_empty() {
        return Err(format!("a {kind} without a name"));
    }
    check_edit(change, subject)
}

/// Whether the plugin may change an object that it has not asked for: one that is new, or that the configuration names. A
/// grant is for kinds; within them a plugin has no business with objects that nobody told it about.
///
/// # Errors
/// Why not.
pub(crate) fn check_name(
    config: &Value,
    change: &Change,
    subject: &ObjectKey,
) -> Result<(), String> {
    let target = &change.target;
    let here = target.namespace == subject.namespace;
    let named = match target.namespace.as_deref() {
        Some(namespace) if !here => mentions(config, &target.name) && mentions(config, namespace),
        _ => mentions(config, &target.name),
    };
    if named || matches!(change.edit, ChangeEdit::Create { .. }) {
        return Ok(());
    }
    Err(
        "neither does the configuration name it, nor has the plugin read it in this pass"
            .to_owned(),
    )
}

/// Whether a text stands anywhere in the configuration as a value.
fn mentions(config: &Value, text: &str) -> bool {
    match config {
        Value::String(value) => value == text,
        Value::Array(items) => items.iter().any(|item| mentions(item, text)),
        Value::Object(fields) => fields.values().any(|field| mentions(field, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn check_edit(change: &Change, subject: &ObjectKey) -> Result<(), String> {
    match &change.edit {
        ChangeEdit::Create { body, owned } => {
            check_size(body)?;
            check_identity(body, &change.target)?;
            check_metadata(body)?;
            if *owned && change.target.namespace != subject.namespace {
                return Err(format!(
                    "{subject} cannot own an object of another namespace: {}",
                    change.target
                ));
            }
            Ok(())
        }
        ChangeEdit::MergePatch(patch) => {
            check_size(patch)?;
            if !patch.is_object() {
                return Err("a merge patch must be an object".to_owned());
            }
            check_partial_identity(patch, &change.target)?;
            check_metadata(patch)
        }
        ChangeEdit::JsonPatch(patch) => {
            check_size(patch)?;
            check_operations(patch)
        }
        ChangeEdit::Delete(_) => Ok(()),
    }
}

fn check_size(value: &Value) -> Result<(), String> {
    let size = value.to_string().len();
    if size > LARGEST_CHANGE {
        return Err(format!(
            "a change of {size} bytes; at most {LARGEST_CHANGE} are allowed"
        ));
    }
    Ok(())
}

/// A new object says itself what it is, and says the same as the target.
fn check_identity(body: &Value, target: &ObjectKey) -> Result<(), String> {
    let wanted = [
        ("/apiVersion", Some(target.api_version.as_str())),
        ("/kind", Some(target.kind.as_str())),
        ("/metadata/name", Some(target.name.as_str())),
        ("/metadata/namespace", target.namespace.as_deref()),
    ];
    for (pointer, expected) in wanted {
        let found = body.pointer(pointer).and_then(Value::as_str);
        // The namespace may be left to the target.
        if found != expected && !(found.is_none() && pointer == "/metadata/namespace") {
            return Err(format!(
                "body{}: is {:?} but the target says {:?}",
                pointer.replace('/', "."),
                found.unwrap_or_default(),
                expected.unwrap_or_default()
            ));
        }
    }
    Ok(())
}

/// A patch may repeat what the object is, but not change it.
fn check_partial_identity(patch: &Value, target: &ObjectKey) -> Result<(), String> {
    let fixed = [
        ("/apiVersion", Some(target.api_version.as_str())),
        ("/kind", Some(target.kind.as_str())),
        ("/metadata/name", Some(target.name.as_str())),
        ("/metadata/namespace", target.namespace.as_deref()),
        ("/metadata/uid", None),
        ("/metadata/resourceVersion", None),
    ];
    for (pointer, expected) in fixed {
        if let Some(found) = patch.pointer(pointer)
            && found.as_str() != expected
        {
            return Err(format!(
                "patch{}: must not be changed",
                pointer.replace('/', ".")
            ));
        }
    }
    Ok(())
}

fn check_metadata(body: &Value) -> Result<(), String> {
    let Some(metadata) = body.get("metadata") else {
        return Ok(());
    };
    let Some(metadata) = metadata.as_object() else {
        return Err("metadata: must be an object".to_owned());
    };
    match RESERVED.iter().find(|field| metadata.contains_key(**field)) {
        Some(field) => Err(format!("metadata.{field}: plugins must not edit it")),
        None => Ok(()),
    }
}

fn check_operations(patch: &Value) -> Result<(), String> {
    let Some(operations) = patch.as_array() else {
        return Err("a JSON patch must be a list of operations".to_owned());
    };
    for (index, operation) in operations.iter().enumerate() {
        let op = operation
            .get("op")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let writes = match op {
            "test" => &[][..],
            "add" | "remove" | "replace" | "copy" => &["path"][..],
            "move" => &["path", "from"][..],
            other => return Err(format!("[{index}].op: {other:?} is not an operation")),
        };
        for field in writes {
            let Some(path) = operation.get(*field).and_then(Value::as_str) else {
                return Err(format!("[{index}].{field}: missing"));
            };
            if let Some(what) = protected(path) {
                return Err(format!("[{index}].{field}: plugins must not edit {what}"));
            }
        }
    }
    Ok(())
}

/// What of an object a JSON pointer would touch that a plugin must not.
fn protected(path: &str) -> Option<String> {
    let mut tokens = path
        .split('/')
        .skip(1)
        .map(|token| token.replace("~1", "/").replace("~0", "~"));
    match (tokens.next().as_deref(), tokens.next().as_deref()) {
        (None, _) => Some("the whole object".to_owned()),
        (Some("metadata"), None) => Some("all of metadata".to_owned()),
        (Some(field @ ("apiVersion" | "kind")), _) => Some(field.to_owned()),
        (Some("metadata"), Some(field)) => {
            let fixed = ["name", "namespace", "uid", "resourceVersion"];
            (RESERVED.contains(&field) || fixed.contains(&field))
                .then(|| format!("metadata.{field}"))
        }
        (Some(_), _) => None,
    }
}

fn in_namespace(rule: Namespaces, namespace: Option<&str>, subject: Option<&str>) -> bool {
    match rule {
        Namespaces::Any => true,
        Namespaces::Subject => namespace == subject,
    }
}

fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

fn kind_name(group: &str, kind: &str) -> String {
    if group.is_empty() {
        kind.to_owned()
    } else {
        format!("{kind} of {group}")
    }
}

/// Addresses to which a plugin may send requests.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum AddressRule {
    /// `configured-address`: what the configuration or a setting names as the address.
    Configured,
    /// `https://host[:port]`.
    Origin {
        /// `http` or `https`.
        scheme: String,
        /// Host name or address.
        host: String,
        /// The scheme's own where none is named.
        port: u16,
    },
    /// `https://*.suffix[:port]`: any name below the suffix.
    Below {
        /// `http` or `https`.
        scheme: String,
        /// With its leading dot.
        suffix: String,
        /// The scheme's own where none is named.
        port: u16,
    },
}

impl TryFrom<String> for AddressRule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "configured-address" {
            return Ok(Self::Configured);
        }
        let wrong = |why: &str| {
            format!(
                "{text:?}: {why}; write `configured-address`, `https://host[:port]` or `https://*.suffix`"
            )
        };
        let (starred, plain) = match text.split_once("://*.") {
            Some((scheme, rest)) => (true, format!("{scheme}://{rest}")),
            None => (false, text.clone()),
        };
        let url = Url::parse(&plain).map_err(|error| wrong(&error.to_string()))?;
        let origin = Origin::of(&url).ok_or_else(|| wrong("only http and https have grants"))?;
        if url.path() != "/"
            || url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
        {
            return Err(wrong("a grant is for a whole origin"));
        }
        if origin.host.contains('*') {
            return Err(wrong("a wildcard stands only for the first labels"));
        }
        if !starred {
            return Ok(Self::Origin {
                scheme: origin.scheme,
                host: origin.host,
                port: origin.port,
            });
        }
        if !origin.host.contains('.') || !matches!(url.host(), Some(Host::Domain(_))) {
            return Err(wrong("a wildcard needs a suffix of at least two labels"));
        }
        Ok(Self::Below {
            scheme: origin.scheme,
            suffix: format!(".{}", origin.host),
            port: origin.port,
        })
    }
}

/// Scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Origin {
    pub scheme: String,
    pub host: String,
    pub port: u16,
}

impl Origin {
    /// The origin of an http or https URL.
    pub(crate) fn of(url: &Url) -> Option<Self> {
        if !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        Some(Self {
            scheme: url.scheme().to_owned(),
            // A name with a final dot is the same host.
            host: url.host_str()?.trim_end_matches('.').to_owned(),
            port: url.port_or_known_default()?,
        })
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

/// Whether a request may go to this origin. `configured` are the origins that the configuration and the settings name.
///
/// # Errors
/// Why not.
pub(crate) fn check_address(
    rules: &[AddressRule],
    origin: &Origin,
    configured: &[Origin],
) -> Result<(), String> {
    let allowed = rules.iter().any(|rule| match rule {
        AddressRule::Configured => configured.contains(origin),
        AddressRule::Origin { scheme, host, port } => {
            *scheme == origin.scheme && *host == origin.host && *port == origin.port
        }
        AddressRule::Below {
            scheme,
            suffix,
            port,
        } => *scheme == origin.scheme && origin.host.ends_with(suffix) && *port == origin.port,
    });
    if allowed {
        return Ok(());
    }
    Err("the plugin's grant does not allow requests to this address".to_owned())
}
