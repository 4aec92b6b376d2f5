//! The hand-over points: where the first controller is stopped, and how the second one comes to the end.

use std::fmt::{self, Display, Formatter};

use super::sight::Sight;

/// How traffic gets from one version to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A canary whose weights are Istio's.
    Istio,
    /// The same, between subsets of one host and without Services of its own.
    Subsets,
    /// A canary by numbers of pods.
    Plain,
    /// Blue-green.
    BlueGreen,
}

/// One row of the table.
pub(super) struct Point {
    pub kind: Kind,
    /// Where the update stands when the first controller goes.
    pub place: &'static str,
    /// Fields of the strategy, besides those that name Services and routes.
    pub strategy: &'static str,
    /// What leads there from nothing.
    pub reach: &'static [Act],
    /// What holds there.
    pub at: &'static [Sign],
    /// What leads on. In the end the last version is stable and healthy and has all of the traffic.
    pub go_on: &'static [Act],
}

/// What happens, in its order.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    /// The Rollout and what it needs are created.
    Create,
    /// The same, with pods that do not get ready.
    CreateUnready,
    /// Another version.
    Release,
    /// Another version whose pods do not get ready.
    ReleaseUnready,
    /// The pods that are there get ready.
    LetReady,
    /// Pods get ready, those to come too.
    LetAllReady,
    /// `kubectl argo rollouts`, with the name at the end.
    Client(&'static [&'static str]),
    /// A user's pause is taken back; that of a step is not.
    Resume,
    /// The metric gets good.
    Good,
    /// Waits.
    Until(Sign),
}

/// What can be seen.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sign {
    Phase(&'static str),
    /// The current version is stable and healthy and has all of the traffic, which comes after the phase.
    Settled,
    /// The same of the second version.
    Promoted,
    Step(i64),
    Weight(i64),
    /// The VirtualService has the route that a step has set.
    Route(&'static str),
    /// Pods of the current template, and how many of them are ready.
    NewPods(usize, usize),
    /// An AnalysisRun is at work.
    Measuring,
    /// A set has pods and an announced end.
    Announced,
    /// No set has pods and an announced end.
    NoneAnnounced,
    /// The Service of this suffix selects the current template.
    Selects(&'static str),
    Aborted,
}

impl Sign {
    pub fn shows(self, sight: &Sight) -> bool {
        match self {
            Self::Phase(phase) => sight.observed() && sight.phase() == phase,
            Self::Settled => sight.is_complete() && sight.astray().is_empty(),
            Self::Promoted => sight.sets.len() == 2 && Self::Settled.shows(sight),
            Self::Step(step) => sight.observed() && sight.step() == Some(step),
            Self::Weight(weight) => sight.traffic.weight == Some(weight),
            Self::Route(name) => sight.traffic.routes.iter().any(|route| route.name == name),
            Self::NewPods(all, ready) => sight.observed() && sight.new_pods() == (all, ready),
            Self::Measuring => sight.runs.values().any(|phase| phase == "Running"),
            Self::Announced => !sight.deadlines().is_empty(),
            Self::NoneAnnounced => sight.deadlines().is_empty(),
            Self::Selects(suffix) => sight.traffic.selectors.iter().any(|(name, hash)| {
                name.ends_with(suffix) && !hash.is_empty() && *hash == sight.hash()
            }),
            Self::Aborted => *sight.status("abort") == true,
        }
    }
}

impl Display for Kind {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Istio => "canary, Istio",
            Self::Subsets => "canary, subsets",
            Self::Plain => "canary",
            Self::BlueGreen => "blue-green",
        })
    }
}

use Act::{
    Client, Create, CreateUnready, Good, LetAllReady, LetReady, Release, ReleaseUnready, Resume,
    Until,
};
use Sign::{
    Aborted, Announced, Measuring, NewPods, NoneAnnounced, Phase, Promoted, Route, Selects,
    Settled, Step, Weight,
};

const SETTLED: Act = Until(Settled);
const PAUSED: Act = Until(Phase("Paused"));
const PROMOTE: Act = Client(&["promote"]);
const ABORT: Act = Client(&["abort"]);
const RETRY: Act = Client(&["retry", "rollout"]);

/// All of them. Each has four pods.
pub(super) const POINTS: &[Point] = &[
    Point {
        kind: Kind::Istio,
        place: "first revision, pods not ready",
        strategy: "steps: [{setWeight: 25}]",
        reach: &[CreateUnready],
        at: &[Phase("Progressing"), NewPods(4, 0)],
        go_on: &[LetAllReady, SETTLED],
    },
    Point {
        kind: Kind::Istio,
        place: "at rest",
        strategy: "steps: [{setWeight: 25}]",
        reach: &[Create],
        at: &[Settled],
        go_on: &[],
    },
    Point {
        kind: Kind::Istio,
        place: "setWeight 25, pods not ready",
        strategy: "steps: [{setWeight: 25}, {setWeight: 75}]",
        reach: &[Create, SETTLED, ReleaseUnready],
        at: &[Phase("Progressing"), Step(0), Weight(0), NewPods(1, 0)],
        go_on: &[LetAllReady, Until(Promoted)],
    },
    Point {
        kind: Kind::Istio,
        place: "setWeight 50 after 25, pods not ready",
        strategy: "steps: [{setWeight: 25}, {pause: {}}, {setWeight: 50}]",
        reach: &[
            Create,
            SETTLED,
            ReleaseUnready,
            Until(NewPods(1, 0)),
            LetReady,
            PAUSED,
            PROMOTE,
        ],
        at: &[Phase("Progressing"), Step(2), Weight(25), NewPods(2, 1)],
        go_on: &[LetAllReady, Until(Promoted)],
    },
    Point {
        kind: Kind::Istio,
        place: "pause without end",
        strategy: "steps: [{setWeight: 25}, {pause: {}}, {setWeight: 50}]",
        reach: &[Create, SETTLED, Release],
        at: &[Phase("Paused"), Step(1), Weight(25)],
        go_on: &[PROMOTE, Until(Promoted)],
    },
    Point {
        kind: Kind::Istio,
        place: "pause of 30 s",
        strategy: "steps: [{setWeight: 25}, {pause: {duration: 30s}}, {setWeight: 50}]",
        reach: &[Create, SETTLED, Release],
        at: &[Phase("Paused"), Step(1), Weight(25)],
        go_on: &[Until(Promoted)],
    },
    Point {
        kind: Kind::Istio,
        place: "during inline analysis",
        strategy: "steps: [{setWeight: 50}, {analysis: {templates: [{templateName: ok}]}}]",
        reach: &[Create, SETTLED, Release],
        at: &[Measuring, Step(1), Weight(50)],
        go_on: &[Good, Until(Promoted)],
    },
    Point {
        kind: Kind::Istio,
        place: "paused, background analysis at work",
        strategy: "{steps: [{setWeight: 50}, {pause: {}}], analysis: {templates: [{templateName: bad}]}}",
        reach: &[Create, SETTLED, Release],
        at: &[Measuring, Phase("Paused"), Step(1), Weight(50)],
        go_on: &[PROMOTE, Until(Promoted)],
    },
    Point {
        kind: Kind::Istio,
        place: "paused by a user",
        strategy: "steps: [{setWeight: 25}, {setWeight: 75}, {pause: {}}]",
        reach: &[Create, SETTLED, Release, PAUSED, Client(&["pause"])],
        at: &[Phase("Paused"), Step(2), Weight(75)],
        // Not with `promote` alone: that is two requests, and upstream's controller, when it acts on the first before the
        // second is there, begins the pause of the step anew.
        go_on: &[Resume, PAUSED, PROMOTE, Until(Promoted)],
    },
    Point {
        kind: Kind::Istio,
        place: "setCanaryScale, paused",
        strategy: "steps: [{setCanaryScale: {replicas: 2}}, {pause: {}}, {setWeight: 50}, {setCanaryScale: {matchTrafficWeight: true}}]",
        reach: &[Create, SETTLED, Release],
        at: &[Phase("Paused"), Step(1), Weight(0), NewPods(2, 2)],
        go_on: &[PROMOTE, Until(Promoted)],
    },
    Point {
        kind: Kind::Istio,
        place: "dynamicStableScale, paused",
        strategy: "{steps: [{setWeight: 50}, {pause: {}}], dynamicStableScale: true}",
        reach: &[Create, SETTLED, Release],
        at: &[Phase("Paused"), Step(1), Weight(50), NewPods(2, 2)],
        go_on: &[PROMOTE, Until(Promoted)],
    },
    // Without its pods: as long as an aborted canary has some, upstream's controller sets the canary's Service to the
    // canary and back to the stable version without end, with nobody else there, too.
    Point {
        kind: Kind::Istio,
        place: "aborted",
        strategy: "{steps: [{setWeight: 50}, {pause: {}}], abortScaleDownDelaySeconds: 1}",
        reach: &[Create, SETTLED, Release, PAUSED, ABORT],
        at: &[
            Phase("Degraded"),
            Aborted,
            Step(0),
            Weight(0),
            NewPods(0, 0),
        ],
        go_on: &[RETRY, PAUSED, PROMOTE, Until(Promoted)],
    },
    Point {
        kind: Kind::Istio,
        place: "promoted, old pods for 30 s more",
        strategy: "{steps: [{setWeight: 50}], scaleDownDelaySeconds: 30}",
        reach: &[Create, SETTLED, Release],
        at: &[Promoted, Announced],
        go_on: &[Until(NoneAnnounced), Until(Promoted)],
    },
    Point {
        kind: Kind::Istio,
        place: "a header route in force",
        strategy: "steps: [{setWeight: 25}, {setHeaderRoute: {name: beta, match: [{headerName: x-beta, headerValue: {exact: 'yes'}}]}}, {pause: {}}, {setWeight: 50}]",
        reach: &[Create, SETTLED, Release],
        at: &[Phase("Paused"), Step(2), Weight(25), Route("beta")],
        go_on: &[PROMOTE, Until(Promoted)],
    },
    Point {
        kind: Kind::Subsets,
        place: "pause without end",
        strategy: "steps: [{setWeight: 25}, {pause: {}}, {setWeight: 50}]",
        reach: &[Create, SETTLED, Release],
        at: &[Phase("Paused"), Step(1), Weight(25)],
        go_on: &[PROMOTE, Until(Promoted)],
    },
    Point {
        kind: Kind::Subsets,
        place: "setWeight 50 after 25, pods not ready",
        strategy: "steps: [{setWeight: 25}, {pause: {}}, {setWeight: 50}]",
        reach: &[
            Create,
            SETTLED,
            ReleaseUnready,
            Until(NewPods(1, 0)),
            LetReady,
            PAUSED,
            PROMOTE,
        ],
        at: &[Phase("Progressing"), Step(2), Weight(25), NewPods(2, 1)],
        go_on: &[LetAllReady, Until(Promoted)],
    },
    Point {
        kind: Kind::Plain,
        place: "first revision, pods not ready",
        strategy: "steps: [{setWeight: 25}]",
        reach: &[CreateUnready],
        at: &[Phase("Progressing"), NewPods(4, 0)],
        go_on: &[LetAllReady, SETTLED],
    },
    Point {
        kind: Kind::Plain,
        place: "at rest",
        strategy: "steps: [{setWeight: 25}]",
        reach: &[Create],
        at: &[Settled],
        go_on: &[],
    },
    Point {
        kind: Kind::Plain,
        place: "setWeight 50 after 25, pods not ready",
        strategy: "{steps: [{setWeight: 25}, {pause: {}}, {setWeight: 50}], maxSurge: 1, maxUnavailable: 0}",
        reach: &[
            Create,
            SETTLED,
            ReleaseUnready,
            Until(NewPods(1, 0)),
            LetReady,
            PAUSED,
            PROMOTE,
        ],
        at: &[Phase("Progressing"), Step(2), NewPods(2, 1)],
        go_on: &[LetAllReady, Until(Promoted)],
    },
    Point {
        kind: Kind::Plain,
        place: "pause without end",
        strategy: "steps: [{setWeight: 50}, {pause: {}}, {setWeight: 75}]",
        reach: &[Create, SETTLED, Release],
        at: &[Phase("Paused"), Step(1), NewPods(2, 2)],
        go_on: &[PROMOTE, Until(Promoted)],
    },
    Point {
        kind: Kind::Plain,
        place: "pause of 30 s",
        strategy: "steps: [{setWeight: 50}, {pause: {duration: 30s}}, {setWeight: 75}]",
        reach: &[Create, SETTLED, Release],
        at: &[Phase("Paused"), Step(1), NewPods(2, 2)],
        go_on: &[Until(Promoted)],
    },
    Point {
        kind: Kind::Plain,
        place: "during inline analysis",
        strategy: "steps: [{setWeight: 50}, {analysis: {templates: [{templateName: ok}]}}]",
        reach: &[Create, SETTLED, Release],
        at: &[Measuring, Step(1), NewPods(2, 2)],
        go_on: &[Good, Until(Promoted)],
    },
    Point {
        kind: Kind::Plain,
        place: "aborted",
        strategy: "steps: [{setWeight: 50}, {pause: {}}]",
        reach: &[Create, SETTLED, Release, PAUSED, ABORT],
        at: &[Phase("Degraded"), Aborted, Step(0), NewPods(0, 0)],
        go_on: &[RETRY, PAUSED, PROMOTE, Until(Promoted)],
    },
    Point {
        kind: Kind::BlueGreen,
        place: "first revision, pods not ready",
        strategy: "{}",
        reach: &[CreateUnready],
        at: &[Phase("Progressing"), NewPods(4, 0)],
        go_on: &[LetAllReady, SETTLED],
    },
    Point {
        kind: Kind::BlueGreen,
        place: "at rest",
        strategy: "{}",
        reach: &[Create],
        at: &[Settled],
        go_on: &[],
    },
    Point {
        kind: Kind::BlueGreen,
        place: "preview, pods not ready",
        strategy: "{}",
        reach: &[Create, SETTLED, ReleaseUnready],
        at: &[Phase("Progressing"), NewPods(4, 0), Selects("-preview")],
        go_on: &[LetAllReady, Until(Promoted)],
    },
    Point {
        kind: Kind::BlueGreen,
        place: "paused before the switch",
        strategy: "autoPromotionEnabled: false",
        reach: &[Create, SETTLED, Release],
        at: &[Phase("Paused"), NewPods(4, 4), Selects("-preview")],
        go_on: &[PROMOTE, Until(Promoted)],
    },
    Point {
        kind: Kind::BlueGreen,
        place: "a small preview, paused",
        strategy: "{autoPromotionEnabled: false, previewReplicaCount: 1}",
        reach: &[Create, SETTLED, Release],
        at: &[Phase("Paused"), NewPods(1, 1), Selects("-preview")],
        go_on: &[PROMOTE, Until(Promoted)],
    },
    Point {
        kind: Kind::BlueGreen,
        place: "30 s before the switch",
        strategy: "autoPromotionSeconds: 30",
        reach: &[Create, SETTLED, Release],
        at: &[Phase("Paused"), NewPods(4, 4), Selects("-preview")],
        go_on: &[Until(Promoted)],
    },
    Point {
        kind: Kind::BlueGreen,
        place: "during pre-promotion analysis",
        strategy: "prePromotionAnalysis: {templates: [{templateName: ok}]}",
        reach: &[Create, SETTLED, Release],
        at: &[Measuring, NewPods(4, 4), Selects("-preview")],
        go_on: &[Good, Until(Promoted)],
    },
    Point {
        kind: Kind::BlueGreen,
        place: "switched, during post-promotion analysis",
        strategy: "postPromotionAnalysis: {templates: [{templateName: ok}]}",
        reach: &[Create, SETTLED, Release],
        at: &[Measuring, NewPods(4, 4), Selects("-active")],
        go_on: &[Good, Until(Promoted)],
    },
    Point {
        kind: Kind::BlueGreen,
        place: "aborted before the switch",
        strategy: "{autoPromotionEnabled: false, abortScaleDownDelaySeconds: 300}",
        reach: &[Create, SETTLED, Release, PAUSED, ABORT],
        at: &[Phase("Degraded"), Aborted, NewPods(4, 4)],
        go_on: &[RETRY, PAUSED, PROMOTE, Until(Promoted)],
    },
    Point {
        kind: Kind::BlueGreen,
        place: "promoted, old pods for 30 s more",
        strategy: "scaleDownDelaySeconds: 30",
        reach: &[Create, SETTLED, Release],
        at: &[Promoted, Announced],
        go_on: &[Until(NoneAnnounced), Until(Promoted)],
    },
];

impl Point {
    /// Whether time alone leads on.
    pub fn is_timed(&self) -> bool {
        self.place.contains("30 s")
    }

    /// Whether the update begins anew on the way.
    pub fn begins_anew(&self) -> bool {
        self.place.starts_with("aborted")
    }
}
