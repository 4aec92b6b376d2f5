# Subsets are split at 20 % when somebody takes `trafficRouting` out: the subsets lose their hashes before any pod goes, or
# one of them would select a set that is gone.
apply subsets.yaml
until phase Healthy
release shop:v2
until phase Paused
expect subset canary selects 2
set strategy.canary.trafficRouting null
wait 5s
expect phase Paused
promote full
until phase Healthy
# It comes back, and goes again at rest.
set strategy.canary.trafficRouting {"istio":{"virtualService":{"name":"shop"},"destinationRule":{"name":"shop","canarySubsetName":"canary","stableSubsetName":"stable"}}}
until subset stable selects 2
until phase Healthy
wait 1m
set strategy.canary.trafficRouting null
wait 1m
expect phase Healthy
