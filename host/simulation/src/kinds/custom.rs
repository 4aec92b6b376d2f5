//! Makes a served kind of a CustomResourceDefinition.

use serde_json::Value;

use super::{Generation, Kind, Scale, Source, Version};
use crate::json;
use crate::refusal::FieldError;
use crate::schema::Schema;

/// Reads a definition; the errors name its fields.
pub(crate) fn kind(definition: &Value) -> Result<Kind, Vec<FieldError>> {
    let mut errors = Vec::new();
    for field in [
        "/spec/group",
        "/spec/names/plural",
        "/spec/names/kind",
        "/spec/scope",
    ] {
        if json::text(definition, field).is_empty() {
            errors.push(FieldError::required(
                field.trim_start_matches('/').replace('/', "."),
                "",
            ));
        }
    }
    let plural = json::text(definition, "/spec/names/plural").to_owned();
    let group = json::text(definition, "/spec/group").to_owned();
    let kind = json::text(definition, "/spec/names/kind").to_owned();
    let name = json::text(definition, "/metadata/name");
    let expected = format!("{plural}.{group}");
    if errors.is_empty() && name != expected {
        errors.push(FieldError::invalid(
            "metadata.name",
            &Value::from(name),
            "must be spec.names.plural+\".\"+spec.group",
        ));
    }

    let mut versions = Vec::new();
    let mut status = false;
    let mut scale = None;
    for (index, version) in json::entries(definition, "/spec/versions")
        .iter()
        .enumerate()
    {
        let path = format!("spec.versions[{index}]");
        let Some(structure) = version.pointer("/schema/openAPIV3Schema") else {
            errors.push(FieldError::required(
                format!("{path}.schema.openAPIV3Schema"),
                "schemas are required",
            ));
            continue;
        };
        match Schema::parse(structure, &format!("{path}.schema.openAPIV3Schema")) {
            Ok(schema) => versions.push(Version {
                name: json::text(version, "/name").to_owned(),
                served: json::flag(version, "/served"),
                storage: json::flag(version, "/storage"),
                schema: Some(schema),
                structure: structure.clone(),
                columns: json::entries(version, "/additionalPrinterColumns").to_vec(),
            }),
            Err(wrong) => errors.extend(wrong),
        }
        if json::flag(version, "/storage") {
            status = version.pointer("/subresources/status").is_some();
            scale = version.pointer("/subresources/scale").map(|scale| Scale {
                spec_replicas: pointer(json::text(scale, "/specReplicasPath")),
                status_replicas: pointer(json::text(scale, "/statusReplicasPath")),
                selector: match json::text(scale, "/labelSelectorPath") {
                    "" => None,
                    path => Some(pointer(path)),
                },
            });
        }
    }
    let stored = versions.iter().filter(|version| version.storage).count();
    if errors.is_empty() && stored != 1 {
        errors.push(FieldError::invalid(
            "spec.versions",
            &Value::from(stored),
            "must have exactly one version marked as storage version",
        ));
    }
    if !errors.is_empty() {
        return Err(errors);
    }

    let text_or = |pointer: &str, otherwise: String| match json::text(definition, pointer) {
        "" => otherwise,
        text => text.to_owned(),
    };
    let texts = |pointer: &str| {
        json::entries(definition, pointer)
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    Ok(Kind {
        list_kind: text_or("/spec/names/listKind", format!("{kind}List")),
        singular: text_or("/spec/names/singular", kind.to_lowercase()),
        short_names: texts("/spec/names/shortNames"),
        categories: texts("/spec/names/categories"),
        namespaced: json::text(definition, "/spec/scope") == "Namespaced",
        group,
        kind,
        plural,
        versions,
        status,
        scale,
        generation: Generation::AnythingElse,
        delete_returns_object: false,
        source: Source::Custom,
    })
}

/// A definition's path, as in `.spec.replicas`, as a JSON pointer.
fn pointer(path: &str) -> String {
    path.replace('.', "/")
}
