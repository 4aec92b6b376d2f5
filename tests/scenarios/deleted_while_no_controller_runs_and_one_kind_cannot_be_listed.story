# The same, and the API server cannot list one of the kinds that the router may change: the others are looked after.
apply subsets.yaml
apply onlooker.yaml
rollout shop
until phase Healthy
release shop:v2
until phase Paused
stop controller
rollout onlooker
delete rollout shop
wait 1m
expect subset canary selects 0
fail lists virtualservices
start controller
until subset canary selects all
expect subset stable selects all
heal
