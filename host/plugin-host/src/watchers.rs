//! Which subjects are touched by a change of an object: who has read it, or waits for it.

use std::collections::{BTreeMap, BTreeSet};

use sluice_engine::object::{ObjectKey, Subject};
use sluice_engine::read::Select;

use crate::question::Question;

/// Group and kind: the same object may be read in several versions.
type Kind = (String, String);
/// Namespace, and name where one is meant.
type Place = (Option<String>, Option<String>);

/// Subjects by what they look at.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    by_kind: BTreeMap<Kind, BTreeMap<Place, BTreeSet<Subject>>>,
    by_subject: BTreeMap<Subject, BTreeSet<(Kind, Place)>>,
}

impl Watchers {
    /// Replaces what a subject looks at.
    pub(crate) fn set<'a>(
        &mut self,
        subject: &Subject,
        questions: impl Iterator<Item = &'a Question>,
    ) {
        let wanted: BTreeSet<_> = questions.map(place).collect();
        let had = self.by_subject.remove(subject).unwrap_or_default();
        for (kind, place) in had.difference(&wanted) {
            self.remove(subject, kind, place);
        }
        for (kind, place) in wanted.difference(&had) {
            let places = self.by_kind.entry(kind.clone()).or_default();
            places
                .entry(place.clone())
                .or_default()
                .insert(subject.clone());
        }
        if !wanted.is_empty() {
            self.by_subject.insert(subject.clone(), wanted);
        }
    }

    fn remove(&mut self, subject: &Subject, kind: &Kind, place: &Place) {
        let Some(places) = self.by_kind.get_mut(kind) else {
            return;
        };
        if let Some(subjects) = places.get_mut(place) {
            subjects.remove(subject);
            if subjects.is_empty() {
                places.remove(place);
            }
        }
        if places.is_empty() {
            self.by_kind.remove(kind);
        }
    }

    /// Who looks at this object, by its name or by anything that it might match.
    pub(crate) fn of(&self, object: &ObjectKey) -> BTreeSet<Subject> {
        let kind = (object.group().to_owned(), object.kind.clone());
        let Some(places) = self.by_kind.get(&kind) else {
            return BTreeSet::new();
        };
        let matching = |(namespace, name): &&Place| {
            // A question carries its subject's namespace even where the kind has none.
            let here =
                object.namespace.is_none() || namespace.is_none() || *namespace == object.namespace;
            here && name.as_ref().is_none_or(|name| *name == object.name)
        };
        match &object.namespace {
            None => places
                .iter()
                .filter(|(place, _)| matching(place))
                .flat_map(|(_, found)| found)
                .cloned()
                .collect(),
            Some(namespace) => {
                let spaces = [Some(namespace.clone()), None];
                let names = [Some(object.name.clone()), None];
                let mut found = BTreeSet::new();
                for space in spaces {
                    for name in &names {
                        found.extend(
                            places
                                .get(&(space.clone(), name.clone()))
                                .into_iter()
                                .flatten()
                                .cloned(),
                        );
                    }
                }
                found
            }
        }
    }
}

fn place(question: &Question) -> (Kind, Place) {
    let read = &question.read;
    let group = read
        .api_version
        .split_once('/')
        .map_or("", |(group, _)| group);
    let name = match &read.select {
        Select::Name(name) => Some(name.clone()),
        Select::Labels(_) | Select::Annotated { .. } => None,
    };
    (
        (group.to_owned(), read.kind.clone()),
        (read.namespace.clone(), name),
    )
}
