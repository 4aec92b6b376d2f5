//! Arguments in texts: `{{args.name}}` is replaced by the argument's value (ARG-001).
//!
//! Substitution is over the JSON of a whole metric, so that it works in every text field, job specifications and
//! numbers that may be texts included (ARG-002). A value is replaced as JSON writes it: where Argo Rollouts succeeds the
//! result is the same, and the control characters that its Go quoting makes invalid JSON of are accepted.

use std::collections::BTreeMap;

use sluice_api as api;

use super::go;
use crate::hash;
use crate::plugin::SecretPlaceholder;

/// Replaces every `{{tag}}` by the text that `value` knows for the tag, white space around it removed.
///
/// # Errors
/// In upstream's words: an opening `{{` without its `}}`, or a tag that has no value (the last one is named).
pub fn fill(text: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut unknown = None;
    let mut rest = text;
    while let Some((before, from)) = rest.split_once("{{") {
        filled.push_str(before);
        let Some((tag, after)) = from.split_once("}}") else {
            return Err(format!(
                "Cannot find end tag=\"}}}}\" in the template={} starting from {}",
                go::quote(text),
                go::quote(from)
            ));
        };
        match value(tag.trim()) {
            Some(value) => filled.push_str(&value),
            None => unknown = Some(tag),
        }
        rest = after;
    }
    filled.push_str(rest);
    match unknown {
        Some(tag) => Err(format!("failed to resolve {{{{{tag}}}}}")),
        None => Ok(filled),
    }
}

/// The metric with its arguments substituted.
///
/// # Errors
/// Those of [`fill`], an argument without a value, or a metric that is none any more after substitution.
pub fn resolve_metric(metric: &api::Metric, args: &Values) -> Result<api::Metric, String> {
    let json = hash::go_json(metric);
    let json = String::from_utf8_lossy(&json);
    // Upstream parses the template first, then looks for missing values, then substitutes.
    if json.contains("{{") {
        fill(&json, |_| Some(String::new()))?;
    }
    if let Some(missing) = &args.missing {
        return Err(format!("argument {} was not supplied", go::quote(missing)));
    }
    if !json.contains("{{") {
        return Ok(metric.clone());
    }
    let filled = fill(&json, |tag| {
        let name = tag.strip_prefix("args.")?;
        args.values.get(name).map(|value| escaped(value))
    })?;
    serde_json::from_str(&filled).map_err(|error| error.to_string())
}

/// A text as it stands between the quotes of a JSON string.
fn escaped(value: &str) -> String {
    let json = hash::go_json(value);
    let json = String::from_utf8_lossy(&json);
    json.strip_prefix('"')
        .and_then(|json| json.strip_suffix('"'))
        .unwrap_or_default()
        .to_owned()
}

/// Values of arguments, as a run has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    values: BTreeMap<String, String>,
    missing: Option<String>,
    secrets: Vec<SecretPlaceholder>,
}

impl Values {
    /// The values of a run's arguments. An argument from a Secret has a placeholder for its value: the Secret itself
    /// is read by the host, only for requests that leave it.
    #[must_use]
    pub fn of_run(run: &api::AnalysisRun) -> Self {
        let mut values = Self::default();
        for argument in &run.spec.args {
            let secret = argument
                .value_from
                .as_ref()
                .and_then(|from| from.secret_key_ref.as_ref());
            let value = match secret {
                Some(secret) => {
                    let placeholder = placeholder(run, secret);
                    let text = placeholder.placeholder.clone();
                    values.secrets.push(placeholder);
                    Some(text)
                }
                None => argument.value.clone(),
            };
            values.insert(&argument.name, value);
        }
        values
    }

    /// The values of arguments without a run: whatever is not given has this value.
    #[must_use]
    pub fn or_dummy(args: &[api::Argument], dummy: &str) -> Self {
        let mut values = Self::default();
        for argument in args {
            let value = argument.value.as_deref().unwrap_or(dummy);
            values.insert(&argument.name, Some(value.to_owned()));
        }
        values
    }

    fn insert(&mut self, name: &str, value: Option<String>) {
        match value {
            Some(value) => {
                self.values.insert(name.to_owned(), value);
            }
            None if self.missing.is_none() => self.missing = Some(name.to_owned()),
            None => {}
        }
    }

    /// The placeholders that occur in a text.
    #[must_use]
    pub fn secrets_in(&self, text: &str) -> Vec<SecretPlaceholder> {
        let used = self
            .secrets
            .iter()
            .filter(|secret| text.contains(&secret.placeholder));
        let mut used: Vec<_> = used.cloned().collect();
        used.sort_by(|a, b| a.placeholder.cmp(&b.placeholder));
        used.dedup();
        used
    }

    /// The text with every placeholder replaced by what upstream shows in place of a secret (ENG-031).
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| {
            text.replace(&secret.placeholder, "*****")
        })
    }
}

/// The text that stands for a Secret's value. It is derived from the run's UID, which is random, so that nobody who
/// does not see the run can write it, and it is the same in every pass, so that a call's key is.
fn placeholder(run: &api::AnalysisRun, secret: &api::SecretKeyRef) -> SecretPlaceholder {
    let namespace = &run.metadata.namespace;
    let identity = (&run.metadata.uid, namespace, &secret.name, &secret.key);
    SecretPlaceholder {
        placeholder: format!("sluice-secret-{}", hash::digest(&identity)),
        namespace: namespace.clone(),
        secret: secret.name.clone(),
        key: secret.key.clone(),
    }
}
