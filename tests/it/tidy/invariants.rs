//! The invariants of `ARCHITECTURE.md` that show in the text of the code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::source::{self, Part, Word};
use super::{files, none_of};

/// What the engine would need to do more than think (I1), or to think in an order that nobody declared (I3).
const IMPURE: &[&str] = &[
    "async",
    "await",
    "HashMap",
    "HashSet",
    "Instant",
    "SystemTime",
    "Timestamp :: now",
    "Zoned :: now",
    "TimeZone :: system",
    "env :: var",
    "env :: vars",
    "env :: args",
    "std :: fs",
    "io :: stdin",
    "io :: stdout",
    "io :: stderr",
    "std :: net",
    "std :: process",
    "std :: thread",
    "println",
    "eprintln",
    "rand",
    "thread_local",
    "tokio",
];

#[test]
fn i1_the_engine_only_thinks() -> Result<()> {
    let problems = places("host/engine/src", IMPURE, &|_| false)?;
    none_of(
        &problems,
        "the engine gets facts and returns decisions; whatever else it needs is a fact of `Observed`:",
    )
}

/// Where a status is made.
const SETTLERS: &[&str] = &["host/engine/src/rollout/settle.rs"];

#[test]
fn i4_only_settling_makes_a_status() -> Result<()> {
    let exempt = |file: &Path| {
        SETTLERS.iter().any(|settler| file == Path::new(settler))
            || file.components().any(|part| part.as_os_str() == "tests")
    };
    let mut problems = Vec::new();
    for folder in [
        "host/engine/src",
        "host/plugin-host/src",
        "host/controller/src",
    ] {
        problems.extend(places(folder, &["Subresource :: Status"], &exempt)?);
    }
    for settler in SETTLERS {
        let words = source::words(Path::new(settler), Part::Shipped)?;
        let made = source::find(&words, "Subresource :: Status").len();
        assert_eq!(made, 1, "{settler} makes a status in one place");
    }
    none_of(
        &problems,
        "a pass writes one status, after everything else; whatever changes it is said in `settle`:",
    )
}

/// What a write with kube needs, and what a request with a method of its own needs. Everything that goes through
/// `apply::Writer` needs neither. The helpers of kube that write by themselves are here, too.
const WRITES: &[&str] = &[
    "PostParams",
    "PatchParams",
    "DeleteParams",
    "EvictParams",
    "Patch ::",
    "Request :: post",
    "Request :: put",
    "Request :: patch",
    "Request :: delete",
    "method_mut",
    "Reporter",
    "finalizer ::",
    "finalizer (",
];

/// The one who writes.
const WRITER: &str = "host/cluster/src/apply.rs";

#[test]
fn i5_only_the_writer_writes_to_the_api_server() -> Result<()> {
    let mut problems = Vec::new();
    // Those that have a client. The demo is a user of the cluster, not a part of the controller.
    for folder in ["host/cluster/src", "host/controller/src", "host/cli/src"] {
        let exempt =
            |file: &Path| file == Path::new(WRITER) || file.starts_with("host/cli/src/demo");
        problems.extend(places(folder, WRITES, &exempt)?);
        for file in files::code_below(folder)?
            .into_iter()
            .filter(|file| !exempt(file))
        {
            let words = source::words(&file, Part::Shipped)?;
            // `.method()` reads the method of a request, `.method(…)` sets that of a new one.
            for line in sets_a_method(&words) {
                problems.push(format!(
                    "{}:{line}: a request with a method",
                    file.display()
                ));
            }
        }
    }
    none_of(
        &problems,
        &format!(
            "only {WRITER} writes to the API server; make it a `Write` of the plan, or give it to the `Writer`:"
        ),
    )
}

fn sets_a_method(words: &[Word]) -> Vec<usize> {
    let calls = words.windows(4).filter(|window| {
        matches!(window, [dot, name, open, next] if dot.text == "." && name.text == "method" && open.text == "(" && next.text != ")")
    });
    calls
        .filter_map(|window| window.first())
        .map(|word| word.line)
        .collect()
}

/// Without its writer the rule above would be about nothing.
#[test]
fn i5_the_writer_is_where_the_rule_says() -> Result<()> {
    let words = source::words(Path::new(WRITER), Part::Shipped)?;
    assert_eq!(
        sets_a_method(&words).len(),
        1,
        "{WRITER} makes requests in one place"
    );
    Ok(())
}

/// Names of routers and providers that upstream has or lists; those of our own plugins come from their manifests.
const UPSTREAM: &[&str] = &[
    "alb",
    "ambassador",
    "apisix",
    "appmesh",
    "cloudwatch",
    "datadog",
    "graphite",
    "influxdb",
    "istio",
    "kayenta",
    "newrelic",
    "nginx",
    "skywalking",
    "smi",
    "traefik",
    "wavefront",
];

/// Names of plugins that are words of Kubernetes, too, and say nothing about a branch.
const WORDS_OF_KUBERNETES: &[&str] = &["job", "web"];

/// The library by which the controller shows its own metrics; it measures nothing for a Rollout.
const OWN_METRICS: &str = "prometheus_client";

/// Names of this length and more are found inside of other words.
const LONG: usize = 6;

#[test]
fn i6_the_host_names_no_plugin() -> Result<()> {
    let names = plugin_names()?;
    let mut problems = Vec::new();
    for folder in [
        "host/engine/src",
        "host/controller/src",
        "host/plugin-host/src",
        "host/cluster/src",
    ] {
        for file in files::code_below(folder)? {
            for word in source::words(&file, Part::Shipped)?
                .iter()
                .filter(|word| word.text != OWN_METRICS)
            {
                if let Some(name) = named_by(&word.text, &names) {
                    problems.push(format!(
                        "{}:{}: `{name}` in {}",
                        file.display(),
                        word.line,
                        word.text
                    ));
                }
            }
        }
    }
    none_of(
        &problems,
        "the host knows plugins by their manifests; what upstream's texts say about one by name is data in host/api/data:",
    )
}

/// Names and aliases of our plugins, and those of upstream.
fn plugin_names() -> Result<BTreeSet<String>> {
    let mut names: BTreeSet<String> = UPSTREAM.iter().map(ToString::to_string).collect();
    for folder in super::folders_in("plugins")? {
        let manifest = folder.join("manifest.json");
        let Ok(Some(text)) = files::text(&manifest) else {
            continue;
        };
        let manifest: Value = serde_json::from_str(&text)
            .with_context(|| format!("failed to decode {}", manifest.display()))?;
        let aliases = manifest["aliases"].as_array().into_iter().flatten();
        let all = aliases.chain([&manifest["name"]]).filter_map(Value::as_str);
        // Of `vendor/name` the name.
        names.extend(
            all.filter_map(|name| name.rsplit('/').next())
                .map(str::to_lowercase),
        );
    }
    names.retain(|name| !WORDS_OF_KUBERNETES.contains(&name.as_str()));
    Ok(names)
}

/// The plugin that a word of code names: as a part of it, between marks or humps, or, for a long name, anywhere.
fn named_by<'a>(word: &str, names: &'a BTreeSet<String>) -> Option<&'a str> {
    let mut parts = BTreeSet::new();
    let mut part = String::new();
    let mut before = ' ';
    for character in word.chars() {
        let hump = character.is_uppercase() && before.is_lowercase();
        if hump || !character.is_alphanumeric() {
            parts.insert(std::mem::take(&mut part));
        }
        if character.is_alphanumeric() {
            part.extend(character.to_lowercase());
        }
        before = character;
    }
    parts.insert(part);
    let whole: String = word
        .chars()
        .filter(|character| character.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    let mut names = names.iter().map(String::as_str);
    names.find(|name| parts.contains(*name) || (name.len() >= LONG && whole.contains(name)))
}

#[test]
fn a_name_is_found_in_any_spelling_and_not_in_other_words() -> Result<()> {
    let names = plugin_names()?;
    assert!(
        names.contains("istio") && names.contains("prometheus"),
        "{names:?}"
    );
    for (word, expected) in [
        ("istio", Some("istio")),
        ("\"trafficRouting.istio\"", Some("istio")),
        ("IstioRouter", Some("istio")),
        ("is_istio", Some("istio")),
        ("\"SMI\"", Some("smi")),
        ("AppMesh", Some("appmesh")),
        ("\"app-mesh\"", Some("appmesh")),
        ("albumin", None),
        ("transmission", None),
        ("existing", None),
        ("\"\"", None),
    ] {
        assert_eq!(named_by(word, &names), expected, "{word}");
    }
    Ok(())
}

/// Where sequences of words are in the code below a folder.
fn places(folder: &str, sequences: &[&str], exempt: &dyn Fn(&Path) -> bool) -> Result<Vec<String>> {
    let files: Vec<PathBuf> = files::code_below(folder)?;
    assert!(!files.is_empty(), "{folder} has no code");
    let mut found = Vec::new();
    for file in files.into_iter().filter(|file| !exempt(file)) {
        let words = source::words(&file, Part::Shipped)?;
        for sequence in sequences {
            for line in source::find(&words, sequence) {
                found.push(format!(
                    "{}:{line}: {}",
                    file.display(),
                    sequence.replace(' ', "")
                ));
            }
        }
    }
    Ok(found)
}
