# A router whose code traps: the update waits at its first weight, each failure is an event, and an abort waits for nobody.
plugin trapping-router
apply acme.yaml
until phase Healthy
release shop:v2
until event TrafficRoutingError
wait 1m
expect step 0
abort
until phase Degraded
# Nobody knows which weight is in force, so the canary keeps its pods.
wait 2m
expect phase Degraded
# A mended plugin comes, and what was waited for happens.
plugin working-router
until revision 2 gone
