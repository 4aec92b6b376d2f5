# What happens next to a pod that runs: {event, delay}, or nothing. Every stage in stages.yaml that needs
# time asks this, so that the order of two events of one pod is decided in one place.
# The times in the annotations count from the start of the containers, which the stage `start` notes, to
# the millisecond, in a condition of the pod: the API's own timestamps are whole seconds.
def annotation($name): .metadata.annotations["simulation.sluice.dev/" + $name];
# Go's notation, as in 1m30s; a text without a unit gives nothing, and then nothing happens.
def milliseconds: [scan("([0-9.]+)(ms|s|m|h)") | (.[0] | tonumber) * {ms: 1, s: 1000, m: 60000, h: 3600000}[.[1]]] | if length > 0 then add else empty end;
def condition($type): first(.status.conditions[]? | select(.type == $type)) // {};
def started: condition("simulation.sluice.dev/Started") | .message | tonumber;
def running: .status.phase == "Running" and all(.status.containerStatuses[]?; .state.running != null);
def ready: condition("Ready").status == "True";
def never_ready: annotation("never-ready") == "true";
def after($name): annotation($name) as $after | select($after != null) | started + ($after | milliseconds);
# Pods of Jobs end well at once, if nothing else is said.
def ends_by_itself: .spec.restartPolicy != "Always" and ready and annotation("finish-after") == null and annotation("crash-after") == null;
def events:
  (select(ready and never_ready) | {event: "unready", at: 0}),
  (select((ready or never_ready) | not) | {event: "ready", at: (if annotation("ready-after") == null then 0 else after("ready-after") end)}),
  {event: "terminate", at: (after("crash-after"), after("finish-after"))},
  (select(ends_by_itself) | {event: "terminate", at: 0});
select(.metadata.deletionTimestamp == null and running)
| [events] | sort_by(.at) | first // empty
| .event as $event
| ([.at - (now * 1000), 0] | max | ceil | tostring) as $wait
| {event: $event, delay: ($wait + "ms")}
