# A router traps, and somebody takes it out at 20 %. It may still send traffic to the canary and to the stable set, so no pod
# goes for five minutes; then it is said, and the update goes on. A mended router lets go later.
plugin working-router
apply acme.yaml
until phase Healthy
release shop:v2
until phase Paused
plugin trapping-router
set strategy.canary.trafficRouting null
promote full
wait 4m
expect pods 1 4/4
until event TrafficRoutingError
until revision 1 gone
until phase Healthy
plugin working-router
wait 1m
