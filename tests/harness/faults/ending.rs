//! Where a history must end: as its last specification and commands say, with every number in agreement.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde_json::{Value, json};
use sluice_simulation::Simulation;

use super::acts::kind_of;
use super::court::{Court, ENDED, Violation, asks_for_no_pods, share_at, steps_of};
use super::history::{Fate, History, What};
use super::scene::{NAME, NAMESPACE, Strategy, is_main};
use super::world::rollout_kind;

/// Long enough for a stable set to grow, and for its share to come back to it.
const FAILED: SignedDuration = SignedDuration::from_secs(15);

/// What is wrong with the end of a history.
pub(super) fn check(simulation: &Simulation, history: &History, court: &Court) -> Vec<Violation> {
    let Some(rollout) = simulation.get(&rollout_kind(), NAMESPACE, NAME) else {
        return vec![end(simulation, court, "the Rollout is gone")];
    };
    let view = End {
        simulation,
        history,
        court,
        sets: simulation.list(&kind_of("ReplicaSet"), Some(NAMESPACE)),
        rollout,
    };
    let problem = view.problem();
    problem
        .into_iter()
        .map(|text| end(simulation, court, &format!("{text} ({})", view.summary())))
        .collect()
}

fn end(simulation: &Simulation, court: &Court, text: &str) -> Violation {
    Violation::new(court.since(simulation.now()), "ending", text)
}

struct End<'a> {
    simulation: &'a Simulation,
    history: &'a History,
    court: &'a Court,
    rollout: Value,
    sets: Vec<Value>,
}

impl End<'_> {
    fn text(&self, path: &str) -> &str {
        self.rollout
            .pointer(path)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn number(&self, path: &str) -> i64 {
        self.rollout
            .pointer(path)
            .and_then(Value::as_i64)
            .unwrap_or(0)
    }

    fn summary(&self) -> String {
        format!(
            "{}: {}",
            self.text("/status/phase"),
            self.text("/status/message")
        )
    }

    fn replicas(&self) -> i64 {
        self.number("/spec/replicas")
    }

    fn set(&self, hash: &str) -> Option<&Value> {
        self.sets
            .iter()
            .find(|set| !hash.is_empty() && hash_of(set) == hash)
    }

    /// The sets of the Rollout.
    fn owned(&self) -> impl Iterator<Item = &Value> {
        let owner = "/metadata/ownerReferences/0/name";
        self.sets
            .iter()
            .filter(move |set| set.pointer(owner) == Some(&json!(NAME)))
    }

    /// The first thing that is wrong.
    fn problem(&self) -> Option<String> {
        let generation = self.number("/metadata/generation").to_string();
        if self.text("/status/observedGeneration") != generation {
            return Some(format!(
                "the status is about generation {}, not {generation}",
                self.text("/status/observedGeneration")
            ));
        }
        let message = self.text("/status/message");
        let problem = match self.text("/status/phase") {
            "Healthy" => self.healthy(),
            "Paused" => self.paused(),
            "Degraded" if message.starts_with("RolloutAborted") => self.aborted(),
            "Degraded" | "Progressing" => self.unfinished(),
            other => Some(format!("phase '{other}'")),
        };
        problem
            .or_else(|| self.share_of_nobody())
            .or_else(|| self.counts())
            .or_else(|| self.revisions())
            .or_else(|| self.runs())
            .or_else(|| self.neighbour())
    }

    fn healthy(&self) -> Option<String> {
        let hash = self.text("/status/currentPodHash");
        if self.text("/status/stableRS") != hash {
            return Some("healthy, and not promoted".to_owned());
        }
        let Some(set) = self.set(hash) else {
            return Some("healthy without a ReplicaSet".to_owned());
        };
        let image = |object: &Value| {
            object
                .pointer("/spec/template/spec/containers/0/image")
                .cloned()
        };
        if image(set) != image(&self.rollout) {
            return Some("the ReplicaSet has another image than the Rollout".to_owned());
        }
        // Routes that somebody has taken away and brought back stay off a set whose pods crash ever since, and whoever has
        // the traffic keeps the pods.
        let routed = self.court.strategy != Strategy::Basic;
        if routed && !is_good(set) && self.court.mirror.traffic.share(hash) < 100 {
            return self.serves(set);
        }
        self.serves(set)
            .or_else(|| self.others_are_empty(&[hash]))
            .or_else(|| self.traffic(hash))
    }

    fn paused(&self) -> Option<String> {
        if self.rollout.pointer("/spec/paused") == Some(&json!(true)) {
            return None;
        }
        if !self.history.seed.is_multiple_of(3) {
            return Some("still paused after having been promoted".to_owned());
        }
        let Some(stable) = self.set(self.text("/status/stableRS")) else {
            return Some("paused without a stable set".to_owned());
        };
        let dynamic = self.court.mirror.strategy("dynamicStableScale") == Some(&json!(true));
        let keeps_size = self.court.strategy != Strategy::Basic && !dynamic;
        let size = self.serves(stable).filter(|_| keeps_size);
        size.or_else(|| self.split(stable))
    }

    /// Traffic is split as the status says, and as its step does, by Services or subsets of the two sets.
    fn split(&self, stable: &Value) -> Option<String> {
        let hash = self.text("/status/currentPodHash");
        let Some(canary) = self.set(hash) else {
            return Some("paused without a new set".to_owned());
        };
        let traffic = &self.court.mirror.traffic;
        let said = self.number("/status/canary/weights/canary/weight");
        let weight = traffic.weight.unwrap_or(0);
        if said != weight {
            return Some(format!(
                "the status says weight {said}, the routes say {weight}"
            ));
        }
        // Where pods do not last, or sizes stand still, routers and Services may wait for ever.
        if !is_good(stable) || !is_good(canary) || self.replicas() == 0 || self.is_inconclusive() {
            return None;
        }
        let ways = match self.court.strategy {
            Strategy::Basic => return None,
            Strategy::Routed => &[("stable", stable), ("canary", canary)][..],
            // The active Service may be with a set in between, which was overtaken.
            Strategy::BlueGreen if traffic.selected.get("active").is_some_and(|to| to == hash) => {
                return Some("paused before its switch, and active".to_owned());
            }
            Strategy::BlueGreen => &[("preview", canary)][..],
        };
        let astray = ways.iter().find_map(|(way, set)| {
            let selected = traffic.selected.get(*way)?;
            let hash = set
                .pointer("/metadata/labels/rollouts-pod-template-hash")?
                .as_str()?;
            let ready = set.pointer("/status/readyReplicas").and_then(Value::as_i64);
            (ready.is_some_and(|ready| ready > 0) && selected != hash)
                .then(|| format!("{way} selects '{selected}', not {hash}"))
        });
        astray.or_else(|| {
            let index = self.number("/status/currentStepIndex");
            let steps = steps_of(&self.rollout);
            let upto = usize::try_from(index)
                .ok()
                .and_then(|index| steps.get(..=index));
            // A canary that is to have no pods has no share either.
            let share = match upto.is_some_and(asks_for_no_pods) {
                true => 0,
                false => share_at(steps, index),
            };
            (self.court.strategy == Strategy::Routed && weight != share)
                .then(|| format!("paused at step {index} with weight {weight} instead of {share}"))
        })
    }

    fn aborted(&self) -> Option<String> {
        if !self.abort_is_due() {
            return Some("aborted without a reason".to_owned());
        }
        let stable_hash = self.text("/status/stableRS");
        let Some(stable) = self.set(stable_hash) else {
            return Some("aborted without a stable set".to_owned());
        };
        if !is_good(stable) {
            return None;
        }
        let hash = self.text("/status/currentPodHash");
        let kept = self.court.mirror.strategy("abortScaleDownDelaySeconds") == Some(&json!(0))
            && self.court.strategy != Strategy::Basic;
        let kept: &[&str] = if kept {
            &[stable_hash, hash]
        } else {
            &[stable_hash]
        };
        self.serves(stable)
            .or_else(|| self.others_are_empty(kept))
            .or_else(|| self.traffic(stable_hash))
    }

    /// Whether anything asked for an abort since the last release.
    fn abort_is_due(&self) -> bool {
        let acts = &self.court.acts;
        let by_user = abort_asked(acts.iter().map(|(_, what)| what), &self.court.abort_met);
        let by_analysis = self.court.mirror.runs.values().any(|run| {
            let phase = run.pointer("/status/phase").and_then(Value::as_str);
            matches!(phase, Some("Failed" | "Error" | "Inconclusive"))
        });
        // A run that failed may be deleted since.
        let deleted = acts.iter().any(|(_, what)| *what == What::DeleteRun);
        let by_deadline = self.rollout.pointer("/spec/progressDeadlineAbort") == Some(&json!(true));
        by_user || by_analysis || deleted || by_deadline
    }

    /// An update may only stop short where its pods can never be ready.
    fn unfinished(&self) -> Option<String> {
        if self.text("/status/message").contains("InvalidSpec") {
            return Some("an invalid specification".to_owned());
        }
        let template = self.rollout.pointer("/spec/template");
        let stable = self.set(self.text("/status/stableRS"));
        let hopeless = template.is_some_and(|template| !is_good_template(template))
            || stable.is_some_and(|stable| !is_good(stable));
        (!hopeless).then(|| "the update never ends".to_owned())
    }

    /// The set has all pods, ready.
    fn serves(&self, set: &Value) -> Option<String> {
        let replicas = self.replicas();
        let of = |path: &str| set.pointer(path).and_then(Value::as_i64).unwrap_or(0);
        let (wanted, ready) = (of("/spec/replicas"), of("/status/readyReplicas"));
        if wanted != replicas || (ready != replicas && is_good(set)) {
            return Some(format!(
                "{} has {ready}/{wanted} pods, not {replicas}",
                hash_of(set)
            ));
        }
        None
    }

    fn others_are_empty(&self, kept: &[&str]) -> Option<String> {
        self.owned()
            .filter(|set| !kept.contains(&hash_of(set)))
            .find(|set| set.pointer("/spec/replicas").and_then(Value::as_i64) != Some(0))
            .map(|set| format!("{} still has pods", hash_of(set)))
    }

    /// All traffic goes to this set.
    fn traffic(&self, hash: &str) -> Option<String> {
        // No Service is pointed at a set before that has a ready pod, and no share moves.
        if self.replicas() == 0 {
            return None;
        }
        let traffic = &self.court.mirror.traffic;
        // After an abort a preview stays for whoever wants to look, and a subset keeps its label, without a share.
        let mut kept: &[&str] = &[];
        if self.text("/status/phase") == "Degraded" {
            kept = if self.history.scene.subsets {
                &["canary"]
            } else {
                &["preview"]
            };
        }
        for (name, selected) in &traffic.selected {
            if selected != hash && !kept.contains(&name.as_str()) {
                return Some(format!("{name} selects '{selected}', not {hash}"));
            }
        }
        if let Some(weight) = traffic.weight.filter(|weight| *weight != 0) {
            return Some(format!("weight {weight} is left"));
        }
        let routes = self
            .simulation
            .get(&kind_of("VirtualService"), NAMESPACE, NAME);
        let http = routes
            .as_ref()
            .and_then(|routes| routes.pointer("/spec/http")?.as_array());
        let others = http.map_or(0, |http| {
            http.iter().filter(|route| !is_main(route)).count()
        });
        (others > 0).then(|| "a route of a step is left".to_owned())
    }

    /// A share of a set without pods, though another one could serve it. Where sizes stand still nobody can make room.
    fn share_of_nobody(&self) -> Option<String> {
        let stable = self.set(self.text("/status/stableRS"))?;
        let paused = self.rollout.pointer("/spec/paused") == Some(&json!(true));
        if self.replicas() == 0 || !is_good(stable) || paused || self.is_inconclusive() {
            return None;
        }
        let (name, share) = self
            .court
            .mirror
            .dead_share(self.simulation.now(), FAILED)?;
        (!self.is_overtaken(name))
            .then(|| format!("{name} has no ready pod, and {share} % of the traffic"))
    }

    /// Sizes stand still until somebody has looked at an analysis.
    fn is_inconclusive(&self) -> bool {
        let pauses = self.rollout.pointer("/status/pauseConditions");
        let mut pauses = pauses.and_then(Value::as_array).into_iter().flatten();
        pauses.any(|pause| pause.get("reason") == Some(&json!("InconclusiveAnalysisRun")))
    }

    /// Active before its analysis was over, crashing, and left behind by a release: the Service goes on to the next revision,
    /// or back once somebody aborts that.
    fn is_overtaken(&self, name: &str) -> bool {
        let ends = ["/status/stableRS", "/status/currentPodHash"].map(|path| self.text(path));
        let aborted = self.text("/status/message").starts_with("RolloutAborted");
        let set = self.court.mirror.sets.get(name);
        let crashing = set.is_some_and(|set| {
            let between = !ends.contains(&set.hash.as_str());
            let full = set.now().wanted == self.replicas();
            between && full && self.set(&set.hash).is_some_and(|set| !is_good(set))
        });
        self.court.strategy == Strategy::BlueGreen && crashing && !aborted
    }

    /// No two sets have one revision, unless somebody has taken those away, or lists were from the past.
    fn revisions(&self) -> Option<String> {
        let unannotated = |(_, what): &(_, What)| matches!(what, What::Unannotate(_));
        let excused = self.court.sent_back || self.court.acts.iter().any(unannotated);
        let mut seen = BTreeMap::new();
        let revisions = self.owned().filter_map(|set| {
            let revision = set.pointer("/metadata/annotations/rollout.argoproj.io~1revision")?;
            Some((revision.as_str()?, hash_of(set)))
        });
        revisions.filter(|_| !excused).find_map(|(revision, hash)| {
            let other = seen.insert(revision, hash)?;
            Some(format!("{other} and {hash} have revision {revision}"))
        })
    }

    fn counts(&self) -> Option<String> {
        let sum = |path: &str| -> i64 {
            self.owned()
                .map(|set| set.pointer(path).and_then(Value::as_i64).unwrap_or(0))
                .sum()
        };
        let (said, is) = (self.number("/status/replicas"), sum("/status/replicas"));
        (said != is).then(|| format!("the status says {said} pods, and there are {is}"))
    }

    fn runs(&self) -> Option<String> {
        // While an update goes on, so does what watches it.
        let aborted = self.text("/status/message").starts_with("RolloutAborted");
        if self.text("/status/phase") != "Healthy" && !aborted {
            return None;
        }
        self.court.mirror.runs.iter().find_map(|(name, run)| {
            let phase = run
                .pointer("/status/phase")
                .and_then(Value::as_str)
                .unwrap_or_default();
            (!ENDED.contains(&phase)).then(|| format!("run {name} is still '{phase}'"))
        })
    }

    fn neighbour(&self) -> Option<String> {
        if !self.history.scene.neighbour {
            return None;
        }
        let neighbour = self
            .simulation
            .get(&rollout_kind(), NAMESPACE, "neighbour")?;
        let phase = neighbour.pointer("/status/phase").and_then(Value::as_str);
        (phase != Some("Degraded")).then(|| format!("the neighbour is {phase:?}"))
    }
}

/// Whether somebody asked for an abort of the template that there is in the end. Whoever has two changes of mind while no
/// controller looks has none; and whoever is back at the template that it knows has the abort that came in between (`met`).
fn abort_asked<'a>(acts: impl Iterator<Item = &'a What>, met: &BTreeSet<usize>) -> bool {
    let mut templates = vec![(1, Fate::Good(1))];
    let mut aborted = Vec::new();
    for (index, what) in acts.enumerate() {
        match what {
            What::Release { version, fate } => {
                let template = (*version, *fate);
                if met.contains(&index) && templates.contains(&template) {
                    aborted.push(template);
                }
                templates.push(template);
            }
            What::Abort => aborted.extend(templates.last()),
            _ => {}
        }
    }
    templates
        .last()
        .is_some_and(|template| aborted.contains(template))
}

fn hash_of(set: &Value) -> &str {
    set.pointer("/metadata/labels/rollouts-pod-template-hash")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn is_good(set: &Value) -> bool {
    set.pointer("/spec/template").is_some_and(is_good_template)
}

fn is_good_template(template: &Value) -> bool {
    let annotations = template
        .pointer("/metadata/annotations")
        .and_then(Value::as_object);
    !annotations.is_some_and(|annotations| {
        annotations.contains_key("simulation.sluice.dev/never-ready")
            || annotations.contains_key("simulation.sluice.dev/crash-after")
    })
}
