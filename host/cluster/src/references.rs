//! What a Rollout names: Services and analysis templates. Kept in both directions, so that a change of a Service finds
//! the Rollouts that name it.

use std::collections::{BTreeMap, BTreeSet};

use sluice_api as api;

use crate::Key;

/// Something that a Rollout names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reference {
    /// A Service in its namespace.
    Service(Key),
    /// An AnalysisTemplate in its namespace.
    Template(Key),
    /// A ClusterAnalysisTemplate.
    ClusterTemplate(String),
}

/// The name of an analysis template as a specification gives it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TemplateName {
    /// A ClusterAnalysisTemplate.
    pub(crate) cluster: bool,
    /// `metadata.name`
    pub(crate) name: String,
}

impl TemplateName {
    /// The reference of an object in this namespace that names the template.
    pub(crate) fn in_namespace(&self, namespace: &str) -> Reference {
        if self.cluster {
            Reference::ClusterTemplate(self.name.clone())
        } else {
            Reference::Template(Key::new(namespace, &self.name))
        }
    }
}

/// Every Service that the specification names.
pub(crate) fn services(spec: &api::RolloutSpec) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    if let Some(blue_green) = &spec.strategy.blue_green {
        names.extend([
            blue_green.active_service.clone(),
            blue_green.preview_service.clone(),
        ]);
    }
    if let Some(canary) = &spec.strategy.canary {
        names.extend([canary.canary_service.clone(), canary.stable_service.clone()]);
        if let Some(pair) = &canary.ping_pong {
            names.extend([pair.ping_service.clone(), pair.pong_service.clone()]);
        }
    }
    names.remove("");
    names
}

/// Every analysis template that the specification names itself; those that templates name are for [`nested`].
pub(crate) fn templates(spec: &api::RolloutSpec) -> BTreeSet<TemplateName> {
    let mut names = BTreeSet::new();
    if let Some(blue_green) = &spec.strategy.blue_green {
        for analysis in [
            &blue_green.pre_promotion_analysis,
            &blue_green.post_promotion_analysis,
        ] {
            names.extend(
                analysis
                    .iter()
                    .flat_map(|analysis| named(&analysis.templates)),
            );
        }
    }
    if let Some(canary) = &spec.strategy.canary {
        names.extend(
            canary
                .analysis
                .iter()
                .flat_map(|analysis| named(&analysis.templates)),
        );
        for step in &canary.steps {
            names.extend(
                step.analysis
                    .iter()
                    .flat_map(|analysis| named(&analysis.templates)),
            );
            let analyses = step
                .experiment
                .iter()
                .flat_map(|experiment| &experiment.analyses);
            names.extend(analyses.map(|analysis| TemplateName {
                cluster: analysis.cluster_scope == Some(true),
                name: analysis.template_name.clone(),
            }));
        }
    }
    names.retain(|template| !template.name.is_empty());
    names
}

/// The templates that an Experiment names.
pub(crate) fn experiment_templates(spec: &api::ExperimentSpec) -> BTreeSet<TemplateName> {
    let named = spec.analyses.iter().map(|analysis| TemplateName {
        cluster: analysis.cluster_scope == Some(true),
        name: analysis.template_name.clone(),
    });
    named.filter(|template| !template.name.is_empty()).collect()
}

/// The templates that a template names.
pub(crate) fn nested(spec: &api::AnalysisTemplateSpec) -> BTreeSet<TemplateName> {
    named(&spec.templates)
        .filter(|template| !template.name.is_empty())
        .collect()
}

fn named(references: &[api::AnalysisTemplateRef]) -> impl Iterator<Item = TemplateName> {
    references.iter().map(|reference| TemplateName {
        cluster: reference.cluster_scope == Some(true),
        name: reference.template_name.clone(),
    })
}

/// Everything that a Rollout names itself.
pub(crate) fn of_rollout(rollout: &api::Rollout) -> BTreeSet<Reference> {
    let namespace = &rollout.metadata.namespace;
    let services = services(&rollout.spec).into_iter();
    let services = services.map(|name| Reference::Service(Key::new(namespace, name)));
    let templates = templates(&rollout.spec).into_iter();
    services
        .chain(templates.map(|template| template.in_namespace(namespace)))
        .collect()
}

/// References in both directions, by who holds them.
#[derive(Debug, Default)]
pub(crate) struct References {
    held: BTreeMap<Key, BTreeSet<Reference>>,
    holders: BTreeMap<Reference, BTreeSet<Key>>,
}

impl References {
    /// What this holder refers to from now on; returned is what it does not refer to any more.
    pub(crate) fn replace(
        &mut self,
        holder: &Key,
        references: BTreeSet<Reference>,
    ) -> BTreeSet<Reference> {
        let before = if references.is_empty() {
            self.held.remove(holder).unwrap_or_default()
        } else {
            self.held
                .insert(holder.clone(), references.clone())
                .unwrap_or_default()
        };
        for reference in references.difference(&before) {
            self.holders
                .entry(reference.clone())
                .or_default()
                .insert(holder.clone());
        }
        let dropped: BTreeSet<Reference> = before.difference(&references).cloned().collect();
        for reference in &dropped {
            if let Some(holders) = self.holders.get_mut(reference) {
                holders.remove(holder);
                if holders.is_empty() {
                    self.holders.remove(reference);
                }
            }
        }
        dropped
    }

    /// Who refers to this.
    pub(crate) fn holders(&self, reference: &Reference) -> BTreeSet<Key> {
        self.holders.get(reference).cloned().unwrap_or_default()
    }
}
