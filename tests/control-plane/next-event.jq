# What happens next to a pod whose containers were started: {event, delay}, or nothing. Every stage in
# stages.yaml that needs time asks this, so that the order of two events of one pod is decided in one place.
# The times in the annotations count from the start of the containers, which the stages `start` and
# `restart` note, to the millisecond, in a condition of the pod: the API's own timestamps are whole seconds.
def annotation($name): .metadata.annotations["simulation.sluice.dev/" + $name];
# Go's notation, as in 1m30s; a text without a unit, such as `never`, gives nothing, and nothing happens.
def milliseconds: [scan("([0-9.]+)(ms|s|m|h)") | (.[0] | tonumber) * {ms: 1, s: 1000, m: 60000, h: 3600000}[.[1]]] | if length > 0 then add else empty end;
def condition($type): first(.status.conditions[]? | select(.type == $type)) // {};
def is_true($type): condition($type).status == "True";
def started: condition("simulation.sluice.dev/Started") | .message | tonumber;
def after($name): annotation($name) as $after | select($after != null) | started + ($after | milliseconds);
def gates_open: . as $pod | all(.spec.readinessGates[]?; .conditionType as $type | $pod | is_true($type));
def may_be_ready: annotation("never-ready") != "true" and gates_open;
# Pods of Jobs end well and soon, if nothing else is said.
def ends_by_itself: .spec.restartPolicy != "Always" and is_true("Ready") and annotation("finish-after") == null and annotation("crash-after") == null;
def while_running:
  (select(is_true("Ready") and (may_be_ready | not)) | {event: "unready", at: 0}),
  (select((is_true("Ready") | not) and may_be_ready) | {event: "ready", at: (if annotation("ready-after") == null then 0 else after("ready-after") end)}),
  {event: "terminate", at: (after("crash-after"), after("finish-after"))},
  (select(ends_by_itself) | {event: "terminate", at: 0});
# As the kubelet: ten seconds, twice as long each time, five minutes at most.
def while_backing_off:
  first(.status.containerStatuses[]?)
  | {event: "restart", at: ((.lastState.terminated.finishedAt | fromdateiso8601) * 1000 + ([10000 * pow(2; .restartCount), 300000] | min))};
def events:
  if all(.status.containerStatuses[]?; .state.running != null) then while_running
  elif all(.status.containerStatuses[]?; .state.waiting != null) then while_backing_off
  else empty end;
select(.metadata.deletionTimestamp == null and .status.phase == "Running")
| [events] | sort_by(.at) | first // empty
| .event as $event
| ([.at - (now * 1000), 0] | max | ceil | tostring) as $wait
| {event: $event, delay: ($wait + "ms")}
