//! Collects the actions of a pass, then puts them into the declared order.

use std::collections::BTreeMap;

use super::order::prerequisites;
use crate::plan::{Action, Plan, Planned, Query, Role, Write};
use crate::plugin::PluginCall;

/// What an action means for the status and the events of this Rollout, once it has succeeded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Meaning {
    /// The ReplicaSet of a new revision exists.
    Created { name: String, replicas: i32 },
    /// A set that had lost its owner or its label has it again.
    Claimed,
    /// A set was told to have another size.
    Scaled {
        name: String,
        revision: i64,
        from: i32,
        to: i32,
    },
    /// A Service selects another set.
    Switched {
        service: String,
        from: String,
        to: String,
    },
    /// The Rollout carries this revision.
    Revised(i64),
    /// A run exists.
    Started {
        kind: super::goal::RunKind,
        name: String,
    },
    /// A router's change. Which router: its position among the Rollout's.
    Routed(usize),
    /// A change of a router that the specification names no more, by its name.
    Released(String),
    /// Nothing that the status shows.
    Other,
}

/// Actions in the making.
#[derive(Default)]
pub(crate) struct Planner {
    actions: Vec<(Role, Action, Meaning)>,
}

impl Planner {
    pub fn write(&mut self, role: Role, write: Write, meaning: Meaning) {
        self.actions.push((role, Action::Write(write), meaning));
    }

    pub fn call(&mut self, call: PluginCall) {
        self.actions
            .push((Role::Ask, Action::Call(Box::new(call)), Meaning::Other));
    }

    pub fn look(&mut self, query: Query) {
        self.actions
            .push((Role::Look, Action::Look(query), Meaning::Other));
    }

    /// The size that a set gets in this pass; None where it keeps its own.
    pub fn size(&self, set: &str) -> Option<i32> {
        self.actions
            .iter()
            .find_map(|(_, _, meaning)| match meaning {
                Meaning::Scaled { name, to, .. } if name == set => Some(*to),
                _ => None,
            })
    }

    /// The plan: ordered by role, and within a role as collected. An abort waits for less.
    pub fn finish(mut self, aborted: bool) -> (Plan, BTreeMap<usize, Meaning>) {
        self.actions.sort_by_key(|(role, _, _)| *role);
        let positions = |wanted: Role| -> Vec<usize> {
            self.actions
                .iter()
                .enumerate()
                .filter(|(_, (role, _, _))| *role == wanted)
                .map(|(index, _)| index)
                .collect()
        };
        let after: Vec<Vec<usize>> = self
            .actions
            .iter()
            .enumerate()
            .map(|(index, (role, _, meaning))| {
                let mut needed: Vec<usize> = prerequisites()
                    .filter(|line| line.of == *role && (line.on_abort || !aborted))
                    .flat_map(|line| positions(line.needs))
                    .collect();
                // A router's own changes are applied in its order; the first that fails stops the rest.
                if matches!(meaning, Meaning::Routed(_) | Meaning::Released(_)) {
                    needed.extend(
                        self.actions
                            .iter()
                            .enumerate()
                            .take(index)
                            .filter(|(_, (_, _, other))| other == meaning)
                            .map(|(index, _)| index),
                    );
                }
                needed
            })
            .collect();
        let mut plan = Plan::default();
        let mut meanings = BTreeMap::new();
        for (index, ((role, action, meaning), after)) in
            self.actions.into_iter().zip(after).enumerate()
        {
            plan.actions.push(Planned {
                role,
                action,
                after,
            });
            meanings.insert(index, meaning);
        }
        (plan, meanings)
    }
}
