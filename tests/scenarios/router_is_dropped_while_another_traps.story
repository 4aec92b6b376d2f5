# Another router that is loaded traps. It has nothing of this Rollout, so nobody waits for it when the router is taken out.
plugin trapping-router
apply subsets.yaml
until phase Healthy
release shop:v2
until phase Paused
set strategy.canary.trafficRouting null
wait 5s
expect subset canary selects all
expect subset stable selects all
promote full
until revision 1 gone
until phase Healthy
